package main

import (
	"fmt"
	"io"
	"net"
	"os"
)

// relay gives a unix socket a TCP port, for clients such as h2spec that know no other.
func relay(socket string) int {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	fmt.Println("tcp", l.Addr().(*net.TCPAddr).Port)
	for {
		from, err := l.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		go func() {
			defer from.Close()
			to, err := net.Dial("unix", socket)
			if err != nil {
				return
			}
			defer to.Close()
			go func() {
				io.Copy(to, from)
				to.(*net.UnixConn).CloseWrite()
			}()
			io.Copy(from, to)
		}()
	}
}
