//go:build linux && apachekafka

package apachekafka_test

import (
	"context"
	"io"
	"net"
	"sync"
)

// A gateway passes connections on to the embedded ClickHouse. The connection of
// a process that is killed is reset, and unlike a server the embedded ClickHouse
// ends when it reads from such a connection: the gateway ends it in order.
type gateway struct {
	listener net.Listener
	to       string
	passing  sync.WaitGroup
}

func openGateway(to string) (*gateway, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	g := &gateway{listener: listener, to: to}
	g.passing.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return // Closed.
			}
			g.passing.Go(func() { g.pass(client.(*net.TCPConn)) })
		}
	})
	return g, nil
}

// pass returns when both sides have ended.
func (g *gateway) pass(client *net.TCPConn) {
	defer client.Close()
	conn, err := new(net.Dialer).DialContext(context.Background(), "tcp", g.to)
	if err != nil {
		return // The client sees that nobody answers.
	}
	defer conn.Close()
	server := conn.(*net.TCPConn)
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(client, server)
		_, _ = io.Copy(io.Discard, server) // What a client that is gone does not take.
		_ = client.CloseWrite()
	})
	_, _ = io.Copy(server, client)
	_ = server.CloseWrite()
	answers.Wait()
}

// close waits for the clients to end.
func (g *gateway) close() {
	_ = g.listener.Close()
	g.passing.Wait()
}
