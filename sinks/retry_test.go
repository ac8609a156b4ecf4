package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"loyaltyhouse/sinks"
)

// script is a sink that answers each Write with the next of its errors, and
// the last one for ever.
type script struct {
	errs  []error
	times []time.Time
}

func (s *script) Write(context.Context, *sinks.Batch) error {
	s.times = append(s.times, time.Now())
	err := s.errs[0]
	if len(s.errs) > 1 {
		s.errs = s.errs[1:]
	}
	return err
}

func (s *script) Ping(context.Context) error { return nil }
func (s *script) Close() error               { return nil }

var errAway = errors.New("the destination is away")

func retrying(s sinks.Sink) (*sinks.Retrying, sinks.RetryMetrics) {
	metrics, err := sinks.NewRetryMetrics(prometheus.NewRegistry())
	if err != nil {
		panic(err) // An empty registry takes them.
	}
	cfg := sinks.RetryConfig{InitialInterval: time.Second, MaxInterval: 10 * time.Second}
	return sinks.Retry(s, "test", cfg, metrics, slog.New(slog.DiscardHandler), time.Now), metrics
}

func TestRetryWaitsLongerEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &script{errs: []error{errAway, errAway, errAway, errAway, errAway, errAway, errAway, errAway, errAway, nil}}
		r, metrics := retrying(s)
		if err := r.Write(t.Context(), batch(1)); err != nil {
			t.Fatal(err)
		}
		if len(s.times) != 10 {
			t.Fatalf("Write was tried %d times, want 10", len(s.times))
		}
		// Each wait is varied by half around one that grows by half up to the bound.
		around := time.Second
		for i := 1; i < len(s.times); i++ {
			wait := s.times[i].Sub(s.times[i-1])
			if wait < around/2 || wait > around*3/2+time.Millisecond {
				t.Errorf("wait %d is %s, want %s or half of it more or less", i, wait, around)
			}
			around = min(around*3/2, 10*time.Second)
		}
		if n := testutil.ToFloat64(metrics.Errors.WithLabelValues("test", "transient")); n != 9 {
			t.Errorf("%v transient errors are counted, want 9", n)
		}
	})
}

// askingFor is an error that asks for a pause.
type askingFor time.Duration

func (a askingFor) Error() string             { return "too many requests" }
func (a askingFor) RetryAfter() time.Duration { return time.Duration(a) }

func TestRetryWaitsAsLongAsItIsAskedTo(t *testing.T) {
	for _, test := range []struct {
		asked, least, most time.Duration
	}{
		{-time.Minute, time.Second / 2, time.Second * 3 / 2},
		{0, time.Second / 2, time.Second * 3 / 2},
		{time.Millisecond, time.Second / 2, time.Second * 3 / 2},
		{time.Minute, time.Minute, time.Minute},
		{1000 * time.Hour, 10 * time.Minute, 10 * time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &script{errs: []error{fmt.Errorf("around: %w", askingFor(test.asked)), nil}}
			r, _ := retrying(s)
			if err := r.Write(t.Context(), batch(1)); err != nil {
				t.Fatal(err)
			}
			if wait := s.times[1].Sub(s.times[0]); wait < test.least || wait > test.most+time.Millisecond {
				t.Errorf("asked for %s it waits %s", test.asked, wait)
			}
		})
	}
}

func TestRetryPassesPermanentErrors(t *testing.T) {
	s := &script{errs: []error{sinks.Permanent(sinks.RowRefused, 4, errAway)}}
	r, metrics := retrying(s)
	permanent, ok := sinks.IsPermanent(r.Write(t.Context(), batch(1)))
	if !ok || permanent.Index != 4 || len(s.times) != 1 {
		t.Errorf("after %d tries Write returns %v", len(s.times), permanent)
	}
	if n := testutil.ToFloat64(metrics.Errors.WithLabelValues("test", "permanent")); n != 1 {
		t.Errorf("%v permanent errors are counted, want 1", n)
	}
	if err := r.Ready(); err != nil {
		t.Errorf("a row that is refused makes the sink unready: %v", err)
	}
}

func TestRetryEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := retrying(&script{errs: []error{errAway}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		err := r.Write(ctx, batch(7, 8))
		if _, permanent := sinks.IsPermanent(err); permanent || !errors.Is(err, errAway) {
			t.Errorf("Write returns %v, want the destination's error", err)
		}
		if want := "sink test: batch loyalty.points/2/7-8@1007 abandoned: "; !strings.HasPrefix(err.Error(), want) {
			t.Errorf("the error reads %q, want it to begin with %q", err, want)
		}
	})
}

func TestReadyTellsWhatFailsAndSinceWhen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, _ := retrying(&script{errs: []error{errAway, errAway, errAway, nil}})
		if err := r.Ready(); err != nil {
			t.Errorf("before the first batch Ready returns %v", err)
		}
		began := time.Now().UTC().Format(time.RFC3339)
		done := make(chan error)
		go func() { done <- r.Write(t.Context(), batch(1)) }()
		for range 3 {
			time.Sleep(100 * time.Millisecond) // Of the bubble's clock.
			if err := r.Ready(); !errors.Is(err, errAway) || !strings.Contains(err.Error(), "loyalty.points/2 cannot be written since "+began) {
				t.Errorf("Ready returns %v, want since %s", err, began)
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := r.Ready(); err != nil {
			t.Errorf("after the batch is written Ready returns %v", err)
		}
	})
}

// Each partition has been failing for a time of its own.
func TestReadyTellsTheTimeOfThePartitionThatFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &byPartition{fails: map[int]bool{2: true, 3: true}}
		r, _ := retrying(s)
		first, second := batch(1), batch(1)
		second.Partition = 3
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		written := make(chan error, 2)
		go func() { written <- r.Write(ctx, first) }()
		time.Sleep(time.Hour)
		since := time.Now().UTC().Format(time.RFC3339)
		other, stop := context.WithCancel(ctx)
		go func() { written <- r.Write(other, second) }()
		synctest.Wait()
		defer stop()
		s.mend(2)
		if err := <-written; err != nil {
			t.Error(err)
		}
		if err := r.Ready(); err == nil || !strings.Contains(err.Error(), "loyalty.points/3 cannot be written since "+since) {
			t.Errorf("Ready returns %v, want since %s", err, since)
		}
		stop()
		if err := <-written; !errors.Is(err, errAway) {
			t.Errorf("Write returns %v, want the destination's error", err)
		}
	})
}

func TestRetryConfigValidate(t *testing.T) {
	if err := sinks.DefaultRetryConfig().Validate(); err != nil {
		t.Error(err)
	}
	err := sinks.RetryConfig{InitialInterval: 0, MaxInterval: -1}.Validate()
	want := "initial_interval: must be above 0, is 0s\nmax_interval: must be at least initial_interval (0s), is -1ns"
	if err == nil || err.Error() != want {
		t.Errorf("Validate says %v, want %s", err, want)
	}
}

// byPartition fails the batches of some partitions.
type byPartition struct {
	mu    sync.Mutex
	fails map[int]bool
}

func (s *byPartition) Write(_ context.Context, b *sinks.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fails[b.Partition] {
		return errAway
	}
	return nil
}

func (s *byPartition) mend(partition int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fails[partition] = false
}

func (s *byPartition) Ping(context.Context) error { return nil }
func (s *byPartition) Close() error               { return nil }
