package clickhouse_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks/clickhouse"
)

// After a refresh a cached view says what the view says that it was made from.
func TestCachedViewsSayWhatTheirViewsSay(t *testing.T) {
	t.Parallel()
	w := openDatabase(t, newMigrated(t))
	table := factTable("fact_points")
	if err := clickhouse.Refresh(t.Context(), w.conn, w.cfg.Database); err != nil {
		t.Fatal(err)
	}
	if got := w.ask(t, "count()", "points_members_cached", "1"); got != "0" {
		t.Errorf("without an event points_members_cached has %s rows", got)
	}
	row := rowWith(table, 1, map[string]schema.Value{"points_balance": schema.IntValue(7)})
	w.insert(t, table, row, row) // A resend among them.
	w.insert(t, table, row)
	if err := clickhouse.Refresh(t.Context(), w.conn, w.cfg.Database); err != nil {
		t.Fatal(err)
	}
	cached := 0
	for _, v := range schema.Views(nil) {
		if !v.Cached() {
			continue
		}
		cached++
		live := strings.TrimSuffix(v.Name, "_cached")
		got := text(t, w.conn, "count()", fmt.Sprintf("FROM ((SELECT * FROM %[1]s.%[2]s EXCEPT ALL SELECT * EXCEPT (refreshed_at) FROM %[1]s.%[3]s) "+
			"UNION ALL (SELECT * EXCEPT (refreshed_at) FROM %[1]s.%[3]s EXCEPT ALL SELECT * FROM %[1]s.%[2]s))", w.cfg.Database, live, v.Name))
		if got != "0" {
			t.Errorf("%s and %s differ in %s rows", live, v.Name, got)
		}
	}
	if cached == 0 {
		t.Error("there is no cached view")
	}
	if got := w.ask(t, "points_balance; earn_events", "points_members_cached", "1"); got != "7, 1" {
		t.Errorf("points_members_cached says %s", got)
	}
}

// The interval is the configured one, and is altered only where it is another.
func TestRefreshInterval(t *testing.T) {
	cfg := newConfig(t)
	conn := connect(t)
	up := func(interval time.Duration) (statementsRun int) {
		t.Helper()
		cfg.RefreshInterval = interval
		m := newMigrator(t, cfg)
		defer func() { _ = m.Close() }()
		before := statements(t)
		if _, _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
		return statements(t) - before
	}
	schedules := func() string {
		return text(t, conn, "schedule; views", `FROM (SELECT extract(create_table_query, 'REFRESH [A-Z]+ [0-9]+ [A-Z]+') AS schedule, count() AS views
FROM system.tables WHERE database = ? AND endsWith(name, '_cached') GROUP BY schedule) ORDER BY 1`, cfg.Database)
	}
	var cached int
	for _, v := range schema.Views(nil) {
		if v.Cached() {
			cached++
		}
	}
	up(5 * time.Minute)
	unchanged := up(5 * time.Minute)
	if got, want := schedules(), fmt.Sprintf("REFRESH AFTER 5 MINUTE, %d", cached); got != want {
		t.Errorf("the views have %s, want %s", got, want)
	}
	if altered := up(42*time.Second) - unchanged; altered != cached {
		t.Errorf("%d views were altered, want %d", altered, cached)
	}
	if got, want := schedules(), fmt.Sprintf("REFRESH AFTER 42 SECOND, %d", cached); got != want {
		t.Errorf("the views have %s, want %s", got, want)
	}
	if altered := up(42*time.Second) - unchanged; altered != 0 {
		t.Errorf("%d views were altered again", altered)
	}
}
