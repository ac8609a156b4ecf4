package clickhouse_test

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"loyaltyhouse/schema"
)

// gapColumns are those of a ledger's view of gaps, in the order that the tests
// print: before which event, after which event, the balance expected, the balance
// told, what is unexplained.
var gapColumns = map[string]struct{ view, columns string }{
	"fact_points":        {"points_gaps", "previous_event_id; event_id; expected_balance; points_balance; unexplained"},
	"fact_store_credits": {"store_credit_gaps", "previous_event_id; event_id; expected_balance_cents; current_balance_cents; unexplained_cents"},
	"fact_gift_cards":    {"gift_card_gaps", "previous_event_id; event_id; expected_balance_cents; current_balance_cents; unexplained_cents"},
}

// eventID returns the row's event_id.
func eventID(table string, row schema.Row) string {
	return row[factTable(table).Index("event_id")].Text
}

func TestGaps(t *testing.T) {
	t.Parallel()
	type gap struct{ previous, event, expected, told, unexplained int64 }
	tests := []struct {
		name    string
		changes []change
		want    []gap // previous and event are positions in changes
	}{
		{"one event, with a history that nobody knows", []change{{1, 10, told(500), "a"}}, nil},
		{"a complete ledger", []change{{1, 10, told(10), "a"}, {2, -4, told(6), "b"}, {3, 1, told(7), "c"}}, nil},
		{"an event is missing", []change{{1, 10, told(10), "a"}, {3, 5, told(22), "c"}, {4, 1, told(23), "d"}}, []gap{{0, 1, 15, 22, 7}}},
		{"a redemption is missing", []change{{1, 10, told(10), "a"}, {3, 5, told(12), "c"}}, []gap{{0, 1, 15, 12, -3}}},
		{"two are missing, in one place", []change{{1, 10, told(10), "a"}, {5, 5, told(45), "c"}}, []gap{{0, 1, 15, 45, 30}}},
		{
			"two are missing, in two places, and cancel out",
			[]change{{1, 10, told(10), "a"}, {3, 5, told(25), "c"}, {5, 5, told(20), "e"}},
			[]gap{{0, 1, 15, 25, 10}, {1, 2, 30, 20, -10}},
		},
		{"one event took effect twice", []change{{1, 10, told(10), "a"}, {2, 5, told(20), "b"}, {3, 1, told(21), "c"}}, []gap{{0, 1, 15, 20, 5}}},
		{
			"one effect was told by two events",
			[]change{{1, 10, told(10), "a"}, {2, 5, told(15), "b"}, {3, 5, told(15), "b"}, {4, 1, told(16), "c"}},
			[]gap{{1, 2, 20, 15, -5}},
		},
		{
			"two events have each other's time",
			[]change{{1, 10, told(10), "a"}, {2, 3, told(18), "c"}, {3, 5, told(15), "b"}, {4, 1, told(19), "d"}},
			[]gap{{0, 1, 13, 18, 5}, {1, 2, 23, 15, -8}, {2, 3, 16, 19, 3}},
		},
		{"untold between", []change{{1, 10, told(10), "a"}, {2, 5, null, "b"}, {3, 1, told(16), "c"}}, nil},
		{"missing beside an untold one", []change{{1, 10, told(10), "a"}, {2, 5, null, "b"}, {4, 1, told(20), "c"}}, []gap{{0, 2, 16, 20, 4}}},
		{"untold at the ends", []change{{1, 10, null, "a"}, {2, 5, told(100), "b"}, {3, 5, null, "c"}}, nil},
		{"never told", []change{{1, 10, null, "a"}, {3, 5, null, "b"}}, nil},
		{"three within a millisecond", []change{{1, 100, told(100), "a"}, {2, 10, told(110), "b"}, {2, 20, told(130), "c"}, {2, -5, told(125), "d"}, {3, 1, told(126), "e"}}, nil},
		{"forth and back within the first millisecond", []change{{1, 10, told(110), "a"}, {1, -10, told(100), "b"}, {2, 1, told(111), "c"}}, nil},
		{"back and forth within the first millisecond", []change{{1, 10, told(110), "a"}, {1, -10, told(100), "b"}, {2, 1, told(101), "c"}}, nil},
		{"two circles that meet in one balance", []change{{1, 10, told(110), "a"}, {1, -10, told(100), "b"}, {2, 10, told(120), "c"}, {2, -10, told(110), "d"}}, nil},
		{"circles on a way", []change{{1, 10, told(10), "a"}, {2, 5, told(15), "b"}, {2, -5, told(10), "c"}, {2, 5, told(15), "b"}, {2, 0, told(15), "b"}, {2, 7, told(22), "d"}}, nil},
		{"nothing changed within a millisecond", []change{{1, 0, told(10), "a"}, {1, 0, told(10), "a"}, {2, 1, told(11), "a"}}, nil},
		{"missing before a circle", []change{{1, 10, told(10), "a"}, {3, 5, told(25), "b"}, {3, -5, told(20), "c"}, {4, 1, told(26), "d"}}, []gap{{0, 2, 5, 20, 15}}},
		{
			"missing within a millisecond",
			[]change{{1, 100, told(100), "a"}, {2, 10, told(110), "b"}, {2, -5, told(125), "d"}, {3, 1, told(126), "e"}},
			[]gap{{1, 2, 105, 125, 20}},
		},
		{"missing before a millisecond that ends in itself", []change{{1, 100, told(100), "a"}, {3, 1, told(121), "b"}, {3, 2, told(123), "c"}}, []gap{{0, 1, 101, 121, 20}}},
		{
			"one effect was told by two events of a millisecond, the last of all",
			[]change{{1, 100, told(100), "a"}, {2, 10, told(110), "b"}, {2, 10, told(110), "b"}},
			[]gap{{-1, -1, 120, 110, -10}},
		},
		{"told and untold within a millisecond", []change{{1, 100, told(100), "a"}, {2, 10, told(115), "b"}, {2, 5, null, "c"}, {3, 1, told(116), "d"}}, nil},
		{
			"missing, and told and untold within a millisecond",
			[]change{{1, 100, told(100), "a"}, {2, 10, told(125), "b"}, {2, 5, null, "c"}, {3, 1, told(126), "d"}},
			[]gap{{0, 3, 116, 126, 10}},
		},
		{"below zero", []change{{1, -10, told(-10), "a"}, {2, -3, told(-15), "b"}}, []gap{{0, 1, -13, -15, -2}}},
		{"months apart", []change{{1, 1, told(1), "a"}, {40 * 86400_000, 1, told(2), "b"}, {80 * 86400_000, 1, told(4), "c"}}, []gap{{1, 2, 3, 4, 1}}},
		{"as much as a number holds", []change{{1, 1, told(math.MaxInt64), "a"}, {2, -math.MaxInt64, told(0), "b"}, {3, math.MinInt64, told(math.MinInt64), "c"}}, nil},
	}
	orders := []struct {
		name  string
		order func(n int) []int
	}{
		{"in order", ascending},
		{"reversed", func(n int) []int { o := ascending(n); slices.Reverse(o); return o }},
		{"each twice", func(n int) []int { return append(ascending(n), ascending(n)...) }},
		{"the last first", func(n int) []int { return append([]int{n - 1}, ascending(n-1)...) }},
	}
	for _, l := range ledgers {
		t.Run(l.table, func(t *testing.T) {
			w := openWarehouse(t)
			execute(t, w.conn, "SYSTEM STOP MERGES "+w.cfg.Database+"."+l.table)
			waves := make([][]schema.Row, 12)
			var want []string
			for i, test := range tests {
				for j, o := range orders {
					shop := fmt.Sprintf("%s, %s", test.name, o.name)
					rows := make([]schema.Row, len(test.changes))
					for k, c := range test.changes {
						// The id decides nothing that should not: it runs with time or against it.
						n := i*100 + k
						if j%2 == 1 {
							n = i*100 + 99 - k
						}
						rows[k] = l.row(n, shop, "someone", c)
					}
					for wave, k := range o.order(len(test.changes)) {
						waves[wave] = append(waves[wave], rows[k])
					}
					for _, g := range test.want {
						ids := ""
						if g.previous >= 0 {
							ids = fmt.Sprintf("%s, %s, ", eventID(l.table, rows[g.previous]), eventID(l.table, rows[g.event]))
						} else { // Of two events that tell the same, the one with the lesser id is the first.
							ids = fmt.Sprintf("%s, %s, ", min(eventID(l.table, rows[1]), eventID(l.table, rows[2])), max(eventID(l.table, rows[1]), eventID(l.table, rows[2])))
						}
						want = append(want, fmt.Sprintf("%s, %s%d, %d, %d", shop, ids, g.expected, g.told, g.unexplained))
					}
				}
			}
			for _, rows := range waves {
				w.insert(t, factTable(l.table), rows...)
			}
			slices.Sort(want)
			expect := func(state string) {
				gaps := gapColumns[l.table]
				if diff := gocmp.Diff(want, strings.Split(w.ask(t, "shop_id; "+gaps.columns, gaps.view, "1"), "\n")); diff != "" {
					t.Errorf("%s: the view has other gaps (-want +got):\n%s", state, diff)
				}
			}
			expect("before merges")
			execute(t, w.conn, "SYSTEM START MERGES "+w.cfg.Database+"."+l.table)
			w.optimize(t, factTable(l.table))
			expect("after merges")
		})
	}
}

// A delivery writes the events of a shop in any order and in several batches, with
// resends.
func (w *warehouse) deliver(t testing.TB, rt *rapid.T, table string, rows []schema.Row) {
	t.Helper()
	rows = append(rows, rapid.SliceOfN(rapid.SampledFrom(rows), 0, 5).Draw(rt, "resends")...)
	rows = rapid.Permutation(rows).Draw(rt, "order")
	for len(rows) > 0 {
		n := rapid.IntRange((len(rows)+2)/3, len(rows)).Draw(rt, "batch")
		w.insert(t, factTable(table), rows[:n]...)
		rows = rows[n:]
	}
}

// gaps returns the gaps of a shop, sorted, each with its account first.
func (w *warehouse) gaps(t testing.TB, l ledger, shop string) []string {
	t.Helper()
	gaps := gapColumns[l.table]
	answer := w.ask(t, l.account+"; "+gaps.columns, gaps.view, "shop_id = '"+shop+"'")
	if answer == "" {
		return nil
	}
	return strings.Split(answer, "\n")
}

// A ledger of which nothing is missing has no gap, however its events arrive,
// whether or not they tell their balances and share a millisecond.
func TestCompleteLedgersHaveNoGap(t *testing.T) {
	t.Parallel()
	w := openWarehouse(t)
	shop := 0
	rapid.Check(t, func(rt *rapid.T) {
		l := rapid.SampledFrom(ledgers).Draw(rt, "ledger")
		shop++
		var rows []schema.Row
		for account := range lawAccounts {
			at, balance := int64(0), rapid.Int64Range(-5, 5).Draw(rt, "start")
			for k := range rapid.IntRange(1, 12).Draw(rt, "events") {
				at += rapid.SampledFrom([]int64{0, 0, 1, 1000, 20 * 86400_000}).Draw(rt, "later")
				c := change{at: at, delta: rapid.Int64Range(-3, 3).Draw(rt, "delta"), scene: "a"}
				balance += c.delta
				if rapid.IntRange(0, 4).Draw(rt, "told") > 0 {
					c.balance = told(balance)
				}
				n := rapid.IntRange(0, 1<<20).Draw(rt, "id")*1000 + account*20 + k
				rows = append(rows, l.row(n, strconv.Itoa(shop), strconv.Itoa(account), c))
			}
		}
		w.deliver(t, rt, l.table, rows)
		if got := w.gaps(t, l, strconv.Itoa(shop)); got != nil {
			rt.Fatalf("there are gaps:\n%s", strings.Join(got, "\n"))
		}
	})
}

// One event that never arrives makes one gap, between the events around it that
// tell their balance, of just its change.
func TestMissingEventIsOneGap(t *testing.T) {
	t.Parallel()
	w := openWarehouse(t)
	shop := 0
	rapid.Check(t, func(rt *rapid.T) {
		l := rapid.SampledFrom(ledgers).Draw(rt, "ledger")
		shop++
		var rows []schema.Row
		var want []string
		for account := range lawAccounts {
			events := rapid.IntRange(3, 10).Draw(rt, "events")
			missing := rapid.IntRange(1, events-2).Draw(rt, "missing")
			at, balance, expected := int64(0), rapid.Int64Range(-5, 5).Draw(rt, "start"), int64(0)
			var lost, changed int64
			previous := ""
			for k := range events {
				at += rapid.SampledFrom([]int64{1, 1000, 20 * 86400_000}).Draw(rt, "later")
				c := change{at: at, delta: rapid.Int64Range(-3, 3).Draw(rt, "delta"), scene: "a"}
				if k == missing && c.delta == 0 {
					c.delta = 4
				}
				balance += c.delta
				if k == 0 || k == events-1 || rapid.Bool().Draw(rt, "told") {
					c.balance = told(balance)
				}
				if k == missing {
					lost = c.delta
					continue
				}
				row := l.row(rapid.IntRange(0, 1<<20).Draw(rt, "id")*1000+account*20+k, strconv.Itoa(shop), strconv.Itoa(account), c)
				rows = append(rows, row)
				changed += c.delta
				if !c.balance.Set {
					continue
				}
				if k > missing && lost != 0 {
					want = append(want, fmt.Sprintf("%d, %s, %s, %d, %d, %d", account, previous, eventID(l.table, row), expected+changed, balance, lost))
					lost = 0
				}
				previous, expected, changed = eventID(l.table, row), balance, 0
			}
		}
		slices.Sort(want)
		w.deliver(t, rt, l.table, rows)
		if diff := gocmp.Diff(want, w.gaps(t, l, strconv.Itoa(shop))); diff != "" {
			rt.Fatalf("other gaps (-want +got):\n%s", diff)
		}
	})
}

// Whatever the events of an account are, the view shows a gap just where no order
// of them explains all balances, and never fewer than there must be.
func TestGapsAreThoseOfEveryOrder(t *testing.T) {
	t.Parallel()
	w := openWarehouse(t)
	shop := 0
	rapid.Check(t, func(rt *rapid.T) {
		l := rapid.SampledFrom(ledgers).Draw(rt, "ledger")
		shop++
		var rows []schema.Row
		want := map[string]int{}
		for account := range lawAccounts {
			name := strconv.Itoa(account)
			var changes []change
			at := int64(0)
			for k := range rapid.IntRange(1, 7).Draw(rt, "events") {
				at += rapid.SampledFrom([]int64{0, 0, 1}).Draw(rt, "later")
				c := change{at: at, delta: rapid.Int64Range(-2, 2).Draw(rt, "delta"), balance: told(rapid.Int64Range(0, 3).Draw(rt, "balance")), scene: "a"}
				changes = append(changes, c)
				rows = append(rows, l.row(rapid.IntRange(0, 1<<20).Draw(rt, "id")*1000+account*20+k, strconv.Itoa(shop), name, c))
			}
			if n := fewestGaps(changes, nil); n > 0 {
				want[name] = n
			}
		}
		w.deliver(t, rt, l.table, rows)
		got := map[string]int{}
		for _, gap := range w.gaps(t, l, strconv.Itoa(shop)) {
			account, _, _ := strings.Cut(gap, ", ")
			got[account]++
		}
		if diff := gocmp.Diff(slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(got))); diff != "" {
			rt.Fatalf("other accounts with gaps (-want +got):\n%s", diff)
		}
		for account, n := range got {
			if n < want[account] {
				rt.Fatalf("account %s has %d gaps, and no order with less than %d", account, n, want[account])
			}
		}
	})
}

// fewestGaps tries all orders of the events of each millisecond. The balance before
// the first event is not known.
func fewestGaps(changes []change, balance *int64) int {
	if len(changes) == 0 {
		return 0
	}
	at := slices.MinFunc(changes, func(a, b change) int { return cmp.Compare(a.at, b.at) }).at
	fewest := math.MaxInt
	for i, c := range changes {
		if c.at != at {
			continue
		}
		gaps := 0
		if balance != nil && *balance != c.balance.Int-c.delta {
			gaps = 1
		}
		fewest = min(fewest, gaps+fewestGaps(slices.Delete(slices.Clone(changes), i, i+1), &c.balance.Int))
	}
	return fewest
}

// A row that is taken back is a missing event, and a row that is put in its place
// closes the gap.
func TestGapsOfRetractedRows(t *testing.T) {
	t.Parallel()
	for _, l := range ledgers {
		t.Run(l.table, func(t *testing.T) {
			w := openWarehouse(t)
			w.holdMerges(t, l.table)
			table := factTable(l.table)
			var rows []schema.Row
			for k := range int64(4) {
				rows = append(rows, l.row(int(9-k), "1", "someone", change{k * 1000, 5, told(5 * (k + 1)), "a"}))
			}
			w.insert(t, table, rows...)
			if got := w.gaps(t, l, "1"); got != nil {
				t.Errorf("a complete ledger has the gaps %v", got)
			}
			w.insert(t, table, retracted(rows[1], 1e12))
			want := []string{fmt.Sprintf("someone, %s, %s, 10, 15, 5", eventID(l.table, rows[0]), eventID(l.table, rows[2]))}
			if diff := gocmp.Diff(want, w.gaps(t, l, "1")); diff != "" {
				t.Errorf("other gaps after a retraction (-want +got):\n%s", diff)
			}
			w.insert(t, table, rows[1]) // A late resend.
			if diff := gocmp.Diff(want, w.gaps(t, l, "1")); diff != "" {
				t.Errorf("other gaps after a late resend (-want +got):\n%s", diff)
			}
			w.insert(t, table, l.row(1, "1", "someone", change{1500, 5, told(10), "a"}))
			if got := w.gaps(t, l, "1"); got != nil {
				t.Errorf("a complete ledger has the gaps %v", got)
			}
		})
	}
}

// A card's ledger goes on where another customer holds it.
func TestGapsOfACardThatIsGivenAway(t *testing.T) {
	w := openWarehouse(t)
	table := factTable("fact_gift_cards")
	var rows []schema.Row
	for k, buyer := range []string{"giver", "friend", "heir"} {
		rows = append(rows, rowWith(table, k, map[string]schema.Value{
			"shop_id": schema.TextValue("1"), "gift_card_code": schema.TextValue("card"), "buyer_id": schema.TextValue(buyer), "updated_at": millis(int64(k)),
			"balance_delta_cents": told(-1), "current_balance_cents": told([]int64{100, 99, 90}[k]),
		}))
	}
	w.insert(t, table, rows...)
	want := fmt.Sprintf("card, heir, %s, %s, 98, 90, -8", eventID(table.Name, rows[1]), eventID(table.Name, rows[2]))
	if got := w.ask(t, "gift_card_code; buyer_id; previous_event_id; event_id; expected_balance_cents; current_balance_cents; unexplained_cents", "gift_card_gaps", "1"); got != want {
		t.Errorf("the gaps are\n%s\nwant\n%s", got, want)
	}
}

func TestReconciliationAndFreshness(t *testing.T) {
	w := openWarehouse(t)
	const day = 86400_000
	var names []string
	for _, l := range ledgers {
		names = append(names, l.table)
	}
	w.holdMerges(t, names...)
	received := func(table string, row schema.Row, at int64) schema.Row {
		row[factTable(table).Index("received_at")] = millis(at)
		return row
	}
	for _, l := range ledgers {
		rows := []schema.Row{
			received(l.table, l.row(1, "1", "a", change{1, 10, told(10), "a"}), 100),
			received(l.table, l.row(2, "1", "a", change{day - 1, 5, told(20), "a"}), day+500), // Late.
			received(l.table, l.row(3, "1", "a", change{day, 5, told(18), "a"}), day+100),     // 5 and -7 are missing.
			received(l.table, l.row(4, "1", "b", change{day, 5, told(5), "a"}), day+100),
			received(l.table, l.row(5, "2", "a", change{day + 1, 1, told(1), "a"}), day+200),
		}
		w.insert(t, factTable(l.table), rows...)
		w.insert(t, factTable(l.table), rows[2], rows[1])
	}
	var want []string
	for _, ledger := range []string{"gift_cards", "points", "store_credits"} {
		want = append(want, "1, 2026-01-01, "+ledger+", 2, 1, 5", "1, 2026-01-02, "+ledger+", 2, 1, 7", "2, 2026-01-02, "+ledger+", 1, 0, 0")
	}
	slices.Sort(want)
	if diff := gocmp.Diff(want, strings.Split(w.ask(t, "shop_id; day; ledger; events; gaps; unexplained", "reconciliation", "1"), "\n")); diff != "" {
		t.Errorf("another reconciliation (-want +got):\n%s", diff)
	}
	w.insert(t, factTable("fact_customer_changes"), update(1, "2", "c", 7, 9000, nil), update(2, "2", "c", 8, 8500, nil))
	want = []string{"2, customer_changes, 9000, 8000"}
	for _, ledger := range []string{"gift_cards", "points", "store_credits"} {
		want = append(want, "1, "+ledger+", 86400500, 86400000", "2, "+ledger+", 86400200, 86400001")
	}
	slices.Sort(want)
	got := w.ask(t, "shop_id; ledger; toUnixTimestamp64Milli(last_received_at) - 1767225600000; toUnixTimestamp64Milli(last_updated_at) - 1767225600000", "freshness", "1")
	if diff := gocmp.Diff(want, strings.Split(got, "\n")); diff != "" {
		t.Errorf("another freshness (-want +got):\n%s", diff)
	}
}
