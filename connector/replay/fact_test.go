package replay

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

// pointsFact is the table of points, sorted as the migrations have it.
func pointsFact(t testing.TB) *fact {
	t.Helper()
	f := newFact(points(t))
	if err := f.sortedBy("ReplacingMergeTree", "shop_id, buyer_id, updated_at, event_id"); err != nil {
		t.Fatal(err)
	}
	return f
}

// A replacing table holds the newest row under each sorting key, as
// ReplacingMergeTree does after FINAL; of equal versions the last counts.
type replacing struct {
	f    *fact
	rows []schema.Row
}

func (r *replacing) insert(rows ...schema.Row) {
	for _, row := range rows {
		i := slices.IndexFunc(r.rows, func(known schema.Row) bool { return r.f.sameKey(known, row) })
		switch {
		case i < 0:
			r.rows = append(r.rows, row)
		case row.NormalizedAt().Int >= r.rows[i].NormalizedAt().Int:
			r.rows[i] = row
		}
	}
}

// live returns what the views show.
func (r *replacing) live() (rows []schema.Row) {
	for _, row := range r.rows {
		if row.Retracted().Int == 0 {
			rows = append(rows, row)
		}
	}
	return rows
}

// Whatever is stored of an event, after what decide publishes the table holds
// exactly what the contract makes of it, and a second replay has nothing to
// publish. Rows of the same event in another shop are left alone.
func TestDecideLaw(t *testing.T) {
	f := pointsFact(t)
	event := uuid.NewString()
	index := func(name string) int { return f.table.Index(name) }
	rapid.Check(t, func(t *rapid.T) {
		draw := func(label, shop string) schema.Row {
			row := make(schema.Row, len(f.table.Columns))
			row[schema.EventID] = schema.TextValue(event)
			row[schema.ShopID] = schema.TextValue(shop)
			row[schema.WebhookID] = schema.TextValue(rapid.SampledFrom([]string{"a", "b"}).Draw(t, label+" webhook"))
			row[schema.ReceivedAt] = schema.IntValue(rapid.Int64Range(0, 3).Draw(t, label+" received"))
			row[index("buyer_id")] = schema.TextValue(rapid.SampledFrom([]string{"x", "y"}).Draw(t, label+" buyer"))
			row[index("updated_at")] = schema.IntValue(rapid.Int64Range(0, 1).Draw(t, label+" updated"))
			row[index("points_delta")] = schema.IntValue(rapid.Int64Range(0, 2).Draw(t, label+" delta"))
			if rapid.Bool().Draw(t, label+" told") {
				row[index("points_balance")] = schema.IntValue(0)
			}
			*row.NormalizedAt() = schema.IntValue(rapid.Int64Range(0, 2000).Draw(t, label+" normalized"))
			return row
		}
		// The warehouse before: rows of our shop, retracted ones among them, and rows
		// of a captured body with a forged header.
		table := &replacing{f: f}
		for i := range rapid.IntRange(0, 5).Draw(t, "stored") {
			label := fmt.Sprint("row", i)
			row := draw(label, rapid.SampledFrom([]string{"ours", "ours before", "forged"}).Draw(t, label+" shop"))
			if row[schema.ShopID].Text == "forged" {
				row[schema.WebhookID] = schema.TextValue("forged")
			}
			if rapid.IntRange(0, 3).Draw(t, label+" retracted") == 0 {
				*row.Retracted() = schema.IntValue(1)
			}
			table.insert(row)
		}
		forged := func() (n int) {
			for _, row := range table.live() {
				if row[schema.ShopID].Text == "forged" {
					n++
				}
			}
			return n
		}
		forgedBefore, before := forged(), len(table.live())

		// The contract's answer now.
		it := &item{shops: []string{"ours before"}, delivery: normalize.Delivery{WebhookID: "a", ReceivedAt: time.UnixMilli(1)}}
		it.result = normalize.Result{ShopID: "ours", Reject: &normalize.Reject{Reason: normalize.MissingField}}
		if rapid.Bool().Draw(t, "a row") {
			row := draw("now", "ours")
			*row.NormalizedAt() = schema.IntValue(1000)
			it.result = normalize.Result{ShopID: "ours", Row: row, Table: f.table}
		}
		d := f.decide(1000, it, slices.Clone(table.rows))
		table.insert(d.publish...)

		if forged() != forgedBefore {
			t.Fatalf("%s: rows of another shop changed", d.change)
		}
		var ours []schema.Row
		for _, row := range table.live() {
			if row[schema.ShopID].Text != "forged" {
				ours = append(ours, row)
			}
		}
		switch {
		case it.result.Row == nil && len(ours) != 0:
			t.Fatalf("%s: a rejected event has %d rows", d.change, len(ours))
		case it.result.Row != nil && (len(ours) != 1 || !f.sameKey(ours[0], it.result.Row) || len(f.differences(ours[0], it.result.Row)) > 0):
			t.Fatalf("%s: the table has %v, want one row like %v", d.change, ours, it.result.Row)
		}
		if (d.change == Unchanged || d.change == Unreadable) != (len(d.publish) == 0) {
			t.Fatalf("%s publishes %d rows", d.change, len(d.publish))
		}
		if d.change == Withdrawn && before == forgedBefore {
			t.Fatal("an event without a row is withdrawn")
		}
		again := f.decide(1000, it, slices.Clone(table.rows))
		if len(again.publish) > 0 || again.change != Unchanged && again.change != Unreadable {
			t.Fatalf("after %s a second replay finds %s and publishes %v", d.change, again.change, again.publish)
		}
	})
}

func TestDecide(t *testing.T) {
	f := pointsFact(t)
	row := func(buyer string, delta, normalized int64) schema.Row {
		row := make(schema.Row, len(f.table.Columns))
		row[schema.ShopID] = schema.TextValue("s")
		row[f.customer] = schema.TextValue(buyer)
		row[f.table.Index("points_delta")] = schema.IntValue(delta)
		*row.NormalizedAt() = schema.IntValue(normalized)
		return row
	}
	retracted := func(row schema.Row) schema.Row {
		*row.Retracted() = schema.IntValue(1)
		return row
	}
	type published struct {
		buyer                string
		delta, at, retracted int64
	}
	tests := []struct {
		name    string
		after   schema.Row
		stored  []schema.Row
		change  Change
		publish []published
	}{
		{"nothing stored", row("b", 1, 100), nil, New, []published{{"b", 1, 100, 0}}},
		{"the same", row("b", 1, 100), []schema.Row{row("b", 1, 50)}, Unchanged, nil},
		{"another value", row("b", 1, 100), []schema.Row{row("b", 2, 50)}, Changed, []published{{"b", 1, 100, 0}}},
		{"another value of a faster clock", row("b", 1, 100), []schema.Row{row("b", 2, 5000)}, Changed, []published{{"b", 1, 5001, 0}}},
		{"another key", row("b", 1, 100), []schema.Row{row("c", 1, 5000)}, Moved, []published{{"c", 1, 5001, 1}, {"b", 1, 100, 0}}},
		{"both keys, after half a replay", row("b", 1, 100), []schema.Row{row("b", 1, 60), row("c", 1, 50)}, Moved, []published{{"c", 1, 100, 1}}},
		{"retracted before", row("b", 1, 100), []schema.Row{retracted(row("b", 1, 200))}, New, []published{{"b", 1, 201, 0}}},
		{"moved back", row("b", 1, 100), []schema.Row{retracted(row("b", 1, 200)), row("c", 1, 50)}, Moved, []published{{"c", 1, 100, 1}, {"b", 1, 201, 0}}},
		{"rejected now", nil, []schema.Row{row("b", 1, 50), row("c", 1, 50)}, Withdrawn, []published{{"b", 1, 100, 1}, {"c", 1, 100, 1}}},
		{"rejected as before", nil, []schema.Row{retracted(row("b", 1, 50))}, Unreadable, nil},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			it := &item{result: normalize.Result{ShopID: "s", Row: test.after, Table: f.table}}
			d := f.decide(100, it, test.stored)
			var got []published
			for _, row := range d.publish {
				got = append(got, published{row[f.customer].Text, row[f.table.Index("points_delta")].Int, row.NormalizedAt().Int, row.Retracted().Int})
			}
			if d.change != test.change || !slices.Equal(got, test.publish) {
				t.Errorf("%s, publishing %v; want %s, %v", d.change, got, test.change, test.publish)
			}
		})
	}
}

func TestSortingKeysThatCannotBeReplayed(t *testing.T) {
	for _, test := range []struct{ engine, sorting string }{
		{"MergeTree", "shop_id, buyer_id, updated_at, event_id"},
		{"ReplacingMergeTree", "shop_id, buyer_id"},
		{"ReplacingMergeTree", "shop_id, toStartOfDay(updated_at), event_id"},
		{"ReplacingMergeTree", ""},
	} {
		if err := newFact(points(t)).sortedBy(test.engine, test.sorting); err == nil {
			t.Errorf("engine %s sorted by %q is taken", test.engine, test.sorting)
		}
	}
}
