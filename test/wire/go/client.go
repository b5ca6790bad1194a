package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

const svc = "/tundra.test.Wire/"

type conn struct{ *grpc.ClientConn }

func (c conn) call(ctx context.Context, method string, in []byte, opts ...grpc.CallOption) ([]byte, error) {
	var out []byte
	opts = append(opts, grpc.ForceCodec(rawCodec{}))
	err := c.Invoke(ctx, svc+method, &in, &out, opts...)
	return out, err
}

func (c conn) stats(ctx context.Context) (m map[string]int, err error) {
	out, err := c.call(ctx, "Stats", nil)
	m = map[string]int{}
	for _, f := range strings.Fields(string(out)) {
		k, v, _ := strings.Cut(f, "=")
		m[k], _ = strconv.Atoi(v)
	}
	return m, err
}

func want(err error, code codes.Code, text string) error {
	s, _ := status.FromError(err)
	if s.Code() != code || (text != "" && !strings.Contains(s.Message(), text)) {
		return fmt.Errorf("want %v %q, got %v", code, text, err)
	}
	return nil
}

func echo(c conn, n int) error {
	in := bytes.Repeat([]byte("x"), n)
	out, err := c.call(context.Background(), "Echo", in)
	if err == nil && !bytes.Equal(in, out) {
		err = fmt.Errorf("echo of %d bytes came back as %d", n, len(out))
	}
	return err
}

var clientTests = []struct {
	name string
	run  func(ctx context.Context, c conn, socket string) error
}{
	{"empty message", func(ctx context.Context, c conn, _ string) error { return echo(c, 0) }},
	{"small message", func(ctx context.Context, c conn, _ string) error { return echo(c, 100) }},
	{"messages around every frame and window size", func(ctx context.Context, c conn, _ string) error {
		for _, n := range []int{1, 16378, 16379, 16380, 65530, 65531, 65536, 300000, 4 << 20} {
			if err := echo(c, n); err != nil {
				return fmt.Errorf("%d: %w", n, err)
			}
		}
		return nil
	}},
	{"a message above 4 MiB is refused, the connection lives", func(ctx context.Context, c conn, _ string) error {
		if err := want(echo(c, 4<<20+1), codes.ResourceExhausted, "larger than max (4194305 vs. 4194304)"); err != nil {
			return err
		}
		return echo(c, 1)
	}},
	{"a big answer", func(ctx context.Context, c conn, _ string) error {
		out, err := c.call(ctx, "Big", []byte("4000000"))
		if err == nil && len(out) != 4000000 {
			err = fmt.Errorf("%d bytes", len(out))
		}
		for i, b := range out {
			if b != byte('a'+i%23) {
				return fmt.Errorf("byte %d is %q", i, b)
			}
		}
		return err
	}},
	{"error code and text", func(ctx context.Context, c conn, _ string) error {
		_, err := c.call(ctx, "Fail", []byte("9 grün 100% \n\"ja\""))
		return want(err, codes.FailedPrecondition, "grün 100% \n\"ja\"")
	}},
	{"a long error text is cut, not lost", func(ctx context.Context, c conn, _ string) error {
		_, err := c.call(ctx, "Fail", append([]byte("13 "), bytes.Repeat([]byte("%"), 20000)...))
		return want(err, codes.Internal, strings.Repeat("%", 4000))
	}},
	{"unknown method", func(ctx context.Context, c conn, _ string) error {
		_, err := c.call(ctx, "Nope", nil)
		return want(err, codes.Unimplemented, "unknown method Nope for service tundra.test.Wire")
	}},
	{"unknown service", func(ctx context.Context, c conn, _ string) error {
		in, out := []byte{}, []byte{}
		err := c.Invoke(ctx, "/v1.DRAResourceHealth/NodeWatchResources", &in, &out, grpc.ForceCodec(rawCodec{}))
		return want(err, codes.Unimplemented, "unknown service v1.DRAResourceHealth")
	}},
	{"unknown stream", func(ctx context.Context, c conn, _ string) error {
		s, err := openStream(ctx, c, "/v1alpha1.DRAResourceHealth/NodeWatchResources", nil)
		if err != nil {
			return err
		}
		var out []byte
		return want(s.RecvMsg(&out), codes.Unimplemented, "unknown service v1alpha1.DRAResourceHealth")
	}},
	{"gzip is refused by name", func(ctx context.Context, c conn, _ string) error {
		_, err := c.call(ctx, "Echo", []byte("x"), grpc.UseCompressor(gzip.Name))
		return want(err, codes.Unimplemented, "grpc-encoding \"gzip\"")
	}},
	{"deadline", func(ctx context.Context, c conn, _ string) error {
		before, err := c.stats(ctx)
		if err != nil {
			return err
		}
		short, cancel := context.WithTimeout(ctx, 200*time.Millisecond)
		defer cancel()
		_, err = c.call(short, "Hang", nil)
		if err := want(err, codes.DeadlineExceeded, ""); err != nil {
			return err
		}
		return waitCancels(ctx, c, before["cancels"]+1)
	}},
	{"cancel", func(ctx context.Context, c conn, _ string) error {
		before, err := c.stats(ctx)
		if err != nil {
			return err
		}
		sub, cancel := context.WithCancel(ctx)
		time.AfterFunc(100*time.Millisecond, cancel)
		_, err = c.call(sub, "Hang", nil)
		if err := want(err, codes.Canceled, ""); err != nil {
			return err
		}
		return waitCancels(ctx, c, before["cancels"]+1)
	}},
	{"a hanging call delays no other", func(ctx context.Context, c conn, _ string) error {
		done := make(chan error, 1)
		go func() {
			out, err := c.call(ctx, "Hang", nil)
			if err == nil && string(out) != "released" {
				err = fmt.Errorf("%q", out)
			}
			done <- err
		}()
		for i := 0; i < 100; i++ {
			if err := echo(c, 10); err != nil {
				return err
			}
		}
		for {
			out, err := c.call(ctx, "Release", nil)
			if err != nil {
				return err
			}
			if string(out) == "1" {
				return <-done
			}
		}
	}},
	{"server stream of 20000 messages", func(ctx context.Context, c conn, _ string) error {
		s, err := openStream(ctx, c, svc+"Stream", []byte("20000"))
		if err != nil {
			return err
		}
		for i := 0; ; i++ {
			var out []byte
			err := s.RecvMsg(&out)
			if errors.Is(err, io.EOF) && i == 20000 {
				return nil
			}
			if err != nil {
				return fmt.Errorf("message %d: %w", i, err)
			}
			if string(out) != strconv.Itoa(i) {
				return fmt.Errorf("message %d is %q", i, out)
			}
		}
	}},
	{"a stream that is read slowly", func(ctx context.Context, c conn, _ string) error {
		s, err := openStream(ctx, c, svc+"Stream", []byte("200000"))
		if err != nil {
			return err
		}
		time.Sleep(300 * time.Millisecond)
		if err := echo(c, 100000); err != nil {
			return err
		}
		for i := 0; i < 200000; i++ {
			var out []byte
			if err := s.RecvMsg(&out); err != nil {
				return fmt.Errorf("message %d: %w", i, err)
			}
		}
		return nil
	}},
	{"an open watch beside calls, then closed by us", func(ctx context.Context, c conn, _ string) error {
		before, err := c.stats(ctx)
		if err != nil {
			return err
		}
		sub, cancel := context.WithCancel(ctx)
		defer cancel()
		s, err := openStream(sub, c, svc+"Watch", []byte("first"))
		if err != nil {
			return err
		}
		var out []byte
		if _, err := s.Header(); err != nil {
			return err
		}
		if err := s.RecvMsg(&out); err != nil || string(out) != "first" {
			return fmt.Errorf("%q %w", out, err)
		}
		if err := echo(c, 1000); err != nil {
			return err
		}
		cancel()
		return waitCancels(ctx, c, before["cancels"]+1)
	}},
	{"1000 calls one after another", func(ctx context.Context, c conn, _ string) error {
		start := time.Now()
		for i := 0; i < 1000; i++ {
			if err := echo(c, 200); err != nil {
				return err
			}
		}
		fmt.Printf("# 1000 calls in %v\n", time.Since(start).Round(time.Millisecond))
		return nil
	}},
	{"6400 calls, 64 at a time", func(ctx context.Context, c conn, _ string) error {
		start := time.Now()
		err := parallel(64, func() error {
			for i := 0; i < 100; i++ {
				if err := echo(c, 200); err != nil {
					return err
				}
			}
			return nil
		})
		fmt.Printf("# 6400 calls in %v\n", time.Since(start).Round(time.Millisecond))
		return err
	}},
	{"1500 calls at once wait for a free stream", func(ctx context.Context, c conn, socket string) error {
		// On a connection of its own: on the full one it would wait too.
		other, err := dial(socket)
		if err != nil {
			return err
		}
		defer other.Close()
		done := make(chan error, 1)
		go func() {
			done <- parallel(1500, func() error { _, err := c.call(ctx, "Hang", nil); return err })
		}()
		// Only 1024 get in; releasing them lets the rest in.
		for n := 0; n < 1500; {
			out, err := other.call(ctx, "Release", nil)
			if err != nil {
				return err
			}
			got, _ := strconv.Atoi(string(out))
			n += got
		}
		return <-done
	}},
	{"health", func(ctx context.Context, c conn, _ string) error {
		h := healthpb.NewHealthClient(c)
		for _, name := range []string{"", "liveness"} {
			r, err := h.Check(ctx, &healthpb.HealthCheckRequest{Service: name})
			if err != nil || r.Status != healthpb.HealthCheckResponse_SERVING {
				return fmt.Errorf("%q: %v %w", name, r, err)
			}
		}
		_, err := h.Check(ctx, &healthpb.HealthCheckRequest{Service: "other"})
		if err := want(err, codes.NotFound, ""); err != nil {
			return err
		}
		w, err := h.Watch(ctx, &healthpb.HealthCheckRequest{})
		if err != nil {
			return err
		}
		r, err := w.Recv()
		if err != nil || r.Status != healthpb.HealthCheckResponse_SERVING {
			return fmt.Errorf("watch: %v %w", r, err)
		}
		return nil
	}},
	{"many short connections", func(ctx context.Context, _ conn, socket string) error {
		for i := 0; i < 100; i++ {
			c, err := dial(socket)
			if err != nil {
				return err
			}
			if err := echo(c, 10); err != nil {
				return err
			}
			c.Close()
		}
		return nil
	}},
	{"the kubelet's registration dial: path as target, raw and encoded authority", func(ctx context.Context, _ conn, socket string) error {
		dialer := grpc.WithContextDialer(func(ctx context.Context, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unix", socket)
		})
		for _, extra := range [][]grpc.DialOption{nil, {grpc.WithAuthority(socket)}, {grpc.WithAuthority("localhost")},
			{grpc.WithAuthority(strings.ReplaceAll(socket, "/", "%2F"))}} {
			opts := append([]grpc.DialOption{dialer, grpc.WithTransportCredentials(insecure.NewCredentials())}, extra...)
			cc, err := grpc.NewClient("passthrough:///"+socket, opts...)
			if err != nil {
				return err
			}
			err = echo(conn{cc}, 10)
			cc.Close()
			if err != nil {
				return err
			}
		}
		return nil
	}},
	{"an abrupt end of the client", func(ctx context.Context, c conn, socket string) error {
		before, err := c.stats(ctx)
		if err != nil {
			return err
		}
		var raw net.Conn
		cc, err := grpc.NewClient("passthrough:///x", grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithContextDialer(func(ctx context.Context, _ string) (nc net.Conn, err error) {
				raw, err = (&net.Dialer{}).DialContext(ctx, "unix", socket)
				return raw, err
			}))
		if err != nil {
			return err
		}
		defer cc.Close()
		go conn{cc}.call(ctx, "Hang", nil)
		for {
			now, err := c.stats(ctx)
			if err != nil {
				return err
			}
			if now["held"] > before["held"] {
				break
			}
		}
		raw.Close()
		return waitCancels(ctx, c, before["cancels"]+1)
	}},
	// Last: the server is gone after it. Its parent sends SIGTERM when it reads the line below.
	{"drain: calls in flight finish, new ones are refused", func(ctx context.Context, c conn, _ string) error {
		done := make(chan error, 1)
		sub, cancel := context.WithTimeout(ctx, 3*time.Second)
		defer cancel()
		s, err := openStream(ctx, c, svc+"Watch", []byte("w"))
		if err != nil {
			return err
		}
		var out []byte
		if err := s.RecvMsg(&out); err != nil {
			return err
		}
		go func() { _, err := c.call(sub, "Hang", nil); done <- err }()
		for {
			now, err := c.stats(ctx)
			if err != nil {
				return err
			}
			if now["held"] >= 2 {
				break
			}
		}
		fmt.Println("# now SIGTERM")
		if err := want(s.RecvMsg(&out), codes.Unavailable, "shutting down"); err != nil {
			return err
		}
		for c.GetState() == connectivity.Ready {
			time.Sleep(time.Millisecond)
		}
		// The call that hangs was not cut off: it ends by its own deadline.
		return want(<-done, codes.DeadlineExceeded, "")
	}},
}

func parallel(n int, f func() error) error {
	var wg sync.WaitGroup
	errs := make(chan error, n)
	for i := 0; i < n; i++ {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if err := f(); err != nil {
				errs <- err
			}
		}()
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func waitCancels(ctx context.Context, c conn, n int) error {
	for {
		now, err := c.stats(ctx)
		if err != nil || now["cancels"] >= n {
			return err
		}
	}
}

func openStream(ctx context.Context, c conn, method string, in []byte) (grpc.ClientStream, error) {
	s, err := c.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, method, grpc.ForceCodec(rawCodec{}))
	if err != nil {
		return nil, err
	}
	if err := s.SendMsg(&in); err != nil {
		return nil, err
	}
	return s, s.CloseSend()
}

func dial(socket string) (conn, error) {
	cc, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithDefaultCallOptions(grpc.MaxCallSendMsgSize(1<<30), grpc.MaxCallRecvMsgSize(1<<30)))
	return conn{cc}, err
}

func client(socket string, only []string) int {
	failed := 0
	c, err := dial(socket)
	if err != nil {
		fmt.Println("FAIL dial:", err)
		return 1
	}
	for _, t := range clientTests {
		if len(only) > 0 && !strings.Contains(strings.Join(only, "\n"), t.name) {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		err := t.run(ctx, c, socket)
		cancel()
		name := "grpc-go " + grpc.Version + ": " + t.name
		if err != nil {
			failed++
			fmt.Printf("FAIL %s: %v\n", name, err)
		} else {
			fmt.Println("ok", name)
		}
		os.Stdout.Sync()
	}
	if failed > 0 {
		return 1
	}
	return 0
}
