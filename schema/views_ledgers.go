package schema

import (
	"fmt"
	"slices"
)

// ledgerViews are what analysts ask of points, store credits and gift cards.
var ledgerViews = []View{
	{
		Name: "points_by_scene_daily", Doc: "Points by shop, day (in UTC) and scene.",
		Columns: []ViewColumn{
			viewShop, viewDay,
			{"updated_scene", "LowCardinality(String)", "Why the points changed."},
			viewEvents,
			{"customers", "UInt64", "Customers with such an event on that day."},
			viewEarned, viewBurned,
			{"net", "Int64", "Points added less points taken."},
		},
	},
	{
		Name: "points_daily", Doc: "Points by shop and day (in UTC).",
		Columns: []ViewColumn{
			viewShop, viewDay, viewEvents,
			{"active_members", "UInt64", "Customers with an event on that day."},
			viewEarned, viewBurned,
			{"net", "Int64", "Points added less points taken."},
			viewRedemptionRate,
		},
	},
	{
		Name: "points_members", Doc: "One row per customer with points: balance, what was earned and burned, and what runs out soon or has run out. A customer's history begins with the first webhook.",
		Columns: slices.Concat([]ViewColumn{
			viewShop, viewBuyer,
			{"points_balance", "Int64", "Points that the customer has, as in points_balances."},
			viewEarned, viewBurned,
			{"earn_events", "UInt64", "Events that added points; an event of 0 points is not one."},
			{"burn_events", "UInt64", "Events that took points."},
			{"first_earned_at", "Nullable(DateTime64(3, 'UTC'))", "When points were first added; NULL if never."},
			{"last_earned_at", "Nullable(DateTime64(3, 'UTC'))", "When points were last added; NULL if never."},
			{"last_burned_at", "Nullable(DateTime64(3, 'UTC'))", "When points were last taken; NULL if never."},
			{"first_event_at", "DateTime64(3, 'UTC')", "Time of the customer's first event."},
			{"last_event_at", "DateTime64(3, 'UTC')", "Time of the customer's latest event."},
		}, viewExpiringPoints("Part of the balance that runs out within %s of now. Points that run out first count as spent first: "+
			"the balance lies on the additions that have not run out, on those that never do first, then on those that do so last. What is more than all of them runs out at no time that is known, or has run out: see expired_points."), []ViewColumn{
			{"expired_points", "Int64", "Part of the balance that has run out by its date. SHOPLINE documents no scene of that, so that the balance holds them until an event tells a lower one. It is what the additions that have not run out cannot hold of the balance, and at most those that have."},
			{"had_points_before", "Bool", "Whether the customer had points before the first event: it tells a balance that is more than its change. A first event that tells no balance says nothing of that, which counts as no; one whose predecessors are missing looks as if there had been points."},
		}),
	},
	{
		Name: "points_outstanding", Doc: "One row per shop: its members and the points that they have.",
		Columns: slices.Concat([]ViewColumn{
			viewShop,
			{"members", "UInt64", "Customers with at least one event of points."},
			{"members_with_balance", "UInt64", "Members with more than 0 points."},
			{"active_30_days", "UInt64", "Members with an event in the last 30 days."},
			{"active_90_days", "UInt64", "Members with an event in the last 90 days."},
			{"active_365_days", "UInt64", "Members with an event in the last 365 days."},
			{"points_outstanding", "Int64", "Sum of all members' balances, those below 0 included. What has run out is in it: see expired_points."},
		}, viewExpiringPoints("Points of all members that run out within %s of now, as in points_members."),
			[]ViewColumn{viewEarned, viewBurned, viewRedemptionRate, {"expired_points", "Int64", "Part of points_outstanding that has run out by its date, as in points_members."}}),
	},
	{
		Name: "points_cohorts", Doc: "Members by the month (in UTC) in which they first earned, and what they did in each month since, up to the shop's latest. Members who had points before their first event are in no cohort: when they first earned is not known.",
		Columns: []ViewColumn{
			viewShop,
			{"cohort_month", "Date", "First day of the month in which the members first earned points."},
			{"month", "Date", "First day of the month that the row is about; months without an event are there too."},
			{"months_since", "UInt16", "Months from cohort_month to month, 0 for the first."},
			{"members", "UInt64", "Members who first earned in cohort_month."},
			{"active_members", "UInt64", "Those of them with an event in month, of whatever kind."},
			{"retention", "Float64", "active_members divided by members, from 0 to 1."},
			{"earned", "Int64", "Points added to them in month."},
			{"burned", "Int64", "Points taken from them in month, a positive number."},
		},
	},
	{
		Name: "points_segments", Doc: "One row per customer with points: recency, frequency and monetary value, their scores within the shop, and the segment that follows.",
		Columns: []ViewColumn{
			viewShop, viewBuyer,
			{"recency_days", "Int64", "Days (in UTC) since the customer's latest event, of whatever kind."},
			{"frequency", "UInt64", "Events that added points in the last 365 days."},
			{"monetary", "Int64", "Points added in the last 365 days."},
			{"recency_score", "UInt8", "1 to 5 by recency_days, 5 for the latest. The shop's customers stand in a line, equal ones at one place, the middle of where they would stand; the score is the fifth of the line that the place is in."},
			{"frequency_score", "UInt8", "1 to 5 by frequency, 5 for the most, as recency_score."},
			{"monetary_score", "UInt8", "1 to 5 by monetary, 5 for the most, as recency_score."},
			{"segment", "LowCardinality(String)", "One of seven. With R = recency_score and V = the mean of the other two scores, rounded up, the first that fits: " +
				"new (first event in the last 30 days, and no points before it), champions (R and V at least 4), loyal (R and V at least 3), promising (R at least 3), at_risk (V at least 3), hibernating (R is 2), lost."},
		},
	},
	{
		Name: "store_credits_by_reason_daily", Doc: "Store credits by shop, day (in UTC) and reason.",
		Columns: []ViewColumn{
			viewShop, viewDay,
			{"update_reason", "LowCardinality(String)", "Why the store credits changed."},
			viewEvents,
			{"customers", "UInt64", "Customers with such an event on that day."},
			viewIssued, viewUsed,
			{"net_cents", "Int64", "Store credits added less those taken, in 1/100 of the currency unit."},
		},
	},
	{
		Name: "store_credit_members", Doc: "One row per customer with store credits: balance, what was issued and used, and what runs out soon or has run out.",
		Columns: slices.Concat([]ViewColumn{
			viewShop, viewBuyer,
			{"current_balance_cents", "Int64", "Store credits that the customer has, as in store_credit_balances, in 1/100 of the currency unit."},
			viewIssued, viewUsed,
			{"issue_events", "UInt64", "Events that added store credits; an event of 0 is not one."},
			{"use_events", "UInt64", "Events that took store credits."},
			{"first_issued_at", "Nullable(DateTime64(3, 'UTC'))", "When store credits were first added; NULL if never."},
			{"last_issued_at", "Nullable(DateTime64(3, 'UTC'))", "When store credits were last added; NULL if never."},
			{"last_used_at", "Nullable(DateTime64(3, 'UTC'))", "When store credits were last taken; NULL if never."},
			{"last_event_at", "DateTime64(3, 'UTC')", "Time of the customer's latest event."},
		}, viewExpiringCents("Part of the balance that runs out within %s of now, in 1/100 of the currency unit, found as for points in points_members."), []ViewColumn{
			{"expired_cents", "Int64", "Part of the balance that has run out by its date, in 1/100 of the currency unit, found as for points in points_members."},
		}),
	},
	{
		Name: "store_credit_liability", Doc: "One row per shop: the store credits that it owes.",
		Columns: slices.Concat([]ViewColumn{
			viewShop,
			{"members", "UInt64", "Customers with at least one event of store credits."},
			{"members_with_balance", "UInt64", "Members with more than 0."},
			{"outstanding_cents", "Int64", "Sum of all members' balances, those below 0 included, in 1/100 of the currency unit. What has run out is in it: see expired_cents."},
		}, viewExpiringCents("Store credits of all members that run out within %s of now, in 1/100 of the currency unit."),
			[]ViewColumn{viewIssued, viewUsed, {"expired_cents", "Int64", "Part of outstanding_cents that has run out by its date, in 1/100 of the currency unit, as in store_credit_members."}}),
	},
	{
		Name: "gift_cards_daily", Doc: "Changes of gift cards by shop, day (in UTC) and scene.",
		Columns: []ViewColumn{
			viewShop, viewDay,
			{"scene_type", "LowCardinality(String)", "Why the cards changed."},
			viewEvents,
			{"cards", "UInt64", "Cards with such an event on that day."},
			{"increased_cents", "Int64", "What was added, in 1/100 of the currency unit."},
			{"decreased_cents", "Int64", "What was taken, a positive number, in 1/100 of the currency unit."},
			{"net_cents", "Int64", "What was added less what was taken, in 1/100 of the currency unit."},
		},
	},
	{
		Name: "gift_card_lives", Doc: "One row per card: its life from sale to end.",
		Columns: []ViewColumn{
			viewShop, viewCard,
			{"buyer_id", "String", "Customer of the card's latest event."},
			{"state", "LowCardinality(String)", "The first that fits: disabled (there is an event with scene CARD_DISABLED), used_up (nothing is left), expired (expires_at is past), active."},
			{"original_value_cents", "Nullable(Int64)", "The card's original value, in 1/100 of the currency unit; the latest that an event tells."},
			{"current_balance_cents", "Int64", "What is left on the card, as in gift_card_balances, in 1/100 of the currency unit."},
			{"sold_cents", "Int64", "Added with scene SELF_PURCHASE or OTHERS_SEND, in 1/100 of the currency unit."},
			{"sold_at", "Nullable(DateTime64(3, 'UTC'))", "When that was first; NULL if never."},
			{"redeemed_cents", "Int64", "Taken with scene PURCHASE_PAYMENT, a positive number, in 1/100 of the currency unit."},
			{"redemptions", "UInt64", "Events that did so."},
			{"first_redeemed_at", "Nullable(DateTime64(3, 'UTC'))", "When that was first; NULL if never."},
			{"last_redeemed_at", "Nullable(DateTime64(3, 'UTC'))", "When that was last; NULL if never."},
			{"refunded_cents", "Int64", "Added with scene RETURN_INCREASE, in 1/100 of the currency unit."},
			{"disabled_cents", "Int64", "Taken with scene CARD_DISABLED, a positive number, and what is left on the card after such an event, in 1/100 of the currency unit; 0 in every other state."},
			{"disabled_at", "Nullable(DateTime64(3, 'UTC'))", "Time of the first event with scene CARD_DISABLED; NULL if there is none."},
			{"expires_at", "Nullable(DateTime64(3, 'UTC'))", "When the card expires, as its latest event says; NULL is never."},
			{"breakage_cents", "Int64", "What is left on an expired card, 0 in every other state, in 1/100 of the currency unit."},
			viewEvents,
			{"updated_at", "DateTime64(3, 'UTC')", "Time of the card's latest event."},
		},
	},
	{
		Name: "gift_card_liability", Doc: "One row per shop: its gift cards by state, and what they are still worth.",
		Columns: slices.Concat([]ViewColumn{
			viewShop,
			{"cards", "UInt64", "Cards with at least one event."},
			{"active_cards", "UInt64", "Cards that are active, see gift_card_lives."},
			{"used_up_cards", "UInt64", "Cards on which nothing is left."},
			{"expired_cards", "UInt64", "Cards that expired with something left."},
			{"disabled_cards", "UInt64", "Cards that have been disabled."},
			{"sold_cents", "Int64", "Sold on all cards, in 1/100 of the currency unit."},
			{"redeemed_cents", "Int64", "Paid with all cards, in 1/100 of the currency unit."},
			{"refunded_cents", "Int64", "Come back to all cards with refunds, in 1/100 of the currency unit."},
			{"disabled_cents", "Int64", "Lost with disabled cards, taken from them or still on them, in 1/100 of the currency unit."},
			{"outstanding_cents", "Int64", "What is left on active cards, in 1/100 of the currency unit."},
			{"breakage_cents", "Int64", "What is left on expired cards, in 1/100 of the currency unit."},
			{"breakage_rate", "Nullable(Float64)", "breakage_cents divided by sold_cents; NULL if nothing was sold."},
		}, viewExpiringCents("What is left on active cards that expire within %s of now, in 1/100 of the currency unit.")),
	},
}

// Columns that several views of the ledgers have.
var (
	viewDay            = ViewColumn{"day", "Date", "The day, in UTC."}
	viewEvents         = ViewColumn{"events", "UInt64", "Events, each counted once."}
	viewEarned         = ViewColumn{"earned", "Int64", "Points added."}
	viewBurned         = ViewColumn{"burned", "Int64", "Points taken, a positive number."}
	viewRedemptionRate = ViewColumn{"redemption_rate", "Nullable(Float64)", "burned divided by earned; NULL if nothing was earned. History begins with the first webhook: points that customers had before may be burned, but are not earned."}
	viewIssued         = ViewColumn{"issued_cents", "Int64", "Store credits added, in 1/100 of the currency unit."}
	viewUsed           = ViewColumn{"used_cents", "Int64", "Store credits taken, a positive number, in 1/100 of the currency unit."}
)

// viewExpiringPoints returns the columns of what runs out soon, with a doc that
// names the time.
func viewExpiringPoints(doc string) []ViewColumn { return viewExpiring("", doc) }

// viewExpiringCents returns the same columns for money.
func viewExpiringCents(doc string) []ViewColumn { return viewExpiring("_cents", doc) }

func viewExpiring(suffix, doc string) []ViewColumn {
	return []ViewColumn{
		{"expiring_30_days" + suffix, "Int64", fmt.Sprintf(doc, "30 days")},
		{"expiring_60_days" + suffix, "Int64", fmt.Sprintf(doc, "60 days") + " Those of 30 days are among them."},
		{"expiring_90_days" + suffix, "Int64", fmt.Sprintf(doc, "90 days") + " Those of 60 days are among them."},
	}
}
