package clickhouse_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
	"loyaltyhouse/sinks/sinktest"
)

func TestSuite(t *testing.T) {
	t.Parallel()
	sinktest.Run(t, sinktest.Harness{
		New:     func(t *testing.T) sinktest.Destination { return newDestination(t, "lz4") },
		Refused: unequalLists,
	})
}

func TestEveryCompressionWrites(t *testing.T) {
	for _, compression := range []string{"none", "lz4", "zstd"} {
		t.Run(compression, func(t *testing.T) {
			d := newDestination(t, compression)
			sink := d.Open(t)
			defer func() { _ = sink.Close() }()
			table := schema.DeadLetters()
			if err := sink.Write(t.Context(), sinktest.NewBatch(table, 0, sinktest.Row(table, 1), sinktest.Row(table, 2))); err != nil {
				t.Fatal(err)
			}
			if n := d.Count(t, table); n != 2 {
				t.Errorf("%d rows are stored, want 2", n)
			}
		})
	}
}

// unequalLists returns a customer whose addresses have more cities than zip
// codes, which ClickHouse refuses for the columns of one Nested.
func unequalLists() (*schema.Table, schema.Row) {
	for _, c := range mustBuiltin() {
		if table := c.FactTable(); table.Index("addresses.city") >= 0 {
			row := sinktest.Row(table, 1)
			city := &row[table.Index("addresses.city")]
			city.List = append(city.List, schema.TextValue("Taipei"))
			return table, row
		}
	}
	panic("no contract has addresses")
}

// mustBuiltin returns the built-in contracts, parsed once.
var mustBuiltin = sync.OnceValue(func() []*schema.Contract {
	contracts, err := schema.Builtin()
	if err != nil {
		panic(err)
	}
	return contracts
})

// destination is a database behind a proxy.
type destination struct {
	*proxy
	cfg  clickhouse.Config
	conn driver.Conn
}

func newDestination(t *testing.T, compression string) sinktest.Destination {
	t.Helper()
	cfg := newWarehouse(t)
	cfg.Compression = compression
	p := newProxy(t)
	cfg.Addresses = strictyaml.List{p.address}
	return destination{p, cfg, connect(t)}
}

func (d destination) Break(t *testing.T)   { d.proxy.Break(t) }
func (d destination) Stall(t *testing.T)   { d.proxy.Stall(t) }
func (d destination) Restore(t *testing.T) { d.proxy.Restore(t) }

func (d destination) Open(t *testing.T) sinks.Sink {
	t.Helper()
	sink, err := clickhouse.Open("test", d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func (d destination) Count(t *testing.T, table *schema.Table) int {
	t.Helper()
	var n uint64
	if err := d.conn.QueryRow(context.Background(), "SELECT count() FROM "+d.cfg.Database+"."+table.Name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return int(n)
}

func (d destination) Rows(t *testing.T, table *schema.Table) []schema.Row {
	t.Helper()
	columns := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		columns[i] = selected(c)
	}
	rows, err := d.conn.Query(context.Background(), fmt.Sprintf("SELECT %s FROM %s.%s", strings.Join(columns, ", "), d.cfg.Database, table.Name))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = rows.Close() }()
	var all []schema.Row
	for rows.Next() {
		row := make(schema.Row, len(table.Columns))
		cells := make([]any, len(row))
		for i := range cells {
			cells[i] = &cell{table.Columns[i], &row[i]}
		}
		if err := rows.Scan(cells...); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// selected asks for a column as String or Int64, or a list of them.
func selected(c schema.Column) string {
	convert := "toString(%s)"
	switch c.Type {
	case schema.Bool, schema.Int64:
		convert = "toInt64(%s)"
	case schema.Time:
		convert = "toUnixTimestamp64Milli(%s)"
	case schema.Date:
		convert = "toInt64(toInt32(%s))"
	default:
	}
	name := "`" + c.Name + "`"
	if c.Array {
		return "arrayMap(x -> " + fmt.Sprintf(convert, "x") + ", " + name + ")"
	}
	return fmt.Sprintf(convert, name)
}

// A cell reads one value of an answer.
type cell struct {
	column schema.Column
	value  *schema.Value
}

// Scan implements sql.Scanner.
func (c *cell) Scan(source any) error {
	switch source := source.(type) {
	case nil:
	case string:
		*c.value = schema.BytesValue([]byte(source))
	case int64:
		*c.value = schema.IntValue(source)
	case *int64:
		if source != nil {
			*c.value = schema.IntValue(*source)
		}
	case []string:
		for _, s := range source {
			c.value.List = append(c.value.List, schema.BytesValue([]byte(s)))
		}
	case []int64:
		for _, n := range source {
			c.value.List = append(c.value.List, schema.IntValue(n))
		}
	default:
		return fmt.Errorf("column %s comes as %T", c.column.Name, source)
	}
	return nil
}
