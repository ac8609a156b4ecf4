//go:build linux && apachekafka

package apachekafka_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"loyaltyhouse/connector/apachekafka"
	"loyaltyhouse/connector/kafka"
)

// uniquely returns a name that no other test has.
func uniquely(name string) string { return name + "-" + strings.ToLower(rand.Text()[:8]) }

// clientConfig is that of a client of a cluster.
func clientConfig(cluster *apachekafka.Cluster, partitions int) kafka.Config {
	config := kafka.DefaultConfig()
	config.Brokers = cluster.Addresses()
	config.Topics.Partitions = partitions
	return config
}

func newClient(t *testing.T, config kafka.Config, options kafka.Options) *kafka.Client {
	t.Helper()
	options.Logger = testLog(t)
	client, err := kafka.NewClient(config, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// newTopic makes a topic and a client for it.
func newTopic(t *testing.T, partitions int) (*kafka.Client, string) {
	t.Helper()
	topic := uniquely("topic")
	client := newClient(t, clientConfig(oneNode(t), partitions), kafka.Options{Topics: []string{topic}})
	if err := client.EnsureTopics(testContext(t), []string{topic}); err != nil {
		t.Fatal(err)
	}
	return client, topic
}

func newProducer(t *testing.T, client *kafka.Client, change ...func(*kafka.ProducerConfig)) *kafka.Producer {
	t.Helper()
	config := kafka.DefaultProducerConfig()
	for _, change := range change {
		change(&config)
	}
	producer := client.NewProducer(config)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = producer.Close(ctx) // A test that is over does not want the rest.
	})
	return producer
}

// message is the n-th of a key.
func message(topic, key string, n int) kafka.Message {
	return kafka.Message{Topic: topic, Key: []byte(key), Value: fmt.Appendf(nil, "%s/%d", key, n)}
}

func publish(t *testing.T, producer *kafka.Producer, messages ...kafka.Message) {
	t.Helper()
	if err := producer.Publish(testContext(t), messages...); err != nil {
		t.Fatal(err)
	}
}

// franz is a client of another library, to look at a cluster with.
func franz(t *testing.T, cluster *apachekafka.Cluster, options ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(cluster.Addresses()...), kgo.MetadataMinAge(100 * time.Millisecond)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// topicSettings are the values of a topic's settings that are not the default.
func topicSettings(t *testing.T, cluster *apachekafka.Cluster, topic string) map[string]string {
	t.Helper()
	request := kmsg.NewPtrDescribeConfigsRequest()
	resource := kmsg.NewDescribeConfigsRequestResource()
	resource.ResourceType, resource.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	request.Resources = append(request.Resources, resource)
	response, err := request.RequestWith(testContext(t), franz(t, cluster))
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, config := range response.Resources[0].Configs {
		if config.Source == kmsg.ConfigSourceDynamicTopicConfig && config.Value != nil {
			settings[config.Name] = *config.Value
		}
	}
	return settings
}

// partitionsOf asks for the metadata of a topic.
func partitionsOf(t *testing.T, client *kgo.Client, topic string) []kmsg.MetadataResponseTopicPartition {
	t.Helper()
	request := kmsg.NewPtrMetadataRequest()
	wanted := kmsg.NewMetadataRequestTopic()
	wanted.Topic = &topic
	request.Topics = append(request.Topics, wanted)
	response, err := request.RequestWith(testContext(t), client)
	if err != nil {
		t.Fatal(err)
	}
	return response.Topics[0].Partitions
}

// records reads a topic to its end, by partition, with another library.
func records(t *testing.T, cluster *apachekafka.Cluster, topic string, count int) map[int32][]*kgo.Record {
	t.Helper()
	client := franz(t, cluster, kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	all := map[int32][]*kgo.Record{}
	for ctx := testContext(t); count > 0; {
		fetched := client.PollFetches(ctx)
		if err := fetched.Err(); err != nil {
			t.Fatalf("%d records of %s are missing: %v", count, topic, err)
		}
		fetched.EachRecord(func(r *kgo.Record) {
			all[r.Partition] = append(all[r.Partition], r)
			count--
		})
	}
	return all
}

// A consumer runs Consume until the test stops it.
type consumer struct {
	cancel context.CancelFunc
	done   chan error
}

func consume(t *testing.T, client *kafka.Client, group, topic string, start kafka.StartOffset, handle kafka.HandleFunc) *consumer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &consumer{cancel: cancel, done: make(chan error, 1)}
	go func() { c.done <- client.Consume(ctx, group, []string{topic}, start, handle) }()
	t.Cleanup(func() { c.stop(t) })
	return c
}

func (c *consumer) stop(t *testing.T) {
	t.Helper()
	c.cancel()
	select {
	case err := <-c.done:
		if err != nil {
			t.Error(err)
		}
		c.done <- nil
	case <-time.After(patience):
		t.Fatal("Consume does not return")
	}
}

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

// next takes the next partition that is handed out.
func next(t *testing.T, partitions <-chan *kafka.Partition) *kafka.Partition {
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
func assigned(t *testing.T, client *kafka.Client, group, topic string, start kafka.StartOffset) (*kafka.Partition, *consumer) {
	t.Helper()
	partitions := make(chan *kafka.Partition)
	c := consume(t, client, group, topic, start, hold(partitions))
	return next(t, partitions), c
}

// fetch returns the next records, of which there must be some.
func fetch(t *testing.T, p *kafka.Partition, offset int64, maxBytes int) []kafka.Record {
	t.Helper()
	var fetched []kafka.Record
	eventually(t, "records are fetched", func() bool {
		var err error
		if fetched, _, err = p.Fetch(testContext(t), offset, maxBytes); err != nil && !errors.Is(err, kafka.ErrUnavailable) && !errors.Is(err, kafka.ErrNoTopic) {
			t.Fatal(err)
		}
		return len(fetched) > 0
	})
	return fetched
}

// Topics that are missing are created with the configured settings, and those
// that exist are left alone.
func TestTopics(t *testing.T) {
	cluster := oneNode(t)
	config := clientConfig(cluster, 2)
	config.Topics.RetentionMillis, config.Topics.MinInSyncReplicas = -1, 1
	topics := []string{uniquely("old"), uniquely("new")}
	for range 2 {
		if err := newClient(t, config, kafka.Options{}).EnsureTopics(testContext(t), topics[:1]); err != nil {
			t.Fatal(err)
		}
	}
	config.Topics.Partitions = 5
	client := newClient(t, config, kafka.Options{})
	if err := client.EnsureTopics(testContext(t), topics); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(testContext(t)); err != nil {
		t.Errorf("all is well: %v", err)
	}
	for i, want := range []int{2, 5} {
		if got := len(partitionsOf(t, franz(t, cluster), topics[i])); got != want {
			t.Errorf("%s has %d partitions, not %d", topics[i], got, want)
		}
	}
	want := map[string]string{"cleanup.policy": "delete", "max.message.bytes": "8388608", "retention.ms": "-1", "min.insync.replicas": "1"}
	if got := topicSettings(t, cluster, topics[0]); !maps.Equal(got, want) {
		t.Errorf("the settings are %v, not %v", got, want)
	}
}

// What Kafka refuses is told with what to do.
func TestTopicsThatAreRefused(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*kafka.TopicConfig)
		want   string
	}{
		"not allowed to create": {func(c *kafka.TopicConfig) { c.Create = false }, "topics.create"},
		"too many replicas":     {func(c *kafka.TopicConfig) { c.ReplicationFactor = 3 }, "topics.replication_factor"},
	} {
		config := clientConfig(oneNode(t), 1)
		test.change(&config.Topics)
		err := newClient(t, config, kafka.Options{}).EnsureTopics(testContext(t), []string{uniquely("topic")})
		if err == nil || errors.Is(err, kafka.ErrUnavailable) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// Every codec is understood by Kafka, by another client and by this one; keys
// keep their order and go where Java's partitioner would send them.
func TestCodecs(t *testing.T) {
	const keys, each = 16, 30
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		t.Run(codec, func(t *testing.T) {
			client, topic := newTopic(t, 3)
			producer := newProducer(t, client, func(c *kafka.ProducerConfig) { c.Compression = codec })
			var publishers errgroup.Group
			for k := range keys {
				publishers.Go(func() error {
					for n := range each {
						if err := producer.Publish(t.Context(), message(topic, fmt.Sprint("key-", k), n)); err != nil {
							return err
						}
					}
					return nil
				})
			}
			if err := publishers.Wait(); err != nil {
				t.Fatal(err)
			}
			partitioner := kgo.StickyKeyPartitioner(nil).ForTopic(topic)
			written := records(t, oneNode(t), topic, keys*each)
			seen := map[string]int{}
			for partition, all := range written {
				for _, r := range all {
					key := string(r.Key)
					if want := fmt.Sprintf("%s/%d", key, seen[key]); string(r.Value) != want {
						t.Fatalf("got %s instead of %s", r.Value, want)
					}
					seen[key]++
					if want := partitioner.Partition(&kgo.Record{Key: r.Key}, 3); want != int(partition) {
						t.Errorf("%s is in partition %d, not %d", key, partition, want)
					}
				}
			}

			read := make(chan string)
			consume(t, client, uniquely("group"), topic, kafka.StartEarliest, func(ctx context.Context, p *kafka.Partition) error {
				want := written[int32(p.ID)]
				for offset := int64(0); offset < int64(len(want)); {
					fetched, _, err := p.Fetch(ctx, offset, 1<<20)
					if err != nil && ctx.Err() != nil {
						return nil
					}
					for _, r := range fetched {
						w := want[r.Offset]
						if r.Offset != offset || !bytes.Equal(r.Key, w.Key) || !bytes.Equal(r.Value, w.Value) || !r.Time.Equal(w.Timestamp) {
							read <- fmt.Sprintf("offset %d of partition %d: got %s", r.Offset, p.ID, r.Value)
							return nil
						}
						offset++
					}
				}
				read <- ""
				<-ctx.Done()
				return nil
			})
			for range 3 {
				select {
				case wrong := <-read:
					if wrong != "" {
						t.Error(wrong)
					}
				case <-time.After(patience):
					t.Fatal("the records are not read")
				}
			}
		})
	}
}

// A webhook of the largest size is kept, and what Kafka finds too large is
// refused alone.
func TestLargeMessages(t *testing.T) {
	client, topic := newTopic(t, 1)
	producer := newProducer(t, client, func(c *kafka.ProducerConfig) { c.Compression = "none" })
	large := kafka.Message{Topic: topic, Key: []byte("large"), Value: bytes.Repeat([]byte("0123456789abcdef"), 7<<20/16)}
	publish(t, producer, message(topic, "small", 0), large, message(topic, "small", 1))
	if err := producer.Publish(testContext(t), kafka.Message{Topic: topic, Value: make([]byte, 9<<20)}); err == nil {
		t.Error("a message of 9 MiB was taken by a topic that allows 8")
	} else if failure, ok := errors.AsType[*kafka.PublishError](err); !ok || failure.Reason != kafka.ReasonTooLarge {
		t.Errorf("a message of 9 MiB: %v", err)
	}
	publish(t, producer, message(topic, "small", 2))

	p, _ := assigned(t, client, uniquely("group"), topic, kafka.StartEarliest)
	var read []string
	for offset := int64(0); offset < 4; {
		for _, r := range fetch(t, p, offset, 1<<20) {
			if string(r.Key) == "large" && !bytes.Equal(r.Value, large.Value) {
				t.Error("the large message has changed")
			}
			read = append(read, string(r.Key))
			offset = r.Offset + 1
		}
	}
	if want := []string{"small", "large", "small", "small"}; !slices.Equal(read, want) {
		t.Errorf("read %v, not %v", read, want)
	}
}

// A group goes on where it has committed, and finds what it has noted there.
func TestCommits(t *testing.T) {
	client, topic := newTopic(t, 1)
	producer := newProducer(t, client)
	for n := range 5 {
		publish(t, producer, message(topic, "a", n))
	}
	group := uniquely("group")
	p, c := assigned(t, client, group, topic, kafka.StartEarliest)
	if p.Committed != 0 || p.Metadata != "" {
		t.Errorf("before the first commit: %+v", p)
	}
	long := strings.Repeat("x", 4096)
	for _, commit := range []struct {
		offset   int64
		metadata string
	}{{0, long}, {3, ""}, {3, `{"first":3,"last":4}`}} {
		if err := p.Commit(testContext(t), commit.offset, commit.metadata); err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Commit(testContext(t), 3, long+"x"); err == nil {
		t.Error("metadata of 4097 bytes was taken")
	}
	c.stop(t)
	p, c = assigned(t, client, group, topic, kafka.StartEarliest)
	if p.Committed != 3 || p.Metadata != `{"first":3,"last":4}` {
		t.Errorf("got offset %d, metadata %q", p.Committed, p.Metadata)
	}
	if r := fetch(t, p, p.Committed, 1<<20); r[0].Offset != 3 || string(r[0].Value) != "a/3" {
		t.Errorf("got %+v", r[0])
	}
	c.stop(t)

	// A group that begins at the end stays there.
	group = uniquely("latest")
	p, c = assigned(t, client, group, topic, kafka.StartLatest)
	if p.Committed != 5 {
		t.Errorf("begins at %d", p.Committed)
	}
	c.stop(t)
	publish(t, producer, message(topic, "a", 5))
	if p, _ = assigned(t, client, group, topic, kafka.StartLatest); p.Committed != 5 {
		t.Errorf("goes on at %d", p.Committed)
	}
}

// A member whose generation has passed cannot commit, be it the offset or an
// intent.
func TestStaleGenerationIsFenced(t *testing.T) {
	client, topic := newTopic(t, 2)
	group := uniquely("group")
	partitions := make(chan *kafka.Partition)
	consume(t, client, group, topic, kafka.StartEarliest, hold(partitions))
	stale := []*kafka.Partition{next(t, partitions), next(t, partitions)}

	others := make(chan *kafka.Partition)
	other := consume(t, client, group, topic, kafka.StartEarliest, hold(others))
	current := next(t, others)
	if err := current.Commit(testContext(t), 5, "current"); err != nil {
		t.Fatal(err)
	}
	for _, p := range stale {
		if err := p.Commit(testContext(t), 1, "stale"); !errors.Is(err, kafka.ErrFenced) {
			t.Errorf("partition %d: %v", p.ID, err)
		}
	}
	next(t, partitions)
	other.stop(t)
	if err := current.Commit(testContext(t), 1, "left"); !errors.Is(err, kafka.ErrFenced) {
		t.Errorf("after leaving: %v", err)
	}
	for range 2 {
		if p := next(t, partitions); p.ID == current.ID && (p.Committed != 5 || p.Metadata != "current") {
			t.Errorf("got offset %d, metadata %q", p.Committed, p.Metadata)
		}
	}
}

// Two members, three, and one again: each has its share, no record is passed
// over and no commit is rewound.
func TestMembersComeAndGo(t *testing.T) {
	t.Parallel() // It waits most of the time.
	const partitions, count = 6, 600
	cluster := oneNode(t)
	client, topic := newTopic(t, partitions)
	producer := newProducer(t, client)
	group := uniquely("group")

	var mu sync.Mutex
	committed := map[int]int64{}
	handled := map[string]bool{}
	shares := map[int]int{} // partitions by member
	handle := func(member int) kafka.HandleFunc {
		return func(ctx context.Context, p *kafka.Partition) error {
			mu.Lock()
			shares[member]++
			if p.Committed < committed[p.ID] {
				t.Errorf("partition %d was rewound from %d to %d", p.ID, committed[p.ID], p.Committed)
			}
			mu.Unlock()
			defer func() {
				mu.Lock()
				shares[member]--
				mu.Unlock()
			}()
			for offset := p.Committed; ctx.Err() == nil; {
				fetched, _, err := p.Fetch(ctx, offset, 300)
				if err != nil {
					return err
				}
				for _, r := range fetched {
					offset = r.Offset + 1
					mu.Lock()
					handled[string(r.Value)] = true
					mu.Unlock()
				}
				if len(fetched) == 0 {
					continue
				}
				if err := p.Commit(ctx, offset, fmt.Sprint(offset)); err != nil {
					return err
				}
				mu.Lock()
				committed[p.ID] = max(committed[p.ID], offset)
				mu.Unlock()
			}
			return nil
		}
	}
	sent := 0
	shared := func(want map[int]int) {
		t.Helper()
		eventually(t, fmt.Sprint("the shares are ", want), func() bool {
			mu.Lock()
			defer mu.Unlock()
			return maps.Equal(shares, want)
		})
		for range count / 4 {
			publish(t, producer, message(topic, fmt.Sprint("key", sent%20), sent))
			sent++
		}
	}
	join := func(member int) *consumer {
		own := newClient(t, clientConfig(cluster, partitions), kafka.Options{Topics: []string{topic}})
		return consume(t, own, group, topic, kafka.StartEarliest, handle(member))
	}
	first := join(1)
	shared(map[int]int{1: 6})
	second := join(2)
	shared(map[int]int{1: 3, 2: 3})
	join(3)
	shared(map[int]int{1: 2, 2: 2, 3: 2})
	first.stop(t)
	second.stop(t)
	shared(map[int]int{1: 0, 2: 0, 3: 6})
	eventually(t, "every record is handled", func() bool {
		mu.Lock()
		defer mu.Unlock()
		return len(handled) == sent
	})
}

// A topic that grows is written to and read from without a restart.
func TestTopicGrows(t *testing.T) {
	t.Parallel() // It waits most of the time.
	client, topic := newTopic(t, 1)
	producer := newProducer(t, client)
	seen := make(chan int, 100)
	consume(t, client, uniquely("group"), topic, kafka.StartEarliest, func(ctx context.Context, p *kafka.Partition) error {
		for offset := p.Committed; ctx.Err() == nil; {
			fetched, _, err := p.Fetch(ctx, offset, 1<<20)
			if err != nil {
				return err
			}
			for _, r := range fetched {
				offset = r.Offset + 1
				if err := p.Commit(ctx, offset, ""); err != nil {
					return err
				}
				seen <- p.ID
			}
		}
		return nil
	})
	publish(t, producer, message(topic, "a", 0))

	request := kmsg.NewPtrCreatePartitionsRequest()
	grown := kmsg.NewCreatePartitionsRequestTopic()
	grown.Topic, grown.Count = topic, 4
	request.Topics = append(request.Topics, grown)
	response, err := request.RequestWith(testContext(t), franz(t, oneNode(t)))
	if err != nil || response.Topics[0].ErrorCode != 0 {
		t.Fatal(err, response)
	}
	used := map[int]bool{}
	n := 0
	eventually(t, "records go through all four partitions", func() bool {
		publish(t, producer, message(topic, fmt.Sprint("key", n), n))
		n++
		select {
		case partition := <-seen:
			used[partition] = true
		default:
		}
		return len(used) == 4
	})
}

// A topic that is deleted and made anew is used like a new one: it begins at
// its start.
func TestTopicMadeAnew(t *testing.T) {
	client, topic := newTopic(t, 1)
	producer := newProducer(t, client)
	group := uniquely("group")
	p, c := assigned(t, client, group, topic, kafka.StartEarliest)
	for n := range 5 {
		publish(t, producer, message(topic, "old", n))
	}
	if err := p.Commit(testContext(t), 5, "noted"); err != nil {
		t.Fatal(err)
	}

	request := kmsg.NewPtrDeleteTopicsRequest()
	gone := kmsg.NewDeleteTopicsRequestTopic()
	gone.Topic = &topic
	request.Topics, request.TopicNames = append(request.Topics, gone), []string{topic}
	response, err := request.RequestWith(testContext(t), franz(t, oneNode(t)))
	if err != nil || response.Topics[0].ErrorCode != 0 {
		t.Fatal(err, response)
	}
	eventually(t, "the loss is noticed", func() bool {
		err := client.Ping(testContext(t))
		return errors.Is(err, kafka.ErrUnavailable) && strings.Contains(err.Error(), topic)
	})
	if err := client.EnsureTopics(testContext(t), []string{topic}); err != nil {
		t.Fatal(err)
	}
	publish(t, producer, message(topic, "new", 0))
	if r := fetch(t, p, 5, 1<<20); r[0].Offset != 0 || string(r[0].Value) != "new/0" {
		t.Errorf("the member that was there goes on with %+v", r[0])
	}
	c.stop(t)
	p, _ = assigned(t, client, group, topic, kafka.StartEarliest)
	if r := fetch(t, p, p.Committed, 1<<20); r[0].Offset != 0 || string(r[0].Value) != "new/0" {
		t.Errorf("the group goes on with %+v", r[0])
	}
}

// Records that retention has deleted are passed over, once, and told.
func TestDeletedRecords(t *testing.T) {
	topic := uniquely("topic")
	registry := prometheus.NewRegistry()
	client := newClient(t, clientConfig(oneNode(t), 1), kafka.Options{Topics: []string{topic}, Registerer: registry})
	if err := client.EnsureTopics(testContext(t), []string{topic}); err != nil {
		t.Fatal(err)
	}
	producer := newProducer(t, client)
	for n := range 6 {
		publish(t, producer, message(topic, "a", n))
	}
	p, _ := assigned(t, client, "group", topic, kafka.StartEarliest)
	request := kmsg.NewPtrDeleteRecordsRequest()
	in := kmsg.NewDeleteRecordsRequestTopic()
	in.Topic = topic
	before := kmsg.NewDeleteRecordsRequestTopicPartition()
	before.Offset = 4
	in.Partitions = append(in.Partitions, before)
	request.Topics = append(request.Topics, in)
	response, err := request.RequestWith(testContext(t), franz(t, oneNode(t)))
	if err != nil || response.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatal(err, response)
	}
	if r := fetch(t, p, 0, 1<<20); r[0].Offset != 4 {
		t.Errorf("goes on at %d", r[0].Offset)
	}
	want := fmt.Sprintf(`# HELP loyaltyhouse_kafka_offset_resets_total Times that the next offset was not in the log any more: records may have been deleted before they were consumed.
# TYPE loyaltyhouse_kafka_offset_resets_total counter
loyaltyhouse_kafka_offset_resets_total{group="group",topic=%q} 1
`, topic)
	if err := testutil.GatherAndCompare(registry, strings.NewReader(want), "loyaltyhouse_kafka_offset_resets_total"); err != nil {
		t.Error(err)
	}
}

// The markers of other programs' transactions have offsets but are no records.
func TestTransactions(t *testing.T) {
	client, topic := newTopic(t, 1)
	other := franz(t, oneNode(t), kgo.TransactionalID(uniquely("transaction")))
	for n := range 3 {
		if err := other.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		if err := other.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: fmt.Append(nil, n)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
		if err := other.EndTransaction(testContext(t), kgo.TryCommit); err != nil {
			t.Fatal(err)
		}
	}
	p, _ := assigned(t, client, uniquely("group"), topic, kafka.StartEarliest)
	offset := int64(0)
	for n := range 3 {
		r := fetch(t, p, offset, 1)[0]
		if string(r.Value) != fmt.Sprint(n) {
			t.Errorf("record %d at offset %d is %s", n, r.Offset, r.Value)
		}
		offset = r.Offset + 1
	}
	if offset != 5 {
		t.Errorf("the last record is before offset %d, not 5", offset)
	}
}
