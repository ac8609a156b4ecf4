package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"loyaltyhouse/connector/kafka"
)

// The broker stores a message and its answer is lost: the retry stores it a
// second time, and the caller hears of one success.
func TestAnswerToAProduceIsLost(t *testing.T) {
	t.Parallel()
	b := startNodes(t, 1)
	l := newLink(t, b)
	client := b.join(t, 1, kafka.Options{Dial: l.dial})
	producer := newProducer(t, client)
	publish(t, producer, message("a", 0)) // So that the connection is there.
	// kafka-go gives a connection back a moment after the answer. A new one would
	// wait for the answer to its first words, and never send the message.
	time.Sleep(200 * time.Millisecond)

	l.poison(t, `{"name": "deaf", "type": "timeout", "stream": "downstream"}`)
	published := make(chan error, 1)
	go func() { published <- producer.Publish(testContext(t), message("a", 1)) }()
	eventually(t, "the message is stored", func() bool { return b.PartitionInfo(testTopic, 0).HighWatermark == 2 })
	select {
	case err := <-published:
		t.Fatalf("Publish returned %v without an answer", err)
	default:
	}
	l.Stop()
	l.heal(t, "deaf")
	l.connect(t)
	if err := <-published; err != nil {
		t.Error(err)
	}
	expectValues(t, read(t, client, 3)[0], "a/0", "a/1", "a/1")
}

func expectValues(t *testing.T, records []kafka.Record, want ...string) {
	t.Helper()
	var got []string
	for _, record := range records {
		got = append(got, string(record.Value))
	}
	if !slices.Equal(got, want) {
		t.Errorf("stored are %v, want %v", got, want)
	}
}

// What passes by itself is tried again, until it works or the caller's time is
// over; then the error says why.
func TestAnswersThatPass(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		answer *kerr.Error
		reason kafka.Reason
	}{
		{kerr.NotEnoughReplicas, kafka.ReasonNotEnoughReplicas},
		{kerr.KafkaStorageError, kafka.ReasonUnavailable}, // As with a full disk.
		{kerr.NotLeaderForPartition, kafka.ReasonUnavailable},
		{kerr.LeaderNotAvailable, kafka.ReasonUnavailable},
		{kerr.NetworkException, kafka.ReasonUnavailable},
		{kerr.UnknownTopicOrPartition, kafka.ReasonUnknownTopic},
	} {
		t.Run(test.answer.Message, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			client := newTopic(t, b, 1)
			producer := newProducer(t, client)
			fault := refuseProduce(b, test.answer, -1)
			// An attempt that the end of the time interrupts has no answer to tell of.
			eventually(t, "the error has the reason "+string(test.reason), func() bool {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				defer cancel()
				err := producer.Publish(ctx, message("a", 0))
				var failure *kafka.PublishError
				if !errors.As(err, &failure) || !errors.Is(err, kafka.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
					t.Fatalf("when its time is over Publish returns %v", err)
				}
				return failure.Reason == test.reason
			})

			published := make(chan error, 1)
			hits := fault.Hits()
			go func() { published <- producer.Publish(testContext(t), message("a", 1)) }()
			if err := fault.Wait(testContext(t), hits+3); err != nil {
				t.Fatal(err)
			}
			fault.Remove()
			if err := <-published; err != nil {
				t.Error(err)
			}
			expectValues(t, read(t, client, 1)[0], "a/1")
		})
	}
}

// However often connections are cut, wherever in a request or its answer: what
// was acknowledged is there, in the order of its key.
func TestConnectionsAreCutWhileProducing(t *testing.T) {
	t.Parallel()
	for name, toxic := range map[string]string{
		"on the way there": `{"type": "limit_data", "stream": "upstream", "attributes": {"bytes": 20000}}`,
		"on the way back":  `{"type": "limit_data", "stream": "downstream", "attributes": {"bytes": 2000}}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const keys, each = 4, 30
			b := startNodes(t, 1)
			direct := b.join(t, 1, kafka.Options{})
			l := newLink(t, b)
			producer := newProducer(t, b.join(t, 1, kafka.Options{Dial: l.dial}), func(c *kafka.ProducerConfig) { c.Compression = "none" })
			l.poison(t, toxic)
			padding := strings.Repeat(" ", 1000)
			var callers sync.WaitGroup
			for k := range keys {
				callers.Go(func() {
					for n := range each {
						m := message(fmt.Sprint("key", k), n)
						m.Value = append(m.Value, padding...)
						publish(t, producer, m)
					}
				})
			}
			callers.Wait()

			latest := map[string]int{}
			for _, record := range read(t, direct, int(b.PartitionInfo(testTopic, 0).HighWatermark))[0] {
				var n int
				key := string(record.Key)
				if _, err := fmt.Sscanf(string(record.Value), key+"/%d", &n); err != nil {
					t.Fatal(err)
				}
				if n > latest[key] {
					t.Errorf("%s/%d is stored when only %d of %s were", key, n, latest[key], key)
				}
				latest[key] = max(latest[key], n+1)
			}
			for k := range keys {
				if got := latest[fmt.Sprint("key", k)]; got != each {
					t.Errorf("of key%d %d messages are stored, want %d", k, got, each)
				}
			}
		})
	}
}

// A consumer whose connections are cut again and again gets every record, in
// order.
func TestConnectionsAreCutWhileFetching(t *testing.T) {
	t.Parallel()
	const count = 200
	b := startNodes(t, 1)
	direct := b.join(t, 1, kafka.Options{})
	producer := newProducer(t, direct, func(c *kafka.ProducerConfig) { c.Compression = "none" })
	padding := strings.Repeat(" ", 1000)
	for n := range count {
		m := message("a", n)
		m.Value = append(m.Value, padding...)
		publish(t, producer, m)
	}
	l := newLink(t, b)
	client := b.join(t, 1, kafka.Options{Dial: l.dial})
	p, _ := assigned(t, client, "group", kafka.StartEarliest)
	l.poison(t, `{"type": "limit_data", "stream": "downstream", "attributes": {"bytes": 30000}}`)
	next := int64(0)
	failures := 0
	eventually(t, "all records are fetched", func() bool {
		records, _, err := p.Fetch(testContext(t), next, 10_000)
		if err != nil {
			if !errors.Is(err, kafka.ErrUnavailable) {
				t.Fatal(err)
			}
			failures++
		}
		for _, record := range records {
			if want := fmt.Sprint("a/", next); record.Offset != next || strings.TrimSpace(string(record.Value)) != want {
				t.Fatalf("got offset %d with %.20s, want %s", record.Offset, record.Value, want)
			}
			next++
		}
		return next == count
	})
	if failures == 0 {
		t.Error("no fetch failed")
	}
}

// A broker that is far and slow is no fault. One that is too slow for the caller
// is told as such.
func TestSlowBroker(t *testing.T) {
	t.Parallel()
	b := startNodes(t, 1)
	l := newLink(t, b)
	client := b.join(t, 1, kafka.Options{Dial: l.dial})
	producer := newProducer(t, client)
	publish(t, producer, message("a", 0))
	l.poison(t, `{"type": "latency", "stream": "downstream", "attributes": {"latency": 150, "jitter": 50}}`)
	l.poison(t, `{"type": "bandwidth", "stream": "upstream", "attributes": {"rate": 100}}`)
	for n := range 5 {
		publish(t, producer, message("a", n+1))
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	err := producer.Publish(ctx, message("b", 0))
	var failure *kafka.PublishError
	if !errors.As(err, &failure) || failure.Reason != kafka.ReasonDeadline || !errors.Is(err, kafka.ErrUnavailable) {
		t.Errorf("when its time is over Publish returns %v", err)
	}
	expectValues(t, read(t, client, 6)[0][:6], "a/0", "a/1", "a/2", "a/3", "a/4", "a/5")
}

// collector is a handler that commits what it has seen.
type collector struct {
	mu   sync.Mutex
	seen map[string]int
	// back is how often a partition began before what was committed.
	back      int
	committed map[int]int64
}

func (c *collector) handle(ctx context.Context, p *kafka.Partition) error {
	c.mu.Lock()
	if c.seen == nil {
		c.seen, c.committed = map[string]int{}, map[int]int64{}
	}
	if p.Committed < c.committed[p.ID] {
		c.back++
	}
	c.mu.Unlock()
	for next := p.Committed; ctx.Err() == nil; {
		records, _, err := p.Fetch(ctx, next, 1<<20)
		switch {
		case errors.Is(err, kafka.ErrUnavailable), errors.Is(err, kafka.ErrNoTopic):
			continue
		case err != nil:
			return err
		case len(records) == 0:
			continue
		}
		next = records[len(records)-1].Offset + 1
		c.mu.Lock()
		for _, record := range records {
			c.seen[string(record.Value)]++
		}
		c.mu.Unlock()
		if err := p.Commit(ctx, next, ""); err != nil {
			return err
		}
		c.mu.Lock()
		c.committed[p.ID] = max(c.committed[p.ID], next)
		c.mu.Unlock()
	}
	return nil
}

// lacks returns which of the values have not been seen.
func (c *collector) lacks(values []string) (missing []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, value := range values {
		if c.seen[value] == 0 {
			missing = append(missing, value)
		}
	}
	return missing
}

// expect waits until every value has been handled, without a commit that was
// forgotten.
func (c *collector) expect(t *testing.T, values []string) {
	t.Helper()
	eventually(t, fmt.Sprintf("all of %d records are handled", len(values)), func() bool { return len(c.lacks(values)) == 0 })
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.back > 0 {
		t.Errorf("a partition went back behind its commit %d times", c.back)
	}
}

// load publishes message after message until it is stopped, and remembers which
// were acknowledged.
type load struct {
	stopping atomic.Bool
	callers  sync.WaitGroup

	mu           sync.Mutex
	acknowledged []string
}

func startLoad(t *testing.T, producer *kafka.Producer) *load {
	t.Helper()
	l := &load{}
	for k := range 3 {
		l.callers.Go(func() {
			for n := 0; !l.stopping.Load(); n++ {
				m := message(fmt.Sprint("key", k), n)
				if err := producer.Publish(testContext(t), m); err != nil {
					t.Error(err)
					return
				}
				l.mu.Lock()
				l.acknowledged = append(l.acknowledged, string(m.Value))
				l.mu.Unlock()
			}
		})
	}
	t.Cleanup(func() { l.stop() })
	return l
}

// reach waits until so many more messages are acknowledged.
func (l *load) reach(t *testing.T, more int) {
	t.Helper()
	count := func() int {
		l.mu.Lock()
		defer l.mu.Unlock()
		return len(l.acknowledged)
	}
	want := count() + more
	eventually(t, "messages are acknowledged", func() bool { return count() >= want })
}

// stop returns what was acknowledged.
func (l *load) stop() []string {
	l.stopping.Store(true)
	l.callers.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acknowledged
}

// Producers and consumers go on when the broker has been started again on its
// data directory, and what was acknowledged before is there.
func TestBrokerRestartsUnderLoad(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kfake.SyncWrites())
	client := newTopic(t, b, 2)
	c := &collector{}
	consume(t, client, "group", kafka.StartEarliest, c.handle)
	load := startLoad(t, newProducer(t, client))
	for range 3 {
		load.reach(t, 100)
		b.stop()
		b.start()
	}
	load.reach(t, 100)
	c.expect(t, load.stop())
}

// A commit that fails for a while is tried again. When the caller's time is over
// the error says that it would have passed.
func TestCommitThatFailsForAWhile(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	p, c := assigned(t, client, "group", kafka.StartEarliest)
	for i, answer := range []*kerr.Error{
		kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable, kerr.NotCoordinator,
		kerr.UnknownTopicOrPartition, kerr.RequestTimedOut, kerr.UnstableOffsetCommit,
	} {
		fault := b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: answer, Count: 3})
		if err := p.Commit(testContext(t), int64(i+1), answer.Message); err != nil {
			t.Errorf("%v: %v", answer, err)
		}
		if fault.Hits() != 3 {
			t.Errorf("%v was answered %d times", answer, fault.Hits())
		}
	}
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorLoadInProgress, Count: -1})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := p.Commit(ctx, 100, ""); !errors.Is(err, kafka.ErrUnavailable) || errors.Is(err, kafka.ErrFenced) {
		t.Errorf("when its time is over Commit returns %v", err)
	}
	c.stop(t)
	p, _ = assigned(t, client, "group", kafka.StartEarliest)
	if p.Committed != 6 || p.Metadata != kerr.UnstableOffsetCommit.Message {
		t.Errorf("committed is %d with %q", p.Committed, p.Metadata)
	}
}

// A member that cannot read the committed offsets does not begin elsewhere.
func TestOffsetsThatCannotBeReadForAWhile(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	p, c := assigned(t, client, "group", kafka.StartEarliest)
	if err := p.Commit(testContext(t), 7, "seven"); err != nil {
		t.Fatal(err)
	}
	c.stop(t)
	fault := b.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, TopLevel: true, Err: kerr.CoordinatorLoadInProgress},
		kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetFetch}, Err: kerr.UnstableOffsetCommit},
	)
	if p, _ := assigned(t, client, "group", kafka.StartEarliest); p.Committed != 7 || p.Metadata != "seven" {
		t.Errorf("begins at %d with %q", p.Committed, p.Metadata)
	}
	if fault.Hits() == 0 {
		t.Error("the offsets could be read at once")
	}
}

// Leaders and coordinators move from node to node: nobody outside notices.
func TestLeadersAndCoordinatorsMove(t *testing.T) {
	t.Parallel()
	const partitions = 2
	b := startNodes(t, 3)
	client := b.join(t, partitions, kafka.Options{})
	c := &collector{}
	consume(t, client, "group", kafka.StartEarliest, c.handle)
	load := startLoad(t, newProducer(t, client))
	load.reach(t, 50)
	for range 2 {
		for id := range int32(partitions) {
			next := (b.LeaderFor(testTopic, id) + 1) % 3
			if err := b.MoveTopicPartition(testTopic, id, next); err != nil {
				t.Fatal(err)
			}
		}
		load.reach(t, 50)
		moveCoordinator(t, b)
		load.reach(t, 50)
	}
	c.expect(t, load.stop())
}

// moveCoordinator makes another node the group's coordinator.
func moveCoordinator(t *testing.T, b *broker) {
	t.Helper()
	before := b.CoordinatorFor("group")
	eventually(t, "the coordinator moves", func() bool {
		b.RehashCoordinators()
		return b.CoordinatorFor("group") != before
	})
}

// A node that leads partitions and coordinates the group goes away for ever.
func TestNodeIsRemoved(t *testing.T) {
	t.Parallel()
	b := startNodes(t, 3)
	client := b.join(t, 2, kafka.Options{})
	c := &collector{}
	consume(t, client, "group", kafka.StartEarliest, c.handle)
	load := startLoad(t, newProducer(t, client))
	load.reach(t, 50)
	if err := b.RemoveNode(b.CoordinatorFor("group")); err != nil {
		t.Fatal(err)
	}
	load.reach(t, 50)
	if err := b.RemoveNode(b.LeaderFor(testTopic, 0)); err != nil {
		t.Fatal(err)
	}
	load.reach(t, 50)
	c.expect(t, load.stop())
}
