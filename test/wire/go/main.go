// Command wire speaks gRPC with tundra's transport: as grpc-go clients do (client), and as a
// grpc-go server (server) for tundra's own client. One line per test: "ok NAME" or "FAIL NAME: why".
package main

import (
	"fmt"
	"os"

	"google.golang.org/grpc"
)

type rawCodec struct{}

func (rawCodec) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }
func (rawCodec) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = append([]byte(nil), data...)
	return nil
}
func (rawCodec) Name() string { return "proto" }

func main() {
	if len(os.Args) >= 3 && os.Args[1] == "client" {
		os.Exit(client(os.Args[2], os.Args[3:]))
	}
	if len(os.Args) == 3 && os.Args[1] == "server" {
		os.Exit(server(os.Args[2]))
	}
	if len(os.Args) == 3 && os.Args[1] == "relay" {
		os.Exit(relay(os.Args[2]))
	}
	fmt.Fprintf(os.Stderr, "usage: %s client SOCKET [TEST...] | server SOCKET | relay SOCKET   (grpc-go %s)\n", os.Args[0], grpc.Version)
	os.Exit(2)
}
