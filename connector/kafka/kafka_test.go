package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"

	"loyaltyhouse/connector/harness"
	"loyaltyhouse/connector/kafka"
)

const testTopic = "loyalty.points"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m, harness.ToxiproxyLeaks()...) }

// patience bounds what should happen at once, on the slowest machine.
const patience = 30 * time.Second

// broker is an in-process broker on a unix socket that can go and come back.
type broker struct {
	t       testing.TB
	dir     string
	options []kfake.Opt
	*kfake.Cluster

	mu    sync.Mutex
	conns []net.Conn
}

func startBroker(t testing.TB, options ...kfake.Opt) *broker {
	t.Helper()
	dir, err := os.MkdirTemp("", "kafka") // Shorter than t.TempDir, as a socket's path must be.
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	b := &broker{t: t, dir: dir, options: options}
	b.start()
	t.Cleanup(b.stop)
	return b
}

func (b *broker) start() {
	b.t.Helper()
	var err error
	b.Cluster, err = kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ListenFn(b.listen),
		kfake.DataDir(filepath.Join(b.dir, "data")),
		kfake.GroupMinSessionTimeout(time.Second),
	}, b.options...)...)
	if err != nil {
		b.t.Fatal(err)
	}
}

// stop also cuts the connections, as the end of a process would.
func (b *broker) stop() {
	b.Close()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, conn := range b.conns {
		_ = conn.Close()
	}
	b.conns = nil
}

func (b *broker) socket() string { return filepath.Join(b.dir, "s") }

func (b *broker) listen(_, _ string) (net.Listener, error) {
	listener, err := new(net.ListenConfig).Listen(context.Background(), "unix", b.socket())
	return &recordingListener{Listener: listener, broker: b}, err
}

type recordingListener struct {
	net.Listener
	broker *broker
}

func (l *recordingListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err == nil {
		l.broker.mu.Lock()
		l.broker.conns = append(l.broker.conns, conn)
		l.broker.mu.Unlock()
	}
	return conn, err
}

// config is that of a client of the broker.
func (b *broker) config() kafka.Config {
	config := kafka.DefaultConfig()
	config.Brokers = []string{"unix:" + b.socket()}
	return config
}

func newClient(t testing.TB, config kafka.Config) *kafka.Client {
	t.Helper()
	client, err := kafka.NewClient(config, kafka.Options{Registerer: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// newTopic starts a client and makes the topic with so many partitions.
func newTopic(t testing.TB, b *broker, partitions int) *kafka.Client {
	t.Helper()
	config := b.config()
	config.Topics.Partitions = partitions
	client, err := kafka.NewClient(config, kafka.Options{Topics: []string{testTopic}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.EnsureTopics(testContext(t), []string{testTopic}); err != nil {
		t.Fatal(err)
	}
	return client
}

func newProducer(t testing.TB, client *kafka.Client, change ...func(*kafka.ProducerConfig)) *kafka.Producer {
	t.Helper()
	config := kafka.DefaultProducerConfig()
	for _, change := range change {
		change(&config)
	}
	producer := client.NewProducer(config)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = producer.Close(ctx)
	})
	return producer
}

func testContext(t testing.TB) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// message is the n-th of a key.
func message(key string, n int) kafka.Message {
	return kafka.Message{Topic: testTopic, Key: []byte(key), Value: fmt.Appendf(nil, "%s/%d", key, n)}
}

func publish(t testing.TB, producer *kafka.Producer, messages ...kafka.Message) {
	t.Helper()
	if err := producer.Publish(testContext(t), messages...); err != nil {
		t.Fatal(err)
	}
}

// consumer runs Consume until the test stops it.
type consumer struct {
	cancel context.CancelFunc
	done   chan error
}

func consume(t testing.TB, client *kafka.Client, group string, start kafka.StartOffset, handle kafka.HandleFunc) *consumer {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &consumer{cancel: cancel, done: make(chan error, 1)}
	go func() { c.done <- client.Consume(ctx, group, []string{testTopic}, start, handle) }()
	t.Cleanup(func() { c.stop(t) })
	return c
}

func (c *consumer) stop(t testing.TB) {
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

// read returns the first records of all partitions, in order per partition.
func read(t testing.TB, client *kafka.Client, count int) map[int][]kafka.Record {
	t.Helper()
	var mu sync.Mutex
	records, left := make(map[int][]kafka.Record), count
	done := make(chan struct{})
	c := consume(t, client, t.Name()+time.Now().String(), kafka.StartEarliest, func(ctx context.Context, p *kafka.Partition) error {
		for next := p.Committed; ctx.Err() == nil; {
			fetched, _, err := p.Fetch(ctx, next, 1<<20)
			if err != nil {
				continue
			}
			mu.Lock()
			for _, record := range fetched {
				next = record.Offset + 1
				records[p.ID] = append(records[p.ID], record)
				if left--; left == 0 {
					close(done)
				}
			}
			mu.Unlock()
		}
		return nil
	})
	select {
	case <-done:
	case <-time.After(patience):
		t.Errorf("%d of %d records are missing", left, count)
	}
	c.stop(t)
	return records
}

// eventually polls until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("never: %s", what)
		}
	}
}

// transport is for what the package has no function for.
func (b *broker) transport(t testing.TB) *kafkago.Transport {
	t.Helper()
	transport := &kafkago.Transport{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", b.socket())
	}}
	t.Cleanup(transport.CloseIdleConnections)
	return transport
}

// dump returns all values of a topic, partition by partition, read without the
// package under test.
func (b *broker) dump(t testing.TB, topic string, partitions int) (values []string) {
	t.Helper()
	client := kafkago.Client{Addr: kafkago.TCP("localhost:9092"), Transport: b.transport(t)}
	for id := range partitions {
		end := b.PartitionInfo(topic, int32(id)).HighWatermark
		for next := int64(0); next < end; {
			response, err := client.Fetch(testContext(t), &kafkago.FetchRequest{
				Topic: topic, Partition: id, Offset: next, MinBytes: 1, MaxBytes: 1 << 20, MaxWait: time.Second,
			})
			if err != nil || response.Error != nil {
				t.Fatal(err, response)
			}
			for {
				record, err := response.Records.ReadRecord()
				if errors.Is(err, io.EOF) {
					break
				}
				if err != nil {
					t.Fatal(err)
				}
				value, err := kafkago.ReadAll(record.Value)
				if err != nil {
					t.Fatal(err)
				}
				if record.Offset >= next {
					values, next = append(values, string(value)), record.Offset+1
				}
			}
		}
	}
	return values
}

func (b *broker) kgoOptions() []kgo.Opt {
	return []kgo.Opt{
		kgo.SeedBrokers("localhost:9092"),
		kgo.Dialer(func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", b.socket())
		}),
	}
}
