package replay

import (
	"cmp"
	"slices"

	"loyaltyhouse/schema"
)

// A fact is one contract's table as a replay sees it.
type fact struct {
	contract *schema.Contract
	table    *schema.Table
	customer int   // the column of the customer's id
	key      []int // the columns of the sorting key
	content  []int // the columns that the body fills
	missing  bool  // from the warehouse
}

func newFact(c *schema.Contract) *fact {
	t := c.FactTable()
	f := &fact{contract: c, table: t, customer: t.Index(c.Key)}
	for i := schema.ReceivedAt + 1; i < t.Index("normalized_at"); i++ {
		f.content = append(f.content, i)
	}
	return f
}

// A Change is what a replay finds out about an event.
type Change string

// The changes.
const (
	Unchanged  Change = "unchanged"  // the row is stored as the contract has it
	New        Change = "new"        // no row is stored
	Changed    Change = "changed"    // the stored row has other values
	Moved      Change = "moved"      // the stored row has another sorting key
	Withdrawn  Change = "withdrawn"  // a row is stored, and the contract rejects the body
	Unreadable Change = "unreadable" // no row is stored, and the contract rejects the body
)

// A decision says what makes the table hold exactly what the contract makes of
// an event.
type decision struct {
	change  Change
	publish []schema.Row
	before  schema.Row // what is stored, where something is
	columns []int      // those that differ from before
}

// decide compares an event with the newest row under each sorting key that its
// id is stored under. Every row that it publishes is newer than what it
// replaces, also where the clocks of two machines differ.
func (f *fact) decide(now int64, it *item, stored []schema.Row) (d decision) {
	var same schema.Row // under the same key, also when it is retracted
	var others []schema.Row
	after := it.result.Row
	for _, row := range stored {
		switch {
		case after != nil && f.sameKey(row, after):
			same = row
		case row.Retracted().Int == 0 && it.owns(row):
			others = append(others, row)
		}
	}
	if same != nil && same.Retracted().Int == 0 {
		d.before = same
	} else if len(others) > 0 {
		d.before = slices.MaxFunc(others, func(a, b schema.Row) int { return cmp.Compare(a.NormalizedAt().Int, b.NormalizedAt().Int) })
	}
	if d.before != nil && after != nil {
		d.columns = f.differences(d.before, after)
	}
	for _, row := range others {
		retraction := slices.Clone(row)
		*retraction.NormalizedAt() = newer(now, row)
		*retraction.Retracted() = schema.IntValue(1)
		d.publish = append(d.publish, retraction)
	}
	switch {
	case after == nil && len(others) > 0:
		d.change = Withdrawn
		return d
	case after == nil:
		d.change = Unreadable
		return d
	case len(others) > 0:
		d.change = Moved
	case d.before == nil:
		d.change = New
	case len(d.columns) > 0:
		d.change = Changed
	default:
		d.change = Unchanged
		return d
	}
	if same == nil || same.Retracted().Int != 0 || len(f.differences(same, after)) > 0 {
		row := slices.Clone(after)
		*row.NormalizedAt() = newer(now, same)
		d.publish = append(d.publish, row)
	}
	return d
}

// newer is a version above that of the row, and not before now.
func newer(now int64, row schema.Row) schema.Value {
	if row != nil {
		now = max(now, row.NormalizedAt().Int+1)
	}
	return schema.IntValue(now)
}

func (f *fact) sameKey(a, b schema.Row) bool {
	for _, i := range f.key {
		if !sameValue(f.table.Columns[i], a[i], b[i]) {
			return false
		}
	}
	return true
}

// differences returns the columns in which two versions of one event differ:
// the shop and what comes from the body, for the rest tells of the delivery.
func (f *fact) differences(a, b schema.Row) (columns []int) {
	for _, i := range append([]int{schema.ShopID}, f.content...) {
		if !sameValue(f.table.Columns[i], a[i], b[i]) {
			columns = append(columns, i)
		}
	}
	return columns
}

// sameValue compares what two cells say.
func sameValue(c schema.Column, a, b schema.Value) bool {
	switch {
	case c.Array:
		return slices.EqualFunc(a.List, b.List, func(a, b schema.Value) bool { return a.Text == b.Text && a.Int == b.Int })
	case c.Nullable && (!a.Set || !b.Set):
		return a.Set == b.Set
	default:
		return a.Text == b.Text && a.Int == b.Int
	}
}

// names returns the columns' names.
func (f *fact) names(columns []int) []string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = f.table.Columns[c].Name
	}
	return names
}
