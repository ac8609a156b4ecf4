package answers_test

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"loyaltyhouse/dashboards"
)

// A mutant is a dashboard of which a part of the file is another: a mistake that
// somebody could make. Of is the title of a panel, or the name of a variable or an
// annotation.
type mutant struct{ uid, of, old, new string }

const (
	shopFilter   = "$__conditionalAll(shop_id IN (${shop:sqlstring}), $shop)"
	sceneFilter  = "$__conditionalAll(updated_scene IN (${scene:sqlstring}), $scene)"
	reasonFilter = "$__conditionalAll(update_reason IN (${reason:sqlstring}), $reason)"
	none         = "1=1"
)

var mutants = []mutant{
	{"points-by-scene", "Points earned", "loyalty.points", "loyalty.fact_points FINAL"},
	{"points-by-scene", "Points earned", "loyalty.points", "loyalty.fact_points"},
	{"points-by-scene", "Points earned", shopFilter, none},
	{"points-by-scene", "Points earned", "updated_at", "received_at"},
	{"points-by-scene", "Points burned", "-sumIf", "sumIf"},
	{"points-by-scene", "Net", sceneFilter, none},
	{"points-by-scene", "Net", "sum(points_delta)", "sum(abs(points_delta))"},
	{"points-by-scene", "Redemption rate", `"percentunit"`, `"percent"`},
	{"points-by-scene", "Redemption rate", shopFilter, sceneFilter},
	{"points-by-scene", "Redemption rate", shopFilter, shopFilter + " AND " + sceneFilter},
	{"points-by-scene", "Redemption rate", `"max":1,`, `"max":100,`},
	{"points-by-scene", "Redemption rate", " AS rate", " * 100 AS rate"},
	{"points-by-scene", "Active members", "cityHash64(shop_id, buyer_id)", "cityHash64(buyer_id)"},
	{"points-by-scene", "Earned by scene", ", ${tz:sqlstring})", ", 'UTC')"},
	{"points-by-scene", "Earned by scene", "toDateTime(toDate(dateTrunc(step, updated_at, ${tz:sqlstring})), 'UTC')", "toDateTime(dateTrunc(step, updated_at, ${tz:sqlstring}), ${tz:sqlstring})"},
	{"points-by-scene", "Earned by scene", "step = 'hour'", "step = 'minute'"},
	{"points-by-scene", "Earned by scene", "step = 'hour'", "step = 'day'"},
	{"points-by-scene", "Earned by scene", "'week'", "'month'"},
	{"points-by-scene", "Earned by scene", "> 72", "> 24"},
	{"points-by-scene", "Earned by scene", "updated_scene AS scene", "update_type AS scene"},
	{"points-by-scene", "Earned by scene", "labels.scene", "labels.reason"},
	{"points-by-scene", "Burned by scene", "points_delta < 0", "points_delta > 0"},
	{"points-by-scene", "Totals by scene", `AS \"Earned\"`, `AS \"Earnt\"`},
	{"points-by-scene", "Totals by scene", "DESC, updated_scene", "DESC, updated_scene DESC"},
	{"points-by-scene", "Totals by scene", `{"id":"unit","value":"percentunit"}`, `{"id":"unit","value":"percent"}`},
	{"points-by-scene", "Which scenes' points get burned", "least(burned, total)", "burned"},
	{"points-by-scene", "Which scenes' points get burned", "GROUP BY cityHash64(shop_id, buyer_id)", "GROUP BY cityHash64(buyer_id)"},
	{"points-by-scene", "Points outstanding", "sum(points_balance)", "sum(earned - burned)"},
	{"points-by-scene", "Expired", "expired_points", "expiring_90_days"},
	{"points-by-scene", "Members with points", "> 0", ">= 0"},
	{"points-by-scene", "Expiring in 30 days", "expiring_30_days", "expiring_60_days"},
	{"points-by-scene", "Expiring in 60 days", "expiring_60_days", "expiring_90_days"},
	{"points-by-scene", "Cohorts", "months_since = 3)", "months_since = 2)"},
	{"points-by-scene", "Cohorts", "addMonths(cohort_month, 5) > toDate(now('UTC')), NULL", "addMonths(cohort_month, 5) > toDate(now('UTC')), 0"},
	{"points-by-scene", "Cohorts", "addMonths(cohort_month, 3) >", "addMonths(cohort_month, 2) >"},
	{"points-by-scene", "Segments", shopFilter, none},
	{"points-by-scene", "Top days", ", ${tz:sqlstring}", ""},
	{"points-by-scene", "Top days", "LIMIT 10", "LIMIT 9"},
	{"points-by-scene", "Top days", `\"Earned\" DESC`, `\"Burned\" DESC`},
	{"points-by-scene", "Largest balances", "points_balance AS", "earned AS"},
	{"points-by-scene", "Outstanding by shop", `"/^Outstanding$/"`, `"/^Points$/"`},
	{"points-by-scene", "scene", "$__timeFilter_ms(updated_at)", none},
	{"points-by-scene", "shop", "fact_customer_changes", "fact_points"},
	{"points-by-scene", "Gaps", "ledger IN ('points')", none},
	{"points-by-scene", "Gaps", "$__fromTime", "$__toTime"},

	{"store-credits", "Issued", " / 100", ""},
	{"store-credits", "Issued", `"decimals":2`, `"decimals":0`},
	{"store-credits", "Issued", "loyalty.store_credits", "loyalty.fact_store_credits"},
	{"store-credits", "Used", `"locale"`, `"percentunit"`},
	{"store-credits", "Use rate", shopFilter, shopFilter + " AND " + reasonFilter},
	{"store-credits", "Used by reason", " / 100", " / 1000"},
	{"store-credits", "Totals by reason", `{"id":"decimals","value":2}`, `{"id":"decimals","value":0}`},
	{"store-credits", "Issued by reason, in all", "balance_delta_cents > 0", "balance_delta_cents < 0"},
	{"store-credits", "Outstanding", "sum(current_balance_cents)", "sum(issued_cents - used_cents)"},
	{"store-credits", "Expired", "expired_cents", "expiring_30_days_cents"},
	{"store-credits", "Customers with credits", "current_balance_cents > 0", "issued_cents > 0"},
	{"store-credits", "Largest balances", "last_used_at", "last_issued_at"},
	{"store-credits", "Expiring in 90 days", "expiring_90_days_cents", "expiring_60_days_cents"},

	{"gift-cards", "Sold", "'SELF_PURCHASE', 'OTHERS_SEND'", "'SELF_PURCHASE'"},
	{"gift-cards", "Redeemed", "AND scene_type = 'PURCHASE_PAYMENT'", ""},
	{"gift-cards", "Refunded", "'RETURN_INCREASE'", "'PURCHASE_PAYMENT'"},
	{"gift-cards", "Disabled", "'CARD_DISABLED'", "'CARD_DIABLED'"},
	{"gift-cards", "Disabled", "ifNull(current_balance_cents, 0)", "0"},
	{"gift-cards", "Cards changed", "cityHash64(shop_id, gift_card_code)", "cityHash64(gift_card_code)"},
	{"gift-cards", "Outstanding", "state = 'active'", "state != 'disabled'"},
	{"gift-cards", "Breakage rate", "sold_cents", "redeemed_cents"},
	{"gift-cards", "Expiring", "state = 'active' AND", ""},
	{"gift-cards", "Expiring", "[30, 60, 90]", "[30, 60, 91]"},
	{"gift-cards", "Changes by scene", "loyalty.gift_cards", "loyalty.fact_gift_cards"},
	{"gift-cards", "From sale to first use", ", ${tz:sqlstring}", ""},
	{"gift-cards", "From sale to first use", "days < 7,", "days <= 7,"},
	{"gift-cards", "Cards", "redeemed_cents / 100", "redeemed_cents"},
	{"gift-cards", "Cards", "expires_at AS", "updated_at AS"},
	{"gift-cards", "Expiring next", "state = 'active'", none},
	{"gift-cards", "Expiring next", "age('day', now(), expires_at)", "age('hour', now(), expires_at)"},

	{"customers-and-consent", "Customers", "channel = 'email'", none},
	{"customers-and-consent", "New customers", "$__timeFilter_ms(created_at)", none},
	{"customers-and-consent", "Customers updated", "shop_id, customer_id", "customer_id"},
	{"customers-and-consent", "Subscribed to SMS", "'sms'", "'email'"},
	{"customers-and-consent", "New customers per month", "'%Y-%m'", "'%Y-%d'"},
	{"customers-and-consent", "E-mail consent, step by step", "reachable AND state_label = 'subscribed')", "state_label != 'unknown')"},
	{"customers-and-consent", "SMS consent, step by step", "'unsubscribed', 'pending'", "'pending'"},
	{"customers-and-consent", "SMS consent by its latest change", "$__timeFilter_ms(consent_updated_at)", "$__timeFilter_ms(updated_at)"},
	{"customers-and-consent", "Where consent comes from", "state_label = 'subscribed'", none},
	{"customers-and-consent", "Accounts by state", "argMax(tuple(state), (updated_at, received_at, event_id)).1", "argMax(state, (updated_at, received_at, event_id))"},
	{"customers-and-consent", "Accounts by state", "'disabled', 'to_enable'", "'to_enable', 'disabled'"},
	{"customers-and-consent", "Fields that change most", "PARTITION BY shop_id, customer_id", "PARTITION BY customer_id"},
	{"customers-and-consent", "Fields that change most", "14 DAY", "13 DAY"},
	{"customers-and-consent", "Fields that change most", "loyalty.customer_changes", "loyalty.fact_customer_changes"},
	{"customers-and-consent", "Languages", "argMax", "argMin"},
	{"customers-and-consent", "Countries", "default_address_country_code", "default_address_country"},

	{"customer-ledger", "Points", "buyer_id = ${customer:sqlstring}", none},
	{"customer-ledger", "Store credits", shopFilter, none},
	{"customer-ledger", "On gift cards", "state = 'active'", none},
	{"customer-ledger", "Gaps", "UNION ALL", "UNION DISTINCT"},
	{"customer-ledger", "Profile", "sum(earned)", "sum(burned)"},
	{"customer-ledger", "Profile", "latest.10 / 100", "latest.10"},
	{"customer-ledger", "Points balance", "points_balance AS points", "points_delta AS points"},
	{"customer-ledger", "Events", "balance_delta_cents / 100", "balance_delta_cents"},
	{"customer-ledger", "Events", `\"Time\" DESC`, `\"Time\"`},
	{"customer-ledger", "Events", "received_at", "updated_at"},
	{"customer-ledger", "Gift cards", "redeemed_cents / 100", "sold_cents / 100"},
	{"customer-ledger", "Changes of the profile", "old_value", "new_value"},
	{"customer-ledger", "Changes of the profile", "$__timeFilter_ms(updated_at)", none},
	{"customer-ledger", "Gaps of this customer", "expected_balance_cents / 100, current_balance_cents / 100", "current_balance_cents / 100, expected_balance_cents / 100"},
	{"customer-ledger", "Deliveries", "SELECT shop_id, event_id FROM loyalty.customer_changes", "SELECT shop_id, event_id FROM loyalty.points"},
	{"customer-ledger", "Deliveries", "length(body)", "lengthUTF8(body)"},

	{"trust", "Gaps", "toDate($__fromTime, 'UTC')", "toDate($__fromTime, 'UTC') + 10"},
	{"trust", "Gaps", shopFilter, none},
	{"trust", "Explained", "1 - ", ""},
	{"trust", "Dead letters", "$__timeFilter_ms(received_at)", none},
	{"trust", "Resends", "uniqExact(reinterpretAsUInt64(event_id))", "uniqExact(webhook_id)"},
	{"trust", "Gaps by day", "sum(gaps)", "sum(events)"},
	{"trust", "Dead letters over time", ", ${tz:sqlstring})", ", 'UTC')"},
	{"trust", "Reconciliation", "sum(unexplained)", "sum(gaps)"},
	{"trust", "Reconciliation", "uniqExactIf(shop_id, gaps > 0)", "uniqExact(shop_id)"},
	{"trust", "Gaps, one by one", "previous_at", "updated_at"},
	{"trust", "Dead letters, by reason and topic", "argMax(detail", "argMin(detail"},
	{"trust", "Dead letters, by reason and topic", "stage AS", "'normalize' AS"},
	{"trust", "Freshness", "last_received_at, now64", "last_updated_at, now64"},
	{"trust", "Freshness", "'second'", "'minute'"},
	{"trust", "Freshness", `{"id":"unit","value":"s"}`, `{"id":"unit","value":"ms"}`},
	{"trust", "Deliveries and events", "loyalty.raw_webhooks", "loyalty.dead_letters"},
	{"trust", "Deliveries by topic", "LIMIT 20", "LIMIT 2"},
	{"trust", "Refreshed", "'second'", "'day'"},
	{"trust", "Refreshed", "'points_gaps'", "'points_gapes'"},
	{"trust", "Refreshed", "last_success_time, now", "next_refresh_time, now"},
	{"trust", "Refreshed", "exception != ''", "exception = ''"},
	{"trust", "Refreshed", "'loyalty'", "'default'"},
	{"trust", "Dead letters", "${tz:sqlstring}", "'UTC'"},
	{"trust", "Dead letters", "toDateTime(toDate(dateTrunc('day', received_at, ${tz:sqlstring})), 'UTC')", "toDateTime(dateTrunc('day', received_at, ${tz:sqlstring}), ${tz:sqlstring})"},
	{"trust", "Dead letters", "step = 'hour'", "step = 'minute'"},
	{"trust", "Gaps", "gaps > 0", none},
}

// Every mistake is found: so much is in the programme, and so exact are the
// comparisons.
func TestMistakesAreFound(t *testing.T) {
	all, err := dashboards.Load()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutants {
		t.Run(m.uid+"/"+m.of+"/"+m.new, func(t *testing.T) {
			i := slices.IndexFunc(all, func(d *dashboards.Dashboard) bool { return d.UID == m.uid })
			file, of := m.apply(t, all[i].File)
			d, err := dashboards.Parse(file)
			if err != nil {
				t.Fatal(err)
			}
			if !boards[m.uid].complains(t, d, of, m.of) {
				t.Errorf("nothing is wrong with %q in the place of %q", m.new, m.old)
			}
		})
	}
}

// apply changes the file, and returns of what it has changed something.
func (m mutant) apply(t *testing.T, file []byte) (changed []byte, of string) {
	t.Helper()
	var tree map[string]any
	if err := json.Unmarshal(file, &tree); err != nil {
		t.Fatal(err)
	}
	list := func(key string) []any {
		inner, _ := tree[key].(map[string]any)
		items, _ := inner["list"].([]any)
		return items
	}
	panels, _ := tree["panels"].([]any)
	for _, place := range []struct {
		of, key string
		items   []any
	}{{"panel", "title", panels}, {"variable", "name", list("templating")}, {"annotation", "name", list("annotations")}} {
		for i, item := range place.items {
			if item.(map[string]any)[place.key] != m.of {
				continue
			}
			before := encode(t, item)
			after := strings.ReplaceAll(before, m.old, m.new)
			if before == after {
				continue
			}
			var mutated any
			if err := json.Unmarshal([]byte(after), &mutated); err != nil {
				t.Fatal(err)
			}
			place.items[i] = mutated
			return []byte(encode(t, tree)), place.of
		}
	}
	t.Fatalf("%s of %s has no %q", m.of, m.uid, m.old)
	return nil, ""
}

// encode writes JSON as it is in the files, with > and & as they are.
func encode(t *testing.T, tree any) string {
	t.Helper()
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(tree); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// complains tells whether something is wrong with the panel, variable or annotation
// of this name.
func (b board) complains(t *testing.T, d *dashboards.Dashboard, of, name string) bool {
	t.Helper()
	looks, err := looks(d)
	if err != nil {
		t.Fatal(err)
	}
	page := newPage(d)
	for i, c := range b.choices(d) {
		var wrong []string
		switch of {
		case "variable":
			wrong = page.checkVariable(t, name, b.variables[name](played, c), c)
		case "annotation":
			wrong = page.checkAnnotation(t, name, b.annotations[name], c, i == 0)
		default:
			panel := d.Panels[slices.IndexFunc(d.Panels, func(p *dashboards.Panel) bool { return p.Title == name })]
			wrong = page.checkPanel(t, panel, looks[panel.ID], b.panels[name], c, i == 0)
		}
		if len(wrong) > 0 {
			return true
		}
	}
	return false
}
