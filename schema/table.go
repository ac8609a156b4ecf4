package schema

import (
	"fmt"
	"strings"
)

// Type is what a column holds, whatever its source called it.
type Type uint8

// The types of a column. Each comment says how [Value] holds it and which
// ClickHouse type stores it.
const (
	String Type = iota + 1 // Text is UTF-8; String
	Bytes                  // Text is any bytes; String
	UUID                   // Text is the 36 characters of RFC 9562; UUID
	Bool                   // Int is 0 or 1; Bool
	Int64                  // Int; Int64
	Time                   // Int is milliseconds since 1970-01-01 UTC; DateTime64(3, 'UTC')
	Date                   // Int is days since 1970-01-01; Date32
)

// The range that ClickHouse can hold in DateTime64(3) and Date32: 1900 to 2299.
const (
	MinTime int64 = -2208988800000 // 1900-01-01T00:00:00.000Z
	MaxTime int64 = 10413791999999 // 2299-12-31T23:59:59.999Z
	MinDate int64 = -25567         // 1900-01-01
	MaxDate int64 = 120529         // 2299-12-31
)

// A Column is one column of a fact table and one key of a row in Kafka.
type Column struct {
	Name string
	Type Type
	// Nullable columns tell "absent" from a zero value.
	Nullable bool
	// Array columns hold any number of values of Type, none of them null.
	Array bool
	// LowCardinality marks text with few distinct values.
	LowCardinality bool
	// Sparse columns are seldom filled: a record in Kafka has their key only
	// where it tells something. They are not a table's first column.
	Sparse bool
	// Doc is one sentence for the data dictionary and ClickHouse's comment.
	Doc string
}

// ClickHouseType returns the column's type as system.columns prints it.
func (c Column) ClickHouseType() string {
	var name string
	switch c.Type {
	case String, Bytes:
		name = "String"
	case UUID:
		name = "UUID"
	case Bool:
		name = "Bool"
	case Int64:
		name = "Int64"
	case Time:
		name = "DateTime64(3, 'UTC')"
	case Date:
		name = "Date32"
	default:
		panic(fmt.Sprintf("schema: column %s has no type", c.Name))
	}
	if c.Nullable {
		name = "Nullable(" + name + ")"
	}
	if c.LowCardinality {
		name = "LowCardinality(" + name + ")"
	}
	if c.Array {
		name = "Array(" + name + ")"
	}
	return name
}

// A Table is the flat shape shared by a Kafka topic and the table that its
// records end in.
type Table struct {
	// Topic is the Kafka topic's name without the configured prefix.
	Topic string
	// Name is the ClickHouse table.
	Name string
	// Doc is one sentence for the data dictionary and ClickHouse's comment.
	Doc     string
	Columns []Column
	// Key are the columns that tell the row of one event from any other's: of
	// several rows that are alike in them the latest counts. It is empty where
	// every row counts.
	Key []string
}

// Index returns the position of the named column, or -1.
func (t *Table) Index(name string) int {
	for i := range t.Columns {
		if t.Columns[i].Name == name {
			return i
		}
	}
	return -1
}

// A Value is one cell. Which field counts follows from the column; the zero
// Value is the column's empty value: "", 0, false, the empty list or, in a
// nullable column, NULL.
type Value struct {
	Int  int64
	Text string
	List []Value
	// Set tells a nullable column's value from NULL; elsewhere it is ignored.
	Set bool
}

// isEmpty reports whether v is the column's empty value.
func (c *Column) isEmpty(v *Value) bool {
	switch {
	case c.Array:
		return len(v.List) == 0
	case c.Nullable:
		return !v.Set
	default:
		return v.Int == 0 && v.Text == ""
	}
}

// A Row holds one Value for each column of its [Table], in the same order.
type Row []Value

// Reset makes every value of the row empty and keeps its memory.
func (r Row) Reset() {
	for i := range r {
		r[i] = Value{List: r[i].List[:0]}
	}
}

// TextValue returns a set text value, with bytes that are not UTF-8 replaced by U+FFFD.
func TextValue(s string) Value { return Value{Text: strings.ToValidUTF8(s, "\uFFFD"), Set: true} }

// BytesValue returns a set value of exactly these bytes.
func BytesValue(b []byte) Value { return Value{Text: string(b), Set: true} }

// IntValue returns a set number, time in milliseconds, or date in days.
func IntValue(n int64) Value { return Value{Int: n, Set: true} }
