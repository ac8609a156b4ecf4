package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// customersAndConsent is who the customers are, and who of them may be written to.
func customersAndConsent() board {
	// The latest state, in the selected time, of each customer that changed in it. The
	// tuple is there for what the latest update does not tell: argMax passes over NULL.
	latest := func(columns ...string) []string {
		query := []string{"(", "  SELECT"}
		for i, c := range columns {
			comma := ","
			if i == len(columns)-1 {
				comma = ""
			}
			query = append(query, "    argMax(tuple("+c+"), (updated_at, received_at, event_id)).1 AS "+c+"_now"+comma)
		}
		return append(query,
			"  FROM loyalty.customer_changes",
			"  WHERE "+inTime,
			"    AND "+inShop,
			"  GROUP BY shop_id, customer_id",
			")")
	}
	// The steps of consent_funnel, which would read all history.
	funnel := func(channel string) sqlQuery {
		return asTable(
			"SELECT",
			"  step.1 AS \"Step\",",
			"  step.2 AS \"Customers\"",
			"FROM",
			"(",
			"  SELECT",
			"    [",
			"      ('customers', count()),",
			"      ('reachable', countIf(reachable)),",
			"      ('asked', countIf(reachable AND state_label IN ('subscribed', 'unsubscribed', 'pending'))),",
			"      ('subscribed', countIf(reachable AND state_label = 'subscribed')),",
			"      ('confirmed', countIf(reachable AND state_label = 'subscribed' AND opt_in_label = 'confirmed_opt_in'))",
			"    ] AS steps",
			"  FROM loyalty.customer_consents_cached",
			"  WHERE channel = '"+channel+"'",
			"    AND "+inShop,
			")",
			"ARRAY JOIN steps AS step")
	}
	states := func(channel string) sqlQuery {
		return asTable(
			"SELECT",
			"  state_label AS \"State\",",
			"  count() AS \"Customers\"",
			"FROM loyalty.customer_consents_cached", where("channel = '"+channel+"'", inShop),
			"GROUP BY state_label",
			"ORDER BY \"Customers\" DESC, state_label")
	}
	subscribed := func(channel string) sqlQuery {
		return asTable(
			"SELECT countIf(state_label = 'subscribed') / nullIf(count(), 0) AS rate",
			"FROM loyalty.customer_consents_cached", where("channel = '"+channel+"'", inShop))
	}
	changes := func(channel string) sqlQuery {
		return asSeries(
			withStep,
			"SELECT",
			"  "+bucket("assumeNotNull(consent_updated_at)")+" AS time,",
			"  state_label AS state,",
			"  count() AS customers",
			"FROM loyalty.customer_consents_cached",
			where("$__timeFilter_ms(consent_updated_at)", "channel = '"+channel+"'", inShop),
			"GROUP BY time, state",
			"ORDER BY time, state")
	}
	return board{
		uid:         "customers-and-consent",
		title:       "Customers and consent",
		description: "Who the customers are, how many are new, and who of them may be written to by e-mail and SMS.",
		tags:        []string{"customers"},
		from:        "now-90d",
		variables:   []dashboard.VariableModel{shopVariable(), timeZoneVariable(), intervalVariable()},
		annotations: []dashboard.AnnotationQuery{},
		rows: [][]dashboard.Panel{
			{
				number(5, "Customers", "Customers of whom an update has come, all history. A customer of two shops counts twice. Refreshed every few minutes.", whole, blue, asTable(
					"SELECT count() AS customers",
					"FROM loyalty.customer_consents_cached", where("channel = 'email'", inShop))),
				number(5, "New customers", "Customers whose account was created in the selected time, of those of whom an update has come since.", whole, green, asTable(
					"SELECT "+profiles+" AS customers",
					"FROM loyalty.customer_changes",
					where("updated_at >= $__fromTime_ms", "$__timeFilter_ms(created_at)", inShop))),
				number(4, "Customers updated", "Customers of whom an update came with a time in the selected time. Resends count once.", whole, blue, asTable(
					"SELECT "+profiles+" AS customers",
					"FROM loyalty.customer_changes", where(inTime, inShop))),
				dial(5, "Subscribed to e-mail", "The share of all customers who are subscribed to e-mail now, whatever the selected time. Refreshed every few minutes.", green, subscribed("email")),
				dial(5, "Subscribed to SMS", "The share of all customers who are subscribed to SMS now, whatever the selected time. Refreshed every few minutes.", green, subscribed("sms")),
			},
			{
				coloured(sideBySide(16, 9, "New customers over time", "Accounts by the time of their creation, of customers of whom an update has come since.", whole, asSeries(
					withStep,
					"SELECT",
					"  "+bucket("assumeNotNull(created_at)")+" AS time,",
					"  "+profiles+" AS \"New customers\"",
					"FROM loyalty.customer_changes",
					where("updated_at >= $__fromTime_ms", "$__timeFilter_ms(created_at)", inShop),
					"GROUP BY time",
					"ORDER BY time")), "New customers", green),
				categories(8, 9, "New customers per month", "Accounts by the month of their creation in the selected time zone, of customers of whom an update has come since.", whole, green, asTable(
					"SELECT",
					"  formatDateTime(assumeNotNull(created_at), '%Y-%m', ${tz:sqlstring}) AS \"Month\",",
					"  "+profiles+" AS \"New customers\"",
					"FROM loyalty.customer_changes",
					where("updated_at >= $__fromTime_ms", "$__timeFilter_ms(created_at)", inShop),
					"GROUP BY \"Month\"",
					"ORDER BY \"Month\"")),
			},
			{
				categories(12, 8, "E-mail consent, step by step", "All customers now: who has an address, was ever asked, is subscribed, and has confirmed it. The data dictionary says what each step is. Refreshed every few minutes.", whole, blue, funnel("email")),
				categories(12, 8, "SMS consent, step by step", "All customers now: who has a phone number, was ever asked, is subscribed, and has confirmed it. The data dictionary says what each step is. Refreshed every few minutes.", whole, blue, funnel("sms")),
			},
			{
				stacked(9, 9, "E-mail consent by its latest change", "Customers by when their consent to e-mail last changed and what it has been since. Refreshed every few minutes.", whole, "state", changes("email")),
				stacked(9, 9, "SMS consent by its latest change", "Customers by when their consent to SMS last changed and what it has been since. Refreshed every few minutes.", whole, "state", changes("sms")),
				pie(6, 9, "E-mail consent now", "All customers by the state of their consent to e-mail, whatever the selected time. Refreshed every few minutes.", whole, "Customers", states("email")),
			},
			{
				pie(6, 9, "SMS consent now", "All customers by the state of their consent to SMS, whatever the selected time. Refreshed every few minutes.", whole, "Customers", states("sms")),
				ranking(6, 9, "Where consent comes from", "Subscribed customers by where their consent was collected, e-mail and SMS together, whatever the selected time. Refreshed every few minutes.", whole, blue, "Customers", asTable(
					"SELECT",
					"  if(collected_from = '', 'not told', collected_from) AS \"Source\",",
					"  count() AS \"Customers\"",
					"FROM loyalty.customer_consents_cached", where("state_label = 'subscribed'", inShop),
					"GROUP BY \"Source\"",
					"ORDER BY \"Customers\" DESC, \"Source\"",
					"LIMIT 10")),
				pie(6, 9, "Accounts by state", "Customers of whom an update came in the selected time, by what the latest of them says of the account.", whole, "Customers", asTable(append(append([]string{
					"SELECT",
					"  transform(ifNull(state_now, -1), [0, 1, 2, 3], ['disabled', 'to_enable', 'invited', 'valid'], 'unknown') AS \"State\",",
					"  count() AS \"Customers\"",
					"FROM",
				}, latest("state")...),
					"GROUP BY \"State\"",
					"ORDER BY \"Customers\" DESC, \"State\"")...)),
				ranking(6, 9, "Fields that change most", "How often an update told another value of a field than the customer's update before, where both are of the last 14 days of the selected time. Resends count once.", whole, blue, "Changes", changedFields()),
			},
			{
				ranking(12, 9, "Languages", "Customers of whom an update came in the selected time, by the language that the latest of them tells.", whole, blue, "Customers", asTable(append(append([]string{
					"SELECT",
					"  if(language_now = '', 'not told', language_now) AS \"Language\",",
					"  count() AS \"Customers\"",
					"FROM",
				}, latest("language")...),
					"GROUP BY \"Language\"",
					"ORDER BY \"Customers\" DESC, \"Language\"",
					"LIMIT 10")...)),
				ranking(12, 9, "Countries", "Customers of whom an update came in the selected time, by the country of the default address that the latest of them tells.", whole, blue, "Customers", asTable(append(append([]string{
					"SELECT",
					"  if(default_address_country_code_now = '', 'not told', default_address_country_code_now) AS \"Country\",",
					"  count() AS \"Customers\"",
					"FROM",
				}, latest("default_address_country_code")...),
					"GROUP BY \"Country\"",
					"ORDER BY \"Customers\" DESC, \"Country\"",
					"LIMIT 10")...)),
			},
		},
	}
}

// changedFields counts what customer_field_changes would list. That view compares
// all fields of all history, which is for one customer and not for all of them.
// So this compares the hashes of the fields of a bounded time.
func changedFields() sqlQuery {
	fields := []string{
		"accepts_marketing", "accepts_mobile_marketing", "birthday", "currency",
		"default_address_address1", "default_address_city", "default_address_country_code", "default_address_phone", "default_address_zip",
		"email", "email_marketing_consent_state", "first_name", "gender", "language", "last_name", "last_order_id", "nick_name", "note",
		"orders_count", "phone", "sms_marketing_consent_state", "state", "tags", "total_spent", "verified_email",
	}
	query := []string{
		"SELECT",
		"  field AS \"Field\",",
		"  count() AS \"Changes\"",
		"FROM",
		"(",
		"  SELECT",
		"    hashes,",
		"    any(hashes) OVER before AS hashes_before,",
		"    count() OVER before AS updates_before",
		"  FROM",
		"  (",
		"    SELECT",
		"      shop_id,",
		"      customer_id,",
		"      updated_at,",
		"      received_at,",
		"      event_id,",
		"      [",
	}
	for i, field := range fields {
		comma := ","
		if i == len(fields)-1 {
			comma = ""
		}
		query = append(query, "        ifNull(cityHash64("+field+"), 0)"+comma)
	}
	return asTable(append(query,
		"      ] AS hashes",
		"    FROM loyalty.customer_changes",
		"    WHERE "+inTime,
		"      AND updated_at > $__toTime_ms - INTERVAL 14 DAY",
		"      AND "+inShop,
		"  )",
		"  WINDOW before AS (PARTITION BY shop_id, customer_id ORDER BY updated_at, received_at, event_id ROWS BETWEEN 1 PRECEDING AND 1 PRECEDING)",
		")",
		"ARRAY JOIN",
		"  ['"+strings.Join(fields, "', '")+"'] AS field,",
		"  hashes AS hash,",
		"  hashes_before AS hash_before",
		"WHERE updates_before > 0",
		"  AND hash != hash_before",
		"GROUP BY field",
		"ORDER BY \"Changes\" DESC, field",
		"LIMIT 12")...)
}
