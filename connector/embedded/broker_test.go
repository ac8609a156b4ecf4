package embedded_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"loyaltyhouse/connector/embedded"
)

// anywhere stands where kafka-go wants an address. The dial function decides.
var anywhere = kafka.TCP("embedded:9092")

type dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)

func startBroker(t *testing.T, cfg embedded.Config) *embedded.Broker {
	t.Helper()
	broker, err := embedded.StartBroker(t.Context(), cfg, quiet())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	return broker
}

// withClient lends a client that is closed when the function returns.
func withClient(dial dialFunc, use func(*kafka.Client)) {
	transport := &kafka.Transport{Dial: dial}
	defer transport.CloseIdleConnections()
	use(&kafka.Client{Addr: anywhere, Transport: transport, Timeout: 20 * time.Second})
}

func createTopic(t *testing.T, dial dialFunc, topic string, partitions int) {
	t.Helper()
	withClient(dial, func(client *kafka.Client) {
		response, err := client.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{
			Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: partitions, ReplicationFactor: 1}},
		})
		if err != nil || response.Errors[topic] != nil {
			t.Fatalf("create topic %s: %v, %v", topic, err, response)
		}
	})
}

// produce returns when the broker has acknowledged the values, one batch each.
func produce(t *testing.T, dial dialFunc, topic string, values ...[]byte) {
	t.Helper()
	withClient(dial, func(client *kafka.Client) {
		for _, value := range values {
			response, err := client.Produce(t.Context(), &kafka.ProduceRequest{
				Topic: topic, RequiredAcks: kafka.RequireAll,
				Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes(value)}),
			})
			if err != nil || response.Error != nil {
				t.Fatalf("produce to %s: %v, %+v", topic, err, response)
			}
		}
	})
}

// consume returns the values of partition 0 between the given offsets.
func consume(t *testing.T, dial dialFunc, topic string, first, end int64) []string {
	t.Helper()
	reader := kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{anywhere.String()}, Topic: topic, MinBytes: 1, MaxBytes: 32 << 20, MaxWait: 100 * time.Millisecond,
		Dialer: &kafka.Dialer{DialFunc: dial, Timeout: 20 * time.Second},
	})
	defer func() { _ = reader.Close() }()
	if err := reader.SetOffset(first); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	var values []string
	for offset := first; offset < end; offset++ {
		message, err := reader.ReadMessage(ctx)
		if err != nil || message.Offset != offset {
			t.Fatalf("read offset %d of %s: got %d, %v", offset, topic, message.Offset, err)
		}
		values = append(values, string(message.Value))
	}
	return values
}

// offsets returns partition 0's first offset and the one after its last.
func offsets(t *testing.T, dial dialFunc, topic string) (first, end int64) {
	t.Helper()
	withClient(dial, func(client *kafka.Client) {
		response, err := client.ListOffsets(t.Context(), &kafka.ListOffsetsRequest{
			Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}},
		})
		if err != nil || response.Topics[topic][0].Error != nil {
			t.Fatalf("list the offsets of %s: %v, %+v", topic, err, response)
		}
		first, end = response.Topics[topic][0].FirstOffset, response.Topics[topic][0].LastOffset
	})
	return first, end
}

func TestBrokerServesKafkaClients(t *testing.T) {
	broker := startBroker(t, testConfig(t.TempDir()))
	createTopic(t, broker.Dial, "loyalty.points", 1)
	produce(t, broker.Dial, "loyalty.points", []byte("one"), []byte("two"))
	if got := consume(t, broker.Dial, "loyalty.points", 0, 2); strings.Join(got, " ") != "one two" {
		t.Errorf("consumed %q, want one and two", got)
	}
}

func TestBrokerKeepsWhatItAcknowledged(t *testing.T) {
	dir := t.TempDir()
	killed := startPart(t, "broker", dir)
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", killed.address)
	}
	createTopic(t, dial, "loyalty.points", 1)
	const records = 50
	var values [][]byte
	for n := range records {
		values = append(values, fmt.Appendf(nil, "record %d", n))
	}
	produce(t, dial, "loyalty.points", values...)
	commit(t, dial, "sink", "loyalty.points", 7)
	killed.kill(t)

	broker := startBroker(t, testConfig(dir)) // The socket of the killed one lies in its way.
	for n, got := range consume(t, broker.Dial, "loyalty.points", 0, records) {
		if want := string(values[n]); got != want {
			t.Errorf("offset %d holds %q, want %q", n, got, want)
		}
	}
	if got := committed(t, broker.Dial, "sink", "loyalty.points"); got != 7 {
		t.Errorf("the committed offset is %d, want 7", got)
	}
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}

	broker = startBroker(t, testConfig(dir))
	if _, end := offsets(t, broker.Dial, "loyalty.points"); end != records {
		t.Errorf("after an orderly restart the partition ends at %d, want %d", end, records)
	}
	if got := committed(t, broker.Dial, "sink", "loyalty.points"); got != 7 {
		t.Errorf("after an orderly restart the committed offset is %d, want 7", got)
	}
}

func commit(t *testing.T, dial dialFunc, group, topic string, offset int64) {
	t.Helper()
	withClient(dial, func(client *kafka.Client) {
		response, err := client.OffsetCommit(t.Context(), &kafka.OffsetCommitRequest{
			GroupID: group, GenerationID: -1,
			Topics: map[string][]kafka.OffsetCommit{topic: {{Partition: 0, Offset: offset}}},
		})
		if err != nil || response.Topics[topic][0].Error != nil {
			t.Fatalf("commit: %v, %+v", err, response)
		}
	})
}

func committed(t *testing.T, dial dialFunc, group, topic string) (offset int64) {
	t.Helper()
	withClient(dial, func(client *kafka.Client) {
		response, err := client.OffsetFetch(t.Context(), &kafka.OffsetFetchRequest{
			GroupID: group, Topics: map[string][]int{topic: {0}},
		})
		if err != nil || response.Error != nil {
			t.Fatalf("fetch the committed offset: %v, %+v", err, response)
		}
		offset = response.Topics[topic][0].CommittedOffset
	})
	return offset
}

func TestBrokerListensBehindAClosedDoor(t *testing.T) {
	tests := []struct {
		name   string
		folder string
	}{
		{"in the data directory", "data"},
		{"elsewhere when the path is too long for a socket", strings.Repeat("long/", 20)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			broker := startBroker(t, testConfig(filepath.Join(t.TempDir(), test.folder)))
			socket, err := os.Stat(broker.SocketPath())
			if err != nil || socket.Mode().Type() != os.ModeSocket {
				t.Fatalf("%s is %v, want a socket: %v", broker.SocketPath(), socket, err)
			}
			door, err := os.Stat(filepath.Dir(broker.SocketPath()))
			if err != nil || door.Mode().Perm() != 0o700 {
				t.Errorf("the socket's directory has the mode %v, want 0700: %v", door.Mode(), err)
			}
			createTopic(t, broker.Dial, "loyalty.points", 1)
			if err := broker.Close(); err != nil {
				t.Fatal(err)
			}
			if _, err := os.Stat(broker.SocketPath()); !os.IsNotExist(err) {
				t.Errorf("the socket is there after Close: %v", err)
			}
		})
	}
}

func TestBrokerListensAtAPortIfToldTo(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Broker.Listen = "127.0.0.1:0"
	broker := startBroker(t, cfg)
	if broker.SocketPath() != "" {
		t.Errorf("there is a socket too, at %s", broker.SocketPath())
	}
	plain := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, broker.Addr())
	}
	createTopic(t, plain, "loyalty.points", 1)
	produce(t, broker.Dial, "loyalty.points", []byte("one"))
}

func TestBrokerRefusesToMakeTopicsByTheWay(t *testing.T) {
	broker := startBroker(t, testConfig(t.TempDir()))
	withClient(broker.Dial, func(client *kafka.Client) {
		response, err := client.Produce(t.Context(), &kafka.ProduceRequest{
			Topic: "no.such.topic", RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("one"))}),
		})
		if err == nil && response.Error == nil {
			t.Error("a topic came into being by producing to it")
		}
	})
}

// A partition that retention empties would begin again at offset 0 after a
// restart, and consumers would skip what is written next.
func TestBrokerRetentionKeepsTheLastBatch(t *testing.T) {
	cfg := testConfig(t.TempDir())
	cfg.Broker.MaxPartitionBytes = 16 << 20
	broker := startBroker(t, cfg)
	createTopic(t, broker.Dial, "loyalty.points", 1)
	large := make([]byte, 15<<20)
	_, _ = rand.Read(large)
	produce(t, broker.Dial, "loyalty.points", large, large, bytes.Clone(large))

	broker.Cluster().ApplyRetention()
	if first, end := offsets(t, broker.Dial, "loyalty.points"); first != 2 || end != 3 {
		t.Errorf("the partition holds offsets %d to %d, want 2 to 3", first, end)
	}
	if err := broker.Close(); err != nil {
		t.Fatal(err)
	}
	broker = startBroker(t, cfg)
	produce(t, broker.Dial, "loyalty.points", []byte("next"))
	if got := consume(t, broker.Dial, "loyalty.points", 3, 4); got[0] != "next" {
		t.Errorf("offset 3 holds %q, want next", got)
	}
}

func TestBrokerSharesNoDataDirectory(t *testing.T) {
	cfg := testConfig(t.TempDir())
	startBroker(t, cfg)
	_, err := embedded.StartBroker(t.Context(), cfg, quiet())
	wantWords(t, err, "is using "+cfg.DataDir, "stop it", "DATA_DIR")
}

func TestBrokerForgetsNoOffsets(t *testing.T) {
	cfg := testConfig(t.TempDir())
	broker := startBroker(t, cfg)
	createTopic(t, broker.Dial, "loyalty.points", 1)
	commit(t, broker.Dial, "sink", "loyalty.points", 7)
	withClient(broker.Dial, func(client *kafka.Client) {
		response, err := client.DescribeConfigs(t.Context(), &kafka.DescribeConfigsRequest{
			Resources: []kafka.DescribeConfigRequestResource{{
				ResourceType: kafka.ResourceTypeBroker, ResourceName: "0",
				ConfigNames: []string{"offsets.retention.minutes", "log.retention.ms"},
			}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, entry := range response.Resources[0].ConfigEntries {
			want := map[string]string{"offsets.retention.minutes": "52560000", "log.retention.ms": "-1"}[entry.ConfigName]
			if entry.ConfigValue != want {
				t.Errorf("%s is %s, want %s", entry.ConfigName, entry.ConfigValue, want)
			}
		}
	})
}
