package schema

// customerViews are what analysts ask of customers.
var customerViews = []View{
	{
		Name: "customers_at", base: "fact_customer_changes",
		Doc:        "One row per customer: the state at a past moment. It takes that moment: customers_at(at = '2026-01-01 00:00:00').",
		Parameters: []ViewColumn{{"at", "DateTime64(3, 'UTC')", "The moment. Updates of this very moment count. A time of another zone is read as if it were UTC, unless it is converted: at::DateTime64(3, 'UTC')."}},
	},
	{
		Name: "customer_field_changes", Doc: "One row per column of a customer that an update changed; a customer's first update changes nothing.",
		Columns: []ViewColumn{
			viewShop, viewCustomer,
			{"event_id", "UUID", "The update."},
			{"updated_at", "DateTime64(3, 'UTC')", "Time of the update."},
			{"previous_event_id", "UUID", "The customer's update before; of two in one second the one that was delivered first."},
			{"previous_at", "DateTime64(3, 'UTC')", "Time of the update before."},
			{"field", "LowCardinality(String)", "The column of customer_changes."},
			{"old_value", "String", "What it was, as text: a list as ['a','b'], a time in UTC, and NULL as the empty text."},
			{"new_value", "String", "What it became, as text."},
		},
	},
	{
		Name: "customer_consents", Doc: "Two rows per customer, one for e-mail and one for SMS: the latest consent to marketing.",
		Columns: []ViewColumn{
			viewShop, viewCustomer, viewChannel,
			{"state", "Nullable(Int64)", "State of the consent, as SHOPLINE numbers it."},
			{"state_label", "LowCardinality(String)", "The state in words: subscribed, unsubscribed (cancelled), not_subscribed and pending (to be confirmed, both e-mail alone), not_available (SMS alone), unknown (NULL or another number)."},
			{"opt_in_level", "Nullable(Int64)", "How the consent was given, as SHOPLINE numbers it."},
			{"opt_in_label", "LowCardinality(String)", "How it was given in words: single_opt_in, confirmed_opt_in, unknown (0, NULL or another number)."},
			{"collected_from", "String", "Where the consent came from."},
			{"consent_updated_at", "Nullable(DateTime64(3, 'UTC'))", "When the consent changed."},
			{"reachable", "Bool", "Whether the customer has an e-mail address or, for SMS, a phone number for which it is available."},
			{"updated_at", "DateTime64(3, 'UTC')", "Time of the customer's latest update."},
		},
	},
	{
		Name: "consent_funnel", Doc: "Five rows per shop and channel: how many customers get how far on the way to a confirmed consent.",
		Columns: []ViewColumn{
			viewShop, viewChannel,
			{"position", "UInt8", "The step's place on the way, from 1 to 5."},
			{"step", "LowCardinality(String)", "customers (all), reachable, asked (subscribed, unsubscribed or pending), subscribed, confirmed (subscribed with confirmed_opt_in). Each counts only those of the step before."},
			{"customers", "UInt64", "Customers that got so far."},
		},
	},
	{
		Name: "customer_360", Doc: "One row per customer that any of the four knows: profile, consent, points, store credits and gift cards. The shop of a profile is that of the header X-Shopline-Shop-Id, for its body names none; the shop of the ledgers is their body's store_id. Where SHOPLINE sends two different ids for one shop, its customers have two rows, one with the profile and one with the ledgers: join these by customer_id. Which ids belong together, shop_id and header_shop_id of raw_webhooks say.",
		Columns: []ViewColumn{
			viewShop, viewCustomer,
			{"email", "String", "The e-mail address. It and the columns up to sms_consent are empty for a customer without an update."},
			{"phone", "String", "Phone number."},
			{"first_name", "String", "First name."},
			{"last_name", "String", "Last name."},
			{"state", "Nullable(Int64)", "State of the account, as SHOPLINE numbers it."},
			{"state_label", "LowCardinality(String)", "The state in words: disabled, to_enable, invited, valid, unknown (NULL or another number)."},
			{"tags", "Array(String)", "Tags."},
			{"orders_count", "Nullable(Int64)", "Number of orders."},
			{"total_spent_cents", "Nullable(Int64)", "Everything spent, in 1/100 of the currency unit."},
			{"currency", "LowCardinality(String)", "The currency's code."},
			{"email_consent", "LowCardinality(String)", "Consent to e-mail, as state_label of customer_consents."},
			{"sms_consent", "LowCardinality(String)", "Consent to SMS, as state_label of customer_consents."},
			{"points_balance", "Int64", "Points that the customer has."},
			{"points_earned", "Int64", "All points that were added."},
			{"points_burned", "Int64", "All points that were taken, without the sign."},
			{"store_credit_cents", "Int64", "Store credits that the customer has, in 1/100 of the currency unit."},
			{"gift_cards", "UInt64", "Cards with something left that the customer holds: neither expired nor disabled."},
			{"gift_card_cents", "Int64", "What is left on these cards, in 1/100 of the currency unit."},
			{"first_event_at", "DateTime64(3, 'UTC')", "Time of the customer's first event of any of the four."},
			{"last_event_at", "DateTime64(3, 'UTC')", "Time of the customer's latest event of any of the four."},
			{"customer_updated_at", "Nullable(DateTime64(3, 'UTC'))", "Time of the latest update of the profile; NULL if there was none."},
		},
	},
}

// Columns that the views of customers share.
var (
	viewCustomer = ViewColumn{"customer_id", "String", "The customer."}
	viewChannel  = ViewColumn{"channel", "LowCardinality(String)", "email or sms."}
)
