package clickhouse_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
)

var points, storeCredits, giftCards = ledgers[0], ledgers[1], ledgers[2]

// An entry is one event of a ledger, with what the analysts' views ask of it.
type entry struct {
	shop, account string // a customer, or a card
	buyer         string // who changed the card
	at            time.Time
	delta         int64
	balance       schema.Value
	scene         string
	expires       time.Time // zero is never
	original      schema.Value
}

// entry returns the row of an entry, normalized so many milliseconds into 2026.
func (l ledger) entry(n int, e entry, normalized int64) schema.Row {
	expiry := "expires_at"
	if l.table == points.table {
		expiry = "points_expires_at"
	}
	columns := map[string]schema.Value{
		"shop_id": schema.TextValue(e.shop), "updated_at": schema.IntValue(e.at.UnixMilli()),
		l.delta: schema.IntValue(e.delta), l.balance: e.balance, l.scene: schema.TextValue(e.scene), expiry: null,
		"normalized_at": millis(normalized),
	}
	if !e.expires.IsZero() {
		columns[expiry] = schema.IntValue(e.expires.UnixMilli())
	}
	if l.table == giftCards.table {
		columns["buyer_id"], columns["original_value_cents"] = schema.TextValue(e.buyer), e.original
	}
	columns[l.account] = schema.TextValue(e.account)
	return rowWith(factTable(l.table), n, columns)
}

// retraction returns the row of an entry taken back.
func (l ledger) retraction(n int, e entry, normalized int64) schema.Row {
	row := l.entry(n, e, normalized)
	*row.Retracted() = schema.IntValue(1)
	return row
}

// fromNow is a time so many days from now, the past being negative.
func fromNow(days float64) time.Time {
	return time.Now().Add(time.Duration(days * 24 * float64(time.Hour))).Truncate(time.Millisecond).UTC()
}

// on is noon of a day.
func on(date string) time.Time {
	t, err := time.Parse(time.DateOnly, date)
	if err != nil {
		panic(err)
	}
	return t.Add(12 * time.Hour)
}

// Columns that may be NULL, as text.
func dayOf(column string) string   { return orNever("toDate(" + column + ")") }
func orNever(column string) string { return "ifNull(toString(" + column + "), 'never')" }

// daysSince is the number of whole days since a time.
func daysSince(column string) string {
	return orNever("intDiv(dateDiff('second', " + column + ", now64(3, 'UTC')), 86400)")
}

func ratio(a, b int64) string { return fmt.Sprint(float64(a) / float64(b)) }

// An answer is what a view says, in order.
type answer struct {
	view, columns, where string
	want                 []string
}

func (w *warehouse) expect(t *testing.T, state string, answers ...answer) {
	t.Helper()
	for _, a := range answers {
		var got []string
		if lines := w.ask(t, a.columns, a.view, a.where); lines != "" {
			got = strings.Split(lines, "\n")
		}
		if diff := cmp.Diff(a.want, got); diff != "" {
			t.Errorf("%s, %s where %s has other %s (-want +got):\n%s", state, a.view, a.where, a.columns, diff)
		}
	}
}

// expectAlways compares before merges and after.
func (w *warehouse) expectAlways(t *testing.T, l ledger, answers ...answer) {
	t.Helper()
	w.expect(t, "before merges", answers...)
	w.optimize(t, factTable(l.table))
	w.expect(t, "after merges", answers...)
}

// A resend, a corrected row, a retracted one and a late one, balances that are not
// told, an event of 0 points and points burned before any were earned.
func TestPointsByDayMemberAndCohort(t *testing.T) {
	w := openWarehouse(t)
	table := factTable(points.table)
	event := func(shop, buyer, day string, delta int64, balance schema.Value, scene string) entry {
		return entry{shop: shop, account: buyer, at: on(day), delta: delta, balance: balance, scene: scene}
	}
	earned := event("1", "a", "2026-01-05", 100, told(100), "EARN")
	retracted := event("1", "c", "2026-01-05", 7, told(7), "EARN")
	w.insert(
		t, table,
		points.entry(1, earned, 10),
		points.entry(2, event("1", "a", "2026-03-31", -40, told(65), "BURN"), 10),
		points.entry(5, event("1", "b", "2026-02-03", 999, told(999), "EARN"), 10),
		points.entry(6, retracted, 10),
		points.entry(8, event("2", "a", "2026-01-05", 0, told(0), "IMPORT"), 10),
		points.entry(9, event("2", "a", "2026-01-06", -5, null, "BURN"), 10),
	)
	w.insert(
		t, table,
		points.entry(1, earned, 20),
		points.entry(5, event("1", "b", "2026-02-03", 30, told(30), "EARN"), 20),
		points.retraction(6, retracted, 20),
		points.entry(3, event("1", "a", "2026-01-05", 5, null, "ATTEND"), 20),
		points.entry(4, event("1", "b", "2026-01-04", -1, null, "BURN"), 20),
		points.entry(7, event("1", "b", "2026-02-28", 10, null, "EARN"), 20),
	)
	w.expectAlways(
		t, points,
		answer{"points_by_scene_daily", "day; updated_scene; events; customers; earned; burned; net", "shop_id = '1'", []string{
			"2026-01-04, BURN, 1, 1, 0, 1, -1",
			"2026-01-05, ATTEND, 1, 1, 5, 0, 5",
			"2026-01-05, EARN, 1, 1, 100, 0, 100",
			"2026-02-03, EARN, 1, 1, 30, 0, 30",
			"2026-02-28, EARN, 1, 1, 10, 0, 10",
			"2026-03-31, BURN, 1, 1, 0, 40, -40",
		}},
		answer{"points_daily", "shop_id; day; events; active_members; earned; burned; net; " + orNever("redemption_rate"), "1", []string{
			"1, 2026-01-04, 1, 1, 0, 1, -1, never",
			"1, 2026-01-05, 2, 1, 105, 0, 105, 0",
			"1, 2026-02-03, 1, 1, 30, 0, 30, 0",
			"1, 2026-02-28, 1, 1, 10, 0, 10, 0",
			"1, 2026-03-31, 1, 1, 0, 40, -40, never",
			"2, 2026-01-05, 1, 1, 0, 0, 0, never",
			"2, 2026-01-06, 1, 1, 0, 5, -5, never",
		}},
		answer{
			"points_members", "shop_id; buyer_id; points_balance; earned; burned; earn_events; burn_events; " + dayOf("first_earned_at") + "; " +
				dayOf("last_earned_at") + "; " + dayOf("last_burned_at") + "; toDate(first_event_at); toDate(last_event_at)", "1",
			[]string{
				"1, a, 65, 105, 40, 2, 1, 2026-01-05, 2026-01-05, 2026-03-31, 2026-01-05, 2026-03-31",
				"1, b, 40, 40, 1, 2, 1, 2026-02-03, 2026-02-28, 2026-01-04, 2026-01-04, 2026-02-28",
				"2, a, -5, 0, 5, 0, 1, never, never, 2026-01-06, 2026-01-05, 2026-01-06",
			},
		},
		answer{"points_outstanding", "shop_id; members; members_with_balance; points_outstanding; earned; burned; " + orNever("redemption_rate"), "1", []string{
			"1, 2, 2, 105, 145, 41, " + ratio(41, 145),
			"2, 1, 0, -5, 0, 5, never",
		}},
		answer{"points_cohorts", "shop_id; cohort_month; month; months_since; members; active_members; retention; earned; burned", "1", []string{
			"1, 2026-01-01, 2026-01-01, 0, 1, 1, 1, 105, 0",
			"1, 2026-01-01, 2026-02-01, 1, 1, 0, 0, 0, 0",
			"1, 2026-01-01, 2026-03-01, 2, 1, 1, 1, 0, 40",
			"1, 2026-02-01, 2026-02-01, 0, 1, 1, 1, 40, 0",
			"1, 2026-02-01, 2026-03-01, 1, 1, 0, 0, 0, 0",
		}},
	)
}

func TestExpiring(t *testing.T) {
	type lot struct {
		delta   int64
		expires float64 // days from now, 0 is never
	}
	tests := []struct {
		name    string
		lots    []lot
		balance schema.Value // after the last of them
		want    string       // within 30, 60 and 90 days, and what has run out
	}{
		{"each in its time, and one that has run out", []lot{{1, -1}, {10, 10}, {20, 40}, {40, 80}, {80, 120}}, told(150), "10, 30, 70, 0"},
		{"never", []lot{{10, 0}}, told(10), "0, 0, 0, 0"},
		{"what runs out first is spent first", []lot{{10, 10}, {20, 40}, {40, 80}, {-15, 0}}, told(55), "0, 15, 55, 0"},
		{"in whatever order it came", []lot{{40, 80}, {20, 40}, {-15, 0}, {10, 10}}, told(55), "0, 15, 55, 0"},
		{"what never runs out is spent last", []lot{{50, 0}, {10, 10}, {-5, 0}}, told(55), "5, 5, 5, 0"},
		{"less than what never runs out", []lot{{50, 0}, {10, 10}, {-15, 0}}, told(45), "0, 0, 0, 0"},
		{"all of it is spent", []lot{{10, 10}, {-10, 0}}, told(0), "0, 0, 0, 0"},
		{"below zero", []lot{{10, 10}, {-20, 0}}, told(-10), "0, 0, 0, 0"},
		{"more than the known lots", []lot{{10, 10}, {20, 40}}, told(100), "10, 30, 30, 0"},
		{"an untold balance", []lot{{10, 10}, {20, 40}, {-5, 0}}, null, "5, 25, 25, 0"},
		{"the expiry of a decrease says nothing", []lot{{10, 0}, {-4, 10}}, told(6), "0, 0, 0, 0"},
		{"just within and just beyond", []lot{{1, 29.9}, {2, 30.1}, {4, 59.9}, {8, 60.1}, {16, 89.9}, {32, 90.1}}, told(63), "1, 7, 31, 0"},
		{"all has run out", []lot{{100, -1}}, told(100), "0, 0, 0, 100"},
		{"what has run out is spent before what will", []lot{{100, -1}, {50, 10}, {-30, 0}}, told(120), "50, 50, 50, 70"},
		{"and all of it first", []lot{{100, -1}, {50, 0}, {-110, 0}}, told(40), "0, 0, 0, 0"},
		{"it was taken without an event", []lot{{100, -1}, {50, 0}}, told(50), "0, 0, 0, 0"},
		{"some is from before", []lot{{100, -1}, {50, 10}}, told(1000), "50, 50, 50, 100"},
		{"run out and below zero", []lot{{100, -1}, {-120, 0}}, told(-20), "0, 0, 0, 0"},
		{"run out and untold", []lot{{100, -1}, {-30, 0}}, null, "0, 0, 0, 70"},
	}
	for _, view := range []struct {
		ledger
		members, shops, suffix, expired string
	}{
		{points, "points_members", "points_outstanding", "", "expired_points"},
		{storeCredits, "store_credit_members", "store_credit_liability", "_cents", "expired_cents"},
	} {
		t.Run(view.members, func(t *testing.T) {
			w := openWarehouse(t)
			var rows []schema.Row
			var want []string
			for i, test := range tests {
				for k, lot := range test.lots {
					e := entry{shop: "1", account: test.name, at: fromNow(-100 + float64(k)), delta: lot.delta, balance: null}
					if lot.expires != 0 {
						e.expires = fromNow(lot.expires)
					}
					if k == len(test.lots)-1 {
						e.balance = test.balance
					}
					rows = append(rows, view.entry(100*i+k, e, 10))
				}
				want = append(want, test.want+": "+test.name)
			}
			columns := strings.ReplaceAll("expiring_30_daysX; expiring_60_daysX; expiring_90_daysX; ", "X", view.suffix) + "concat(toString(" + view.expired + ")"
			w.insert(t, factTable(view.table), rows...)
			w.insert(t, factTable(view.table), rows...)
			w.expectAlways(
				t, view.ledger,
				answer{view.members, columns + ", ': ', buyer_id)", "1", sorted(want)},
				answer{view.shops, columns + ", ': ', shop_id)", "1", []string{"131, 227, 371, 340: 1"}},
			)
		})
	}
}

// Who had points before the first event is neither new nor in a cohort: that the
// first event begins with points shows it.
func TestPointsFromBefore(t *testing.T) {
	w := openWarehouse(t)
	tests := []struct {
		name   string
		events []entry // of one moment if they are of no other
		before bool
	}{
		{"begins with nothing", []entry{{delta: 50, balance: told(50)}}, false},
		{"begins with points", []entry{{delta: 50, balance: told(51)}}, true},
		{"begins by spending them", []entry{{delta: -50, balance: told(0)}}, true},
		{"begins below zero", []entry{{delta: 50, balance: told(20)}}, false},
		{"begins with an import", []entry{{delta: 700, balance: told(700)}, {at: fromNow(-4), delta: 10, balance: told(710)}}, false},
		{"says so in the first event alone", []entry{{delta: 50, balance: told(150)}, {at: fromNow(-4), delta: 10, balance: null}}, true},
		{"the first event tells no balance", []entry{{delta: 50, balance: null}, {at: fromNow(-4), delta: 10, balance: told(60)}}, false},
		{"two events of one moment, from nothing", []entry{{delta: 50, balance: told(50)}, {delta: 10, balance: told(60)}}, false},
		{"two events of one moment, from points", []entry{{delta: 50, balance: told(100)}, {delta: 10, balance: told(110)}}, true},
	}
	var rows []schema.Row
	var members, segments, cohorts []string
	for _, test := range tests {
		for _, e := range test.events {
			e.shop, e.account = test.name, test.name
			if e.at.IsZero() {
				e.at = on("2026-01-05")
			}
			rows = append(rows, points.entry(len(rows), e, 10))
		}
		// The same, lately.
		for _, e := range test.events {
			e.shop, e.account, e.scene = "lately", test.name, "EARN"
			if e.at.IsZero() {
				e.at = fromNow(-5).Truncate(time.Hour)
			}
			rows = append(rows, points.entry(len(rows), e, 10))
		}
		members = append(members, fmt.Sprintf("%s, %t", test.name, test.before))
		segments = append(segments, fmt.Sprintf("%s, %t", test.name, !test.before))
		if !test.before {
			cohorts = append(cohorts, test.name+", 2026-01-01, 1")
		}
	}
	w.insert(t, factTable(points.table), rows...)
	w.insert(t, factTable(points.table), rows...)
	w.expectAlways(
		t, points,
		answer{"points_members", "buyer_id; had_points_before", "shop_id != 'lately'", sorted(members)},
		answer{"points_segments", "buyer_id; (segment = 'new')::Bool", "shop_id = 'lately'", sorted(segments)},
		answer{"points_cohorts", "shop_id; cohort_month; members", "shop_id != 'lately' AND months_since = 0", sorted(cohorts)},
	)
}

func TestActiveMembers(t *testing.T) {
	w := openWarehouse(t)
	var rows []schema.Row
	for i, ago := range []float64{0, 29.9, 30.1, 89.9, 90.1, 364.9, 365.1} {
		rows = append(rows, points.entry(i, entry{shop: "1", account: strconv.Itoa(i), at: fromNow(-ago), delta: -1, balance: told(int64(i % 2))}, 10))
	}
	w.insert(t, factTable(points.table), rows...)
	w.expectAlways(t, points, answer{"points_outstanding", "members; members_with_balance; active_30_days; active_90_days; active_365_days", "1", []string{"7, 3, 2, 4, 6"}})
}

// Customers who are equal have equal scores, in the middle where all are equal.
func TestScores(t *testing.T) {
	w := openWarehouse(t)
	var rows []schema.Row
	earn := func(shop, buyer string, ago float64, delta int64) {
		rows = append(rows, points.entry(len(rows), entry{shop: shop, account: buyer, at: fromNow(-ago), delta: delta, balance: null}, 10))
	}
	for i, buyer := range []string{"x", "y", "z"} {
		earn("equal", buyer, 50.5, 5)
		earn("new", buyer, 5.5, int64(i))
	}
	earn("one", "alone", 50.5, 5)
	earn("old", "more than a year ago", 400.5, 1000)
	earn("old", "lately", 40.5, 1)
	w.insert(t, factTable(points.table), rows...)
	w.expectAlways(t, points, answer{"points_segments", "shop_id; buyer_id; frequency; monetary; recency_score; frequency_score; monetary_score; segment", "1", []string{
		"equal, x, 1, 5, 3, 3, 3, loyal",
		"equal, y, 1, 5, 3, 3, 3, loyal",
		"equal, z, 1, 5, 3, 3, 3, loyal",
		"new, x, 0, 0, 3, 1, 1, new",
		"new, y, 1, 1, 3, 4, 3, new",
		"new, z, 1, 2, 3, 4, 5, new",
		"old, lately, 1, 1, 4, 4, 4, champions",
		"old, more than a year ago, 0, 0, 2, 2, 2, hibernating",
		"one, alone, 1, 5, 3, 3, 3, loyal",
	}})
}

// segmentGrid has the segments by recency, each by value.
var segmentGrid = [5]string{
	"lost lost at_risk at_risk at_risk",
	"hibernating hibernating at_risk at_risk at_risk",
	"promising promising loyal loyal loyal",
	"promising promising loyal champions champions",
	"promising promising loyal champions champions",
}

// Every pair of recency and value has its segment.
func TestSegments(t *testing.T) {
	w := openWarehouse(t)
	var rows []schema.Row
	var want []string
	for r := range 5 {
		for v, segment := range strings.Fields(segmentGrid[r]) {
			buyer := fmt.Sprintf("recency %d, value %d", r+1, v+1)
			for k := range v + 1 {
				at := fromNow(-290.5 + 50*float64(r) - float64(k))
				rows = append(rows, points.entry(len(rows), entry{shop: "1", account: buyer, at: at, delta: 1, balance: null}, 10))
			}
			want = append(want, fmt.Sprintf("%s, %d, %d, %d, %s", buyer, r+1, v+1, v+1, segment))
		}
	}
	w.insert(t, factTable(points.table), rows...)
	w.expectAlways(t, points, answer{"points_segments", "buyer_id; recency_score; frequency_score; monetary_score; segment", "1", want})
}

func TestStoreCreditsByReasonAndMember(t *testing.T) {
	w := openWarehouse(t)
	table := factTable(storeCredits.table)
	row := func(n int, buyer, day string, delta int64, balance schema.Value, reason string) schema.Row {
		return storeCredits.entry(n, entry{shop: "1", account: buyer, at: on(day), delta: delta, balance: balance, scene: reason}, 10)
	}
	issued := row(1, "a", "2026-01-05", 1000, told(1000), "refund")
	w.insert(t, table, issued, row(2, "a", "2026-01-07", -300, told(900), "other"))
	w.insert(
		t, table, issued,
		row(3, "a", "2026-01-06", 200, told(1200), "refund"),
		row(4, "b", "2026-01-05", 50, null, "refund"),
		row(5, "c", "2026-01-05", 0, told(0), "other"),
	)
	w.expectAlways(
		t, storeCredits,
		answer{"store_credits_by_reason_daily", "shop_id; day; update_reason; events; customers; issued_cents; used_cents; net_cents", "1", []string{
			"1, 2026-01-05, other, 1, 1, 0, 0, 0",
			"1, 2026-01-05, refund, 2, 2, 1050, 0, 1050",
			"1, 2026-01-06, refund, 1, 1, 200, 0, 200",
			"1, 2026-01-07, other, 1, 1, 0, 300, -300",
		}},
		answer{
			"store_credit_members", "shop_id; buyer_id; current_balance_cents; issued_cents; used_cents; issue_events; use_events; " + dayOf("first_issued_at") + "; " +
				dayOf("last_issued_at") + "; " + dayOf("last_used_at") + "; toDate(last_event_at)", "1",
			[]string{
				"1, a, 900, 1200, 300, 2, 1, 2026-01-05, 2026-01-06, 2026-01-07, 2026-01-07",
				"1, b, 50, 50, 0, 1, 0, 2026-01-05, 2026-01-05, never, 2026-01-05",
				"1, c, 0, 0, 0, 0, 0, never, never, never, 2026-01-05",
			},
		},
		answer{"store_credit_liability", "shop_id; members; members_with_balance; outstanding_cents; issued_cents; used_cents", "1", []string{"1, 3, 2, 950, 1250, 300"}},
	)
}

func TestGiftCardLives(t *testing.T) {
	w := openWarehouse(t)
	const sale, payment, refund, disabling = "SELF_PURCHASE", "PURCHASE_PAYMENT", "RETURN_INCREASE", "CARD_DISABLED"
	tests := []struct {
		name   string
		events []entry
		// state, customer, original value, balance; sold, days since; redeemed, how
		// often; refunded; disabled, days since; breakage, events
		want string
	}{
		{"bought by one, used by another", []entry{
			{buyer: "giver", at: fromNow(-50.5), delta: 500, balance: told(500), scene: "OTHERS_SEND", original: told(500), expires: fromNow(45)},
			{buyer: "friend", at: fromNow(-20.5), delta: -200, balance: told(300), scene: payment, original: told(500), expires: fromNow(45)},
		}, "active, friend, 500, 300, 500, 50, 200, 1, 0, 0, never, 0, 2"},
		{"disabled", []entry{
			{buyer: "a", at: fromNow(-50.5), delta: 500, balance: told(500), scene: sale, original: told(500)},
			{buyer: "a", at: fromNow(-40.5), delta: -500, balance: told(0), scene: disabling},
		}, "disabled, a, 500, 0, 500, 50, 0, 0, 0, 500, 40, 0, 2"},
		{"disabled, refunded later, run out", []entry{
			{buyer: "a", at: fromNow(-50.5), delta: 500, balance: told(500), scene: sale, expires: fromNow(-1)},
			{buyer: "a", at: fromNow(-40.5), delta: 0, balance: told(500), scene: disabling, expires: fromNow(-1)},
			{buyer: "a", at: fromNow(-30.5), delta: 10, balance: told(510), scene: refund, expires: fromNow(-1)},
		}, "disabled, a, never, 510, 500, 50, 0, 0, 10, 510, 40, 0, 3"},
		{"disabled with nothing left, refunded later", []entry{
			{buyer: "a", at: fromNow(-50.5), delta: 500, balance: told(500), scene: sale},
			{buyer: "a", at: fromNow(-40.5), delta: -500, balance: told(0), scene: disabling},
			{buyer: "a", at: fromNow(-30.5), delta: 50, balance: told(50), scene: refund},
		}, "disabled, a, never, 50, 500, 50, 0, 0, 50, 550, 40, 0, 3"},
		{"disabled below zero", []entry{
			{buyer: "a", at: fromNow(-50.5), delta: -30, balance: told(-30), scene: disabling},
		}, "disabled, a, never, -30, 0, never, 0, 0, 0, 30, 50, 0, 1"},
		{"expired with a balance", []entry{
			{buyer: "a", at: fromNow(-50.5), delta: 500, balance: told(500), scene: sale, expires: fromNow(-2)},
			{buyer: "a", at: fromNow(-30.5), delta: -100, balance: null, scene: payment, expires: fromNow(-2)},
		}, "expired, a, never, 400, 500, 50, 100, 1, 0, 0, never, 400, 2"},
		{"prolonged", []entry{
			{buyer: "a", at: fromNow(-50.5), delta: 500, balance: told(500), scene: sale, expires: fromNow(-2)},
			{buyer: "a", at: fromNow(-30.5), delta: -100, balance: told(400), scene: payment, expires: fromNow(80)},
		}, "active, a, never, 400, 500, 50, 100, 1, 0, 0, never, 0, 2"},
		{"refunded after use", []entry{
			{buyer: "a", at: fromNow(-50.5), delta: 500, balance: told(500), scene: sale},
			{buyer: "a", at: fromNow(-40.5), delta: -500, balance: told(0), scene: payment},
			{buyer: "a", at: fromNow(-30.5), delta: 150, balance: told(150), scene: refund, expires: fromNow(10.5)},
			{buyer: "a", at: fromNow(-10.5), delta: -50, balance: told(100), scene: payment, expires: fromNow(10.5)},
		}, "active, a, never, 100, 500, 50, 550, 2, 150, 0, never, 0, 4"},
		{"used up, then run out", []entry{
			{buyer: "a", at: fromNow(-50.5), delta: 500, balance: told(500), scene: sale, expires: fromNow(-2)},
			{buyer: "a", at: fromNow(-40.5), delta: -500, balance: told(0), scene: payment, expires: fromNow(-2)},
		}, "used_up, a, never, 0, 500, 50, 500, 1, 0, 0, never, 0, 2"},
		{"without a sale that is known", []entry{
			{buyer: "a", at: fromNow(-50.5), delta: -20, balance: told(30), scene: "SOMETHING_NEW"},
		}, "active, a, never, 30, 0, never, 0, 0, 0, 0, never, 0, 1"},
	}
	var rows []schema.Row
	var want []string
	for _, test := range tests {
		for _, e := range test.events {
			e.shop, e.account = "1", test.name
			rows = append(rows, giftCards.entry(len(rows), e, 10))
		}
		want = append(want, test.name+": "+test.want)
	}
	w.insert(t, factTable(giftCards.table), rows...)
	w.insert(t, factTable(giftCards.table), rows[:4]...)
	w.expectAlways(
		t, giftCards,
		answer{
			"gift_card_lives", "concat(gift_card_code, ': ', state); buyer_id; " + orNever("original_value_cents") + "; current_balance_cents; sold_cents; " + daysSince("sold_at") +
				"; redeemed_cents; redemptions; refunded_cents; disabled_cents; " + daysSince("disabled_at") + "; breakage_cents; events", "1", sorted(want),
		},
		answer{
			"gift_card_lives", daysSince("first_redeemed_at") + "; " + daysSince("last_redeemed_at") + "; " + daysSince("expires_at") + "; " + daysSince("updated_at"),
			"gift_card_code = 'refunded after use'",
			[]string{"40, 10, -10, 10"},
		},
		answer{
			"gift_card_liability", "shop_id; cards; active_cards; used_up_cards; expired_cards; disabled_cards; sold_cents; redeemed_cents; refunded_cents; disabled_cents; " +
				"outstanding_cents; breakage_cents; breakage_rate; expiring_30_days_cents; expiring_60_days_cents; expiring_90_days_cents", "1",
			[]string{"1, 10, 4, 1, 1, 4, 4000, 1450, 210, 1590, 830, 400, " + ratio(400, 4000) + ", 100, 400, 800"},
		},
		answer{"gift_cards_daily", "shop_id; toDate(now('UTC')) - day >= 50; events; cards; increased_cents; decreased_cents; net_cents", "scene_type = 'SELF_PURCHASE'", []string{"1, 1, 7, 7, 3500, 0, 3500"}},
	)
}

// A filter from outside reaches the index and the partitions.
func TestFiltersReachTheFacts(t *testing.T) {
	w := openWarehouse(t)
	execute(t, w.conn, "INSERT INTO "+w.cfg.Database+`.fact_points (event_id, shop_id, buyer_id, points_delta, updated_at)
SELECT generateUUIDv4(), toString(number % 2), toString(intDiv(number, 10)), 1, toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + 60 * number FROM numbers(200000)`)
	w.optimize(t, factTable(points.table))
	for _, test := range []struct {
		view, where string
		most        int // rows of 200,000
	}{
		{"points_members", "shop_id = '1' AND buyer_id = '777'", 5 * 8192},
		{"points_balances", "shop_id = '1' AND buyer_id = '777'", 5 * 8192},
		{"points_balances", "buyer_id = '777'", 6 * 8192},
		{"points_members", "shop_id = '1'", 100_000 + 5*8192},
		{"points_outstanding", "shop_id = '1'", 100_000 + 5*8192},
		{"points_segments", "shop_id = '1'", 100_000 + 5*8192},
		{"points_cohorts", "shop_id = '1'", 100_000 + 5*8192},
		{"points_daily", "day >= '2026-05-01'", 31 * 1440},
		{"points_by_scene_daily", "shop_id = '1' AND day BETWEEN '2026-05-01' AND '2026-05-10'", 31*720 + 8192},
	} {
		rows := text(t, w.conn, "sum(rows)", fmt.Sprintf("FROM (EXPLAIN ESTIMATE SELECT * FROM %s.%s WHERE %s)", w.cfg.Database, test.view, test.where))
		if n, err := strconv.Atoi(rows); err != nil || n == 0 || n > test.most {
			t.Errorf("%s where %s reads %s rows, want at most %d", test.view, test.where, rows, test.most)
		}
	}
}

// FINAL does not merge one month with another: the engine decides so by itself,
// since updated_at, which decides the month, is in the sorting key.
func TestMonthsAreReadByThemselves(t *testing.T) {
	w := openWarehouse(t)
	for i, day := range []string{"2026-01-05", "2026-02-05", "2026-03-05"} {
		w.insert(t, factTable(points.table), points.entry(i, entry{shop: "1", account: "a", at: on(day), delta: 1, balance: null}, 10))
		w.insert(t, factTable(points.table), points.entry(i, entry{shop: "1", account: "a", at: on(day), delta: 1, balance: null}, 10))
	}
	merged := func(settings string) string {
		return text(t, w.conn, "countIf(explain LIKE '%ReplacingSorted%')", "FROM (EXPLAIN PIPELINE SELECT sum(points_delta) FROM "+w.cfg.Database+".points SETTINGS max_threads = 1, "+settings+")")
	}
	byDefault := merged("max_final_threads = 1")
	if got := merged("max_final_threads = 1, do_not_merge_across_partitions_select_final = 1"); got != byDefault || got != "3" {
		t.Errorf("by default %s merges, by partition %s, want 3", byDefault, got)
	}
}

// A month in which nothing is written any more becomes one part.
func TestClosedMonthsAreMerged(t *testing.T) {
	w := openWarehouse(t)
	execute(t, w.conn, "ALTER TABLE "+w.cfg.Database+".fact_points MODIFY SETTING min_age_to_force_merge_seconds = 1, merge_selecting_sleep_ms = 100")
	for i := range 3 {
		w.insert(t, factTable(points.table), points.entry(2*i, entry{shop: "1", account: "a", at: on("2026-01-05"), delta: 1, balance: null}, 10))
		w.insert(t, factTable(points.table), points.entry(2*i+1, entry{shop: "1", account: "a", at: on("2026-02-05"), delta: 1, balance: null}, 10))
	}
	var parts string
	for until := time.Now().Add(30 * time.Second); time.Now().Before(until); time.Sleep(100 * time.Millisecond) {
		parts = text(t, w.conn, "partition; count()", "FROM system.parts WHERE active AND database = ? AND table = 'fact_points' GROUP BY partition ORDER BY partition", w.cfg.Database)
		if parts == "202601, 1\n202602, 1" {
			return
		}
	}
	t.Errorf("the months have these parts: %q", parts)
}

func sorted(lines []string) []string {
	slices.Sort(lines)
	return lines
}
