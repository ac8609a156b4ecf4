package schema

import (
	"slices"
)

// A View is one of the views that the migrations create.
type View struct {
	Name string
	// Doc is one sentence for the data dictionary and ClickHouse's comment.
	Doc     string
	Columns []ViewColumn
	// Parameters are what the view takes, as in view(name = value). ClickHouse knows
	// the columns of such a view only in a query, and has no comments on them.
	Parameters []ViewColumn
	// base is the table whose columns the view has, all but retracted. A view
	// without one computes its columns, which are listed.
	base string
}

// A ViewColumn is one column of a view.
type ViewColumn struct {
	Name string
	// Type is the ClickHouse type, as system.columns prints it.
	Type string
	// Doc is one sentence for the data dictionary and ClickHouse's comment.
	Doc string
}

// views lists them in the order of the migrations.
var views = slices.Concat(factViews, ledgerViews, customerViews, gapViews, cachedViews)

var factViews = []View{
	{Name: "points", base: "fact_points", Doc: "Every change of points, each event once."},
	{Name: "store_credits", base: "fact_store_credits", Doc: "Every change of store credits, each event once."},
	{Name: "gift_cards", base: "fact_gift_cards", Doc: "Every change of a gift card, each event once."},
	{Name: "customer_changes", base: "fact_customer_changes", Doc: "Every update of a customer, each event once."},
	{
		Name: "points_balances", Doc: "One row per customer: the last balance that an event told, plus the changes after it.",
		Columns: []ViewColumn{
			viewShop, viewBuyer,
			{"points_balance", "Int64", "Points that the customer has."},
			{"updated_scene", "LowCardinality(String)", "Scene of the customer's latest event."},
			{"updated_at", "DateTime64(3, 'UTC')", "Time of the customer's latest event."},
		},
	},
	{
		Name: "store_credit_balances", Doc: "One row per customer: the last balance that an event told, plus the changes after it.",
		Columns: []ViewColumn{
			viewShop, viewBuyer,
			{"current_balance_cents", "Int64", "Store credits that the customer has, in 1/100 of the currency unit."},
			{"store_credits_code", "String", "Code of the customer's latest event."},
			{"update_reason", "LowCardinality(String)", "Reason of the customer's latest event."},
			{"updated_at", "DateTime64(3, 'UTC')", "Time of the customer's latest event."},
		},
	},
	{
		Name: "gift_card_balances", Doc: "One row per card, whoever holds it: the last balance that an event told, plus the changes after it.",
		Columns: []ViewColumn{
			viewShop, viewCard,
			{"buyer_id", "String", "Customer of the card's latest event."},
			{"current_balance_cents", "Int64", "What is left on the card, in 1/100 of the currency unit."},
			{"original_value_cents", "Nullable(Int64)", "The card's original value, in 1/100 of the currency unit; the latest that an event tells."},
			{"scene_type", "LowCardinality(String)", "Scene of the card's latest event."},
			{"expires_at", "Nullable(DateTime64(3, 'UTC'))", "When the card expires, as its latest event says; NULL is never."},
			{"updated_at", "DateTime64(3, 'UTC')", "Time of the card's latest event."},
			{"disabled", "Bool", "Whether there is an event of the card with scene CARD_DISABLED, the latest or not."},
		},
	},
	{Name: "customers", base: "fact_customer_changes", Doc: "One row per customer: the latest state. The shop is that of a header, see customer_360."},
}

// Columns that many views begin with.
var (
	viewShop  = ViewColumn{"shop_id", "String", "The shop."}
	viewBuyer = ViewColumn{"buyer_id", "String", "The customer."}
	viewCard  = ViewColumn{"gift_card_code", "String", "The card."}
)

// Views returns the views that the migrations create. The columns of a view that
// has those of one of the tables are taken from there; it has none where that table
// is not given.
func Views(tables []*Table) []View {
	all := slices.Clone(views)
	for i, v := range all {
		for _, t := range tables {
			if t.Name == v.base {
				all[i].Columns = viewColumns(t)
			}
		}
	}
	return all
}

func viewColumns(t *Table) []ViewColumn {
	var columns []ViewColumn
	for _, c := range t.Columns {
		if c.Name != "retracted" {
			columns = append(columns, ViewColumn{Name: c.Name, Type: c.ClickHouseType(), Doc: c.Doc})
		}
	}
	return columns
}
