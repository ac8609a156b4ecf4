//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// A proxy stands between clients and a server, and breaks what goes through.
type proxy struct {
	name, listen, upstream string

	mu      sync.Mutex
	current *toxiproxy.Proxy
}

// startProxy listens at a free port.
func startProxy(ctx context.Context, name, upstream string) (*proxy, error) {
	listen, err := freeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p := &proxy{name: name, listen: listen, upstream: upstream}
	return p, p.replace()
}

// replace closes all connections and begins anew, without any toxic: the toxics
// of toxiproxy can lose bytes of a connection when they are removed from it.
func (p *proxy) replace() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current != nil {
		p.current.Stop()
	}
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	p.current = toxiproxy.NewProxy(server, p.name, p.listen, p.upstream)
	// Another program may be trying the port at this moment.
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		err := p.current.Start()
		if err == nil {
			return nil
		}
		if time.Now().After(until) {
			return fmt.Errorf("proxy %s at %s: %w", p.name, p.listen, err)
		}
	}
}

func (p *proxy) delay(by time.Duration) error {
	return p.add(fmt.Sprintf(`"type": "latency", "attributes": {"latency": %d, "jitter": %d}`, by.Milliseconds(), by.Milliseconds()/4))
}

func (p *proxy) blackhole() error {
	return p.add(`"type": "timeout", "attributes": {"timeout": 0}`)
}

// add puts a toxic into both directions.
func (p *proxy) add(toxic string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, stream := range []string{"upstream", "downstream"} {
		if _, err := p.current.Toxics.AddToxicJson(strings.NewReader(`{"stream": "` + stream + `", ` + toxic + `}`)); err != nil {
			return fmt.Errorf("proxy %s: %w", p.name, err)
		}
	}
	return nil
}

func (p *proxy) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.current.Stop()
}

func (p *proxy) target() *target {
	return &target{
		place: place{name: p.name, group: p.name, class: proxyClass},
		cut:   p.replace, lift: p.replace, blackhole: p.blackhole, delay: p.delay,
	}
}

// freeAddress finds a port of loopback that nobody listens at. It is below those
// that the kernel gives to outgoing connections: one of these could take the
// port of a process that was killed, and keep it from starting again.
func freeAddress(ctx context.Context) (string, error) {
	const first, last = 12_000, 32_000
	var errs []error
	for range 20 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(first+rand.IntN(last-first))) //nolint:gosec // Whoever guesses the port gains nothing: any process of this machine can list the open ports.
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", address)
		if err == nil {
			return address, listener.Close()
		}
		errs = append(errs, err)
	}
	return "", fmt.Errorf("find a free port: %w", errors.Join(errs...))
}
