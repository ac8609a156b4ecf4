package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"loyaltyhouse/connector/kafka"
)

// hold hands the assigned partitions to the test and waits for the generation
// to end.
func hold(partitions chan<- *kafka.Partition) kafka.HandleFunc {
	return func(ctx context.Context, p *kafka.Partition) error {
		select {
		case partitions <- p:
		case <-ctx.Done():
		}
		<-ctx.Done()
		return nil
	}
}

// receive takes the next partition that is handed out.
func receive(t testing.TB, partitions <-chan *kafka.Partition) *kafka.Partition {
	t.Helper()
	select {
	case p := <-partitions:
		return p
	case <-time.After(patience):
		t.Fatal("no partition is assigned")
		return nil
	}
}

// assigned joins a group and returns its only partition.
func assigned(t testing.TB, client *kafka.Client, group string, start kafka.StartOffset) (*kafka.Partition, *consumer) {
	t.Helper()
	partitions := make(chan *kafka.Partition)
	c := consume(t, client, group, start, hold(partitions))
	return receive(t, partitions), c
}

// fetch returns the next records, of which there must be some.
func fetch(t testing.TB, p *kafka.Partition, offset int64, maxBytes int) []kafka.Record {
	t.Helper()
	var records []kafka.Record
	eventually(t, "records are fetched", func() bool {
		var err error
		if records, _, err = p.Fetch(testContext(t), offset, maxBytes); err != nil {
			t.Fatal(err)
		}
		return len(records) > 0
	})
	return records
}

func TestGroupGoesOnWhereItHasCommitted(t *testing.T) {
	t.Parallel()
	client := newTopic(t, startBroker(t), 1)
	producer := newProducer(t, client)
	for n := range 5 {
		publish(t, producer, message("a", n))
	}
	p, c := assigned(t, client, "group", kafka.StartEarliest)
	if p.Committed != 0 || p.Metadata != "" || p.Topic != testTopic || p.ID != 0 {
		t.Errorf("before the first commit: %+v", p)
	}
	if err := p.Commit(testContext(t), 0, "0-2"); err != nil {
		t.Fatal(err)
	}
	if err := p.Commit(testContext(t), 3, "3-4"); err != nil {
		t.Fatal(err)
	}
	c.stop(t)

	p, _ = assigned(t, client, "group", kafka.StartEarliest)
	if p.Committed != 3 || p.Metadata != "3-4" {
		t.Errorf("got offset %d, metadata %q", p.Committed, p.Metadata)
	}
	if records := fetch(t, p, p.Committed, 1<<20); records[0].Offset != 3 || string(records[0].Value) != "a/3" {
		t.Errorf("got %+v", records[0])
	}
}

func TestHandlerMayCommitWhileItStops(t *testing.T) {
	t.Parallel()
	client := newTopic(t, startBroker(t), 1)
	started := make(chan struct{})
	c := consume(t, client, "group", kafka.StartEarliest, func(ctx context.Context, p *kafka.Partition) error {
		close(started)
		<-ctx.Done()
		return p.Commit(testContext(t), 7, "last") //nolint:contextcheck // The handler's own context has ended.
	})
	<-started
	c.stop(t)
	if p, _ := assigned(t, client, "group", kafka.StartEarliest); p.Committed != 7 || p.Metadata != "last" {
		t.Errorf("got offset %d, metadata %q", p.Committed, p.Metadata)
	}
}

func TestLatestBeginsAtTheEndAndStaysThere(t *testing.T) {
	t.Parallel()
	client := newTopic(t, startBroker(t), 1)
	producer := newProducer(t, client)
	publish(t, producer, message("a", 0))
	p, c := assigned(t, client, "group", kafka.StartLatest)
	if p.Committed != 1 {
		t.Errorf("begins at %d", p.Committed)
	}
	c.stop(t) // It has committed nothing itself.
	publish(t, producer, message("a", 1))
	if p, _ = assigned(t, client, "group", kafka.StartLatest); p.Committed != 1 {
		t.Errorf("a record was skipped: goes on at %d", p.Committed)
	}
}

func TestATimeBeginsAtTheFirstRecordThatIsNotOlder(t *testing.T) {
	t.Parallel()
	client := newTopic(t, startBroker(t), 1)
	producer := newProducer(t, client)
	publish(t, producer, message("a", 0))
	time.Sleep(20 * time.Millisecond) // A record's time has milliseconds.
	between := time.Now()
	time.Sleep(20 * time.Millisecond)
	publish(t, producer, message("a", 1))
	publish(t, producer, message("a", 2))
	for name, test := range map[string]struct {
		start time.Time
		want  int64
	}{
		"before all": {between.Add(-time.Hour), 0},
		"between":    {between, 1},
		"to come":    {between.Add(time.Hour), 3},
	} {
		p, c := assigned(t, client, "group "+name, kafka.StartOffset(test.start.UTC().Format(time.RFC3339Nano)))
		if p.Committed != test.want {
			t.Errorf("%s: begins at %d, want %d", name, p.Committed, test.want)
		}
		c.stop(t)
	}
}

func TestStartOffsetMustBeKnown(t *testing.T) {
	for start, valid := range map[kafka.StartOffset]bool{
		kafka.StartEarliest: true, kafka.StartLatest: true, "2026-01-31T00:00:00Z": true, "2026-01-31T08:00:00+08:00": true,
		"": false, "first": false, "2026-01-31": false,
	} {
		if err := start.Validate(); (err == nil) != valid {
			t.Errorf("%q: %v", start, err)
		}
	}
}

func TestCommitOfAPassedGenerationIsRefused(t *testing.T) {
	t.Parallel()
	client := newTopic(t, startBroker(t), 2)
	partitions := make(chan *kafka.Partition)
	consume(t, client, "group", kafka.StartEarliest, hold(partitions))
	stale := []*kafka.Partition{receive(t, partitions), receive(t, partitions)}

	others := make(chan *kafka.Partition)
	other := consume(t, client, "group", kafka.StartEarliest, hold(others))
	current := receive(t, others)
	if err := current.Commit(testContext(t), 5, "current"); err != nil {
		t.Fatal(err)
	}
	for _, p := range stale {
		if err := p.Commit(testContext(t), 1, "stale"); !errors.Is(err, kafka.ErrFenced) {
			t.Errorf("partition %d: %v", p.ID, err)
		}
	}
	receive(t, partitions)

	// A member that has left is refused as well.
	other.stop(t)
	if err := current.Commit(testContext(t), 1, "left"); !errors.Is(err, kafka.ErrFenced) {
		t.Errorf("after leaving: %v", err)
	}
	for range 2 {
		if p := receive(t, partitions); p.ID == current.ID && p.Metadata != "current" {
			t.Errorf("got offset %d, metadata %q", p.Committed, p.Metadata)
		}
	}
}

func TestMembersComeAndGoWithoutLossOrRewind(t *testing.T) {
	t.Parallel()
	const partitions, count = 4, 600
	b := startBroker(t)
	config := b.config()
	config.Topics.Partitions = partitions
	client := newClient(t, config)
	if err := client.EnsureTopics(testContext(t), []string{testTopic}); err != nil {
		t.Fatal(err)
	}
	producer := newProducer(t, client)

	var mu sync.Mutex
	committed := make(map[int]int64)
	handled := make(map[string]bool)
	handle := func(ctx context.Context, p *kafka.Partition) error {
		mu.Lock()
		if p.Committed < committed[p.ID] {
			t.Errorf("partition %d was rewound from %d to %d", p.ID, committed[p.ID], p.Committed)
		}
		mu.Unlock()
		for next := p.Committed; ctx.Err() == nil; {
			records, _, err := p.Fetch(ctx, next, 300)
			if err != nil {
				return err
			}
			for _, record := range records {
				next = record.Offset + 1
				mu.Lock()
				handled[string(record.Value)] = true
				mu.Unlock()
			}
			if len(records) == 0 {
				continue
			}
			if err := p.Commit(ctx, next, fmt.Sprint(next)); err != nil {
				return err
			}
			mu.Lock()
			committed[p.ID] = max(committed[p.ID], next)
			mu.Unlock()
		}
		return nil
	}
	all := func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(handled) >= count
	}

	first := consume(t, client, "group", kafka.StartEarliest, handle)
	for n := range count / 3 {
		publish(t, producer, message(fmt.Sprint("key", n%20), n))
	}
	consume(t, newClient(t, config), "group", kafka.StartEarliest, handle)
	for n := count / 3; n < 2*count/3; n++ {
		publish(t, producer, message(fmt.Sprint("key", n%20), n))
	}
	first.stop(t)
	for n := 2 * count / 3; n < count; n++ {
		publish(t, producer, message(fmt.Sprint("key", n%20), n))
	}
	eventually(t, "every record is handled", all)
}

func TestFailedPartitionIsHandedOutAgain(t *testing.T) {
	t.Parallel()
	client := newTopic(t, startBroker(t), 2)
	var calls [2]atomic.Int32
	again := make(chan struct{})
	consume(t, client, "group", kafka.StartEarliest, func(ctx context.Context, p *kafka.Partition) error {
		if calls[p.ID].Add(1) == 2 && p.ID == 0 {
			close(again)
		}
		if p.ID == 0 {
			return errors.New("sink is away")
		}
		<-ctx.Done()
		return ctx.Err()
	})
	select {
	case <-again:
	case <-time.After(patience):
		t.Fatal("never")
	}
}

func TestOffsetThatRetentionHasPassedIsNoticed(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	var log bytes.Buffer
	registry := prometheus.NewRegistry()
	config := b.config()
	config.Topics.Partitions = 1
	client, err := kafka.NewClient(config, kafka.Options{
		Logger:     slog.New(slog.NewJSONHandler(&log, nil)),
		Registerer: registry,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.EnsureTopics(testContext(t), []string{testTopic}); err != nil {
		t.Fatal(err)
	}
	producer := newProducer(t, client)
	for n := range 6 {
		publish(t, producer, message("a", n))
	}
	p, c := assigned(t, client, "group", kafka.StartEarliest)
	if err := b.DeleteRecords(testTopic, 0, 4); err != nil {
		t.Fatal(err)
	}
	if records := fetch(t, p, 0, 1<<20); records[0].Offset != 4 {
		t.Errorf("goes on at %d", records[0].Offset)
	}
	if err := b.DeleteRecords(testTopic, 0, 6); err != nil {
		t.Fatal(err)
	}
	for range 3 { // An empty log is noticed once, too.
		if records, _, err := p.Fetch(testContext(t), 5, 1<<20); err != nil || len(records) > 0 {
			t.Errorf("got %v, %v", records, err)
		}
	}
	publish(t, producer, message("a", 6))
	if records := fetch(t, p, 5, 1<<20); records[0].Offset != 6 {
		t.Errorf("goes on at %d", records[0].Offset)
	}
	// A log that was truncated is read from its start, and an offset that is
	// reached a second time is an offset like any other.
	if records := fetch(t, p, 100, 1<<20); records[0].Offset != 6 {
		t.Errorf("goes on at %d", records[0].Offset)
	}
	c.stop(t)

	want := `# HELP loyaltyhouse_kafka_offset_resets_total Times that the next offset was not in the log any more: records may have been deleted before they were consumed.
# TYPE loyaltyhouse_kafka_offset_resets_total counter
loyaltyhouse_kafka_offset_resets_total{group="group",topic="loyalty.points"} 3
`
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "loyaltyhouse_kafka_offset_resets_total"); err != nil {
		t.Error(err)
	}
	if got := strings.Count(log.String(), `"the next offset is not in the log any more`); got != 3 {
		t.Errorf("logged %d times: %s", got, &log)
	}
}

// An offset that the broker does not have, and then has, is in a log that was cut
// and has grown again: what is before it may be new, and is not passed over.
func TestLogThatWasCutAndHasGrownIsNoticed(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	producer := newProducer(t, client)
	for n := range 6 {
		publish(t, producer, message("a", n))
	}
	p, _ := assigned(t, client, "group", kafka.StartEarliest)
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.OffsetOutOfRange})
	records, _, err := p.Fetch(testContext(t), 4, 1<<20)
	if err == nil || errors.Is(err, kafka.ErrUnavailable) || errors.Is(err, kafka.ErrNoTopic) {
		t.Errorf("got %d records and %v, want an error that does not pass by itself", len(records), err)
	}
	if records := fetch(t, p, 4, 1<<20); records[0].Offset != 4 {
		t.Errorf("goes on at %d", records[0].Offset)
	}
}

func TestFetchHonoursMaxBytes(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	producer := newProducer(t, client)
	fault := refuseProduce(b, kerr.NotEnoughReplicas, -1) // So that they make up large batches.
	sizes := make(map[string]int)
	var callers sync.WaitGroup
	for n := range 200 {
		m := message("a", n)
		m.Value = append(m.Value, bytes.Repeat([]byte(" "), n*100)...) // Compresses well.
		sizes[string(m.Value)] = len(m.Key) + len(m.Value)
		callers.Go(func() { publish(t, producer, m) })
	}
	if err := fault.Wait(testContext(t), 3); err != nil {
		t.Fatal(err)
	}
	fault.Remove()
	callers.Wait()

	p, _ := assigned(t, client, "group", kafka.StartEarliest)
	for _, maxBytes := range []int{1, 5_000, 50_000, 10 << 20} {
		next := int64(0)
		for next < 200 {
			records := fetch(t, p, next, maxBytes)
			size := 0
			for _, record := range records {
				if record.Offset != next {
					t.Fatalf("max bytes %d: offset %d after %d", maxBytes, record.Offset, next-1)
				}
				next++
				size += sizes[string(record.Value)]
			}
			if size > maxBytes && len(records) > 1 {
				t.Errorf("max bytes %d: got %d bytes in %d records", maxBytes, size, len(records))
			}
		}
	}
}

func TestRecordsBelongToTheCaller(t *testing.T) {
	t.Parallel()
	client := newTopic(t, startBroker(t), 1)
	producer := newProducer(t, client)
	publish(t, producer, message("a", 0), message("b", 1))
	p, _ := assigned(t, client, "group", kafka.StartEarliest)
	kept := fetch(t, p, 0, 1)[0]
	clear(fetch(t, p, 1, 1)[0].Value)
	_ = append(kept.Key, "overwritten"...)
	fetch(t, p, 0, 1)
	if string(kept.Key) != "a" || string(kept.Value) != "a/0" {
		t.Errorf("got %s, %s", kept.Key, kept.Value)
	}
}

// The markers of transactions take offsets, but are no records.
func TestGapsInOffsetsAreSteppedOver(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	transactional, err := kgo.NewClient(append(b.kgoOptions(),
		kgo.TransactionalID("replay"), kgo.DefaultProduceTopic(testTopic))...)
	if err != nil {
		t.Fatal(err)
	}
	defer transactional.Close()
	for n := range 3 {
		if err := transactional.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		m := message("a", n)
		if err := transactional.ProduceSync(testContext(t), &kgo.Record{Key: m.Key, Value: m.Value}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := transactional.EndTransaction(testContext(t), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	p, _ := assigned(t, client, "group", kafka.StartEarliest)
	// Ask for the offset of each record, and of each marker.
	for offset, want := range []int64{0, 2, 2, 4, 4} {
		if records := fetch(t, p, int64(offset), 1); records[0].Offset != want {
			t.Errorf("from offset %d: got %d, want %d", offset, records[0].Offset, want)
		}
	}
	for range 2 {
		if records, highWater, err := p.Fetch(testContext(t), 5, 1); err != nil || len(records) > 0 || highWater != 6 {
			t.Errorf("at the end: %v, %d, %v", records, highWater, err)
		}
	}
	publish(t, newProducer(t, client), message("a", 3))
	if records := fetch(t, p, 5, 1); records[0].Offset != 6 {
		t.Errorf("behind the last marker: got %d", records[0].Offset)
	}
}

func TestConsumerOutlivesTheBroker(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	producer := newProducer(t, client)
	seen := make(chan string, 10)
	var unavailable atomic.Bool
	consume(t, client, "group", kafka.StartEarliest, func(ctx context.Context, p *kafka.Partition) error {
		for next := p.Committed; ctx.Err() == nil; {
			records, _, err := p.Fetch(ctx, next, 1<<20)
			if errors.Is(err, kafka.ErrUnavailable) {
				unavailable.Store(true)
				continue
			}
			if err != nil {
				return err
			}
			for _, record := range records {
				next = record.Offset + 1
				if err := p.Commit(ctx, next, ""); err != nil {
					return err
				}
				seen <- string(record.Value)
			}
		}
		return nil
	})
	publish(t, producer, message("a", 0))
	if got := <-seen; got != "a/0" {
		t.Errorf("got %s", got)
	}
	b.stop()
	eventually(t, "Fetch says that the broker is away", unavailable.Load)
	b.start()
	publish(t, producer, message("a", 1))
	eventually(t, "the new record is handled", func() bool {
		select {
		case got := <-seen:
			return got == "a/1"
		default:
			return false
		}
	})
}

func TestConsumeReturnsWhileTheBrokerIsGone(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	_, joined := assigned(t, client, "joined", kafka.StartEarliest)
	b.stop()
	joining := consume(t, client, "joining", kafka.StartEarliest, hold(nil))
	joined.stop(t)
	joining.stop(t)
}

func TestConsumeReturnsWhileTheGroupIsBeingFormed(t *testing.T) {
	t.Parallel()
	b := startBroker(t, kfake.SleepOutOfOrder())
	client := newTopic(t, b, 1)
	join := make(chan struct{})
	var once sync.Once
	b.ControlKey(int16(kmsg.JoinGroup), func(kmsg.Request) (kmsg.Response, error, bool) {
		once.Do(func() { close(join) })
		return nil, errors.New("does not answer"), true
	})
	c := consume(t, client, "group", kafka.StartEarliest, hold(nil))
	<-join
	c.stop(t)
}

func TestConsumeRefusesBadArguments(t *testing.T) {
	t.Parallel()
	client := newClient(t, kafka.DefaultConfig())
	for name, err := range map[string]error{
		"group":  client.Consume(t.Context(), "", []string{testTopic}, kafka.StartEarliest, nil),
		"topics": client.Consume(t.Context(), "group", nil, kafka.StartEarliest, nil),
		"start":  client.Consume(t.Context(), "group", []string{testTopic}, "middle", nil),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func TestTimestampBefore(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	producer := newProducer(t, client)
	for n := range 6 {
		publish(t, producer, message("a", n))
	}
	p, _ := assigned(t, client, "group", kafka.StartEarliest)
	records := fetch(t, p, 0, 1<<20)
	for len(records) < 6 {
		records = append(records, fetch(t, p, records[len(records)-1].Offset+1, 1<<20)...)
	}
	for _, r := range records {
		if got, err := p.TimestampBefore(testContext(t), r.Offset+1); err != nil || got != r.Time.UnixMilli() {
			t.Errorf("before offset %d: got %d, %v, want %d", r.Offset+1, got, err, r.Time.UnixMilli())
		}
	}
	for _, offset := range []int64{7, 8} {
		if got, err := p.TimestampBefore(testContext(t), offset); err != nil || got != 0 {
			t.Errorf("before offset %d of a log that ends at 6: got %d, %v, want 0", offset, got, err)
		}
	}
	// The log is too short when the record is asked for, and grows before its end is.
	b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.Fetch}, Err: kerr.OffsetOutOfRange})
	if got, err := p.TimestampBefore(testContext(t), 6); err != nil || got != records[5].Time.UnixMilli() {
		t.Errorf("before the end of a log that grows: got %d, %v, want %d", got, err, records[5].Time.UnixMilli())
	}
	if err := b.DeleteRecords(testTopic, 0, 4); err != nil {
		t.Fatal(err)
	}
	if _, err := p.TimestampBefore(testContext(t), 2); !errors.Is(err, kafka.ErrGone) {
		t.Errorf("before the start: got %v, want ErrGone", err)
	}
	first, err := p.First(testContext(t))
	if err != nil || first != 4 {
		t.Errorf("the log starts at %d, %v, want 4", first, err)
	}
	if end, err := p.End(testContext(t)); err != nil || end != 6 {
		t.Errorf("the log ends at %d, %v, want 6", end, err)
	}
}

// A commit whose answer was lost is not tried again: it can arrive late, and
// undo what was committed after it. The member leaves and comes back as another, of
// which nothing is on its way.
func TestCommitWithoutAnAnswerEndsTheGeneration(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	commits, stray := 0, make(chan *kmsg.OffsetCommitRequest, 1)
	b.ControlKey(int16(kmsg.OffsetCommit), func(request kmsg.Request) (kmsg.Response, error, bool) {
		b.KeepControl()
		if commits++; commits > 1 {
			return nil, nil, false
		}
		if commit, ok := request.(*kmsg.OffsetCommitRequest); ok {
			stray <- commit
		}
		return nil, errors.New("the connection is cut"), true
	})
	type assignment struct {
		generation int
		committed  int64
	}
	assignments := make(chan assignment, 10)
	failed := false
	consume(t, client, "group", kafka.StartEarliest, func(ctx context.Context, p *kafka.Partition) error {
		assignments <- assignment{p.Generation, p.Committed}
		if failed {
			<-ctx.Done()
			return nil
		}
		failed = true
		err := p.Commit(ctx, 3, "stray")
		if !errors.Is(err, kafka.ErrUnavailable) {
			t.Errorf("Commit returns %v, want ErrUnavailable", err)
		}
		return err
	})
	first, second := <-assignments, <-assignments
	if second.generation <= first.generation || second.committed != 0 {
		t.Errorf("got %+v and then %+v", first, second)
	}
	request := <-stray
	other, err := kgo.NewClient(append(b.kgoOptions(), kgo.MaxVersions(kversion.V2_8_0()))...) // Later ones name topics by id.
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	response, err := other.Request(testContext(t), request)
	if err != nil {
		t.Fatal(err)
	}
	for _, topic := range response.(*kmsg.OffsetCommitResponse).Topics {
		for _, p := range topic.Partitions {
			if p.ErrorCode != kerr.UnknownMemberID.Code {
				t.Errorf("the late commit is answered %d, want that the member is unknown", p.ErrorCode)
			}
		}
	}
}
