package clickhouse_test

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loyaltyhouse/schema"
)

// Whatever a ledger's events, and in whatever order and repetition, corrected,
// taken back or not, they are delivered, the views say what a plain computation
// over the events says.
func TestLedgerViewsAreThoseOfTheEvents(t *testing.T) {
	t.Parallel()
	w := openWarehouse(t)
	shop := 0
	rapid.Check(t, func(rt *rapid.T) {
		shop++
		l := rapid.SampledFrom(ledgers).Draw(rt, "ledger")
		h := drawHistory(rt, l, strconv.Itoa(shop))
		rows := rapid.Permutation(h.deliveries(rt)).Draw(rt, "order")
		first := rapid.IntRange(0, len(rows)).Draw(rt, "first batch")
		for _, batch := range [][]schema.Row{rows[:first], rows[first:]} {
			if len(batch) > 0 {
				w.insert(t, factTable(l.table), batch...)
			}
		}
		for _, a := range h.answers() {
			want := strings.Join(sorted(a.want), "\n")
			if got := w.ask(t, a.columns, a.view, "shop_id = '"+h.shop+"'"); got != want {
				rt.Fatalf("%s: %s are\n%s\nwant\n%s\nof the events\n%v", a.view, a.columns, got, want, h.entries)
			}
		}
	})
}

// A history is what happened to the accounts of one shop.
type history struct {
	ledger
	shop    string
	now     time.Time
	entries []entry // by account, in order of time
}

// drawHistory draws events that keep away from the borders of what the views count
// in days from now. Balances are told from the first event on or not at all, so
// that they are known without a rule.
func drawHistory(rt *rapid.T, l ledger, shop string) history {
	h := history{ledger: l, shop: shop, now: time.Now().UTC().Truncate(time.Millisecond)}
	scenes := []string{"EARN", "BURN"}
	if l.table == giftCards.table {
		scenes = []string{"SELF_PURCHASE", "OTHERS_SEND", "PURCHASE_PAYMENT", "RETURN_INCREASE", "CARD_DISABLED", "NEW"}
	}
	away := rapid.Custom(func(rt *rapid.T) time.Duration {
		days := rapid.SampledFrom([]int{0, 1, 28, 31, 58, 61, 88, 91, 200, 363, 366, 500}).Draw(rt, "days")
		return time.Duration(days)*24*time.Hour + time.Duration(rapid.IntRange(600, 20*3600).Draw(rt, "seconds"))*time.Second
	})
	for account := range rapid.IntRange(1, lawAccounts).Draw(rt, "accounts") {
		tells := rapid.Bool().Draw(rt, "tells")
		balance := int64(0)
		if tells {
			balance = rapid.SampledFrom([]int64{0, 0, 25}).Draw(rt, "balance before")
		}
		ages := rapid.SliceOfNDistinct(away, 1, 6, rapid.ID).Draw(rt, "ages")
		slices.SortFunc(ages, func(a, b time.Duration) int { return cmp.Compare(b, a) })
		for k, age := range ages {
			e := entry{
				shop: shop, account: strconv.Itoa(account), buyer: rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "buyer"), at: h.now.Add(-age),
				delta: rapid.Int64Range(-8, 12).Draw(rt, "delta"), scene: rapid.SampledFrom(scenes).Draw(rt, "scene"),
			}
			balance += e.delta
			if tells && (k == 0 || rapid.IntRange(0, 3).Draw(rt, "untold") > 0) {
				e.balance = told(balance)
			}
			if rapid.IntRange(0, 3).Draw(rt, "expires") > 0 {
				e.expires = h.now.Add(away.Draw(rt, "left") * time.Duration(rapid.SampledFrom([]int{1, 1, 1, -1}).Draw(rt, "past")))
			}
			if rapid.Bool().Draw(rt, "original") {
				e.original = told(int64(k))
			}
			h.entries = append(h.entries, e)
		}
	}
	return h
}

// deliveries returns the rows of the events, some of them more than once or wrong
// at first, and those of events that are taken back.
func (h history) deliveries(rt *rapid.T) []schema.Row {
	var rows []schema.Row
	for n, e := range h.entries {
		rows = append(rows, h.entry(n, e, 20))
		switch rapid.IntRange(0, 5).Draw(rt, "delivery") {
		case 0:
			rows = append(rows, h.entry(n, e, 20), h.entry(n, e, 30))
		case 1:
			wrong := e
			wrong.delta, wrong.balance, wrong.scene, wrong.expires = 1000, told(1000), "WRONG", time.Time{}
			rows = append(rows, h.entry(n, wrong, 10))
		case 2:
			n += 1000
			rows = append(rows, h.entry(n, e, 20), h.retraction(n, e, 30))
		case 3:
			rows = append(rows, h.retraction(n, e, 10))
		}
	}
	return rows
}

func (h history) answers() []answer {
	switch h.table {
	case points.table:
		return []answer{h.byScene(), h.daily(), h.pointsMembers(), h.outstanding(), h.cohorts(), h.segments()}
	case storeCredits.table:
		return []answer{h.byScene(), h.creditMembers(), h.creditLiability()}
	default:
		return []answer{h.byScene(), h.cardBalances(), h.lives(), h.cardLiability()}
	}
}

// accounts returns the entries of each account.
func (h history) accounts() map[string][]entry {
	accounts := map[string][]entry{}
	for _, e := range h.entries {
		accounts[e.account] = append(accounts[e.account], e)
	}
	return accounts
}

// sums are those of some entries.
type sums struct {
	events, raises, falls int
	up, down              int64
	accounts              map[string]bool
}

func sum(entries []entry) sums {
	s := sums{events: len(entries), accounts: map[string]bool{}}
	for _, e := range entries {
		s.accounts[e.account] = true
		switch {
		case e.delta > 0:
			s.raises++
			s.up += e.delta
		case e.delta < 0:
			s.falls++
			s.down -= e.delta
		}
	}
	return s
}

func (s sums) rate() string {
	if s.up == 0 {
		return "never"
	}
	return ratio(s.down, s.up)
}

// grouped returns the entries under each key.
func grouped[K comparable](entries []entry, key func(entry) K) map[K][]entry {
	groups := map[K][]entry{}
	for _, e := range entries {
		groups[key(e)] = append(groups[key(e)], e)
	}
	return groups
}

func day(e entry) string { return e.at.Format(time.DateOnly) }

func (h history) byScene() answer {
	a := answer{view: "points_by_scene_daily", columns: "day; updated_scene; events; customers; earned; burned; net"}
	switch h.table {
	case storeCredits.table:
		a.view, a.columns = "store_credits_by_reason_daily", "day; update_reason; events; customers; issued_cents; used_cents; net_cents"
	case giftCards.table:
		a.view, a.columns = "gift_cards_daily", "day; scene_type; events; cards; increased_cents; decreased_cents; net_cents"
	}
	for key, entries := range grouped(h.entries, func(e entry) string { return day(e) + ", " + e.scene }) {
		s := sum(entries)
		a.want = append(a.want, fmt.Sprintf("%s, %d, %d, %d, %d, %d", key, s.events, len(s.accounts), s.up, s.down, s.up-s.down))
	}
	return a
}

func (h history) daily() answer {
	a := answer{view: "points_daily", columns: "day; events; active_members; earned; burned; net; " + orNever("redemption_rate")}
	for key, entries := range grouped(h.entries, day) {
		s := sum(entries)
		a.want = append(a.want, fmt.Sprintf("%s, %d, %d, %d, %d, %d, %s", key, s.events, len(s.accounts), s.up, s.down, s.up-s.down, s.rate()))
	}
	return a
}

// balance is that of an account after all of its entries.
func balance(entries []entry) int64 {
	b := int64(0)
	for _, e := range entries {
		if e.balance.Set {
			b = e.balance.Int
		} else {
			b += e.delta
		}
	}
	return b
}

// runOut lays the balance on the lots, point by point, beginning with the lot that
// lasts longest, and counts those that run out between two days from now.
func (h history) runOut(entries []entry, from, to int) int64 {
	lots := slices.DeleteFunc(slices.Clone(entries), func(e entry) bool { return e.delta <= 0 })
	slices.SortFunc(lots, func(a, b entry) int { return h.lasts(b).Compare(h.lasts(a)) })
	left, n := balance(entries), int64(0)
	for _, lot := range lots {
		for range lot.delta {
			if left <= 0 {
				return n
			}
			left--
			if h.lasts(lot).After(h.now.AddDate(0, 0, from)) && h.lasts(lot).Before(h.now.AddDate(0, 0, to)) {
				n++
			}
		}
	}
	return n
}

func (h history) expiring(entries []entry, days int) int64 { return h.runOut(entries, 0, days) }

func (h history) expired(entries []entry) int64 { return h.runOut(entries, -100_000, 0) }

// lasts is when a lot runs out, in a thousand years where it never does.
func (h history) lasts(e entry) time.Time {
	if e.expires.IsZero() {
		return h.now.AddDate(1000, 0, 0)
	}
	return e.expires
}

// times returns when the first and the last of those entries was that match.
func times(entries []entry, match func(entry) bool) (first, last string) {
	first, last = "never", "never"
	for _, e := range entries {
		if match(e) {
			last = stamp(e.at)
			if first == "never" {
				first = last
			}
		}
	}
	return first, last
}

func stamp(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

func stampOf(column string) string { return orNever("toUnixTimestamp64Milli(" + column + ")") }

// hadBefore tells whether an account's first event was not its first.
func hadBefore(entries []entry) bool {
	first := entries[0]
	return first.balance.Set && first.balance.Int-first.delta > 0
}

func raises(e entry) bool { return e.delta > 0 }
func falls(e entry) bool  { return e.delta < 0 }
func always(entry) bool   { return true }

// within30To90 is what runs out soon of one account.
func (h history) within30To90(entries []entry) string {
	return fmt.Sprintf("%d, %d, %d", h.expiring(entries, 30), h.expiring(entries, 60), h.expiring(entries, 90))
}

func (h history) pointsMembers() answer {
	a := answer{view: "points_members", columns: "buyer_id; points_balance; earned; burned; earn_events; burn_events; expiring_30_days; expiring_60_days; expiring_90_days; expired_points; had_points_before; " +
		stampOf("first_earned_at") + "; " + stampOf("last_earned_at") + "; " + stampOf("last_burned_at") + "; " + stampOf("first_event_at") + "; " + stampOf("last_event_at")}
	for account, entries := range h.accounts() {
		s := sum(entries)
		firstUp, lastUp := times(entries, raises)
		_, lastDown := times(entries, falls)
		first, last := times(entries, always)
		a.want = append(a.want, fmt.Sprintf("%s, %d, %d, %d, %d, %d, %s, %d, %t, %s, %s, %s, %s, %s",
			account, balance(entries), s.up, s.down, s.raises, s.falls, h.within30To90(entries), h.expired(entries), hadBefore(entries), firstUp, lastUp, lastDown, first, last))
	}
	return a
}

func (h history) creditMembers() answer {
	a := answer{view: "store_credit_members", columns: "buyer_id; current_balance_cents; issued_cents; used_cents; issue_events; use_events; " +
		"expiring_30_days_cents; expiring_60_days_cents; expiring_90_days_cents; expired_cents; " +
		stampOf("first_issued_at") + "; " + stampOf("last_issued_at") + "; " + stampOf("last_used_at") + "; " + stampOf("last_event_at")}
	for account, entries := range h.accounts() {
		s := sum(entries)
		firstUp, lastUp := times(entries, raises)
		_, lastDown := times(entries, falls)
		_, last := times(entries, always)
		a.want = append(a.want, fmt.Sprintf("%s, %d, %d, %d, %d, %d, %s, %d, %s, %s, %s, %s",
			account, balance(entries), s.up, s.down, s.raises, s.falls, h.within30To90(entries), h.expired(entries), firstUp, lastUp, lastDown, last))
	}
	return a
}

// owed sums over the accounts of the shop.
func (h history) owed() (members, withBalance int, owed int64, expiring [3]int64, expired int64) {
	for _, entries := range h.accounts() {
		members++
		b := balance(entries)
		owed += b
		if b > 0 {
			withBalance++
		}
		for i := range expiring {
			expiring[i] += h.expiring(entries, 30*(i+1))
		}
		expired += h.expired(entries)
	}
	return members, withBalance, owed, expiring, expired
}

func (h history) outstanding() answer {
	members, withBalance, owed, expiring, expired := h.owed()
	var active [3]int
	for _, entries := range h.accounts() {
		for i, days := range []int{30, 90, 365} {
			if entries[len(entries)-1].at.After(h.now.AddDate(0, 0, -days)) {
				active[i]++
			}
		}
	}
	s := sum(h.entries)
	return answer{
		view: "points_outstanding",
		columns: "members; members_with_balance; active_30_days; active_90_days; active_365_days; points_outstanding; " +
			"expiring_30_days; expiring_60_days; expiring_90_days; expired_points; earned; burned; " + orNever("redemption_rate"),
		want: []string{fmt.Sprintf("%d, %d, %d, %d, %d, %d, %d, %d, %d, %d, %d, %d, %s",
			members, withBalance, active[0], active[1], active[2], owed, expiring[0], expiring[1], expiring[2], expired, s.up, s.down, s.rate())},
	}
}

func (h history) creditLiability() answer {
	members, withBalance, owed, expiring, expired := h.owed()
	s := sum(h.entries)
	return answer{
		view:    "store_credit_liability",
		columns: "members; members_with_balance; outstanding_cents; expiring_30_days_cents; expiring_60_days_cents; expiring_90_days_cents; expired_cents; issued_cents; used_cents",
		want:    []string{fmt.Sprintf("%d, %d, %d, %d, %d, %d, %d, %d, %d", members, withBalance, owed, expiring[0], expiring[1], expiring[2], expired, s.up, s.down)},
	}
}

func month(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }

func (h history) cohorts() answer {
	a := answer{view: "points_cohorts", columns: "cohort_month; month; months_since; members; active_members; retention; earned; burned"}
	cohorts := map[time.Time][]entry{} // all entries of those who first earned in the month
	latest := time.Time{}
	for _, entries := range h.accounts() {
		if i := slices.IndexFunc(entries, raises); i >= 0 && !hadBefore(entries) {
			cohort := month(entries[i].at)
			cohorts[cohort] = append(cohorts[cohort], entries...)
			if last := month(entries[len(entries)-1].at); last.After(latest) {
				latest = last
			}
		}
	}
	for cohort, entries := range cohorts {
		members := len(sum(entries).accounts)
		byMonth := grouped(entries, func(e entry) time.Time { return month(e.at) })
		for m, n := cohort, 0; !m.After(latest); m, n = m.AddDate(0, 1, 0), n+1 {
			s := sum(byMonth[m])
			a.want = append(a.want, fmt.Sprintf("%s, %s, %d, %d, %d, %s, %d, %d", cohort.Format(time.DateOnly), m.Format(time.DateOnly), n,
				members, len(s.accounts), ratio(int64(len(s.accounts)), int64(members)), s.up, s.down))
		}
	}
	return a
}

func (h history) segments() answer {
	a := answer{view: "points_segments", columns: "buyer_id; toDate(now('UTC')) - recency_days; frequency; monetary; recency_score; frequency_score; monetary_score; segment"}
	type measures struct {
		last                time.Time
		frequency, monetary int64
	}
	all := map[string]measures{}
	for account, entries := range h.accounts() {
		m := measures{last: entries[len(entries)-1].at.Truncate(24 * time.Hour)}
		for _, e := range entries {
			if e.delta > 0 && e.at.After(h.now.AddDate(0, 0, -365)) {
				m.frequency++
				m.monetary += e.delta
			}
		}
		all[account] = m
	}
	// score is the fifth of the line in which the middle of those stands who are equal.
	score := func(m measures, compare func(a, b measures) int) int {
		below, equal := 0.0, 0.0
		for _, other := range all {
			switch compare(other, m) {
			case -1:
				below++
			case 0:
				equal++
			}
		}
		place := (below + equal/2) / float64(len(all))
		n := 1
		for _, border := range []float64{0.2, 0.4, 0.6, 0.8} {
			if place > border-1e-9 {
				n++
			}
		}
		return n
	}
	for account, m := range all {
		r := score(m, func(a, b measures) int { return a.last.Compare(b.last) })
		f := score(m, func(a, b measures) int { return cmp.Compare(a.frequency, b.frequency) })
		v := score(m, func(a, b measures) int { return cmp.Compare(a.monetary, b.monetary) })
		segment := segmentOf(r, (f+v+1)/2)
		if entries := h.accounts()[account]; entries[0].at.After(h.now.AddDate(0, 0, -30)) && !hadBefore(entries) {
			segment = "new"
		}
		a.want = append(a.want, fmt.Sprintf("%s, %s, %d, %d, %d, %d, %d, %s", account, m.last.Format(time.DateOnly), m.frequency, m.monetary, r, f, v, segment))
	}
	return a
}

func segmentOf(recency, value int) string {
	return strings.Fields(segmentGrid[recency-1])[value-1]
}

func (h history) cardBalances() answer {
	a := answer{view: "gift_card_balances", columns: "gift_card_code; buyer_id; current_balance_cents; scene_type; disabled"}
	for account, entries := range h.accounts() {
		c := h.card(entries)
		a.want = append(a.want, fmt.Sprintf("%s, %s, %d, %s, %t", account, c.last.buyer, c.balance, c.last.scene, c.state == "disabled"))
	}
	return a
}

func (h history) lives() answer {
	a := answer{view: "gift_card_lives", columns: "gift_card_code; buyer_id; state; " + orNever("original_value_cents") + "; current_balance_cents; sold_cents; " + stampOf("sold_at") +
		"; redeemed_cents; redemptions; " + stampOf("first_redeemed_at") + "; " + stampOf("last_redeemed_at") + "; refunded_cents; disabled_cents; " + stampOf("disabled_at") +
		"; " + stampOf("expires_at") + "; breakage_cents; events; " + stampOf("updated_at")}
	for account, entries := range h.accounts() {
		c := h.card(entries)
		firstRedeemed, lastRedeemed := times(entries, isRedemption)
		sold, _ := times(entries, isSale)
		disabled, _ := times(entries, isDisabling)
		original := "never"
		for _, e := range entries {
			if e.original.Set {
				original = strconv.FormatInt(e.original.Int, 10)
			}
		}
		expires := "never"
		if !c.last.expires.IsZero() {
			expires = stamp(c.last.expires)
		}
		a.want = append(a.want, fmt.Sprintf("%s, %s, %s, %s, %d, %d, %s, %d, %d, %s, %s, %d, %d, %s, %s, %d, %d, %s", account, c.last.buyer, c.state, original, c.balance,
			c.sold, sold, c.redeemed, c.redemptions, firstRedeemed, lastRedeemed, c.refunded, c.disabled, disabled, expires, c.breakage(), len(entries), stamp(c.last.at)))
	}
	return a
}

// A card is what has become of a gift card.
type card struct {
	last                                        entry
	state                                       string
	balance, sold, redeemed, refunded, disabled int64
	redemptions                                 int
}

func isSale(e entry) bool {
	return (e.scene == "SELF_PURCHASE" || e.scene == "OTHERS_SEND") && e.delta > 0
}
func isRedemption(e entry) bool { return e.scene == "PURCHASE_PAYMENT" && e.delta < 0 }
func isDisabling(e entry) bool  { return e.scene == "CARD_DISABLED" }

func (h history) card(entries []entry) card {
	c := card{last: entries[len(entries)-1], balance: balance(entries), state: "active"}
	if h.lasts(c.last).Before(h.now) {
		c.state = "expired"
	}
	if c.balance <= 0 {
		c.state = "used_up"
	}
	for _, e := range entries {
		switch {
		case isSale(e):
			c.sold += e.delta
		case isRedemption(e):
			c.redeemed -= e.delta
			c.redemptions++
		case e.scene == "RETURN_INCREASE" && e.delta > 0:
			c.refunded += e.delta
		case isDisabling(e):
			c.state = "disabled"
			c.disabled += max(0, -e.delta)
		}
	}
	if c.state == "disabled" {
		c.disabled += max(0, c.balance)
	}
	return c
}

func (c card) breakage() int64 {
	if c.state == "expired" {
		return c.balance
	}
	return 0
}

func (h history) cardLiability() answer {
	states := map[string]int{}
	var sold, redeemed, refunded, disabled, outstanding, breakage int64
	var expiring [3]int64
	for _, entries := range h.accounts() {
		c := h.card(entries)
		states[c.state]++
		sold, redeemed, refunded, disabled, breakage = sold+c.sold, redeemed+c.redeemed, refunded+c.refunded, disabled+c.disabled, breakage+c.breakage()
		if c.state != "active" {
			continue
		}
		outstanding += c.balance
		for i := range expiring {
			if h.lasts(c.last).Before(h.now.AddDate(0, 0, 30*(i+1))) {
				expiring[i] += c.balance
			}
		}
	}
	rate := sums{up: sold, down: breakage}.rate()
	return answer{
		view: "gift_card_liability",
		columns: "cards; active_cards; used_up_cards; expired_cards; disabled_cards; sold_cents; redeemed_cents; refunded_cents; disabled_cents; outstanding_cents; breakage_cents; " +
			orNever("breakage_rate") + "; expiring_30_days_cents; expiring_60_days_cents; expiring_90_days_cents",
		want: []string{fmt.Sprintf("%d, %d, %d, %d, %d, %d, %d, %d, %d, %d, %d, %s, %d, %d, %d", len(h.accounts()), states["active"], states["used_up"], states["expired"], states["disabled"],
			sold, redeemed, refunded, disabled, outstanding, breakage, rate, expiring[0], expiring[1], expiring[2])},
	}
}

// Members and lives find the balance as the views of balances do, also of events
// within one millisecond that contradict each other.
func TestBalancesOfMembersAreTheBalances(t *testing.T) {
	w := openWarehouse(t)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // The same events each time.
	for _, view := range []struct {
		ledger
		other, columns string
	}{
		{points, "points_members", "buyer_id; points_balance"},
		{storeCredits, "store_credit_members", "buyer_id; current_balance_cents"},
		{giftCards, "gift_card_lives", "gift_card_code; buyer_id; current_balance_cents; " + orNever("original_value_cents") + "; " + stampOf("expires_at") + "; " + stampOf("updated_at")},
	} {
		var rows []schema.Row
		for account := range 300 {
			for range 1 + random.IntN(6) {
				e := entry{
					shop: "1", account: strconv.Itoa(account), buyer: strconv.Itoa(random.IntN(3)),
					at: fromNow(-1).Truncate(24 * time.Hour).Add(time.Duration(random.IntN(2)) * time.Millisecond), delta: random.Int64N(5) - 2,
				}
				switch random.IntN(9) {
				case 0:
				case 1:
					e.balance = told(math.MaxInt64 - 10)
				case 2:
					e.balance = told(math.MinInt64 + 10)
				default:
					e.balance = told(random.Int64N(7) - 3)
				}
				if random.IntN(2) == 0 {
					e.expires, e.original = fromNow(float64(random.IntN(5))), told(random.Int64N(3))
				}
				rows = append(rows, view.entry(random.IntN(1<<40), e, 10))
			}
		}
		w.insert(t, factTable(view.table), rows...)
		want, got := w.ask(t, view.columns, view.view, "1"), w.ask(t, view.columns, view.other, "1")
		if diff := gocmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" || strings.Count(want, "\n") != 299 {
			t.Errorf("%s has other balances than %s (-%s +%s):\n%s", view.other, view.view, view.view, view.other, diff)
		}
	}
}
