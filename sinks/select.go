package sinks

import (
	"context"
	"fmt"
	"sync"
	"time"

	"loyaltyhouse/schema"
)

// A Selecting is a [Sink] that hands another one the rows and the columns that
// were chosen for it. Columns have their new names in the table of the batch
// that is handed on, and in its records.
type Selecting struct {
	Sink
	selections map[string]*selection // by the table's name
}

var (
	_ Preparer  = (*Selecting)(nil)
	_ Checker   = (*Selecting)(nil)
	_ Inspector = inspecting{}
)

// Select decorates a sink that takes batches of these tables. It returns the
// sink itself where the configuration leaves every batch as it is. The errors
// are those of [SelectConfig.Validate].
func Select(s Sink, cfg SelectConfig, tables []*schema.Table) (Sink, error) {
	if err := cfg.Validate(tables); err != nil {
		return nil, err
	}
	selecting := &Selecting{Sink: s, selections: map[string]*selection{}}
	changes := false
	for _, t := range cfg.Tables(tables) {
		chosen, err := newSelection(cfg, t)
		if err != nil {
			return nil, err
		}
		selecting.selections[t.Name] = chosen
		changes = changes || !chosen.everything()
	}
	if !changes {
		return s, nil
	}
	if inspector, able := s.(Inspector); able {
		return inspecting{selecting, inspector}, nil
	}
	return selecting, nil
}

// Write hands on what is chosen of the batch. A batch of which nothing is
// chosen is done. The Index of a permanent error is a position in b.
func (s *Selecting) Write(ctx context.Context, b *Batch) error {
	chosen, positions, err := s.choose(b)
	if err != nil || chosen == nil {
		return err
	}
	return inWhole(s.Sink.Write(ctx, chosen), positions)
}

// Prepare implements [Preparer], for the tables with the chosen columns. It
// does nothing where the sink has nothing to prepare.
func (s *Selecting) Prepare(ctx context.Context, tables []*schema.Table) error {
	preparer, able := s.Sink.(Preparer)
	if !able {
		return nil
	}
	chosen, err := s.tables(tables)
	if err != nil {
		return err
	}
	return preparer.Prepare(ctx, chosen)
}

// Check implements [Checker], for the tables with the chosen columns. Where the
// sink cannot check anything, it is asked whether it can be written to.
func (s *Selecting) Check(ctx context.Context, tables []*schema.Table, prepares bool) error {
	checker, able := s.Sink.(Checker)
	if !able {
		return s.Ping(ctx)
	}
	chosen, err := s.tables(tables)
	if err != nil {
		return err
	}
	return checker.Check(ctx, chosen, prepares)
}

// inspecting is a Selecting over a sink that can inspect.
type inspecting struct {
	*Selecting
	inspector Inspector
}

// Inspect implements [Inspector]. The positions that it returns are those in b.
func (s inspecting) Inspect(ctx context.Context, b *Batch, age time.Duration) (Findings, error) {
	chosen, positions, err := s.choose(b)
	if err != nil || chosen == nil {
		return Findings{}, err
	}
	found, err := s.inspector.Inspect(ctx, chosen, age)
	if err != nil {
		return Findings{}, inWhole(err, positions)
	}
	if positions != nil {
		for i, k := range found.Missing {
			found.Missing[i] = positions[k]
		}
	}
	return found, nil
}

func (s *Selecting) tables(tables []*schema.Table) ([]*schema.Table, error) {
	chosen := make([]*schema.Table, len(tables))
	for i, t := range tables {
		known, err := s.selection(t)
		if err != nil {
			return nil, err
		}
		chosen[i] = known.table
	}
	return chosen, nil
}

func (s *Selecting) selection(t *schema.Table) (*selection, error) {
	known, ok := s.selections[t.Name]
	if !ok {
		return nil, fmt.Errorf("table %s is not of the sink's topics", t.Name)
	}
	return known, nil
}

// choose returns what is chosen of the batch, nil where that is nothing, and
// the positions of its records in b, nil where they are the same.
func (s *Selecting) choose(b *Batch) (chosen *Batch, positions []int, err error) {
	known, err := s.selection(b.Table)
	if err != nil {
		return nil, nil, err
	}
	if known.everything() {
		return b, nil, nil
	}
	worker := known.workers.Get().(*selectWorker)
	defer known.workers.Put(worker)
	chosen, positions, err = worker.choose(b)
	if err != nil || len(chosen.Records) == 0 {
		return nil, nil, err
	}
	return chosen, positions, nil
}

// inWhole returns the error with the position in the whole batch.
func inWhole(err error, positions []int) error {
	permanent, ok := IsPermanent(err)
	if !ok || positions == nil || permanent.Index < 0 || permanent.Index >= len(positions) {
		return err
	}
	return Permanent(permanent.Reason, positions[permanent.Index], permanent.Err)
}

// A selection is what is chosen of one table.
type selection struct {
	// table is what the sink is given.
	table *schema.Table
	// read are the columns that are decoded: those of table under their own names,
	// and then those which the filter alone reads.
	read *schema.Table
	// reshaped tells that the records are encoded anew.
	reshaped bool
	filter   *filter // nil chooses every row
	workers  sync.Pool
}

// newSelection expects a valid configuration.
func newSelection(cfg SelectConfig, t *schema.Table) (*selection, error) {
	s := &selection{table: t}
	kept := cfg.Columns.keeps(t)
	renamed := cfg.Columns.renamed(kept)
	for i, c := range renamed {
		s.reshaped = s.reshaped || c.Name != kept[i].Name
	}
	s.reshaped = s.reshaped || len(kept) < len(t.Columns)
	read := *t
	if s.reshaped {
		shaped := *t
		shaped.Columns, read.Columns = renamed, kept
		shaped.Key = cfg.Columns.keyOf(t)
		s.table = &shaped
	} else {
		read.Columns = identityOf(t) // The decoder asks for the event.
	}
	if cfg.Filter != "" {
		f, err := compile(cfg.Filter, t)
		if err != nil {
			return nil, fmt.Errorf("filter: %w", err)
		}
		s.filter = f
		for _, c := range f.columns {
			if read.Index(c.Name) < 0 {
				read.Columns = append(read.Columns, c)
			}
		}
	}
	s.read = &read
	s.workers.New = func() any { return newSelectWorker(s) }
	return s, nil
}

// everything reports whether batches are handed on as they are.
func (s *selection) everything() bool { return !s.reshaped && s.filter == nil }

// A selectWorker goes through batches of one table, one at a time.
type selectWorker struct {
	*selection
	decoder *schema.Decoder
	row     schema.Row
	test    *filterRun // nil without a filter
}

func newSelectWorker(s *selection) *selectWorker {
	w := &selectWorker{selection: s, decoder: schema.NewDecoder(s.read), row: make(schema.Row, len(s.read.Columns))}
	if s.filter != nil {
		w.test = s.filter.run(s.read)
	}
	return w
}

// choose returns the chosen records as a batch, and their positions in b. The
// offsets and the timestamps stay, so that the token of a batch that is chosen
// again is the same.
func (w *selectWorker) choose(b *Batch) (*Batch, []int, error) {
	chosen := *b
	chosen.Table, chosen.Records = w.table, make([]Record, 0, len(b.Records))
	positions := make([]int, 0, len(b.Records))
	var encoded []byte
	if w.reshaped {
		encoded = make([]byte, 0, w.sizeOf(b))
	}
	for i, r := range b.Records {
		if err := w.decoder.Decode(r.Value, w.row); err != nil {
			return nil, nil, Permanent(Undecodable, i, err)
		}
		if w.test != nil {
			switch takes, err := w.test.takes(w.row); {
			case err != nil:
				return nil, nil, Permanent(FilterFailed, i, err)
			case !takes:
				continue
			}
		}
		if w.reshaped {
			begin := len(encoded)
			encoded = w.table.AppendRow(encoded, w.row[:len(w.table.Columns)])
			r.Value = encoded[begin:len(encoded):len(encoded)]
		}
		chosen.Records = append(chosen.Records, r)
		positions = append(positions, i)
	}
	return &chosen, positions, nil
}

// sizeOf guesses how much memory the encoded records take. Renamed columns can
// make it more: then the slice grows, and the records before stay where they are.
func (w *selectWorker) sizeOf(b *Batch) int {
	size := 0
	for i := range b.Records {
		size += len(b.Records[i].Value)
	}
	return size
}
