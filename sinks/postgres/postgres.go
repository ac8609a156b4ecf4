// Package postgres is the sink that writes batches into PostgreSQL tables: COPY
// into a temporary table, and from there one INSERT that keeps one row of each
// event. It makes the tables from the contracts.
package postgres

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/semaphore"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// A Sink writes to one schema of a PostgreSQL database.
type Sink struct {
	cfg    Config
	at     string // the database, for errors
	pool   *pgxpool.Pool
	writes *semaphore.Weighted // one for each connection, so that no write waits for one with a timeout

	mu     sync.Mutex
	tables map[string]*table // by name
}

var (
	_ sinks.Sink     = (*Sink)(nil)
	_ sinks.Preparer = (*Sink)(nil)
	_ sinks.Checker  = (*Sink)(nil)
)

// Open returns a sink. It connects when it first writes. What it stores does not
// depend on the name: a row is told by its key.
func Open(_ string, cfg Config) (*Sink, error) {
	config, err := cfg.pool()
	if err != nil {
		return nil, err
	}
	server := config.ConnConfig
	at := net.JoinHostPort(server.Host, strconv.Itoa(int(server.Port))) + "/" + server.Database
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		return nil, fmt.Errorf("postgres %s: %w", at, err)
	}
	return &Sink{cfg: cfg, at: at, pool: pool, writes: semaphore.NewWeighted(int64(cfg.MaxConnections)), tables: map[string]*table{}}, nil
}

// Ping reports whether a server answers that can be written to.
func (s *Sink) Ping(ctx context.Context) error {
	var readOnly string
	if err := s.pool.QueryRow(ctx, "SHOW transaction_read_only").Scan(&readOnly); err != nil {
		return s.describe(err)
	}
	if readOnly != "off" {
		s.pool.Reset() // The next session may be with another server, or begin otherwise.
		return fmt.Errorf("postgres %s: %w", s.at, errReadOnly)
	}
	return nil
}

// Close closes the connections.
func (s *Sink) Close() error {
	s.pool.Close()
	return nil
}

// giveUpTimeout bounds what is done for a transaction that has failed.
const giveUpTimeout = 5 * time.Second

// Write stores the batch in one transaction. Of several rows of one event it
// keeps the one that was normalized last; of a row that is there already nothing is
// changed, so that a repeated batch is stored once (invariant 4).
func (s *Sink) Write(ctx context.Context, b *sinks.Batch) error {
	t, err := s.table(b.Table)
	if err != nil {
		return err
	}
	if err := s.writes.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("postgres %s: waiting for a connection: %w", s.at, err)
	}
	defer s.writes.Release(1)
	e := t.encoders.Get().(*encoder)
	rows, err := e.encode(b)
	if err != nil {
		t.encoders.Put(e)
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return s.describe(err)
	}
	defer conn.Release()
	session := conn.Conn().PgConn()
	if err := s.transfer(ctx, session, t, rows); err != nil {
		s.giveUp(ctx, session, err)
		return err // After a COPY that was cut off the driver may still read the rows, so that the encoder is not used again.
	}
	t.encoders.Put(e)
	return nil
}

// transfer is the transaction of one batch.
func (s *Sink) transfer(ctx context.Context, session *pgconn.PgConn, t *table, rows []byte) error {
	if err := execute(ctx, session, s.begin()+t.begin); err != nil {
		return s.describe(err)
	}
	if _, err := session.CopyFrom(ctx, bytes.NewReader(rows), t.copy); err != nil {
		return s.refused(t, err)
	}
	if err := execute(ctx, session, t.merge+"; COMMIT"); err != nil {
		return s.refused(t, err)
	}
	return nil
}

// begin returns the statements that begin a transaction. It ends by itself when
// this program has gone away in the middle, so that its locks do not stay. Its
// COMMIT waits for the disk also where the server is told not to.
func (s *Sink) begin() string {
	limit := s.cfg.WriteTimeout.Milliseconds()
	return fmt.Sprintf(`BEGIN;
SET LOCAL client_min_messages = error;
SET LOCAL statement_timeout = %d;
SET LOCAL idle_in_transaction_session_timeout = %d;
SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off';
`, limit, limit)
}

// execute runs statements without parameters.
func execute(ctx context.Context, session *pgconn.PgConn, statements string) error {
	_, err := session.Exec(ctx, statements).ReadAll()
	return err
}

// giveUp ends a transaction that has failed. When a row was refused the session
// goes on; otherwise the next try shall have another one, for it may be the session
// that is at fault: one with a server that has become a standby, for example.
func (s *Sink) giveUp(ctx context.Context, session *pgconn.PgConn, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUpTimeout)
	defer cancel()
	if _, permanent := sinks.IsPermanent(err); permanent && execute(ctx, session, "ROLLBACK") == nil {
		return
	}
	_ = session.Close(ctx) // The server undoes the transaction when the connection is gone.
}

func (s *Sink) table(t *schema.Table) (*table, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known, ok := s.tables[t.Name]; ok {
		return known, nil
	}
	made, err := newTable(s.cfg.Schema, t)
	if err != nil {
		return nil, err
	}
	s.tables[t.Name] = made
	return made, nil
}
