package main

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"slices"
	"strconv"
	"sync"
	"time"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/embedded"
)

// restartPause is the wait before an engine that ended by itself is started
// again.
const restartPause = time.Second

// An engine is the embedded ClickHouse, started again whenever it ends by
// itself: Kafka keeps what comes in meanwhile.
type engine struct {
	cfg   embedded.Config
	log   *slog.Logger
	state *state

	mu      sync.Mutex
	current *embedded.ClickHouse
}

func startEngine(ctx context.Context, cfg embedded.Config, log *slog.Logger) (*engine, error) {
	clickHouse, err := embedded.StartClickHouse(ctx, cfg, log, os.Stderr)
	if err != nil {
		return nil, err
	}
	// Where a free port was asked for, a restart must take the same one.
	cfg.ClickHouse.NativePort = portOf(clickHouse.Addr())
	cfg.ClickHouse.HTTPPort = portOf(clickHouse.HTTPAddr())
	return &engine{cfg: cfg, log: log, state: &state{}, current: clickHouse}, nil
}

func portOf(address string) int {
	_, text, err := net.SplitHostPort(address)
	if err != nil {
		return 0
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return 0
	}
	return port
}

// supervise returns when ctx ends.
func (e *engine) supervise(ctx context.Context) error {
	for {
		current := e.get()
		select {
		case <-ctx.Done():
			return nil
		case <-current.Done():
		}
		e.state.set(current.Err())
		e.log.LogAttrs(ctx, slog.LevelError, "the embedded ClickHouse ended and is started again; Kafka keeps what comes in", slog.Any("error", current.Err()))
		err := current.Close(ctx)
		for ctx.Err() == nil {
			var next *embedded.ClickHouse
			if next, err = embedded.StartClickHouse(ctx, e.cfg, e.log, os.Stderr); err == nil {
				e.mu.Lock()
				e.current = next
				e.mu.Unlock()
				break
			}
			e.log.LogAttrs(ctx, slog.LevelError, "the embedded ClickHouse could not be started; trying again", slog.Any("error", err))
			select {
			case <-ctx.Done():
			case <-time.After(restartPause):
			}
		}
		e.state.set(err)
	}
}

func (e *engine) get() *embedded.ClickHouse {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current
}

func (e *engine) close(ctx context.Context) error { return e.get().Close(ctx) }

// point has the sinks that are configured for the embedded ClickHouse write to
// where it listens, which differs when a free port was asked for.
func (e *engine) point(cfg *config.Config) {
	configured, actual := cfg.EmbeddedClickHouse(), e.get().Addr()
	for i := range cfg.Sinks {
		c := cfg.Sinks[i].ClickHouse
		if c == nil {
			continue
		}
		c.Addresses = slices.Clone(c.Addresses)
		for k := range c.Addresses {
			if c.Addresses[k] == configured {
				c.Addresses[k] = actual
			}
		}
	}
}

// borrowEngine starts the embedded ClickHouse for one command, unless the
// service is running and has it.
func borrowEngine(ctx context.Context, cfg *config.Config, log *slog.Logger) (giveBack func() error, err error) {
	nothing := func() error { return nil }
	if cfg.Embedded == nil {
		return nothing, nil
	}
	e, err := startEngine(ctx, *cfg.Embedded, log)
	if errors.Is(err, embedded.ErrInUse) {
		return nothing, nil
	}
	if err != nil {
		return nil, err
	}
	e.point(cfg)
	return func() error { return e.close(context.WithoutCancel(ctx)) }, nil
}
