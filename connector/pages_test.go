package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/harness"
	"loyaltyhouse/dashboards"
	"loyaltyhouse/schema/strictyaml"
)

// withDashboards is embeddedConfig with the dashboards turned on.
func withDashboards(t *testing.T, p ports) string {
	t.Helper()
	text, err := os.ReadFile(embeddedConfig(t, p, warehouseDir(t)))
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "connector.yaml", strings.Replace(string(text), "admin: {", "admin: {dashboards: true, ", 1))
}

// board is a dashboard of one panel with this query, and a variable of each kind
// whose values come from outside.
func board(t *testing.T, sql string) *dashboards.Dashboard {
	t.Helper()
	source := map[string]string{"type": "grafana-clickhouse-datasource", "uid": "clickhouse"}
	file, err := json.Marshal(map[string]any{
		"uid": "test", "title": "Test",
		"panels": []any{map[string]any{
			"id": 1, "type": "table", "datasource": source,
			"targets": []any{map[string]any{"refId": "A", "queryType": "table", "rawSql": sql}},
		}},
		"templating": map[string]any{"list": []any{
			map[string]any{"name": "text", "type": "textbox", "query": ""},
			map[string]any{
				"name": "letter", "type": "query", "datasource": source, "multi": true, "includeAll": true, "sort": 2,
				"query": map[string]any{"rawSql": "SELECT arrayJoin(['a', 'c', 'b', 'a']) AS value, upper(value) AS text"},
			},
			map[string]any{
				"name": "number", "type": "query", "datasource": source, "sort": 3, "regex": "/^item (?<value>[0-9]+)$/",
				"query": map[string]any{"rawSql": "SELECT arrayJoin(['item 10', 'item 9', 'other 1'])"},
			},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	d, err := dashboards.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

type panelAnswer struct {
	Error   string `json:"error"`
	Message string `json:"message"`
	Frames  []struct {
		Columns []struct {
			Name string `json:"name"`
			Type string `json:"type"`
		} `json:"columns"`
		Rows      [][]any `json:"rows"`
		Truncated bool    `json:"truncated"`
	} `json:"frames"`
	Options []dashboards.Option `json:"options"`
}

// ask asks a server of one dashboard.
func ask(t *testing.T, s *service, d *dashboards.Dashboard, path string, query url.Values) (int, panelAnswer) {
	t.Helper()
	if query == nil {
		query = url.Values{}
	}
	query.Set("from", "1767225600000")
	query.Set("to", "1769904000000")
	query.Set("points", "500")
	request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1/dashboards/api/dashboards/test"+path+"?"+query.Encode(), nil)
	recorder := httptest.NewRecorder()
	dashboards.NewServer([]*dashboards.Dashboard{d}, s.pages.warehouse, "").ServeHTTP(recorder, request)
	var a panelAnswer
	if err := json.Unmarshal(recorder.Body.Bytes(), &a); err != nil {
		t.Fatalf("%s: %v", recorder.Body, err)
	}
	return recorder.Code, a
}

func TestPages(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	s := startService(t, withDashboards(t, p))

	t.Run("serves the dashboards", func(t *testing.T) {
		status, body := get(t, p.adminURL("/dashboards/api/dashboards"))
		if status != http.StatusOK || !strings.Contains(body, `"points-by-scene"`) || strings.Contains(body, "problem") {
			t.Errorf("%d %s", status, body)
		}
	})

	t.Run("cells", func(t *testing.T) {
		tests := []struct {
			sql, kind string
			want      any
		}{
			{"toInt64(-5)", "number", -5.0},
			{"toInt64(9007199254740993)", "number", "9007199254740993"},
			{"toUInt64(18446744073709551615)", "number", "18446744073709551615"},
			{"toInt128('-170141183460469231731687303715884105728')", "number", "-170141183460469231731687303715884105728"},
			{"toUInt8(7)", "number", 7.0},
			{"CAST(NULL AS Nullable(Int64))", "number", nil},
			{"CAST(3 AS Nullable(Int64))", "number", 3.0},
			{"toFloat64(0.1)", "number", 0.1},
			{"toFloat32(0.1)", "number", 0.1},
			{"nan", "number", nil},
			{"1/0", "number", nil},
			{"toDecimal64(12.34, 2)", "number", 12.34},
			{"toDecimal128('12345678901234567890.12', 2)", "number", "12345678901234567890.12"},
			{"true", "boolean", true},
			{"'it''s'", "string", "it's"},
			{"toLowCardinality('low')", "string", "low"},
			{"CAST('b' AS Enum('a' = 1, 'b' = 2))", "string", "b"},
			{"toDateTime64('2026-01-02 03:04:05.678', 3, 'UTC')", "time", 1767323045678.0},
			{"toDateTime('2026-01-02 03:04:05', 'Asia/Taipei')", "time", 1767294245000.0},
			{"toDate('2026-01-02')", "time", 1767312000000.0},
			{"toDate32('1950-01-01')", "time", -631152000000.0},
			{"toUUID('00112233-4455-6677-8899-aabbccddeeff')", "string", "00112233-4455-6677-8899-aabbccddeeff"},
			{"['a', 'b']", "string", "a, b"},
			{"[1, 2]", "string", "1, 2"},
			{"map('k', 1)", "string", "k: 1"},
			{"toIntervalDay(3)", "string", "3 Days"},
		}
		for _, test := range tests {
			// A second row shows that no value stays from the one before.
			status, a := ask(t, s, board(t, "SELECT * FROM (SELECT "+test.sql+" AS v)"), "/panels/1", nil)
			if status != http.StatusOK {
				t.Errorf("%s: %d %s", test.sql, status, a.Message)
				continue
			}
			if got := a.Frames[0]; got.Columns[0].Type != test.kind || !cmp.Equal(got.Rows[0][0], test.want) {
				t.Errorf("%s is the %s %v, want the %s %v", test.sql, got.Columns[0].Type, got.Rows[0][0], test.kind, test.want)
			}
		}
	})

	t.Run("rows do not mix", func(t *testing.T) {
		_, a := ask(t, s, board(t, "SELECT if(number = 1, NULL, number) AS v FROM numbers(3)"), "/panels/1", nil)
		if diff := cmp.Diff([][]any{{0.0}, {nil}, {2.0}}, a.Frames[0].Rows); diff != "" {
			t.Error(diff)
		}
	})

	t.Run("rows are bounded", func(t *testing.T) {
		_, a := ask(t, s, board(t, "SELECT number FROM numbers(1000000)"), "/panels/1", nil)
		if n := len(a.Frames[0].Rows); n != 20_000 || !a.Frames[0].Truncated {
			t.Errorf("got %d rows, truncated is %v", n, a.Frames[0].Truncated)
		}
		// The connection can be used again.
		if status, _ := ask(t, s, board(t, "SELECT 1"), "/panels/1", nil); status != http.StatusOK {
			t.Errorf("the next query got %d", status)
		}
	})

	t.Run("values stay values", func(t *testing.T) {
		for _, text := range []string{"", "plain", "O'Neil", `\`, `\'`, `'; DROP TABLE points; --`, "${text:raw}", "$__fromTime", "日本\n\t", "%_", `"`, "`"} {
			for _, format := range []string{"sqlstring", "singlequote"} {
				_, a := ask(t, s, board(t, "SELECT ${text:"+format+"} AS v"), "/panels/1", url.Values{"var-text": {text}})
				if len(a.Frames) == 0 || a.Frames[0].Rows[0][0] != text {
					t.Errorf("%q came back as %+v", text, a)
				}
			}
		}
	})

	t.Run("all options", func(t *testing.T) {
		d := board(t, "SELECT arrayStringConcat(arraySort([${letter:sqlstring}])) AS v")
		_, a := ask(t, s, d, "/panels/1", nil)
		if len(a.Frames) == 0 || a.Frames[0].Rows[0][0] != "abc" {
			t.Errorf("got %+v", a)
		}
		_, a = ask(t, s, d, "/panels/1", url.Values{"var-letter": {"a", "b"}})
		if len(a.Frames) == 0 || a.Frames[0].Rows[0][0] != "ab" {
			t.Errorf("got %+v", a)
		}
	})

	t.Run("options", func(t *testing.T) {
		d := board(t, "SELECT 1")
		_, a := ask(t, s, d, "/variables/letter", nil)
		if diff := cmp.Diff([]dashboards.Option{{Text: "C", Value: "c"}, {Text: "B", Value: "b"}, {Text: "A", Value: "a"}}, a.Options); diff != "" {
			t.Error(diff)
		}
		_, a = ask(t, s, d, "/variables/number", nil)
		if diff := cmp.Diff([]dashboards.Option{{Text: "9", Value: "9"}, {Text: "10", Value: "10"}}, a.Options); diff != "" {
			t.Error(diff)
		}
		if status, _ := ask(t, s, d, "/variables/text", nil); status != http.StatusNotFound {
			t.Errorf("options of a text box: %d", status)
		}
	})

	t.Run("refusals", func(t *testing.T) {
		tests := []struct{ sql, reason string }{
			{"CREATE TABLE loyalty.made (x UInt8) ENGINE = Memory", "query_failed"},
			{"INSERT INTO loyalty.fact_points (shop_id) VALUES ('1')", "query_failed"},
			{"DROP TABLE loyalty.fact_points", "query_failed"},
			{"SELECT 1 SETTINGS max_memory_usage = 0", "query_failed"},
			{"SELECT * FROM loyalty.nothing", "unknown_table"},
			{"SELECT nothing FROM loyalty.points", "unknown_table"},
			{"SELECT throwIf(true, 'secret')", "query_failed"},
			{"SELECT toUInt8(materialize('secret'))", "query_failed"},
			{"SELEC", "query_failed"},
			{"SELECT $nothing", "bad_request"},
		}
		for _, test := range tests {
			status, a := ask(t, s, board(t, test.sql), "/panels/1", nil)
			if status == http.StatusOK || a.Error != test.reason || a.Message == "" || strings.Contains(a.Message, "secret") {
				t.Errorf("%s: %d %+v, want the error %s", test.sql, status, a, test.reason)
			}
		}
	})

	t.Run("every panel answers", func(t *testing.T) {
		all, err := dashboards.Load()
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range all {
			for _, panel := range d.Panels {
				if len(panel.Targets) == 0 || panel.Targets[0].SQL == "" {
					continue
				}
				path := fmt.Sprintf("/dashboards/api/dashboards/%s/panels/%d?from=1767225600000&to=1769904000000&points=500", d.UID, panel.ID)
				if status, body := get(t, p.adminURL(path)); status != http.StatusOK {
					t.Errorf("%s, %q: %d %s", d.UID, panel.Title, status, body)
				}
			}
			if status, body := get(t, p.adminURL("/dashboards/api/dashboards/"+d.UID+"/annotations?from=1767225600000&to=1769904000000")); status != http.StatusOK {
				t.Errorf("%s: annotations: %d %s", d.UID, status, body)
			}
		}
	})
}

// Without a ClickHouse sink, and where they are turned off, the pages say so.
func TestPagesWithoutWarehouse(t *testing.T) {
	t.Parallel()
	on, err := newPages(config.Admin{Address: "127.0.0.1:0", Dashboards: true})
	if err != nil {
		t.Fatal(err)
	}
	off, err := newPages(config.Admin{Address: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	body := func(p *pages, path string) (int, string) {
		recorder := httptest.NewRecorder()
		p.ServeHTTP(recorder, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost:9090"+path, nil))
		return recorder.Code, recorder.Body.String()
	}
	if status, text := body(on, "/dashboards/api/dashboards"); status != http.StatusOK || !strings.Contains(text, "starting") {
		t.Errorf("while starting: %d %s", status, text)
	}
	if err := on.connect(&config.Config{}, roles{receive: true}); err != nil {
		t.Fatal(err)
	}
	if status, text := body(on, "/dashboards/api/dashboards"); status != http.StatusOK || !strings.Contains(text, "only receives webhooks") {
		t.Errorf("of a receiver: %d %s", status, text)
	}
	const panel = "/dashboards/api/dashboards/points-by-scene/panels/1?from=1767225600000&to=1769904000000&points=500"
	if status, text := body(on, panel); status != http.StatusServiceUnavailable || !strings.Contains(text, "no_warehouse") {
		t.Errorf("a panel of a receiver: %d %s", status, text)
	}
	if err := on.connect(&config.Config{}, roles{deliver: true}); err != nil {
		t.Fatal(err)
	}
	if status, text := body(on, "/dashboards/api/dashboards"); status != http.StatusOK || !strings.Contains(text, "no sink") {
		t.Errorf("without a ClickHouse: %d %s", status, text)
	}
	if status, text := body(off, "/dashboards"); status != http.StatusNotFound || !strings.Contains(text, "admin.dashboards") {
		t.Errorf("turned off: %d %s", status, text)
	}
}

// The pages read from where the first ClickHouse sink writes to, also after that
// has changed, and go on where it cannot be changed.
func TestPagesFollowAReload(t *testing.T) {
	t.Parallel()
	file := withDashboards(t, freePorts(t))
	s := startService(t, file)
	d := board(t, "SELECT currentUser() AS user")
	expect := func(state string, status int) {
		t.Helper()
		if got, a := ask(t, s, d, "/panels/1", nil); got != status {
			t.Errorf("%s: a panel is answered %d %s, want %d", state, got, a.Message, status)
		}
	}
	reconfigure := func(change func(*config.Config)) error {
		t.Helper()
		next, err := config.Load(file)
		if err != nil {
			t.Fatal(err)
		}
		change(next)
		return s.reconfigure(t.Context(), next)
	}
	expect("at the start", http.StatusOK)
	nobody, err := harness.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := reconfigure(func(c *config.Config) { c.Sinks[0].ClickHouse.PasswordFile = "/nowhere" }); err == nil {
		t.Error("a password file that is not there is taken")
	}
	expect("after a refused change", http.StatusOK)
	if err := reconfigure(func(c *config.Config) { c.Sinks[0].ClickHouse.Addresses = strictyaml.List{nobody} }); err != nil {
		t.Fatal(err)
	}
	expect("where nobody listens", http.StatusServiceUnavailable)
	if err := reconfigure(func(*config.Config) {}); err != nil {
		t.Fatal(err)
	}
	expect("as it was", http.StatusOK)
}
