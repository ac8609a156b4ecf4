package kafka

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// maxExchange bounds one exchange with a broker for which kafka-go sets no
// deadline itself, such as the SASL handshake. The longest that is legitimate
// is to join a consumer group, which waits for the other members.
const maxExchange = time.Minute

// DialFunc opens a connection, as net.Dialer.DialContext does.
type DialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// connections opens connections and remembers those that are open. kafka-go
// leaves a goroutine with each of them; closing all of them ends those too.
type connections struct {
	dialer DialFunc
	tls    *tls.Config

	ctx    context.Context // Ends with close.
	cancel context.CancelFunc

	mu   sync.Mutex
	open map[*connection]struct{}
}

func newConnections(dialer DialFunc, tls *tls.Config) *connections {
	c := &connections{dialer: dialer, tls: tls, open: make(map[*connection]struct{})}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	return c
}

// dial is a DialFunc. It does TLS itself, so that Transport and Dialer, which
// do it differently, need not.
func (c *connections) dial(ctx context.Context, network, address string) (net.Conn, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(c.ctx, cancel)() //nolint:contextcheck // Whichever of the two contexts ends first counts.

	raw, err := c.dialer(ctx, network, address)
	if err != nil {
		return nil, err
	}
	opened := &connection{Conn: raw, raw: raw, owner: c}
	if c.tls != nil {
		secured := tls.Client(raw, c.tlsFor(address))
		if err := secured.HandshakeContext(ctx); err != nil {
			_ = raw.Close() // The handshake's error says more.
			return nil, fmt.Errorf("TLS with broker %s: %w", address, err)
		}
		opened.Conn = secured
	}

	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ctx.Err() != nil {
		_ = raw.Close() // Nothing has been sent on it.
		return nil, ErrClosed
	}
	c.open[opened] = struct{}{}
	return opened, opened.SetDeadline(time.Time{})
}

// close closes every connection and refuses to open further ones.
func (c *connections) close() {
	c.cancel()
	c.cut()
}

// cut closes every connection that is open.
func (c *connections) cut() {
	c.mu.Lock()
	open := c.open
	c.open = make(map[*connection]struct{})
	c.mu.Unlock()
	for connection := range open {
		_ = connection.raw.Close() // There is nothing left to be lost.
	}
}

func (c *connections) forget(closed *connection) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.open, closed)
}

func (c *connections) tlsFor(address string) *tls.Config {
	if c.tls.ServerName != "" {
		return c.tls
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		host = address
	}
	config := c.tls.Clone()
	config.ServerName = host
	return config
}

// connection is an open connection to a broker.
type connection struct {
	net.Conn
	raw   net.Conn
	owner *connections
}

func (c *connection) Close() error {
	c.owner.forget(c)
	return c.Conn.Close()
}

// SetDeadline never lets a connection be without one. An idle connection is
// closed by Transport long before.
func (c *connection) SetDeadline(t time.Time) error {
	if t.IsZero() {
		t = time.Now().Add(maxExchange)
	}
	return c.Conn.SetDeadline(t)
}

// brokerDialer dials brokers where they advertise themselves, or all of them at
// one unix socket.
func brokerDialer(brokers []string) DialFunc {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	if len(brokers) == 1 {
		if path, ok := strings.CutPrefix(brokers[0], unixScheme); ok {
			return func(ctx context.Context, _, _ string) (net.Conn, error) {
				return dialer.DialContext(ctx, "unix", path)
			}
		}
	}
	return dialer.DialContext
}

// brokerAddresses are the addresses to give to kafka-go, which wants a port
// even where none is dialled.
func brokerAddresses(brokers []string) []string {
	if len(brokers) == 1 && strings.HasPrefix(brokers[0], unixScheme) {
		return []string{"localhost:9092"}
	}
	return brokers
}
