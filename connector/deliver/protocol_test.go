package deliver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"pgregory.net/rapid"

	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// However the steps of members, old and new, fall between each other, and
// wherever they die: every clean row is stored once, every row that the sink
// refuses has a dead letter, and no offset is committed before.
//
// Members run the worker itself. Each of its steps towards Kafka and the sink
// waits until it is drawn, so that a member may sleep for as long as it takes,
// wake up when its generation has passed, and die before or after a step.
func TestProtocol(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		w := newWorld(t, rapid.IntRange(1, 12).Draw(rt, "records"))
		for _, offset := range rapid.SliceOfDistinct(rapid.Int64Range(0, int64(len(w.log)-1)), rapid.ID).Draw(rt, "poison") {
			w.poison[offset] = true
		}
		defer w.end()
		w.rebalance(rapid.IntRange(1, 6).Draw(rt, "batch"))
		deaths, rebalances := rapid.IntRange(0, 4).Draw(rt, "deaths"), rapid.IntRange(0, 4).Draw(rt, "rebalances")
		for w.committed < int64(len(w.log)) {
			alive := w.alive()
			what := rapid.IntRange(0, 9).Draw(rt, "what")
			switch {
			case len(alive) == 0 || what == 0 && rebalances > 0:
				rebalances--
				w.rebalance(rapid.IntRange(1, 6).Draw(rt, "batch"))
			case what == 1 && deaths > 0:
				deaths--
				w.die(rapid.SampledFrom(alive).Draw(rt, "who dies"), rapid.Bool().Draw(rt, "after the step"))
			default:
				// The newest member gets on oftener than those that sleep.
				who := alive[len(alive)-1]
				if what > 6 {
					who = rapid.SampledFrom(alive).Draw(rt, "who")
				}
				w.step(who, what == 2)
			}
			if w.wrong != "" {
				rt.Fatal(w.wrong)
			}
		}
		for _, m := range w.alive() {
			w.finishLate(m)
		}
		w.check()
		if w.wrong != "" {
			rt.Fatal(w.wrong)
		}
	})
}

// A world is one partition, its group, and a sink that knows tokens.
type world struct {
	t         *testing.T
	log       []kafka.Record
	committed int64
	metadata  string
	current   int // the generation

	poison  map[int64]bool
	tokens  map[string]bool
	rows    map[int64]int // by offset
	letters map[int64]int
	members []*member
	wrong   string
}

func newWorld(t *testing.T, records int) *world {
	w := &world{t: t, poison: map[int64]bool{}, tokens: map[string]bool{}, rows: map[int64]int{}, letters: map[int64]int{}}
	for i := range records {
		w.log = append(w.log, kafka.Record{Offset: int64(i), Time: time.UnixMilli(int64(1000 + i)), Value: []byte("{}")})
	}
	return w
}

// A member is one worker of one generation; its methods are the worker's
// partition, sink and publisher.
type member struct {
	*world
	generation int
	ctx        context.Context
	die        context.CancelFunc
	waiting    chan struct{} // gets one value when the member waits before a step
	proceed    chan fate
	done       chan struct{}
	dead       bool
}

// A fate is what becomes of a step.
type fate int

const (
	works fate = iota
	answerLost
	diesBefore
	diesAfter
)

var (
	errDied = errors.New("the process died")
	errLost = errors.New("the answer was lost")
)

// rebalance begins a generation with a member of its own. Those before know
// nothing of it.
func (w *world) rebalance(batchRows int) {
	w.current++
	m := &member{world: w, generation: w.current, waiting: make(chan struct{}, 1), proceed: make(chan fate), done: make(chan struct{})}
	m.ctx, m.die = context.WithCancel(w.t.Context())
	metrics, err := NewMetrics(prometheus.NewRegistry(), time.Now)
	if err != nil {
		w.t.Fatal(err)
	}
	table := schema.RawWebhooks()
	cfg := Config{Sink: "s", TopicPrefix: "loyalty.", Tables: []*schema.Table{table}, Batch: BatchConfig{MaxRows: batchRows, MaxBytes: 1 << 20, MaxAge: 1, BufferBytes: 1 << 20}}
	d := New(cfg, m, nil, m, metrics, slog.New(slog.DiscardHandler), time.Now)
	d.finish = time.Nanosecond // A process that has died has no time to finish in.
	worker := &worker{Deliverer: d, p: m, topic: "loyalty." + table.Topic, table: table, batch: batcher{cfg: cfg.Batch}, log: d.log}
	committed, metadata := w.committed, w.metadata
	go func() {
		defer close(m.done)
		_ = worker.run(m.ctx, committed, metadata) // How a member ends shows in what it has stored.
	}()
	w.members = append(w.members, m)
	m.settle()
}

func (w *world) alive() []*member {
	return slices.DeleteFunc(slices.Clone(w.members), func(m *member) bool {
		select {
		case <-m.done:
			return true
		default:
			return m.dead
		}
	})
}

// settle returns when the member waits before its next step, or has ended.
func (m *member) settle() {
	select {
	case <-m.waiting:
	case <-m.done:
	}
}

func (w *world) step(m *member, loseAnswer bool) {
	f := works
	if loseAnswer {
		f = answerLost
	}
	m.proceed <- f
	m.settle()
}

func (w *world) die(m *member, after bool) {
	f := diesBefore
	if after {
		f = diesAfter
	}
	m.dead = true
	m.proceed <- f
	<-m.done
}

// finishLate lets a member that sleeps do what it had in mind.
func (w *world) finishLate(m *member) {
	for range 3 {
		select {
		case <-m.done:
			return
		default:
			w.step(m, false)
		}
	}
}

// end has all members die.
func (w *world) end() {
	for _, m := range w.alive() {
		w.die(m, false)
	}
}

// await waits for the step's turn. The step is not taken if it returns an error.
func (m *member) await() (after error, err error) {
	if m.ctx.Err() != nil {
		return nil, errDied
	}
	m.waiting <- struct{}{}
	switch <-m.proceed {
	case diesBefore:
		m.die()
		return nil, errDied
	case diesAfter:
		m.die()
		return errDied, nil
	case answerLost:
		return errLost, nil
	default:
		return nil, nil
	}
}

// Fetch implements partition. It reads only, and so needs no turn until there
// is nothing to read.
func (m *member) Fetch(_ context.Context, offset int64, _ int) ([]kafka.Record, int64, error) {
	end := int64(len(m.log))
	if offset >= end {
		if _, err := m.await(); err != nil {
			return nil, 0, err
		}
		return nil, end, nil
	}
	return slices.Clone(m.log[offset:]), end, nil
}

func (m *member) Commit(_ context.Context, next int64, metadata string) error {
	for {
		after, err := m.await()
		if err != nil {
			return err
		}
		if m.generation != m.current {
			return fmt.Errorf("commit: %w", kafka.ErrFenced)
		}
		if next < m.committed {
			m.wrong = fmt.Sprintf("the committed offset goes back from %d to %d", m.committed, next)
		}
		for offset := m.committed; offset < next; offset++ {
			if m.rows[offset] == 0 && m.letters[offset] == 0 {
				m.wrong = fmt.Sprintf("offset %d is committed, and %d is neither stored nor a dead letter", next, offset)
			}
		}
		m.committed, m.metadata = next, metadata
		if !errors.Is(after, errLost) { // Partition.Commit tries again by itself.
			return after
		}
	}
}

func (m *member) TimestampBefore(_ context.Context, offset int64) (int64, error) {
	return m.log[offset-1].Time.UnixMilli(), nil
}

func (m *member) First(context.Context) (int64, error) { return 0, nil }

func (m *member) End(context.Context) (int64, error) { return int64(len(m.log)), nil }

// Write implements sinks.Sink as ClickHouse does, with a retry around it.
func (m *member) Write(_ context.Context, b *sinks.Batch) error {
	for {
		after, err := m.await()
		if err != nil {
			return err
		}
		if slices.ContainsFunc(b.Records, func(r sinks.Record) bool { return m.poison[r.Offset] }) {
			if after == nil {
				return sinks.Permanent(sinks.RowRefused, -1, errors.New("poison"))
			}
		} else if !m.tokens[b.Token()] {
			m.tokens[b.Token()] = true
			for _, r := range b.Records {
				if m.rows[r.Offset]++; m.rows[r.Offset] > 1 {
					m.wrong = fmt.Sprintf("offset %d is stored twice, now as part of %s", r.Offset, b.Token())
				}
			}
		}
		if !errors.Is(after, errLost) {
			return after
		}
	}
}

func (m *member) Ping(context.Context) error { return nil }
func (m *member) Close() error               { return nil }

// Publish implements Publisher: it takes dead letters.
func (m *member) Publish(_ context.Context, messages ...kafka.Message) error {
	after, err := m.await()
	if err != nil {
		return err
	}
	table := schema.DeadLetters()
	row := make(schema.Row, len(table.Columns))
	if err := schema.NewDecoder(table).Decode(messages[0].Value, row); err != nil {
		m.wrong = err.Error()
	}
	m.letters[row[table.Index("kafka_offset")].Int]++
	if errors.Is(after, errLost) {
		return nil // The producer tries again by itself; a second copy is allowed.
	}
	return after
}

func (w *world) check() {
	for offset := range int64(len(w.log)) {
		switch {
		case w.poison[offset] && (w.rows[offset] > 0 || w.letters[offset] == 0):
			w.wrong = fmt.Sprintf("offset %d is refused; it is stored %d times and has %d dead letters", offset, w.rows[offset], w.letters[offset])
		case !w.poison[offset] && (w.rows[offset] != 1 || w.letters[offset] > 0):
			w.wrong = fmt.Sprintf("offset %d is clean; it is stored %d times and has %d dead letters", offset, w.rows[offset], w.letters[offset])
		}
	}
}
