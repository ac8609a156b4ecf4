//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"loyaltyhouse/schema"
)

// The sinks that the run configures.
const (
	warehouseSink   = "clickhouse"
	lakeSink        = "lake"
	applicationSink = "application"
)

// groups are the consumer groups of the sinks.
var groups = []string{"loyaltyhouse." + warehouseSink, "loyaltyhouse." + lakeSink, "loyaltyhouse." + applicationSink}

// A reader looks at the topics from outside.
type reader struct {
	client    *kafkago.Client
	transport *kafkago.Transport
	addresses []string
	prefix    string
	tables    []*schema.Table
}

func newReader(addresses []string, prefix string, tables []*schema.Table) *reader {
	transport := &kafkago.Transport{}
	return &reader{
		client:    &kafkago.Client{Addr: kafkago.TCP(addresses...), Timeout: 10 * time.Second, Transport: transport},
		transport: transport, addresses: addresses, prefix: prefix, tables: tables,
	}
}

func (r *reader) close() { r.transport.CloseIdleConnections() }

// A span is what one partition holds, and how far every sink has come in it.
type span struct {
	topic            string
	partition        int
	begin, end, done int64 // done is -1 where a sink has committed nothing
}

func (s span) records() int64 { return s.end - s.begin }
func (s span) lag() int64     { return s.end - max(s.begin, s.done) }

// spans returns the spans of every partition.
func (r *reader) spans(ctx context.Context) ([]span, error) {
	var topics []string
	for _, t := range r.tables {
		topics = append(topics, r.prefix+t.Topic)
	}
	metadata, err := r.client.Metadata(ctx, &kafkago.MetadataRequest{Topics: topics})
	if err != nil {
		return nil, fmt.Errorf("read the partitions: %w", err)
	}
	asked := map[string][]kafkago.OffsetRequest{}
	partitions := map[string][]int{}
	for _, topic := range metadata.Topics {
		if topic.Error != nil {
			return nil, fmt.Errorf("read the partitions of %s: %w", topic.Name, topic.Error)
		}
		for _, p := range topic.Partitions {
			asked[topic.Name] = append(asked[topic.Name], kafkago.FirstOffsetOf(p.ID), kafkago.LastOffsetOf(p.ID))
			partitions[topic.Name] = append(partitions[topic.Name], p.ID)
		}
	}
	offsets, err := r.client.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: asked})
	if err != nil {
		return nil, fmt.Errorf("read the offsets: %w", err)
	}
	committed, err := r.committed(ctx, partitions)
	if err != nil {
		return nil, err
	}
	var spans []span
	for topic, all := range offsets.Topics {
		for _, p := range all {
			if p.Error != nil {
				return nil, fmt.Errorf("read the offsets of %s/%d: %w", topic, p.Partition, p.Error)
			}
			s := span{topic: topic, partition: p.Partition, begin: p.FirstOffset, end: p.LastOffset}
			s.done = committed[spanKey{topic, p.Partition}]
			spans = append(spans, s)
		}
	}
	return spans, nil
}

// A spanKey names a partition.
type spanKey struct {
	topic     string
	partition int
}

// committed returns the offset up to which every sink has delivered a partition,
// or -1 where one has committed nothing.
func (r *reader) committed(ctx context.Context, partitions map[string][]int) (map[spanKey]int64, error) {
	done := map[spanKey]int64{}
	for i, group := range groups {
		committed, err := r.client.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: group, Topics: partitions})
		if err == nil && !errors.Is(committed.Error, kafkago.GroupIdNotFound) {
			err = committed.Error // A group that does not exist has committed nothing.
		}
		if err != nil {
			return nil, fmt.Errorf("read the committed offsets of %s: %w", group, err)
		}
		for topic, asked := range partitions {
			offsets := map[int]int64{}
			for _, c := range committed.Topics[topic] {
				if c.Error != nil {
					return nil, fmt.Errorf("read the committed offset of %s/%d: %w", topic, c.Partition, c.Error)
				}
				offsets[c.Partition] = c.CommittedOffset
			}
			for _, partition := range asked {
				offset, known := offsets[partition]
				if !known {
					offset = -1
				}
				key := spanKey{topic, partition}
				if i == 0 || offset < done[key] {
					done[key] = offset
				}
			}
		}
	}
	return done, nil
}

// A record is what a Kafka record and the row that was made of it have in
// common. Times are in milliseconds since 1970, 0 where the table has none.
type record struct {
	table                    string
	partition                int
	offset                   int64
	event, webhook           string
	receivedAt, normalizedAt int64
}

// read passes the records of a table's topic on.
func (r *reader) read(ctx context.Context, t *schema.Table, spans []span, use func(record) error) error {
	decoder := schema.NewDecoder(t)
	row := make(schema.Row, len(t.Columns))
	number := func(column string) int64 {
		if i := t.Index(column); i >= 0 {
			return row[i].Int
		}
		return 0
	}
	each := func(m kafkago.Message) error {
		if err := decoder.Decode(m.Value, row); err != nil {
			return fmt.Errorf("%s/%d offset %d: %w", m.Topic, m.Partition, m.Offset, err)
		}
		return use(record{
			table: t.Name, partition: m.Partition, offset: m.Offset,
			event: row[t.Index("event_id")].Text, webhook: row[t.Index("webhook_id")].Text,
			receivedAt: number("received_at"), normalizedAt: number("normalized_at"),
		})
	}
	for _, s := range spans {
		if s.topic != r.prefix+t.Topic || s.records() == 0 {
			continue
		}
		if err := r.partition(ctx, s, each); err != nil {
			return err
		}
	}
	return nil
}

func (r *reader) partition(ctx context.Context, s span, each func(kafkago.Message) error) (err error) {
	partition := kafkago.NewReader(kafkago.ReaderConfig{
		Brokers: r.addresses, Topic: s.topic, Partition: s.partition,
		MinBytes: 1, MaxBytes: 16 << 20, MaxWait: 250 * time.Millisecond,
	})
	defer func() { err = errors.Join(err, partition.Close()) }()
	if err := partition.SetOffset(s.begin); err != nil {
		return err
	}
	for next := s.begin; next < s.end; next++ {
		message, err := partition.ReadMessage(ctx)
		if err != nil {
			return fmt.Errorf("read %s/%d at offset %d: %w", s.topic, s.partition, next, err)
		}
		if message.Offset != next {
			return fmt.Errorf("%s/%d has a gap: after offset %d comes %d", s.topic, s.partition, next-1, message.Offset)
		}
		if err := each(message); err != nil {
			return err
		}
	}
	return nil
}
