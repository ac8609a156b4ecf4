package kafka

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// errPartlySent would be a fault in this package or in kafka-go, which takes a
// batch without records for a success.
var errPartlySent = errors.New("a batch was acknowledged that was not sent as a whole")

// entry is a message in a queue.
type entry struct {
	message Message
	call    *call
}

// partitionQueue holds what waits for one partition. One goroutine, started by
// the first message, sends it batch by batch, so that the order is kept.
type partitionQueue struct {
	producer *Producer
	topic    *topicQueues
	id       int
	wake     chan struct{} // Has a value when waiting or closed has changed.

	mu      sync.Mutex
	waiting []entry
	started bool
	closed  bool
}

func newPartitionQueue(producer *Producer, topic *topicQueues, id int) *partitionQueue {
	return &partitionQueue{producer: producer, topic: topic, id: id, wake: make(chan struct{}, 1)}
}

func (q *partitionQueue) put(e entry) error {
	q.mu.Lock()
	if q.closed {
		q.mu.Unlock()
		return ErrClosed
	}
	if !q.started {
		q.started = true
		q.producer.workers.Go(func() { q.run(q.producer.ctx) })
	}
	q.waiting = append(q.waiting, e)
	first := len(q.waiting) == 1
	q.mu.Unlock()
	if first {
		q.signal()
	}
	return nil
}

func (q *partitionQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.signal()
}

func (q *partitionQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default: // It will look anyway.
	}
}

// run sends batches until the queue is closed and empty.
func (q *partitionQueue) run(ctx context.Context) {
	var spare []entry
	for {
		taken := q.take(spare)
		if len(taken) == 0 {
			return
		}
		clean := true
		for rest := taken; len(rest) > 0; {
			count := q.batch(rest)
			clean = q.send(ctx, rest[:count:count]) && clean
			rest = rest[count:]
		}
		// After a failed attempt kafka-go may still be reading the entries.
		spare = nil
		if clean {
			clear(taken)
			spare = taken[:0]
		}
	}
}

// take waits for entries and takes all of them, leaving spare to be filled.
// It takes none when the queue is closed and empty.
func (q *partitionQueue) take(spare []entry) []entry {
	for {
		q.mu.Lock()
		taken, closed := q.waiting, q.closed
		if len(taken) > 0 {
			q.waiting = spare
		}
		q.mu.Unlock()
		if len(taken) > 0 || closed {
			return taken
		}
		<-q.wake
	}
}

// batch counts the entries that go together, at least one.
func (q *partitionQueue) batch(entries []entry) int {
	config, size := &q.producer.config, 0
	for i := range entries {
		size += entries[i].message.size()
		if i > 0 && (size > config.BatchBytes || i == config.BatchMessages) {
			return i
		}
	}
	return len(entries)
}

// send tries until the batch is acknowledged, refused, or wanted by nobody. It
// reports whether the first attempt succeeded.
func (q *partitionQueue) send(ctx context.Context, batch []entry) bool {
	retry := newRetry(25*time.Millisecond, time.Second)
	for first := true; ; first = false {
		batch = q.dropGone(batch)
		if len(batch) == 0 {
			return first
		}
		err := q.produce(ctx, batch)
		if err == nil {
			q.producer.metrics.publishBatch.Observe(float64(len(batch)))
			q.answer(batch, nil)
			return first
		}
		switch {
		case ctx.Err() != nil:
			q.answer(batch, newPublishError(q.topic.name, ErrClosed))
			return false
		case blamesRecord(err) && len(batch) > 1:
			half := len(batch) / 2
			q.send(ctx, batch[:half:half])
			q.send(ctx, batch[half:])
			return false
		case !isTransient(err):
			q.answer(batch, newPublishError(q.topic.name, err))
			return false
		}

		q.producer.client.dropIdle(err)
		failure := newPublishError(q.topic.name, err)
		for i := range batch {
			if last := batch[i].call.lastAttempt.Load(); last == nil || failure.Reason != ReasonDeadline {
				batch[i].call.lastAttempt.Store(failure) // That time ran out says less than what went before.
			}
		}
		if failure.Reason == ReasonUnknownTopic {
			q.topic.checked.Store(0)
		}
		pause(ctx, retry.NextBackOff())
	}
}

// produce is one attempt, for as long as a caller waits for it.
func (q *partitionQueue) produce(ctx context.Context, batch []entry) error {
	ctx, cancel := context.WithTimeout(ctx, patience(batch))
	defer cancel()
	records := &recordReader{batch: batch}
	response, err := q.producer.client.kafka.Produce(ctx, &kafkago.ProduceRequest{
		Topic:        q.topic.name,
		Partition:    q.id,
		RequiredAcks: kafkago.RequireAll,
		Records:      records,
		Compression:  q.producer.codec,
	})
	if err == nil {
		err = response.Error
		if err == nil && records.next != len(batch) {
			err = errPartlySent
		}
	}
	// A broker's own words might quote a record: its code says enough.
	if code, ok := errors.AsType[kafkago.Error](err); ok {
		return code
	}
	return err
}

// patience is how long the most patient caller still waits.
func patience(batch []entry) time.Duration {
	var latest time.Time
	for i := range batch {
		deadline := batch[i].call.deadline
		if deadline.IsZero() {
			return requestTimeout
		}
		if deadline.After(latest) {
			latest = deadline
		}
	}
	return min(requestTimeout, time.Until(latest))
}

// dropGone leaves out entries whose caller does not wait any more. It does not
// write to batch, which an earlier attempt may still be reading.
func (q *partitionQueue) dropGone(batch []entry) []entry {
	gone, size := 0, 0
	for i := range batch {
		if batch[i].call.gone.Load() {
			gone++
		}
	}
	if gone == 0 {
		return batch
	}
	left := make([]entry, 0, len(batch))
	gone = 0
	for i := range batch {
		if batch[i].call.gone.Load() {
			gone++
			size += batch[i].message.size()
		} else {
			left = append(left, batch[i])
		}
	}
	q.producer.release(gone, size)
	return left
}

func (q *partitionQueue) answer(batch []entry, err *PublishError) {
	size, now := 0, time.Now()
	for i := range batch {
		size += batch[i].message.size()
		q.topic.duration.Observe(now.Sub(batch[i].call.started).Seconds())
	}
	q.producer.release(len(batch), size)
	for i := range batch {
		batch[i].call.answer(err)
	}
}

// recordReader gives a batch to kafka-go without an allocation per record.
type recordReader struct {
	batch  []entry
	next   int
	record kafkago.Record
	key    byteReader
	value  byteReader
}

// ReadRecord is called until it returns io.EOF. A record is valid until the
// next call.
func (r *recordReader) ReadRecord() (*kafkago.Record, error) {
	if r.next == len(r.batch) {
		return nil, io.EOF
	}
	message := &r.batch[r.next].message
	r.next++
	r.record.Key, r.record.Value = r.key.over(message.Key), r.value.over(message.Value)
	return &r.record, nil
}

// byteReader is a protocol.Bytes that can be used again.
type byteReader struct{ bytes.Reader }

// over returns nil for nil, which Kafka tells from an empty key or value.
func (b *byteReader) over(content []byte) protocol.Bytes {
	if content == nil {
		return nil
	}
	b.Reset(content)
	return b
}

// Close does nothing.
func (*byteReader) Close() error { return nil }
