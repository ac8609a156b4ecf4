package main

import (
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/schema"
)

var updateAnswers = flag.Bool("update", false, "write the answers in docs/analytics.md anew")

const analyticsFile = "../docs/analytics.md"

// example is a query of the page and, once it has been written, its answer.
var example = regexp.MustCompile("(?s)```sql\n(.*?)\n```\n(?:\n```text\n.*?```\n)?")

// asTheYearEnds begins a query whose answer depends on the day.
const asTheYearEnds = "-- as the year ends\n"

// Every query of the page for analysts is answered as the page says, on the
// history that it names.
func TestAnalystsQuestions(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	file := embeddedConfig(t, p, warehouseDir(t))
	end := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	const count = 6000
	s := startService(t, file)
	status, printed := connector(t, "simulate", "--config", file, "--history", "365d", "--end", end.Format(time.RFC3339), "--count", fmt.Sprint(count), "--to", "kafka")
	if status != 0 {
		t.Fatalf("exit status %d; it printed:\n%s", status, printed)
	}
	cfg := simulate.DefaultHistoryConfig()
	cfg.Count, cfg.Customers, cfg.Span, cfg.End = count, simulate.HistoryCustomers(count), 365*24*time.Hour, end
	g := simulate.New(cfg)
	for more := true; more; {
		_, more = g.Next()
	}
	reconciled(t, s.engine.get().Addr(), g)

	ask := func(query string) string {
		t.Helper()
		url := fmt.Sprintf("http://127.0.0.1:%d/?database=loyalty&mutations_sync=2&output_format_pretty_row_numbers=0&output_format_pretty_color=0", p.http)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url, strings.NewReader(query))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer response.Body.Close()
		answer, err := io.ReadAll(response.Body)
		if err != nil {
			t.Fatal(err)
		}
		if response.StatusCode != http.StatusOK {
			t.Fatalf("%s\n%s", query, answer)
		}
		return string(answer)
	}
	// Resends are still under way when every event is there, and would bring back
	// what is taken out.
	lag := regexp.MustCompile(`(?m)^loyaltyhouse_consumer_lag_records\{.*\} (\S+)$`)
	eventually(t, "everything is delivered", func() bool {
		_, metrics := get(t, p.adminURL("/metrics"))
		partitions := lag.FindAllStringSubmatch(metrics, -1)
		return len(partitions) > 0 && !slices.ContainsFunc(partitions, func(m []string) bool { return m[1] != "0" })
	})
	// The event in the middle of the longest ledger is taken out of each view.
	for _, l := range []struct{ view, ledger string }{
		{"points", "shop_id, buyer_id"}, {"store_credits", "shop_id, buyer_id"}, {"gift_cards", "shop_id, gift_card_code"},
	} {
		event := ask(fmt.Sprintf(`SELECT event_id FROM (
			SELECT event_id, row_number() OVER (PARTITION BY %[2]s ORDER BY updated_at, event_id) AS n, count() OVER (PARTITION BY %[2]s) AS events FROM %[1]s
		) WHERE n = intDiv(events, 2) + 1 ORDER BY events DESC, event_id LIMIT 1`, l.view, l.ledger))
		ask(fmt.Sprintf("ALTER TABLE fact_%s DELETE WHERE event_id = '%s'", l.view, strings.TrimSpace(event)))
	}

	page, err := os.ReadFile(analyticsFile)
	if err != nil {
		t.Fatal(err)
	}
	have := string(page)
	answered := func(page string, ending bool) string {
		return example.ReplaceAllStringFunc(page, func(block string) string {
			query := example.FindStringSubmatch(block)[1]
			if strings.HasPrefix(query, asTheYearEnds) != ending {
				return block
			}
			answer := ask(query + "\nFORMAT PrettyCompactMonoBlock")
			if answer == "" {
				t.Errorf("the answer is empty, which shows nothing:\n%s", query)
			}
			return "```sql\n" + query + "\n```\n\n```text\n" + answer + "```\n"
		})
	}
	want := answered(have, false)
	// The year is moved to the millisecond, so that nothing that is counted in days from
	// now changes. Midnights stay where they are: nothing on the page may depend on them.
	later := time.Since(end).Milliseconds()
	for table, times := range map[string][]string{
		"fact_points":        {"updated_at", "points_expires_at"},
		"fact_store_credits": {"updated_at", "expires_at"},
		"fact_gift_cards":    {"updated_at", "expires_at"},
	} {
		moved := make([]string, len(times))
		for i, column := range times {
			moved[i] = fmt.Sprintf("%[1]s + INTERVAL %[2]d MILLISECOND AS %[1]s", column, later)
		}
		ask(fmt.Sprintf("CREATE TABLE moved_%[1]s AS %[1]s", table))
		ask(fmt.Sprintf("INSERT INTO moved_%[1]s SELECT * REPLACE (%[2]s) FROM %[1]s", table, strings.Join(moved, ", ")))
		ask(fmt.Sprintf("EXCHANGE TABLES moved_%[1]s AND %[1]s", table))
	}
	want = answered(want, true)
	if *updateAnswers {
		if err := os.WriteFile(analyticsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("docs/analytics.md has other answers than the views (-views +page); run: go test ./connector -run Analysts -update\n%s", diff)
	}
	for _, v := range schema.Views(nil) {
		if len(v.Columns) > 0 && !v.Cached() && !strings.HasSuffix(v.Name, "_balances") && !strings.Contains(have, "FROM "+v.Name) {
			t.Errorf("docs/analytics.md asks nothing of %s", v.Name)
		}
	}
}
