//go:build linux && postgres

package main

import (
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/sinks/postgres/postgrestest"
)

func TestExamplePostgresApplication(t *testing.T) {
	t.Parallel()
	// The server runs as another user, who cannot reach the test's own directory.
	dir, err := os.MkdirTemp("", "loyaltyhouse-postgres-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	server, err := postgrestest.Start(t.Context(), dir, "fsync=off")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	w, variables := servers(t)
	for name, value := range map[string]string{
		"HOST": "127.0.0.1", "PORT": strconv.Itoa(server.Port), "DATABASE": postgrestest.Superuser,
		"USERNAME": postgrestest.Superuser, "PASSWORD": server.Password, "TLS": "false",
	} {
		variables["POSTGRES_"+name] = value
	}
	e := startExample(t, "postgres-application.yaml", variables)
	e.play(t, w.address, 85)
	want := once(e.rows(simulate.TablePoints, func(truth simulate.Truth) bool {
		return !strings.HasPrefix(truth.Scene, "MANUALLY_") && !strings.HasPrefix(truth.Scene, "CUSTOMER_IMPORT_")
	}))

	conn, err := pgx.Connect(t.Context(), server.URL())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	eventually(t, "the application has as many rows as it should", func() bool {
		var n int64
		err := conn.QueryRow(t.Context(), "SELECT count(*) FROM loyalty.points").Scan(&n)
		return err == nil && n >= sum(want)
	})
	rows, err := conn.Query(t.Context(), `SELECT concat(shop_id, ' ', customer_id, ' ', points_delta, ' ', (extract(epoch FROM changed_at) * 1000)::bigint) FROM loyalty.points`)
	if err != nil {
		t.Fatal(err)
	}
	written, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	have := map[string]uint64{}
	for _, row := range written {
		have[row]++
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the application's points differ from what was sent (-):\n%s", diff)
	}
	var columns, tables string
	if err := conn.QueryRow(t.Context(), `SELECT
		(SELECT string_agg(column_name, ' ' ORDER BY column_name) FROM information_schema.columns WHERE table_schema = 'loyalty' AND table_name = 'points'),
		(SELECT string_agg(table_name, ' ' ORDER BY table_name) FROM information_schema.tables WHERE table_schema = 'loyalty')`).Scan(&columns, &tables); err != nil {
		t.Fatal(err)
	}
	if columns != "changed_at customer_id event_id normalized_at points_balance points_delta scene shop_id" {
		t.Errorf("loyalty.points has the columns %s", columns)
	}
	if tables != "fact_points points" {
		t.Errorf("the schema has %s", tables)
	}
}
