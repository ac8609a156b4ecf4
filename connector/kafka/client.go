package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"
)

const (
	dialTimeout = 5 * time.Second

	// requestTimeout bounds one request and its answer. kafka-go tells the
	// broker half of it as the time that replicas have to acknowledge.
	requestTimeout = 10 * time.Second

	// metadataTTL bounds how long a change of a partition's leader stays
	// unnoticed: until then its produces and fetches are refused.
	metadataTTL = 2 * time.Second

	// idleTimeout is shorter than that of brokers and of load balancers, so
	// that a connection is not found closed by the next request.
	idleTimeout = 4 * time.Minute
)

// Options are what a Client is given besides its configuration. Each may be
// left out.
type Options struct {
	Logger     *slog.Logger
	Registerer prometheus.Registerer

	// Topics are all that the client will be used for, by their full names.
	// Without them, it keeps itself informed about every topic of the cluster,
	// about once a second.
	Topics []string

	// Dial replaces how connections are opened, before TLS.
	Dial DialFunc
}

// Client holds the connections to the brokers. It is safe for concurrent use.
type Client struct {
	config  Config
	logger  *slog.Logger
	metrics *metrics

	addresses   []string
	oneWay      bool // All brokers are reached in one way, whatever their addresses.
	mechanism   sasl.Mechanism
	connections *connections
	transport   *kafkago.Transport
	kafka       *kafkago.Client

	mu     sync.Mutex
	topics []string // Those that EnsureTopics was asked for.
}

// NewClient reads the files that config names. It opens no connection: brokers
// that are away are found out by the first request.
func NewClient(config Config, options Options) (*Client, error) {
	if err := config.Validate(); err != nil {
		return nil, err
	}
	tls, err := config.TLS.Load()
	if err != nil {
		return nil, fmt.Errorf("kafka tls.%w", err)
	}
	mechanism, err := config.SASL.load()
	if err != nil {
		return nil, err
	}
	metrics, err := newMetrics(options.Registerer)
	if err != nil {
		return nil, fmt.Errorf("register the metrics of the Kafka client: %w", err)
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	oneWay := options.Dial != nil || strings.HasPrefix(config.Brokers[0], unixScheme)
	if options.Dial == nil {
		options.Dial = brokerDialer(config.Brokers)
	}

	c := &Client{
		config:      config,
		logger:      options.Logger,
		metrics:     metrics,
		addresses:   brokerAddresses(config.Brokers),
		oneWay:      oneWay,
		mechanism:   mechanism,
		connections: newConnections(options.Dial, tls),
	}
	c.transport = &kafkago.Transport{
		Dial:           c.connections.dial,
		DialTimeout:    dialTimeout,
		IdleTimeout:    idleTimeout,
		MetadataTTL:    metadataTTL,
		MetadataTopics: options.Topics,
		ClientID:       config.ClientID,
		SASL:           mechanism,
		Context:        c.connections.ctx,
	}
	c.kafka = &kafkago.Client{
		Addr:      kafkago.TCP(c.addresses...),
		Timeout:   requestTimeout,
		Transport: c.transport,
	}
	return c, nil
}

// Close closes all connections. Close the producers and end the consumers
// first.
func (c *Client) Close() {
	c.transport.CloseIdleConnections()
	c.connections.close()
}

// dropIdle closes the idle connections after an error that no broker has
// answered. kafka-go takes the newest of them without looking whether it is
// alive, so that after a broker's restart each would fail one more request.
func (c *Client) dropIdle(err error) {
	if _, answered := errors.AsType[kafkago.Error](err); !answered {
		c.transport.CloseIdleConnections()
	}
}

// Ping reports whether a broker answers and every partition of the topics that
// EnsureTopics was asked for has a leader. What it knows of leaders is at most
// two seconds old.
func (c *Client) Ping(ctx context.Context) error {
	if _, err := c.kafka.ApiVersions(ctx, &kafkago.ApiVersionsRequest{}); err != nil {
		return fmt.Errorf("ask the brokers at %s: %w", strings.Join(c.config.Brokers, ", "), markTransient(err))
	}
	c.mu.Lock()
	topics := slices.Clone(c.topics)
	c.mu.Unlock()
	state, err := c.describe(ctx, topics)
	if err != nil {
		return err
	}
	if err := state.unready(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// topicState is what the brokers say of some topics.
type topicState struct {
	missing    []string
	leaderless []string
	partitions map[string]int
}

// unready is nil when every topic exists and every partition has a leader.
func (s topicState) unready() error {
	switch {
	case len(s.missing) > 0:
		return fmt.Errorf("topics do not exist: %s", strings.Join(s.missing, ", "))
	case len(s.leaderless) > 0:
		return fmt.Errorf("topics have partitions without a leader: %s", strings.Join(s.leaderless, ", "))
	}
	return nil
}

// describe tells the state of topics from the Transport's cache.
func (c *Client) describe(ctx context.Context, topics []string) (topicState, error) {
	state := topicState{partitions: make(map[string]int, len(topics))}
	if len(topics) == 0 {
		return state, nil
	}
	response, err := c.kafka.Metadata(ctx, &kafkago.MetadataRequest{Topics: topics})
	if err != nil {
		return state, fmt.Errorf("read the metadata of topics: %w", markTransient(err))
	}
	for _, topic := range response.Topics {
		switch {
		case errors.Is(topic.Error, kafkago.UnknownTopicOrPartition):
			state.missing = append(state.missing, topic.Name)
		case topic.Error != nil && !isTransient(topic.Error):
			return state, fmt.Errorf("read the metadata of topic %s: %w", topic.Name, topic.Error)
		case topic.Error != nil, slices.ContainsFunc(topic.Partitions, leaderless):
			state.leaderless = append(state.leaderless, topic.Name)
		}
		state.partitions[topic.Name] = len(topic.Partitions)
	}
	return state, nil
}

// leaderless reports whether nobody answers for a partition. A replica that is
// away does not matter for that.
func leaderless(partition kafkago.Partition) bool {
	return partition.Error != nil && !errors.Is(partition.Error, kafkago.ReplicaNotAvailable)
}

// newRetry gives the pauses between attempts: first, doubling up to most, each
// varied by half so that many clients do not return at once.
func newRetry(first, most time.Duration) *backoff.ExponentialBackOff {
	retry := backoff.NewExponentialBackOff()
	retry.InitialInterval, retry.MaxInterval, retry.Multiplier = first, most, 2
	return retry
}

// pause waits, and reports false when ctx ended first.
func pause(ctx context.Context, duration time.Duration) bool {
	timer := time.NewTimer(duration)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
