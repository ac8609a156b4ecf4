package clickhouse_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
	"loyaltyhouse/sinks/sinktest"
)

// A table of an older version lacks a column. Its rows wait, and the error says
// for which: no row is to blame.
func TestTableThatLacksAColumn(t *testing.T) {
	cfg := newWarehouse(t)
	conn := connect(t)
	table := factTable("fact_points")
	execute(t, conn, "DROP VIEW "+cfg.Database+".points", "ALTER TABLE "+cfg.Database+".fact_points DROP COLUMN retracted")
	sink, err := clickhouse.Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	batch := sinktest.NewBatch(table, 0, sinktest.Row(table, 1))
	err = sink.Write(t.Context(), batch)
	if err == nil || !strings.Contains(err.Error(), "retracted") || !strings.Contains(err.Error(), "fact_points") {
		t.Errorf("the error does not name the column and the table: %v", err)
	}
	if permanent, ok := errors.AsType[*sinks.PermanentError](err); ok {
		t.Errorf("the error blames a row: %v", permanent)
	}
	execute(t, conn, "ALTER TABLE "+cfg.Database+".fact_points ADD COLUMN retracted Bool DEFAULT false")
	if err := sink.Write(t.Context(), batch); err != nil {
		t.Errorf("with the column: %v", err)
	}
}

// A time is stored to the millisecond, until the year 2299, in every column that
// can hold it so. Any other column is refused before a row is sent: in another
// unit the same number is another time.
func TestTimesInColumnsOfOtherTypes(t *testing.T) {
	t.Parallel()
	table := &schema.Table{Topic: "own", Name: "own", Columns: []schema.Column{
		{Name: "event_id", Type: schema.UUID}, {Name: "at", Type: schema.Time}, {Name: "ends", Type: schema.Time, Nullable: true},
	}}
	at, ends := time.Date(2026, 2, 28, 23, 59, 59, 999e6, time.UTC), time.Date(2299, 12, 31, 23, 59, 59, 1e6, time.UTC)
	row := func(n int, ends schema.Value) schema.Row {
		return schema.Row{schema.TextValue(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)), schema.IntValue(at.UnixMilli()), ends}
	}
	for _, test := range []struct {
		at, ends string
		refused  string // the column, if one is refused
	}{
		{"DateTime64(3, 'UTC')", "Nullable(DateTime64(3, 'UTC'))", ""},
		{"DateTime64(3)", "Nullable(DateTime64(3))", ""},
		{"DateTime64(3, 'Asia/Taipei')", "Nullable(DateTime64(3, 'Asia/Taipei'))", ""},
		{"Nullable(DateTime64(3, 'UTC'))", "Nullable(DateTime64(3, 'UTC'))", ""},
		{"DateTime", "Nullable(DateTime64(3, 'UTC'))", "at"},
		{"DateTime64(6, 'UTC')", "Nullable(DateTime64(3, 'UTC'))", "at"},
		{"Date", "Nullable(DateTime64(3, 'UTC'))", "at"},
		{"Int64", "Nullable(DateTime64(3, 'UTC'))", "at"},
		{"DateTime64(3, 'UTC')", "Nullable(DateTime)", "ends"},
		{"DateTime64(3, 'UTC')", "Nullable(DateTime64(0, 'UTC'))", "ends"},
		{"DateTime64(3, 'UTC')", "DateTime64(3, 'UTC')", "ends"}, // It cannot tell "never".
	} {
		t.Run(test.at+" and "+test.ends, func(t *testing.T) {
			cfg, conn := newConfig(t), connect(t)
			execute(t, conn, "CREATE DATABASE "+cfg.Database, fmt.Sprintf(`CREATE TABLE %s.own (event_id UUID, at %s, ends %s)
ENGINE = MergeTree ORDER BY event_id SETTINGS non_replicated_deduplication_window = 1000`, cfg.Database, test.at, test.ends))
			sink, err := clickhouse.Open("test", cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sink.Close() }()
			err = sink.Write(t.Context(), sinktest.NewBatch(table, 0, row(1, schema.IntValue(ends.UnixMilli())), row(2, schema.Value{})))
			got := text(t, conn, "toUnixTimestamp64Milli(assumeNotNull(at)::DateTime64(3)); toUnixTimestamp64Milli(ends::Nullable(DateTime64(3)))", "FROM "+cfg.Database+".own ORDER BY event_id")
			if test.refused != "" {
				if _, permanent := sinks.IsPermanent(err); err == nil || permanent || !strings.Contains(err.Error(), "column "+test.refused+" of table "+cfg.Database+".own cannot take the contract's") {
					t.Errorf("the error does not name the column, or blames a row: %v", err)
				}
				if got != "" {
					t.Errorf("rows are stored:\n%s", got)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if want := fmt.Sprintf("%d, %d\n%d", at.UnixMilli(), ends.UnixMilli(), at.UnixMilli()); got != want { // A NULL has no text.
				t.Errorf("the times are\n%s\nwant\n%s", got, want)
			}
		})
	}
}
