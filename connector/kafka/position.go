package kafka

import (
	"context"
	"errors"
	"fmt"
	"io"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// ErrGone is returned for a record that has been deleted from the log.
var ErrGone = errors.New("the record is not in the log any more")

// TimestampBefore returns the timestamp of the record before an offset, in
// milliseconds since 1970, or 0 where the log ends before it. It returns ErrGone
// where retention or compaction has deleted that record. Two logs of the same name
// differ in it: one that was deleted and made anew, or one that was cut and grew
// again.
//
// After an error that is ErrUnavailable it has waited for a while, as Fetch has.
func (p *Partition) TimestampBefore(ctx context.Context, offset int64) (millis int64, err error) {
	millis, err = p.timestampAt(ctx, offset-1)
	for errors.Is(err, kafkago.OffsetOutOfRange) {
		var first, end int64
		if first, end, err = p.bounds(ctx); err != nil {
			break
		}
		switch {
		case offset > end:
			return 0, nil
		case offset <= first:
			return 0, ErrGone
		}
		// The log has grown since it was asked: there is a record now.
		pause(ctx, fetchWait)
		millis, err = p.timestampAt(ctx, offset-1)
	}
	switch {
	case errors.Is(err, ErrGone):
		return 0, ErrGone
	case err != nil:
		if isTransient(err) {
			pause(ctx, fetchWait)
		}
		return 0, fmt.Errorf("read the timestamp at offset %d of partition %d of topic %s: %w", offset-1, p.ID, p.Topic, markTransient(err))
	}
	return millis, nil
}

// timestampAt returns OffsetOutOfRange where the log does not reach offset, or
// begins behind it, and ErrGone where it passes over it.
func (p *Partition) timestampAt(ctx context.Context, offset int64) (int64, error) {
	// A broker answers with at least one batch, whatever its size.
	response, err := p.client.kafka.Fetch(ctx, &kafkago.FetchRequest{
		Topic: p.Topic, Partition: p.ID, Offset: offset, MinBytes: 1, MaxBytes: 1, MaxWait: fetchWait,
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return 0, err
	}
	stream, ok := response.Records.(*protocol.RecordStream)
	if !ok {
		return 0, kafkago.OffsetOutOfRange // At the end of the log a broker answers with nothing.
	}
	records := &batchReader{batches: stream.Records}
	for {
		record, err := records.ReadRecord()
		switch {
		case errors.Is(err, io.EOF):
			return 0, ErrGone
		case err != nil:
			return 0, err
		}
		at, millis := record.Offset, record.Time.UnixMilli()
		discard(record)
		switch {
		case at == offset:
			return millis, nil
		case at > offset:
			return 0, ErrGone // Compaction has left it out.
		}
	}
}

// First returns the first offset of the log.
func (p *Partition) First(ctx context.Context) (int64, error) {
	first, _, err := p.bounds(ctx)
	return first, markTransient(err)
}

// End returns the offset that the next published record will get.
func (p *Partition) End(ctx context.Context) (int64, error) {
	_, end, err := p.bounds(ctx)
	return end, markTransient(err)
}
