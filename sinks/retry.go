package sinks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
)

// RetryConfig says how long to wait between two tries of a batch.
type RetryConfig struct {
	// InitialInterval is the first wait; each further one is half as long again,
	// up to MaxInterval, and varied at random by half.
	InitialInterval time.Duration `yaml:"initial_interval"`
	MaxInterval     time.Duration `yaml:"max_interval"`
}

// DefaultRetryConfig returns 250 ms growing to 30 s.
func DefaultRetryConfig() RetryConfig {
	return RetryConfig{InitialInterval: 250 * time.Millisecond, MaxInterval: 30 * time.Second}
}

// Validate reports what cannot work. Each error begins with the key.
func (c RetryConfig) Validate() error {
	var errs []error
	if c.InitialInterval <= 0 {
		errs = append(errs, fmt.Errorf("initial_interval: must be above 0, is %s", c.InitialInterval))
	}
	if c.MaxInterval < c.InitialInterval {
		errs = append(errs, fmt.Errorf("max_interval: must be at least initial_interval (%s), is %s", c.InitialInterval, c.MaxInterval))
	}
	return errors.Join(errs...)
}

// Retrying is a [Sink] that tries a batch again for ever, with backoff, while
// its errors are not permanent and the context lives. It knows whether it is
// failing, for the readiness probe.
type Retrying struct {
	Sink
	name   string
	cfg    RetryConfig
	log    *slog.Logger
	now    func() time.Time
	errors *prometheus.CounterVec

	mu      sync.Mutex
	failing map[string]failure // by topic and partition
}

// A failure is the latest error of a batch that is being tried again.
type failure struct {
	err   error
	since time.Time
}

// Retry decorates a sink. The counter has the labels sink and kind.
func Retry(s Sink, name string, cfg RetryConfig, errorsTotal *prometheus.CounterVec, log *slog.Logger, now func() time.Time) *Retrying {
	return &Retrying{Sink: s, name: name, cfg: cfg, log: log, now: now, errors: errorsTotal, failing: map[string]failure{}}
}

// Write returns nil, a permanent error, or the context's.
func (r *Retrying) Write(ctx context.Context, b *Batch) error {
	wait := &backoff.ExponentialBackOff{
		InitialInterval: r.cfg.InitialInterval, MaxInterval: r.cfg.MaxInterval,
		Multiplier: backoff.DefaultMultiplier, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
	wait.Reset()
	where := fmt.Sprintf("%s/%d", b.Topic, b.Partition)
	defer r.recovered(where)
	for {
		err := r.Sink.Write(ctx, b)
		if err == nil {
			return nil
		}
		if _, permanent := IsPermanent(err); permanent {
			r.errors.WithLabelValues(r.name, "permanent").Inc()
			return err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("sink %s: batch %s abandoned: %w", r.name, b.Token(), err)
		}
		r.errors.WithLabelValues(r.name, "transient").Inc()
		pause := wait.NextBackOff()
		r.failed(where, err)
		r.log.LogAttrs(ctx, slog.LevelWarn, "a batch could not be written and will be tried again; nothing is lost",
			slog.String("sink", r.name), slog.String("topic", b.Topic), slog.Int("partition", b.Partition),
			slog.Int64("first_offset", b.First()), slog.Int64("last_offset", b.Last()),
			slog.Duration("again_in", pause.Round(time.Millisecond)), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return fmt.Errorf("sink %s: batch %s abandoned: %w", r.name, b.Token(), err)
		case <-time.After(pause):
		}
	}
}

func (r *Retrying) failed(where string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	since := r.now()
	if before, ok := r.failing[where]; ok {
		since = before.since
	}
	r.failing[where] = failure{err, since}
}

func (r *Retrying) recovered(where string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.failing, where)
}

// Ready returns nil, or the error of a batch that is being tried again and
// since when.
func (r *Retrying) Ready() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for where, f := range r.failing {
		return fmt.Errorf("sink %s: %s cannot be written since %s: %w", r.name, where, f.since.UTC().Format(time.RFC3339), f.err)
	}
	return nil
}
