package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

const (
	// fetchWait is how long a broker waits for the first record.
	fetchWait = 250 * time.Millisecond

	// leastAsked is the least that a broker is asked for, in bytes.
	leastAsked = 64 << 10
	mostAsked  = 64 << 20
)

// Record is a record of a partition. Key and Value are nil where Kafka has
// none, and belong to the caller.
type Record struct {
	Offset int64
	Key    []byte
	Value  []byte
	Time   time.Time
}

// Partition is a partition that one generation of a consumer group has assigned
// to this member. Fetch is for one goroutine at a time; the other methods change
// nothing in it, and may be called beside Fetch and each other.
type Partition struct {
	Topic      string
	ID         int
	Generation int

	// Committed is the offset to begin with: what the group has committed, or
	// else where its StartOffset says. Metadata was committed with it.
	Committed int64
	Metadata  string

	client *Client
	group  string
	member string
	logger *slog.Logger

	asked int      // Bytes to ask a broker for.
	rest  *fetched // What the last answer still holds.

	// Where to go on when asked for gapFrom again: there are no records from
	// gapFrom up to gapTo, or gapFrom is not in the log.
	gapFrom, gapTo int64
}

// fetched is an answer of which some records have not been returned yet.
type fetched struct {
	records   *batchReader
	next      *kafkago.Record // Read, but not returned.
	following int64           // The offset to go on with.
	highWater int64
}

// Fetch returns records from offset on, and the offset that the next published
// record will get. It waits for at most about 250 ms and may return no records.
//
// Keys and values together are at most maxBytes, unless the first record alone
// is larger. Offsets need not be consecutive. If offset is not in the log any
// more, which is logged and counted, the records begin at the start of the log;
// where the log was truncated, that may be before offset. Where it was truncated
// and has grown past offset since, Fetch fails: other records are where those up to
// offset were, and the handler has to find out from where. Records of aborted
// transactions are returned like any others.
//
// After an error that is ErrUnavailable or ErrNoTopic, Fetch has waited for a
// while: call it again.
func (p *Partition) Fetch(ctx context.Context, offset int64, maxBytes int) ([]Record, int64, error) {
	records, highWater, err := p.fetch(ctx, offset, maxBytes)
	if err == nil {
		return records, highWater, nil
	}
	p.rest = nil
	if ctx.Err() == nil {
		p.client.metrics.fetchErrors.WithLabelValues(p.Topic).Inc()
		p.client.dropIdle(err)
		if isTransient(err) {
			pause(ctx, fetchWait)
		}
	}
	if errors.Is(err, kafkago.UnknownTopicOrPartition) {
		err = fmt.Errorf("%w: %w", ErrNoTopic, err)
	} else {
		err = markTransient(err)
	}
	return nil, 0, fmt.Errorf("fetch from offset %d of partition %d of topic %s: %w", offset, p.ID, p.Topic, err)
}

func (p *Partition) fetch(ctx context.Context, offset int64, maxBytes int) ([]Record, int64, error) {
	if p.rest == nil || p.rest.following != offset {
		p.rest = nil
	}
	if offset != p.gapFrom {
		p.gapFrom, p.gapTo = offset, offset
	}
	at := p.gapTo
	for until := time.Now().Add(fetchWait); ; {
		fresh := p.rest == nil
		if fresh {
			answer, err := p.ask(ctx, at, maxBytes)
			if errors.Is(err, kafkago.OffsetOutOfRange) && time.Now().Before(until) {
				if at, err = p.reset(ctx, at); err == nil {
					p.gapTo = at
					continue
				}
			}
			if err != nil {
				return nil, 0, err
			}
			p.rest = answer
		}
		answer := p.rest
		records, more, err := answer.take(at, maxBytes)
		if err != nil {
			return nil, 0, err
		}
		if fresh {
			p.adapt(records, more, answer.highWater, maxBytes)
		}
		if !more {
			p.rest = nil
		}
		if len(records) > 0 || answer.records == nil {
			return records, answer.highWater, nil
		}

		// The answer had only batches without records of use: the markers of
		// transactions, or batches that compaction has emptied.
		at = max(at+1, answer.following)
		p.gapTo = at
		if time.Now().After(until) {
			return nil, answer.highWater, nil
		}
	}
}

// ask sends one fetch.
func (p *Partition) ask(ctx context.Context, offset int64, maxBytes int) (*fetched, error) {
	if p.asked == 0 {
		p.asked = maxBytes / 8
	}
	p.asked = min(max(p.asked, leastAsked), mostAsked)
	response, err := p.client.kafka.Fetch(ctx, &kafkago.FetchRequest{
		Topic:     p.Topic,
		Partition: p.ID,
		Offset:    offset,
		MinBytes:  1,
		MaxBytes:  int64(min(p.asked, max(maxBytes, 1))),
		MaxWait:   fetchWait,
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return nil, err
	}
	answer := &fetched{following: offset, highWater: response.HighWatermark}
	if stream, ok := response.Records.(*protocol.RecordStream); ok {
		answer.records = &batchReader{batches: stream.Records}
	}
	return answer, nil
}

// adapt asks for less when an answer, decompressed, was more than wanted, and
// for more when it was much less although there was more to have.
func (p *Partition) adapt(records []Record, more bool, highWater int64, maxBytes int) {
	if more {
		p.asked /= 2
		return
	}
	size := 0
	for i := range records {
		size += len(records[i].Key) + len(records[i].Value)
	}
	if len(records) > 0 && size < maxBytes/2 && records[len(records)-1].Offset+1 < highWater {
		p.asked *= 2
	}
}

// reset finds where to go on when offset is not in the log.
func (p *Partition) reset(ctx context.Context, offset int64) (int64, error) {
	first, end, err := p.bounds(ctx)
	if err != nil {
		return 0, err
	}
	if first <= offset && offset <= end {
		// Not transient: a fetch that is tried again would go on behind the new records.
		return 0, fmt.Errorf("the log ended before offset %d and has grown past it since, as after an unclean leader election: %w", offset, kafkago.OffsetOutOfRange)
	}
	p.client.metrics.offsetResets.WithLabelValues(p.group, p.Topic).Inc()
	p.logger.ErrorContext(ctx, "the next offset is not in the log any more: going on at the start of the log, "+
		"records may be lost; raise the retention of the topic if it was too short",
		slog.Int64("offset", offset), slog.Int64("log_start", first), slog.Int64("log_end", end))
	return first, nil
}

// bounds are the first offset of the log and the one that will be next.
func (p *Partition) bounds(ctx context.Context) (first, end int64, err error) {
	response, err := p.client.kafka.ListOffsets(ctx, &kafkago.ListOffsetsRequest{
		Topics: map[string][]kafkago.OffsetRequest{p.Topic: {kafkago.FirstOffsetOf(p.ID), kafkago.LastOffsetOf(p.ID)}},
	})
	if err != nil {
		return 0, 0, fmt.Errorf("list the offsets of partition %d of topic %s: %w", p.ID, p.Topic, err)
	}
	for _, listed := range response.Topics[p.Topic] {
		if listed.Partition == p.ID {
			if listed.Error != nil {
				return 0, 0, fmt.Errorf("list the offsets of partition %d of topic %s: %w", p.ID, p.Topic, listed.Error)
			}
			return listed.FirstOffset, listed.LastOffset, nil
		}
	}
	return 0, 0, fmt.Errorf("list the offsets of partition %d of topic %s: no answer", p.ID, p.Topic)
}

// take copies records from offset on, up to maxBytes, and reports whether there
// are more.
func (f *fetched) take(offset int64, maxBytes int) (records []Record, more bool, err error) {
	if f.records == nil {
		return nil, false, nil
	}
	size := 0
	for {
		record := f.next
		f.next = nil
		if record == nil {
			record, err = f.records.ReadRecord()
			if errors.Is(err, io.EOF) {
				f.following = max(f.following, f.records.following)
				return records, false, nil
			}
			if err != nil {
				return nil, false, fmt.Errorf("read a record: %w", err)
			}
		}
		if record.Offset < offset {
			discard(record) // A batch is sent as a whole.
			continue
		}
		size += length(record.Key) + length(record.Value)
		if len(records) > 0 && size > maxBytes {
			f.next = record
			return records, true, nil
		}
		copied, err := copyRecord(record)
		if err != nil {
			return nil, false, fmt.Errorf("read the record at offset %d: %w", record.Offset, err)
		}
		records = append(records, copied)
		f.following = copied.Offset + 1
	}
}

// batchReader reads the records of several batches. Unlike kafka-go's own, it
// knows how far batches without records of use reach.
type batchReader struct {
	batches   []kafkago.RecordReader
	following int64
}

// ReadRecord returns io.EOF at the end. A record is valid until the next call.
func (r *batchReader) ReadRecord() (*kafkago.Record, error) {
	for len(r.batches) > 0 {
		record, err := r.batches[0].ReadRecord()
		if errors.Is(err, io.EOF) {
			r.batches = r.batches[1:]
			continue
		}
		if err != nil {
			return nil, err
		}
		r.following = record.Offset + 1
		if _, control := r.batches[0].(*protocol.ControlBatch); !control {
			return record, nil
		}
		discard(record)
	}
	return nil, io.EOF
}

// copyRecord copies key and value, into one piece of memory, and gives kafka-go
// its buffers back.
func copyRecord(record *kafkago.Record) (Record, error) {
	defer discard(record)
	copied := Record{Offset: record.Offset, Time: record.Time}
	key := length(record.Key)
	content := make([]byte, key+length(record.Value))
	if record.Key != nil {
		copied.Key = content[:key:key]
		if _, err := io.ReadFull(record.Key, copied.Key); err != nil {
			return Record{}, err
		}
	}
	if record.Value != nil {
		copied.Value = content[key:]
		if _, err := io.ReadFull(record.Value, copied.Value); err != nil {
			return Record{}, err
		}
	}
	return copied, nil
}

func length(content kafkago.Bytes) int {
	if content == nil {
		return 0
	}
	return content.Len()
}

// discard gives kafka-go's buffers back; closing them cannot fail.
func discard(record *kafkago.Record) {
	if record.Key != nil {
		_ = record.Key.Close()
	}
	if record.Value != nil {
		_ = record.Value.Close()
	}
}
