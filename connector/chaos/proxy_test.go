//go:build linux

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"
)

// echo answers what it is sent.
func echo(t *testing.T) (address string) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() {
				defer conn.Close()
				_, _ = io.Copy(conn, conn)
			})
		}
	})
	t.Cleanup(func() {
		_ = listener.Close() // That ends the serving.
		serving.Wait()
	})
	return listener.Addr().String()
}

func TestProxy(t *testing.T) {
	p, err := startProxy(t.Context(), "test", echo(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.close)
	dial := func() net.Conn {
		t.Helper()
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", p.listen)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	say := func(conn net.Conn, patience time.Duration) error {
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Write([]byte("hello")); err != nil {
			return err
		}
		_, err := io.ReadFull(conn, make([]byte, 5))
		return err
	}
	const long = time.Minute
	conn := dial()
	if err := say(conn, long); err != nil {
		t.Fatalf("a whole proxy: %v", err)
	}

	if err := p.replace(); err != nil {
		t.Fatal(err)
	}
	if err := say(conn, long); err == nil {
		t.Error("a connection survived the cut")
	}
	conn = dial()
	if err := say(conn, long); err != nil {
		t.Errorf("after the cut: %v", err)
	}

	const delay = 200 * time.Millisecond
	if err := p.delay(delay); err != nil {
		t.Fatal(err)
	}
	begin := time.Now()
	if err := say(conn, long); err != nil || time.Since(begin) < delay {
		t.Errorf("with a delay: %v after %s", err, time.Since(begin))
	}
	if err := p.replace(); err != nil {
		t.Fatal(err)
	}

	conn = dial()
	if err := p.blackhole(); err != nil {
		t.Fatal(err)
	}
	for name, conn := range map[string]net.Conn{"old": conn, "new": dial()} {
		if err := say(conn, 100*time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("an %s connection in the blackhole: %v", name, err)
		}
	}
	if err := p.replace(); err != nil {
		t.Fatal(err)
	}
	if err := say(dial(), long); err != nil {
		t.Errorf("after the blackhole: %v", err)
	}
}
