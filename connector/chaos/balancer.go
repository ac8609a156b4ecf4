//go:build linux

package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"loyaltyhouse/connector/harness"
)

// A balancer is the load balancer before the receivers. It passes requests on
// in turn, to those whose probe answers as long as there are any.
type balancer struct {
	server  *http.Server
	address string
	working sync.WaitGroup
	stop    context.CancelFunc

	backends []*backend
	turn     atomic.Uint64
}

type backend struct {
	probe   string
	proxy   *httputil.ReverseProxy
	healthy atomic.Bool
}

// A receiver is where a receiver listens, and the probe that tells whether it is
// ready.
type receiver struct {
	host, probe string
}

func startBalancer(ctx context.Context, receivers []receiver) (*balancer, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for webhooks: %w", err)
	}
	b := &balancer{address: listener.Addr().String()}
	ctx, b.stop = context.WithCancel(context.WithoutCancel(ctx))
	silent := log.New(io.Discard, "", 0)
	for _, r := range receivers {
		one := &backend{probe: r.probe, proxy: httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: r.host})}
		one.proxy.ErrorLog = silent
		// SHOPLINE, which waits for 5 s, shall have an answer.
		one.proxy.Transport = &http.Transport{ResponseHeaderTimeout: 4 * time.Second, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute}
		one.proxy.ErrorHandler = func(w http.ResponseWriter, _ *http.Request, _ error) {
			one.healthy.Store(false)
			w.WriteHeader(http.StatusBadGateway)
		}
		b.backends = append(b.backends, one)
		b.working.Go(func() { one.check(ctx) })
	}
	b.server = &http.Server{Handler: b, ReadHeaderTimeout: 5 * time.Second, ErrorLog: silent}
	b.working.Go(func() { _ = b.server.Serve(listener) }) // It ends with close.
	return b, nil
}

// check asks the probe until ctx ends.
func (b *backend) check(ctx context.Context) {
	const every = 500 * time.Millisecond
	for ctx.Err() == nil {
		asking, cancel := context.WithTimeout(ctx, every)
		status, _ := harness.Get(asking, b.probe)
		cancel()
		b.healthy.Store(status == http.StatusOK)
		select {
		case <-ctx.Done():
		case <-time.After(every):
		}
	}
}

// ServeHTTP implements http.Handler.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n := uint64(len(b.backends))
	turn := b.turn.Add(1)
	chosen := b.backends[turn%n]
	for i := range n {
		if next := b.backends[(turn+i)%n]; next.healthy.Load() {
			chosen = next
			break
		}
	}
	chosen.proxy.ServeHTTP(w, r)
}

func (b *balancer) close() {
	b.stop()
	_ = b.server.Close() // Nobody sends any more.
	b.working.Wait()
	for _, one := range b.backends {
		if transport, ok := one.proxy.Transport.(*http.Transport); ok {
			transport.CloseIdleConnections()
		}
	}
}
