package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"loyaltyhouse/sinks"
)

// A leaky sink knows tokens, and may lose rows that it has acknowledged.
type leaky struct {
	loses  func(offset int64) bool // asked for each row of a write; nil loses nothing
	fails  int                     // so many writes fail, though their rows are stored
	takes  time.Duration
	stored map[int64]int
	tokens map[string]bool
	ages   []time.Duration // of what was inspected
	writes int
}

func (l *leaky) Write(_ context.Context, b *sinks.Batch) error {
	time.Sleep(l.takes)
	l.writes++
	if !l.tokens[b.Token()] {
		l.tokens[b.Token()] = true
		for _, r := range b.Records {
			if l.loses == nil || !l.loses(r.Offset) {
				l.stored[r.Offset]++
			}
		}
	}
	if l.fails--; l.fails >= 0 {
		return errors.New("the answer was lost")
	}
	return nil
}

func (l *leaky) Inspect(_ context.Context, b *sinks.Batch, age time.Duration) (found sinks.Findings, err error) {
	l.ages = append(l.ages, age)
	for i, r := range b.Records {
		if n := l.stored[r.Offset]; n > 0 {
			found.Surplus += n - 1
		} else {
			found.Missing = append(found.Missing, i)
		}
	}
	return found, nil
}

func (l *leaky) Ping(context.Context) error { return nil }
func (l *leaky) Close() error               { return nil }

func newLeaky() *leaky { return &leaky{stored: map[int64]int{}, tokens: map[string]bool{}} }

func (l *leaky) expectEachOnce(t *testing.T, b *sinks.Batch) {
	t.Helper()
	for _, r := range b.Records {
		if n := l.stored[r.Offset]; n != 1 {
			t.Errorf("offset %d is stored %d times", r.Offset, n)
		}
	}
}

func TestNewBatchIsNotLookedFor(t *testing.T) {
	s := newLeaky()
	r, _ := retrying(s)
	if err := r.Write(t.Context(), batch(1, 2, 3, 4)); err != nil {
		t.Fatal(err)
	}
	if len(s.ages) > 0 {
		t.Error("a batch that was written at the first try was looked for")
	}
}

// Rows that a crash of the destination has cost are written again, and
// nothing else is.
func TestMissingRowsOfARepeatedBatchAreMended(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeaky()
		s.fails = 1
		lost := map[int64]int{2: 1, 5: 3} // offset 5 is lost twice more when it is mended
		s.loses = func(offset int64) bool {
			lost[offset]--
			return lost[offset] >= 0
		}
		b := batch(1, 2, 3, 4, 5, 6)
		r, metrics := retrying(s)
		if err := r.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.expectEachOnce(t, b)
		if n := testutil.ToFloat64(metrics.Missing.WithLabelValues("test", b.Topic)); n != 2+1+1 {
			t.Errorf("%v missing rows are counted, want 4", n)
		}
		if len(s.tokens) != 4 {
			t.Errorf("the tokens are %v, want one of the batch and one of each mend", s.tokens)
		}
	})
}

// Rows that never show although they are acknowledged, as where a TTL removes
// them, hold nothing up, and are not told to have been mended.
func TestRowsThatNeverShowAreGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeaky()
		s.fails = 1
		s.loses = func(offset int64) bool { return offset == 2 }
		s.stored[3] = 1 // It is doubled.
		metrics, err := sinks.NewRetryMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		var log bytes.Buffer
		r := sinks.Retry(s, "test", sinks.RetryConfig{InitialInterval: time.Second, MaxInterval: time.Second}, metrics, slog.New(slog.NewTextHandler(&log, nil)), time.Now)
		b := batch(1, 2, 3)
		if err := r.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if s.stored[2] != 0 || s.writes != 2+3 {
			t.Errorf("the row was written with %d writes", s.writes)
		}
		if n := testutil.ToFloat64(metrics.Missing.WithLabelValues("test", b.Topic)); n != 3 {
			t.Errorf("%v rows are counted that were written again, want 3", n)
		}
		if n := testutil.ToFloat64(metrics.Surplus.WithLabelValues("test", b.Topic)); n != 1 {
			t.Errorf("%v doubled rows are counted, want 1", n)
		}
		if said := log.String(); strings.Count(said, "level=ERROR msg=\"rows are missing although") != 1 || !strings.Contains(said, "first_offset=1 last_offset=3 rows=1") {
			t.Errorf("the log does not say which rows were given up:\n%s", said)
		}
	})
}

// A batch of long ago is not written at all when it is there: its token may be
// forgotten.
func TestOldBatchThatIsStoredIsNotWritten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeaky()
		r, metrics := retrying(s)
		b := batch(1, 2, 3, 4)
		if err := r.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		clear(s.tokens)
		b.Since = time.Now()
		time.Sleep(time.Hour)
		if err := r.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		s.expectEachOnce(t, b)
		if s.writes != 1 {
			t.Errorf("the batch was written %d times", s.writes)
		}
		if !slices.Equal(s.ages, []time.Duration{time.Hour}) {
			t.Errorf("it was looked for at the ages %v", s.ages)
		}

		// Of a range that is partly there and forgotten, rows are doubled: that is told.
		delete(s.stored, 3)
		if err := r.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
		if n := testutil.ToFloat64(metrics.Surplus.WithLabelValues("test", b.Topic)); n != 3 {
			t.Errorf("%v doubled rows are counted, want 3", n)
		}
	})
}

// A process that slept in the middle of a write looks whether its range has
// been stored twice meanwhile.
func TestSlowWriteIsLookedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newLeaky()
		s.takes = 2 * time.Minute
		r, _ := retrying(s)
		if err := r.Write(t.Context(), batch(3)); err != nil {
			t.Fatal(err)
		}
		if len(s.ages) != 1 {
			t.Errorf("it was looked for %d times", len(s.ages))
		}
	})
}
