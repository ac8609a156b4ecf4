package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/sinktest"
)

// A keeper is a sink that keeps the rows of what it is given, by table, and
// refuses records of some offsets.
type keeper struct {
	refuses  map[int64]bool
	rows     map[string][]schema.Row
	batches  []*sinks.Batch
	prepared []*schema.Table
	checked  []*schema.Table
	pinged   bool
}

func (k *keeper) Write(_ context.Context, b *sinks.Batch) error {
	decoder := schema.NewDecoder(b.Table)
	var rows []schema.Row
	for i, r := range b.Records {
		row := make(schema.Row, len(b.Table.Columns))
		if err := decoder.Decode(r.Value, row); err != nil {
			return sinks.Permanent(sinks.Undecodable, i, err)
		}
		if k.refuses[r.Offset] {
			return sinks.Permanent(sinks.RowRefused, i, errAway)
		}
		rows = append(rows, row)
	}
	if k.rows == nil {
		k.rows = map[string][]schema.Row{}
	}
	k.rows[b.Table.Name] = append(k.rows[b.Table.Name], rows...)
	k.batches = append(k.batches, b)
	return nil
}

func (k *keeper) Ping(context.Context) error {
	k.pinged = true
	return nil
}

func (k *keeper) Close() error { return nil }

// A lookingKeeper is a keeper with everything that a sink may have.
type lookingKeeper struct{ keeper }

func (k *lookingKeeper) Inspect(_ context.Context, b *sinks.Batch, _ time.Duration) (found sinks.Findings, err error) {
	for i, r := range b.Records {
		if k.refuses[r.Offset] {
			found.Missing = append(found.Missing, i)
		}
	}
	found.Surplus = len(b.Records)
	return found, nil
}

func (k *lookingKeeper) Prepare(_ context.Context, tables []*schema.Table) error {
	k.prepared = tables
	return nil
}

func (k *lookingKeeper) Check(_ context.Context, tables []*schema.Table, _ bool) error {
	k.checked = tables
	return nil
}

func tableOf(t testing.TB, topic string) *schema.Table {
	t.Helper()
	for _, table := range sinktest.Tables(t) {
		if table.Topic == topic {
			return table
		}
	}
	t.Fatalf("there is no topic %s", topic)
	return nil
}

func names(t *schema.Table) []string {
	var all []string
	for _, c := range t.Columns {
		all = append(all, c.Name)
	}
	return all
}

func mustSelect(t testing.TB, s sinks.Sink, cfg sinks.SelectConfig, tables ...*schema.Table) sinks.Sink {
	t.Helper()
	selecting, err := sinks.Select(s, cfg, tables)
	if err != nil {
		t.Fatal(err)
	}
	return selecting
}

func TestSelectOfEverythingIsTheSinkItself(t *testing.T) {
	s := &keeper{}
	for _, cfg := range []sinks.SelectConfig{
		{},
		{Topics: strictyaml.List{"points", "raw_webhooks"}},
		{Topics: strictyaml.List{"points"}, Columns: sinks.ColumnsConfig{Exclude: strictyaml.List{}}},
		{Topics: strictyaml.List{"points"}, Columns: sinks.ColumnsConfig{Include: names(tableOf(t, "points"))}},
		{Columns: sinks.ColumnsConfig{Rename: map[string]string{"buyer_id": "buyer_id"}}},
	} {
		if got := mustSelect(t, s, cfg, sinktest.Tables(t)...); got != sinks.Sink(s) {
			t.Errorf("of %+v Select returns %T", cfg, got)
		}
	}
}

func TestSelectTopics(t *testing.T) {
	var got []string
	for _, table := range (sinks.SelectConfig{Topics: strictyaml.List{"points", "gift_cards"}}).Tables(sinktest.Tables(t)) {
		got = append(got, table.Topic)
	}
	slices.Sort(got)
	if !slices.Equal(got, []string{"gift_cards", "points"}) {
		t.Errorf("the topics are %v", got)
	}
}

func TestSelectColumns(t *testing.T) {
	for _, test := range []struct {
		name    string
		topic   string
		columns sinks.ColumnsConfig
		want    []string
	}{
		{"include", "points", sinks.ColumnsConfig{Include: strictyaml.List{"points_delta", "buyer_id"}}, []string{"event_id", "buyer_id", "points_delta", "normalized_at", "retracted"}},
		{"include a column of another topic", "gift_cards", sinks.ColumnsConfig{Include: strictyaml.List{"points_delta"}}, []string{"event_id", "normalized_at", "retracted"}},
		{"exclude", "raw_webhooks", sinks.ColumnsConfig{Exclude: strictyaml.List{"body", "header_shop_id", "shop_domain", "merchant_id", "api_version"}}, []string{"event_id", "webhook_id", "topic", "shop_id", "received_at"}},
		{"rename", "points", sinks.ColumnsConfig{Include: strictyaml.List{"buyer_id", "shop_id"}, Rename: map[string]string{"buyer_id": "customerId", "shop_id": "store"}}, []string{"event_id", "store", "customerId", "normalized_at", "retracted"}},
		{"swap names", "points", sinks.ColumnsConfig{Include: strictyaml.List{"buyer_id", "shop_id"}, Rename: map[string]string{"buyer_id": "shop_id", "shop_id": "buyer_id"}}, []string{"event_id", "buyer_id", "shop_id", "normalized_at", "retracted"}},
		{"take the name of a column that is left out", "points", sinks.ColumnsConfig{Include: strictyaml.List{"buyer_id"}, Rename: map[string]string{"buyer_id": "shop_id"}}, []string{"event_id", "shop_id", "normalized_at", "retracted"}},
		{"a dead letter's identity is not its first column", "dead_letters", sinks.ColumnsConfig{Include: strictyaml.List{"header_shop_id"}}, []string{"event_id", "header_shop_id"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := &keeper{}
			table := tableOf(t, test.topic)
			cfg := sinks.SelectConfig{Columns: test.columns}
			selecting, err := sinks.Select(s, cfg, sinktest.Tables(t))
			if err != nil {
				t.Fatal(err)
			}
			written := sinktest.NewBatch(table, 5, sinktest.Row(table, 1), sinktest.Row(table, 2))
			written.Since = time.UnixMilli(7)
			written.Records[1].Timestamp = 1000
			if err := selecting.Write(t.Context(), written); err != nil {
				t.Fatal(err)
			}
			got := s.batches[0]
			if diff := cmp.Diff(test.want, names(got.Table)); diff != "" {
				t.Errorf("the columns differ (-want +got):\n%s", diff)
			}
			if got.Table.Name != table.Name || got.Table.Topic != table.Topic || got.Token() != written.Token() || !got.Since.Equal(written.Since) || got.Records[1].Timestamp != 1000 {
				t.Errorf("the batch is %+v of %s", got, got.Table.Name)
			}
			if len(table.Columns) != len(written.Table.Columns) || written.Table.Columns[0].Name != table.Columns[0].Name {
				t.Error("the batch that was written has changed")
			}
		})
	}
}

func TestSelectHandsChosenTablesOn(t *testing.T) {
	points := tableOf(t, "points")
	cfg := sinks.SelectConfig{Topics: strictyaml.List{"points"}, Columns: sinks.ColumnsConfig{Include: strictyaml.List{"buyer_id"}, Rename: map[string]string{"buyer_id": "customer"}}}
	want := []string{"event_id", "customer", "normalized_at", "retracted"}

	s := &lookingKeeper{}
	selecting := mustSelect(t, s, cfg, sinktest.Tables(t)...)
	if err := selecting.(sinks.Preparer).Prepare(t.Context(), []*schema.Table{points}); err != nil {
		t.Fatal(err)
	}
	if err := selecting.(sinks.Checker).Check(t.Context(), []*schema.Table{points}, true); err != nil {
		t.Fatal(err)
	}
	for what, tables := range map[string][]*schema.Table{"Prepare": s.prepared, "Check": s.checked} {
		if len(tables) != 1 || !slices.Equal(names(tables[0]), want) {
			t.Errorf("%s is given %v", what, tables)
		}
	}
	raw := schema.RawWebhooks()
	for what, err := range map[string]error{
		"Write":   selecting.Write(t.Context(), sinktest.NewBatch(raw, 0, sinktest.Row(raw, 1))),
		"Prepare": selecting.(sinks.Preparer).Prepare(t.Context(), []*schema.Table{raw}),
		"Check":   selecting.(sinks.Checker).Check(t.Context(), []*schema.Table{raw}, true),
	} {
		if _, permanent := sinks.IsPermanent(err); err == nil || permanent {
			t.Errorf("of a table that is not chosen %s returns %v", what, err)
		}
	}

	// A sink without these is asked whether it can be written to, and never
	// inspected: a batch that may be there would be taken for stored.
	plain := &keeper{}
	selecting = mustSelect(t, plain, cfg, sinktest.Tables(t)...)
	if err := selecting.(sinks.Preparer).Prepare(t.Context(), []*schema.Table{points}); err != nil {
		t.Error(err)
	}
	if err := selecting.(sinks.Checker).Check(t.Context(), []*schema.Table{points}, true); err != nil || !plain.pinged {
		t.Errorf("Check returns %v and has pinged %v", err, plain.pinged)
	}
	if _, able := selecting.(sinks.Inspector); able {
		t.Error("a sink that cannot inspect can do it behind Select")
	}
}

// Whatever is chosen and however it is called: the sink gets the chosen values
// of the chosen rows, in order, and positions are those of the whole batch.
func TestSelectLaws(t *testing.T) {
	tables := sinktest.Tables(t)
	rapid.Check(t, func(rt *rapid.T) {
		table := rapid.SampledFrom(tables).Draw(rt, "table")
		n := rapid.IntRange(1, 40).Draw(rt, "rows")
		rows := make([]schema.Row, n)
		for i := range rows {
			rows[i] = sinktest.Row(table, i)
		}
		written := sinktest.NewBatch(table, 100, rows...)

		takes := rapid.SliceOfN(rapid.Bool(), n, n).Draw(rt, "takes")
		var ids, refused []string
		s := &lookingKeeper{keeper{refuses: map[int64]bool{}}}
		var positions []int
		first := -1 // the first taken row that the sink refuses
		event := table.Index("event_id")
		for i := range rows {
			if !takes[i] {
				continue
			}
			positions = append(positions, i)
			ids = append(ids, fmt.Sprintf("%q", rows[i][event].Text))
			if rapid.IntRange(0, 9).Draw(rt, "refuse") == 0 {
				s.refuses[100+int64(i)] = true
				refused = append(refused, rows[i][event].Text)
				if first < 0 {
					first = i
				}
			}
		}
		cfg := sinks.SelectConfig{Filter: "event_id in [" + strings.Join(ids, ", ") + "]"}
		subset := rapid.SliceOfDistinct(rapid.SampledFrom(names(table)), rapid.ID)
		keeps := func(string) bool { return true }
		identity := sinks.Identity()
		switch rapid.IntRange(0, 2).Draw(rt, "columns") {
		case 1:
			cfg.Columns.Include = subset.Draw(rt, "include")
			if len(cfg.Columns.Include) > 0 {
				keeps = func(name string) bool {
					return slices.Contains(cfg.Columns.Include, name) || slices.Contains(identity, name)
				}
			}
		case 2:
			cfg.Columns.Exclude = slices.DeleteFunc(subset.Draw(rt, "exclude"), func(name string) bool { return slices.Contains(identity, name) })
			keeps = func(name string) bool { return !slices.Contains(cfg.Columns.Exclude, name) }
		}
		cfg.Columns.Rename = map[string]string{}
		for i, name := range subset.Draw(rt, "rename") {
			if keeps(name) && !slices.Contains(identity, name) {
				cfg.Columns.Rename[name] = fmt.Sprintf("Renamed%d", i)
			}
		}
		selecting, err := sinks.Select(s, cfg, []*schema.Table{table})
		if err != nil {
			rt.Fatal(err)
		}

		found, err := selecting.(sinks.Inspector).Inspect(t.Context(), written, 0)
		if err != nil {
			rt.Fatal(err)
		}
		if found.Surplus != len(positions) || len(found.Missing) != len(refused) {
			rt.Fatalf("found are %+v, want %d missing of %d", found, len(refused), len(positions))
		}
		for i, k := range found.Missing {
			if rows[k][event].Text != refused[i] {
				rt.Fatalf("missing are %v", found.Missing)
			}
		}
		err = selecting.Write(t.Context(), written)
		if permanent, ok := sinks.IsPermanent(err); ok != (first >= 0) || ok && (permanent.Index != first || permanent.Reason != sinks.RowRefused || !errors.Is(err, errAway)) {
			rt.Fatalf("Write returns %v, want that record %d is refused", err, first)
		}
		clear(s.refuses)
		if err := selecting.Write(t.Context(), written); err != nil {
			rt.Fatal(err)
		}
		if len(positions) == 0 {
			if len(s.batches) > 0 {
				rt.Fatal("a batch without rows was handed on")
			}
			return
		}
		got := s.batches[0]
		for k, i := range positions {
			if got.Records[k].Offset != written.Records[i].Offset {
				rt.Fatalf("record %d has offset %d", k, got.Records[k].Offset)
			}
			at := 0
			for j, c := range table.Columns {
				if !keeps(c.Name) {
					continue
				}
				name := c.Name
				if to, ok := cfg.Columns.Rename[name]; ok {
					name = to
				}
				if got.Table.Columns[at].Name != name {
					rt.Fatalf("column %d is %s, want %s", at, got.Table.Columns[at].Name, name)
				}
				one := &schema.Table{Columns: []schema.Column{c}}
				if c.Sparse {
					one.Columns[0].Sparse = false
				}
				want, have := one.AppendRow(nil, schema.Row{rows[i][j]}), one.AppendRow(nil, schema.Row{s.rows[table.Name][k][at]})
				if string(want) != string(have) {
					rt.Fatalf("row %d has %s, want %s", i, have, want)
				}
				at++
			}
			if at != len(got.Table.Columns) {
				rt.Fatalf("there are %d columns, want %d", len(got.Table.Columns), at)
			}
		}
	})
}

func TestSelectNamesTheRecordThatIsNoRow(t *testing.T) {
	table := tableOf(t, "points")
	for name, cfg := range map[string]sinks.SelectConfig{
		"columns": {Columns: sinks.ColumnsConfig{Exclude: strictyaml.List{"api_version"}}},
		"filter":  {Filter: `true`},
	} {
		t.Run(name, func(t *testing.T) {
			s := &lookingKeeper{}
			selecting := mustSelect(t, s, cfg, table)
			written := sinktest.NewBatch(table, 0, sinktest.Row(table, 1), sinktest.Row(table, 2))
			written.Records[1].Value = []byte("no row")
			_, inspected := selecting.(sinks.Inspector).Inspect(t.Context(), written, 0)
			for what, err := range map[string]error{"Write": selecting.Write(t.Context(), written), "Inspect": inspected} {
				permanent, ok := sinks.IsPermanent(err)
				if !ok || permanent.Index != 1 || permanent.Reason != sinks.Undecodable {
					t.Errorf("%s returns %v", what, err)
				}
			}
		})
	}
}

func TestSelectConfigValidate(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  sinks.SelectConfig
		want string
	}{
		"an unknown topic": {
			sinks.SelectConfig{Topics: strictyaml.List{"points", "giftcards"}},
			`topics[1]: there is no topic "giftcards"; did you mean "gift_cards"?`,
		},
		"a topic like none": {
			sinks.SelectConfig{Topics: strictyaml.List{"orders_and_refunds"}},
			`topics[0]: there is no topic "orders_and_refunds"; the topics are raw_webhooks, dead_letters, customer_changes, gift_cards, points, store_credits`,
		},
		"unknown columns": {
			sinks.SelectConfig{Topics: strictyaml.List{"points"}, Columns: sinks.ColumnsConfig{
				Include: strictyaml.List{"buyer_id", "point_delta"}, Rename: map[string]string{"shopid": "store"},
			}},
			"columns.include[1]: no topic of this sink has a column \"point_delta\"; did you mean \"points_delta\"?\n" +
				`columns.rename.shopid: no topic of this sink has a column "shopid"; did you mean "shop_id"?`,
		},
		"include and exclude": {
			sinks.SelectConfig{Columns: sinks.ColumnsConfig{Include: strictyaml.List{"shop_id"}, Exclude: strictyaml.List{"buyer_id"}}},
			"columns.exclude: include and exclude rule each other out; set one of them",
		},
		"the identity": {
			sinks.SelectConfig{Columns: sinks.ColumnsConfig{
				Exclude: strictyaml.List{"event_id", "normalized_at", "retracted"}, Rename: map[string]string{"event_id": "id"},
			}},
			"columns.exclude[0]: event_id always stays, for it tells events apart, or which row of an event counts\n" +
				"columns.exclude[1]: normalized_at always stays, for it tells events apart, or which row of an event counts\n" +
				"columns.exclude[2]: retracted always stays, for it tells events apart, or which row of an event counts\n" +
				"columns.rename.event_id: event_id keeps its name, for sinks find events by it",
		},
		"names": {
			sinks.SelectConfig{Topics: strictyaml.List{"raw_webhooks"}, Columns: sinks.ColumnsConfig{
				Exclude: strictyaml.List{"topic"},
				Rename:  map[string]string{"api_version": "a b", "topic": "t", "shop_id": "webhook_id", "merchant_id": "body_base64", "shop_domain": "topic"},
			}},
			"columns.rename.api_version: the new name must be letters, digits and _, and begin with a letter, is \"a b\"\n" +
				"columns.rename.merchant_id: in the topic raw_webhooks, body is called \"body\", too; choose another name, or leave one of them out\n" +
				"columns.rename.shop_id: in the topic raw_webhooks, webhook_id is called \"webhook_id\", too; choose another name, or leave one of them out\n" +
				"columns.rename.topic: topic is left out by include or exclude, and so cannot have another name",
		},
		"a filter that fits some topics": {
			sinks.SelectConfig{Topics: strictyaml.List{"points", "gift_cards"}, Filter: "shop_id == '1' && points_delta > 0"},
			`filter: for gift_cards: 1:19: unknown name points_delta; a filter must fit every topic of its sink, and this one fits topics: [points]`,
		},
		"a name that is near": {
			sinks.SelectConfig{Topics: strictyaml.List{"points"}, Filter: "shop_id == '1' &&\n point_delta > 0"},
			`filter: 2:2: unknown name point_delta; did you mean "points_delta"?`,
		},
		"a filter that fits no topic": {
			sinks.SelectConfig{Topics: strictyaml.List{"points", "gift_cards"}, Filter: "point_delta > 1"},
			"filter: for gift_cards: 1:1: unknown name point_delta\n" +
				`filter: for points: 1:1: unknown name point_delta; did you mean "points_delta"?`,
		},
		"a filter that is no expression": {
			sinks.SelectConfig{Filter: "points_delta > "},
			`filter: 1:15: unexpected token EOF`,
		},
		"a filter that is a number": {
			sinks.SelectConfig{Topics: strictyaml.List{"points"}, Filter: "points_delta + 1"},
			`filter: expected bool, but got int; a filter is true or false`,
		},
		"a filter that compares a number with a text": {
			sinks.SelectConfig{Topics: strictyaml.List{"points"}, Filter: "points_balance > '1'"},
			`filter: 1:16: invalid operation: > (mismatched types int64 and string)`,
		},
		"a filter that changes with time": {
			sinks.SelectConfig{Topics: strictyaml.List{"points"}, Filter: "updated_at > now()"},
			`filter: 1:14: now cannot be used: a batch that is written again must hold the same rows; compare received_at with a date, as in received_at > date("2026-01-01")`,
		},
		"a filter that takes for ever": {
			sinks.SelectConfig{Topics: strictyaml.List{"points"}, Filter: "all(1..1000000, all(1..1000000, true))"},
			`filter: 1:6: .. cannot be used: write the bounds, as in points_delta >= 1 && points_delta <= 10`,
		},
		"a day that there is not": {
			sinks.SelectConfig{Topics: strictyaml.List{"points"}, Filter: "shop_id == '' || updated_at > date('2026-02-30')"},
			`filter: 1:31: invalid date 2026-02-30`,
		},
		"a duration that is none": {
			sinks.SelectConfig{Topics: strictyaml.List{"points"}, Filter: "received_at - updated_at > duration('1 day')"},
			`filter: 1:28: time: unknown unit " day" in duration "1 day"`,
		},
		"a filter over everything": {
			sinks.SelectConfig{Topics: strictyaml.List{"points"}, Filter: "'x' in $env"},
			`filter: 1:8: $env cannot be used: name the columns themselves`,
		},
		"a filter that is too long": {
			sinks.SelectConfig{Topics: strictyaml.List{"points"}, Filter: "points_delta in [" + strings.Repeat("1,", 1000) + "1]"},
			`filter: 1:2017: compilation failed: expression exceeds maximum allowed nodes`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := test.cfg.Validate(sinktest.Tables(t))
			if got := fmt.Sprint(err); got != test.want {
				t.Errorf("Validate says\n%s\nwant\n%s", got, test.want)
			}
			if _, same := sinks.Select(&keeper{}, test.cfg, sinktest.Tables(t)); fmt.Sprint(same) != fmt.Sprint(err) {
				t.Errorf("Select says %v", same)
			}
		})
	}
}

// BenchmarkSelect tells what a row costs beside what the sink itself does with it.
func BenchmarkSelect(b *testing.B) {
	table := tableOf(b, "points")
	rows := make([]schema.Row, 10_000)
	for i := range rows {
		rows[i] = sinktest.Row(table, i)
	}
	batch := sinktest.NewBatch(table, 0, rows...)
	for name, cfg := range map[string]sinks.SelectConfig{
		"filter":  {Filter: "points_delta > 100 && shop_id != ''"},
		"include": {Columns: sinks.ColumnsConfig{Include: strictyaml.List{"buyer_id", "points_delta"}}},
		"rename":  {Columns: sinks.ColumnsConfig{Rename: map[string]string{"buyer_id": "customer"}}},
		"all":     {Columns: sinks.ColumnsConfig{Rename: map[string]string{"buyer_id": "customer"}}, Filter: "points_delta > 100 && shop_id != ''"},
	} {
		b.Run(name, func(b *testing.B) {
			s := mustSelect(b, nothing{}, cfg, table)
			b.ReportAllocs()
			for b.Loop() {
				if err := s.Write(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(rows))/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// nothing is a sink that does nothing.
type nothing struct{}

func (nothing) Write(context.Context, *sinks.Batch) error { return nil }
func (nothing) Ping(context.Context) error                { return nil }
func (nothing) Close() error                              { return nil }

// Problems are found where they stand in the file.
func TestSelectConfigInAFile(t *testing.T) {
	type entry struct {
		Name               string `yaml:"name"`
		sinks.SelectConfig `yaml:",inline"`
	}
	doc, err := strictyaml.Parse("connector.yaml", []byte(`name: forward
topics: points, gift_cards
columns:
  include:
    - shop_id
    - buyerid
  rename: {shop_id: store, addresses.city: city}
filter: |
  shop_id == "1" &&
    update_typ == "INCREASE"
`))
	if err != nil {
		t.Fatal(err)
	}
	var got entry
	if err := doc.Decode(&got); err != nil {
		t.Fatal(err)
	}
	want := `connector.yaml:6: columns.include[1]: no topic of this sink has a column "buyerid"; did you mean "buyer_id"?
connector.yaml:7: columns.rename.addresses.city: no topic of this sink has a column "addresses.city"; the columns are event_id, `
	err = doc.Locate(got.Validate(sinktest.Tables(t)))
	if text := fmt.Sprint(err); !strings.HasPrefix(text, want) {
		t.Errorf("the problems are\n%s\nwant\n%s", text, want)
	}
	if text := fmt.Sprint(err); !strings.HasSuffix(text, "\n"+`connector.yaml:8: filter: 2:3: unknown name update_typ; did you mean "update_type"?`) {
		t.Errorf("the problems are\n%s", text)
	}
}

// A batch that may have been written before is looked for and mended by the
// positions of the whole, through the selection.
func TestRetryMendsWhatIsSelected(t *testing.T) {
	table := tableOf(t, "points")
	var rows []schema.Row
	for i := range 6 {
		rows = append(rows, sinktest.Row(table, i))
	}
	written := sinktest.NewBatch(table, 10, rows...)
	leaks := newLeaky()
	leaks.fails = 1
	lost := map[int64]bool{14: true}
	leaks.loses = func(offset int64) bool {
		loses := lost[offset]
		delete(lost, offset)
		return loses
	}
	event := table.Index("event_id")
	selecting := mustSelect(t, leaks, sinks.SelectConfig{Filter: fmt.Sprintf("event_id not in [%q, %q]", rows[0][event].Text, rows[3][event].Text)}, table)
	synctest.Test(t, func(t *testing.T) {
		r, _ := retrying(selecting)
		if err := r.Write(t.Context(), written); err != nil {
			t.Fatal(err)
		}
	})
	if want := map[int64]int{11: 1, 12: 1, 14: 1, 15: 1}; !maps.Equal(leaks.stored, want) {
		t.Errorf("stored are %v, want %v", leaks.stored, want)
	}
}
