// Command scripted serves the scripted upstream as a process of its own, for
// tests in which client, gateway and upstream must not share one.
//
// It prints its URL as the first line of standard output and serves until it is
// killed. Its records are at /__requests.
//
//	go run ./internal/upstreamtest/cmd/scripted -addr 127.0.0.1:9000
//	curl 127.0.0.1:9000/v1/chat/completions -d '{"model":"cut-mid-stream","stream":true}'
package main

import (
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"

	"forward/internal/upstreamtest"
)

func main() {
	addr := flag.String("addr", "127.0.0.1:0", "listen address")
	list := flag.Bool("list", false, "print the scripts and exit")
	flag.Parse()
	if *list {
		for _, s := range upstreamtest.Scripts() {
			fmt.Printf("%-24s %s\n", s[0], s[1])
		}
		return
	}
	if err := serve(*addr); err != nil {
		fmt.Fprintln(os.Stderr, "scripted:", err)
		os.Exit(1)
	}
}

func serve(addr string) error {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return fmt.Errorf("listening: %w", err)
	}
	fmt.Println("http://" + l.Addr().String())
	return http.Serve(l, upstreamtest.NewHandler())
}
