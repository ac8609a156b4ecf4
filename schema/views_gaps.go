package schema

// gapViews are the proof that no event of a ledger is missing or doubled.
var gapViews = []View{
	{
		Name: "ledger_events", Doc: "Every change of points, store credits and gift cards in one shape, each event once.",
		Columns: []ViewColumn{
			viewLedger, viewShop,
			{"account", "String", "What the balance belongs to: the customer, or in gift_cards the card."},
			viewBuyer,
			{"event_id", "UUID", "Identity of the event."},
			{"updated_at", "DateTime64(3, 'UTC')", "When the change happened."},
			{"delta", "Int64", "The change, with its sign, in points or in 1/100 of the currency unit."},
			{"balance", "Nullable(Int64)", "The balance after the change, in points or in 1/100 of the currency unit; NULL where the event does not tell it."},
		},
	},
	{
		Name: "ledger_gaps", Doc: "One row per place in a ledger where events are missing, doubled or misordered: the balance before an event is not the one that the event before it left. A balance that SHOPLINE changes without a webhook, as it may when points or store credits run out, shows as a gap too.",
		Columns: []ViewColumn{
			viewLedger, viewShop,
			{"account", "String", "What the balance belongs to: the customer, or in gift_cards the card."},
			{"buyer_id", "String", "The customer of the event after the gap."},
			viewPreviousEvent, viewEvent, viewPreviousAt, viewUpdatedAt,
			{"expected_balance", "Int64", "What the balance after that event should be: the balance before the gap and the known changes since."},
			{"balance", "Int64", "The balance that the event tells."},
			{"unexplained", "Int64", "The balance told less the one expected: the sum of what is missing, in points or in 1/100 of the currency unit."},
		},
	},
	{
		Name: "points_gaps", Doc: "One row per place in a customer's points where events are missing, doubled or misordered.",
		Columns: []ViewColumn{
			viewShop, viewBuyer, viewPreviousEvent, viewEvent, viewPreviousAt, viewUpdatedAt,
			{"expected_balance", "Int64", "What the balance after that event should be: the balance before the gap and the known changes since."},
			{"points_balance", "Int64", "The balance that the event tells."},
			{"unexplained", "Int64", "The balance told less the one expected: the sum of what is missing."},
		},
	},
	{
		Name: "store_credit_gaps", Doc: "One row per place in a customer's store credits where events are missing, doubled or misordered.",
		Columns: []ViewColumn{
			viewShop, viewBuyer, viewPreviousEvent, viewEvent, viewPreviousAt, viewUpdatedAt,
			viewExpectedCents, viewToldCents, viewUnexplainedCents,
		},
	},
	{
		Name: "gift_card_gaps", Doc: "One row per place in a card's life where events are missing, doubled or misordered.",
		Columns: []ViewColumn{
			viewShop, viewCard,
			{"buyer_id", "String", "The customer of the event after the gap."},
			viewPreviousEvent, viewEvent, viewPreviousAt, viewUpdatedAt,
			viewExpectedCents, viewToldCents, viewUnexplainedCents,
		},
	},
	{
		Name: "reconciliation", Doc: "One row per shop, day and ledger: whether all its events are there, as far as gaps show it. Events that are missing before an account's first or after its latest leave no gap, nor do those of an account of which nothing came.",
		Columns: []ViewColumn{
			viewShop,
			{"day", "Date", "The day in UTC, of the events and of the events after a gap."},
			viewLedger,
			{"events", "UInt64", "Events of that day."},
			{"gaps", "UInt64", "Gaps before events of that day."},
			{"unexplained", "Int64", "What these gaps leave unexplained, each without its sign, in points or in 1/100 of the currency unit."},
		},
	},
	{
		Name: "freshness", Doc: "One row per shop and ledger: when it was last heard from.",
		Columns: []ViewColumn{
			viewShop,
			{"ledger", "LowCardinality(String)", "points, store_credits, gift_cards or customer_changes."},
			{"last_received_at", "DateTime64(3, 'UTC')", "When the receiver read the latest delivery that counts."},
			{"last_updated_at", "DateTime64(3, 'UTC')", "Time of the latest event."},
		},
	},
}

// Columns that the views of gaps share.
var (
	viewLedger           = ViewColumn{"ledger", "LowCardinality(String)", "points, store_credits or gift_cards."}
	viewPreviousEvent    = ViewColumn{"previous_event_id", "UUID", "The event before the gap: the last one that told its balance."}
	viewEvent            = ViewColumn{"event_id", "UUID", "The event after the gap: the first one that tells its balance."}
	viewPreviousAt       = ViewColumn{"previous_at", "DateTime64(3, 'UTC')", "Time of the event before the gap."}
	viewUpdatedAt        = ViewColumn{"updated_at", "DateTime64(3, 'UTC')", "Time of the event after the gap."}
	viewExpectedCents    = ViewColumn{"expected_balance_cents", "Int64", "What the balance after that event should be, in 1/100 of the currency unit: the balance before the gap and the known changes since."}
	viewToldCents        = ViewColumn{"current_balance_cents", "Int64", "The balance that the event tells, in 1/100 of the currency unit."}
	viewUnexplainedCents = ViewColumn{"unexplained_cents", "Int64", "The balance told less the one expected, in 1/100 of the currency unit: the sum of what is missing."}
)
