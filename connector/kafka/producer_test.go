package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"loyaltyhouse/connector/kafka"
)

// refuseProduce makes the broker answer so many produce requests with err; -1
// means all until the handle is removed.
func refuseProduce(b *broker, err *kerr.Error, count int) *kfake.FaultHandle {
	return b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: err, Count: count})
}

func TestPublishedRecordsComeBackInOrder(t *testing.T) {
	t.Parallel()
	client := newTopic(t, startBroker(t), 3)
	producer := newProducer(t, client)
	keys := []string{"a", "b", "c", "d", "e"}
	for n := range 40 {
		for _, key := range keys {
			publish(t, producer, message(key, n))
		}
	}
	next := make(map[string]int)
	for id, records := range read(t, client, 200) {
		for _, record := range records {
			key := string(record.Key)
			if want := message(key, next[key]); string(record.Value) != string(want.Value) {
				t.Errorf("partition %d offset %d: got %s, want %s", id, record.Offset, record.Value, want.Value)
			}
			next[key]++
		}
	}
}

func TestEveryCompressionIsReadable(t *testing.T) {
	t.Parallel()
	client := newTopic(t, startBroker(t), 1)
	var want []string
	for _, compression := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		producer := newProducer(t, client, func(c *kafka.ProducerConfig) { c.Compression = compression })
		value := strings.Repeat(compression, 1000)
		publish(t, producer, kafka.Message{Topic: testTopic, Key: []byte{}, Value: []byte(value)})
		want = append(want, value)
	}
	for i, record := range read(t, client, len(want))[0] {
		if string(record.Value) != want[i] || record.Key == nil {
			t.Errorf("record %d: got %d bytes, key %v", i, len(record.Value), record.Key)
		}
	}
}

func TestNilAndEmptyAreDifferent(t *testing.T) {
	t.Parallel()
	client := newTopic(t, startBroker(t), 1)
	producer := newProducer(t, client)
	publish(t, producer, kafka.Message{Topic: testTopic, Key: []byte("k")})
	publish(t, producer, kafka.Message{Topic: testTopic, Value: []byte{}})
	records := read(t, client, 2)[0]
	if records[0].Value != nil || records[0].Key == nil || records[1].Value == nil || records[1].Key != nil {
		t.Errorf("got %#v", records)
	}
}

// The hashes are those of the tests of Java's org.apache.kafka.common.utils.Utils.
func TestPartitionIsThatOfTheJavaClient(t *testing.T) {
	t.Parallel()
	const partitions = 7
	hashes := map[string]int32{
		"21":                         -973932308,
		"foobar":                     -790332482,
		"a-little-bit-long-string":   -985981536,
		"a-little-bit-longer-string": -1486304829,
		"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
		"abc": 479470107,
	}
	client := newTopic(t, startBroker(t), partitions)
	producer := newProducer(t, client)
	for key := range hashes {
		publish(t, producer, message(key, 0))
	}
	for id, records := range read(t, client, len(hashes)) {
		for _, record := range records {
			want := int(hashes[string(record.Key)]&0x7fffffff) % partitions
			if id != want {
				t.Errorf("key %q is in partition %d, not %d", record.Key, id, want)
			}
		}
	}
}

func TestOnlyAllInSyncReplicasAcknowledge(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	producer := newProducer(t, newTopic(t, b, 1))
	acks := make(chan int16, 1)
	b.ControlKey(int16(kmsg.Produce), func(request kmsg.Request) (kmsg.Response, error, bool) {
		if produce, ok := request.(*kmsg.ProduceRequest); ok {
			acks <- produce.Acks
		}
		return nil, nil, false
	})
	publish(t, producer, message("a", 0))
	if got := <-acks; got != -1 {
		t.Errorf("acks: got %d, want -1", got)
	}
}

func TestPublishFailsWhileTheBrokerIsGoneAndWorksWhenItIsBack(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	producer := newProducer(t, client)
	publish(t, producer, message("a", 0))

	b.stop()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := producer.Publish(ctx, message("a", 1))
	if !errors.Is(err, kafka.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("while the broker is gone: %v", err)
	}

	b.start()
	publish(t, producer, message("a", 2))
	records := read(t, client, 2)[0]
	if got := string(records[0].Value) + " " + string(records[1].Value); got != "a/0 a/2" {
		t.Errorf("stored: %s", got)
	}
}

func TestOneMessageTooLargeFailsAlone(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	config := b.config()
	config.Topics.Partitions = 1
	config.Topics.MaxMessageBytes = 2000
	client := newClient(t, config)
	if err := client.EnsureTopics(testContext(t), []string{testTopic}); err != nil {
		t.Fatal(err)
	}
	producer := newProducer(t, client, func(c *kafka.ProducerConfig) { c.Compression = "none" })

	// While nothing is accepted, all of them gather.
	fault := refuseProduce(b, kerr.NotEnoughReplicas, -1)
	var callers sync.WaitGroup
	for n := range 10 {
		callers.Go(func() {
			m := message("a", n)
			if n == 6 {
				m.Value = bytes.Repeat([]byte("x"), 3000)
			}
			err := producer.Publish(testContext(t), m)
			var failure *kafka.PublishError
			if n == 6 {
				if !errors.As(err, &failure) || failure.Reason != kafka.ReasonTooLarge {
					t.Errorf("too large: %v", err)
				}
			} else if err != nil {
				t.Errorf("message %d: %v", n, err)
			}
		})
	}
	if err := fault.Wait(testContext(t), 2); err != nil {
		t.Fatal(err)
	}
	fault.Remove()
	callers.Wait()
	if records := read(t, client, 9)[0]; len(records) != 9 {
		t.Errorf("stored: %d records", len(records))
	}
}

func TestProduceThatTimedOutIsRetriedAlthoughItWasStored(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	producer := newProducer(t, client)
	refuseProduce(b, kerr.RequestTimedOut, 1)
	publish(t, producer, message("a", 0))
	if records := read(t, client, 2)[0]; !bytes.Equal(records[0].Value, records[1].Value) {
		t.Errorf("stored: %s, %s", records[0].Value, records[1].Value)
	}
}

func TestTooFewReplicasAreRetriedUntilTheDeadline(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	producer := newProducer(t, client)
	fault := refuseProduce(b, kerr.NotEnoughReplicas, -1)

	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	err := producer.Publish(ctx, message("secret-key", 0))
	var failure *kafka.PublishError
	if !errors.As(err, &failure) || failure.Reason != kafka.ReasonNotEnoughReplicas || !errors.Is(err, kafka.ErrUnavailable) {
		t.Fatalf("got %v", err)
	}
	if strings.Contains(err.Error(), "secret-key") {
		t.Errorf("the error has the key: %v", err)
	}
	if fault.Hits() < 2 {
		t.Errorf("%d attempts", fault.Hits())
	}

	// What nobody waits for is not sent any more.
	fault.Remove()
	publish(t, producer, message("b", 0))
	if records := read(t, client, 1)[0]; string(records[0].Value) != "b/0" {
		t.Errorf("stored: %s", records[0].Value)
	}
}

func TestRefusalsAreReportedAtOnce(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	producer := newProducer(t, newTopic(t, b, 1))
	for answer, want := range map[*kerr.Error]kafka.Reason{
		kerr.TopicAuthorizationFailed: kafka.ReasonUnauthorized,
		kerr.InvalidRequiredAcks:      kafka.ReasonRefused,
		kerr.MessageTooLarge:          kafka.ReasonTooLarge,
	} {
		refuseProduce(b, answer, 1)
		err := producer.Publish(testContext(t), message("a", 0))
		var failure *kafka.PublishError
		if !errors.As(err, &failure) || failure.Reason != want || errors.Is(err, kafka.ErrUnavailable) {
			t.Errorf("%v: got %v", answer, err)
		}
	}
	err := producer.Publish(testContext(t), kafka.Message{Topic: "loyalty.unknown"})
	var failure *kafka.PublishError
	if !errors.As(err, &failure) || failure.Reason != kafka.ReasonUnknownTopic || failure.Topic != "loyalty.unknown" {
		t.Errorf("unknown topic: got %v", err)
	}
}

func TestPublishFailsAtOnceWhenTheQueueIsFull(t *testing.T) {
	t.Parallel()
	for name, bound := range map[string]func(*kafka.ProducerConfig){
		"messages": func(c *kafka.ProducerConfig) { c.QueueMessages = 1 },
		"bytes":    func(c *kafka.ProducerConfig) { c.QueueBytes = 50 },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t)
			producer := newProducer(t, newTopic(t, b, 1), bound)
			fault := refuseProduce(b, kerr.NotEnoughReplicas, -1)
			first := make(chan error, 1)
			go func() { first <- producer.Publish(testContext(t), message("a", 0)) }()
			if err := fault.Wait(testContext(t), 1); err != nil {
				t.Fatal(err)
			}
			if err := producer.Publish(testContext(t), message("a", 1)); !errors.Is(err, kafka.ErrQueueFull) {
				t.Errorf("got %v", err)
			}
			fault.Remove()
			if err := <-first; err != nil {
				t.Error(err)
			}
			publish(t, producer, message("a", 2)) // There is room again.
		})
	}
}

func TestMetricsTellWhatWasPublished(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	registry := prometheus.NewRegistry()
	client, err := kafka.NewClient(b.config(), kafka.Options{Registerer: registry})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.EnsureTopics(testContext(t), []string{testTopic}); err != nil {
		t.Fatal(err)
	}
	producer := newProducer(t, client)
	publish(t, producer, message("a", 0), message("a", 1))
	refuseProduce(b, kerr.MessageTooLarge, 1)
	if err := producer.Publish(testContext(t), message("a", 2)); err == nil {
		t.Error("too large: no error")
	}
	want := `# HELP loyaltyhouse_kafka_publish_errors_total Calls to publish that were not acknowledged.
# TYPE loyaltyhouse_kafka_publish_errors_total counter
loyaltyhouse_kafka_publish_errors_total{reason="too_large",topic="loyalty.points"} 1
# HELP loyaltyhouse_kafka_publish_queue_bytes Bytes of messages that wait to be sent or acknowledged.
# TYPE loyaltyhouse_kafka_publish_queue_bytes gauge
loyaltyhouse_kafka_publish_queue_bytes 0
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want),
		"loyaltyhouse_kafka_publish_errors_total", "loyaltyhouse_kafka_publish_queue_bytes"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"loyaltyhouse_kafka_publish_duration_seconds", "loyaltyhouse_kafka_publish_batch_messages"} {
		if count, err := testutil.GatherAndCount(registry, name); count != 1 || err != nil {
			t.Errorf("%s: %d, %v", name, count, err)
		}
	}
}

func TestCloseSendsWhatIsQueued(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	producer := newProducer(t, client)
	fault := refuseProduce(b, kerr.NotEnoughReplicas, -1)
	var callers sync.WaitGroup
	for n := range 5 {
		callers.Go(func() {
			// A caller that comes after Close is refused; all others are served.
			if err := producer.Publish(testContext(t), message("a", n)); err != nil && !errors.Is(err, kafka.ErrClosed) {
				t.Error(err)
			}
		})
	}
	if err := fault.Wait(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() { closed <- producer.Close(testContext(t)) }()
	eventually(t, "Publish is refused while Close waits", func() bool {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		return errors.Is(producer.Publish(ctx, message("late", 0)), kafka.ErrClosed)
	})
	fault.Remove()
	if err := <-closed; err != nil {
		t.Error(err)
	}
	callers.Wait()
	if err := producer.Close(testContext(t)); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestCloseGivesUpWhenItsTimeIsOver(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	producer := newProducer(t, newTopic(t, b, 1))
	fault := refuseProduce(b, kerr.NotEnoughReplicas, -1)
	published := make(chan error, 1)
	go func() { published <- producer.Publish(context.Background(), message("a", 0)) }()
	if err := fault.Wait(testContext(t), 1); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := producer.Close(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Close: %v", err)
	}
	if err := <-published; !errors.Is(err, kafka.ErrClosed) {
		t.Errorf("Publish: %v", err)
	}
}

func TestGrownTopicIsUsedAndConsumed(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	producer := newProducer(t, client)
	publish(t, producer, message("a", 0))

	seen := make(chan int, 100)
	c := consume(t, client, "grown", kafka.StartEarliest, func(ctx context.Context, p *kafka.Partition) error {
		for next := p.Committed; ctx.Err() == nil; {
			records, _, err := p.Fetch(ctx, next, 1<<20)
			if err != nil {
				continue
			}
			for _, record := range records {
				next = record.Offset + 1
				select {
				case seen <- p.ID:
				case <-ctx.Done():
				}
			}
		}
		return nil
	})
	<-seen

	admin := kafkago.Client{Addr: kafkago.TCP("localhost:9092"), Transport: b.transport(t)}
	if _, err := admin.CreatePartitions(testContext(t), &kafkago.CreatePartitionsRequest{
		Topics: []kafkago.TopicPartitionsConfig{{Name: testTopic, Count: 4}},
	}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a record of a new partition is consumed", func() bool {
		publish(t, producer, message(fmt.Sprint(time.Now().UnixNano()), 0))
		for len(seen) > 0 {
			if <-seen > 0 {
				return true
			}
		}
		return false
	})
	c.cancel()
}

// Whatever the broker answers and whenever the callers give up: what was
// acknowledged is stored, and the first copies of a key's messages are stored in
// the order in which they were published.
func TestNothingAcknowledgedIsMissingAndKeysKeepTheirOrder(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	answers := []*kerr.Error{
		kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.RequestTimedOut,
		kerr.NotLeaderForPartition, kerr.MessageTooLarge, kerr.UnknownServerError,
	}
	round := 0
	rapid.Check(t, func(rt *rapid.T) {
		round++
		topic := fmt.Sprintf("loyalty.round%d", round)
		config := b.config()
		config.Topics.Partitions = rapid.IntRange(1, 3).Draw(rt, "partitions")
		client := newClient(t, config)
		defer client.Close()
		if err := client.EnsureTopics(testContext(t), []string{topic}); err != nil {
			rt.Fatal(err)
		}
		producer := newProducer(t, client, func(c *kafka.ProducerConfig) {
			c.BatchMessages = rapid.IntRange(1, 20).Draw(rt, "batch")
		})
		for _, answer := range rapid.SliceOfN(rapid.SampledFrom(answers), 0, 3).Draw(rt, "answers") {
			refuseProduce(b, answer, 1)
		}

		keys, each := rapid.IntRange(1, 6).Draw(rt, "keys"), rapid.IntRange(1, 20).Draw(rt, "each")
		impatient := rapid.Bool().Draw(rt, "impatient")
		var mu sync.Mutex
		acknowledged := make(map[string]bool)
		var callers sync.WaitGroup
		for k := range keys {
			key := fmt.Sprint("key", k)
			callers.Go(func() {
				for n := range each {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					if impatient && n%5 == 4 {
						cancel()
						ctx, cancel = context.WithTimeout(t.Context(), 2*time.Millisecond)
					}
					m := message(key, n)
					m.Topic = topic
					if producer.Publish(ctx, m) == nil {
						mu.Lock()
						acknowledged[string(m.Value)] = true
						mu.Unlock()
					}
					cancel()
				}
			})
		}
		callers.Wait()
		if err := producer.Close(testContext(t)); err != nil {
			rt.Fatal(err)
		}

		stored := make(map[string]bool)
		latest := make(map[string]int)
		for _, value := range b.dump(t, topic, config.Topics.Partitions) {
			key, number, _ := strings.Cut(value, "/")
			var n int
			if _, err := fmt.Sscan(number, &n); err != nil {
				rt.Fatal(err)
			}
			if !stored[value] && n < latest[key] {
				rt.Fatalf("%s is first stored after %s/%d", value, key, latest[key])
			}
			stored[value] = true
			latest[key] = max(latest[key], n)
		}
		for value := range acknowledged {
			if !stored[value] {
				rt.Fatalf("%s was acknowledged and is missing", value)
			}
		}
	})
}
