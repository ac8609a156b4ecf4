// Package files is the sink that writes batches as Parquet or NDJSON files to
// a local disk, an S3-compatible store, Google Cloud Storage or Azure Blob
// Storage, in Hive-style partitions by day and shop.
package files

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path"
	"sync"

	"golang.org/x/sync/semaphore"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// A Sink writes files into one store.
type Sink struct {
	cfg    Config
	store  store
	writes *semaphore.Weighted

	mu     sync.Mutex
	tables map[string]*sync.Pool // of workers, by the table's name
}

var (
	_ sinks.Sink     = (*Sink)(nil)
	_ sinks.Preparer = (*Sink)(nil)
	_ sinks.Checker  = (*Sink)(nil)
)

// A store keeps files. Keys are parts of letters, digits and -._=%~, with
// slashes between them. Errors name neither a key nor anything else of a row.
type store interface {
	// put publishes a file as a whole, in place of what the key held before. It
	// returns nil when the file is durable.
	put(ctx context.Context, key string, content []byte) error
	// ping reports whether put could work now.
	ping(ctx context.Context) error
	// prepare makes what can be made for the store to work.
	prepare() error
	// probe writes and deletes an object below the prefix. With prepares, prepare is
	// called before the first put.
	probe(ctx context.Context, prefix string, prepares bool) error
	close() error
}

// An encoder writes rows as one file after another.
type encoder interface {
	begin(*bytes.Buffer) error
	add(schema.Row) error
	end() error
}

// A worker holds what writing the batches of one table needs, for its buffers
// are large.
type worker struct {
	decoder *schema.Decoder
	row     schema.Row
	planner *planner
	encoder encoder
	buffer  bytes.Buffer
}

// Open returns a sink. It reads the files that the configuration names and
// connects when it first writes. Files have the same names under any name of
// the sink.
func Open(_ string, cfg Config) (*Sink, error) {
	store, err := cfg.open()
	if err != nil {
		return nil, err
	}
	return newSink(cfg, store), nil
}

func newSink(cfg Config, store store) *Sink {
	return &Sink{cfg: cfg, store: store, writes: semaphore.NewWeighted(int64(cfg.MaxWrites)), tables: map[string]*sync.Pool{}}
}

// Ping reports whether the store answers and takes files.
func (s *Sink) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	return s.store.ping(ctx)
}

// Prepare creates the directory of a local store, and removes what processes
// that were killed have left there. Other stores need nothing.
func (s *Sink) Prepare(context.Context, []*schema.Table) error { return s.store.prepare() }

// Check writes and deletes an object below the prefix.
func (s *Sink) Check(ctx context.Context, _ []*schema.Table, prepares bool) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	return s.store.probe(ctx, s.cfg.Prefix, prepares)
}

// Close releases the connections.
func (s *Sink) Close() error { return s.store.close() }

// Write publishes the batch as one file in each of its partitions. All rows are
// decoded before the first file is published, and a file's name is made of the
// batch's range: so a batch that is repeated after an error or a crash replaces
// the files that it has, and adds those that are missing (invariant 4).
func (s *Sink) Write(ctx context.Context, b *sinks.Batch) error {
	if err := s.writes.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("files: waiting for other writes: %w", err)
	}
	defer s.writes.Release(1)
	workers := s.workers(b.Table)
	w := workers.Get().(*worker)
	defer workers.Put(w)
	defer w.planner.reset()
	if err := w.plan(b); err != nil {
		return err
	}
	if n := len(w.planner.directories); n > s.cfg.MaxFilesPerBatch {
		return fmt.Errorf("files: a batch of %s spreads over %d days and shops, more than max_files_per_batch (%d) allows; raise it, or leave the shop out of partition_by",
			b.Table.Name, n, s.cfg.MaxFilesPerBatch)
	}
	directory, name := path.Join(s.cfg.Prefix, b.Table.Name), fileName(b, s.cfg.extension())
	for rest := w.planner.positions; len(rest) > 0; {
		n := filesRows(rest)
		if err := w.encode(b, rest[:n]); err != nil {
			return fmt.Errorf("files: encode rows of %s: %w", b.Table.Name, err)
		}
		if err := s.put(ctx, path.Join(directory, w.planner.directories[rest[0].file], name), w.buffer.Bytes()); err != nil {
			return err
		}
		rest = rest[n:]
	}
	return nil
}

func (s *Sink) put(ctx context.Context, key string, content []byte) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	return s.store.put(ctx, key, content)
}

// filesRows returns how many of the positions belong to the first one's file.
func filesRows(positions []position) int {
	for i := range positions {
		if positions[i].file != positions[0].file {
			return i
		}
	}
	return len(positions)
}

func (s *Sink) workers(t *schema.Table) *sync.Pool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.tables[t.Name]; ok {
		return known
	}
	known := &sync.Pool{New: func() any {
		return &worker{
			decoder: schema.NewDecoder(t),
			row:     make(schema.Row, len(t.Columns)),
			planner: newPlanner(t, s.cfg.PartitionBy),
			encoder: s.cfg.encoder(t),
		}
	}}
	s.tables[t.Name] = known
	return known
}

// plan decodes every record once, and says where it goes.
func (w *worker) plan(b *sinks.Batch) error {
	for i, r := range b.Records {
		if err := w.decoder.Decode(r.Value, w.row); err != nil {
			return sinks.Permanent(sinks.Undecodable, i, err)
		}
		w.planner.add(w.row, r)
	}
	w.planner.sort()
	return nil
}

// encode fills the buffer with one file. The records are decoded again, so that
// not more than one row is held decoded.
func (w *worker) encode(b *sinks.Batch, positions []position) error {
	w.buffer.Reset()
	if err := w.encoder.begin(&w.buffer); err != nil {
		return err
	}
	for _, p := range positions {
		if err := w.decoder.Decode(b.Records[p.record].Value, w.row); err != nil {
			return errors.Join(err, w.encoder.end())
		}
		if err := w.encoder.add(w.row); err != nil {
			return errors.Join(err, w.encoder.end())
		}
	}
	return w.encoder.end()
}
