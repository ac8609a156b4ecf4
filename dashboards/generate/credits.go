package main

import "github.com/grafana/grafana-foundation-sdk/go/dashboard"

// storeCredits is what shops owe to their customers in store credits.
func storeCredits() board {
	inCredits := where(inTime, inShop, inReason)
	return board{
		uid:         "store-credits",
		title:       "Store credits",
		description: "Store credits issued and used, by reason, and what is outstanding. Amounts are in each shop's own currency.",
		tags:        []string{"store-credits"},
		from:        "now-90d",
		variables: []dashboard.VariableModel{
			shopVariable(), inTimeVariable("reason", "Reason", "update_reason", "fact_store_credits"), timeZoneVariable(), intervalVariable(),
		},
		annotations: []dashboard.AnnotationQuery{markGaps("'store_credits'")},
		rows: [][]dashboard.Panel{
			{
				number(5, "Issued", "Store credits given to customers in the selected time, by the time of the event, in the shop's currency. Resends count once.", money, green, asTable(
					"SELECT sumIf(balance_delta_cents, balance_delta_cents > 0) / 100 AS issued",
					"FROM loyalty.store_credits", inCredits)),
				number(5, "Used", "Store credits taken from customers in the selected time: spent, transferred or corrected. In the shop's currency. Resends count once.", money, orange, asTable(
					"SELECT -sumIf(balance_delta_cents, balance_delta_cents < 0) / 100 AS used",
					"FROM loyalty.store_credits", inCredits)),
				number(5, "Net", "Issued less used in the selected time: by how much the shops owe more. In the shop's currency.", money, blue, asTable(
					"SELECT sum(balance_delta_cents) / 100 AS net",
					"FROM loyalty.store_credits", inCredits)),
				dial(4, "Use rate", "What was used in the selected time for each unit issued in it. Above 100 % customers spend what they had before. What is issued for one reason is used for another, so that of the variables only the shop counts.", purple, asTable(
					"SELECT -sumIf(balance_delta_cents, balance_delta_cents < 0) / nullIf(sumIf(balance_delta_cents, balance_delta_cents > 0), 0) AS rate",
					"FROM loyalty.store_credits", where(inTime, inShop))),
				number(5, "Customers", "Customers whose store credits changed in the selected time. A customer of two shops counts twice.", whole, blue, asTable(
					"SELECT "+customers+" AS customers",
					"FROM loyalty.store_credits", inCredits)),
			},
			{
				stacked(12, 9, "Issued by reason", "Store credits given to customers, by SHOPLINE's reason, in the shop's currency. Resends count once.", money, "reason", asSeries(
					withStep,
					"SELECT",
					"  "+bucket("updated_at")+" AS time,",
					"  update_reason AS reason,",
					"  sum(balance_delta_cents) / 100 AS amount",
					"FROM loyalty.store_credits", where(inTime, inShop, inReason, "balance_delta_cents > 0"),
					"GROUP BY time, reason",
					"ORDER BY time, reason")),
				stacked(12, 9, "Used by reason", "Store credits taken from customers, by SHOPLINE's reason, in the shop's currency. Resends count once.", money, "reason", asSeries(
					withStep,
					"SELECT",
					"  "+bucket("updated_at")+" AS time,",
					"  update_reason AS reason,",
					"  -sum(balance_delta_cents) / 100 AS amount",
					"FROM loyalty.store_credits", where(inTime, inShop, inReason, "balance_delta_cents < 0"),
					"GROUP BY time, reason",
					"ORDER BY time, reason")),
			},
			{
				rows(16, 8, "Totals by reason", "Every reason in the selected time, in the shop's currency. Net is what remained with the customers.", "No store credits changed in the selected time.", asTable(
					"SELECT",
					"  update_reason AS \"Reason\",",
					"  count() AS \"Events\",",
					"  "+customers+" AS \"Customers\",",
					"  sumIf(balance_delta_cents, balance_delta_cents > 0) / 100 AS \"Issued\",",
					"  -sumIf(balance_delta_cents, balance_delta_cents < 0) / 100 AS \"Used\",",
					"  sum(balance_delta_cents) / 100 AS \"Net\"",
					"FROM loyalty.store_credits", inCredits,
					"GROUP BY update_reason",
					"ORDER BY greatest(\"Issued\", \"Used\") DESC, update_reason"),
					barred("Issued", money, green), barred("Used", money, orange), written("Net", money)),
				pie(8, 8, "Issued by reason, in all", "How what was issued in the selected time divides among SHOPLINE's reasons, in the shop's currency.", money, "Issued", asTable(
					"SELECT",
					"  update_reason AS \"Reason\",",
					"  sumIf(balance_delta_cents, balance_delta_cents > 0) / 100 AS \"Issued\"",
					"FROM loyalty.store_credits", inCredits,
					"GROUP BY update_reason",
					"HAVING \"Issued\" > 0",
					"ORDER BY \"Issued\" DESC, update_reason")),
			},
			{
				number(4, "Outstanding", "What the shops owe now: the sum of all balances, whatever the selected time, in the shop's currency, also of credits that have run out, see Expired. A balance has no reason. Refreshed every few minutes.", money, blue, asTable(
					"SELECT sum(current_balance_cents) / 100 AS outstanding",
					"FROM loyalty.store_credit_members_cached", where(inShop))),
				number(4, "Expired", "Of what is outstanding, the credits that have run out by their date, in the shop's currency. SHOPLINE has no reason for that, so that the balance holds them until an event tells a lower one. What runs out first is used first. Refreshed every few minutes.", money, amber, asTable(
					"SELECT sum(expired_cents) / 100 AS expired",
					"FROM loyalty.store_credit_members_cached", where(inShop))),
				number(4, "Customers with credits", "Customers who have store credits now, also credits that have run out, whatever the selected time. Refreshed every few minutes.", whole, blue, asTable(
					"SELECT countIf(current_balance_cents > 0) AS customers",
					"FROM loyalty.store_credit_members_cached", where(inShop))),
				number(4, "Expiring in 30 days", "Credits that run out within 30 days from now unless they are used. What runs out first is used first. In the shop's currency. Refreshed every few minutes.", money, amber, asTable(
					"SELECT sum(expiring_30_days_cents) / 100 AS expiring",
					"FROM loyalty.store_credit_members_cached", where(inShop))),
				number(4, "Expiring in 60 days", "Credits that run out within 60 days from now, those of the next 30 among them, in the shop's currency. Refreshed every few minutes.", money, amber, asTable(
					"SELECT sum(expiring_60_days_cents) / 100 AS expiring",
					"FROM loyalty.store_credit_members_cached", where(inShop))),
				number(4, "Expiring in 90 days", "Credits that run out within 90 days from now, those of the next 60 among them, in the shop's currency. Refreshed every few minutes.", money, amber, asTable(
					"SELECT sum(expiring_90_days_cents) / 100 AS expiring",
					"FROM loyalty.store_credit_members_cached", where(inShop))),
			},
			{
				rows(14, 10, "Largest balances", "The customers to whom most is owed now, whatever the selected time, in the shop's currency. A click on a customer opens the ledger. Refreshed every few minutes.", "No customer has store credits.", asTable(
					"SELECT",
					"  shop_id AS \"Shop\",",
					"  buyer_id AS \"Customer\",",
					"  current_balance_cents / 100 AS \"Balance\",",
					"  expiring_30_days_cents / 100 AS \"Expiring in 30 days\",",
					"  last_used_at AS \"Last used\",",
					"  last_event_at AS \"Latest event\"",
					"FROM loyalty.store_credit_members_cached", where(inShop),
					"ORDER BY current_balance_cents DESC, shop_id, buyer_id",
					"LIMIT 50"),
					toLedger(), barred("Balance", money, blue), written("Expiring in 30 days", money)),
				ranking(10, 10, "Outstanding by shop", "The ten shops that owe most now, whatever the selected time, each in its currency. Refreshed every few minutes.", money, blue, "Outstanding", asTable(
					"SELECT",
					"  shop_id AS \"Shop\",",
					"  sum(current_balance_cents) / 100 AS \"Outstanding\"",
					"FROM loyalty.store_credit_members_cached", where(inShop),
					"GROUP BY shop_id",
					"ORDER BY \"Outstanding\" DESC, shop_id",
					"LIMIT 10")),
			},
		},
	}
}
