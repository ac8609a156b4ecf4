package deliver_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"loyaltyhouse/connector/deliver"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// patience bounds what should happen at once, on the slowest machine.
const patience = 60 * time.Second

// table is the one that the tests deliver: it has few columns.
var table = schema.RawWebhooks()

const topic = "loyalty.raw_webhooks"

// A bench is a broker with the topics, a client and a producer.
type bench struct {
	client   *kafka.Client
	producer *kafka.Producer
	raw      *kafkago.Client
	cluster  *kfake.Cluster
}

func newBench(t *testing.T, partitions int) *bench {
	t.Helper()
	dir, err := os.MkdirTemp("", "deliver") // Shorter than t.TempDir, as a socket's path must be.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := embedded.DefaultConfig()
	cfg.DataDir = dir
	broker, err := embedded.StartBroker(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = broker.Close() })

	kafkaConfig := kafka.DefaultConfig()
	kafkaConfig.Brokers = []string{broker.Addr()}
	kafkaConfig.Topics.Partitions = partitions
	client, err := kafka.NewClient(kafkaConfig, kafka.Options{Dial: broker.Dial, Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.EnsureTopics(t.Context(), []string{topic, "loyalty." + schema.DeadLetters().Topic}); err != nil {
		t.Fatal(err)
	}
	producer := client.NewProducer(kafkaConfig.Producer)
	t.Cleanup(func() { _ = producer.Close(context.Background()) })
	transport := &kafkago.Transport{Dial: broker.Dial}
	t.Cleanup(transport.CloseIdleConnections)
	return &bench{client: client, producer: producer, cluster: broker.Cluster(), raw: &kafkago.Client{Addr: kafkago.TCP(broker.Addr()), Transport: transport}}
}

// publish publishes rows whose webhook ids are the numbers from first on, with
// keys that spread them.
func (b *bench) publish(t *testing.T, first, n, size int) {
	t.Helper()
	messages := make([]kafka.Message, n)
	for i := range messages {
		messages[i] = message(first+i, size)
	}
	if err := b.producer.Publish(t.Context(), messages...); err != nil {
		t.Fatal(err)
	}
}

func message(n, size int) kafka.Message {
	row := make(schema.Row, len(table.Columns))
	row[table.Index("event_id")] = schema.TextValue(uuid.NewSHA1(uuid.Nil, []byte(strconv.Itoa(n))).String())
	row[table.Index("webhook_id")] = schema.TextValue(strconv.Itoa(n))
	row[table.Index("shop_id")] = schema.TextValue("shop")
	row[table.Index("received_at")] = schema.IntValue(1_800_000_000_000 + int64(n))
	row[table.Index("body")] = schema.TextValue(strings.Repeat("x", size))
	return kafka.Message{Topic: topic, Key: []byte(strconv.Itoa(n)), Value: table.AppendRow(nil, row)}
}

// committed returns what the sink's group has committed, by partition; -1
// stands for nothing.
func (b *bench) committed(t *testing.T, sink string, partitions int) []int64 {
	t.Helper()
	request := &kafkago.OffsetFetchRequest{GroupID: deliver.Config{Sink: sink}.Group(), Topics: map[string][]int{topic: {}}}
	for id := range partitions {
		request.Topics[topic] = append(request.Topics[topic], id)
	}
	response, err := b.raw.OffsetFetch(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	offsets := slices.Repeat([]int64{-1}, partitions) // A group that does not exist yet is not told of.
	for _, p := range response.Topics[topic] {
		offsets[p.Partition] = p.CommittedOffset
	}
	return offsets
}

func (b *bench) expectCommitted(t *testing.T, sink string, want int64) {
	t.Helper()
	until(t, fmt.Sprintf("offset %d is committed", want), func() bool { return b.committed(t, sink, 1)[0] == want })
}

// deadLetters returns all rows of the topic of dead letters.
func (b *bench) deadLetters(t *testing.T, partitions int) []schema.Row {
	t.Helper()
	dead := schema.DeadLetters()
	var rows []schema.Row
	for id := range partitions {
		response, err := b.raw.Fetch(t.Context(), &kafkago.FetchRequest{Topic: "loyalty." + dead.Topic, Partition: id, MaxBytes: 16 << 20, MaxWait: time.Millisecond})
		if err != nil {
			t.Fatal(err)
		}
		for {
			record, err := response.Records.ReadRecord()
			if err != nil {
				break
			}
			value, err := kafkago.ReadAll(record.Value)
			if err != nil {
				t.Fatal(err)
			}
			row := make(schema.Row, len(dead.Columns))
			if err := schema.NewDecoder(dead).Decode(value, row); err != nil {
				t.Fatal(err)
			}
			rows = append(rows, row)
		}
	}
	return rows
}

// A recorder is a sink in memory that does what a test says first.
type recorder struct {
	before func(ctx context.Context, b *sinks.Batch) error // nil stores everything

	mu     sync.Mutex
	stored map[int]int // how often, by webhook id
	tokens []string
}

func (r *recorder) Write(ctx context.Context, b *sinks.Batch) error {
	decoder, row := schema.NewDecoder(b.Table), make(schema.Row, len(b.Table.Columns))
	var ids []int
	for i, record := range b.Records {
		if err := decoder.Decode(record.Value, row); err != nil {
			return sinks.Permanent(sinks.Undecodable, i, err)
		}
		id, _ := strconv.Atoi(row[b.Table.Index("webhook_id")].Text)
		ids = append(ids, id)
	}
	if r.before != nil {
		if err := r.before(ctx, b); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stored == nil {
		r.stored = map[int]int{}
	}
	for _, id := range ids {
		r.stored[id]++
	}
	r.tokens = append(r.tokens, b.Token())
	return nil
}

func (r *recorder) Ping(context.Context) error { return nil }
func (r *recorder) Close() error               { return nil }

// ids returns which rows are stored.
func (r *recorder) ids() []int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.stored))
}

func (r *recorder) expectEachOnce(t *testing.T, want []int) {
	t.Helper()
	if got := r.ids(); !slices.Equal(got, want) {
		t.Errorf("stored are %v, want %v", got, want)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, n := range r.stored {
		if n != 1 {
			t.Errorf("row %d is stored %d times", id, n)
		}
	}
}

// An option changes what a deliverer is made of.
type option func(*making)

type making struct {
	cfg       deliver.Config
	publisher deliver.Publisher
	registry  *prometheus.Registry
	log       *slog.Logger
	now       func() time.Time
	finish    time.Duration
	publish   time.Duration // for one try of a dead letter
}

// A running deliverer ends with stop.
type running struct {
	stop  func()
	ready func() error
}

func (b *bench) deliver(t *testing.T, name string, sink sinks.Sink, options ...option) *running {
	t.Helper()
	m := &making{
		cfg: deliver.Config{
			Sink: name, TopicPrefix: "loyalty.", Tables: []*schema.Table{table}, Start: kafka.StartEarliest,
			Batch: deliver.BatchConfig{MaxRows: 1000, MaxBytes: 1 << 20, MaxAge: time.Millisecond, BufferBytes: 16 << 20},
		},
		publisher: b.producer, registry: prometheus.NewRegistry(), log: slog.New(slog.DiscardHandler), now: time.Now,
		finish: 10 * time.Second, publish: 10 * time.Second,
	}
	for _, o := range options {
		o(m)
	}
	metrics, err := deliver.NewMetrics(m.registry, m.now)
	if err != nil {
		t.Fatal(err)
	}
	d := deliver.New(m.cfg, sink, b.client, m.publisher, metrics, m.log, m.now)
	d.SetFinishTimeout(m.finish)
	d.SetPublishTimeout(m.publish)
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- d.Run(ctx) }()
	r := &running{ready: d.Ready, stop: sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Run returns %v", err)
			}
		case <-time.After(patience):
			t.Error("Run does not end with its context")
		}
	})}
	t.Cleanup(r.stop)
	return r
}

func until(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !happened(); {
		if time.Now().After(end) {
			t.Fatalf("it did not happen that %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func numbers(first, n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = first + i
	}
	return all
}

func TestCommitsOnlyWhatIsStored(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 10, 10)
	entered, release := make(chan struct{}), make(chan struct{})
	sink := &recorder{before: func(context.Context, *sinks.Batch) error {
		entered <- struct{}{}
		<-release
		return nil
	}}
	b.deliver(t, "s", sink)
	<-entered
	if got := b.committed(t, "s", 1)[0]; got > 0 {
		t.Errorf("offset %d is committed before the sink has stored anything", got)
	}
	close(release)
	b.expectCommitted(t, "s", 10)
	sink.expectEachOnce(t, numbers(0, 10))
}

// A process that ends between the write and the commit writes the rows again,
// under the token by which the destination knows them.
func TestWritesAgainWhatWasNotCommitted(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 10, 10)
	stored := make(chan struct{}, 1)
	var first string
	crashing := &recorder{before: func(ctx context.Context, batch *sinks.Batch) error {
		first = batch.Token()
		stored <- struct{}{}
		<-ctx.Done() // The destination has the batch, and this process dies.
		return ctx.Err()
	}}
	r := b.deliver(t, "s", crashing, func(m *making) { m.finish = time.Millisecond })
	<-stored
	r.stop()
	if got := b.committed(t, "s", 1)[0]; got > 0 {
		t.Fatalf("offset %d is committed", got)
	}
	next := &recorder{}
	b.deliver(t, "s", next)
	b.expectCommitted(t, "s", 10)
	next.expectEachOnce(t, numbers(0, 10))
	if !slices.Equal(next.tokens, []string{first}) {
		t.Errorf("the tokens are %v, the first time it was %s", next.tokens, first)
	}
}

func TestPoisonRowsBecomeDeadLetters(t *testing.T) {
	poison := []int{3, 17, 18, 39}
	for _, tells := range []bool{false, true} {
		t.Run(fmt.Sprintf("the sink tells which row %v", tells), func(t *testing.T) {
			b := newBench(t, 1)
			b.publish(t, 0, 40, 10)
			sink := &recorder{before: func(_ context.Context, batch *sinks.Batch) error {
				for i, record := range batch.Records {
					if slices.Contains(poison, int(record.Offset)) {
						if !tells {
							i = -1
						}
						return sinks.Permanent(sinks.RowRefused, i, errors.New("no such row"))
					}
				}
				return nil
			}}
			b.deliver(t, "s", sink)
			b.expectCommitted(t, "s", 40)
			sink.expectEachOnce(t, slices.DeleteFunc(numbers(0, 40), func(n int) bool { return slices.Contains(poison, n) }))

			dead := schema.DeadLetters()
			rows := b.deadLetters(t, 1)
			if len(rows) != len(poison) {
				t.Fatalf("there are %d dead letters, want %d", len(rows), len(poison))
			}
			for i, row := range rows {
				refused := message(poison[i], 10).Value
				want := map[string]string{
					"stage": "sink", "reason": "row_refused", "detail": "table raw_webhooks: no such row", "topic": topic, "sink": "s",
					"shop_id": "shop", "webhook_id": strconv.Itoa(poison[i]), "body": string(refused),
					"event_id": uuid.NewSHA1(uuid.Nil, []byte(strconv.Itoa(poison[i]))).String(),
				}
				for column, text := range want {
					if got := row[dead.Index(column)].Text; got != text {
						t.Errorf("%s of dead letter %d is %q, want %q", column, i, got, text)
					}
				}
				for column, n := range map[string]int64{"kafka_partition": 0, "kafka_offset": int64(poison[i]), "received_at": 1_800_000_000_000 + int64(poison[i])} {
					if got := row[dead.Index(column)]; got.Int != n || !got.Set {
						t.Errorf("%s of dead letter %d is %v, want %d", column, i, got, n)
					}
				}
			}
		})
	}
}

func TestRecordThatIsNoRowBecomesADeadLetter(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 2, 10)
	garbage := []byte("no row \xff\x00")
	if err := b.producer.Publish(t.Context(), kafka.Message{Topic: topic, Value: garbage}, kafka.Message{Topic: topic}); err != nil {
		t.Fatal(err)
	}
	b.publish(t, 2, 2, 10)
	sink := &recorder{}
	before := time.Now().UnixMilli()
	b.deliver(t, "s", sink)
	b.expectCommitted(t, "s", 6)
	sink.expectEachOnce(t, numbers(0, 4))
	dead := schema.DeadLetters()
	rows := b.deadLetters(t, 1)
	if len(rows) != 2 {
		t.Fatalf("there are %d dead letters, want 2", len(rows))
	}
	for i, body := range []string{string(garbage), ""} {
		if got := rows[i][dead.Index("body")].Text; got != body {
			t.Errorf("the body is %q, want %q", got, body)
		}
		if got := rows[i][dead.Index("reason")].Text; got != sinks.Undecodable {
			t.Errorf("the reason is %q, want %q", got, sinks.Undecodable)
		}
		if got := rows[i][dead.Index("event_id")].Text; got != uuid.Nil.String() {
			t.Errorf("the event id is %q, want that of nothing", got)
		}
		if got := rows[i][dead.Index("received_at")].Int; got < before {
			t.Errorf("the time is %d, want that of the failure, not before %d", got, before)
		}
	}
}

func TestTransientErrorIsTriedAgain(t *testing.T) {
	for _, decorated := range []bool{true, false} {
		t.Run(fmt.Sprintf("decorated with Retry %v", decorated), func(t *testing.T) {
			b := newBench(t, 1)
			b.publish(t, 0, 10, 10)
			var tries atomic.Int32
			kind := &recorder{before: func(context.Context, *sinks.Batch) error {
				if tries.Add(1) <= 2 {
					return errors.New("away")
				}
				return nil
			}}
			var sink sinks.Sink = kind
			if decorated {
				metrics, err := sinks.NewRetryMetrics(prometheus.NewRegistry())
				if err != nil {
					t.Fatal(err)
				}
				sink = sinks.Retry(kind, "s", sinks.RetryConfig{InitialInterval: time.Millisecond, MaxInterval: time.Millisecond}, metrics, slog.New(slog.DiscardHandler), time.Now)
			}
			b.deliver(t, "s", sink)
			b.expectCommitted(t, "s", 10)
			kind.expectEachOnce(t, numbers(0, 10))
			if n := len(b.deadLetters(t, 1)); n != 0 {
				t.Errorf("a transient error made %d dead letters", n)
			}
		})
	}
}

// noLetters refuses dead letters while it is closed.
type noLetters struct {
	deliver.Publisher
	open  atomic.Bool
	tries atomic.Int32
}

func (n *noLetters) Publish(ctx context.Context, messages ...kafka.Message) error {
	n.tries.Add(1)
	if n.open.Load() {
		return n.Publisher.Publish(ctx, messages...)
	}
	return errors.New("no letters today")
}

func TestCommitWaitsForTheDeadLetter(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 3, 10)
	refuse := func(_ context.Context, batch *sinks.Batch) error {
		if batch.First() <= 1 && 1 <= batch.Last() {
			return sinks.Permanent(sinks.RowRefused, -1, errors.New("poison"))
		}
		return nil
	}
	post := &noLetters{Publisher: b.producer}
	r := b.deliver(t, "s", &recorder{before: refuse}, func(m *making) { m.publisher, m.finish = post, time.Millisecond })
	until(t, "a dead letter is tried", func() bool { return post.tries.Load() > 0 })
	if got := b.committed(t, "s", 1)[0]; got > 1 {
		t.Errorf("offset %d is committed without the dead letter", got)
	}
	r.stop()
	if got := b.committed(t, "s", 1)[0]; got > 1 {
		t.Errorf("offset %d is committed at the end, without the dead letter", got)
	}

	post.tries.Store(0)
	b.deliver(t, "s", &recorder{before: refuse}, func(m *making) { m.publisher = post })
	until(t, "a dead letter is tried", func() bool { return post.tries.Load() > 0 })
	post.open.Store(true)
	b.expectCommitted(t, "s", 3)
	if n := len(b.deadLetters(t, 1)); n != 1 {
		t.Errorf("there are %d dead letters, want 1", n)
	}
}

// A dead letter that Kafka does not acknowledge, for a reason that passes, is told
// while it is tried again.
func TestDeadLetterThatIsNotAcknowledgedIsTold(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 3, 10)
	few := b.cluster.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Topic: "loyalty." + schema.DeadLetters().Topic, Err: kerr.NotEnoughReplicas, Count: -1})
	sink := &recorder{before: func(_ context.Context, batch *sinks.Batch) error {
		if batch.First() <= 1 && 1 <= batch.Last() {
			return sinks.Permanent(sinks.RowRefused, -1, errors.New("poison"))
		}
		return nil
	}}
	var log bytes.Buffer
	r := b.deliver(t, "s", sink, func(m *making) {
		m.log = slog.New(slog.NewTextHandler(&log, nil))
		m.publish = 200 * time.Millisecond
	})
	// A try that the end of its time interrupts has no answer to tell of.
	told := []string{"sink s: " + topic + "/0 stands still since ", "the dead letter of offset 1 cannot be published", "Not Enough Replicas"}
	until(t, fmt.Sprintf("Ready tells %q", told), func() bool {
		err := r.ready()
		return !slices.ContainsFunc(told, func(text string) bool { return !strings.Contains(fmt.Sprint(err), text) })
	})
	few.Remove()
	b.expectCommitted(t, "s", 3)
	if err := r.ready(); err != nil {
		t.Errorf("when the dead letter is published Ready returns %v", err)
	}
	letters := b.deadLetters(t, 1)
	if len(letters) == 0 {
		t.Error("the dead letter is not there")
	}
	offset := schema.DeadLetters().Index("kafka_offset")
	for _, letter := range letters { // Two, where the answer to one came too late.
		if got := letter[offset].Int; got != 1 {
			t.Errorf("there is a dead letter of offset %d, want that of 1 alone", got)
		}
	}
	sink.expectEachOnce(t, []int{0, 2})
	r.stop()
	if !strings.Contains(log.String(), `level=WARN msg="a dead letter could not be published and will be tried again; nothing is lost"`) {
		t.Errorf("the log does not tell of it:\n%s", &log)
	}
}

func TestMemoryIsBounded(t *testing.T) {
	const partitions, size, n = 6, 50_000, 300
	b := newBench(t, partitions)
	b.publish(t, 0, n, size)
	var mu sync.Mutex
	held, most, writing := 0, 0, 0
	release := make(chan struct{})
	sink := &recorder{before: func(_ context.Context, batch *sinks.Batch) error {
		bytes := 0
		for _, record := range batch.Records {
			bytes += len(record.Value)
		}
		mu.Lock()
		held, writing = held+bytes, writing+1
		most = max(most, held)
		mu.Unlock()
		<-release
		mu.Lock()
		held -= bytes
		mu.Unlock()
		return nil
	}}
	const buffer = 1 << 20
	b.deliver(t, "s", sink, func(m *making) {
		m.cfg.Batch = deliver.BatchConfig{MaxRows: 1_000_000, MaxBytes: buffer, MaxAge: time.Hour, BufferBytes: buffer}
	})
	until(t, "every partition writes what it has, although no batch is full", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return writing == partitions
	})
	close(release)
	// What is left in the end is not due for an hour.
	until(t, "the others are stored too", func() bool { return len(sink.ids()) > n/2 })
	mu.Lock()
	defer mu.Unlock()
	if bound := buffer + partitions*deliver.FetchBytes; most > bound {
		t.Errorf("batches of %d bytes are held at once, want at most %d", most, bound)
	}
}

func TestShutdownFinishesTheBatch(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 10, 10)
	entered, release := make(chan struct{}), make(chan struct{})
	sink := &recorder{before: func(ctx context.Context, _ *sinks.Batch) error {
		close(entered)
		<-release
		return ctx.Err()
	}}
	r := b.deliver(t, "s", sink)
	<-entered
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		r.stop()
	}()
	close(release)
	<-stopped
	b.expectCommitted(t, "s", 10)
	sink.expectEachOnce(t, numbers(0, 10))
}

func TestShutdownAbandonsABatchThatHangs(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 10, 10)
	entered := make(chan struct{})
	sink := &recorder{before: func(ctx context.Context, _ *sinks.Batch) error {
		close(entered)
		<-ctx.Done()
		return ctx.Err()
	}}
	r := b.deliver(t, "s", sink, func(m *making) { m.finish = 10 * time.Millisecond })
	<-entered
	r.stop()
	if got := b.committed(t, "s", 1)[0]; got > 0 {
		t.Errorf("offset %d of an abandoned batch is committed", got)
	}
	if got := sink.ids(); len(got) > 0 {
		t.Errorf("rows %v of an abandoned batch are stored", got)
	}
}

func TestRebalanceLosesNothingAndNeverGoesBack(t *testing.T) {
	const partitions, n = 4, 400
	b := newBench(t, partitions)
	sink := &recorder{}
	committed := []int64{-1, -1, -1, -1}
	check := func() {
		for id, now := range b.committed(t, "s", partitions) {
			if now < committed[id] {
				t.Errorf("partition %d: the commit went back from %d to %d", id, committed[id], now)
			}
			committed[id] = now
		}
	}
	published := 0
	publish := func() {
		b.publish(t, published, n/4, 10)
		published += n / 4
	}
	stored := func() bool { check(); return len(sink.ids()) == published }

	publish()
	first := b.deliver(t, "s", sink)
	until(t, "the first member stores", stored)
	second := b.deliver(t, "s", sink)
	publish()
	until(t, "two members store", stored)
	first.stop()
	publish()
	until(t, "the second member stores alone", stored)
	b.deliver(t, "s", sink)
	second.stop()
	publish()
	until(t, "the third member stores alone", stored)
	until(t, "all is committed", func() bool {
		check()
		total := int64(0)
		for _, offset := range committed {
			total += offset
		}
		return total == n
	})
}

func TestStartLatestPassesOverWhatWasThere(t *testing.T) {
	b := newBench(t, 1)
	b.publish(t, 0, 5, 10)
	sink := &recorder{}
	b.deliver(t, "s", sink, func(m *making) { m.cfg.Start = kafka.StartLatest })
	b.expectCommitted(t, "s", 5)
	b.publish(t, 5, 3, 10)
	b.expectCommitted(t, "s", 8)
	sink.expectEachOnce(t, numbers(5, 3))
}

func TestBacklogGrowsWhileTheSinkHangs(t *testing.T) {
	b := newBench(t, 1)
	var ahead atomic.Int64 // how far the deliverer's clock is ahead, in seconds
	registry := prometheus.NewRegistry()
	entered, release := make(chan struct{}), make(chan struct{})
	sink := &recorder{before: func(context.Context, *sinks.Batch) error {
		select {
		case entered <- struct{}{}:
			<-release
		case <-release:
		}
		return nil
	}}
	r := b.deliver(t, "s", sink, func(m *making) {
		m.registry = registry
		m.now = func() time.Time { return time.Now().Add(time.Duration(ahead.Load()) * time.Second) }
	})
	b.publish(t, 0, 10, 10)
	<-entered
	if age := gauge(t, registry, "loyaltyhouse_sink_batch_max_age_seconds"); age <= 0 {
		t.Errorf("a batch waits for %v s", age)
	}
	if lag := gauge(t, registry, "loyaltyhouse_consumer_lag_records"); lag < 1 || lag > 10 {
		t.Errorf("the lag is %v records, want from 1 to 10", lag)
	}
	for _, seconds := range []int64{1000, 5000} {
		ahead.Store(seconds)
		if age := gauge(t, registry, "loyaltyhouse_consumer_oldest_undelivered_seconds"); age < float64(seconds) || age > float64(seconds)+patience.Seconds() {
			t.Errorf("after %d s the oldest record is %v s old", seconds, age)
		}
	}
	close(release)
	b.expectCommitted(t, "s", 10)
	until(t, "nothing is behind any more", func() bool {
		return gauge(t, registry, "loyaltyhouse_consumer_lag_records") == 0 &&
			gauge(t, registry, "loyaltyhouse_consumer_oldest_undelivered_seconds") == 0
	})
	if rows := gauge(t, registry, "loyaltyhouse_sink_rows_total"); rows != 10 {
		t.Errorf("%v rows are counted, want 10", rows)
	}
	r.stop()
	if families, err := registry.Gather(); err != nil {
		t.Error(err)
	} else {
		for _, f := range families {
			if strings.HasPrefix(f.GetName(), "loyaltyhouse_consumer_") || f.GetName() == "loyaltyhouse_sink_batch_max_age_seconds" {
				t.Errorf("%s is still told of a sink that has ended", f.GetName())
			}
		}
	}
}

// gauge returns the sum of a metric's values.
func gauge(t *testing.T, registry *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	total := 0.0
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			total += m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return total
}
