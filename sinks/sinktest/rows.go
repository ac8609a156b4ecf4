package sinktest

import (
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/google/uuid"

	"loyaltyhouse/schema"
)

// Row returns an ordinary row of any table. Different numbers make rows of
// different events.
func Row(table *schema.Table, n int) schema.Row {
	row := make(schema.Row, len(table.Columns))
	for i, c := range table.Columns {
		row[i] = ordinary(c, n)
	}
	return row
}

func rows(table *schema.Table, n int) []schema.Row { return rowsFrom(table, 0, n) }

func rowsFrom(table *schema.Table, first, n int) []schema.Row {
	all := make([]schema.Row, n)
	for i := range all {
		all[i] = Row(table, first+i)
	}
	return all
}

func ordinary(c schema.Column, n int) schema.Value {
	if c.Sparse {
		return schema.Value{}
	}
	if c.Array {
		v := schema.Value{Set: true}
		c.Array = false
		for i := range n % 3 {
			v.List = append(v.List, ordinary(c, i))
		}
		return v
	}
	switch c.Type {
	case schema.UUID:
		return schema.TextValue(eventID(n))
	case schema.Bool:
		return schema.IntValue(int64(n % 2))
	case schema.Int64:
		return schema.IntValue(int64(n))
	case schema.Time:
		return schema.IntValue(time.Date(2026, 2, 28, 23, 59, 59, 0, time.UTC).UnixMilli() + int64(n))
	case schema.Date:
		return schema.IntValue(20_000 + int64(n%1000))
	default:
		return schema.TextValue(fmt.Sprintf("%s %s %d", secret, c.Name, n%7))
	}
}

func eventID(n int) string {
	var id uuid.UUID
	for i := range 8 {
		id[15-i] = byte(n >> (8 * i)) //nolint:gosec // It is the lowest byte that is wanted.
	}
	id[0] = 0xe7
	return id.String()
}

// Extremes returns rows whose columns together hold the least, the greatest,
// the empty and the odd values of their types.
func Extremes(table *schema.Table) []schema.Row {
	all := make([]schema.Row, 8)
	for n := range all {
		all[n] = make(schema.Row, len(table.Columns))
		for i, c := range table.Columns {
			all[n][i] = extreme(c, n)
			if c.Type == schema.UUID {
				all[n][i] = schema.TextValue(eventID(n))
			}
		}
	}
	all[0][table.Index("event_id")] = schema.TextValue(uuid.Nil.String())
	all[1][table.Index("event_id")] = schema.TextValue(uuid.Max.String())
	return all
}

// dropNUL takes the character U+0000 out of the texts, but not out of bytes.
func dropNUL(table *schema.Table, rows []schema.Row) {
	drop := func(v *schema.Value) { v.Text = strings.ReplaceAll(v.Text, "\x00", "") }
	for _, row := range rows {
		for i := range row {
			if table.Columns[i].Type != schema.String {
				continue
			}
			drop(&row[i])
			for k := range row[i].List {
				drop(&row[i].List[k])
			}
		}
	}
}

func extreme(c schema.Column, n int) schema.Value {
	if c.Array {
		v := schema.Value{Set: true}
		c.Array, c.Nullable = false, false
		for i := range []int{0, 1, 5, 0, 1000, 2, 1, 0}[n] {
			v.List = append(v.List, extreme(c, i%6))
		}
		return v
	}
	if c.Nullable && n == 0 {
		return schema.Value{}
	}
	ints := func(least, greatest int64) schema.Value {
		return schema.IntValue([]int64{0, least, greatest, 1, -1, least + 1, greatest - 1, 0}[n])
	}
	texts := []string{
		"", secret, "積分 🎁 \u202eمرحبا", "tab\tquote\"back\\slash\nline\r\n", "\x00\x01\x1f\x7f\u2028",
		"'; DROP TABLE fact_points; --", strings.Repeat("長", 10_000), "\\N",
	}
	switch c.Type {
	case schema.Bool:
		return schema.IntValue(int64(n % 2))
	case schema.Int64:
		return ints(math.MinInt64, math.MaxInt64)
	case schema.Time:
		return ints(schema.MinTime, schema.MaxTime)
	case schema.Date:
		return ints(schema.MinDate, schema.MaxDate)
	case schema.Bytes:
		return schema.BytesValue([]byte(texts[n] + "\xff\xfe\xc3(\x00"[:n%6]))
	default:
		return schema.TextValue(texts[n])
	}
}
