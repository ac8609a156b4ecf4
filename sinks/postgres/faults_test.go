//go:build linux && postgres

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/postgres"
	"loyaltyhouse/sinks/postgres/postgrestest"
	"loyaltyhouse/sinks/sinktest"
)

// sensitive is in every text of the suite's rows.
const sensitive = "secret-value"

// expectTransient wants an error that is tried again, and that quotes no row.
func expectTransient(t *testing.T, err error) {
	t.Helper()
	if _, permanent := sinks.IsPermanent(err); err == nil || permanent {
		t.Fatalf("Write returns %v, want an error that is not permanent", err)
	}
	for cause := err; cause != nil; cause = errors.Unwrap(cause) {
		if strings.Contains(cause.Error(), sensitive) {
			t.Errorf("the error quotes a row: %v", cause)
		}
	}
}

// writeUntilStored writes the batch until it succeeds: what is left of
// connections that were cut may fail once more.
func writeUntilStored(t *testing.T, sink sinks.Sink, b *sinks.Batch) {
	t.Helper()
	for until := time.Now().Add(patience); ; {
		err := sink.Write(t.Context(), b)
		if err == nil {
			return
		}
		expectTransient(t, err)
		if time.Now().After(until) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// count returns how many rows a table has, and of how many events.
func count(t *testing.T, conn *pgxpool.Pool, table *schema.Table) string {
	t.Helper()
	return text(t, conn, "SELECT count(*) || ' rows of ' || count(DISTINCT event_id) || ' events' FROM loyalty."+table.Name)
}

func expectStored(t *testing.T, conn *pgxpool.Pool, table *schema.Table, rows int) {
	t.Helper()
	if got, want := count(t, conn, table), fmt.Sprintf("%d rows of %d events", rows, rows); got != want {
		t.Errorf("stored are %s, want %s", got, want)
	}
}

// Wherever in the conversation the connection is cut, the batch is stored once
// when it is repeated, and whole or not at all before.
func TestConnectionCutAnywhere(t *testing.T) {
	const rows = 500
	table := factTable(t, "points")
	cfg := newWarehouse(t)
	conn := connect(t, cfg)
	whole := newLink(t)
	cfg.Port = whole.port(t)
	write(t, openSink(t, cfg), numbered(table, 0, rows))
	up, down := whole.up.passed.Load(), whole.down.passed.Load()
	if up < 100*rows {
		t.Fatalf("the batch took %d bytes", up)
	}
	// In the greeting, in BEGIN, throughout the rows, in INSERT and COMMIT; and
	// what the server answers to them.
	cuts := map[string][]int64{
		"upstream":   {1, 50, 600, up / 10, up / 2, up - 2000, up - 1000, up - 100, up - 10, up - 6, up - 5, up - 4, up - 1},
		"downstream": {1, 300, down - 150, down - 100, down - 50, down - 30, down - 20, down - 10, down - 6, down - 1},
	}
	stored := rows
	for stream, cuts := range cuts {
		for _, cut := range cuts {
			t.Run(fmt.Sprintf("%s after %d of %d/%d bytes", stream, cut, up, down), func(t *testing.T) {
				l := newLink(t)
				l.poison(t, fmt.Sprintf(`{"name": "cut", "type": "limit_data", "stream": %q, "attributes": {"bytes": %d}}`, stream, cut))
				cfg.Port = l.port(t)
				sink := openSink(t, cfg)
				batch := numbered(table, stored, rows)
				err := sink.Write(t.Context(), batch)
				if err != nil {
					expectTransient(t, err)
				}
				landed := fmt.Sprintf("%d rows of %[1]d events", stored+rows)
				if got := count(t, conn, table); got != landed && (err == nil || got != fmt.Sprintf("%d rows of %[1]d events", stored)) {
					t.Errorf("after %v there are %s beside %d others, want all or none", err, got, stored)
				}
				l.heal(t, "cut")
				writeUntilStored(t, sink, batch)
				stored += rows
				expectStored(t, conn, table, stored)
			})
		}
	}
}

// The COMMIT lands, and nobody hears of it: the repetition stores nothing.
func TestAnswerLostAfterCommit(t *testing.T) {
	for _, table := range sinktest.Tables(t)[:3] {
		t.Run(table.Name, func(t *testing.T) {
			cfg := newWarehouse(t)
			conn, l := connect(t, cfg), newLink(t)
			cfg.Port, cfg.WriteTimeout = l.port(t), 2*time.Second
			sink := openSink(t, cfg)
			write(t, sink, numbered(table, 0, 1))
			batch := numbered(table, 1, 1000)

			// A trigger holds COMMIT up until nothing is heard any more.
			execute(t, conn, "CREATE FUNCTION hold() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(0.5); RETURN NULL; END $$",
				"CREATE CONSTRAINT TRIGGER hold AFTER INSERT ON loyalty."+table.Name+" DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.event_id = 'e7000000-0000-0000-0000-000000000001') EXECUTE FUNCTION hold()")
			written := make(chan error, 1)
			go func() { written <- sink.Write(t.Context(), batch) }()
			await(t, "the transaction is committing", func() bool {
				return text(t, conn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'") == "1"
			})
			l.down.shut.Store(true)
			expectTransient(t, <-written)
			await(t, "the transaction has landed", func() bool { return strings.HasPrefix(count(t, conn, table), "1001 rows") })
			l.down.shut.Store(false)
			writeUntilStored(t, sink, batch)
			write(t, openSink(t, cfg), batch)
			expectStored(t, conn, table, 1001)
		})
	}
}

func await(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !condition(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("never: %s", what)
		}
	}
}

func TestSlowConnection(t *testing.T) {
	cfg := newWarehouse(t)
	l := newLink(t)
	conn := connect(t, cfg)
	cfg.Port = l.port(t)
	l.poison(t, `{"name": "far", "type": "latency", "stream": "downstream", "attributes": {"latency": 50}}`)
	l.poison(t, `{"name": "narrow", "type": "bandwidth", "stream": "upstream", "attributes": {"rate": 500}}`)
	write(t, openSink(t, cfg), numbered(schema.RawWebhooks(), 0, 500))
	expectStored(t, conn, schema.RawWebhooks(), 500)
}

// A sink whose host has vanished in the middle of a transaction leaves no locks
// behind for longer than write_timeout.
func TestAbandonedTransactionEnds(t *testing.T) {
	cfg := newWarehouse(t)
	table, conn, l := factTable(t, "points"), connect(t, cfg), newLink(t)
	lost := cfg
	lost.Port, lost.WriteTimeout = l.port(t), time.Second
	sink := openSink(t, lost)
	write(t, sink, numbered(table, 0, 1))
	batch := numbered(table, 1, 2000)
	l.up.shutAfter(l.up.passed.Load()+50_000, l.up) // In the middle of COPY.
	expectTransient(t, sink.Write(t.Context(), batch))
	await(t, "the transaction has ended", func() bool {
		return text(t, conn, "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = '"+cfg.Username+"' AND state <> 'idle'") == "0"
	})
	write(t, openSink(t, cfg), batch)
	expectStored(t, conn, table, 2001)
}

// Two processes write the same events in opposite orders, and newer rows of them,
// all at once. None waits for the other for ever, and none fails.
func TestConcurrentWritersOfTheSameEvents(t *testing.T) {
	const writers, rounds, events = 6, 8, 200
	cfg := newWarehouse(t)
	table, conn := factTable(t, "points"), connect(t, cfg)
	at := table.Index("normalized_at")
	var writing sync.WaitGroup
	for w := range writers {
		sink := openSink(t, cfg)
		writing.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w))) //nolint:gosec // The orders are to be the same every time.
			for round := range rounds {
				var rows []schema.Row
				for _, n := range random.Perm(events) {
					row := sinktest.Row(table, n)
					row[at] = schema.IntValue(int64(1000 * (round*writers + w)))
					row[table.Index("updated_value")] = row[at]
					rows = append(rows, row)
				}
				batch := sinktest.NewBatch(table, int64(round*events), rows...)
				batch.Partition = w
				if err := sink.Write(t.Context(), batch); err != nil {
					t.Errorf("writer %d, round %d: %v", w, round, err)
				}
			}
		})
	}
	writing.Wait()
	expectStored(t, conn, table, events)
	expect(t, conn, "SELECT DISTINCT updated_value FROM loyalty.fact_points", fmt.Sprint(1000*(rounds*writers-1)))
	expect(t, conn, "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()", "0")
}

// Batches go on being written while the server is killed again and again; in the
// end every row is there once.
func TestServerIsKilled(t *testing.T) {
	own := startServer(t)
	cfg := configOf(own)
	sink := openSink(t, cfg)
	tables := sinktest.Tables(t)[:3]
	if err := sink.Prepare(t.Context(), tables); err != nil {
		t.Fatal(err)
	}
	const kills, batches, rows = 4, 40, 300
	var writing sync.WaitGroup
	for w, table := range tables {
		writing.Go(func() {
			for b := range batches {
				batch := numbered(table, b*rows, rows)
				batch.Partition = w
				for until := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
					err := sink.Write(t.Context(), batch)
					if err == nil {
						break
					}
					if _, permanent := sinks.IsPermanent(err); permanent || time.Now().After(until) {
						t.Errorf("%s: %v", table.Name, err)
						return
					}
				}
			}
		})
	}
	for range kills {
		time.Sleep(200 * time.Millisecond)
		if err := own.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := own.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	writing.Wait()
	conn := connectTo(t, own)
	for _, table := range tables {
		expectStored(t, conn, table, batches*rows)
	}
	if err := sink.Ping(t.Context()); err != nil {
		t.Error(err)
	}
}

// A server that does not answer is waited for no longer than write_timeout.
func TestServerIsPaused(t *testing.T) {
	own := startServer(t)
	cfg := configOf(own)
	cfg.WriteTimeout = time.Second
	table := schema.RawWebhooks()
	sink := openSink(t, cfg)
	if err := sink.Prepare(t.Context(), []*schema.Table{table}); err != nil {
		t.Fatal(err)
	}
	write(t, sink, numbered(table, 0, 10))
	if err := own.Pause(); err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	expectTransient(t, sink.Write(t.Context(), numbered(table, 10, 10)))
	if took := time.Since(start); took > 20*time.Second {
		t.Errorf("Write returned after %s", took)
	}
	if err := own.Resume(); err != nil {
		t.Fatal(err)
	}
	writeUntilStored(t, sink, numbered(table, 10, 10))
	expectStored(t, connectTo(t, own), table, 20)
}

// A disk that cannot be written to is waited for.
func TestServerCannotWriteItsFiles(t *testing.T) {
	own := startServer(t)
	cfg := configOf(own)
	table := schema.RawWebhooks()
	sink := openSink(t, cfg)
	if err := sink.Prepare(t.Context(), []*schema.Table{table}); err != nil {
		t.Fatal(err)
	}
	conn := connectTo(t, own)
	dir := filepath.Join(own.DataDir(), "base", text(t, conn, "SELECT oid FROM pg_database WHERE datname = current_database()"))
	if err := os.Chmod(dir, 0o500); err != nil { //nolint:gosec // It is a directory.
		t.Fatal(err)
	}
	err := sink.Write(t.Context(), numbered(table, 0, 10))
	if restored := os.Chmod(dir, 0o700); restored != nil { //nolint:gosec // It is a directory.
		t.Fatal(restored)
	}
	expectTransient(t, err)
	if !strings.Contains(err.Error(), "SQLSTATE 42501") {
		t.Errorf("Write returns %v", err)
	}
	write(t, sink, numbered(table, 0, 10))
	expectStored(t, conn, table, 10)
}

// A server that has no room for what a batch needs is waited for.
func TestServerHasNoRoom(t *testing.T) {
	cfg := newWarehouse(t)
	table, conn := factTable(t, "points"), connect(t, cfg)
	execute(t, conn, "ALTER ROLE "+cfg.Username+" SET work_mem = '64kB'", "ALTER ROLE "+cfg.Username+" SET temp_file_limit = '64kB'")
	sink := openSink(t, cfg)
	err := sink.Write(t.Context(), numbered(table, 0, 5000))
	expectTransient(t, err)
	if !strings.Contains(err.Error(), "SQLSTATE 53400: temporary file size exceeds temp_file_limit") {
		t.Errorf("Write returns %v", err)
	}
	execute(t, conn, "ALTER ROLE "+cfg.Username+" RESET temp_file_limit")
	write(t, sink, numbered(table, 0, 5000)) // In a session of its own.
	expectStored(t, conn, table, 5000)
}

// A COMMIT is on the disk also where the server does not insist.
func TestCommitWaitsForTheDisk(t *testing.T) {
	cfg := newWarehouse(t)
	conn := connect(t, cfg)
	execute(t, conn, "ALTER ROLE "+cfg.Username+" SET synchronous_commit = off",
		"CREATE TABLE public.seen (setting text)", "GRANT INSERT ON public.seen TO PUBLIC",
		"CREATE FUNCTION see() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.seen SELECT current_setting('synchronous_commit'); RETURN NULL; END $$",
		"CREATE TRIGGER see AFTER INSERT ON loyalty.dead_letters EXECUTE FUNCTION see()")
	write(t, openSink(t, cfg), numbered(schema.DeadLetters(), 0, 1))
	execute(t, conn, "ALTER ROLE "+cfg.Username+" SET synchronous_commit = local")
	write(t, openSink(t, cfg), numbered(schema.DeadLetters(), 1, 1))
	expect(t, conn, "SELECT setting FROM public.seen ORDER BY 1", "local\non")
}

// startServer starts a server that the test may harm.
func startServer(t *testing.T, settings ...string) *postgrestest.Server {
	t.Helper()
	// Not t.TempDir, which the server's user could not reach.
	dir, err := os.MkdirTemp("", "loyaltyhouse-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	own, err := postgrestest.Start(t.Context(), dir, settings...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Close(); err != nil {
			t.Error(err)
		}
	})
	return own
}

func configOf(own *postgrestest.Server) postgres.Config {
	cfg := postgres.DefaultConfig()
	cfg.Port, cfg.Database, cfg.Username, cfg.Password = own.Port, postgrestest.Superuser, postgrestest.Superuser, own.Password
	return cfg
}

func connectTo(t *testing.T, own *postgrestest.Server) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(own.URL())
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	conn, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	return conn
}
