//go:build linux && postgres

package postgres_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgxpool"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/postgres"
	"loyaltyhouse/sinks/sinktest"
)

// A ledger is the table of points, its sink, and what is in it.
type ledger struct {
	table *schema.Table
	sink  *postgres.Sink
	conn  *pgxpool.Pool
	next  int64 // offset
}

func newLedger(t *testing.T) *ledger {
	t.Helper()
	cfg := newWarehouse(t)
	return &ledger{table: factTable(t, "points"), sink: openSink(t, cfg), conn: connect(t, cfg)}
}

// row returns a row of event 1 that was normalized at the given time.
func (l *ledger) row(at int64, change ...func(set func(column string, v schema.Value))) schema.Row {
	row := sinktest.Row(l.table, 1)
	set := func(column string, v schema.Value) { row[l.table.Index(column)] = v }
	set("normalized_at", schema.IntValue(at))
	for _, change := range change {
		change(set)
	}
	return row
}

func value(n int64) func(set func(string, schema.Value)) {
	return func(set func(string, schema.Value)) { set("updated_value", schema.IntValue(n)) }
}

func buyer(id string) func(set func(string, schema.Value)) {
	return func(set func(string, schema.Value)) { set("buyer_id", schema.TextValue(id)) }
}

func takenBack(set func(string, schema.Value)) { set("retracted", schema.IntValue(1)) }

// write writes the rows as one batch.
func (l *ledger) write(t *testing.T, rows ...schema.Row) {
	t.Helper()
	write(t, l.sink, sinktest.NewBatch(l.table, l.next, rows...))
	l.next += int64(len(rows))
}

func (l *ledger) expect(t *testing.T, table, live string) {
	t.Helper()
	expect(t, l.conn, "SELECT buyer_id, updated_value, retracted FROM loyalty.fact_points ORDER BY 1, 2", table)
	expect(t, l.conn, "SELECT buyer_id, updated_value FROM loyalty.points ORDER BY 1, 2", live)
}

// Of several rows of one event the one that was normalized last counts, in
// whatever order and in however many batches they come.
func TestLatestRowOfAnEventCounts(t *testing.T) {
	for name, order := range map[string][]int{"in order": {0, 1, 2}, "backwards": {2, 1, 0}, "mixed": {1, 2, 0}} {
		for _, together := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, in one batch %v", name, together), func(t *testing.T) {
				l := newLedger(t)
				versions := []schema.Row{l.row(1000, buyer("b"), value(10)), l.row(2000, buyer("b"), value(20)), l.row(3000, buyer("b"), value(30))}
				var rows []schema.Row
				for _, i := range order {
					rows = append(rows, versions[i])
				}
				if together {
					l.write(t, rows...)
				} else {
					for _, row := range rows {
						l.write(t, row)
					}
				}
				l.expect(t, "b, 30, f", "b, 30")
			})
		}
	}
}

// Deliveries of one event that were normalized at the same time are alike but for
// their headers: the first one stays, wherever a batch ends.
func TestResendsKeepTheFirstRow(t *testing.T) {
	l := newLedger(t)
	l.write(t, l.row(1000, buyer("b"), value(1)), l.row(1000, buyer("b"), value(2)))
	l.write(t, l.row(1000, buyer("b"), value(3)))
	l.expect(t, "b, 1, f", "b, 1")
}

// A row that a replay took back is not shown, and a late delivery of it, or the
// same batch once more, does not bring it back.
func TestRetractedRowStaysAway(t *testing.T) {
	l := newLedger(t)
	old, retraction := l.row(1000, buyer("b"), value(1)), l.row(2000, buyer("b"), value(1), takenBack)
	l.write(t, old)
	l.write(t, retraction)
	l.expect(t, "b, 1, t", "")
	l.write(t, l.row(1500, buyer("b"), value(1)))
	l.write(t, old, retraction, old)
	l.next = 0
	l.write(t, old)
	l.expect(t, "b, 1, t", "")
	l.write(t, l.row(3000, buyer("b"), value(5))) // The contract was mended again.
	l.expect(t, "b, 5, f", "b, 5")
}

// Of an event that moves to another customer the old row ends and the new one
// counts, whichever of the two partitions is read first.
func TestMovedEvent(t *testing.T) {
	for _, order := range [][]int{{0, 1}, {1, 0}} {
		l := newLedger(t)
		l.write(t, l.row(1000, buyer("old"), value(1)))
		moves := []schema.Row{l.row(2000, buyer("new"), value(1)), l.row(2001, buyer("old"), value(1), takenBack)}
		for _, i := range order {
			l.write(t, moves[i])
		}
		l.write(t, l.row(1200, buyer("old"), value(1)))
		l.expect(t, "new, 1, f\nold, 1, t", "new, 1")
	}
}

// A captured body that is sent again with another shop's name in a header that
// nobody signs leaves the row of the first shop alone.
func TestRowOfAnotherShopStays(t *testing.T) {
	l := newLedger(t)
	shop := func(id string) func(set func(string, schema.Value)) {
		return func(set func(string, schema.Value)) { set("shop_id", schema.TextValue(id)) }
	}
	l.write(t, l.row(1000, buyer("b"), value(1), shop("true")))
	l.write(t, l.row(2000, buyer("b"), value(1), shop("forged")))
	expect(t, l.conn, "SELECT shop_id FROM loyalty.points ORDER BY 1", "forged\ntrue")
}

// A repeated batch changes nothing, not even the place of a row on the disk.
func TestRepeatedBatchTouchesNothing(t *testing.T) {
	cfg := newWarehouse(t)
	sink, conn := openSink(t, cfg), connect(t, cfg)
	for _, table := range sinktest.Tables(t) {
		batch := numbered(table, 0, 100)
		write(t, sink, batch)
		places := text(t, conn, "SELECT ctid, xmin FROM loyalty."+table.Name+" ORDER BY ctid")
		batch.Since = batch.Since.AddDate(2000, 0, 0)
		write(t, sink, batch)
		write(t, sink, batch.Slice(10, 90))
		expect(t, conn, "SELECT ctid, xmin FROM loyalty."+table.Name+" ORDER BY ctid", places)
	}
}

// numbered returns a batch whose rows are of different events.
func numbered(table *schema.Table, first, rows int) *sinks.Batch {
	all := make([]schema.Row, rows)
	for i := range all {
		all[i] = sinktest.Row(table, first+i)
	}
	return sinktest.NewBatch(table, int64(first), all...)
}

// Every delivery is a row, and of a topic that was deleted and made anew the
// records are others although their offsets are not.
func TestEveryDeliveryIsARow(t *testing.T) {
	cfg := newWarehouse(t)
	sink, conn := openSink(t, cfg), connect(t, cfg)
	table := schema.RawWebhooks()
	same := sinktest.Row(table, 1)
	batch := sinktest.NewBatch(table, 0, same, same, same)
	write(t, sink, batch)
	write(t, sink, sinktest.NewBatch(table, 2, same, same))
	expect(t, conn, "SELECT _topic, _partition, _offset, _timestamp FROM loyalty.raw_webhooks ORDER BY 3",
		"loyalty.raw_webhooks, 0, 0, 0\nloyalty.raw_webhooks, 0, 1, 0\nloyalty.raw_webhooks, 0, 2, 0\nloyalty.raw_webhooks, 0, 3, 0")
	for i := range batch.Records {
		batch.Records[i].Timestamp = 1_800_000_000_000
	}
	write(t, sink, batch)
	expect(t, conn, "SELECT count(*) FROM loyalty.raw_webhooks", "7")
}

// PostgreSQL's text has no U+0000. A fact is stored as it is or not at all, and the
// error names the row; a delivery is stored anyway, for its body tells what it was.
func TestTextWithNUL(t *testing.T) {
	cfg := newWarehouse(t)
	sink, conn := openSink(t, cfg), connect(t, cfg)
	for _, column := range []string{"note", "tags", "addresses.city"} {
		table := factTable(t, "customer_changes")
		batch := numbered(table, 0, 5)
		bad := sinktest.Row(table, 2)
		at := table.Index(column)
		if at < 0 {
			t.Fatalf("there is no column %s", column)
		}
		bad[at] = schema.TextValue("secret-value\x00")
		if table.Columns[at].Array {
			bad[at] = schema.Value{List: []schema.Value{schema.TextValue("secret-value"), schema.TextValue("\x00")}}
		}
		batch.Records[2].Value = table.AppendRow(nil, bad)
		err := sink.Write(t.Context(), batch)
		refusal, ok := sinks.IsPermanent(err)
		want := "row_refused: column " + column + " of table fact_customer_changes: a text of PostgreSQL cannot hold the character U+0000"
		if !ok || refusal.Index != 2 || says(err) != want {
			t.Errorf("Write returns %v, want of record 2: %s", err, want)
		}
		expect(t, conn, "SELECT count(*) FROM loyalty.fact_customer_changes", "0")
	}

	for _, table := range []*schema.Table{schema.RawWebhooks(), schema.DeadLetters()} {
		row := sinktest.Row(table, 1)
		row[table.Index("shop_id")] = schema.TextValue("a\x00b")
		row[table.Index("body")] = schema.BytesValue([]byte("a\x00b"))
		write(t, sink, sinktest.NewBatch(table, 0, row))
		expect(t, conn, "SELECT shop_id, body FROM loyalty."+table.Name, `a`+"\uFFFD"+`b, \x610062`)
	}
}

// Columns can be chosen and renamed; without the two by which the newest row is
// told there is no right answer.
func TestChosenColumns(t *testing.T) {
	cfg := newConfig(t)
	sink, conn := openSink(t, cfg), connect(t, cfg)
	whole := factTable(t, "points")
	chosen := func(name string, columns ...string) *schema.Table {
		table := *whole
		table.Name, table.Columns = name, nil
		for _, column := range columns {
			i := whole.Index(column)
			table.Columns = append(table.Columns, whole.Columns[i])
		}
		return &table
	}
	table := chosen("few", "event_id", "updated_value", "normalized_at", "retracted")
	table.Columns[1].Name = "Points, signed"
	if err := sink.Prepare(t.Context(), []*schema.Table{table}); err != nil {
		t.Fatal(err)
	}
	batch := numbered(table, 0, 3)
	write(t, sink, batch)
	write(t, sink, batch)
	expect(t, conn, `SELECT "Points, signed" FROM loyalty.few ORDER BY 1`, "0\n1\n2")

	for _, without := range []string{"normalized_at", "retracted"} {
		columns := slices.DeleteFunc([]string{"event_id", "normalized_at", "retracted"}, func(name string) bool { return name == without })
		table := chosen("without_"+without, columns...)
		want := "postgres: table without_" + without + ": without the column " + without
		for _, err := range []error{
			sink.Prepare(t.Context(), []*schema.Table{table}), sink.Check(t.Context(), []*schema.Table{table}, true),
			sink.Write(t.Context(), numbered(table, 0, 1)),
		} {
			if _, permanent := sinks.IsPermanent(err); permanent || !strings.HasPrefix(says(err), want) {
				t.Errorf("without %s: %v", without, err)
			}
		}
	}
}

// An event that is missing in a row that a second UUID column is in has the nil
// UUID, as everywhere.
func TestSecondUUID(t *testing.T) {
	cfg := newConfig(t)
	sink, conn := openSink(t, cfg), connect(t, cfg)
	table := &schema.Table{Topic: "two", Name: "two", Columns: []schema.Column{{Name: "event_id", Type: schema.UUID}, {Name: "other", Type: schema.UUID}}}
	if err := sink.Prepare(t.Context(), []*schema.Table{table}); err != nil {
		t.Fatal(err)
	}
	batch := &sinks.Batch{Topic: "two", Table: table, Records: []sinks.Record{{Value: []byte(`{"other":"` + uuid.Max.String() + `"}`)}}}
	write(t, sink, batch)
	expect(t, conn, "SELECT event_id, other FROM loyalty.two", uuid.Nil.String()+", "+uuid.Max.String())
}
