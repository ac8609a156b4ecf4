//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestCovered(t *testing.T) {
	spans := []span{{topic: "loyalty.points", partition: 0, begin: 0, end: 30}, {topic: "loyalty.points", partition: 1, begin: 5, end: 5}}
	file := func(partition int, first, last, at int64) string {
		return fmt.Sprintf("loyalty.points-%d-%012d-%012d-%d.parquet", partition, first, last, at)
	}
	for _, test := range []struct {
		name           string
		files          []string
		gaps, overlaps int64
	}{
		{"each offset once", []string{file(0, 10, 29, 2), file(0, 0, 9, 1)}, 0, 0},
		{"no file", nil, 30, 0},
		{"the first is missing", []string{file(0, 10, 29, 1)}, 10, 0},
		{"one in the middle is missing", []string{file(0, 0, 9, 1), file(0, 12, 29, 1)}, 2, 0},
		{"the last is missing", []string{file(0, 0, 28, 1)}, 1, 0},
		{"a range under two times", []string{file(0, 0, 9, 1), file(0, 0, 9, 2), file(0, 10, 29, 1)}, 0, 10},
		{"two ranges that overlap", []string{file(0, 0, 14, 1), file(0, 10, 29, 1)}, 0, 5},
		{"one range in another", []string{file(0, 0, 29, 1), file(0, 10, 12, 1)}, 0, 3},
		{"beyond the end", []string{file(0, 0, 31, 1)}, 0, 2},
		{"of an empty partition", []string{file(0, 0, 29, 1), file(1, 5, 5, 1)}, 0, 1},
	} {
		gaps, overlaps, err := covered(test.files, spans)
		if err != nil || gaps != test.gaps || overlaps != test.overlaps {
			t.Errorf("%s: got %d gaps and %d overlaps, %v, want %d and %d", test.name, gaps, overlaps, err, test.gaps, test.overlaps)
		}
	}
	if _, _, err := covered([]string{"part-0.parquet"}, spans); err == nil {
		t.Error("a file that the sink cannot have named is taken for one of its")
	}
}

// A lake that holds every record once is found to do so, and one that does not is
// found with what differs.
func (h *handmade) testLake(t *testing.T) {
	t.Helper()
	l := lake{filepath.Join(h.warehouse.cfg.DataDir, "clickhouse", "data", "user_files", "lake")}
	expect := func(what string, want []string, lists ...string) {
		t.Helper()
		differences, written := h.reconcile(t, func(e *expectation) { e.destinations = []destination{l} })
		if !slices.Equal(differences, want) || !slices.Equal(written, lists) {
			t.Errorf("%s: got %q with %q, want %q with %q", what, differences, written, want, lists)
		}
	}
	path := func(table, shop, name string) string { return filepath.Join(l.directory, table, "shop="+shop, name) }
	store := func(file, query string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		h.exec(t, database, "INSERT INTO FUNCTION file('"+file+"', 'Parquet') "+query)
	}
	var points, raw string
	for _, s := range h.expected.spans {
		if s.records() == 0 {
			continue
		}
		for _, table := range h.expected.tables {
			if s.topic != topicPrefix+table.Topic {
				continue
			}
			name := fmt.Sprintf("%s-%d-%012d-%012d-1.parquet", s.topic, s.partition, s.begin, s.end-1)
			// All of the table is in the files of its first partition, in two directories.
			for shop, rest := range []string{"0", "1"} {
				store(path(table.Name, fmt.Sprint(shop), name), fmt.Sprintf("SELECT * FROM %s WHERE %d = 0 AND cityHash64(event_id) %% 2 = %s", table.Name, s.partition, rest))
			}
			if s.partition == 0 && table.Name == "fact_points" {
				points = name
			}
			if s.partition == 0 && table.Name == "raw_webhooks" {
				raw = name
			}
		}
	}
	expect("as it was delivered", nil)

	one := "SELECT * FROM fact_points ORDER BY event_id LIMIT 1"
	second := strings.Replace(points, "-1.parquet", "-2.parquet", 1)
	store(path("fact_points", "0", second), one)
	records := h.expected.spans[slices.IndexFunc(h.expected.spans, func(s span) bool { return s.topic == "loyalty.points" && s.partition == 0 })].records()
	expect("a batch under two names", []string{
		"fact_points of lake: 1 rows are doubled",
		fmt.Sprintf("lake: by the files' names, 0 offsets are in no batch, and %d in several", records),
	}, "lake.fact_points.tsv: 1")
	if err := os.Rename(path("fact_points", "0", second), filepath.Join(l.directory, "elsewhere")); err != nil {
		t.Fatal(err)
	}

	store(path("fact_points", "2", points), one)
	expect("a row in two directories", []string{"fact_points of lake: 1 rows are doubled"}, "lake.fact_points.tsv: 1")
	if err := os.Remove(path("fact_points", "2", points)); err != nil {
		t.Fatal(err)
	}

	lost := h.expected.acknowledged[0].event.String()
	if err := os.Remove(path("raw_webhooks", "0", raw)); err != nil {
		t.Fatal(err)
	}
	store(path("raw_webhooks", "0", raw), "SELECT * FROM raw_webhooks WHERE cityHash64(event_id) % 2 = 0 AND event_id != '"+lost+"'")
	if err := os.Remove(path("raw_webhooks", "1", raw)); err != nil {
		t.Fatal(err)
	}
	store(path("raw_webhooks", "1", raw), "SELECT * FROM raw_webhooks WHERE cityHash64(event_id) % 2 = 1 AND event_id != '"+lost+"'")
	differences, _ := h.reconcile(t, func(e *expectation) { e.destinations = []destination{l} })
	if got := strings.Join(differences, "\n"); !strings.Contains(got, "raw_webhooks of lake: ") || !strings.Contains(got, "rows are lost") ||
		!strings.Contains(got, "raw_webhooks of lake: 1 acknowledged events are lost") {
		t.Errorf("a delivery is gone: got %q", differences)
	}

	if err := os.RemoveAll(filepath.Join(l.directory, "raw_webhooks")); err != nil {
		t.Fatal(err)
	}
	differences, _ = h.reconcile(t, func(e *expectation) { e.destinations = []destination{l} })
	if got := strings.Join(differences, "\n"); !strings.Contains(got, fmt.Sprintf("raw_webhooks of lake: %d rows are lost", len(h.values["raw_webhooks"]))) ||
		!strings.Contains(got, fmt.Sprintf("%d offsets are in no batch", len(h.values["raw_webhooks"]))) {
		t.Errorf("a table is gone: got %q", differences)
	}
}
