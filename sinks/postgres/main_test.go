//go:build linux && postgres

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"loyaltyhouse/connector/harness"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/postgres"
	"loyaltyhouse/sinks/postgres/postgrestest"
	"loyaltyhouse/sinks/sinktest"
)

// patience bounds the wait for anything that should happen at once, on the
// slowest machine.
const patience = time.Minute

// server is the one PostgreSQL of the tests, which do not harm it; each test has
// its own database.
var (
	server    *postgrestest.Server
	superuser *pgxpool.Pool
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	complain := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "loyaltyhouse-postgres-")
	if err != nil {
		return complain(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if server, err = postgrestest.Start(ctx, dir); err != nil {
		return complain(err)
	}
	if superuser, err = pgxpool.New(ctx, server.URL()); err != nil {
		return complain(errors.Join(err, server.Close()))
	}
	code = m.Run()
	superuser.Close()
	leaks := append(harness.ToxiproxyLeaks(), goleak.IgnoreTopFunction("loyaltyhouse/sinks/postgres_test.(*gate).Pipe"))
	if err := errors.Join(server.Close(), goleak.Find(leaks...)); err != nil {
		return complain(err)
	}
	return code
}

var databases atomic.Int32

// newConfig returns the configuration of a role and an empty database of its own.
func newConfig(t testing.TB, options ...string) postgres.Config {
	t.Helper()
	name := fmt.Sprintf("test_%d", databases.Add(1))
	administrate(t, "CREATE ROLE "+name+" LOGIN PASSWORD 'secret'",
		"CREATE DATABASE "+name+" OWNER "+name+" "+strings.Join(options, " "))
	t.Cleanup(func() { administrate(t, "DROP DATABASE "+name+" WITH (FORCE)", "DROP ROLE "+name) })
	cfg := postgres.DefaultConfig()
	cfg.Port, cfg.Database, cfg.Username, cfg.Password = server.Port, name, name, "secret"
	return cfg
}

func administrate(t testing.TB, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := superuser.Exec(context.Background(), statement, pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// newWarehouse returns the configuration of a database with the tables.
func newWarehouse(t testing.TB, tables ...*schema.Table) postgres.Config {
	t.Helper()
	cfg := newConfig(t)
	sink := openSink(t, cfg)
	if len(tables) == 0 {
		tables = sinktest.Tables(t)
	}
	if err := sink.Prepare(context.Background(), tables); err != nil {
		t.Fatal(err)
	}
	return cfg
}

func openSink(t testing.TB, cfg postgres.Config) *postgres.Sink {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	sink, err := postgres.Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return sink
}

// connect returns connections of the superuser to the database.
func connect(t testing.TB, cfg postgres.Config) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	config.ConnConfig.Database = cfg.Database
	config.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeSimpleProtocol
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func execute(t testing.TB, conn *pgxpool.Pool, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if _, err := conn.Exec(context.Background(), statement); err != nil {
			t.Fatalf("%.200s: %v", statement, err)
		}
	}
}

// text returns the answer's rows, each on a line with its columns between
// commas, as PostgreSQL prints them.
func text(t testing.TB, conn *pgxpool.Pool, query string) string {
	t.Helper()
	rows, err := conn.Query(context.Background(), query)
	if err != nil {
		t.Fatalf("%.300s: %v", query, err)
	}
	lines, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (string, error) {
		var cells []string
		for _, raw := range row.RawValues() {
			if raw == nil {
				raw = []byte("NULL")
			}
			cells = append(cells, string(raw))
		}
		return strings.Join(cells, ", "), nil
	})
	if err != nil {
		t.Fatalf("%.300s: %v", query, err)
	}
	return strings.Join(lines, "\n")
}

func expect(t *testing.T, conn *pgxpool.Pool, query, want string) {
	t.Helper()
	if got := text(t, conn, query); got != want {
		t.Errorf("%s\nreturns\n%s\nwant\n%s", query, got, want)
	}
}

func write(t testing.TB, sink sinks.Sink, b *sinks.Batch) {
	t.Helper()
	if err := sink.Write(context.Background(), b); err != nil {
		t.Fatalf("write %d rows of %s: %v", len(b.Records), b.Table.Name, err)
	}
}

// factTable returns the built-in table of that topic.
func factTable(t testing.TB, topic string) *schema.Table {
	t.Helper()
	for _, table := range sinktest.Tables(t) {
		if table.Topic == topic {
			return table
		}
	}
	t.Fatalf("there is no topic %s", topic)
	return nil
}
