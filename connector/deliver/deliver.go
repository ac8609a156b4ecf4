package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
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
}

// Group returns the sink's consumer group.
func (c Config) Group() string { return "loyaltyhouse." + c.Sink }

// A Deliverer delivers to one sink.
type Deliverer struct {
	cfg      Config
	sink     sinks.Sink
	consumer Consumer
	dead     *deadLetters
	tables   map[string]*schema.Table // by full topic
	topics   []string
	buffered *semaphore.Weighted
	metrics  *Metrics
	log      *slog.Logger
	now      func() time.Time
	finish   time.Duration
}

// New returns a deliverer. The sink should be decorated with [sinks.Retry]: an
// error that is not permanent and comes back nevertheless makes the partition
// start again from its last commit.
func New(cfg Config, sink sinks.Sink, consumer Consumer, publisher Publisher, m *Metrics, log *slog.Logger, now func() time.Time) *Deliverer {
	d := &Deliverer{
		cfg: cfg, sink: sink, consumer: consumer, metrics: m,
		dead:     newDeadLetters(cfg, publisher, m, log, now),
		tables:   map[string]*schema.Table{},
		buffered: semaphore.NewWeighted(cfg.Batch.BufferBytes),
		log:      log.With(slog.String("sink", cfg.Sink)), now: now, finish: finishTimeout,
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
	if err := d.consumer.Consume(ctx, d.cfg.Group(), d.topics, d.cfg.Start, d.partition); err != nil {
		return fmt.Errorf("sink %s: %w", d.cfg.Sink, err)
	}
	return nil
}

// partition delivers one partition while it is assigned to this member.
func (d *Deliverer) partition(ctx context.Context, p *kafka.Partition) error {
	w := &worker{
		Deliverer: d, p: p, committed: p.Committed, next: p.Committed, batch: batcher{cfg: d.cfg.Batch},
		key: partitionKey{d.cfg.Sink, p.Topic, strconv.Itoa(p.ID)},
		log: d.log.With(slog.String("topic", p.Topic), slog.Int("partition", p.ID)),
	}
	defer d.metrics.backlog.drop(w.key)
	err := w.run(ctx)
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

// A worker delivers one partition in one generation.
type worker struct {
	*Deliverer
	p         *kafka.Partition
	committed int64 // the offset that the group has committed
	next      int64 // the offset to fetch
	pending   []kafka.Record
	batch     batcher
	reserved  int64 // bytes of the batch and of what is pending, held from buffered
	key       partitionKey
	log       *slog.Logger
}

func (w *worker) run(ctx context.Context) error {
	if i, ok := parseIntent(w.p.Metadata); ok {
		if err := w.resume(ctx, i); err != nil {
			return err
		}
	}
	for ctx.Err() == nil {
		if err := w.fill(ctx); err != nil {
			return err
		}
		if len(w.batch.records) == 0 {
			continue
		}
		if err := w.deliver(ctx); err != nil {
			return err
		}
	}
	return nil
}

// resume writes the range again that a member before this one was about to
// write: it may have been stored, or not.
func (w *worker) resume(ctx context.Context, i intent) error {
	for ctx.Err() == nil && w.next <= i.Last {
		records, end, err := w.p.Fetch(ctx, w.next, fetchBytes)
		switch {
		case errors.Is(err, kafka.ErrUnavailable):
			continue // Fetch has paused and counted it.
		case err != nil:
			return err
		case end <= w.next:
			return w.rangeChanged(ctx, i) // The log ends before the range does.
		}
		w.pending = records
		w.observe(end)
		w.reserve(records) // A range is bounded; it is formed even beyond what may be buffered.
		within, _ := slices.BinarySearchFunc(records, i.Last+1, func(r kafka.Record, offset int64) int { return cmp.Compare(r.Offset, offset) })
		w.take(within)
		if len(w.pending) > 0 {
			break
		}
	}
	switch {
	case ctx.Err() != nil:
		// Whoever comes next resumes: what was formed so far must not be written.
		w.batch.reset()
		return nil
	case len(w.batch.records) == 0 || intentOf(w.batch.records) != i:
		return w.rangeChanged(ctx, i)
	}
	w.log.LogAttrs(ctx, slog.LevelInfo, "writing again the range that was under way before",
		slog.Int64("first_offset", i.First), slog.Int64("last_offset", i.Last))
	return w.deliver(ctx)
}

// rangeChanged tells that a pending range is not in the log as it was: records
// were deleted, or the topic was made anew. What is left of it is delivered in
// other batches. Nothing that the log holds is lost, but rows that were
// stored before may be stored twice, which the views collapse.
func (w *worker) rangeChanged(ctx context.Context, i intent) error {
	w.metrics.changedRanges.WithLabelValues(w.cfg.Sink, w.p.Topic).Inc()
	w.log.LogAttrs(ctx, slog.LevelError, "the range that was under way is not in the topic as it was: were its records deleted, or the topic made anew? What is left is delivered; rows may be stored twice, which the views collapse",
		slog.Int64("first_offset", i.First), slog.Int64("last_offset", i.Last), slog.Int("records", i.Records), slog.Int("found", len(w.batch.records)))
	return nil
}

// fill adds records to the batch until it is due, or until nothing has come
// while it was empty.
func (w *worker) fill(ctx context.Context) error {
	for ctx.Err() == nil {
		for len(w.pending) > 0 && !w.batch.full() {
			w.take(1)
		}
		if w.batch.due(w.now()) {
			return nil
		}
		records, end, err := w.p.Fetch(ctx, w.next, fetchBytes)
		switch {
		case errors.Is(err, kafka.ErrUnavailable):
			continue // Fetch has paused and counted it.
		case err != nil:
			return err
		}
		w.pending = records
		w.observe(end)
		if len(records) == 0 && len(w.batch.records) == 0 {
			return nil
		}
		if !w.reserve(records) {
			// The sink's partitions hold all they may: write what there is. That is at
			// least one fetch, so that no partition waits for another.
			if len(w.batch.records) == 0 {
				w.take(len(records))
			}
			return nil
		}
	}
	return nil
}

// take moves the first n pending records into the batch.
func (w *worker) take(n int) {
	for _, r := range w.pending[:n] {
		w.batch.add(r, w.now())
		w.next = r.Offset + 1
	}
	w.pending = w.pending[n:]
}

// observe notes how far the partition is behind.
func (w *worker) observe(end int64) {
	first := w.batch.records
	if len(first) == 0 {
		first = w.pending
	}
	if len(first) == 0 {
		w.metrics.backlog.set(w.key, partitionBacklog{})
		return
	}
	w.metrics.backlog.set(w.key, partitionBacklog{lag: end - first[0].Offset, oldest: first[0].Time})
}

// reserve takes memory for fetched records from what the sink may buffer, or
// reports that there is none left.
func (w *worker) reserve(records []kafka.Record) bool {
	var n int64
	for _, r := range records {
		n += int64(len(r.Value))
	}
	if !w.buffered.TryAcquire(n) {
		return false
	}
	w.reserved += n
	return true
}

func (w *worker) release() {
	w.buffered.Release(w.reserved)
	w.reserved = 0
}

// deliver commits the intent, writes the batch and commits its end. When the
// generation ends meanwhile it may still finish within finishTimeout.
func (w *worker) deliver(ctx context.Context) error {
	finishing, cancel := withGrace(ctx, w.finish)
	defer cancel()
	batch := &sinks.Batch{
		Topic: w.p.Topic, Partition: w.p.ID, Table: w.tables[w.p.Topic],
		Records: make([]sinks.Record, 0, len(w.batch.records)),
	}
	for _, r := range w.batch.records {
		batch.Records = append(batch.Records, sinks.Record{Offset: r.Offset, Timestamp: r.Time.UnixMilli(), Value: r.Value})
	}
	if err := w.p.Commit(finishing, w.committed, intentOf(w.batch.records).String()); err != nil {
		return err
	}
	start := w.now()
	if err := w.write(finishing, batch); err != nil {
		return err
	}
	w.metrics.write.WithLabelValues(w.cfg.Sink).Observe(w.now().Sub(start).Seconds())
	w.metrics.batchRows.WithLabelValues(w.cfg.Sink).Observe(float64(len(batch.Records)))
	if err := w.p.Commit(finishing, batch.Last()+1, ""); err != nil {
		return err
	}
	w.committed = batch.Last() + 1
	w.batch.reset()
	w.release()
	return nil
}

// write stores the batch. A row that the sink will never accept goes to the
// dead letters: where the sink does not say which one it is, the batch is
// halved until it stands alone.
func (w *worker) write(ctx context.Context, b *sinks.Batch) error {
	err := w.sink.Write(ctx, b)
	if err == nil {
		w.metrics.rows.WithLabelValues(w.cfg.Sink, b.Topic).Add(float64(len(b.Records)))
		return nil
	}
	permanent, ok := sinks.IsPermanent(err)
	if !ok {
		return err
	}
	n := len(b.Records)
	if n == 1 {
		if b.Table.Name == w.dead.table.Name && permanent.Reason == sinks.RowRefused {
			return w.insist(ctx, b, permanent)
		}
		return w.dead.publish(ctx, b, permanent)
	}
	cuts := []int{0, n / 2, n}
	if i := permanent.Index; i >= 0 && i < n {
		cuts = []int{0, i, i + 1, n}
	}
	for k := 1; k < len(cuts); k++ {
		if from, to := cuts[k-1], cuts[k]; from < to {
			if err := w.write(ctx, b.Slice(from, to)); err != nil {
				return err
			}
		}
	}
	return nil
}

// insistEvery is the pause between two tries of a row that must be stored as it is.
const insistEvery = 10 * time.Second

// insist tries a dead letter again until the sink takes it. A dead letter of a
// dead letter would be refused like the first, and each holds the one before.
func (w *worker) insist(ctx context.Context, b *sinks.Batch, cause *sinks.PermanentError) error {
	for {
		w.log.LogAttrs(ctx, slog.LevelError, "the sink refuses a dead letter, which is tried again until it is taken; remove the constraint or view that refuses it",
			slog.Int64("offset", b.First()), slog.Any("error", cause))
		select {
		case <-ctx.Done():
			return fmt.Errorf("dead letter at offset %d: %w", b.First(), ctx.Err())
		case <-time.After(insistEvery):
		}
		err := w.sink.Write(ctx, b)
		if err == nil {
			w.metrics.rows.WithLabelValues(w.cfg.Sink, b.Topic).Inc()
			return nil
		}
		var ok bool
		if cause, ok = sinks.IsPermanent(err); !ok {
			return err
		}
	}
}

// withGrace returns a context that ends some time after its parent.
func withGrace(parent context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(parent))
	stop := context.AfterFunc(parent, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(ctx, func() { timer.Stop() })
	})
	return ctx, func() {
		stop()
		cancel()
	}
}
