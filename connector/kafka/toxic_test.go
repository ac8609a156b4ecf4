package kafka_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
	"github.com/twmb/franz-go/pkg/kfake"

	"loyaltyhouse/connector/harness"
	"loyaltyhouse/connector/kafka"
)

// startNodes starts a cluster that listens at TCP ports of this machine.
func startNodes(t *testing.T, nodes int) *broker {
	t.Helper()
	b := &broker{t: t, dir: t.TempDir()}
	b.options = []kfake.Opt{
		kfake.NumBrokers(nodes),
		kfake.ListenFn(func(network, address string) (net.Listener, error) {
			listener, err := new(net.ListenConfig).Listen(context.Background(), network, address)
			return &recordingListener{Listener: listener, broker: b}, err
		}),
	}
	b.start()
	t.Cleanup(b.stop)
	return b
}

// join returns a client of the nodes that has made the topic.
func (b *broker) join(t *testing.T, partitions int, options kafka.Options) *kafka.Client {
	t.Helper()
	config := kafka.DefaultConfig()
	config.Brokers = b.ListenAddrs()
	config.Topics.Partitions = partitions
	options.Topics = []string{testTopic}
	client, err := kafka.NewClient(config, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	if err := client.EnsureTopics(testContext(t), options.Topics); err != nil {
		t.Fatal(err)
	}
	return client
}

// A link is the network between a client and the only node of a cluster.
// Toxics make it slow or cut it.
type link struct {
	*toxiproxy.Proxy
	address string
}

var silence = sync.OnceFunc(func() { zerolog.SetGlobalLevel(zerolog.Disabled) })

func newLink(t *testing.T, b *broker) *link {
	t.Helper()
	silence()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	listen, err := harness.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l := &link{Proxy: toxiproxy.NewProxy(server, t.Name(), listen, b.ListenAddrs()[0]), address: listen}
	l.connect(t)
	t.Cleanup(l.Stop)
	return l
}

// connect lets connections through again that Stop has cut.
func (l *link) connect(t *testing.T) {
	t.Helper()
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
}

// dial is a kafka.DialFunc for a client that has no other way to the cluster.
func (l *link) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", l.address)
}

// poison adds a toxic, by toxiproxy's description in JSON.
func (l *link) poison(t *testing.T, description string) {
	t.Helper()
	if _, err := l.Toxics.AddToxicJson(strings.NewReader(description)); err != nil {
		t.Fatalf("%s: %v", description, err)
	}
}

// heal removes a toxic.
func (l *link) heal(t *testing.T, name string) {
	t.Helper()
	if err := l.Toxics.RemoveToxic(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}
