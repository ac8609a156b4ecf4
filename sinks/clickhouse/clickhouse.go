// Package clickhouse is the sink that writes batches into ClickHouse tables
// over the native protocol, one INSERT per batch, and runs the migrations that
// create them.
package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/semaphore"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

var databaseForm = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// A Sink writes to one ClickHouse.
type Sink struct {
	name string
	cfg  Config
	conn driver.Conn

	surely time.Duration       // see the constant
	writes *semaphore.Weighted // one for each connection, so that no write waits for one with a timeout
	pings  sync.WaitGroup      // which may outlast their contexts

	mu     sync.Mutex
	tables map[string]*table // by name
}

var _ sinks.Sink = (*Sink)(nil)

// A table is what inserting into one table needs; workers are reused, for they
// hold large buffers.
type table struct {
	insert  string
	workers sync.Pool
	checked atomic.Bool // its deduplication window is large enough
}

// A worker decodes the rows of one table and holds their columns.
type worker struct {
	decoder *schema.Decoder
	row     schema.Row
	buffers []buffer
}

// Open returns a sink. It connects when it first writes. The name is part of
// every deduplication token.
func Open(name string, cfg Config) (*Sink, error) {
	conn, err := Connect(cfg)
	if err != nil {
		return nil, err
	}
	return &Sink{name: name, cfg: cfg, conn: conn, surely: surely, writes: semaphore.NewWeighted(int64(cfg.MaxConnections)), tables: map[string]*table{}}, nil
}

// Connect returns a connection pool, which connects when it is first used. Its
// database is the user's own, for the configured one may not be there yet.
func Connect(cfg Config) (driver.Conn, error) {
	options, err := cfg.options("")
	if err != nil {
		return nil, err
	}
	conn, err := clickhouse.Open(options)
	if err != nil {
		return nil, fmt.Errorf("clickhouse %s: %w", strings.Join(cfg.Addresses, ", "), err)
	}
	return conn, nil
}

// Ping reports whether a server answers before the context ends. The driver
// waits for the greeting of one that hangs for DialTimeout, whatever the context
// says.
func (s *Sink) Ping(ctx context.Context) error {
	answer := make(chan error, 1)
	s.pings.Go(func() { answer <- s.conn.Ping(ctx) })
	var err error
	select {
	case err = <-answer:
	case <-ctx.Done():
		err = ctx.Err()
	}
	if err != nil {
		return s.describe(err)
	}
	return nil
}

// Close closes the connections.
func (s *Sink) Close() error {
	s.pings.Wait()
	if err := s.conn.Close(); err != nil {
		return fmt.Errorf("clickhouse: %w", err)
	}
	return nil
}

// Write inserts the batch with one INSERT, whose deduplication token is the
// batch's range, so that ClickHouse stores a repeated batch once (invariant 4).
func (s *Sink) Write(ctx context.Context, b *sinks.Batch) error {
	if err := s.writes.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("clickhouse: waiting for a connection: %w", err)
	}
	defer s.writes.Release(1)
	t := s.table(b.Table)
	w := t.workers.Get().(*worker)
	defer t.workers.Put(w)
	if err := w.decode(b); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	if !t.checked.Load() {
		if err := s.checkWindow(ctx, b.Table.Name); err != nil {
			return err
		}
		t.checked.Store(true)
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(insertSettings(s.name+"/"+b.Table.Name+"/"+b.Token())))
	insert, err := s.conn.PrepareBatch(ctx, t.insert)
	if err != nil {
		return s.describe(err)
	}
	defer insert.Close() //nolint:errcheck // After Send there is nothing to close, before it the error is Send's or Append's.
	for i := range w.buffers {
		if err := w.buffers[i].appendTo(insert, i); err != nil {
			// The driver's error can quote a value.
			return fmt.Errorf("clickhouse: column %s of table %s.%s cannot take the contract's %s; give it that type",
				w.buffers[i].column.Name, s.cfg.Database, b.Table.Name, w.buffers[i].column.ClickHouseType())
		}
	}
	if err := insert.Send(); err != nil {
		return s.refused(ctx, b, s.verdict(err))
	}
	return nil
}

// insertSettings are the settings of every insert.
func insertSettings(token string) clickhouse.Settings {
	return clickhouse.Settings{
		"async_insert":               0,
		"insert_deduplicate":         1,
		"insert_deduplication_token": token,
		// A row for each record, also of two deliveries of one event in one batch:
		// the views collapse them, and what is stored can be counted.
		"optimize_on_insert": 0,
		// A repeated batch fills the views on the table that have not got it yet.
		"deduplicate_blocks_in_dependent_materialized_views": 1,
		// One batch may hold events of many months, as after a long outage.
		"max_partitions_per_insert_block": 0,
	}
}

// refused returns the error of an insert, which is permanent only when nothing of
// the batch is stored. ClickHouse calls materialized views when the rows are
// stored already: then not a row is at fault but the view, and the batch is
// repeated until the view takes it. Constraints are asked before anything is
// stored, but also of a repeated batch that was stored before the constraint was
// there.
func (s *Sink) refused(ctx context.Context, b *sinks.Batch, err error) error {
	refusal, ok := sinks.IsPermanent(err)
	constraint := errors.Is(err, proto.ErrViolatedConstraint)
	if !ok || constraint && b.Since.IsZero() {
		return err
	}
	found, lookErr := s.look(ctx, b)
	switch {
	case lookErr != nil:
		return fmt.Errorf("look whether rows are stored that were refused with %w: %w", refusal.Err, lookErr)
	case len(found.Missing) == len(b.Records):
		return err
	case constraint && len(found.Missing) == 0:
		return nil
	case constraint:
		return fmt.Errorf("clickhouse %s: some rows of a batch are in table %s.%s already, and a constraint that was added since refuses the others; drop the constraint until they are stored",
			strings.Join(s.cfg.Addresses, ", "), s.cfg.Database, b.Table.Name)
	default:
		return fmt.Errorf("clickhouse %s: the rows are in table %s.%s, but a materialized view on it fails with %w; mend the view or drop it",
			strings.Join(s.cfg.Addresses, ", "), s.cfg.Database, b.Table.Name, refusal.Err)
	}
}

func (s *Sink) table(t *schema.Table) *table {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.tables[t.Name]; ok {
		return known
	}
	names := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		names[i] = "`" + c.Name + "`"
	}
	known := &table{insert: fmt.Sprintf("INSERT INTO `%s`.`%s` (%s)", s.cfg.Database, t.Name, strings.Join(names, ", "))}
	known.workers.New = func() any {
		return &worker{decoder: schema.NewDecoder(t), row: make(schema.Row, len(t.Columns)), buffers: newBuffers(t)}
	}
	s.tables[t.Name] = known
	return known
}

// decode fills the buffers with the batch's rows.
func (w *worker) decode(b *sinks.Batch) error {
	for i := range w.buffers {
		w.buffers[i].reset()
	}
	for i := range b.Records {
		if err := w.decoder.Decode(b.Records[i].Value, w.row); err != nil {
			return sinks.Permanent(sinks.Undecodable, i, err)
		}
		for j := range w.buffers {
			w.buffers[j].add(&w.row[j])
		}
	}
	return nil
}
