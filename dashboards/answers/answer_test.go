package answers_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
)

// A kind is what the cells of a column are, and how numbers are written.
type kind struct {
	name string
	// column is the type that the warehouse's answer must have: number, time or string.
	column string
	// unit and decimals are Grafana's.
	unit     string
	decimals float64
	// per is what the numbers are computed in, for one of the unit: 100 for cents.
	per float64
}

var (
	text    = kind{name: "text", column: "string"}
	moment  = kind{name: "time", column: "time"}
	count   = kind{name: "count", column: "number", unit: "locale", per: 1}
	money   = kind{name: "money", column: "number", unit: "locale", decimals: 2, per: 100} // cells are in cents
	mixed   = kind{name: "points or money", column: "number", unit: "locale", decimals: 2, per: 1}
	share   = kind{name: "share", column: "number", unit: "percentunit", decimals: 1, per: 1} // 1 is all
	seconds = kind{name: "seconds", column: "number", unit: "s", per: 1}
)

// A column of an answer. A name that is empty is not shown.
type column struct {
	name string
	kind
}

func (k kind) as(name string) column { return column{name, k} }

// An answer is what a query must say. A cell is nil, a string, a time.Time, an
// int64, a float64, or an around.
type answer struct {
	columns []column
	rows    [][]any
	// anyOrder tells that the order of the rows is not promised.
	anyOrder bool
}

// around is a number that is not known to the last digit.
type around struct{ number, tolerance float64 }

// between is a number that grows while it is asked for.
func between(least, most float64) around { return around{(least + most) / 2, (most - least) / 2} }

// only one number.
func single(k kind, value any) answer {
	return answer{columns: []column{k.as("")}, rows: [][]any{{value}}}
}

func table(columns ...column) answer { return answer{columns: columns} }

func (a *answer) add(cells ...any) { a.rows = append(a.rows, cells) }

// An order compares rows by one column.
type order func(a, b []any) int

func asc(column int) order { return func(a, b []any) int { return compareCells(a[column], b[column]) } }

func desc(column int) order {
	return func(a, b []any) int { return compareCells(b[column], a[column]) }
}

// sorted returns the answer with its rows in this order, and no more than most of
// them; 0 is all.
func (a answer) sorted(most int, by ...order) answer {
	slices.SortStableFunc(a.rows, func(x, y []any) int {
		for _, order := range by {
			if n := order(x, y); n != 0 {
				return n
			}
		}
		return 0
	})
	if most > 0 && len(a.rows) > most {
		a.rows = a.rows[:most]
	}
	return a
}

func compareCells(a, b any) int {
	switch x := a.(type) {
	case string:
		return strings.Compare(x, b.(string))
	case time.Time:
		return x.Compare(b.(time.Time))
	case int64:
		return cmp.Compare(x, b.(int64))
	case around:
		return cmp.Compare(x.number, b.(around).number)
	}
	panic(fmt.Sprintf("a %T has no order", a))
}

// A bar of a time series.
type bar struct {
	at     time.Time
	series string
}

// stacked are bars by time and series.
func stacked[T any](c choice, things []T, label string, value column, at func(T) time.Time, series func(T) string, size func([]T) int64) answer {
	a := table(moment.as("time"), text.as(label), value)
	for b, part := range grouped(things, func(t T) bar { return bar{c.bar(at(t)), series(t)} }) {
		a.add(b.at, b.series, size(part))
	}
	return a.sorted(0, asc(0), asc(1))
}

// frame is an answer of the server.
type frame struct {
	RefID      string  `json:"refId"`
	TimeSeries bool    `json:"timeSeries"`
	Columns    []named `json:"columns"`
	Rows       [][]any `json:"rows"`
	Truncated  bool    `json:"truncated"`
}

type named struct {
	Name string `json:"name"`
	Type string `json:"type"`
}

// differences are what is wrong with a frame, the first few of them.
func (a answer) differences(f *frame) []string {
	var wrong []string
	if f.Truncated {
		wrong = append(wrong, "the answer is cut off")
	}
	if len(f.Columns) != len(a.columns) {
		return append(wrong, fmt.Sprintf("the columns are %v, want %v", f.Columns, a.columns))
	}
	for i, want := range a.columns {
		if got := f.Columns[i]; want.name != "" && got.Name != want.name || got.Type != want.column {
			wrong = append(wrong, fmt.Sprintf("column %d is %q of %ss, want %q of %ss", i, got.Name, got.Type, want.name, want.column))
		}
	}
	if len(wrong) > 0 {
		return wrong
	}
	if len(f.Rows) != len(a.rows) {
		wrong = append(wrong, fmt.Sprintf("there are %d rows, want %d", len(f.Rows), len(a.rows)))
	}
	got, want := f.Rows, a.rows
	if a.anyOrder {
		byFirst := func(x, y []any) int { return strings.Compare(fmt.Sprint(x[0]), fmt.Sprint(y[0])) }
		got, want = slices.SortedStableFunc(slices.Values(got), byFirst), slices.SortedStableFunc(slices.Values(want), byFirst)
	}
	for i := range min(len(got), len(want)) {
		for j, column := range a.columns {
			if len(wrong) == 6 {
				return append(wrong, "and so on")
			}
			if !column.holds(got[i][j], want[i][j]) {
				wrong = append(wrong, fmt.Sprintf("row %d, column %q: %v, want %v (of %s)\n      got  %v\n      want %v",
					i, f.Columns[j].Name, got[i][j], want[i][j], column.kind.name, got[i], want[i]))
			}
		}
	}
	return wrong
}

// holds compares a cell of a frame with one of an answer.
func (k kind) holds(got, want any) bool {
	switch want := want.(type) {
	case nil:
		return got == nil
	case string:
		return got == want
	case time.Time:
		return number(got) == float64(want.UnixMilli())
	case int64:
		return near(number(got), float64(want)/k.per, 0)
	case float64:
		return near(number(got), want/k.per, 0)
	case around:
		return near(number(got), want.number/k.per, want.tolerance/k.per)
	}
	panic(fmt.Sprintf("%T is no cell", want))
}

func number(cell any) float64 {
	digits, ok := cell.(json.Number)
	if !ok {
		return math.NaN()
	}
	n, err := digits.Float64()
	if err != nil {
		return math.NaN()
	}
	return n
}

// near allows for what a float64 rounds.
func near(got, want, tolerance float64) bool {
	return math.Abs(got-want) <= tolerance+1e-9*math.Max(1, math.Abs(want))
}
