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

// A Delayed error says how long its destination asks to be left alone, before
// the batch is tried again.
type Delayed interface {
	error
	RetryAfter() time.Duration
}

// mostDelay bounds what a destination can ask for, unless MaxInterval is longer.
const mostDelay = 10 * time.Minute

// Retrying is a [Sink] that tries a batch again for ever, with backoff, while
// its errors are not permanent and the context lives. It knows whether it is
// failing, for the readiness probe.
type Retrying struct {
	Sink
	name    string
	cfg     RetryConfig
	log     *slog.Logger
	now     func() time.Time
	metrics RetryMetrics

	mu      sync.Mutex
	failing map[string]failure // by topic and partition
}

// A failure is the latest error of a batch that is being tried again.
type failure struct {
	err   error
	since time.Time
}

// RetryMetrics are what a [Retrying] counts.
type RetryMetrics struct {
	// Errors has the labels sink and kind, which is transient or permanent.
	Errors *prometheus.CounterVec
	// Missing and Surplus count rows, by sink and topic, that were found missing
	// or stored twice after a batch had been repeated.
	Missing, Surplus *prometheus.CounterVec
}

// NewRetryMetrics registers the metrics.
func NewRetryMetrics(reg prometheus.Registerer) (RetryMetrics, error) {
	m := RetryMetrics{
		Errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_sink_write_errors_total",
			Help: "Writes that failed, by kind: transient ones are tried again, permanent ones end in dead letters.",
		}, []string{"sink", "kind"}),
		Missing: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_sink_missing_rows_total",
			Help: "Rows that were missing after their batch had been repeated, and were written again.",
		}, []string{"sink", "topic"}),
		Surplus: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_sink_doubled_rows_total",
			Help: "Rows that are known to be stored twice, because the destination had forgotten that it had them.",
		}, []string{"sink", "topic"}),
	}
	for _, c := range []prometheus.Collector{m.Errors, m.Missing, m.Surplus} {
		if err := reg.Register(c); err != nil {
			return m, err
		}
	}
	return m, nil
}

// Retry decorates a sink.
func Retry(s Sink, name string, cfg RetryConfig, m RetryMetrics, log *slog.Logger, now func() time.Time) *Retrying {
	return &Retrying{Sink: s, name: name, cfg: cfg, log: log, now: now, metrics: m, failing: map[string]failure{}}
}

// doubtfulAge is how long after its first write a batch's token may have been
// forgotten by the destination.
const doubtfulAge = time.Minute

// mostMends bounds how often missing rows are written again.
const mostMends = 3

// Write returns nil, a permanent error, or the context's. A batch that may have
// been written before is looked for afterwards, where the sink can do that, and
// before, where its token may be forgotten.
func (r *Retrying) Write(ctx context.Context, b *Batch) error {
	since, doubled := b.Since, 0
	if since.IsZero() {
		since = r.now()
	} else if r.now().Sub(since) > doubtfulAge {
		if _, able := r.Sink.(Inspector); able {
			found, err := r.inspect(ctx, b, since, 0)
			if err != nil || len(found.Missing) == 0 {
				return err
			}
			doubled = found.Surplus
		}
	}
	repeated := *b
	repeated.Since = since
	next := b
	tries, err := r.retry(ctx, b, func() error {
		err := r.Sink.Write(ctx, next)
		next = &repeated
		return err
	})
	if err != nil || tries == 1 && b.Since.IsZero() && r.now().Sub(since) < doubtfulAge {
		return err
	}
	return r.mend(ctx, b, since, doubled)
}

// mend writes rows again that are missing although the batch was written. Rows
// that the destination acknowledges each time and never shows have been taken
// away on purpose: no further try would bring them back.
func (r *Retrying) mend(ctx context.Context, b *Batch, since time.Time, doubled int) error {
	for mend := 1; ; mend++ {
		found, err := r.inspect(ctx, b, since, doubled)
		if err != nil || len(found.Missing) == 0 {
			return err
		}
		doubled = max(doubled, found.Surplus)
		where := []slog.Attr{
			slog.String("sink", r.name), slog.String("topic", b.Topic), slog.Int("partition", b.Partition),
			slog.Int64("first_offset", b.First()), slog.Int64("last_offset", b.Last()), slog.Int("rows", len(found.Missing)),
		}
		if mend > mostMends {
			r.log.LogAttrs(ctx, slog.LevelError, "rows are missing although the destination has acknowledged them each time they were written; they are taken for stored and removed since: look for a TTL, a deletion or a row policy of the table, and if there is none, write them again with connector replay", where...)
			return nil
		}
		r.log.LogAttrs(ctx, slog.LevelWarn, "rows of a batch are missing although it was written, as after a crash of the destination; they are written again", where...)
		r.metrics.Missing.WithLabelValues(r.name, b.Topic).Add(float64(len(found.Missing)))
		rest := b.pick(found.Missing, mend)
		if _, err := r.retry(ctx, rest, func() error { return r.Sink.Write(ctx, rest) }); err != nil {
			return err
		}
	}
}

// inspect has the sink look for the batch, and tells of rows that are stored
// twice, beyond those that are known to be.
func (r *Retrying) inspect(ctx context.Context, b *Batch, since time.Time, doubled int) (found Findings, err error) {
	inspector, able := r.Sink.(Inspector)
	if !able {
		return found, nil
	}
	if _, err = r.retry(ctx, b, func() (err error) {
		found, err = inspector.Inspect(ctx, b, r.now().Sub(since))
		return err
	}); err != nil {
		return found, err
	}
	if more := found.Surplus - doubled; more > 0 {
		r.metrics.Surplus.WithLabelValues(r.name, b.Topic).Add(float64(more))
		r.log.LogAttrs(ctx, slog.LevelError, "rows are stored twice, for the destination had forgotten that it had them; views that collapse resends collapse them too",
			slog.String("sink", r.name), slog.String("topic", b.Topic), slog.Int("partition", b.Partition),
			slog.Int64("first_offset", b.First()), slog.Int64("last_offset", b.Last()), slog.Int("rows", more))
	}
	return found, nil
}

// retry tries until there is no error, or one that no try can mend.
func (r *Retrying) retry(ctx context.Context, b *Batch, attempt func() error) (tries int, err error) {
	wait := &backoff.ExponentialBackOff{
		InitialInterval: r.cfg.InitialInterval, MaxInterval: r.cfg.MaxInterval,
		Multiplier: backoff.DefaultMultiplier, RandomizationFactor: backoff.DefaultRandomizationFactor,
	}
	wait.Reset()
	where := fmt.Sprintf("%s/%d", b.Topic, b.Partition)
	defer r.recovered(where)
	for {
		tries++
		if err = attempt(); err == nil {
			return tries, nil
		}
		if _, permanent := IsPermanent(err); permanent {
			r.metrics.Errors.WithLabelValues(r.name, "permanent").Inc()
			return tries, err
		}
		if ctx.Err() != nil {
			return tries, fmt.Errorf("sink %s: batch %s abandoned: %w", r.name, b.Token(), err)
		}
		r.metrics.Errors.WithLabelValues(r.name, "transient").Inc()
		pause := r.atLeast(wait.NextBackOff(), err)
		r.failed(where, err)
		r.log.LogAttrs(ctx, slog.LevelWarn, "a batch could not be written and will be tried again; nothing is lost",
			slog.String("sink", r.name), slog.String("topic", b.Topic), slog.Int("partition", b.Partition),
			slog.Int64("first_offset", b.First()), slog.Int64("last_offset", b.Last()),
			slog.Duration("again_in", pause.Round(time.Millisecond)), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return tries, fmt.Errorf("sink %s: batch %s abandoned: %w", r.name, b.Token(), err)
		case <-time.After(pause):
		}
	}
}

// atLeast returns the pause, or a longer one that the error asks for.
func (r *Retrying) atLeast(pause time.Duration, err error) time.Duration {
	delayed, ok := errors.AsType[Delayed](err)
	if !ok {
		return pause
	}
	return max(pause, min(delayed.RetryAfter(), max(mostDelay, r.cfg.MaxInterval)))
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
