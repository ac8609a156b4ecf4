package main

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// pointsByScene is the front page: what customers get points for, and what they
// spend them on.
func pointsByScene() board {
	inPoints := where(inTime, inShop, inScene)
	return board{
		uid:         "points-by-scene",
		title:       "Points by scene",
		description: "Loyalty points earned and burned, by scene: what customers get points for and what they spend them on.",
		tags:        []string{"points"},
		from:        "now-30d",
		variables: []dashboard.VariableModel{
			shopVariable(), inTimeVariable("scene", "Scene", "updated_scene", "fact_points"), timeZoneVariable(), intervalVariable(),
		},
		annotations: []dashboard.AnnotationQuery{markGaps("'points'")},
		rows: [][]dashboard.Panel{
			{
				number(5, "Points earned", "Points added to balances in the selected time, by the time of the event. Resends count once.", whole, green, asTable(
					"SELECT sumIf(points_delta, points_delta > 0) AS earned",
					"FROM loyalty.points", inPoints)),
				number(5, "Points burned", "Points taken from balances in the selected time: redeemed or corrected. SHOPLINE has no scene for points that run out. Resends count once.", whole, orange, asTable(
					"SELECT -sumIf(points_delta, points_delta < 0) AS burned",
					"FROM loyalty.points", inPoints)),
				number(5, "Net", "Points earned less points burned in the selected time: by how much balances grew.", whole, blue, asTable(
					"SELECT sum(points_delta) AS net",
					"FROM loyalty.points", inPoints)),
				dial(4, "Redemption rate", "Points burned in the selected time for each point earned in it. Above 100 % customers spend what they had before. What is earned in one scene is burned in another, so that of the variables only the shop counts.", purple, asTable(
					"SELECT -sumIf(points_delta, points_delta < 0) / nullIf(sumIf(points_delta, points_delta > 0), 0) AS rate",
					"FROM loyalty.points", where(inTime, inShop))),
				number(5, "Active members", "Customers whose points changed in the selected time. A customer of two shops counts twice.", whole, blue, asTable(
					"SELECT "+customers+" AS members",
					"FROM loyalty.points", inPoints)),
			},
			{
				stacked(12, 9, "Earned by scene", "Points added, by what the customer did for them. Resends count once.", whole, "scene", asSeries(
					withStep,
					"SELECT",
					"  "+bucket("updated_at")+" AS time,",
					"  updated_scene AS scene,",
					"  sum(points_delta) AS points",
					"FROM loyalty.points", where(inTime, inShop, inScene, "points_delta > 0"),
					"GROUP BY time, scene",
					"ORDER BY time, scene")),
				stacked(12, 9, "Burned by scene", "Points taken, by what the customer spent them on. Resends count once.", whole, "scene", asSeries(
					withStep,
					"SELECT",
					"  "+bucket("updated_at")+" AS time,",
					"  updated_scene AS scene,",
					"  -sum(points_delta) AS points",
					"FROM loyalty.points", where(inTime, inShop, inScene, "points_delta < 0"),
					"GROUP BY time, scene",
					"ORDER BY time, scene")),
			},
			{
				rows(15, 10, "Totals by scene", "Every scene in the selected time. Net is what remained with the customers, a share is that of all scenes that are selected.", "No points changed in the selected time.", asTable(
					"SELECT",
					"  updated_scene AS \"Scene\",",
					"  count() AS \"Events\",",
					"  "+customers+" AS \"Customers\",",
					"  sumIf(points_delta, points_delta > 0) AS \"Earned\",",
					"  -sumIf(points_delta, points_delta < 0) AS \"Burned\",",
					"  sum(points_delta) AS \"Net\",",
					"  \"Earned\" / nullIf(sum(\"Earned\") OVER (), 0) AS \"Share of earned\",",
					"  \"Burned\" / nullIf(sum(\"Burned\") OVER (), 0) AS \"Share of burned\"",
					"FROM loyalty.points", inPoints,
					"GROUP BY updated_scene",
					"ORDER BY greatest(\"Earned\", \"Burned\") DESC, updated_scene"),
					barred("Earned", whole, green), barred("Burned", whole, orange),
					written("Share of earned", share), written("Share of burned", share)),
				rows(9, 10, "Which scenes' points get burned", "What each customer burned in the selected time, divided among the scenes as what the same customer earned in that time. More than was earned in the selected time counts for no scene.", "No customer earned points in the selected time.", asTable(
					"SELECT",
					"  updated_scene AS \"Scene\",",
					"  earned AS \"Earned\",",
					"  toInt64(round(spent)) AS \"Of it burned\",",
					"  \"Of it burned\" / \"Earned\" AS \"Share burned\"",
					"FROM",
					"(",
					"  SELECT",
					"    scene,",
					"    sum(points) AS earned,",
					"    sum(points * least(burned, total) / total) AS spent",
					"  FROM",
					"  (",
					"    SELECT",
					"      groupArrayIf(cityHash64(updated_scene), points_delta > 0) AS scenes,",
					"      groupArrayIf(points_delta, points_delta > 0) AS lots,",
					"      sumIf(points_delta, points_delta > 0) AS total,",
					"      -sumIf(points_delta, points_delta < 0) AS burned",
					"    FROM loyalty.points",
					"    WHERE "+inTime,
					"      AND "+inShop,
					"    GROUP BY cityHash64(shop_id, buyer_id)",
					"    HAVING total > 0",
					"  )",
					"  ARRAY JOIN",
					"    scenes AS scene,",
					"    lots AS points",
					"  GROUP BY scene",
					") AS earnings",
					"INNER JOIN",
					"(",
					"  SELECT DISTINCT updated_scene, cityHash64(updated_scene) AS scene",
					"  FROM loyalty.fact_points",
					"  WHERE "+inTime,
					") AS names USING (scene)",
					"WHERE "+inScene,
					"ORDER BY \"Of it burned\" DESC, \"Scene\""),
					barred("Earned", whole, green), barred("Of it burned", whole, orange), written("Share burned", share)),
			},
			{
				number(4, "Points outstanding", "The sum of all balances as of now, whatever the selected time, also of points that have run out, see Expired. A balance has no scene, so that only the shop counts. Refreshed every few minutes.", whole, blue, asTable(
					"SELECT sum(points_balance) AS outstanding",
					"FROM loyalty.points_members_cached", where(inShop))),
				number(4, "Expired", "Of the points outstanding, those that have run out by their date. SHOPLINE has no scene for that, so that the balance holds them until an event tells a lower one. What runs out first is spent first. Refreshed every few minutes.", whole, amber, asTable(
					"SELECT sum(expired_points) AS expired",
					"FROM loyalty.points_members_cached", where(inShop))),
				number(4, "Members with points", "Customers who have points now, also points that have run out, whatever the selected time. Refreshed every few minutes.", whole, blue, asTable(
					"SELECT countIf(points_balance > 0) AS members",
					"FROM loyalty.points_members_cached", where(inShop))),
				number(4, "Expiring in 30 days", "Points that run out within 30 days from now unless they are spent. What runs out first is spent first. Refreshed every few minutes.", whole, amber, asTable(
					"SELECT sum(expiring_30_days) AS expiring",
					"FROM loyalty.points_members_cached", where(inShop))),
				number(4, "Expiring in 60 days", "Points that run out within 60 days from now, those of the next 30 among them. Refreshed every few minutes.", whole, amber, asTable(
					"SELECT sum(expiring_60_days) AS expiring",
					"FROM loyalty.points_members_cached", where(inShop))),
				number(4, "Expiring in 90 days", "Points that run out within 90 days from now, those of the next 60 among them. Refreshed every few minutes.", whole, amber, asTable(
					"SELECT sum(expiring_90_days) AS expiring",
					"FROM loyalty.points_members_cached", where(inShop))),
			},
			{
				rows(16, 12, "Cohorts", "Customers by the month in which they first earned points, and the share of them whose points changed that many months later, all history. Customers who had points before their first event are in none. Months are in UTC, and a share is told when its month is over. Refreshed every few minutes.", "No customer has earned points.", cohorts(12), cohortColumns(12)...),
				pie(8, 12, "Segments", "Customers by how lately, how often and how much they earned, within their shop. The data dictionary says what each segment is. Refreshed every few minutes.", whole, "Customers", asTable(
					"SELECT",
					"  segment AS \"Segment\",",
					"  count() AS \"Customers\"",
					"FROM loyalty.points_segments_cached", where(inShop),
					"GROUP BY segment",
					"ORDER BY \"Customers\" DESC, segment")),
			},
			{
				rows(7, 10, "Top days", "The days of the selected time on which most points were earned, in the selected time zone.", "No points changed in the selected time.", asTable(
					"SELECT",
					"  toString(toDate(updated_at, ${tz:sqlstring})) AS \"Day\",",
					"  count() AS \"Events\",",
					"  sumIf(points_delta, points_delta > 0) AS \"Earned\",",
					"  -sumIf(points_delta, points_delta < 0) AS \"Burned\"",
					"FROM loyalty.points", inPoints,
					"GROUP BY \"Day\"",
					"ORDER BY \"Earned\" DESC, \"Day\"",
					"LIMIT 10"),
					barred("Earned", whole, green), barred("Burned", whole, orange)),
				rows(12, 10, "Largest balances", "The customers with most points now, whatever the selected time. A click on a customer opens the ledger. Refreshed every few minutes.", "No customer has points.", asTable(
					"SELECT",
					"  shop_id AS \"Shop\",",
					"  buyer_id AS \"Customer\",",
					"  points_balance AS \"Points\",",
					"  expiring_30_days AS \"Expiring in 30 days\",",
					"  last_event_at AS \"Latest event\"",
					"FROM loyalty.points_members_cached", where(inShop),
					"ORDER BY points_balance DESC, shop_id, buyer_id",
					"LIMIT 50"),
					toLedger(), barred("Points", whole, blue)),
				ranking(5, 10, "Outstanding by shop", "The ten shops with most points outstanding now, whatever the selected time. Refreshed every few minutes.", whole, blue, "Outstanding", asTable(
					"SELECT",
					"  shop_id AS \"Shop\",",
					"  sum(points_balance) AS \"Outstanding\"",
					"FROM loyalty.points_members_cached", where(inShop),
					"GROUP BY shop_id",
					"ORDER BY \"Outstanding\" DESC, shop_id",
					"LIMIT 10")),
			},
		},
	}
}

// cohorts has a column for each of the first months after a customer's first
// points. A month that is not over is empty, for it would look as if customers had
// left.
func cohorts(months int) sqlQuery {
	query := []string{
		"SELECT",
		"  formatDateTime(cohort_month, '%Y-%m') AS \"Cohort\",",
		"  sumIf(members, months_since = 0) AS \"Members\",",
	}
	for m := 1; m <= months; m++ {
		comma := ","
		if m == months {
			comma = ""
		}
		query = append(query, fmt.Sprintf(
			"  if(addMonths(cohort_month, %d) > toDate(now('UTC')), NULL, sumIf(active_members, months_since = %d) / \"Members\") AS %q%s",
			m+1, m, monthLater(m), comma))
	}
	return asTable(append(query,
		"FROM loyalty.points_cohorts_cached", where(inShop),
		"GROUP BY cohort_month",
		"ORDER BY cohort_month DESC",
		"LIMIT 24")...)
}

func cohortColumns(months int) []column {
	var columns []column
	for m := 1; m <= months; m++ {
		columns = append(columns, shaded(monthLater(m)))
	}
	return columns
}

func monthLater(m int) string { return fmt.Sprintf("+%d", m) }
