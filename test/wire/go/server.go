package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/encoding"
	"google.golang.org/grpc/status"
)

type wire interface{}

func unary(f func(ctx context.Context, in []byte) ([]byte, error)) func(any, context.Context, func(any) error, grpc.UnaryServerInterceptor) (any, error) {
	return func(_ any, ctx context.Context, dec func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		var in []byte
		if err := dec(&in); err != nil {
			return nil, err
		}
		out, err := f(ctx, in)
		return &out, err
	}
}

var desc = grpc.ServiceDesc{
	ServiceName: "tundra.test.Wire",
	HandlerType: (*wire)(nil),
	Methods: []grpc.MethodDesc{
		{MethodName: "Echo", Handler: unary(func(_ context.Context, in []byte) ([]byte, error) { return in, nil })},
		{MethodName: "Big", Handler: unary(func(_ context.Context, in []byte) ([]byte, error) {
			n, err := strconv.Atoi(string(in))
			return bytes.Repeat([]byte("b"), n), err
		})},
		{MethodName: "Fail", Handler: unary(func(_ context.Context, in []byte) ([]byte, error) {
			code, text, _ := strings.Cut(string(in), " ")
			n, _ := strconv.Atoi(code)
			return nil, status.Error(codes.Code(n), text)
		})},
		{MethodName: "Hang", Handler: unary(func(ctx context.Context, _ []byte) ([]byte, error) {
			<-ctx.Done()
			return nil, ctx.Err()
		})},
	},
	Streams: []grpc.StreamDesc{
		{StreamName: "Stream", ServerStreams: true, Handler: func(_ any, s grpc.ServerStream) error {
			var in []byte
			if err := s.RecvMsg(&in); err != nil {
				return err
			}
			n, err := strconv.Atoi(string(in))
			for i := 0; i < n && err == nil; i++ {
				out := []byte(strconv.Itoa(i))
				err = s.SendMsg(&out)
			}
			return err
		}},
	},
}

func server(socket string) int {
	encoding.RegisterCodec(rawCodec{})
	l, err := net.Listen("unix", socket)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	s := grpc.NewServer(grpc.ForceServerCodec(rawCodec{}))
	s.RegisterService(&desc, struct{}{})
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	go func() {
		<-stop
		time.AfterFunc(2*time.Second, s.Stop)
		s.GracefulStop()
	}()
	fmt.Println("ready")
	if err := s.Serve(l); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
