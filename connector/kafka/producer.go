package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	kafkago "github.com/segmentio/kafka-go"
)

// partitionCheck is how often a producer looks whether a topic has grown.
const partitionCheck = 5 * time.Second

// ProducerConfig bounds what a producer holds and sends.
type ProducerConfig struct {
	// Compression is one of none, gzip, snappy, lz4, zstd.
	Compression string `yaml:"compression"`

	// BatchMessages and BatchBytes bound one batch, before compression. A
	// larger message goes alone.
	BatchMessages int `yaml:"batch_messages"`
	BatchBytes    int `yaml:"batch_bytes"`

	// QueueMessages and QueueBytes bound what waits to be sent or
	// acknowledged. Beyond them Publish fails at once with ErrQueueFull, as does
	// every call whose messages alone are more.
	QueueMessages int `yaml:"queue_messages"`
	QueueBytes    int `yaml:"queue_bytes"`
}

// DefaultProducerConfig is for messages of some kilobytes. BatchBytes keeps a
// batch below the 1 MiB that brokers allow by default. Snappy costs about as
// little as no compression at all, since less is sent, and buffers 32 KiB where
// lz4 buffers blocks of 4 MiB.
func DefaultProducerConfig() ProducerConfig {
	return ProducerConfig{
		Compression:   "snappy",
		BatchMessages: 500,
		BatchBytes:    1_000_000,
		QueueMessages: 50_000,
		QueueBytes:    64 << 20,
	}
}

func (c ProducerConfig) validate() (errs []error) {
	if _, err := c.codec(); err != nil {
		errs = append(errs, fmt.Errorf("producer.compression: %w", err))
	}
	for _, bound := range []struct {
		field string
		is    int
	}{
		{"batch_messages", c.BatchMessages},
		{"batch_bytes", c.BatchBytes},
		{"queue_messages", c.QueueMessages},
		{"queue_bytes", c.QueueBytes},
	} {
		if bound.is < 1 {
			errs = append(errs, fmt.Errorf("producer.%s: must be at least 1, is %d", bound.field, bound.is))
		}
	}
	return errs
}

func (c ProducerConfig) codec() (kafkago.Compression, error) {
	switch c.Compression {
	case "none":
		return 0, nil
	case "gzip":
		return kafkago.Gzip, nil
	case "snappy":
		return kafkago.Snappy, nil
	case "lz4":
		return kafkago.Lz4, nil
	case "zstd":
		return kafkago.Zstd, nil
	}
	return 0, fmt.Errorf("must be one of none, gzip, snappy, lz4, zstd, is %q", c.Compression)
}

// Message is what Publish sends. Topic is the full name, with its prefix.
// Messages of one topic with the same key keep their order; the partition is
// the one that Java's default partitioner would choose.
type Message struct {
	Topic string
	Key   []byte
	Value []byte
}

// recordOverhead is at least what a record takes besides its key and value.
const recordOverhead = 24

func (m Message) size() int { return len(m.Key) + len(m.Value) + recordOverhead }

// Producer publishes messages. Each partition has one batch on its way at a
// time; what is published meanwhile makes up the next. It is safe for
// concurrent use.
type Producer struct {
	config  ProducerConfig
	codec   kafkago.Compression
	client  *Client
	metrics *metrics

	messages, bytes atomic.Int64 // Queued or on their way.

	calls sync.Pool // Of *call.

	// ctx ends when Close has run out of time.
	ctx     context.Context
	abandon context.CancelFunc
	workers sync.WaitGroup

	mu     sync.RWMutex
	closed bool
	topics map[string]*topicQueues
}

// topicQueues are the partitions of one topic.
type topicQueues struct {
	name       string
	checked    atomic.Int64 // When the partitions were counted, in Unix nanoseconds.
	partitions atomic.Pointer[partitionQueues]
	duration   prometheus.Observer
}

// partitionQueues never change; a topic that grows gets new ones.
type partitionQueues struct {
	ids    []int // 0, 1, 2, … as the balancer wants them.
	queues []*partitionQueue
}

// NewProducer panics when config is not valid: Config.Validate reports that.
func (c *Client) NewProducer(config ProducerConfig) *Producer {
	if errs := config.validate(); len(errs) > 0 {
		panic(errors.Join(errs...))
	}
	codec, _ := config.codec() // Has just been validated.
	p := &Producer{
		config:  config,
		codec:   codec,
		client:  c,
		metrics: c.metrics,
		topics:  make(map[string]*topicQueues),
	}
	p.calls.New = func() any { return &call{done: make(chan struct{}, 1)} }
	p.ctx, p.abandon = context.WithCancel(context.Background())
	return p
}

// Publish returns nil only after all in-sync replicas have acknowledged every
// message. Otherwise it returns a *PublishError, and any of the messages may
// have been stored or not.
//
// It retries what is transient until ctx ends; a message that has not been sent
// by then is dropped. Without a deadline it waits for as long as it takes.
//
// The producer takes over Key and Value: they must not be changed any more.
func (p *Producer) Publish(ctx context.Context, messages ...Message) error {
	if len(messages) == 0 {
		return nil
	}
	if err := p.publish(ctx, messages); err != nil {
		p.metrics.publishErrors.WithLabelValues(err.Topic, string(err.Reason)).Inc()
		return err
	}
	return nil
}

func (p *Producer) publish(ctx context.Context, messages []Message) *PublishError {
	if err := ctx.Err(); err != nil {
		return newPublishError(messages[0].Topic, err)
	}
	size := 0
	for i := range messages {
		size += messages[i].size()
	}
	if !p.reserve(len(messages), size) {
		return newPublishError(messages[0].Topic, ErrQueueFull)
	}

	c, _ := p.calls.Get().(*call)
	c.start(ctx, len(messages))
	for i := range messages {
		if err := p.enqueue(ctx, entry{message: messages[i], call: c}); err != nil {
			p.release(1, messages[i].size())
			c.answer(newPublishError(messages[i].Topic, err))
		}
	}
	select {
	case <-c.done:
		err := c.failure.Load()
		p.calls.Put(c)
		return err
	case <-ctx.Done():
		// Some partition may still refer to the call: it is not used again.
		c.gone.Store(true)
		if last := c.lastAttempt.Load(); last != nil {
			return newPublishError(last.Topic, fmt.Errorf("%w, after: %w", ctx.Err(), last.Err))
		}
		return newPublishError(messages[0].Topic, ctx.Err())
	}
}

// Close sends what is queued. When ctx ends first, it gives up what is left,
// whose callers get ErrClosed, and returns an error. Publish fails with
// ErrClosed from the moment that Close is called. A second call does nothing.
func (p *Producer) Close(ctx context.Context) error {
	p.mu.Lock()
	if p.closed {
		p.mu.Unlock()
		return nil
	}
	p.closed = true
	for _, topic := range p.topics {
		for _, queue := range topic.partitions.Load().queues {
			queue.close()
		}
	}
	p.mu.Unlock()

	defer p.abandon()
	stop := context.AfterFunc(ctx, p.abandon)
	defer stop()
	p.workers.Wait()
	if p.ctx.Err() != nil {
		return fmt.Errorf("close the Kafka producer before everything was acknowledged: %w", context.Cause(ctx))
	}
	return nil
}

// reserve takes room in the queue, or reports that it is full.
func (p *Producer) reserve(messages, bytes int) bool {
	p.metrics.queueBytes.Add(int64(bytes))
	queued, size := p.messages.Add(int64(messages)), p.bytes.Add(int64(bytes))
	if queued > int64(p.config.QueueMessages) || size > int64(p.config.QueueBytes) {
		p.release(messages, bytes)
		return false
	}
	return true
}

func (p *Producer) release(messages, bytes int) {
	p.messages.Add(-int64(messages))
	p.bytes.Add(-int64(bytes))
	p.metrics.queueBytes.Add(-int64(bytes))
}

func (p *Producer) enqueue(ctx context.Context, e entry) error {
	topic, err := p.topic(ctx, e.message.Topic)
	if err != nil {
		return err
	}
	partitions := topic.partitions.Load()
	chosen := kafkago.Murmur2Balancer{}.Balance(kafkago.Message{Key: e.message.Key}, partitions.ids...)
	return partitions.queues[chosen].put(e)
}

// topic finds the partitions of a topic, and looks for new ones from time to
// time. The brokers' metadata are cached, so that this costs little.
func (p *Producer) topic(ctx context.Context, name string) (*topicQueues, error) {
	p.mu.RLock()
	topic := p.topics[name]
	p.mu.RUnlock()
	now := time.Now().UnixNano()
	if topic != nil {
		checked := topic.checked.Load()
		if now-checked < int64(partitionCheck) || !topic.checked.CompareAndSwap(checked, now) {
			return topic, nil
		}
	}

	state, err := p.client.describe(ctx, []string{name})
	if count := state.partitions[name]; err == nil && count > 0 {
		return p.setPartitions(name, count, now)
	}
	if topic != nil {
		return topic, nil // What was true before is the best guess.
	}
	if err == nil {
		err = kafkago.UnknownTopicOrPartition
	}
	return nil, err
}

func (p *Producer) setPartitions(name string, count int, now int64) (*topicQueues, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed {
		return nil, ErrClosed
	}
	topic := p.topics[name]
	if topic == nil {
		topic = &topicQueues{name: name, duration: p.metrics.publishDuration.WithLabelValues(name)}
		topic.checked.Store(now)
		topic.partitions.Store(&partitionQueues{})
		p.topics[name] = topic
	}
	known := topic.partitions.Load()
	if len(known.ids) >= count {
		// A topic never shrinks, unless it was created anew: its partitions
		// that are gone answer that they are unknown until this program is
		// started again.
		return topic, nil
	}
	grown := &partitionQueues{}
	for id := range count {
		grown.ids = append(grown.ids, id)
		if id < len(known.queues) {
			grown.queues = append(grown.queues, known.queues[id])
		} else {
			grown.queues = append(grown.queues, newPartitionQueue(p, topic, id))
		}
	}
	topic.partitions.Store(grown)
	return topic, nil
}

// call is one call of Publish, shared by the partitions of its messages.
type call struct {
	started  time.Time
	deadline time.Time // Zero when there is none.

	waiting     atomic.Int32 // Messages without an answer.
	gone        atomic.Bool  // The caller does not wait any more.
	failure     atomic.Pointer[PublishError]
	lastAttempt atomic.Pointer[PublishError]
	done        chan struct{} // Gets one value when no message is waiting.
}

func (c *call) start(ctx context.Context, messages int) {
	c.started = time.Now()
	c.deadline, _ = ctx.Deadline()
	c.waiting.Store(int32(messages)) //nolint:gosec // Bounded by ProducerConfig.QueueMessages.
	c.failure.Store(nil)
	c.lastAttempt.Store(nil)
}

// answer settles one message. The call must not be touched afterwards.
func (c *call) answer(err *PublishError) {
	if err != nil {
		c.failure.CompareAndSwap(nil, err)
	}
	if c.waiting.Add(-1) == 0 {
		c.done <- struct{}{}
	}
}
