package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// A part is something that must be ready. Its check returns nil, or what is
// wrong in words for a person.
type part struct {
	Name string
	// forReceiver parts are needed to accept webhooks.
	forReceiver bool
	check       func(ctx context.Context) error

	asked *sync.WaitGroup // the checks that are under way
}

// readiness knows the parts of the process.
type readiness struct {
	mu    sync.Mutex
	parts []part
}

func (r *readiness) add(p part) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p.asked = &sync.WaitGroup{}
	r.parts = append(r.parts, p)
}

// remove returns when the parts are no longer asked.
func (r *readiness) remove(names ...string) {
	var removed []part
	r.mu.Lock()
	r.parts = slices.DeleteFunc(r.parts, func(p part) bool {
		if !slices.Contains(names, p.Name) {
			return false
		}
		removed = append(removed, p)
		return true
	})
	r.mu.Unlock()
	for _, p := range removed {
		p.asked.Wait()
	}
}

type partState struct {
	Name    string `json:"name"`
	Ready   bool   `json:"ready"`
	Message string `json:"message,omitempty"`
}

// check asks all parts at once.
func (r *readiness) check(ctx context.Context, receiverOnly bool) (ready bool, states []partState) {
	r.mu.Lock()
	parts := make([]part, 0, len(r.parts))
	for _, p := range r.parts {
		if p.forReceiver || !receiverOnly {
			p.asked.Add(1)
			parts = append(parts, p)
		}
	}
	r.mu.Unlock()
	states = make([]partState, len(parts))
	var wg sync.WaitGroup
	for i, p := range parts {
		wg.Go(func() {
			defer p.asked.Done()
			states[i] = partState{Name: p.Name, Ready: true}
			if err := p.check(ctx); err != nil {
				states[i] = partState{Name: p.Name, Message: err.Error()}
			}
		})
	}
	wg.Wait()
	ready = true
	for _, s := range states {
		ready = ready && s.Ready
	}
	return ready, states
}

// A state is a part that is set from elsewhere: starting, ready or failed.
type state struct {
	mu  sync.Mutex
	err error
}

func newState(reason string) *state { return &state{err: errors.New(reason)} }

func (s *state) set(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *state) check(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// The admin server has the probes, the metrics and the dashboards.
type adminServer struct {
	http     *http.Server
	listener net.Listener
}

func listenAdmin(ctx context.Context, address string, ready *readiness, metrics prometheus.Gatherer, pages http.Handler, log *slog.Logger) (*adminServer, error) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "alive"})
	})
	answer := func(receiverOnly bool) http.HandlerFunc {
		return func(w http.ResponseWriter, req *http.Request) {
			ctx, cancel := context.WithTimeout(req.Context(), 2*time.Second)
			defer cancel()
			ok, parts := ready.check(ctx, receiverOnly)
			status := http.StatusOK
			if !ok {
				status = http.StatusServiceUnavailable
			}
			writeJSON(w, status, map[string]any{"ready": ok, "parts": parts})
		}
	}
	mux.HandleFunc("GET /readyz", answer(false))
	mux.HandleFunc("GET /readyz/receiver", answer(true))
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelError)}))
	mux.Handle("/dashboards", pages)
	mux.Handle("/dashboards/", pages)

	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("admin.address %s cannot be listened on: %w; stop what uses it, or set another address", address, err)
	}
	return &adminServer{listener: listener, http: &http.Server{
		Handler: mux, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second,
		WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 32 << 10,
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}}, nil
}

func (a *adminServer) serve() error {
	if err := a.http.Serve(a.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

// adminGrace is how long a shutdown waits for what is being answered. A panel can
// take longer, and its reader can ask again.
const adminGrace = time.Second

func (a *adminServer) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, adminGrace)
	defer cancel()
	if err := a.http.Shutdown(ctx); err == nil {
		return nil
	}
	if err := a.http.Close(); err != nil {
		return fmt.Errorf("admin: %w", err)
	}
	return nil
}

func writeJSON(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	// A client that has gone does not want the rest.
	_ = encoder.Encode(body)
}
