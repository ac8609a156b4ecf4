//go:build linux && postgres

package postgres_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/postgres"
	"loyaltyhouse/sinks/sinktest"
)

func TestSuite(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{
		New:   newDestination,
		NoNUL: true,
		Refused: func() (*schema.Table, schema.Row) {
			table := factTable(t, "points")
			row := sinktest.Row(table, 3)
			row[table.Index("updated_scene")] = schema.TextValue("secret-value\x00")
			return table, row
		},
	})
}

// destination is a database behind a network that can fail.
type destination struct {
	*link
	cfg  postgres.Config
	conn *pgxpool.Pool
}

func newDestination(t *testing.T) sinktest.Destination {
	t.Helper()
	cfg := newWarehouse(t)
	d := destination{newLink(t), cfg, connect(t, cfg)}
	d.cfg.Port = d.port(t)
	return d
}

func (d destination) Open(t *testing.T) sinks.Sink {
	t.Helper()
	sink, err := postgres.Open("test", d.cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// Break implements [sinktest.Destination].
func (d destination) Break(*testing.T) { d.Stop() }

// Stall implements [sinktest.Destination].
func (d destination) Stall(*testing.T) {
	d.up.shut.Store(true)
	d.down.shut.Store(true)
}

// Restore implements [sinktest.Destination].
func (d destination) Restore(t *testing.T) { d.replace(t) }

func (d destination) Count(t *testing.T, table *schema.Table) (n int) {
	t.Helper()
	if err := d.conn.QueryRow(context.Background(), "SELECT count(*) FROM loyalty."+table.Name).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func (d destination) Rows(t *testing.T, table *schema.Table) []schema.Row {
	t.Helper()
	columns := make([]string, len(table.Columns))
	for i, c := range table.Columns {
		columns[i] = selected(c)
	}
	rows, err := d.conn.Query(context.Background(), fmt.Sprintf("SELECT %s FROM loyalty.%s", strings.Join(columns, ", "), table.Name), pgx.QueryExecModeExec)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, func(answer pgx.CollectableRow) (schema.Row, error) {
		row := make(schema.Row, len(table.Columns))
		cells := make([]any, len(row))
		for i := range cells {
			cells[i] = newCell(table.Columns[i])
		}
		if err := answer.Scan(cells...); err != nil {
			return nil, err
		}
		for i := range cells {
			row[i] = valueOf(cells[i])
		}
		return row, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// selected asks for a column as text, bytes or bigint, or a list of them.
func selected(c schema.Column) string {
	name := `"` + c.Name + `"`
	convert := "%s"
	switch c.Type {
	case schema.UUID:
		convert = "%s::text"
	case schema.Bool:
		convert = "%s::int::bigint"
	case schema.Time:
		convert = "(extract(epoch from %s) * 1000)::bigint"
	case schema.Date:
		convert = "(%s - date '1970-01-01')::bigint"
	default:
	}
	if c.Array {
		return "array(SELECT " + fmt.Sprintf(convert, "x") + " FROM unnest(" + name + ") WITH ORDINALITY AS u(x, n) ORDER BY n)"
	}
	return fmt.Sprintf(convert, name)
}

func newCell(c schema.Column) any {
	isText := c.Type == schema.String || c.Type == schema.UUID
	switch {
	case c.Array && isText:
		return new([]string)
	case c.Array:
		return new([]int64)
	case isText:
		return new(*string)
	case c.Type == schema.Bytes:
		return new([]byte)
	default:
		return new(*int64)
	}
}

func valueOf(cell any) (v schema.Value) {
	switch cell := cell.(type) {
	case *[]string:
		for _, text := range *cell {
			v.List = append(v.List, schema.BytesValue([]byte(text)))
		}
	case *[]int64:
		for _, n := range *cell {
			v.List = append(v.List, schema.IntValue(n))
		}
	case **string:
		if *cell != nil {
			return schema.BytesValue([]byte(**cell))
		}
	case *[]byte:
		if *cell != nil {
			return schema.BytesValue(*cell)
		}
	case **int64:
		if *cell != nil {
			return schema.IntValue(**cell)
		}
	}
	return v
}
