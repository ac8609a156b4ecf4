package dashboards_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/dashboards"
)

// variables is a dashboard with a variable of every type.
const variables = `{
	"uid": "test", "title": "Test",
	"panels": [],
	"templating": {"list": [
		{"name": "shop", "type": "query", "multi": true, "includeAll": true,
			"datasource": {"type": "grafana-clickhouse-datasource"}, "query": {"rawSql": "SELECT shop_id FROM shops"}},
		{"name": "region", "type": "query", "includeAll": true, "allValue": ".*",
			"datasource": {"type": "grafana-clickhouse-datasource"}, "query": {"rawSql": "SELECT region FROM shops"}},
		{"name": "customer", "type": "textbox", "query": ""},
		{"name": "zone", "type": "custom", "query": "UTC, Asia/Taipei, Vienna : Europe/Vienna"},
		{"name": "step", "type": "interval", "query": "1h,1d,7d"},
		{"name": "kinds", "type": "custom", "multi": true, "includeAll": true, "query": "it's,a\\,b"},
		{"name": "table", "type": "constant", "query": "points"},
		{"name": "source", "type": "datasource", "query": "grafana-clickhouse-datasource"}
	]}
}`

func parse(t testing.TB, file string) *dashboards.Dashboard {
	t.Helper()
	d, err := dashboards.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

var january = dashboards.Range{
	From:     time.Date(2026, 1, 1, 0, 0, 0, 500e6, time.UTC),
	To:       time.Date(2026, 2, 1, 12, 30, 0, 0, time.UTC),
	Interval: 6 * time.Hour,
}

func TestExpandMacros(t *testing.T) {
	d := parse(t, variables)
	tests := []struct{ sql, want string }{
		{"SELECT 1", "SELECT 1"},
		{"$__fromTime $__toTime", "toDateTime(1767225600) toDateTime(1769949000)"},
		{"$__fromTime() + $__toTime_ms()", "toDateTime(1767225600) + fromUnixTimestamp64Milli(1769949000000)"},
		{"$__fromTime_ms", "fromUnixTimestamp64Milli(1767225600500)"},
		{"WHERE $__timeFilter(at)", "WHERE at >= toDateTime(1767225600) AND at <= toDateTime(1769949000)"},
		{
			"$__timeFilter_ms(greatest(a, b))",
			"greatest(a, b) >= fromUnixTimestamp64Milli(1767225600500) AND greatest(a, b) <= fromUnixTimestamp64Milli(1769949000000)",
		},
		{"$__dateFilter(day)", "day >= toDate('2026-01-01') AND day <= toDate('2026-02-01')"},
		{
			"$__dateTimeFilter(day, at)",
			"(day >= toDate('2026-01-01') AND day <= toDate('2026-02-01')) AND (at >= toDateTime(1767225600) AND at <= toDateTime(1769949000))",
		},
		{"$__dt(d, t)", "(d >= toDate('2026-01-01') AND d <= toDate('2026-02-01')) AND (t >= toDateTime(1767225600) AND t <= toDateTime(1769949000))"},
		{"$__timeInterval(at) AS time", "toStartOfInterval(toDateTime(at), INTERVAL 21600 second) AS time"},
		{"$__timeInterval_ms(at)", "toStartOfInterval(toDateTime64(at, 3), INTERVAL 21600000 millisecond)"},
		{"$__interval_s, $__interval, $__interval_ms", "21600, 6h, 21600000"},
		{"($__interval_ms)(1)", "(21600000)(1)"},
		{"$__from ${__to}", "1767225600500 1769949000000"},
		{"'${__from:date}' '${__from:date:iso}'", "'2026-01-01T00:00:00.500Z' '2026-01-01T00:00:00.500Z'"},
		{"${__to:date:seconds} '${__to:date:YYYY-MM-DD HH:mm:ss}'", "1769949000 '2026-02-01 12:30:00'"},
		{"SELECT ')' -- $__timeFilter(\n, '$1', [[1, 2], [3]]", "SELECT ')' -- $__timeFilter(\n, '$1', [[1, 2], [3]]"},
		{"/* $nothing */ # $nothing", "/* $nothing */ # $nothing"},
	}
	for _, test := range tests {
		if got, err := d.Expand(test.sql, january, nil); err != nil || got != test.want {
			t.Errorf("%s\n got %s %v\nwant %s", test.sql, got, err, test.want)
		}
	}
}

func TestExpandVariables(t *testing.T) {
	d := parse(t, variables)
	tests := []struct {
		sql    string
		values dashboards.Values
		want   string
	}{
		{"$__conditionalAll(shop_id IN (${shop:sqlstring}), $shop)", nil, "1=1"},
		{"$__conditionalAll(shop_id IN (${shop:sqlstring}), ${shop})", nil, "1=1"},
		{"$__conditionalAll(buyer_id = ${customer:sqlstring}, $customer)", nil, "1=1"},
		{
			"$__conditionalAll(shop_id IN (${shop:sqlstring}), $shop) AND $__conditionalAll(f(a, ','), $region)",
			dashboards.Values{"shop": dashboards.Pick("1", "2"), "region": dashboards.Pick("x")},
			"shop_id IN ('1','2') AND f(a, ',')",
		},
		{"IN ($shop)", dashboards.Values{"shop": dashboards.Pick("a")}, "IN ('a')"},
		{"IN ([[shop]])", dashboards.Values{"shop": dashboards.All("a", "b")}, "IN ('a','b')"},
		{"= ${customer:sqlstring}", dashboards.Values{"customer": dashboards.Pick(`O'Neil\`)}, `= 'O''Neil\\'`},
		{"= ${customer:singlequote}", dashboards.Values{"customer": dashboards.Pick(`O'Neil\`)}, `= 'O\'Neil\\'`},
		{"= ${customer:sqlstring}", dashboards.Values{"customer": dashboards.Pick("$__fromTime ${zone}")}, "= '$__fromTime ${zone}'"},
		{"match(r, ${region:sqlstring})", nil, "match(r, .*)"},
		{"toStartOfDay(at, '$zone')", nil, "toStartOfDay(at, 'UTC')"},
		{"'${zone:text}'", dashboards.Values{"zone": dashboards.Pick("Europe/Vienna")}, "'Vienna'"},
		{"FROM ${table:raw} [[table]] ${table:doublequote}", nil, `FROM points points "points"`},
		{"${step} ${step:sqlstring}", dashboards.Values{"step": dashboards.Pick("7d")}, "7d '7d'"},
		{"($kinds) (${kinds:csv}) (${kinds:pipe})", nil, `('it\'s','a,b') (it's,a,b) (it's|a,b)`},
		{"$__timeFilter(${table:raw}_at)", nil, "points_at >= toDateTime(1767225600) AND points_at <= toDateTime(1769949000)"},
	}
	for _, test := range tests {
		if got, err := d.Expand(test.sql, january, test.values); err != nil || got != test.want {
			t.Errorf("%s\n got %s %v\nwant %s", test.sql, got, err, test.want)
		}
	}
}

func TestExpandRefuses(t *testing.T) {
	d := parse(t, variables)
	tests := []struct {
		sql    string
		values dashboards.Values
		want   string
	}{
		{"$nothing", nil, "no such variable"},
		{"${nothing:csv}", nil, "no such variable"},
		{"${shop", nil, "is not a variable"},
		{"$__nothing", nil, "not known"},
		{"$__nothing(a)", nil, "takes 0 arguments"},
		{"$__timeFilter", nil, "takes 1 arguments, has 0"},
		{"$__timeFilter(a, b)", nil, "takes 1 arguments, has 2"},
		{"$__timeFilter(a", nil, "not closed"},
		{"$__conditionalAll(a = 1)", nil, "has 1 arguments"},
		{"$__conditionalAll(a = 1, $nothing)", nil, "no variable"},
		{"${customer}", nil, "write ${customer:sqlstring}"},
		{"${customer:raw}", nil, "write ${customer:sqlstring}"},
		{"$region", dashboards.Values{"region": dashboards.Pick("x")}, "write ${region:sqlstring}"},
		{"${zone:lucene}", nil, "format"},
		{"$source", nil, "data source"},
		{"'${customer:sqlstring}'", nil, "stands in quotes"},
		{"'%'${customer:sqlstring}", nil, "touches"},
		{"${customer:sqlstring}'%'", nil, "touches"},
		{"x${customer:sqlstring}", nil, "touches"},
		{`"${shop}"`, dashboards.Values{"shop": dashboards.Pick("x")}, "stands in quotes"},
		{"$customer", dashboards.Values{"other": dashboards.Pick("x")}, "no variable"},
		{"${customer:sqlstring}", dashboards.Values{"customer": dashboards.Pick("a", "b")}, "takes one value"},
		{"${customer:sqlstring}", dashboards.Values{"customer": dashboards.All()}, "All is not offered"},
		{"${customer:sqlstring}", dashboards.Values{"customer": dashboards.Pick("\xff")}, "must be text"},
		{"${customer:sqlstring}", dashboards.Values{"customer": dashboards.Pick("a\x00b")}, "must be text"},
		{"${customer:sqlstring}", dashboards.Values{"customer": dashboards.Pick(strings.Repeat("x", 1001))}, "at most 1000 bytes"},
		{"$zone", dashboards.Values{"zone": dashboards.Pick("1); DROP TABLE x")}, "not one of the options"},
		{"$table", dashboards.Values{"table": dashboards.Pick("customers")}, "not one of the options"},
		{"${__from:lucene}", nil, "format"},
	}
	for _, test := range tests {
		got, err := d.Expand(test.sql, january, test.values)
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s became %q with the error %v; the error should have %q", test.sql, got, err, test.want)
		}
	}
	backwards := dashboards.Range{From: january.To, To: january.From}
	if _, err := d.Expand("", backwards, nil); err == nil {
		t.Error("a time range that ends before it begins is no error")
	}
}

func TestExpandNeedsOptions(t *testing.T) {
	_, err := parse(t, variables).Expand("IN (${shop:sqlstring})", january, nil)
	var needs *dashboards.NeedsOptionsError
	if !errors.As(err, &needs) || needs.Variable != "shop" {
		t.Errorf("got %v, want an error that names shop", err)
	}
}

// FuzzExpand checks that a value from outside stays in its string: what is
// outside the strings is the same for every value.
func FuzzExpand(f *testing.F) {
	d := parse(f, variables)
	for _, seed := range []string{"", "x", "'", `\`, `\'`, "''", `'; DROP TABLE x; --`, "$__timeFilter(", "${shop}", "[[zone]]", "/*", "--", "`", "\n", "’", "\xff"} {
		f.Add(seed)
	}
	queries := []string{
		"SELECT ${customer:sqlstring}, ${customer:singlequote} FROM t WHERE $__timeFilter(at)",
		"SELECT f(${region:sqlstring}) WHERE $__conditionalAll(x IN ($shop), $shop) AND ${shop:sqlstring} /* it's */",
		"$__timeFilter(if(a = ${customer:sqlstring}, 'it''s', b))",
	}
	f.Fuzz(func(t *testing.T, value string) {
		with := func(sql, value string) (string, error) {
			pick := dashboards.Pick(value)
			return d.Expand(sql, january, dashboards.Values{"customer": pick, "region": pick, "shop": dashboards.Pick(value, value)})
		}
		for _, sql := range queries {
			plain, err := with(sql, "x")
			if err != nil {
				t.Fatal(err)
			}
			got, err := with(sql, value)
			if err != nil {
				continue // The value is refused.
			}
			wantCode, wantStrings := outsideStrings(t, plain)
			code, texts := outsideStrings(t, got)
			if code != wantCode || len(texts) != len(wantStrings) {
				t.Fatalf("%q changes the query\nfrom %s\nto   %s", value, plain, got)
			}
			for i := range texts {
				if wantStrings[i] == "x" && texts[i] != value {
					t.Fatalf("%q became the string %q", value, texts[i])
				}
			}
		}
	})
}

// outsideStrings splits SQL into its strings, unescaped, and the rest. It reads
// as ClickHouse does and shares nothing with what it checks.
func outsideStrings(t *testing.T, sql string) (code string, texts []string) {
	t.Helper()
	for sql != "" {
		if strings.HasPrefix(sql, "/*") {
			comment, rest, ok := strings.Cut(sql, "*/")
			if !ok {
				t.Fatal("a comment does not end")
			}
			code, sql = code+comment, rest
			continue
		}
		if sql[0] != '\'' {
			code, sql = code+sql[:1], sql[1:]
			continue
		}
		var text []byte
		sql = sql[1:]
		for {
			switch {
			case sql == "":
				t.Fatal("a string does not end")
			case sql[0] == '\\' && len(sql) > 1:
				text, sql = append(text, sql[1]), sql[2:]
				continue
			case strings.HasPrefix(sql, "''"):
				text, sql = append(text, '\''), sql[2:]
				continue
			case sql[0] != '\'':
				text, sql = append(text, sql[0]), sql[1:]
				continue
			}
			sql = sql[1:]
			break
		}
		code, texts = code+"'", append(texts, string(text))
	}
	return code, texts
}

func TestInterval(t *testing.T) {
	day := 24 * time.Hour
	tests := []struct {
		span   time.Duration
		points int
		min    string
		want   time.Duration
	}{
		{time.Hour, 1000, "", 5 * time.Second},
		{6 * time.Hour, 1000, "", 20 * time.Second},
		{30 * day, 1000, "", 30 * time.Minute},
		{30 * day, 1000, "1d", day},
		{30 * day, 400, "1h", 2 * time.Hour},
		{365 * day, 500, "1h", 12 * time.Hour},
		{365 * day, 100, "1h", day},
		{20 * 365 * day, 10, "", 365 * day},
		{time.Millisecond, 1000, "", 10 * time.Millisecond},
	}
	for _, test := range tests {
		file := `{"uid": "u", "title": "t", "panels": [{"id": 1, "type": "timeseries", "interval": "` + test.min + `"}]}`
		p, _ := parse(t, file).Panel(1)
		if got := p.Interval(january.From, january.From.Add(test.span), test.points); got != test.want {
			t.Errorf("%s in %d points, at least %q: got %s, want %s", test.span, test.points, test.min, got, test.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	variable := func(v string) string {
		return `{"uid": "u", "title": "t", "templating": {"list": [` + v + `]}}`
	}
	panels := func(p string) string { return `{"uid": "u", "title": "t", "panels": [` + p + `]}` }
	tests := []struct{ file, want string }{
		{`{`, "JSON"},
		{`{"title": "t"}`, "uid"},
		{panels(`{"id": 1, "type": "stat"}, {"id": 1, "type": "stat"}`), "id of its own"},
		{panels(`{"id": 1, "type": "row", "panels": [{"type": "stat"}]}`), "id of its own"},
		{panels(`{"id": 1}`), "no type"},
		{panels(`{"id": 1, "type": "stat", "interval": "often"}`), "not an interval"},
		{variable(`{"name": "a b", "type": "textbox"}`), "name"},
		{variable(`{"name": "a", "type": "adhoc"}`), "type"},
		{variable(`{"name": "a", "type": "custom", "query": ""}`), "no value"},
		{variable(`{"name": "a", "type": "custom", "query": "x", "current": {"value": "y"}}`), "not one of the options"},
		{variable(`{"name": "a", "type": "query", "datasource": {"type": "prometheus"}, "query": "x"}`), "prometheus"},
		{variable(`{"name": "a", "type": "query", "datasource": {"type": "grafana-clickhouse-datasource"}, "query": {}}`), "rawSql"},
		{variable(`{"name": "a", "type": "textbox"}, {"name": "a", "type": "textbox"}`), "two variables"},
	}
	for _, test := range tests {
		if _, err := dashboards.Parse([]byte(test.file)); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: the error is %v; it should have %q", test.file, err, test.want)
		}
	}
}

// TestLoad expands every query of every dashboard that is shipped.
func TestLoad(t *testing.T) {
	all, err := dashboards.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		if !json.Valid(d.File) {
			t.Errorf("%s: the file is not kept", d.UID)
		}
		for _, v := range d.Variables {
			if v.SQL != "" {
				expand(t, d, v.SQL)
			}
		}
		for _, a := range d.Annotations {
			expand(t, d, a.SQL)
		}
		for _, p := range d.Panels {
			for _, target := range p.Targets {
				expand(t, d, target.SQL)
			}
		}
	}
}

func expand(t *testing.T, d *dashboards.Dashboard, sql string) {
	t.Helper()
	var needs *dashboards.NeedsOptionsError
	if _, err := d.Expand(sql, january, nil); err != nil && !errors.As(err, &needs) {
		t.Errorf("%s: %v\n%s", d.UID, err, sql)
	}
}
