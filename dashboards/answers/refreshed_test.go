package answers_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"loyaltyhouse/dashboards"
	"loyaltyhouse/schema"
)

// In another database views of the same names hold no row. One of them has failed,
// one is late, and one is not there.
func TestTablesThatAreNotRefreshed(t *testing.T) {
	const database = "standing"
	var names []string
	for _, v := range schema.Views(nil) {
		if v.Cached() {
			names = append(names, v.Name)
		}
	}
	missing, late, failed := "points_cohorts_cached", "gift_card_gaps_cached", "points_gaps_cached"
	states := map[string]string{missing: "missing", late: "late", failed: "failed"}
	run := func(statement string, args ...any) error {
		return warehouse.Exec(context.WithoutCancel(t.Context()), fmt.Sprintf(statement, args...))
	}
	must := func(statement string, args ...any) {
		t.Helper()
		if err := run(statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	must("CREATE DATABASE %s", database)
	t.Cleanup(func() { must("DROP DATABASE %s SYNC", database) })
	must("CREATE TABLE %s.facts (a UInt8) ENGINE = MergeTree ORDER BY a", database)
	for _, name := range names {
		if name == missing {
			continue
		}
		must("CREATE MATERIALIZED VIEW %s.%s REFRESH AFTER 1 DAY SETTINGS refresh_retries = 0 ENGINE = MergeTree ORDER BY a AS SELECT throwIf(a = 1) AS a FROM %[1]s.facts", database, name)
		must("SYSTEM WAIT VIEW %s.%s", database, name)
	}
	must("SYSTEM TEST VIEW %s.%s SET FAKE TIME '2020-02-02 20:00:00'", database, late)
	must("SYSTEM REFRESH VIEW %s.%s", database, late)
	must("SYSTEM WAIT VIEW %s.%s", database, late)
	must("INSERT INTO %s.facts VALUES (1)", database)
	must("SYSTEM REFRESH VIEW %s.%s", database, failed)
	if err := run("SYSTEM WAIT VIEW %s.%s", database, failed); err == nil {
		t.Fatal("the refresh has not failed")
	}

	elsewhere := func(sql string) string { return strings.ReplaceAll(sql, "'loyalty'", "'"+database+"'") }
	rule := grafanaRules(t)["loyaltyhouse-not-refreshed"]
	rule.sql = elsewhere(rule.sql)
	for _, name := range names {
		if !strings.Contains(rule.sql, "'"+name+"'") {
			t.Errorf("the alert does not look at %s", name)
		}
	}
	raised, err := rule.ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(raised) != len(states) {
		t.Errorf("the alert is for %v, want %v", raised, states)
	}
	for name := range states {
		if _, ok := raised[name]; !ok {
			t.Errorf("there is no alert for %s, which is %s", name, states[name])
		}
	}
	if raised[late] < 365*24*60 {
		t.Errorf("a refresh of 2020 is %v minutes ago", raised[late])
	}

	all, err := dashboards.Load()
	if err != nil {
		t.Fatal(err)
	}
	file := all[slices.IndexFunc(all, func(d *dashboards.Dashboard) bool { return d.UID == "trust" })].File
	board, err := dashboards.Parse(bytes.ReplaceAll(file, []byte("'loyalty'"), []byte("'"+database+"'")))
	if err != nil {
		t.Fatal(err)
	}
	panel := board.Panels[slices.IndexFunc(board.Panels, func(p *dashboards.Panel) bool { return p.Title == "Refreshed" })]
	var got struct {
		Frames []*frame `json:"frames"`
	}
	c := choice{from: played.now.Add(-day), to: played.now}
	if err := newPage(board).get(t.Context(), fmt.Sprintf("/panels/%d", panel.ID), c.query(board), &got); err != nil {
		t.Fatal(err)
	}
	rows := got.Frames[0].Rows
	if len(rows) != len(names) || rows[0][0] != strings.TrimSuffix(missing, "_cached") || rows[1][0] != strings.TrimSuffix(late, "_cached") {
		t.Errorf("the panel does not begin with what is missing, and then what is oldest: %v", rows)
	}
	for _, row := range rows {
		name := row[0].(string) + "_cached"
		want, wrong := states[name]
		if !wrong {
			want = "on time"
		}
		if row[2] != want || (row[1] == nil) != (name == missing) {
			t.Errorf("the panel says %v, want %s", row, want)
		}
	}
}
