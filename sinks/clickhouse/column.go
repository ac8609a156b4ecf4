package clickhouse

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"regexp"
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

// milliseconds is the type of a column that holds a time as a contract has it.
// Its zone is only how it is shown.
var milliseconds = regexp.MustCompile(`^(Nullable\()?DateTime64\(3(, '[^']*')?\)\)?$`)

// appendTo hands the values over as the insert's column number i.
func (b *buffer) appendTo(insert driver.Batch, i int) error {
	if b.column.Type != schema.Time {
		return insert.Column(i).Append(b.data())
	}
	// Append would take milliseconds for another type's unit, and go through
	// nanoseconds, which end in the year 2262.
	column := insert.Columns()[i]
	form := milliseconds.FindStringSubmatch(string(column.Type()))
	if form == nil || b.column.Nullable && form[1] == "" {
		return fmt.Errorf("the column's type is %s", column.Type())
	}
	return column.Decode(proto.NewReader(bytes.NewReader(b.native(form[1] != ""))), len(b.ints))
}

// native returns numbers the way that ClickHouse's native format has them, in a
// nullable column or in one that is not.
func (b *buffer) native(nullable bool) []byte {
	data := make([]byte, 0, 9*len(b.ints))
	for i := range b.ints {
		if !nullable {
			break
		}
		isNull := byte(0)
		if b.column.Nullable && !b.set[i] {
			isNull = 1
		}
		data = append(data, isNull)
	}
	for _, n := range b.ints {
		data = binary.LittleEndian.AppendUint64(data, uint64(n)) //nolint:gosec // The format has negative numbers as two's complement, which is what the conversion keeps.
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
	case schema.Int64:
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
