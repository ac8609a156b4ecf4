package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// publishTimeout bounds one try to publish a dead letter, in which the producer
// tries again by itself what is transient. Without it nobody would hear of that.
const publishTimeout = 10 * time.Second

// deadLetters publishes rows that a sink will never accept.
type deadLetters struct {
	cfg       Config
	table     *schema.Table
	publisher Publisher
	obstacles *obstacles
	metrics   *Metrics
	log       *slog.Logger
	now       func() time.Time
	timeout   time.Duration
}

func newDeadLetters(cfg Config, publisher Publisher, o *obstacles, m *Metrics, log *slog.Logger, now func() time.Time) *deadLetters {
	return &deadLetters{
		cfg: cfg, table: schema.DeadLetters(), publisher: publisher, obstacles: o, metrics: m, log: log, now: now,
		timeout: publishTimeout,
	}
}

// publish returns nil only when the dead letter of the batch's one record is
// held by all in-sync replicas; it tries until ctx ends.
func (d *deadLetters) publish(ctx context.Context, b *sinks.Batch, cause *sinks.PermanentError) error {
	message := kafka.Message{
		Topic: d.cfg.TopicPrefix + d.table.Topic,
		Key:   fmt.Appendf(nil, "%s/%d/%d", b.Topic, b.Partition, b.First()),
		Value: d.table.AppendRow(nil, d.row(b, cause)),
	}
	defer d.obstacles.pass(b)
	for {
		err := d.try(ctx, message)
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			return fmt.Errorf("dead letter of %s offset %d: %w", b.Topic, b.First(), err)
		}
		d.obstacles.meet(b, fmt.Errorf("the dead letter of offset %d cannot be published: %w", b.First(), err))
		d.log.LogAttrs(ctx, slog.LevelWarn, "a dead letter could not be published and will be tried again; nothing is lost",
			slog.String("topic", b.Topic), slog.Int64("offset", b.First()), slog.Any("error", err))
		select {
		case <-ctx.Done():
		case <-time.After(time.Second):
		}
	}
	d.metrics.deadLetters.WithLabelValues(d.cfg.Sink, b.Topic, cause.Reason).Inc()
	d.log.LogAttrs(ctx, slog.LevelError, "a row that the sink will never accept went to the dead letters",
		slog.String("topic", b.Topic), slog.Int("partition", b.Partition), slog.Int64("offset", b.First()), slog.Any("error", cause))
	return nil
}

// try publishes within the time for one try. A letter whose acknowledgement comes
// later is published twice, like one whose process dies.
func (d *deadLetters) try(ctx context.Context, message kafka.Message) error {
	ctx, cancel := context.WithTimeout(ctx, d.timeout)
	defer cancel()
	return d.publisher.Publish(ctx, message)
}

func (d *deadLetters) row(b *sinks.Batch, cause *sinks.PermanentError) schema.Row {
	value := b.Records[0].Value
	row := make(schema.Row, len(d.table.Columns))
	set := func(column string, v schema.Value) { row[d.table.Index(column)] = v }
	set("stage", schema.TextValue("sink"))
	set("reason", schema.TextValue(cause.Reason))
	set("detail", schema.TextValue("table "+b.Table.Name+": "+cause.Err.Error()))
	set("topic", schema.TextValue(b.Topic))
	set("received_at", schema.IntValue(d.now().UnixMilli()))
	set("body", schema.BytesValue(value))
	set("event_id", schema.TextValue(uuid.Nil.String()))
	set("sink", schema.TextValue(d.cfg.Sink))
	set("kafka_partition", schema.IntValue(int64(b.Partition)))
	set("kafka_offset", schema.IntValue(b.First()))
	d.copyEnvelope(b, value, set)
	return row
}

// copyEnvelope takes over what can be read of the refused row, so that its dead
// letter can be found by shop, webhook and event.
func (d *deadLetters) copyEnvelope(b *sinks.Batch, value []byte, set func(string, schema.Value)) {
	refused := make(schema.Row, len(b.Table.Columns))
	if schema.NewDecoder(b.Table).Decode(value, refused) != nil {
		return
	}
	for i, c := range b.Table.Columns {
		switch c.Name {
		case "event_id", "shop_id", "webhook_id", "shop_domain", "merchant_id", "api_version", "received_at":
			set(c.Name, refused[i])
		}
	}
}
