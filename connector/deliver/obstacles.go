package deliver

import (
	"fmt"
	"sync"
	"time"

	"loyaltyhouse/sinks"
)

// Obstacles are what partitions stand still at for as long as it takes: dead
// letters that are not published or not stored. Batches that cannot be written are
// told by [sinks.Retrying].
type obstacles struct {
	sink string
	now  func() time.Time

	mu  sync.Mutex
	met map[string]obstacle // by topic and partition
}

// An obstacle is the latest error, and when the first one came.
type obstacle struct {
	err   error
	since time.Time
}

func newObstacles(sink string, now func() time.Time) *obstacles {
	return &obstacles{sink: sink, now: now, met: map[string]obstacle{}}
}

func (o *obstacles) meet(b *sinks.Batch, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	since := o.now()
	if before, ok := o.met[place(b)]; ok {
		since = before.since
	}
	o.met[place(b)] = obstacle{err, since}
}

func (o *obstacles) pass(b *sinks.Batch) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.met, place(b))
}

// ready returns nil, or what a partition stands still at and since when.
func (o *obstacles) ready() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for where, at := range o.met {
		return fmt.Errorf("sink %s: %s stands still since %s: %w", o.sink, where, at.since.UTC().Format(time.RFC3339), at.err)
	}
	return nil
}

func place(b *sinks.Batch) string { return fmt.Sprintf("%s/%d", b.Topic, b.Partition) }
