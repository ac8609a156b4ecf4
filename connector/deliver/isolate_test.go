package deliver

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// picky is a sink that refuses batches with a poisonous row, and tells the
// first one's position or not.
type picky struct {
	poison map[int64]bool
	tells  bool
	stored []int64
	writes int
}

func (p *picky) Write(_ context.Context, b *sinks.Batch) error {
	p.writes++
	for i, r := range b.Records {
		if p.poison[r.Offset] {
			if !p.tells {
				i = -1
			}
			return sinks.Permanent(sinks.RowRefused, i, errors.New("poison"))
		}
	}
	for _, r := range b.Records {
		p.stored = append(p.stored, r.Offset)
	}
	return nil
}

func (p *picky) Ping(context.Context) error { return nil }
func (p *picky) Close() error               { return nil }

// letters collects dead letters.
type letters struct {
	table *schema.Table
	rows  []schema.Row
}

func (l *letters) Publish(_ context.Context, messages ...kafka.Message) error {
	for _, m := range messages {
		row := make(schema.Row, len(l.table.Columns))
		if err := schema.NewDecoder(l.table).Decode(m.Value, row); err != nil {
			return err
		}
		l.rows = append(l.rows, row)
	}
	return nil
}

// Whatever rows of a batch are poisonous, they alone become dead letters, and
// every other row is stored once, in order.
func TestPoisonIsIsolated(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 200).Draw(rt, "rows")
		offsets := rapid.SliceOfNDistinct(rapid.Int64Range(0, 1000), n, n, rapid.ID).Draw(rt, "offsets")
		slices.Sort(offsets)
		poisonous := rapid.SliceOfDistinct(rapid.SampledFrom(offsets), rapid.ID).Draw(rt, "poison")
		slices.Sort(poisonous)
		sink := &picky{poison: map[int64]bool{}, tells: rapid.Bool().Draw(rt, "tells")}
		for _, offset := range poisonous {
			sink.poison[offset] = true
		}
		dead := &letters{table: schema.DeadLetters()}
		w := newWorker(t, schema.RawWebhooks(), sink, dead)
		w.hold(offsets...)
		if err := w.deliver(t.Context(), time.Time{}); err != nil {
			rt.Fatal(err)
		}
		if w.committed != offsets[n-1]+1 {
			rt.Fatalf("offset %d is committed, want %d", w.committed, offsets[n-1]+1)
		}
		clean := slices.DeleteFunc(slices.Clone(offsets), func(o int64) bool { return sink.poison[o] })
		if !slices.Equal(sink.stored, clean) {
			rt.Fatalf("stored are %v, want %v", sink.stored, clean)
		}
		var refused []int64
		for _, row := range dead.rows {
			refused = append(refused, row[dead.table.Index("kafka_offset")].Int)
		}
		if !slices.Equal(refused, poisonous) {
			rt.Fatalf("dead letters are %v, want %v", refused, poisonous)
		}
		if most := 4*len(poisonous) + 1; sink.tells && sink.writes > most {
			rt.Fatalf("%d writes for %d poisonous rows whose positions are told, want at most %d", sink.writes, len(poisonous), most)
		}
	})
}

func TestErrorOfAPartOfTheBatchStopsIt(t *testing.T) {
	away := errors.New("away")
	sink := &failing{after: 2, err: away}
	w := newWorker(t, schema.RawWebhooks(), sink, &letters{table: schema.DeadLetters()})
	w.hold(0, 1, 2, 3, 4, 5, 6, 7)
	if err := w.deliver(t.Context(), time.Time{}); !errors.Is(err, away) {
		t.Errorf("deliver returns %v, want %v", err, away)
	}
}

// A dead letter that the sink refuses is tried again until it is taken: a dead
// letter of a dead letter would be refused too, and hold the one before.
func TestRefusedDeadLetterIsTriedAgain(t *testing.T) {
	for _, reason := range []string{sinks.RowRefused, sinks.FilterFailed} {
		synctest.Test(t, func(t *testing.T) {
			sink := &failing{after: 3, reason: reason}
			published := &letters{table: schema.DeadLetters()}
			w := newWorker(t, schema.DeadLetters(), sink, published)
			w.hold(7)
			ended := make(chan error, 1)
			go func() { ended <- w.deliver(t.Context(), time.Time{}) }()
			synctest.Wait()
			if err := w.Ready(); err == nil || !strings.Contains(err.Error(), "loyalty.dead_letters/0 stands still since ") || !strings.Contains(err.Error(), "the dead letter at offset 7") {
				t.Errorf("while it is refused Ready returns %v", err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
			if err := w.Ready(); err != nil {
				t.Errorf("when it is taken Ready returns %v", err)
			}
			if sink.after != -1 {
				t.Errorf("the sink was asked %d times, want 4", 3-sink.after)
			}
			if len(published.rows) > 0 {
				t.Errorf("dead letters of a dead letter: %v", published.rows)
			}

			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			w.hold(8)
			sink.after = 1000
			if err := w.deliver(ctx, time.Time{}); !errors.Is(err, context.Canceled) {
				t.Errorf("deliver returns %v when its time is over", err)
			}
		})
	}
}

// failing calls the first batches permanent errors, and then fails.
type failing struct {
	picky
	after  int
	reason string // row_refused where it is empty
	err    error
}

func (f *failing) Write(context.Context, *sinks.Batch) error {
	if f.after--; f.after >= 0 {
		return sinks.Permanent(cmp.Or(f.reason, sinks.RowRefused), -1, errors.New("poison"))
	}
	return f.err
}

func newWorker(t *testing.T, table *schema.Table, sink sinks.Sink, publisher Publisher) *worker {
	t.Helper()
	m, err := NewMetrics(prometheus.NewRegistry(), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	d := New(Config{Sink: "test", TopicPrefix: "loyalty.", Tables: []*schema.Table{table}, Batch: DefaultBatchConfig()},
		sink, nil, publisher, m, slog.New(slog.DiscardHandler), time.Now)
	return &worker{Deliverer: d, p: willing{}, topic: "loyalty." + table.Topic, table: table, log: d.log}
}

// hold fills the worker's batch with records of these offsets.
func (w *worker) hold(offsets ...int64) {
	for _, offset := range offsets {
		w.batch.add(kafka.Record{Offset: offset, Value: []byte("{}")}, w.now())
	}
}

// willing is a partition that takes every commit.
type willing struct{ partition }

func (willing) Commit(context.Context, int64, string) error { return nil }
func (willing) End(context.Context) (int64, error)          { return 0, nil }
