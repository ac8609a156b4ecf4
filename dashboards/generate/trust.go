package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// cached are the tables that ClickHouse refreshes.
var cached = []string{
	"points_members", "points_cohorts", "points_segments", "store_credit_members", "gift_card_lives",
	"customer_consents", "points_gaps", "store_credit_gaps", "gift_card_gaps", "reconciliation",
}

// trust says how far the other dashboards can be believed.
func trust() board {
	reconciled := where(inDays, inShop)
	inReceived := where("$__timeFilter_ms(received_at)", inShop)
	return board{
		uid:         "trust",
		title:       "Trust",
		description: "How far the numbers can be believed: gaps in the ledgers, what could not become a row, how fresh the data is and how often it came.",
		tags:        []string{"trust"},
		from:        "now-30d",
		variables:   []dashboard.VariableModel{shopVariable(), timeZoneVariable(), intervalVariable()},
		annotations: []dashboard.AnnotationQuery{markGaps("'points', 'store_credits', 'gift_cards'"), markDeadLetters()},
		rows: [][]dashboard.Panel{
			{
				alarm(5, "Gaps", "Events of the selected days whose balance does not follow from the event before, in all three ledgers: something is missing, doubled, or was changed elsewhere. Late and resent events make no gap. Days are in UTC. Refreshed every few minutes.", whole, 1, 10, asTable(
					"SELECT sum(gaps) AS gaps",
					"FROM loyalty.reconciliation_cached", reconciled)),
				dial(4, "Explained", "The share of the events of the selected days, in all three ledgers, that follow from the event before. Days are in UTC. Refreshed every few minutes.", green, asTable(
					"SELECT 1 - sum(gaps) / nullIf(sum(events), 0) AS explained",
					"FROM loyalty.reconciliation_cached", reconciled)),
				alarm(5, "Dead letters", "Signed webhooks that came in the selected time and could not become a row, resends too. The pipeline keeps their bytes.", whole, 1, 100, asTable(
					"SELECT count() AS letters",
					"FROM loyalty.dead_letters", inReceived)),
				number(5, "Deliveries", "Signed webhooks that came in the selected time, resends too.", whole, blue, asTable(
					"SELECT count() AS deliveries",
					"FROM loyalty.raw_webhooks", inReceived)),
				number(5, "Resends", "Deliveries of the selected time beyond the first of each event in it. The views count each event once.", whole, blue, asTable(
					"SELECT count() - "+events+" AS resends",
					"FROM loyalty.raw_webhooks", inReceived)),
			},
			{
				stacked(12, 9, "Gaps by day", "Events that do not follow from the event before, by the day of the event in UTC and ledger. Refreshed every few minutes.", whole, "ledger", asSeries(
					"SELECT",
					"  toDateTime(day, 'UTC') AS time,",
					"  ledger,",
					"  sum(gaps) AS gaps",
					"FROM loyalty.reconciliation_cached", reconciled,
					"GROUP BY time, ledger",
					"ORDER BY time, ledger")),
				stacked(12, 9, "Dead letters over time", "What could not become a row, by the time when it came, resends too.", whole, "reason", asSeries(
					withStep,
					"SELECT",
					"  "+bucket("received_at")+" AS time,",
					"  reason,",
					"  count() AS letters",
					"FROM loyalty.dead_letters", inReceived,
					"GROUP BY time, reason",
					"ORDER BY time, reason")),
			},
			{
				rows(12, 10, "Reconciliation", "Days and ledgers of the selected time, those with gaps first and then the latest, 500 at most: events, gaps, and how much is unexplained, without regard to the sign. Points, and for the others 1/100 of the shop's currency. Days are in UTC. Refreshed every few minutes.", "No event in the selected time.", asTable(
					"SELECT",
					"  toString(day) AS \"Day\",",
					"  ledger AS \"Ledger\",",
					"  sum(events) AS \"Events\",",
					"  sum(gaps) AS \"Gaps\",",
					"  sum(unexplained) AS \"Unexplained\",",
					"  uniqExactIf(shop_id, gaps > 0) AS \"Shops with gaps\"",
					"FROM loyalty.reconciliation_cached", reconciled,
					"GROUP BY day, ledger",
					"ORDER BY \"Gaps\" > 0 DESC, day DESC, ledger",
					"LIMIT 500"),
					warned("Gaps", whole, 1, 10), warned("Unexplained", whole, 1, 1000)),
				rows(12, 10, "Gaps, one by one", "The latest 200 events of the selected time whose balance does not follow from the event before. Points, and for the others 1/100 of the shop's currency. A click on a customer opens the ledger. Refreshed every few minutes.", "There is no gap in the selected time.", asTable(
					"SELECT *",
					"FROM",
					"(",
					"  SELECT",
					"    updated_at AS \"Time\",",
					"    'points' AS \"Ledger\",",
					"    shop_id AS \"Shop\",",
					"    buyer_id AS \"Customer\",",
					"    previous_at AS \"Event before\",",
					"    expected_balance AS \"Expected\",",
					"    points_balance AS \"Told\",",
					"    unexplained AS \"Unexplained\"",
					"  FROM loyalty.points_gaps_cached",
					"  WHERE "+inTime,
					"    AND "+inShop,
					"  UNION ALL",
					"  SELECT updated_at, 'store credits', shop_id, buyer_id, previous_at, expected_balance_cents, current_balance_cents, unexplained_cents",
					"  FROM loyalty.store_credit_gaps_cached",
					"  WHERE "+inTime,
					"    AND "+inShop,
					"  UNION ALL",
					"  SELECT updated_at, 'gift cards', shop_id, buyer_id, previous_at, expected_balance_cents, current_balance_cents, unexplained_cents",
					"  FROM loyalty.gift_card_gaps_cached",
					"  WHERE "+inTime,
					"    AND "+inShop,
					")",
					"ORDER BY \"Time\" DESC, \"Shop\", \"Ledger\", \"Customer\"",
					"LIMIT 200"),
					toLedger()),
			},
			{
				rows(12, 10, "Dead letters, by reason and topic", "What could not become a row, of the selected time: why, of which topic, how often and when last; the 100 most frequent. An example says which field. connector deadletters tries them again.", "Everything became a row.", asTable(
					"SELECT",
					"  stage AS \"Stage\",",
					"  reason AS \"Reason\",",
					"  if(topic = '', 'not told', topic) AS \"Topic\",",
					"  count() AS \"Letters\",",
					"  max(received_at) AS \"Latest\",",
					"  argMax(detail, (received_at, detail)) AS \"Detail\"",
					"FROM loyalty.dead_letters", inReceived,
					"GROUP BY stage, reason, \"Topic\"",
					"ORDER BY \"Letters\" DESC, stage, reason, \"Topic\"",
					"LIMIT 100"),
					barred("Letters", whole, red)),
				rows(12, 10, "Freshness", "How long ago each shop's latest event of each ledger came, and how long ago it happened by its own time, whatever the selected time; the 200 that have been silent for longest. Exact at this moment.", "Nothing has come.", asTable(
					"SELECT",
					"  shop_id AS \"Shop\",",
					"  ledger AS \"Ledger\",",
					"  dateDiff('second', last_received_at, now64(3)) AS \"Received ago\",",
					"  dateDiff('second', last_updated_at, now64(3)) AS \"Happened ago\",",
					"  last_received_at AS \"Received\"",
					"FROM loyalty.freshness", where(inShop),
					"ORDER BY last_received_at, shop_id, ledger",
					"LIMIT 200"),
					warned("Received ago", duration, 86400, 604800), written("Happened ago", duration)),
			},
			{
				coloured(sideBySide(10, 10, "Deliveries and events", "Signed webhooks by the time when they came, resends too, and the events among them, each once. What is between the two came again.", whole, asSeries(
					withStep,
					"SELECT",
					"  "+bucket("received_at")+" AS time,",
					"  count() AS \"Deliveries\",",
					"  "+events+" AS \"Events\"",
					"FROM loyalty.raw_webhooks", inReceived,
					"GROUP BY time",
					"ORDER BY time")), "Deliveries", blue, "Events", green),
				rows(6, 10, "Deliveries by topic", "Signed webhooks that came in the selected time, and the events among them, each once.", "Nothing came in the selected time.", asTable(
					"SELECT",
					"  if(topic = '', 'not told', topic) AS \"Topic\",",
					"  count() AS \"Deliveries\",",
					"  "+events+" AS \"Events\"",
					"FROM loyalty.raw_webhooks", inReceived,
					"GROUP BY \"Topic\"",
					"ORDER BY \"Deliveries\" DESC, \"Topic\"",
					"LIMIT 20")),
				rows(8, 10, "Refreshed", "As of how long ago the numbers of all history are, by the table that they come from, the oldest first. A table is late half an hour after its next refresh was due, has failed where the latest attempt did, and is missing where ClickHouse does not know it. system.view_refreshes says more.", "No table is known.", refreshed(),
					written("Ago", duration), told("State", "on time", green, "late", amber, "failed", red, "missing", red)),
			},
		},
	}
}

// refreshed asks ClickHouse itself, for a table that holds no row has no time, and
// one that others are made of may be older than these. The names are listed so that
// a table which is not there is seen.
func refreshed() sqlQuery {
	return asTable(
		"SELECT",
		"  name AS \"Table\",",
		"  dateDiff('second', last_success_time, now()) AS \"Ago\",",
		"  multiIf(",
		"    status = '', 'missing',",
		"    exception != '', 'failed',",
		"    ifNull(next_refresh_time < now() - INTERVAL 30 MINUTE, true), 'late',",
		"    'on time') AS \"State\"",
		"FROM",
		"(",
		"  SELECT arrayJoin(['"+strings.Join(cached, "', '")+"']) AS name",
		") AS names",
		"LEFT JOIN system.view_refreshes AS refreshes ON refreshes.database = 'loyalty' AND refreshes.view = concat(names.name, '_cached')",
		"ORDER BY last_success_time NULLS FIRST, name")
}
