//go:build linux && postgres

package postgrestest_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5"

	"loyaltyhouse/sinks/postgres/postgrestest"
)

// What is committed is there after another start, however the server ended.
func TestServer(t *testing.T) {
	dir, err := os.MkdirTemp("", "loyaltyhouse-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := postgrestest.Start(t.Context(), dir, "work_mem=1234kB")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for range 2 { // One that has ended has nothing to end.
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		}
	})
	connect := func() *pgx.Conn {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), server.URL())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return conn
	}
	answer := func(query string) (text string) {
		t.Helper()
		if err := connect().QueryRow(t.Context(), query).Scan(&text); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		return text
	}
	if got := answer("SHOW work_mem"); got != "1234kB" {
		t.Errorf("work_mem is %s", got)
	}
	if _, err := connect().Exec(t.Context(), "CREATE TABLE t AS SELECT 'kept' AS n"); err != nil {
		t.Fatal(err)
	}
	for _, end := range []func() error{server.Close, server.Kill, server.Kill} {
		if err := end(); err != nil {
			t.Fatal(err)
		}
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := answer("SELECT n FROM t"); got != "kept" {
			t.Errorf("the table holds %s", got)
		}
	}
}
