package deliver

import (
	"errors"
	"fmt"
	"time"

	"loyaltyhouse/connector/kafka"
)

// BatchConfig says when a batch is full: whichever comes first.
type BatchConfig struct {
	MaxRows  int `yaml:"max_rows"`
	MaxBytes int `yaml:"max_bytes"`
	// MaxAge is how long the first row of a batch waits for more.
	MaxAge time.Duration `yaml:"max_age"`
	// BufferBytes bounds the records that all partitions of the sink hold
	// together. Past it, a partition writes what it has, and goes on with batches
	// of at most one fetch (1 MiB), which do not count.
	BufferBytes int64 `yaml:"buffer_bytes"`
}

// DefaultBatchConfig returns the defaults.
func DefaultBatchConfig() BatchConfig {
	return BatchConfig{MaxRows: 50_000, MaxBytes: 8 << 20, MaxAge: time.Second, BufferBytes: 24 << 20}
}

// Validate reports what cannot work. Each error begins with the key.
func (c BatchConfig) Validate() error {
	var errs []error
	if c.MaxRows < 1 {
		errs = append(errs, fmt.Errorf("max_rows: must be at least 1, is %d", c.MaxRows))
	}
	if c.MaxBytes < 1 {
		errs = append(errs, fmt.Errorf("max_bytes: must be at least 1, is %d", c.MaxBytes))
	}
	if c.MaxAge <= 0 {
		errs = append(errs, fmt.Errorf("max_age: must be above 0, is %s", c.MaxAge))
	}
	if c.BufferBytes < int64(c.MaxBytes) {
		errs = append(errs, fmt.Errorf("buffer_bytes: must be at least max_bytes (%d), is %d", c.MaxBytes, c.BufferBytes))
	}
	return errors.Join(errs...)
}

// A batcher is a plain accumulator of one partition's records.
type batcher struct {
	cfg     BatchConfig
	records []kafka.Record
	bytes   int
	oldest  time.Time // when the first record was added
}

func (b *batcher) add(r kafka.Record, now time.Time) {
	if len(b.records) == 0 {
		b.oldest = now
	}
	b.records = append(b.records, r)
	b.bytes += len(r.Value)
}

// due reports whether the batch should be written now. A clock that was set
// back must not keep it waiting.
func (b *batcher) due(now time.Time) bool {
	age := now.Sub(b.oldest)
	return len(b.records) > 0 && (b.full() || age >= b.cfg.MaxAge || age < 0)
}

func (b *batcher) full() bool { return len(b.records) >= b.cfg.MaxRows || b.bytes >= b.cfg.MaxBytes }

func (b *batcher) reset() {
	clear(b.records)
	b.records, b.bytes = b.records[:0], 0
}
