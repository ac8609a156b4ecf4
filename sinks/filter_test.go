package sinks_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/sinktest"
)

// everyType is a table with a column of each type, as it is, nullable and in a list.
func everyType() *schema.Table {
	return &schema.Table{Topic: "every", Name: "every", Columns: []schema.Column{
		{Name: "event_id", Type: schema.UUID},
		{Name: "text", Type: schema.String},
		{Name: "bytes", Type: schema.Bytes},
		{Name: "flag", Type: schema.Bool},
		{Name: "n", Type: schema.Int64},
		{Name: "at", Type: schema.Time},
		{Name: "day", Type: schema.Date},
		{Name: "maybe_flag", Type: schema.Bool, Nullable: true},
		{Name: "maybe_n", Type: schema.Int64, Nullable: true},
		{Name: "maybe_at", Type: schema.Time, Nullable: true},
		{Name: "maybe_day", Type: schema.Date, Nullable: true},
		{Name: "maybe_text", Type: schema.String, Nullable: true},
		{Name: "texts", Type: schema.String, Array: true},
		{Name: "places.city", Type: schema.String, Array: true},
		{Name: "places.primary", Type: schema.Bool, Array: true},
	}}
}

const filterSecret = "secret-value"

func full() schema.Row {
	texts := func(all ...string) schema.Value {
		v := schema.Value{Set: true}
		for _, text := range all {
			v.List = append(v.List, schema.TextValue(text))
		}
		return v
	}
	at := time.Date(2026, 2, 28, 23, 59, 59, 999e6, time.UTC)
	return schema.Row{
		schema.TextValue("e7000000-0000-0000-0000-000000000001"), schema.TextValue(filterSecret), schema.BytesValue([]byte("a\x00\xff")),
		schema.IntValue(1), schema.IntValue(-5), schema.IntValue(at.UnixMilli()), schema.IntValue(20_000),
		schema.IntValue(1), schema.IntValue(1 << 62), schema.IntValue(at.UnixMilli()), schema.IntValue(-1), schema.TextValue("there"),
		texts("a", "積分"), texts("Taipei", "Tainan"),
		{List: []schema.Value{schema.IntValue(0), schema.IntValue(1)}},
	}
}

func empty() schema.Row {
	row := make(schema.Row, len(everyType().Columns))
	row[0] = schema.TextValue("00000000-0000-0000-0000-000000000000")
	return row
}

func TestFilter(t *testing.T) {
	const fails = -1
	for _, test := range []struct {
		filter      string
		full, empty int // 1: taken, 0: left out, fails: neither
	}{
		{`true`, 1, 1},
		{`event_id == "e7000000-0000-0000-0000-000000000001"`, 1, 0},
		{`text == "secret-value"`, 1, 0},
		{`text startsWith "secret" and not (text contains "x")`, 1, 0},
		{`text matches "^secret-.*$"`, 1, 0},
		{`text in ["secret-value", "b"]`, 1, 0},
		{`bytes startsWith "a\u0000"`, 1, 0},
		{`len(bytes) == 0`, 0, 1},
		{`flag`, 1, 0},
		{`!flag || n < 0`, 1, 1},
		{`n == -5`, 1, 0},
		{`n in [-5, 7]`, 1, 0},
		{`n >= -10 && n <= -1`, 1, 0},
		{`n / 0 > 1`, 0, 0},
		{`at > date("2026-02-28") && at < date("2026-03-01")`, 1, 0},
		{`at - day > duration("24h")`, 1, 0},
		{`date("2026-02-28 12:00:00") < at`, 1, 0},
		{`date("28.02.2026", "02.01.2006") < at`, 1, 0},
		{`at.Year() == 2026 && at.Hour() == 23`, 1, 0},
		{`day == date("2024-10-04")`, 1, 0},
		{`maybe_flag == true`, 1, 0},
		{`maybe_flag ?? true`, 1, 1},
		{`maybe_n == nil`, 0, 1},
		{`maybe_n == 4611686018427387904`, 1, 0},
		{`maybe_n > 4611686018427387903`, 1, fails},
		{`maybe_n + 1 > 0`, 1, fails},
		{`maybe_n != nil && maybe_n > 100`, 1, 0},
		{`(maybe_n ?? 0) > 100`, 1, 0},
		{`maybe_at >= at`, 1, fails},
		{`maybe_at.Year() == 2026`, 1, fails},
		{`maybe_at != nil && maybe_at.Year() == 2026`, 1, 0},
		{`(maybe_at ?? at).Year() == 2026`, 1, 0},
		{`(maybe_at != nil ? maybe_at : at).Year() == 2026`, 1, 0},
		{`let t = maybe_at ?? date("2020-01-01"); t.Year() == 2026`, 1, 0},
		{`maybe_day.Day() == 31`, 1, fails},
		{`maybe_day < date("1970-01-01")`, 1, fails},
		{`maybe_text == "there"`, 1, 0},
		{`maybe_text contains "here"`, 1, 0},
		{`len(maybe_text) > 1`, 1, fails},
		{`"積分" in texts`, 1, 0},
		{`len(texts) == 0`, 0, 1},
		{`texts[0] == "a"`, 1, fails},
		{`any(places.city, # startsWith "Tai")`, 1, 0},
		{`places.primary[1]`, 1, fails},
		{`count(places.primary, #) == 1`, 1, 0},
		{`int(text) == 1`, fails, fails},
		{`date(text) > at`, fails, fails},
		{`text matches maybe_text`, 0, 0},
		{`len(repeat(text, 1000000)) > 0`, fails, 0},
		{`let least = -7; n > least && n < 0`, 1, 0},
	} {
		t.Run(test.filter, func(t *testing.T) {
			table := everyType()
			s := &keeper{}
			selecting := mustSelect(t, s, sinks.SelectConfig{Filter: test.filter}, table)
			for _, row := range []struct {
				name string
				row  schema.Row
				want int
			}{{"full", full(), test.full}, {"empty", empty(), test.empty}} {
				s.rows = nil
				written := sinktest.NewBatch(table, 0, row.row)
				err := selecting.Write(t.Context(), written)
				if row.want == fails {
					permanent, ok := sinks.IsPermanent(err)
					if !ok || permanent.Reason != sinks.FilterFailed || permanent.Index != 0 {
						t.Errorf("of a row that is %s Write returns %v, want that the filter failed", row.name, err)
					}
					for e := err; e != nil; e = errors.Unwrap(e) {
						if strings.Contains(e.Error(), filterSecret) {
							t.Errorf("the error quotes a value: %v", e)
						}
					}
					continue
				}
				if err != nil {
					t.Errorf("of a row that is %s Write returns %v", row.name, err)
				}
				if got := len(s.rows[table.Name]); got != row.want {
					t.Errorf("of a row that is %s %d are handed on, want %d", row.name, got, row.want)
				}
				if got := s.rows[table.Name]; len(got) == 1 && &s.batches[len(s.batches)-1].Records[0].Value[0] != &written.Records[0].Value[0] {
					t.Error("a filter without columns has copied the record")
				}
			}
		})
	}
}

// A filter sees columns that the sink does not get, under their own names, and
// fails for the row alone.
func TestFilterReadsColumnsThatAreLeftOut(t *testing.T) {
	table := everyType()
	s := &keeper{}
	selecting := mustSelect(t, s, sinks.SelectConfig{
		Filter:  `(maybe_n > 1) && "a" in texts && places.city[0] == "Taipei"`,
		Columns: sinks.ColumnsConfig{Include: []string{"text"}, Rename: map[string]string{"text": "n"}},
	}, table)
	if err := selecting.Write(t.Context(), sinktest.NewBatch(table, 0, full(), full())); err != nil {
		t.Fatal(err)
	}
	if rows := s.rows["every"]; len(rows) != 2 || rows[1][1].Text != filterSecret || s.batches[0].Table.Columns[1].Name != "n" {
		t.Errorf("the sink got %v", rows)
	}
	err := selecting.Write(t.Context(), sinktest.NewBatch(table, 0, full(), empty()))
	if permanent, ok := sinks.IsPermanent(err); !ok || permanent.Index != 1 || permanent.Reason != sinks.FilterFailed {
		t.Fatalf("Write returns %v", err)
	}
	want := "filter_failed: the filter cannot be told for this row at 1:10; where a column may be NULL, give it a value, as in (points_balance ?? 0) > 100"
	if err.Error() != want {
		t.Errorf("the error reads %q, want %q", err, want)
	}
}

// FuzzFilter compiles anything: no panic, no endless loop, and what compiles can
// be told for a row, or fails.
func FuzzFilter(f *testing.F) {
	for _, filter := range []string{"n > 1 && text == 'x'", "any(texts, # == 'a')", "maybe_n ?? 0 > n", "$env", "1..2", "let x = n; x == 1", "places.city[0]", "date(text) > at"} {
		f.Add(filter)
	}
	table := everyType()
	f.Fuzz(func(t *testing.T, filter string) {
		selecting, err := sinks.Select(nothing{}, sinks.SelectConfig{Filter: filter}, []*schema.Table{table})
		if err != nil {
			return
		}
		for _, row := range []schema.Row{full(), empty()} {
			if err := selecting.Write(t.Context(), sinktest.NewBatch(table, 0, row)); err != nil {
				if permanent, ok := sinks.IsPermanent(err); !ok || permanent.Reason != sinks.FilterFailed {
					t.Error(err)
				}
			}
		}
	})
}
