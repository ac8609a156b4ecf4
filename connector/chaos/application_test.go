//go:build linux && postgres

package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// Tables that hold what they should are found to do so, also after the server was
// killed, and those that do not are found with what differs.
func TestReconcileApplication(t *testing.T) {
	// The server runs as another user, who cannot reach the test's own directory.
	dir, err := os.MkdirTemp("", "loyaltyhouse-chaos-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	a, err := startApplication(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := a.close(); err != nil {
			t.Error(err)
		}
	})
	h := newHandmade(t)
	execute := func(statements ...string) {
		t.Helper()
		conn, err := pgx.Connect(t.Context(), a.server.URL())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(t.Context())
		if _, err := conn.Exec(t.Context(), strings.Join(statements, ";\n"), pgx.QueryExecModeSimpleProtocol); err != nil {
			t.Fatal(err)
		}
	}
	// As the sink makes them, but without what keeps a row from being there twice.
	statements := []string{"CREATE SCHEMA " + database}
	for _, table := range h.expected.tables {
		name := database + "." + table.Name
		if len(table.Key) == 0 {
			statements = append(statements, "CREATE TABLE "+name+" (event_id uuid, _partition bigint, _offset bigint)")
			for n, value := range h.values[table.Name] { // They went to the two partitions in turn.
				statements = append(statements, fmt.Sprintf("INSERT INTO %s VALUES ('%s', %d, %d)", name, member(t, value, "event_id"), n%2, n/2))
			}
			continue
		}
		statements = append(statements, "CREATE TABLE "+name+" (event_id uuid, normalized_at timestamp(3) with time zone)")
		stored := map[string]bool{}
		for _, value := range h.values[table.Name] {
			if event := member(t, value, "event_id"); !stored[event] {
				stored[event] = true
				statements = append(statements, fmt.Sprintf("INSERT INTO %s VALUES ('%s', '%s')", name, event, member(t, value, "normalized_at")))
			}
		}
	}
	execute(statements...)
	expect := func(what string, want ...string) {
		t.Helper()
		differences, _ := h.reconcile(t, func(e *expectation) { e.destinations = []destination{a} })
		if !slices.Equal(differences, want) {
			t.Errorf("%s: got %q, want %q", what, differences, want)
		}
	}
	expect("as it was delivered")
	for _, breaking := range []func() error{a.target().kill, a.target().terminate} {
		if err := breaking(); err != nil {
			t.Fatal(err)
		}
		if err := a.start(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	expect("after a kill")

	event := member(t, h.values["fact_points"][0], "event_id")
	delivery := member(t, h.values["raw_webhooks"][0], "event_id")
	execute("INSERT INTO loyalty.fact_points SELECT * FROM loyalty.fact_points WHERE event_id = '"+event+"'",
		"INSERT INTO loyalty.raw_webhooks VALUES ('"+delivery+"', 0, 1000000)")
	expect("doubled", "fact_points of application: 1 rows are doubled", "raw_webhooks of application: 1 rows are doubled")

	execute("DELETE FROM loyalty.raw_webhooks WHERE _offset = 1000000",
		"DELETE FROM loyalty.fact_points WHERE event_id = '"+event+"'")
	expect("a fact is gone", "fact_points of application: 1 rows are lost", "fact_points of application: 1 acknowledged events are lost")

	execute("INSERT INTO loyalty.fact_points VALUES ('"+event+"', '2000-01-01 00:00:00Z')",
		"DELETE FROM loyalty.raw_webhooks WHERE _partition = 1 AND _offset = 0")
	differences, _ := h.reconcile(t, func(e *expectation) { e.destinations = []destination{a} })
	for _, want := range []string{
		"fact_points of application: 1 rows are lost", "fact_points of application: 1 rows are doubled", // It is the row of another normalization.
		"raw_webhooks of application: 1 rows are lost",
	} {
		if !slices.Contains(differences, want) {
			t.Errorf("an outdated fact and a delivery that is gone: got %q, want %q", differences, want)
		}
	}
}

// member returns a member of a record, which must be a text.
func member(t *testing.T, value []byte, name string) string {
	t.Helper()
	var row map[string]any
	if err := json.Unmarshal(value, &row); err != nil {
		t.Fatal(err)
	}
	text, _ := row[name].(string)
	return text
}
