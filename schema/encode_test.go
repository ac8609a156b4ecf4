package schema_test

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"pgregory.net/rapid"

	"loyaltyhouse/schema"
)

const eventID = "01234567-89ab-cdef-0123-456789abcdef"

// everything is a table with a column of each kind.
func everything() *schema.Table {
	return &schema.Table{Topic: "everything", Name: "everything", Columns: []schema.Column{
		{Name: "event_id", Type: schema.UUID},
		{Name: "text", Type: schema.String},
		{Name: "body", Type: schema.Bytes},
		{Name: "flag", Type: schema.Bool},
		{Name: "number", Type: schema.Int64},
		{Name: "seen_at", Type: schema.Time},
		{Name: "day", Type: schema.Date},
		{Name: "maybe_text", Type: schema.String, Nullable: true},
		{Name: "maybe_flag", Type: schema.Bool, Nullable: true},
		{Name: "maybe_number", Type: schema.Int64, Nullable: true},
		{Name: "maybe_at", Type: schema.Time, Nullable: true},
		{Name: "maybe_day", Type: schema.Date, Nullable: true},
		{Name: "list.text", Type: schema.String, Array: true},
		{Name: "list.flag", Type: schema.Bool, Array: true},
	}}
}

// differs says how two rows differ in what they say: neither the memory behind
// a list nor Set outside a nullable column says anything.
func differs(table *schema.Table, a, b schema.Row) string {
	meaning := func(row schema.Row) map[string]any {
		m := map[string]any{}
		for i, c := range table.Columns {
			switch v := row[i]; {
			case c.Array:
				list := []any{}
				for _, element := range v.List {
					list = append(list, [2]any{element.Text, element.Int})
				}
				m[c.Name] = list
			case c.Nullable && !v.Set:
				m[c.Name] = nil
			default:
				m[c.Name] = [2]any{v.Text, v.Int}
			}
		}
		return m
	}
	return cmp.Diff(meaning(a), meaning(b))
}

// rows draws rows of a table, with every extreme that its types have.
func rows(table *schema.Table) *rapid.Generator[schema.Row] {
	texts := rapid.OneOf(
		rapid.String(),
		rapid.SampledFrom([]string{"", "null", "\"", "\\", "\u2028", "\x00\x1f", "ÄÖÜ 漢字 👩‍👩‍👧", "\uFFFD", "</script>", strings.Repeat("a", 300)}),
	)
	draw := func(t *rapid.T, kind schema.Type) schema.Value {
		v := schema.Value{Set: true}
		switch kind {
		case schema.String:
			v.Text = texts.Draw(t, "text")
		case schema.Bytes:
			v.Text = rapid.OneOf(texts, rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(t, "bytes")
		case schema.UUID:
			v.Text = uuid.UUID([16]byte(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "uuid"))).String()
		case schema.Bool:
			v.Int = rapid.Int64Range(0, 1).Draw(t, "bool")
		case schema.Int64:
			v.Int = rapid.OneOf(rapid.Int64(), rapid.SampledFrom([]int64{math.MinInt64, math.MaxInt64, 0, 1<<53 + 1})).Draw(t, "int64")
		case schema.Time:
			v.Int = rapid.OneOf(rapid.Int64Range(schema.MinTime, schema.MaxTime), rapid.SampledFrom([]int64{schema.MinTime, schema.MaxTime, -1, 0})).Draw(t, "time")
		case schema.Date:
			v.Int = rapid.OneOf(rapid.Int64Range(schema.MinDate, schema.MaxDate), rapid.SampledFrom([]int64{schema.MinDate, schema.MaxDate, -1, 0})).Draw(t, "date")
		}
		return v
	}
	return rapid.Custom(func(t *rapid.T) schema.Row {
		row := make(schema.Row, len(table.Columns))
		for i, c := range table.Columns {
			switch {
			case c.Array:
				for range rapid.IntRange(0, 3).Draw(t, "length") {
					row[i].List = append(row[i].List, draw(t, c.Type))
				}
			case c.Nullable && rapid.Bool().Draw(t, "null"):
			default:
				row[i] = draw(t, c.Type)
			}
		}
		return row
	})
}

func decode(table *schema.Table, value []byte) (schema.Row, error) {
	row := make(schema.Row, len(table.Columns))
	err := schema.NewDecoder(table).Decode(value, row)
	return row, err
}

func TestAppendRowGolden(t *testing.T) {
	table := everything()
	full := schema.Row{
		schema.TextValue(eventID), schema.TextValue("a \"quoted\" \\ ü 漢 👋\n\x01"), schema.BytesValue([]byte(`{"a":"ü"}` + "\r\n\t")),
		schema.IntValue(1), schema.IntValue(math.MinInt64), schema.IntValue(1721829526566), schema.IntValue(-25567),
		schema.TextValue(""), schema.IntValue(0), schema.IntValue(math.MaxInt64), schema.IntValue(schema.MinTime), schema.IntValue(schema.MaxDate),
		{List: []schema.Value{schema.TextValue("x"), schema.TextValue("")}},
		{List: []schema.Value{schema.IntValue(1), schema.IntValue(0)}},
	}
	binary := make(schema.Row, len(full))
	binary[0], binary[2] = full[0], schema.BytesValue([]byte("\x00\xff"))
	tests := []struct {
		name string
		row  schema.Row
		want string
	}{
		{"every value", full, `{"event_id":"01234567-89ab-cdef-0123-456789abcdef","text":"a \"quoted\" \\ ü 漢 👋\n\u0001","body":"{\"a\":\"ü\"}\r\n\t",` +
			`"flag":true,"number":-9223372036854775808,"seen_at":"2024-07-24T13:58:46.566Z","day":"1900-01-01",` +
			`"maybe_text":"","maybe_flag":false,"maybe_number":9223372036854775807,"maybe_at":"1900-01-01T00:00:00.000Z","maybe_day":"2299-12-31",` +
			`"list.text":["x",""],"list.flag":[true,false]}`},
		{"empty values, and bytes that are no text", binary, `{"event_id":"01234567-89ab-cdef-0123-456789abcdef","text":"","body_base64":"AP8=",` +
			`"flag":false,"number":0,"seen_at":"1970-01-01T00:00:00.000Z","day":"1970-01-01",` +
			`"maybe_text":null,"maybe_flag":null,"maybe_number":null,"maybe_at":null,"maybe_day":null,"list.text":[],"list.flag":[]}`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := table.AppendRow([]byte("before "), test.row)
			if diff := cmp.Diff("before "+test.want, string(got)); diff != "" {
				t.Errorf("(- want, + got):\n%s", diff)
			}
			row, err := decode(table, []byte(test.want))
			if err != nil {
				t.Fatal(err)
			}
			if diff := differs(table, test.row, row); diff != "" {
				t.Errorf("decoded again (- encoded, + decoded):\n%s", diff)
			}
		})
	}
}

// A sparse column costs a record nothing where it is empty.
func TestSparseColumns(t *testing.T) {
	table := &schema.Table{Name: "sparse", Columns: []schema.Column{
		{Name: "event_id", Type: schema.UUID},
		{Name: "flag", Type: schema.Bool, Sparse: true},
		{Name: "text", Type: schema.String, Sparse: true},
		{Name: "maybe", Type: schema.Int64, Nullable: true, Sparse: true},
		{Name: "list", Type: schema.String, Array: true, Sparse: true},
	}}
	id := schema.TextValue(eventID)
	for want, row := range map[string]schema.Row{
		`{"event_id":"` + eventID + `"}`:                        {id, schema.IntValue(0), schema.TextValue(""), {}, {Set: true}},
		`{"event_id":"` + eventID + `","flag":true,"text":"a"}`: {id, schema.IntValue(1), schema.TextValue("a"), {}, {}},
		`{"event_id":"` + eventID + `","maybe":0,"list":[""]}`:  {id, {}, {}, schema.IntValue(0), {List: []schema.Value{schema.TextValue("")}}},
	} {
		if got := string(table.AppendRow(nil, row)); got != want {
			t.Errorf("got %s\nwant %s", got, want)
		}
		decoded, err := decode(table, []byte(want))
		if err != nil {
			t.Fatal(err)
		}
		if diff := differs(table, row, decoded); diff != "" {
			t.Errorf("decoded again (- encoded, + decoded):\n%s", diff)
		}
	}
}

// TestRoundTrip is the law of the encoding: whatever a row of any table holds
// comes out as it went in, and any JSON reader can read it.
func TestRoundTrip(t *testing.T) {
	all := tables(t)
	all["everything"] = everything()
	for _, name := range slices.Sorted(maps.Keys(all)) {
		table := all[name]
		t.Run(name, func(t *testing.T) {
			decoder := schema.NewDecoder(table) // One for all rows: nothing of a row may show in the next.
			decoded := make(schema.Row, len(table.Columns))
			rapid.Check(t, func(t *rapid.T) {
				row := rows(table).Draw(t, "row")
				value := table.AppendRow(nil, row)
				if err := decoder.Decode(value, decoded); err != nil {
					t.Fatalf("%v in %s", err, value)
				}
				if diff := differs(table, row, decoded); diff != "" {
					t.Fatalf("(- encoded, + decoded):\n%s", diff)
				}
				var plain map[string]any
				want := len(table.Columns)
				for i, c := range table.Columns {
					if c.Sparse && row[i].Int == 0 && row[i].Text == "" {
						want--
					}
				}
				if err := json.Unmarshal(value, &plain); err != nil || len(plain) != want {
					t.Fatalf("encoding/json reads %d of %d keys: %v", len(plain), want, err)
				}
			})
		})
	}
}

// TestDecodeKeyOrder holds that the order of keys says nothing.
func TestDecodeKeyOrder(t *testing.T) {
	table := everything()
	rapid.Check(t, func(t *rapid.T) {
		row := rows(table).Draw(t, "row")
		var members map[string]json.RawMessage
		if err := json.Unmarshal(table.AppendRow(nil, row), &members); err != nil {
			t.Fatal(err)
		}
		keys := rapid.Permutation(slices.Sorted(maps.Keys(members))).Draw(t, "keys")
		for i, key := range keys {
			keys[i] = `"` + key + `" : ` + string(members[key])
		}
		decoded, err := decode(table, []byte("{ "+strings.Join(keys, ",\n ")+"\t}\n"))
		if err != nil {
			t.Fatal(err)
		}
		if diff := differs(table, row, decoded); diff != "" {
			t.Fatalf("(- in the table's order, + shuffled):\n%s", diff)
		}
	})
}

// TestDecodeTolerance holds what lets two versions of a contract, and other
// producers, share a topic.
func TestDecodeTolerance(t *testing.T) {
	table := everything()
	id := `{"event_id":"` + eventID + `"`
	empty := make(schema.Row, len(table.Columns))
	empty[0] = schema.TextValue(eventID)
	with := func(column string, v schema.Value) schema.Row {
		row := slices.Clone(empty)
		row[table.Index(column)] = v
		return row
	}
	list := func(texts ...string) schema.Value {
		var v schema.Value
		for _, text := range texts {
			v.List = append(v.List, schema.TextValue(text))
		}
		return v
	}
	tests := []struct {
		name, value string
		want        schema.Row
	}{
		{"missing columns are empty", id + `}`, empty},
		{"unknown keys are passed over", id + `,"new":{"text":"x","a":[1,{"a":1,"a":2}]},"text_base64":"eA==","list":[]}`, empty},
		{"white space", " \n\t" + id + ` , "text" : "x" } ` + "\n", with("text", schema.TextValue("x"))},
		{"an escaped key", id + `,"\u0074ext":"x"}`, with("text", schema.TextValue("x"))},
		{"a key that comes twice", id + `,"text":"a","text":"b"}`, with("text", schema.TextValue("b"))},
		{"a list that comes twice", id + `,"list.text":["a","b"],"list.text":["c"]}`, with("list.text", list("c"))},
		{"null after a value", id + `,"maybe_number":1,"maybe_number":null}`, empty},
		{"white space in lists", id + `,"list.text":[ "a" , "b" ],"list.flag":[ ]}`, with("list.text", list("a", "b"))},
		{"a time with an offset", id + `,"seen_at":"1970-01-01T08:00:00+08:00"}`, empty},
		{"a time in whole seconds", id + `,"seen_at":"1970-01-01T00:00:01Z"}`, with("seen_at", schema.IntValue(1000))},
		{"a time below a millisecond", id + `,"seen_at":"1970-01-01T00:00:00.0019999Z"}`, with("seen_at", schema.IntValue(1))},
		{"readable bytes as base64", id + `,"body_base64":"eA=="}`, with("body", schema.TextValue("x"))},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			row, err := decode(table, []byte(test.value))
			if err != nil {
				t.Fatal(err)
			}
			if diff := differs(table, test.want, row); diff != "" {
				t.Errorf("(- want, + got):\n%s", diff)
			}
		})
	}
}

func TestDecodeErrors(t *testing.T) {
	id := `{"event_id":"` + eventID + `",`
	tests := []struct{ name, value, want string }{
		{"nothing", ``, "the value is not a JSON object"},
		{"a tombstone", `null`, "the value is not a JSON object"},
		{"a list", `[]`, "the value is not a JSON object"},
		{"not JSON", id + `"text":secret}`, "the value is not valid JSON"},
		{"not UTF-8", id + `"text":"` + "\xff" + `"}`, "the value is not valid JSON"},
		{"half a surrogate pair", id + `"text":"\ud83d"}`, "the value is not valid JSON"},
		{"a key without quotes", id + `secret:1}`, "the value is not valid JSON"},
		{"a comma too many", id + `}`, "the value is not valid JSON"},
		{"a second value", `{"event_id":"` + eventID + `"} {"secret":1}`, "something follows the JSON object"},
		{"no event", `{"text":"secret"}`, "column event_id: is missing"},
		{"a null event", `{"event_id":null}`, "column event_id: is null"},
		{"a number for the event", `{"event_id":1}`, "column event_id: is not a string"},
		{"a short event", `{"event_id":"secret"}`, "column event_id: is not a UUID"},
		{"an event in braces", `{"event_id":"{` + eventID + `}"}`, "column event_id: is not a UUID"},
		{"no event in 36 characters", `{"event_id":"` + strings.Repeat("secret", 6) + `"}`, "column event_id: is not a UUID"},
		{"a number for text", id + `"text":42}`, "column text: is not a string"},
		{"null for text", id + `"text":null}`, "column text: is null"},
		{"an object for text", id + `"text":{"secret":1}}`, "column text: is not a string"},
		{"text for a flag", id + `"flag":"true"}`, "column flag: is not true or false"},
		{"a number for a flag", id + `"flag":1}`, "column flag: is not true or false"},
		{"text for a number", id + `"number":"42"}`, "column number: is not a 64-bit integer"},
		{"a fraction", id + `"number":42.5}`, "column number: is not a 64-bit integer"},
		{"an exponent", id + `"number":1e3}`, "column number: is not a 64-bit integer"},
		{"beyond 64 bits", id + `"number":9223372036854775808}`, "column number: is not a 64-bit integer"},
		{"a number for a time", id + `"seen_at":1721829526566}`, "column seen_at: is not a string"},
		{"no time", id + `"seen_at":"secret"}`, "column seen_at: is not a time as RFC 3339"},
		{"a time without offset", id + `"seen_at":"2024-07-24T13:58:46"}`, "column seen_at: is not a time as RFC 3339"},
		{"a time before 1900", id + `"seen_at":"1899-12-31T23:59:59.999Z"}`, "column seen_at: is outside 1900 to 2299"},
		{"a time after 2299", id + `"maybe_at":"2300-01-01T00:00:00Z"}`, "column maybe_at: is outside 1900 to 2299"},
		{"a time for a date", id + `"day":"2024-07-24T13:58:46Z"}`, "column day: is not a date as YYYY-MM-DD"},
		{"no such day", id + `"day":"2023-02-29"}`, "column day: is not a date as YYYY-MM-DD"},
		{"a day before 1900", id + `"day":"1899-12-31"}`, "column day: is outside 1900 to 2299"},
		{"a day after 2299", id + `"day":"2300-01-01"}`, "column day: is outside 1900 to 2299"},
		{"text for a list", id + `"list.text":"secret"}`, "column list.text: is not a list"},
		{"null for a list", id + `"list.text":null}`, "column list.text: is not a list"},
		{"null in a list", id + `"list.text":["a",null]}`, "column list.text: is not a string"},
		{"a list in a list", id + `"list.flag":[true,[false]]}`, "column list.flag: is not true or false"},
		{"an object with one name twice in a list", id + `"list.text":[{"a":1,"a":2}]}`, "column list.text: is not a list"},
		{"no base64", id + `"body_base64":"secret!"}`, "column body: is not base64"},
		{"null for base64", id + `"body_base64":null}`, "column body: is not a string"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			_, err := decode(everything(), []byte(test.value))
			if _, ok := errors.AsType[*schema.DecodeError](err); !ok {
				t.Fatalf("the error is %T, want a *DecodeError", err)
			}
			if err.Error() != test.want {
				t.Errorf("got %q, want %q", err, test.want)
			}
			if strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "42") {
				t.Errorf("the error repeats the value: %v", err)
			}
		})
	}
}

// TestDecodeTruncated holds that a value which lost its end is never taken for
// a whole one.
func TestDecodeTruncated(t *testing.T) {
	for name, table := range tables(t) {
		row := rows(table).Example(1)
		value := table.AppendRow(nil, row)
		for end := range value {
			if _, err := decode(table, value[:end]); err == nil {
				t.Errorf("%s: the first %d of %d bytes are taken for a row", name, end, len(value))
			}
		}
	}
}

// FuzzDecode holds that any bytes give a row that encodes and decodes as
// itself, or an error that names no more than a column.
func FuzzDecode(f *testing.F) {
	all := []*schema.Table{everything()}
	for _, table := range tables(f) {
		all = append(all, table)
	}
	for _, table := range all {
		for seed := range 3 {
			f.Add(table.AppendRow(nil, rows(table).Example(seed)))
		}
	}
	f.Add([]byte(`{"event_id":"` + eventID + `","tags":["a"],"tags":[]}`))
	f.Fuzz(func(t *testing.T, value []byte) {
		for _, table := range all {
			row, err := decode(table, value)
			if err != nil {
				problem, ok := errors.AsType[*schema.DecodeError](err)
				if !ok || problem.Column != "" && table.Index(problem.Column) < 0 || len(problem.Reason) > 40 {
					t.Fatalf("not an error about a column: %v", err)
				}
				continue
			}
			again, err := decode(table, table.AppendRow(nil, row))
			if err != nil {
				t.Fatalf("a decoded row does not decode again: %v", err)
			}
			if diff := differs(table, row, again); diff != "" {
				t.Fatalf("(- decoded, + decoded again):\n%s", diff)
			}
			for i, c := range table.Columns {
				if c.Type != schema.Bytes && !utf8.ValidString(row[i].Text) {
					t.Fatalf("column %s is not UTF-8", c.Name)
				}
			}
		}
	})
}

func BenchmarkAppendRow(b *testing.B) {
	table := tables(b)["fact_points"]
	row := rows(table).Example(1)
	buf := table.AppendRow(nil, row)
	b.SetBytes(int64(len(buf)))
	b.ReportAllocs()
	for b.Loop() {
		buf = table.AppendRow(buf[:0], row)
	}
}

func BenchmarkDecode(b *testing.B) {
	table := tables(b)["fact_points"]
	value := table.AppendRow(nil, rows(table).Example(1))
	row := make(schema.Row, len(table.Columns))
	decoder := schema.NewDecoder(table)
	b.SetBytes(int64(len(value)))
	b.ReportAllocs()
	for b.Loop() {
		if err := decoder.Decode(value, row); err != nil {
			b.Fatal(err)
		}
	}
}
