package clickhouse_test

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks/clickhouse"
	"loyaltyhouse/sinks/sinktest"
)

func TestDocsAreComments(t *testing.T) {
	cfg := newMigrated(t)
	tables := sinktest.Tables(t)
	if err := comment(t, cfg, tables); err != nil {
		t.Fatal(err)
	}
	expectDocs(t, cfg, tables)
	if err := clickhouse.Refresh(t.Context(), connect(t), cfg.Database); err != nil {
		t.Fatal(err)
	}
	expectDocs(t, cfg, tables) // A refresh makes the tables of the cached views anew.
}

// expectDocs compares all comments of the tables and the views with the docs.
func expectDocs(t *testing.T, cfg clickhouse.Config, tables []*schema.Table) {
	t.Helper()
	expect := func(name, doc string, columns map[string]string) {
		t.Helper()
		columns[""] = doc
		if diff := cmp.Diff(columns, comments(t, cfg, name)); diff != "" {
			t.Errorf("%s has other comments than docs (-docs +comments):\n%s", name, diff)
		}
	}
	for _, table := range tables {
		columns := map[string]string{}
		for _, c := range table.Columns {
			columns[c.Name] = c.Doc
		}
		expect(table.Name, table.Doc, columns)
	}
	for _, view := range schema.Views(tables) {
		columns := map[string]string{}
		if len(view.Parameters) == 0 {
			for _, c := range view.Columns {
				columns[c.Name] = c.Doc
			}
		}
		expect(view.Name, view.Doc, columns)
	}
}

// The dictionary lists the views that the migrations create, with the columns and
// types that the engine gives them.
func TestDictionaryKnowsTheViews(t *testing.T) {
	cfg := newMigrated(t)
	conn := connect(t)
	var want, have []string
	for _, v := range schema.Views(sinktest.Tables(t)) {
		for i, c := range v.Columns {
			if len(v.Parameters) > 0 {
				break // TestDictionaryKnowsTheViewsWithParameters compares these.
			}
			want = append(want, fmt.Sprintf("%s, %d, %s, %s", v.Name, i+1, c.Name, c.Type))
		}
	}
	slices.Sort(want)
	have = strings.Split(text(t, conn, "table; position; name; type", `FROM system.columns
WHERE database = ? AND table IN (SELECT name FROM system.tables WHERE database = ? AND engine IN ('View', 'MaterializedView'))`, cfg.Database, cfg.Database), "\n")
	slices.Sort(have)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the views have other columns than schema.Views says (-says +have):\n%s", diff)
	}
}

// The columns of a view that takes parameters are known to a query alone.
func TestDictionaryKnowsTheViewsWithParameters(t *testing.T) {
	cfg := newWarehouse(t)
	conn := connect(t)
	var want, have []string
	for _, v := range schema.Views(sinktest.Tables(t)) {
		if len(v.Parameters) == 0 {
			continue
		}
		var parameters []string
		for _, p := range v.Parameters {
			parameters = append(parameters, p.Name+" = defaultValueOfTypeName("+`'`+strings.ReplaceAll(p.Type, "'", `\'`)+`')`)
		}
		for _, c := range v.Columns {
			want = append(want, v.Name+", "+c.Name+", "+c.Type)
		}
		rows, err := conn.Query(t.Context(), fmt.Sprintf("SELECT * FROM %s.%s(%s) LIMIT 0", cfg.Database, v.Name, strings.Join(parameters, ", ")))
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range rows.ColumnTypes() {
			have = append(have, v.Name+", "+c.Name()+", "+c.DatabaseTypeName())
		}
		if err := rows.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("the views have other columns than schema.Views says (-says +have):\n%s", diff)
	}
}

// A start that changes nothing runs no ALTER, and one that changes something
// alters that table alone. The server counts what it ran.
func TestOnlyCommentsThatDifferAreWritten(t *testing.T) {
	cfg := newMigrated(t)
	tables := sinktest.Tables(t)
	expectStatements := func(what string, want int) {
		t.Helper()
		before := statements(t)
		if err := comment(t, cfg, tables); err != nil {
			t.Fatal(err)
		}
		// NewMigrator itself runs as many as it does with nothing to comment on.
		ran := statements(t) - before
		before = statements(t)
		if err := newMigrator(t, cfg).Close(); err != nil {
			t.Fatal(err)
		}
		if ran -= statements(t) - before; ran != want {
			t.Errorf("%s: %d statements that are no SELECT, want %d", what, ran, want)
		}
	}
	all := len(tables) + len(schema.Views(tables))
	expectStatements("nothing has a comment", all)
	expectStatements("everything has its comment", 0)

	conn := connect(t)
	execute(t, conn, "ALTER TABLE "+cfg.Database+".fact_points COMMENT COLUMN buyer_id 'somebody else''s', COMMENT COLUMN shop_id ''")
	expectStatements("two comments were changed by hand", 1)
	expectStatements("they are as the contract has them again", 0)

	execute(t, conn, "CREATE OR REPLACE VIEW "+cfg.Database+".points AS SELECT * EXCEPT (retracted) FROM "+cfg.Database+".fact_points FINAL WHERE NOT retracted")
	expectStatements("a view was made anew", 1)
	if diff := cmp.Diff(schema.Views(tables)[0].Doc, comments(t, cfg, "points")[""]); diff != "" {
		t.Errorf("the comment of the view (-doc +comment):\n%s", diff)
	}
}

// The table of an own contract may come later than the first start, and have
// columns of its own. What the contract does not say is left as it is.
func TestCommentsOfAnOwnTable(t *testing.T) {
	cfg := newWarehouse(t)
	contract, err := schema.Parse("refunds.yaml", []byte(`
topic: refunds
webhooks: [refunds/create]
table: fact_refunds
doc: One refund.
key: customer_id
fields:
  - {field: customer_id, type: string, required: true, doc: The customer.}
  - {field: tags, type: list}
  - {field: lines, type: objects, fields: [{field: sku, type: string, doc: What was sent back.}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	tables := append(sinktest.Tables(t), contract.FactTable())
	if err := comment(t, cfg, tables); err != nil {
		t.Fatalf("without the table: %v", err)
	}
	if got := comments(t, cfg, "fact_refunds"); len(got) > 0 {
		t.Errorf("there is a table: %v", got)
	}
	conn := connect(t)
	execute(t, conn, "CREATE TABLE "+cfg.Database+".fact_refunds (event_id UUID, customer_id String COMMENT 'who', tags Array(String) COMMENT 'by hand', `lines.sku` Array(String), mine Int64 COMMENT 'mine') "+
		"ENGINE = MergeTree ORDER BY event_id COMMENT 'by hand'")
	if err := comment(t, cfg, tables); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"": "One refund.", "event_id": tables[0].Columns[0].Doc, "customer_id": "The customer.", "tags": "by hand", "lines.sku": "What was sent back.", "mine": "mine",
	}
	if diff := cmp.Diff(want, comments(t, cfg, "fact_refunds")); diff != "" {
		t.Errorf("the table's comments (-want +got):\n%s", diff)
	}
}

func TestCommentsKeepEveryCharacter(t *testing.T) {
	cfg := newWarehouse(t)
	execute(t, connect(t), "CREATE TABLE "+cfg.Database+".odd (a String, b String) ENGINE = MergeTree ORDER BY a")
	for _, doc := range []string{
		`the customer's`, `''`, `'`, `\`, `\'`, `a\`, `\\n \x41 \0`, "two\nlines\r\n\tand a tab\n", `"double" and ` + "`back`",
		"會員點數 😀 \u202e \u00a0", "a, MODIFY COMMENT 'b'; -- c /* d", "? $1 {a:String} @a :b %s %%", "\x00\x01", " spaces ", "<b>&amp;</b>",
	} {
		table := &schema.Table{Name: "odd", Doc: doc, Columns: []schema.Column{
			{Name: "a", Type: schema.String, Doc: doc},
			{Name: "b", Type: schema.String, Doc: "Not " + doc + doc},
		}}
		if err := comment(t, cfg, []*schema.Table{table}); err != nil {
			t.Errorf("%q: %v", doc, err)
			continue
		}
		want := map[string]string{"": doc, "a": doc, "b": "Not " + doc + doc}
		if diff := cmp.Diff(want, comments(t, cfg, "odd")); diff != "" {
			t.Errorf("other comments than docs (-docs +comments):\n%s", diff)
		}
	}
}

// A comment is not taken for what it speaks of.
func TestCommentsThatSpeakOfTheTable(t *testing.T) {
	cfg := newMigrated(t)
	table := schema.RawWebhooks()
	table.Doc = "No TTL here, SETTINGS non_replicated_deduplication_window = 1"
	table.Columns[0].Doc = table.Doc
	if err := comment(t, cfg, []*schema.Table{table}); err != nil {
		t.Fatal(err)
	}
	m := newMigrator(t, cfg)
	defer func() { _ = m.Close() }()
	if _, _, err := m.Up(t.Context()); err != nil {
		t.Error(err)
	}
	sink, err := clickhouse.Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	if err := sink.Write(t.Context(), sinktest.NewBatch(table, 0, sinktest.Row(table, 1))); err != nil {
		t.Error(err)
	}
}

func TestCommentsOfSeveralConnectorsAtOnce(t *testing.T) {
	cfg := newMigrated(t)
	tables := sinktest.Tables(t)
	var wg sync.WaitGroup
	for range 4 {
		m := newMigrator(t, cfg)
		wg.Go(func() {
			defer func() { _ = m.Close() }()
			if err := m.Comment(context.Background(), tables); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	expectDocs(t, cfg, tables)
}

// A table that the server refuses to alter does not keep the next one from its
// comments, and the error says which it is. Here the statement is longer than
// the server takes.
func TestRefusedComments(t *testing.T) {
	cfg := newWarehouse(t)
	execute(t, connect(t), "CREATE TABLE "+cfg.Database+".long (a String) ENGINE = MergeTree ORDER BY a")
	long := &schema.Table{Name: "long", Doc: strings.Repeat("long ", 100_000)}
	err := comment(t, cfg, append([]*schema.Table{long}, sinktest.Tables(t)...))
	if err == nil {
		t.Fatal("there is no error")
	}
	if text := err.Error(); !strings.Contains(text, cfg.Database+".long") || strings.Contains(text, "raw_webhooks") || len(text) > 1000 {
		t.Errorf("the error does not say which table alone: %.2000s", text)
	}
	if got := comments(t, cfg, "raw_webhooks")[""]; got != schema.RawWebhooks().Doc {
		t.Errorf("raw_webhooks has the comment %q", got)
	}
	if got := comments(t, cfg, "points")[""]; got == "" {
		t.Error("the view points has no comment")
	}
}

func TestCommentsWithoutAServer(t *testing.T) {
	cfg := newWarehouse(t)
	p := newProxy(t)
	cfg.Addresses = strictyaml.List{p.address}
	m := newMigrator(t, cfg)
	defer func() { _ = m.Close() }()
	p.Break(t)
	if err := m.Comment(t.Context(), sinktest.Tables(t)); err == nil || !strings.Contains(err.Error(), p.address) {
		t.Errorf("the error does not say where: %v", err)
	}
}

func comment(t *testing.T, cfg clickhouse.Config, tables []*schema.Table) error {
	t.Helper()
	m := newMigrator(t, cfg)
	defer func() { _ = m.Close() }()
	return m.Comment(t.Context(), tables)
}

// comments returns the comments of a table's columns, and its own under "".
func comments(t *testing.T, cfg clickhouse.Config, table string) map[string]string {
	t.Helper()
	rows, err := connect(t).Query(t.Context(), "SELECT name, comment FROM system.columns WHERE database = ? AND table = ? UNION ALL SELECT '', comment FROM system.tables WHERE database = ? AND name = ?",
		cfg.Database, table, cfg.Database, table)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]string{}
	for rows.Next() {
		var name, comment string
		if err := rows.Scan(&name, &comment); err != nil {
			t.Fatal(err)
		}
		all[name] = comment
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// statements returns how many statements the engine ever began that are no SELECT.
func statements(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(text(t, connect(t), "sumIf(value, event = 'Query') - sumIf(value, event = 'SelectQuery')", "FROM system.events"))
	if err != nil {
		t.Fatal(err)
	}
	return n
}
