package deliver

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// A partition is what a worker needs of a [kafka.Partition].
type partition interface {
	Fetch(ctx context.Context, offset int64, maxBytes int) (records []kafka.Record, end int64, err error)
	Commit(ctx context.Context, next int64, metadata string) error
	TimestampBefore(ctx context.Context, offset int64) (millis int64, err error)
	First(ctx context.Context) (int64, error)
	End(ctx context.Context) (int64, error)
}

// A worker delivers one partition in one generation.
type worker struct {
	*Deliverer
	p         partition
	topic     string
	id        int
	table     *schema.Table
	committed int64 // the offset that the group has committed
	before    int64 // the timestamp of the record before it; see bookmark
	next      int64 // the offset to fetch
	// interrupted tells that a fetch has failed since records were fetched: the next
	// answer may be another broker's.
	interrupted bool
	pending     []kafka.Record
	batch       batcher
	// reserved is what is held from buffered: the bytes of what was fetched since the
	// latest delivery. What is still pending then, at most one fetch, does not count
	// any more, nor does a fetch that found no room.
	reserved int64
	key      partitionKey
	log      *slog.Logger
}

// run goes on where the group has committed, until ctx ends.
func (w *worker) run(ctx context.Context, committed int64, metadata string) error {
	mark := parseBookmark(metadata)
	if err := w.begin(ctx, committed, &mark); err != nil {
		return err
	}
	if mark.Records > 0 {
		if err := w.resume(ctx, mark.intent); err != nil {
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
		if err := w.deliver(ctx, time.Time{}); err != nil {
			return err
		}
	}
	return nil
}

// begin finds where to go on. Where the record before the committed offset is
// not the one that was delivered, the topic was made anew, or its log was cut
// and has grown again: then everything in it is delivered, for nobody knows
// which of it was.
func (w *worker) begin(ctx context.Context, committed int64, mark *bookmark) error {
	w.committed, w.before = committed, mark.Before
	if mark.Before > 0 {
		switch at, err := w.p.TimestampBefore(ctx, w.committed); {
		case errors.Is(err, kafka.ErrGone): // It has been deleted, as retention does: nothing to compare.
		case err != nil:
			return err
		case at != mark.Before:
			first, err := w.p.First(ctx)
			if err != nil {
				return err
			}
			w.metrics.changedRanges.WithLabelValues(w.cfg.Sink, w.topic).Inc()
			w.log.LogAttrs(ctx, slog.LevelError, "the topic is not the one that was delivered before: was it deleted and made anew, or its log cut by an unclean leader election? It is delivered from its start; rows that were stored before may be stored twice, which the views collapse",
				slog.Int64("committed_offset", w.committed), slog.Int64("log_start", first))
			w.committed, w.before, mark.intent = first, 0, intent{}
		}
	}
	w.next = w.committed
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
			return err // Of ErrNoTopic, too: begin finds out whether the topic was made anew.
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
	if ctx.Err() != nil {
		// Whoever comes next resumes: what was formed so far must not be written.
		w.batch.reset()
		return nil
	}
	if len(w.batch.records) == 0 {
		return w.rangeChanged(ctx, i)
	}
	batch := w.formed()
	if !i.sameRange(batch) {
		return w.rangeChanged(ctx, i)
	}
	w.log.LogAttrs(ctx, slog.LevelInfo, "writing again the range that was under way before",
		slog.Int64("first_offset", i.First), slog.Int64("last_offset", i.Last))
	if i.Table != "" && (i.Table != w.table.Name || i.Shape != shapeOf(w.table)) {
		w.metrics.changedContracts.WithLabelValues(w.cfg.Sink, w.topic).Inc()
		w.log.LogAttrs(ctx, slog.LevelWarn, "the contract changed while a range was under way: rows of it that were stored already keep their old columns and table; connector replay writes them again",
			slog.Int64("first_offset", i.First), slog.Int64("last_offset", i.Last), slog.String("table_before", i.Table), slog.String("table", w.table.Name))
	}
	return w.deliver(ctx, time.UnixMilli(i.At))
}

// rangeChanged tells that a pending range is not in the log as it was: records
// were deleted, or the topic was made anew. What is left of it is delivered in
// other batches. Nothing that the log holds is lost, but rows that were
// stored before may be stored twice, which the views collapse.
func (w *worker) rangeChanged(ctx context.Context, i intent) error {
	w.metrics.changedRanges.WithLabelValues(w.cfg.Sink, w.topic).Inc()
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
			w.interrupted = true
			continue // Fetch has paused and counted it.
		case err != nil:
			return err // Of ErrNoTopic, too: begin finds out whether the topic was made anew.
		}
		if w.interrupted {
			if err := w.unchanged(ctx); errors.Is(err, kafka.ErrUnavailable) {
				continue // A broker that leads anew may not know yet how far its log counts. It has paused, too.
			} else if err != nil {
				return err
			}
			w.interrupted = false
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

// unchanged returns an error where the record before the next one is not the one
// that was fetched before: a broker that lacks records may lead now, and have
// others in their place already. Then begin finds out from where to deliver.
func (w *worker) unchanged(ctx context.Context) error {
	last := w.before
	if n := len(w.batch.records); n > 0 {
		last = w.batch.records[n-1].Time.UnixMilli()
	}
	if last == 0 {
		return nil // None was fetched.
	}
	switch at, err := w.p.TimestampBefore(ctx, w.next); {
	case errors.Is(err, kafka.ErrGone): // It has been deleted, as retention does: nothing to compare.
		return nil
	case err != nil:
		return err
	case at != last:
		return fmt.Errorf("the record before offset %d is not the one that was fetched there: was the topic made anew, or its log cut by an unclean leader election?", w.next)
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

// formed returns the batch as a sink is given it.
func (w *worker) formed() *sinks.Batch {
	batch := &sinks.Batch{Topic: w.topic, Partition: w.id, Table: w.table, Records: make([]sinks.Record, 0, len(w.batch.records))}
	for _, r := range w.batch.records {
		batch.Records = append(batch.Records, sinks.Record{Offset: r.Offset, Timestamp: r.Time.UnixMilli(), Value: r.Value})
	}
	return batch
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

// watchLag keeps the lag up to date while a batch is being written, which can
// take as long as the sink is away. The function that it returns ends it.
func (w *worker) watchLag(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	first := w.batch.records[0]
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(lagInterval):
			}
			if end, err := w.p.End(ctx); err == nil { // The fetches tell of a broker that is away.
				w.metrics.backlog.set(w.key, partitionBacklog{lag: end - first.Offset, oldest: first.Time})
			}
		}
	})
	return func() {
		cancel()
		watching.Wait()
	}
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

// deliver writes the batch, in one piece or, where the sink refuses a row, in
// several. Since is when it may have been written first; see [sinks.Batch]. When
// the generation ends meanwhile it may still finish within finishTimeout.
func (w *worker) deliver(ctx context.Context, since time.Time) error {
	ctx, cancel := withGrace(ctx, w.finish)
	defer cancel()
	defer w.watchLag(ctx)()
	batch := w.formed()
	for size, told := len(batch.Records), false; len(batch.Records) > 0; {
		piece := batch.Slice(0, size)
		if size == len(w.batch.records) {
			piece.Since = since
		}
		if err := w.announce(ctx, piece); err != nil {
			return err
		}
		refusal, err := w.write(ctx, piece)
		switch {
		case err != nil:
			return err
		case refusal != nil && size > 1:
			// The piece is narrowed. Nothing of it is stored, so that a shorter one may
			// have another token.
			told = refusal.Index >= 0 && refusal.Index < size
			size = narrowed(size, refusal.Index)
			continue
		case refusal != nil:
			if err := w.bury(ctx, piece, refusal); err != nil {
				return err
			}
		}
		if err := w.finished(ctx, piece); err != nil {
			return err
		}
		batch = batch.Slice(size, len(batch.Records))
		switch {
		case told:
			size = len(batch.Records)
		case refusal == nil:
			size = min(2*size, len(batch.Records))
		default:
			size = min(1, len(batch.Records)) // Where one row is refused the next may be, too.
		}
	}
	w.batch.reset()
	w.release()
	return nil
}

// narrowed returns how many records of a refused piece to try next: those
// before the offending one, that one alone, or half of them where it is not
// known.
func narrowed(size, index int) int {
	if index < 0 || index >= size {
		return size / 2
	}
	return max(1, index)
}

// announce commits the piece as the range that is about to be written.
func (w *worker) announce(ctx context.Context, piece *sinks.Batch) error {
	if w.cfg.AtLeastOnce {
		return nil
	}
	at := piece.Since // Of a range that is resumed, the first member's time goes on counting.
	if at.IsZero() {
		at = w.now()
	}
	return w.p.Commit(ctx, w.committed, bookmark{Before: w.before, intent: intent{
		First: piece.First(), Last: piece.Last(), Records: len(piece.Records),
		Table: piece.Table.Name, Shape: shapeOf(piece.Table), At: at.UnixMilli(),
	}}.String())
}

// write stores the piece, or returns why the sink refuses it for good.
func (w *worker) write(ctx context.Context, piece *sinks.Batch) (refusal *sinks.PermanentError, err error) {
	start := w.now()
	if err := w.sink.Write(ctx, piece); err != nil {
		if refusal, ok := sinks.IsPermanent(err); ok {
			return refusal, nil
		}
		return nil, err
	}
	w.metrics.write.WithLabelValues(w.cfg.Sink).Observe(w.now().Sub(start).Seconds())
	w.metrics.batchRows.WithLabelValues(w.cfg.Sink).Observe(float64(len(piece.Records)))
	w.metrics.rows.WithLabelValues(w.cfg.Sink, piece.Topic).Add(float64(len(piece.Records)))
	return nil, nil
}

// finished commits the end of a piece that is stored or buried.
func (w *worker) finished(ctx context.Context, piece *sinks.Batch) error {
	next, before := piece.Last()+1, piece.Records[len(piece.Records)-1].Timestamp
	if err := w.p.Commit(ctx, next, bookmark{Before: before}.String()); err != nil {
		return err
	}
	w.committed, w.before = next, before
	return nil
}

// insistEvery is the pause between two tries of a row that must be stored as it is.
const insistEvery = 10 * time.Second

// bury publishes the dead letter of a record that the sink refuses for good.
// A dead letter of a dead letter would be refused like the first, and each
// holds the one before: so that is tried again until the sink takes it. Only
// what is no row at all is another one as its dead letter.
func (w *worker) bury(ctx context.Context, piece *sinks.Batch, refusal *sinks.PermanentError) error {
	if piece.Table.Name != w.dead.table.Name || refusal.Reason == sinks.Undecodable {
		return w.dead.publish(ctx, piece, refusal)
	}
	defer w.obstacles.pass(piece)
	for refusal != nil {
		w.obstacles.meet(piece, fmt.Errorf("the sink refuses the dead letter at offset %d: %w", piece.First(), refusal))
		w.log.LogAttrs(ctx, slog.LevelError, "the sink refuses a dead letter, which is tried again until it is taken; remove the constraint, view or filter that refuses it",
			slog.Int64("offset", piece.First()), slog.Any("error", refusal))
		select {
		case <-ctx.Done():
			return fmt.Errorf("dead letter at offset %d: %w", piece.First(), ctx.Err())
		case <-time.After(insistEvery):
		}
		var err error
		if refusal, err = w.write(ctx, piece); err != nil {
			return err
		}
	}
	return nil
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
