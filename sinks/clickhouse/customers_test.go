package clickhouse_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
)

// update returns an update of a customer at a second, received at a millisecond.
func update(n int, shop, customer string, at, received int64, columns map[string]schema.Value) schema.Row {
	table := factTable("fact_customer_changes")
	row := make(schema.Row, len(table.Columns))
	for name, value := range map[string]schema.Value{
		"event_id": schema.TextValue(eventID(table.Name, rowWith(table, n, nil))),
		"shop_id":  schema.TextValue(shop), "customer_id": schema.TextValue(customer),
		"updated_at": millis(at * 1000), "received_at": millis(received), "normalized_at": millis(received),
	} {
		row[table.Index(name)] = value
	}
	for name, value := range columns {
		row[table.Index(name)] = value
	}
	return row
}

// retracted returns the row that takes this one back, as a replay makes it.
func retracted(row schema.Row, at int64) schema.Row {
	row = slices.Clone(row)
	*row.NormalizedAt() = millis(at)
	*row.Retracted() = schema.IntValue(1)
	return row
}

// holdMerges keeps resends and retracted rows beside what they replace.
func (w *warehouse) holdMerges(t testing.TB, tables ...string) {
	t.Helper()
	for _, table := range tables {
		execute(t, w.conn, "SYSTEM STOP MERGES "+w.cfg.Database+"."+table)
	}
}

func note(text string) map[string]schema.Value {
	return map[string]schema.Value{"note": schema.TextValue(text)}
}

func TestCustomersAsOfAMoment(t *testing.T) {
	w := openWarehouse(t)
	table := factTable("fact_customer_changes")
	w.holdMerges(t, table.Name)
	expect := func(seconds, want string) {
		t.Helper()
		view := fmt.Sprintf("customers_at(at = '2026-01-01 00:00:%s')", seconds)
		if got := strings.ReplaceAll(w.ask(t, "shop_id; note", view, "1"), "\n", "; "); got != want {
			t.Errorf("at second %s the customers are %q, want %q", seconds, got, want)
		}
	}
	wrong := update(7, "1", "c", 40, 700, note("wrong"))
	w.insert(t, table, update(2, "1", "c", 20, 200, note("second")), wrong)
	w.insert(t, table, update(1, "1", "c", 10, 100, note("first")), update(1, "2", "c", 15, 100, note("of another shop")))
	w.insert(t, table, update(4, "1", "c", 30, 400, note("third, received last")), update(5, "1", "c", 30, 300, note("third")))
	for range 2 {
		expect("00", "")
		expect("09.999", "")
		expect("10", "1, first")
		expect("19.999", "1, first; 2, of another shop")
		expect("20", "1, second; 2, of another shop")
		expect("30", "1, third, received last; 2, of another shop")
		expect("40", "1, wrong; 2, of another shop")
		// Resends change nothing, nor does what is later.
		w.insert(t, table, update(1, "1", "c", 10, 800, note("first")), update(2, "1", "c", 20, 800, note("second")))
		w.insert(t, table, update(9, "1", "c", 50, 900, note("later")))
	}
	w.insert(t, table, retracted(wrong, 1000))
	expect("40", "1, third, received last; 2, of another shop")
	expect("50", "1, later; 2, of another shop")
	if at, now := w.ask(t, "tuple(*)", "customers_at(at = '2299-01-01 00:00:00')", "1"), w.ask(t, "tuple(*)", "customers", "1"); at != now {
		t.Errorf("in the end customers_at has\n%s\nand customers\n%s", at, now)
	}
	got := text(t, w.conn, "note", fmt.Sprintf("FROM %s.customers_at(at = toDateTime64('2026-01-01 08:00:20', 3, 'Asia/Shanghai')::DateTime64(3, 'UTC')) WHERE shop_id = '1'", w.cfg.Database))
	if got != "second" {
		t.Errorf("at a time that was in another zone the customer is %q, want second", got)
	}
}

// Every column of the body is compared, each under its own name.
func TestFieldChangesNameEveryColumn(t *testing.T) {
	w := openWarehouse(t)
	table := factTable("fact_customer_changes")
	changed := func(c schema.Column, n int) schema.Value {
		v := rowWith(table, n, nil)[table.Index(c.Name)]
		if c.Array { // Nested columns have the same number of elements, hence another element, not another number.
			v.List = v.List[len(v.List)-1:]
		}
		return v
	}
	var rows []schema.Row
	var want []string
	notCompared := []string{"customer_id", "updated_at", "normalized_at", "retracted"}
	for i, c := range table.Columns {
		if i <= schema.ReceivedAt || slices.Contains(notCompared, c.Name) {
			continue
		}
		for k, n := range []int{4, 5} {
			columns := map[string]schema.Value{}
			for _, other := range table.Columns {
				if other.Array {
					columns[other.Name] = changed(other, 4)
				}
			}
			columns[c.Name] = changed(c, n)
			rows = append(rows, update(2*i+k, "1", c.Name, int64(k), int64(k), columns))
		}
		want = append(want, c.Name+", "+c.Name+", 1, 1")
	}
	w.insert(t, table, rows...)
	got := w.ask(t, "customer_id; field; toUInt8(old_value != ''); toUInt8(new_value != '')", "customer_field_changes", "1")
	slices.Sort(want)
	if diff := cmp.Diff(want, strings.Split(got, "\n")); diff != "" {
		t.Errorf("other changes (-want +got):\n%s", diff)
	}
}

func TestFieldChanges(t *testing.T) {
	w := openWarehouse(t)
	table := factTable("fact_customer_changes")
	w.holdMerges(t, table.Name)
	list := func(texts ...string) schema.Value {
		v := schema.Value{Set: true}
		for _, text := range texts {
			v.List = append(v.List, schema.TextValue(text))
		}
		return v
	}
	first := update(1, "1", "c", 10, 100, map[string]schema.Value{
		"email": schema.TextValue("a@example.com"), "tags": list("new"), "orders_count": null, "birthday": schema.IntValue(10), "verified_email": schema.IntValue(0),
	})
	second := update(9, "1", "c", 20, 200, map[string]schema.Value{
		"email": schema.TextValue("b@example.com"), "tags": list("gold", "it's"), "orders_count": schema.IntValue(0), "verified_email": schema.IntValue(1),
	})
	third := update(3, "1", "c", 20, 300, map[string]schema.Value{
		"email": schema.TextValue("b@example.com"), "tags": list("gold", "it's"), "orders_count": schema.IntValue(3), "verified_email": schema.IntValue(1),
	})
	wrong := update(4, "1", "c", 15, 250, note("wrong"))
	same := update(5, "1", "c", 30, 400, map[string]schema.Value{
		"email": schema.TextValue("b@example.com"), "tags": list("gold", "it's"), "orders_count": schema.IntValue(3), "verified_email": schema.IntValue(1),
	})
	w.insert(t, table, third, same)
	w.insert(t, table, first, wrong)
	w.insert(t, table, update(6, "2", "c", 12, 100, note("of another shop")), update(7, "1", "d", 12, 100, note("of another customer")))
	w.insert(t, table, second, first)
	w.insert(t, table, retracted(wrong, 500), third)
	id := func(row schema.Row) string { return eventID(table.Name, row) }
	secondOf, thirdOf := id(first)+", "+id(second)+", 10, 20, ", id(second)+", "+id(third)+", 20, 20, "
	want := []string{
		secondOf + "birthday, '1970-01-11', ''",
		secondOf + "email, 'a@example.com', 'b@example.com'",
		secondOf + "orders_count, '', '0'",
		secondOf + `tags, '['new']', '['gold','it\'s']'`,
		secondOf + "verified_email, 'false', 'true'",
		thirdOf + "orders_count, '0', '3'",
	}
	slices.Sort(want)
	got := w.ask(t, "previous_event_id; event_id; toUnixTimestamp(previous_at) - 1767225600; toUnixTimestamp(updated_at) - 1767225600; field; "+
		`concat('\'', old_value, '\''); concat('\'', new_value, '\'')`, "customer_field_changes", "1")
	if diff := cmp.Diff(want, strings.Split(got, "\n")); diff != "" {
		t.Errorf("other changes (-want +got):\n%s", diff)
	}
}

func TestConsents(t *testing.T) {
	w := openWarehouse(t)
	table := factTable("fact_customer_changes")
	w.holdMerges(t, table.Name)
	const far = 1000
	var rows []schema.Row
	customer := func(name, email, phone string, emailState, emailLevel, smsState, smsLevel schema.Value) {
		rows = append(rows,
			update(2*len(rows)+1, "1", name, far, far, map[string]schema.Value{
				"email": schema.TextValue(email), "phone": schema.TextValue(phone),
				"email_marketing_consent_state": emailState, "email_marketing_consent_opt_in_level": emailLevel,
				"sms_marketing_consent_state": smsState, "sms_marketing_consent_opt_in_level": smsLevel,
				"email_marketing_consent_consent_collected_from": schema.TextValue("form"), "sms_marketing_consent_consent_collected_from": schema.TextValue("till"),
				"email_marketing_consent_consent_updated_at": millis(1000), "sms_marketing_consent_consent_updated_at": millis(2000),
			}),
			// What was before does not count any more.
			update(2*len(rows)+2, "1", name, far-1, far, map[string]schema.Value{
				"email": schema.TextValue("x"), "phone": schema.TextValue("x"),
				"email_marketing_consent_state": schema.IntValue(1), "sms_marketing_consent_state": schema.IntValue(1),
			}))
	}
	n := schema.IntValue
	customer("0", "e", "p", n(0), n(0), n(0), n(0))
	customer("1", "e", "p", n(1), n(1), n(1), n(1))
	customer("2", "e", "p", n(2), n(2), n(2), n(2))
	customer("3", "e", "p", n(3), n(2), n(3), n(3))
	customer("confirmed", "e", "p", n(1), n(2), n(1), n(2))
	customer("null", "e", "p", null, null, null, null)
	customer("other", "e", "p", n(-1), n(-1), n(9), n(9))
	customer("without an address", "", "", n(1), n(2), n(1), n(2))
	w.insert(t, table, rows...)
	w.insert(t, table, rows...)
	want := []string{
		"0, email, 0, unsubscribed, 0, unknown, form, 1, true", "0, sms, 0, unsubscribed, 0, unknown, till, 2, true",
		"1, email, 1, subscribed, 1, single_opt_in, form, 1, true", "1, sms, 1, subscribed, 1, single_opt_in, till, 2, true",
		"2, email, 2, not_subscribed, 2, confirmed_opt_in, form, 1, true", "2, sms, 2, not_available, 2, confirmed_opt_in, till, 2, false",
		"3, email, 3, pending, 2, confirmed_opt_in, form, 1, true", "3, sms, 3, unknown, 3, unknown, till, 2, true",
		"confirmed, email, 1, subscribed, 2, confirmed_opt_in, form, 1, true", "confirmed, sms, 1, subscribed, 2, confirmed_opt_in, till, 2, true",
		"null, email, NULL, unknown, NULL, unknown, form, 1, true", "null, sms, NULL, unknown, NULL, unknown, till, 2, true",
		"other, email, -1, unknown, -1, unknown, form, 1, true", "other, sms, 9, unknown, 9, unknown, till, 2, true",
		"without an address, email, 1, subscribed, 2, confirmed_opt_in, form, 1, false", "without an address, sms, 1, subscribed, 2, confirmed_opt_in, till, 2, false",
	}
	got := w.ask(t, "customer_id; channel; ifNull(toString(state), 'NULL'); state_label; ifNull(toString(opt_in_level), 'NULL'); opt_in_label; collected_from; "+
		"toUnixTimestamp(assumeNotNull(consent_updated_at)) - 1767225600; reachable", "customer_consents", "1")
	if diff := cmp.Diff(want, strings.Split(got, "\n")); diff != "" {
		t.Errorf("other consents (-want +got):\n%s", diff)
	}
	want = []string{
		"1, email, 1, customers, 8", "1, email, 2, reachable, 7", "1, email, 3, asked, 4", "1, email, 4, subscribed, 2", "1, email, 5, confirmed, 1",
		"1, sms, 1, customers, 8", "1, sms, 2, reachable, 6", "1, sms, 3, asked, 3", "1, sms, 4, subscribed, 2", "1, sms, 5, confirmed, 1",
	}
	if diff := cmp.Diff(want, strings.Split(w.ask(t, "shop_id; channel; position; step; customers", "consent_funnel", "1"), "\n")); diff != "" {
		t.Errorf("another funnel (-want +got):\n%s", diff)
	}
}

// A customer is shown whoever knows it, with all that is known of it. A customer of
// the same id in another shop is another one.
func TestCustomer360(t *testing.T) {
	w := openWarehouse(t)
	names := []string{"fact_points", "fact_store_credits", "fact_gift_cards", "fact_customer_changes"}
	w.holdMerges(t, names...)
	expires := func(year int64) schema.Value { return millis((year - 2026) * 366 * 86400_000) }
	card := func(n int, shop, buyer, code string, at, delta, balance int64, scene string, expiry schema.Value) schema.Row {
		return rowWith(factTable("fact_gift_cards"), n, map[string]schema.Value{
			"shop_id": schema.TextValue(shop), "buyer_id": schema.TextValue(buyer), "gift_card_code": schema.TextValue(code), "updated_at": millis(at * 1000),
			"balance_delta_cents": n64(delta), "current_balance_cents": told(balance), "scene_type": schema.TextValue(scene), "expires_at": expiry,
		})
	}
	points, credits := ledgers[0], ledgers[1]
	facts := map[string][]schema.Row{
		"fact_points": {
			points.row(1, "1", "all", change{10_000, 100, told(100), "a"}),
			points.row(2, "1", "all", change{20_000, -30, told(70), "b"}),
			points.row(3, "1", "all", change{30_000, 5, null, "b"}),
			points.row(4, "1", "points", change{40_000, -1, told(9), "a"}),
			points.row(5, "2", "all", change{50_000, 1, told(1), "a"}),
		},
		"fact_store_credits": {
			credits.row(1, "1", "all", change{15_000, 500, told(500), "a"}),
			credits.row(2, "1", "credits", change{25_000, 700, told(700), "a"}),
			credits.row(3, "1", "credits", change{20_000, -700, told(0), "a"}),
		},
		"fact_gift_cards": {
			card(1, "1", "all", "full", 5, 1000, 1000, "SELF_PURCHASE", expires(2200)),
			card(2, "1", "all", "never expires", 60, 200, 200, "SELF_PURCHASE", null),
			card(3, "1", "all", "used up", 6, -50, 0, "PURCHASE_PAYMENT", null),
			card(4, "1", "all", "expired", 7, 300, 300, "SELF_PURCHASE", expires(2020)),
			card(5, "1", "all", "disabled", 8, 0, 400, "CARD_DISABLED", null),
			card(8, "1", "all", "disabled, refunded later", 9, -400, 0, "CARD_DISABLED", null),
			card(9, "1", "all", "disabled, refunded later", 11, 300, 300, "RETURN_INCREASE", null),
			card(6, "1", "giver", "given", 9, 900, 900, "OTHERS_SEND", null),
			card(7, "1", "friend", "given", 10, -100, 800, "PURCHASE_PAYMENT", null),
		},
		"fact_customer_changes": {
			update(1, "1", "all", 3, 3, map[string]schema.Value{"email": schema.TextValue("old"), "state": n64(0)}),
			update(2, "1", "all", 45, 45, map[string]schema.Value{
				"email": schema.TextValue("e"), "phone": schema.TextValue("p"), "first_name": schema.TextValue("f"), "last_name": schema.TextValue("l"), "state": n64(3),
				"tags": {List: []schema.Value{schema.TextValue("t")}}, "orders_count": n64(2), "total_spent_cents": n64(999), "currency": schema.TextValue("EUR"),
				"email_marketing_consent_state": n64(1), "sms_marketing_consent_state": n64(2),
			}),
			update(3, "1", "profile", 50, 50, map[string]schema.Value{"state": n64(1), "email_marketing_consent_state": n64(3)}),
		},
	}
	for _, name := range names {
		rows := facts[name]
		w.insert(t, factTable(name), rows...)
		slices.Reverse(rows)
		w.insert(t, factTable(name), rows...)
	}
	const columns = "shop_id; customer_id; email; phone; first_name; last_name; ifNull(toString(state), 'NULL'); state_label; tags; ifNull(toString(orders_count), 'NULL'); " +
		"ifNull(toString(total_spent_cents), 'NULL'); currency; email_consent; sms_consent; points_balance; points_earned; points_burned; store_credit_cents; gift_cards; gift_card_cents; " +
		"toUnixTimestamp(first_event_at) - 1767225600; toUnixTimestamp(last_event_at) - 1767225600; ifNull(toString(toUnixTimestamp(customer_updated_at) - 1767225600), 'NULL')"
	want := []string{
		"1, all, e, p, f, l, 3, valid, ['t'], 2, 999, EUR, subscribed, not_available, 75, 105, 30, 500, 2, 1200, 3, 60, 45",
		"1, credits, , , , , NULL, unknown, [], NULL, NULL, , unknown, unknown, 0, 0, 0, 700, 0, 0, 20, 25, NULL",
		"1, friend, , , , , NULL, unknown, [], NULL, NULL, , unknown, unknown, 0, 0, 0, 0, 1, 800, 10, 10, NULL",
		"1, giver, , , , , NULL, unknown, [], NULL, NULL, , unknown, unknown, 0, 0, 0, 0, 0, 0, 9, 9, NULL",
		"1, points, , , , , NULL, unknown, [], NULL, NULL, , unknown, unknown, 9, 0, 1, 0, 0, 0, 40, 40, NULL",
		"1, profile, , , , , 1, to_enable, [], NULL, NULL, , pending, unknown, 0, 0, 0, 0, 0, 0, 50, 50, 50",
		"2, all, , , , , NULL, unknown, [], NULL, NULL, , unknown, unknown, 1, 1, 0, 0, 0, 0, 50, 50, NULL",
	}
	if diff := cmp.Diff(want, strings.Split(w.ask(t, columns, "customer_360", "1"), "\n")); diff != "" {
		t.Errorf("other customers (-want +got):\n%s", diff)
	}
	w.insert(t, factTable("fact_points"), retracted(facts["fact_points"][0], 1_000_000_000_000), retracted(facts["fact_points"][1], 1_000_000_000_000))
	want = slices.DeleteFunc(want, func(line string) bool {
		return strings.HasPrefix(line, "2, all") || strings.HasPrefix(line, "1, points")
	})
	if diff := cmp.Diff(want, strings.Split(w.ask(t, columns, "customer_360", "1"), "\n")); diff != "" {
		t.Errorf("other customers after a retraction (-want +got):\n%s", diff)
	}
}

func n64(n int64) schema.Value { return schema.IntValue(n) }
