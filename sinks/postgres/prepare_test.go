//go:build linux && postgres

package postgres_test

import (
	"slices"
	"strings"
	"sync"
	"testing"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks/sinktest"
)

// everything is a table with a column of every type, with and without null and as a
// list, in which of several rows the latest counts.
func everything() *schema.Table {
	t := &schema.Table{Topic: "everything", Name: "everything", Doc: "It's all.", Key: []string{"event_id", "shop_id", "absent"}}
	t.Columns = append(t.Columns, schema.Column{Name: "event_id", Type: schema.UUID, Doc: `A back\slash.`}, schema.Column{Name: "shop_id", Type: schema.String})
	for _, c := range []schema.Column{
		{Name: "text", Type: schema.String},
		{Name: "bytes", Type: schema.Bytes},
		{Name: "bool", Type: schema.Bool},
		{Name: "int", Type: schema.Int64},
		{Name: "time", Type: schema.Time},
		{Name: "date", Type: schema.Date},
	} {
		t.Columns = append(t.Columns, c)
		if c.Type != schema.Bytes {
			c.Array = true
			t.Columns = append(t.Columns, schema.Column{Name: "list." + c.Name, Type: c.Type, Array: true})
		}
		t.Columns = append(t.Columns, schema.Column{Name: "maybe_" + c.Name, Type: c.Type, Nullable: true})
	}
	t.Columns = append(t.Columns, schema.Column{Name: "normalized_at", Type: schema.Time}, schema.Column{Name: "retracted", Type: schema.Bool, Sparse: true})
	return t
}

const shapeOfEverything = `SELECT a.attname, format_type(a.atttypid, a.atttypmod), CASE WHEN a.attnotnull THEN 'NOT NULL' ELSE 'NULL' END, coalesce(pg_get_expr(d.adbin, d.adrelid), '-')
FROM pg_attribute a LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
WHERE a.attrelid = 'loyalty.everything'::regclass AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`

func TestTablesAreMadeFromTheContract(t *testing.T) {
	cfg := newWarehouse(t, everything())
	conn := connect(t, cfg)
	expect(t, conn, shapeOfEverything, `event_id, uuid, NOT NULL, '00000000-0000-0000-0000-000000000000'::uuid
shop_id, text, NOT NULL, ''::text
text, text, NOT NULL, ''::text
list.text, text[], NOT NULL, '{}'::text[]
maybe_text, text, NULL, -
bytes, bytea, NOT NULL, '\x'::bytea
maybe_bytes, bytea, NULL, -
bool, boolean, NOT NULL, false
list.bool, boolean[], NOT NULL, '{}'::boolean[]
maybe_bool, boolean, NULL, -
int, bigint, NOT NULL, 0
list.int, bigint[], NOT NULL, '{}'::bigint[]
maybe_int, bigint, NULL, -
time, timestamp(3) with time zone, NOT NULL, '1970-01-01 00:00:00+00'::timestamp with time zone
list.time, timestamp(3) with time zone[], NOT NULL, '{}'::timestamp with time zone[]
maybe_time, timestamp(3) with time zone, NULL, -
date, date, NOT NULL, '1970-01-01'::date
list.date, date[], NOT NULL, '{}'::date[]
maybe_date, date, NULL, -
normalized_at, timestamp(3) with time zone, NOT NULL, '1970-01-01 00:00:00+00'::timestamp with time zone
retracted, boolean, NOT NULL, false`)
	expect(t, conn, "SELECT indexdef FROM pg_indexes WHERE schemaname = 'loyalty' ORDER BY 1",
		"CREATE INDEX everything_shop_id_idx ON loyalty.everything USING btree (shop_id)\n"+
			"CREATE UNIQUE INDEX everything_pkey ON loyalty.everything USING btree (event_id, shop_id)")
	expect(t, conn, "SELECT obj_description('loyalty.everything'::regclass), col_description('loyalty.everything'::regclass, 1)", `It's all., A back\slash.`)
	expect(t, conn, "SELECT obj_description('loyalty.everything_live'::regclass)", "It's all. Without the rows that a replay took back.")
}

func TestEveryTypeIsStoredExactly(t *testing.T) {
	table := everything()
	d := newDestination(t).(destination)
	sink := openSink(t, d.cfg)
	if err := sink.Prepare(t.Context(), []*schema.Table{table}); err != nil {
		t.Fatal(err)
	}
	many := schema.Value{}
	for _, text := range []string{"", "NULL", `"quoted"`, `back\slash`, "{}", ",", "長 🎁"} {
		many.List = append(many.List, schema.TextValue(text))
	}
	rows := []schema.Row{sinktest.Row(table, 1), sinktest.Row(table, 2), make(schema.Row, len(table.Columns))}
	rows[0][table.Index("list.text")] = many
	for name, values := range map[string][]int64{
		"int": {-1 << 63, 1<<63 - 1}, "time": {schema.MinTime, schema.MaxTime}, "date": {schema.MinDate, schema.MaxDate}, "bool": {0, 1},
	} {
		list := schema.Value{}
		for i, n := range values {
			list.List = append(list.List, schema.IntValue(n))
			rows[i][table.Index(name)], rows[i][table.Index("maybe_"+name)] = schema.IntValue(n), schema.IntValue(n)
		}
		rows[1][table.Index("list."+name)] = list
	}
	rows[2][0] = schema.TextValue("e7000000-0000-0000-0000-0000000000ff") // Everything else is empty, or null.
	write(t, sink, sinktest.NewBatch(table, 0, rows...))
	var want, got []string
	for _, row := range rows {
		want = append(want, string(table.AppendRow(nil, row)))
	}
	for _, row := range d.Rows(t, table) {
		got = append(got, string(table.AppendRow(nil, row)))
	}
	slices.Sort(want)
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("stored are\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Several processes start at once on an empty database.
func TestSeveralPrepareAtOnce(t *testing.T) {
	cfg := newConfig(t)
	var starting sync.WaitGroup
	for range 4 {
		sink := openSink(t, cfg)
		starting.Go(func() {
			if err := sink.Prepare(t.Context(), sinktest.Tables(t)); err != nil {
				t.Error(err)
			}
		})
	}
	starting.Wait()
	conn := connect(t, cfg)
	expect(t, conn, "SELECT tablename FROM pg_tables WHERE schemaname = 'loyalty' ORDER BY 1",
		"dead_letters\nfact_customer_changes\nfact_gift_cards\nfact_points\nfact_store_credits\nraw_webhooks")
	expect(t, conn, "SELECT viewname FROM pg_views WHERE schemaname = 'loyalty' ORDER BY 1", "customer_changes\ngift_cards\npoints\nstore_credits")
}

// Every column is described, and what is there already is not touched: a second
// start needs no right to alter anything.
func TestSecondPrepareChangesNothing(t *testing.T) {
	cfg := newWarehouse(t)
	conn := connect(t, cfg)
	expect(t, conn, `SELECT c.relname, a.attname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
WHERE c.relnamespace = 'loyalty'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND col_description(c.oid, a.attnum) IS NULL`, "")
	catalog := "SELECT 'c', oid, xmin FROM pg_class UNION ALL SELECT 'd', objoid, xmin FROM pg_description ORDER BY 1, 2"
	before := text(t, conn, catalog)
	if err := openSink(t, cfg).Prepare(t.Context(), sinktest.Tables(t)); err != nil {
		t.Fatal(err)
	}
	if text(t, conn, catalog) != before {
		t.Error("the second Prepare has altered something")
	}

	execute(t, conn, "CREATE ROLE writer_"+cfg.Database+" LOGIN PASSWORD 'secret'",
		"GRANT USAGE ON SCHEMA loyalty TO writer_"+cfg.Database,
		"GRANT INSERT, SELECT, UPDATE ON ALL TABLES IN SCHEMA loyalty TO writer_"+cfg.Database,
		"COMMENT ON TABLE loyalty.fact_points IS 'Mine.'")
	t.Cleanup(func() {
		execute(t, connect(t, cfg), "DROP OWNED BY writer_"+cfg.Database, "DROP ROLE writer_"+cfg.Database)
	})
	restricted := cfg
	restricted.Username = "writer_" + cfg.Database
	sink := openSink(t, restricted)
	if err := sink.Prepare(t.Context(), sinktest.Tables(t)); err != nil {
		t.Errorf("of a role that may only write: %v", err)
	}
	if err := sink.Check(t.Context(), sinktest.Tables(t), true); err != nil {
		t.Errorf("of a role that may only write: %v", err)
	}
	for _, table := range sinktest.Tables(t) {
		write(t, sink, numbered(table, 0, 10))
	}
}

// A newer contract's column is added, with its empty value in the rows that are
// there, and a process of the older contract goes on writing.
func TestNewColumn(t *testing.T) {
	old := factTable(t, "points")
	cfg := newWarehouse(t, old)
	before, after, conn := openSink(t, cfg), openSink(t, cfg), connect(t, cfg)
	write(t, before, numbered(old, 0, 1))
	newer := *old
	newer.Columns = slices.Insert(slices.Clone(old.Columns), 8,
		schema.Column{Name: "tier", Type: schema.String, Doc: "The tier."}, schema.Column{Name: "rank", Type: schema.Int64, Nullable: true})
	for range 2 {
		if err := after.Prepare(t.Context(), []*schema.Table{&newer}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, before, numbered(old, 1, 1))
	write(t, after, numbered(&newer, 2, 1))
	expect(t, conn, "SELECT left(tier, 6), rank FROM loyalty.points ORDER BY event_id", ", NULL\n, NULL\nsecret, 2")
	expect(t, conn, "SELECT col_description('loyalty.fact_points'::regclass, attnum) FROM pg_attribute WHERE attrelid = 'loyalty.fact_points'::regclass AND attname = 'tier'", "The tier.")
}

// What cannot be mended without risk is told, with what to do, and nothing is
// changed.
func TestTablesThatDiffer(t *testing.T) {
	for name, test := range map[string]struct {
		change string
		want   string
	}{
		"another type":          {"DROP VIEW loyalty.points; ALTER TABLE loyalty.fact_points ALTER shop_domain TYPE varchar(3)", `column shop_domain has the type character varying(3) instead of text; run: ALTER TABLE "loyalty"."fact_points" ALTER COLUMN "shop_domain" TYPE text`},
		"too coarse a time":     {"DROP VIEW loyalty.points; ALTER TABLE loyalty.fact_points ALTER received_at TYPE timestamptz(0)", "column received_at has the type timestamp(0) with time zone instead of timestamp(3) with time zone"},
		"a time without zone":   {"DROP VIEW loyalty.points; ALTER TABLE loyalty.fact_points ALTER received_at TYPE timestamp(3)", "instead of timestamp(3) with time zone"},
		"not null":              {"UPDATE loyalty.fact_points SET points_balance = 0; ALTER TABLE loyalty.fact_points ALTER points_balance SET NOT NULL", "column points_balance is NOT NULL, but a row may have none"},
		"a column of their own": {"ALTER TABLE loyalty.fact_points ADD mine int NOT NULL", "column mine is NOT NULL without a default, and no contract fills it"},
		"no key":                {"ALTER TABLE loyalty.fact_points DROP CONSTRAINT fact_points_pkey", `it has no unique index on exactly (event_id, shop_id, buyer_id, updated_at), by which a repeated row is told; run: ALTER TABLE "loyalty"."fact_points" ADD PRIMARY KEY ("event_id", "shop_id", "buyer_id", "updated_at")`},
		"a key of one column":   {"ALTER TABLE loyalty.fact_points DROP CONSTRAINT fact_points_pkey, ADD PRIMARY KEY (event_id)", "it has no unique index"},
		"a partial key":         {"ALTER TABLE loyalty.fact_points DROP CONSTRAINT fact_points_pkey; CREATE UNIQUE INDEX ON loyalty.fact_points (event_id, shop_id, buyer_id, updated_at) WHERE NOT retracted", "it has no unique index"},
		"a key of columns gone": {"DROP VIEW loyalty.points; ALTER TABLE loyalty.fact_points DROP buyer_id", "the column buyer_id of its key is missing"},
		"unlogged":              {"ALTER TABLE loyalty.fact_points SET UNLOGGED", "it is unlogged, so that a crash empties it"},
		"generated":             {"DROP VIEW loyalty.points; ALTER TABLE loyalty.fact_points DROP api_version, ADD api_version text NOT NULL GENERATED ALWAYS AS (shop_id) STORED", "column api_version is generated"},
		"a view":                {"DROP TABLE loyalty.fact_points CASCADE; CREATE VIEW loyalty.fact_points AS SELECT 1 AS x", "it is no table"},
		"a table for the view":  {"DROP VIEW loyalty.points; CREATE TABLE loyalty.points ()", "loyalty.points is no view"},
	} {
		t.Run(name, func(t *testing.T) {
			tables := []*schema.Table{factTable(t, "points"), schema.RawWebhooks()}
			cfg := newWarehouse(t, tables[0])
			sink, conn := openSink(t, cfg), connect(t, cfg)
			execute(t, conn, test.change)
			if err := sink.Prepare(t.Context(), tables); !strings.Contains(says(err), test.want) {
				t.Errorf("Prepare returns %v, want %s", err, test.want)
			}
			expect(t, conn, "SELECT count(*) FROM pg_tables WHERE tablename = 'raw_webhooks'", "0")
			if err := sink.Check(t.Context(), tables, true); !strings.Contains(says(err), test.want) && name != "a table for the view" {
				t.Errorf("Check returns %v, want %s", err, test.want)
			}
		})
	}
}

// What holds more than the contract asks for is left as it is.
func TestTablesThatDifferAndMay(t *testing.T) {
	cfg := newWarehouse(t)
	conn := connect(t, cfg)
	execute(t, conn, "ALTER TABLE loyalty.fact_points ADD mine int, ADD also int NOT NULL DEFAULT 3, ADD n int GENERATED ALWAYS AS IDENTITY",
		"ALTER TABLE loyalty.fact_points ALTER shop_domain DROP NOT NULL", "CREATE INDEX ON loyalty.fact_points (updated_at)",
		"ALTER TABLE loyalty.raw_webhooks ALTER received_at TYPE timestamptz")
	sink := openSink(t, cfg)
	if err := sink.Prepare(t.Context(), sinktest.Tables(t)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Check(t.Context(), sinktest.Tables(t), true); err != nil {
		t.Fatal(err)
	}
	write(t, sink, numbered(factTable(t, "points"), 0, 3))
	expect(t, conn, "SELECT count(*), sum(also), count(mine) FROM loyalty.fact_points", "3, 9, 0")
}
