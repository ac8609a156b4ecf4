package clickhouse

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/schema"
)

// A buffer collects one column of a batch in the slices that clickhouse-go
// appends as a whole, which spares it an interface value per cell.
type buffer struct {
	column schema.Column
	texts  []string
	ints   []int64
	bools  []bool
	times  []time.Time
	set    []bool // for nullable columns
	textss [][]string
	intss  [][]int64
	boolss [][]bool
}

func newBuffers(t *schema.Table) []buffer {
	buffers := make([]buffer, len(t.Columns))
	for i, c := range t.Columns {
		buffers[i].column = c
	}
	return buffers
}

// reset empties the buffer and keeps its memory, but no text.
func (b *buffer) reset() {
	clear(b.texts)
	clear(b.textss)
	clear(b.intss)
	clear(b.boolss)
	b.texts, b.ints, b.bools, b.times, b.set = b.texts[:0], b.ints[:0], b.bools[:0], b.times[:0], b.set[:0]
	b.textss, b.intss, b.boolss = b.textss[:0], b.intss[:0], b.boolss[:0]
}

func (b *buffer) add(v *schema.Value) {
	if b.column.Array {
		b.addList(v.List)
		return
	}
	if b.column.Nullable {
		b.set = append(b.set, v.Set)
	}
	switch b.column.Type {
	case schema.Int64, schema.Time:
		b.ints = append(b.ints, v.Int)
	case schema.Bool:
		b.bools = append(b.bools, v.Int != 0)
	case schema.Date:
		b.times = append(b.times, time.Unix(v.Int*86400, 0).UTC())
	default:
		b.texts = append(b.texts, v.Text)
	}
}

func (b *buffer) addList(list []schema.Value) {
	switch b.column.Type {
	case schema.Int64:
		values := make([]int64, len(list))
		for i := range list {
			values[i] = list[i].Int
		}
		b.intss = append(b.intss, values)
	case schema.Bool:
		values := make([]bool, len(list))
		for i := range list {
			values[i] = list[i].Int != 0
		}
		b.boolss = append(b.boolss, values)
	case schema.String:
		values := make([]string, len(list))
		for i := range list {
			values[i] = list[i].Text
		}
		b.textss = append(b.textss, values)
	default:
		panic(fmt.Sprintf("clickhouse: column %s is a list of a type that contracts do not allow", b.column.Name))
	}
}

// appendTo hands the values over as the insert's column number i.
func (b *buffer) appendTo(insert driver.Batch, i int) error {
	if column := insert.Columns()[i]; b.column.Type == schema.Time && string(column.Type()) == b.column.ClickHouseType() {
		// Append would go through nanoseconds, which end in the year 2262.
		return column.Decode(proto.NewReader(bytes.NewReader(b.native())), len(b.ints))
	}
	return insert.Column(i).Append(b.data())
}

// native returns numbers the way that ClickHouse's native format has them.
func (b *buffer) native() []byte {
	data := make([]byte, 0, len(b.set)+8*len(b.ints))
	for _, set := range b.set {
		isNull := byte(1)
		if set {
			isNull = 0
		}
		data = append(data, isNull)
	}
	for _, n := range b.ints {
		data = binary.LittleEndian.AppendUint64(data, uint64(n)) //nolint:gosec // The bits stay the same.
	}
	return data
}

// data returns the slice for clickhouse-go's Append.
func (b *buffer) data() any {
	switch {
	case b.column.Array && b.column.Type == schema.Int64:
		return b.intss
	case b.column.Array && b.column.Type == schema.Bool:
		return b.boolss
	case b.column.Array:
		return b.textss
	}
	switch b.column.Type {
	case schema.Int64, schema.Time:
		return nullable(b.column.Nullable, b.ints, b.set)
	case schema.Bool:
		return nullable(b.column.Nullable, b.bools, b.set)
	case schema.Date:
		return nullable(b.column.Nullable, b.times, b.set)
	default:
		return nullable(b.column.Nullable, b.texts, b.set)
	}
}

func nullable[T any](isNullable bool, values []T, set []bool) any {
	if !isNullable {
		return values
	}
	pointers := make([]*T, len(values))
	for i := range values {
		if set[i] {
			pointers[i] = &values[i]
		}
	}
	return pointers
}
