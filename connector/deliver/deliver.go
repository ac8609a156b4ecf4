package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"golang.org/x/sync/semaphore"

	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

const (
	// fetchBytes is how much one fetch of one partition may bring.
	fetchBytes = 1 << 20

	// finishTimeout bounds how long a batch that is being written when the
	// generation ends may go on. It is below the 15 s that Kafka waits for a
	// member in a rebalance.
	finishTimeout = 8 * time.Second

	// lagInterval is how often the lag is looked up while a batch is being written.
	lagInterval = 5 * time.Second
)

// A Consumer hands out the partitions of topics to the members of a group.
type Consumer interface {
	Consume(ctx context.Context, group string, topics []string, start kafka.StartOffset, handle kafka.HandleFunc) error
}

// A Publisher keeps dead letters durably.
type Publisher interface {
	Publish(ctx context.Context, messages ...kafka.Message) error
}

// Config configures one sink's delivery.
type Config struct {
	// Sink is the sink's name: part of its consumer group and of its metrics.
	Sink string
	// TopicPrefix begins every Kafka topic.
	TopicPrefix string
	// Tables are what is delivered; each says its topic.
	Tables []*schema.Table
	// Start is where a group begins that has committed nothing.
	Start kafka.StartOffset
	Batch BatchConfig
	// AtLeastOnce leaves out the intents, so that a range may be stored twice. It
	// is for measuring what they cost, and cannot be configured.
	AtLeastOnce bool
}

// Group returns the sink's consumer group.
func (c Config) Group() string { return "loyaltyhouse." + c.Sink }

// A Deliverer delivers to one sink.
type Deliverer struct {
	cfg       Config
	sink      sinks.Sink
	consumer  Consumer
	dead      *deadLetters
	obstacles *obstacles
	tables    map[string]*schema.Table // by full topic
	topics    []string
	buffered  *semaphore.Weighted
	metrics   *Metrics
	log       *slog.Logger
	now       func() time.Time
	finish    time.Duration
}

// New returns a deliverer. The sink should be decorated with [sinks.Retry]: an
// error that is not permanent and comes back nevertheless makes the partition
// start again from its last commit.
func New(cfg Config, sink sinks.Sink, consumer Consumer, publisher Publisher, m *Metrics, log *slog.Logger, now func() time.Time) *Deliverer {
	o := newObstacles(cfg.Sink, now)
	log = log.With(slog.String("sink", cfg.Sink))
	d := &Deliverer{
		cfg: cfg, sink: sink, consumer: consumer, metrics: m,
		dead:      newDeadLetters(cfg, publisher, o, m, log, now),
		obstacles: o,
		tables:    map[string]*schema.Table{},
		buffered:  semaphore.NewWeighted(cfg.Batch.BufferBytes),
		log:       log, now: now, finish: finishTimeout,
	}
	for _, t := range cfg.Tables {
		topic := cfg.TopicPrefix + t.Topic
		d.tables[topic] = t
		d.topics = append(d.topics, topic)
	}
	return d
}

// Run delivers until ctx ends; then it returns nil when the last batch is
// committed or abandoned.
func (d *Deliverer) Run(ctx context.Context) error {
	d.metrics.maxAge.WithLabelValues(d.cfg.Sink).Set(d.cfg.Batch.MaxAge.Seconds())
	defer d.metrics.maxAge.DeleteLabelValues(d.cfg.Sink)
	if err := d.consumer.Consume(ctx, d.cfg.Group(), d.topics, d.cfg.Start, d.partition); err != nil {
		return fmt.Errorf("sink %s: %w", d.cfg.Sink, err)
	}
	return nil
}

// Ready returns nil, or why a partition does not go on although its sink takes
// batches: a dead letter that Kafka does not acknowledge, or that the sink refuses.
func (d *Deliverer) Ready() error { return d.obstacles.ready() }

// partition delivers one partition while it is assigned to this member.
func (d *Deliverer) partition(ctx context.Context, p *kafka.Partition) error {
	w := &worker{
		Deliverer: d, p: p, topic: p.Topic, id: p.ID, table: d.tables[p.Topic], batch: batcher{cfg: d.cfg.Batch},
		key: partitionKey{d.cfg.Sink, p.Topic, strconv.Itoa(p.ID)},
		log: d.log.With(slog.String("topic", p.Topic), slog.Int("partition", p.ID)),
	}
	defer d.metrics.backlog.drop(w.key)
	err := w.run(ctx, p.Committed, p.Metadata)
	w.release()
	if err == nil {
		return nil
	}
	if ctx.Err() != nil {
		w.log.LogAttrs(ctx, slog.LevelInfo, "a batch was not finished in time; it is delivered again by whoever takes the partition over", slog.Any("error", err))
		return nil
	}
	if errors.Is(err, kafka.ErrFenced) {
		w.log.LogAttrs(ctx, slog.LevelInfo, "the partition has moved to another member; it goes on from the last commit", slog.Any("error", err))
	} else {
		w.log.LogAttrs(ctx, slog.LevelError, "delivery of a partition stopped; it starts again from the last commit", slog.Any("error", err))
	}
	return err
}
