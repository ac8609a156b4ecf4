package clickhouse_test

import (
	"errors"
	"strings"
	"testing"

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
