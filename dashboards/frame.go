package dashboards

import (
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/shopspring/decimal"
)

// A frame is the result of one query, for the browser.
type frame struct {
	RefID string `json:"refId"`
	// TimeSeries tells that the rows are in Grafana's long form.
	TimeSeries bool     `json:"timeSeries"`
	Columns    []column `json:"columns"`
	// Rows hold a cell per column: null, a number, a string, a boolean or, for a
	// time, its milliseconds since 1970. A number that a browser could not hold
	// exactly is a string.
	Rows [][]any `json:"rows"`
	// Truncated tells that there were more rows.
	Truncated bool `json:"truncated"`
}

type column struct {
	Name string `json:"name"`
	// Type is number, time, boolean or string.
	Type string `json:"type"`
}

// readFrame reads up to most rows.
func readFrame(rows driver.Rows, most int) (*frame, error) {
	types := rows.ColumnTypes()
	f := &frame{Rows: [][]any{}}
	cells := make([]any, len(types))
	for i, t := range types {
		f.Columns = append(f.Columns, column{Name: t.Name(), Type: columnType(t.DatabaseTypeName())})
		cells[i] = reflect.New(t.ScanType()).Interface()
	}
	for rows.Next() {
		if len(f.Rows) == most {
			f.Truncated = true
			break
		}
		for i, t := range types {
			// A pointer that the row before has filled would be filled again.
			reflect.ValueOf(cells[i]).Elem().Set(reflect.Zero(t.ScanType()))
		}
		if err := rows.Scan(cells...); err != nil {
			return nil, err
		}
		row := make([]any, len(cells))
		for i := range cells {
			row[i] = cell(reflect.ValueOf(cells[i]).Elem())
		}
		f.Rows = append(f.Rows, row)
	}
	return f, rows.Err()
}

// columnType returns the kind of value that a ClickHouse type holds.
func columnType(name string) string {
	for _, wrapper := range []string{"LowCardinality(", "Nullable("} {
		name = strings.TrimPrefix(name, wrapper)
	}
	for _, kind := range []struct {
		name     string
		prefixes []string
	}{
		{"number", []string{"Int", "UInt", "Float", "BFloat", "Decimal"}},
		{"time", []string{"Date"}},
		{"boolean", []string{"Bool"}},
	} {
		if slices.ContainsFunc(kind.prefixes, func(p string) bool { return strings.HasPrefix(name, p) }) &&
			!strings.HasPrefix(name, "Interval") {
			return kind.name
		}
	}
	return "string"
}

// maxExact is the largest whole number up to which a browser holds every one.
const maxExact = 1 << 53

// cell returns a value as JSON has it in a frame.
func cell(v reflect.Value) any {
	for v.Kind() == reflect.Pointer || v.Kind() == reflect.Interface {
		if v.IsNil() {
			return nil
		}
		if number, ok := reflect.TypeAssert[*big.Int](v); ok {
			return exact(number.String())
		}
		v = v.Elem()
	}
	switch value := v.Interface().(type) {
	case time.Time:
		return value.UnixMilli()
	case decimal.Decimal:
		return exact(value.String())
	case big.Int:
		return exact(value.String())
	case fmt.Stringer:
		return value.String()
	}
	switch v.Kind() {
	case reflect.Bool:
		return v.Bool()
	case reflect.String:
		return v.String()
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if n := v.Int(); n < -maxExact || n > maxExact {
			return strconv.FormatInt(n, 10)
		}
		return v.Int()
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if n := v.Uint(); n > maxExact {
			return strconv.FormatUint(n, 10)
		}
		return v.Uint()
	case reflect.Float32, reflect.Float64:
		if math.IsNaN(v.Float()) || math.IsInf(v.Float(), 0) {
			return nil
		}
		return json.Number(strconv.FormatFloat(v.Float(), 'g', -1, v.Type().Bits()))
	case reflect.Slice, reflect.Array:
		texts := make([]string, v.Len())
		for i := range texts {
			texts[i] = fmt.Sprint(cell(v.Index(i)))
		}
		return strings.Join(texts, ", ")
	case reflect.Map:
		texts := make([]string, 0, v.Len())
		for entries := v.MapRange(); entries.Next(); {
			texts = append(texts, fmt.Sprint(cell(entries.Key()), ": ", cell(entries.Value())))
		}
		slices.Sort(texts)
		return strings.Join(texts, ", ")
	default:
		return fmt.Sprint(v.Interface())
	}
}

// exact returns a number in digits as a number where a browser can hold it.
func exact(digits string) any {
	if strings.Trim(digits, "-.0123456789") == "" && len(strings.Trim(digits, "-.")) <= 15 {
		return json.Number(digits)
	}
	return digits
}
