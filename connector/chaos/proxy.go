//go:build linux

package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"loyaltyhouse/connector/harness"
)

// A proxy stands between clients and a server, and breaks what goes through.
type proxy struct {
	name, listen, upstream string

	mu      sync.Mutex
	current *toxiproxy.Proxy
}

// startProxy listens at a free port.
func startProxy(ctx context.Context, name, upstream string) (*proxy, error) {
	listen, err := harness.FreeAddress(ctx)
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
