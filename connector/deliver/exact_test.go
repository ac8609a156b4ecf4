package deliver_test

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"loyaltyhouse/connector/deliver"
	"loyaltyhouse/sinks"
)

// A warehouse stores a token's rows once, as ClickHouse does.
type warehouse struct {
	recorder

	mu     sync.Mutex
	tokens map[string]bool
}

func (w *warehouse) Write(ctx context.Context, b *sinks.Batch) error {
	w.mu.Lock()
	known := w.tokens[b.Token()]
	w.mu.Unlock()
	if known {
		return nil
	}
	if err := w.recorder.Write(ctx, b); err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tokens == nil {
		w.tokens = map[string]bool{}
	}
	w.tokens[b.Token()] = true
	return nil
}

// A dying sink hands batches to the warehouse until its process dies: before
// the write, after it, or not at all.
type dying struct {
	*warehouse
	fate func() (dies, stores bool)
	died chan struct{}
	once sync.Once
}

func (d *dying) Write(ctx context.Context, b *sinks.Batch) error {
	dies, stores := d.fate()
	if !dies || stores {
		if err := d.warehouse.Write(ctx, b); err != nil {
			return err
		}
	}
	if !dies {
		return nil
	}
	d.once.Do(func() { close(d.died) })
	<-ctx.Done()
	return ctx.Err()
}

// Whoever takes a partition over forms the range again that was under way,
// though more has come since and its own batches are smaller.
func TestTakeOverWritesTheSameRange(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 10, 10)
	w := &warehouse{}
	first := &dying{warehouse: w, fate: func() (bool, bool) { return true, true }, died: make(chan struct{})}
	r := b.deliver(t, "s", first, func(m *making) { m.finish = time.Millisecond })
	<-first.died
	r.stop()
	b.publish(t, 10, 25, 10)
	b.deliver(t, "s", w, func(m *making) { m.cfg.Batch.MaxRows = 3 })
	b.expectCommitted(t, "s", 35)
	w.expectEachOnce(t, numbers(0, 35))
}

// However often a process dies, and wherever, each row is stored once.
func TestEachRowIsStoredOnceThroughCrashes(t *testing.T) {
	const crashes, perLife = 15, 20
	rng := rand.New(rand.NewPCG(3, 4)) //nolint:gosec // The crashes must be the same in every run, not secret.
	var mu sync.Mutex
	chance := func(n int) bool {
		mu.Lock()
		defer mu.Unlock()
		return rng.IntN(n) == 0
	}
	b := newBench(t, 1)
	w := &warehouse{}
	for life := range crashes {
		b.publish(t, life*perLife, perLife, 10)
		sink := &dying{warehouse: w, died: make(chan struct{}), fate: func() (dies, stores bool) { return chance(2), chance(2) }}
		rows := 1 + rng.IntN(7)
		r := b.deliver(t, "s", sink, func(m *making) { m.finish, m.cfg.Batch.MaxRows = time.Millisecond, rows })
		select {
		case <-sink.died:
		case <-time.After(time.Second): // It was lucky.
		}
		r.stop()
	}
	b.deliver(t, "s", w)
	b.expectCommitted(t, "s", crashes*perLife)
	w.expectEachOnce(t, numbers(0, crashes*perLife))
}

// A member whose generation has passed is refused the intent, and does not write.
func TestFencedMemberDoesNotWrite(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 10, 10)
	var refused bool
	b.cluster.ControlKey(int16(kmsg.OffsetCommit), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.cluster.KeepControl()
		commit, _ := request.(*kmsg.OffsetCommitRequest)
		if refused || commit.Group != (deliver.Config{Sink: "s"}).Group() {
			return nil, nil, false
		}
		refused = true
		response, _ := commit.ResponseKind().(*kmsg.OffsetCommitResponse)
		for _, topic := range commit.Topics {
			answer := kmsg.NewOffsetCommitResponseTopic()
			answer.Topic = topic.Topic
			for _, partition := range topic.Partitions {
				p := kmsg.NewOffsetCommitResponseTopicPartition()
				p.Partition, p.ErrorCode = partition.Partition, kerr.IllegalGeneration.Code
				answer.Partitions = append(answer.Partitions, p)
			}
			response.Topics = append(response.Topics, answer)
		}
		return response, nil, true
	})
	writes := make(chan bool, 100)
	sink := &recorder{before: func(context.Context, *sinks.Batch) error {
		writes <- refused
		return nil
	}}
	b.deliver(t, "s", sink)
	b.expectCommitted(t, "s", 10)
	sink.expectEachOnce(t, numbers(0, 10))
	if !<-writes {
		t.Error("the sink was written before the intent was accepted")
	}
}

// A pending range that is not in the topic as it was is told, and what is there
// is delivered.
func TestChangedRangeIsNoticed(t *testing.T) {
	for name, metadata := range map[string]string{
		"longer than the log":   `{"v":1,"first":0,"last":50,"records":51}`,
		"with fewer records":    `{"v":1,"first":0,"last":9,"records":8}`,
		"that begins elsewhere": `{"v":1,"first":2,"last":9,"records":8}`,
	} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1)
			b.publish(t, 0, 10, 10)
			b.commit(t, "s", 0, metadata)
			registry := prometheus.NewRegistry()
			sink := &recorder{}
			b.deliver(t, "s", sink, func(m *making) { m.registry = registry })
			b.expectCommitted(t, "s", 10)
			sink.expectEachOnce(t, numbers(0, 10))
			if got := gauge(t, registry, "loyaltyhouse_sink_changed_ranges_total"); got != 1 {
				t.Errorf("%v changed ranges are counted, want 1", got)
			}
		})
	}
}

// Metadata of another program, or of an operator, is no intent.
func TestForeignMetadataIsNoIntent(t *testing.T) {
	for _, metadata := range []string{"", "reset by hand", "{}", `{"v":2,"first":0,"last":9,"records":10}`, `{"v":1,"first":9,"last":0,"records":10}`} {
		b := newBench(t, 1)
		b.publish(t, 0, 10, 10)
		b.commit(t, "s", 4, metadata)
		registry := prometheus.NewRegistry()
		sink := &recorder{}
		b.deliver(t, "s", sink, func(m *making) { m.registry = registry })
		b.expectCommitted(t, "s", 10)
		sink.expectEachOnce(t, numbers(4, 6))
		if gauge(t, registry, "loyaltyhouse_sink_changed_ranges_total") > 0 {
			t.Errorf("metadata %q is taken for an intent", metadata)
		}
	}
}

// commit commits for the sink's group, which must have no members.
func (b *bench) commit(t *testing.T, sink string, offset int64, metadata string) {
	t.Helper()
	response, err := b.raw.OffsetCommit(t.Context(), &kafkago.OffsetCommitRequest{
		GroupID: deliver.Config{Sink: sink}.Group(), GenerationID: -1,
		Topics: map[string][]kafkago.OffsetCommit{topic: {{Partition: 0, Offset: offset, Metadata: metadata}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			t.Fatal(p.Error)
		}
	}
}

// A topic that was made anew has another record before the committed offset. It
// is noticed, and everything in it is delivered.
func TestTopicMadeAnewIsDeliveredFromItsStart(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 10, 10)
	for name, test := range map[string]struct {
		offset   int64
		metadata string
	}{
		"shorter":                  {20, `{"v":1,"before":1700000000000}`},
		"longer":                   {5, `{"v":1,"before":1700000000000}`},
		"with a range under way":   {5, `{"v":1,"before":1700000000000,"first":5,"last":9,"records":5}`},
		"as long as what was read": {10, `{"v":1,"before":1700000000000}`},
	} {
		t.Run(name, func(t *testing.T) {
			group := "s-" + strconv.FormatInt(test.offset, 10) + "-" + strconv.Itoa(len(test.metadata))
			b.commit(t, group, test.offset, test.metadata)
			registry := prometheus.NewRegistry()
			sink := &recorder{}
			b.deliver(t, group, sink, func(m *making) { m.registry = registry })
			b.expectCommitted(t, group, 10)
			until(t, "all rows are stored", func() bool { return len(sink.ids()) == 10 })
			sink.expectEachOnce(t, numbers(0, 10))
			if got := gauge(t, registry, "loyaltyhouse_sink_changed_ranges_total"); got != 1 {
				t.Errorf("%v changes are counted, want 1", got)
			}
		})
	}
}

// A topic that is made anew under a running member, and is longer already than it
// was, has other records where those that were delivered had been.
func TestTopicMadeAnewUnderAMemberIsDeliveredFromItsStart(t *testing.T) {
	for name, noticed := range map[string]bool{"the broker lacks the offset at first": true, "the broker has the offset": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t, 1)
			b.publish(t, 0, 10, 10)
			sink := &recorder{}
			b.deliver(t, "s", sink)
			b.expectCommitted(t, "s", 10)

			// The member hears nothing of the topic while it changes.
			away := b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.NotLeaderForPartition, Count: -1})
			if err := away.Wait(t.Context(), 1); err != nil {
				t.Fatal(err)
			}
			if err := b.cluster.DeleteTopic(topic); err != nil {
				t.Fatal(err)
			}
			if err := b.cluster.CreateTopic(topic, 1, nil); err != nil {
				t.Fatal(err)
			}
			b.publish(t, 10, 12, 10)
			if noticed {
				b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Topic: topic, Err: kerr.OffsetOutOfRange})
			}
			away.Remove()

			b.expectCommitted(t, "s", 12)
			sink.expectEachOnce(t, numbers(0, 22))
		})
	}
}

// A group that goes on in the same topic delivers only what is new.
func TestSameTopicGoesOn(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 10, 10)
	sink := &recorder{}
	r := b.deliver(t, "s", sink)
	b.expectCommitted(t, "s", 10)
	r.stop()
	b.publish(t, 10, 5, 10)
	registry := prometheus.NewRegistry()
	b.deliver(t, "s", sink, func(m *making) { m.registry = registry })
	b.expectCommitted(t, "s", 15)
	sink.expectEachOnce(t, numbers(0, 15))
	if gauge(t, registry, "loyaltyhouse_sink_changed_ranges_total") > 0 {
		t.Error("the same topic is taken for another")
	}
}

// A contract that changed while a range was under way is noticed; the range is
// written under its token all the same.
func TestChangedContractIsNoticed(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 10, 10)
	b.commit(t, "s", 0, `{"v":1,"first":0,"last":3,"records":4,"table":"raw_webhooks","shape":"00000000"}`)
	registry := prometheus.NewRegistry()
	sink := &recorder{}
	b.deliver(t, "s", sink, func(m *making) { m.registry = registry })
	b.expectCommitted(t, "s", 10)
	sink.expectEachOnce(t, numbers(0, 10))
	if got := gauge(t, registry, "loyaltyhouse_sink_changed_contracts_total"); got != 1 {
		t.Errorf("%v changed contracts are counted, want 1", got)
	}
	if len(sink.tokens) == 0 || !strings.HasPrefix(sink.tokens[0], topic+"/0/0-3@") {
		t.Errorf("the tokens are %v, want that of the range that was announced first", sink.tokens)
	}
}

// The sink is told since when a range may have been written.
func TestResumedRangeSaysSinceWhen(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 10, 10)
	b.commit(t, "s", 0, `{"v":1,"first":0,"last":3,"records":4,"at":1700000000123}`)
	var mu sync.Mutex
	var since []int64
	sink := &recorder{before: func(_ context.Context, batch *sinks.Batch) error {
		mu.Lock()
		defer mu.Unlock()
		if batch.Since.IsZero() {
			since = append(since, 0)
		} else {
			since = append(since, batch.Since.UnixMilli())
		}
		return nil
	}}
	b.deliver(t, "s", sink)
	b.expectCommitted(t, "s", 10)
	mu.Lock()
	defer mu.Unlock()
	if len(since) < 2 || since[0] != 1700000000123 || since[1] != 0 {
		t.Errorf("the batches may have been written since %v, want 1700000000123 for the first alone", since)
	}
}
