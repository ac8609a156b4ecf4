package clickhouse_test

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"pgregory.net/rapid"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
	"loyaltyhouse/sinks/sinktest"
)

// A warehouse is a database with its tables, a sink that fills them, and a
// connection to ask them.
type warehouse struct {
	cfg    clickhouse.Config
	sink   sinks.Sink
	conn   driver.Conn
	offset int64
}

func openWarehouse(t testing.TB) *warehouse { return openDatabase(t, newWarehouse(t)) }

func openDatabase(t testing.TB, cfg clickhouse.Config) *warehouse {
	t.Helper()
	sink, err := clickhouse.Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	return &warehouse{cfg: cfg, sink: sink, conn: connect(t)}
}

// insert writes the rows as one batch of a range of its own.
func (w *warehouse) insert(t testing.TB, table *schema.Table, rows ...schema.Row) {
	t.Helper()
	b := sinktest.NewBatch(table, w.offset, rows...)
	w.offset += int64(len(rows))
	if err := w.sink.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
}

// ask returns the rows of a view that match the condition, in order.
func (w *warehouse) ask(t testing.TB, columns, view, where string) string {
	t.Helper()
	return text(t, w.conn, columns, fmt.Sprintf("FROM %s.%s WHERE %s ORDER BY 1", w.cfg.Database, view, where))
}

func (w *warehouse) optimize(t testing.TB, table *schema.Table) {
	t.Helper()
	execute(t, w.conn, "OPTIMIZE TABLE "+w.cfg.Database+"."+table.Name+" FINAL")
}

// rowWith returns an ordinary row with some columns of its own.
func rowWith(table *schema.Table, n int, columns map[string]schema.Value) schema.Row {
	row := sinktest.Row(table, n)
	for name, value := range columns {
		row[table.Index(name)] = value
	}
	return row
}

func factTable(name string) *schema.Table {
	for _, c := range mustBuiltin() {
		if c.Table == name {
			return c.FactTable()
		}
	}
	panic("no contract fills " + name)
}

// null is the NULL of a nullable column.
var null = schema.Value{}

// millis is a time within 2026, so many milliseconds after its begin.
func millis(n int64) schema.Value { return schema.IntValue(1767225600000 + n) }

func TestViewsCollapseResends(t *testing.T) {
	w := openWarehouse(t)
	for view, name := range map[string]string{
		"points": "fact_points", "store_credits": "fact_store_credits",
		"gift_cards": "fact_gift_cards", "customer_changes": "fact_customer_changes",
	} {
		t.Run(view, func(t *testing.T) {
			table := factTable(name)
			version := func(n int, normalizedAt int64, domain string) schema.Row {
				return rowWith(table, n, map[string]schema.Value{
					"updated_at": millis(int64(n)), "normalized_at": millis(normalizedAt), "shop_domain": schema.TextValue(domain),
				})
			}
			expect := func(want string) {
				t.Helper()
				if got := w.ask(t, "shop_domain", view, "1"); got != want {
					t.Errorf("the view has %q, want %q", got, want)
				}
			}
			w.insert(t, table, version(1, 10, "first"), version(2, 10, "other"))
			w.insert(t, table, version(1, 20, "resent"))
			w.insert(t, table, version(1, 30, "resent"), version(1, 30, "resent"))
			expect("other\nresent")
			w.insert(t, table, version(1, 40, "corrected"))
			expect("corrected\nother")
			w.optimize(t, table)
			expect("corrected\nother")
			w.insert(t, table, version(1, 15, "late"), version(2, 20, "other"))
			expect("corrected\nother")
			w.optimize(t, table)
			expect("corrected\nother")
			if got := w.ask(t, "count()", name, "1"); got != "2" {
				t.Errorf("after merges the table has %s rows, want 2", got)
			}
		})
	}
}

// A ledger is one of the three tables of changes with a balance, and its view.
type ledger struct {
	table, view, account, delta, balance, scene string
}

var ledgers = []ledger{
	{"fact_points", "points_balances", "buyer_id", "points_delta", "points_balance", "updated_scene"},
	{"fact_store_credits", "store_credit_balances", "buyer_id", "balance_delta_cents", "current_balance_cents", "update_reason"},
	{"fact_gift_cards", "gift_card_balances", "gift_card_code", "balance_delta_cents", "current_balance_cents", "scene_type"},
}

// A change is one event of a ledger. Its balance, after it, may be untold.
type change struct {
	at, delta int64
	balance   schema.Value
	scene     string
}

func told(n int64) schema.Value { return schema.IntValue(n) }

func (l ledger) row(n int, shop, account string, c change) schema.Row {
	return rowWith(factTable(l.table), n, map[string]schema.Value{
		"shop_id": schema.TextValue(shop), l.account: schema.TextValue(account), "updated_at": millis(c.at),
		l.delta: schema.IntValue(c.delta), l.balance: c.balance, l.scene: schema.TextValue(c.scene),
	})
}

func (l ledger) columns() string {
	return l.account + "; " + l.balance + "; " + l.scene + "; toUnixTimestamp64Milli(updated_at) - 1767225600000"
}

func TestBalances(t *testing.T) {
	tests := []struct {
		name    string
		changes []change
		want    string // balance, scene, updated_at
	}{
		{"one event", []change{{5, 10, told(10), "a"}}, "10, a, 5"},
		{"the latest of three", []change{{1, 10, told(10), "a"}, {2, -4, told(6), "b"}, {3, 1, told(7), "c"}}, "7, c, 3"},
		{"a told balance is trusted more than the changes", []change{{1, 10, told(10), "a"}, {2, 5, told(100), "b"}}, "100, b, 2"},
		{"two within a millisecond", []change{{1, 90, told(90), "a"}, {2, 10, told(100), "b"}, {2, -30, told(70), "c"}}, "70, c, 2"},
		{"three within a millisecond", []change{{2, 10, told(110), "a"}, {2, 20, told(130), "b"}, {2, -5, told(125), "c"}}, "125, c, 2"},
		{"back and forth within a millisecond", []change{{2, 10, told(110), "a"}, {2, -10, told(100), "b"}, {2, 10, told(110), "a"}}, "110, a, 2"},
		{"forth and back within a millisecond", []change{{2, -10, told(100), "b"}, {2, 10, told(110), "a"}, {2, 10, told(110), "a"}}, "110, a, 2"},
		{"once more, with ids the other way round", []change{{2, -10, told(100), "b"}, {2, 10, told(110), "a"}, {2, 10, told(110), "a"}}, "110, a, 2"},
		{"nothing changed and then something, within a millisecond", []change{{2, 0, told(100), "a"}, {2, 10, told(110), "b"}}, "110, b, 2"},
		{"nothing changed", []change{{1, 7, told(7), "a"}, {2, 0, told(7), "b"}}, "7, b, 2"},
		{"untold since", []change{{1, 10, told(10), "a"}, {2, 5, null, "b"}, {3, -2, null, "c"}}, "13, c, 3"},
		{"untold before", []change{{1, 10, null, "a"}, {2, 5, told(50), "b"}}, "50, b, 2"},
		{"untold between", []change{{1, 10, told(10), "a"}, {2, 5, null, "b"}, {3, 1, told(16), "c"}, {4, -6, null, "d"}}, "10, d, 4"},
		{"never told", []change{{1, 10, null, "a"}, {2, -3, null, "b"}}, "7, b, 2"},
		{"untold within the millisecond of a told one", []change{{1, 10, null, "a"}, {1, 5, told(15), "b"}}, "15, b, 1"},
		{"below zero", []change{{1, -10, told(-10), "a"}, {2, -3, null, "b"}}, "-13, b, 2"},
		{"far apart in time", []change{{1, 1, told(1), "a"}, {40 * 86400_000, 1, told(2), "b"}, {80 * 86400_000, 1, null, "c"}}, "3, c, 6912000000"},
	}
	orders := []struct {
		name  string
		order func(n int) []int
	}{
		{"in order", func(n int) []int { return ascending(n) }},
		{"reversed", func(n int) []int { o := ascending(n); slices.Reverse(o); return o }},
		{"each twice", func(n int) []int { return append(ascending(n), ascending(n)...) }},
		{"the last first", func(n int) []int { return append([]int{n - 1}, ascending(n-1)...) }},
	}
	for _, l := range ledgers {
		t.Run(l.view, func(t *testing.T) {
			w := openWarehouse(t)
			// All cases go into the same inserts: each is a shop, in which the same
			// buyer or card is another one.
			waves := make([][]schema.Row, 8)
			for i, test := range tests {
				for j, o := range orders {
					for wave, k := range o.order(len(test.changes)) {
						// The id decides nothing that should not: it runs with time or against it.
						n := i*100 + k
						if i%2 == 1 {
							n = i*100 + 99 - k
						}
						waves[wave] = append(waves[wave], l.row(n, fmt.Sprintf("%d/%d", i, j), "someone", test.changes[k]))
					}
				}
			}
			for _, rows := range waves {
				w.insert(t, factTable(l.table), rows...)
			}
			expect := func(state string) {
				got := strings.Split(w.ask(t, "shop_id; "+l.columns(), l.view, "1"), "\n")
				for i, test := range tests {
					for j, o := range orders {
						shop := fmt.Sprintf("%d/%d, ", i, j)
						k := slices.IndexFunc(got, func(line string) bool { return strings.HasPrefix(line, shop) })
						if k < 0 || got[k] != shop+"someone, "+test.want {
							t.Errorf("%s, %s, %s: want %q; the view has\n%s", state, test.name, o.name, test.want, strings.Join(got, "\n"))
						}
					}
				}
			}
			expect("before merges")
			w.optimize(t, factTable(l.table))
			expect("after merges")
		})
	}
}

func ascending(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// Whatever the order, the repetition and the batches in which a ledger's events
// arrive, the view shows the balance after the last of them.
func TestBalancesDoNotDependOnDelivery(t *testing.T) {
	t.Parallel()
	w := openWarehouse(t)
	shop := 0
	rapid.Check(t, func(rt *rapid.T) {
		l := rapid.SampledFrom(ledgers).Draw(rt, "ledger")
		shop++
		id := strconv.Itoa(shop)
		var rows []schema.Row
		var want []string
		for account := range rapid.IntRange(1, lawAccounts).Draw(rt, "accounts") {
			name := strconv.Itoa(account)
			changes := drawLedger(rt)
			balance := int64(0)
			for k, c := range changes {
				balance += c.delta
				n := rapid.IntRange(0, 1<<20).Draw(rt, "id")*1000 + account*20 + k
				for range rapid.IntRange(1, 3).Draw(rt, "deliveries") {
					rows = append(rows, l.row(n, id, name, c))
				}
			}
			last := changes[len(changes)-1]
			want = append(want, fmt.Sprintf("%s, %d, %s, %d", name, balance, last.scene, last.at))
		}
		slices.Sort(want)
		rows = rapid.Permutation(rows).Draw(rt, "order")
		for len(rows) > 0 {
			n := rapid.IntRange((len(rows)+2)/3, len(rows)).Draw(rt, "batch")
			w.insert(t, factTable(l.table), rows[:n]...)
			rows = rows[n:]
		}
		if got := w.ask(t, l.columns(), l.view, "shop_id = '"+id+"'"); got != strings.Join(want, "\n") {
			rt.Fatalf("the view has\n%s\nwant\n%s", got, strings.Join(want, "\n"))
		}
	})
}

// drawLedger draws the history of one account. Of events within a millisecond
// all tell their balance and change it in one direction, for otherwise nobody
// could tell which was the last.
func drawLedger(rt *rapid.T) []change {
	var changes []change
	at, balance := int64(0), int64(0)
	for range rapid.IntRange(1, 6).Draw(rt, "moments") {
		at += rapid.SampledFrom([]int64{1, 2, 1000, 5 * 86400_000}).Draw(rt, "later")
		n := rapid.SampledFrom([]int{1, 1, 1, 2, 3}).Draw(rt, "events")
		sign := rapid.SampledFrom([]int64{1, -1}).Draw(rt, "sign")
		for range n {
			c := change{at: at, delta: sign * rapid.Int64Range(1, 5).Draw(rt, "delta")}
			if n == 1 && rapid.IntRange(0, 9).Draw(rt, "nothing") == 0 {
				c.delta = 0
			}
			balance += c.delta
			c.balance = told(balance)
			if n == 1 && rapid.IntRange(0, 3).Draw(rt, "untold") == 0 {
				c.balance = null
			}
			c.scene = strconv.Itoa(len(changes))
			changes = append(changes, c)
		}
	}
	return changes
}

func TestGiftCardBalancesAreThoseOfTheCard(t *testing.T) {
	w := openWarehouse(t)
	table := factTable("fact_gift_cards")
	event := func(n int, at int64, buyer string, balance, original, expires schema.Value) schema.Row {
		return rowWith(table, n, map[string]schema.Value{
			"shop_id": schema.TextValue("1"), "gift_card_code": schema.TextValue("card"), "updated_at": millis(at), "buyer_id": schema.TextValue(buyer),
			"balance_delta_cents": schema.IntValue(1), "current_balance_cents": balance, "original_value_cents": original, "expires_at": expires,
		})
	}
	const columns = "buyer_id; current_balance_cents; ifNull(toString(original_value_cents), 'NULL'); ifNull(toString(toUnixTimestamp64Milli(expires_at) - 1767225600000), 'NULL')"
	for _, step := range []struct {
		row  schema.Row
		want string
	}{
		{event(1, 10, "giver", told(10), told(5000), millis(99)), "giver, 10, 5000, 99"},
		{event(2, 20, "friend", told(20), told(5000), null), "friend, 20, 5000, NULL"},
		{event(3, 15, "giver", told(30), told(4000), millis(77)), "friend, 20, 5000, NULL"},
		{event(4, 30, "friend", told(40), null, millis(88)), "friend, 40, 5000, 88"},
		{event(5, 40, "heir", null, null, millis(66)), "heir, 41, 5000, 66"},
		{event(6, 50, "heir", null, null, null), "heir, 42, 5000, NULL"},
		{event(7, 60, "heir", told(50), null, null), "heir, 50, 5000, NULL"},
	} {
		w.insert(t, table, step.row)
		if got := w.ask(t, columns, "gift_card_balances", "gift_card_code = 'card'"); got != step.want {
			t.Errorf("the view has %q, want %q", got, step.want)
		}
	}
}

func TestCustomersAreTheLatestState(t *testing.T) {
	w := openWarehouse(t)
	table := factTable("fact_customer_changes")
	event := func(n int, shop string, at, received int64, note string, birthday schema.Value) schema.Row {
		return rowWith(table, n, map[string]schema.Value{
			"shop_id": schema.TextValue(shop), "customer_id": schema.TextValue("c"), "updated_at": millis(at * 1000),
			"received_at": millis(received), "normalized_at": millis(received), "note": schema.TextValue(note), "birthday": birthday,
		})
	}
	day := schema.IntValue(10)
	const columns = "shop_id; note; ifNull(toString(birthday), 'NULL'); length(addresses.city)"
	expect := func(want string) {
		t.Helper()
		if got := w.ask(t, columns, "customers", "1"); got != want {
			t.Errorf("the view has %q, want %q", got, want)
		}
	}
	w.insert(t, table, event(2, "1", 10, 100, "first", day))
	expect("1, first, 1970-01-11, 2")
	w.insert(t, table, event(4, "2", 10, 100, "of another shop", day))
	expect("1, first, 1970-01-11, 2\n2, of another shop, 1970-01-11, 1")
	w.insert(t, table, event(3, "1", 20, 200, "second", null))
	expect("1, second, NULL, 0\n2, of another shop, 1970-01-11, 1")
	w.insert(t, table, event(5, "1", 15, 300, "late", day))
	expect("1, second, NULL, 0\n2, of another shop, 1970-01-11, 1")
	w.insert(t, table, event(1, "1", 20, 400, "in the same second, received later", day))
	expect("1, in the same second, received later, 1970-01-11, 1\n2, of another shop, 1970-01-11, 1")
	w.insert(t, table, event(2, "1", 10, 500, "first", day), event(1, "1", 20, 500, "in the same second, received later", day))
	expect("1, in the same second, received later, 1970-01-11, 1\n2, of another shop, 1970-01-11, 1")
	w.optimize(t, table)
	expect("1, in the same second, received later, 1970-01-11, 1\n2, of another shop, 1970-01-11, 1")
}

// A retraction leaves nothing of the row that it takes back in any view, before
// merges and after, also where a user's settings would have the condition asked
// before rows have been replaced. A later row of the same key counts again.
func TestViewsLeaveOutRetractedRows(t *testing.T) {
	w := openWarehouse(t)
	at := func(row schema.Row, normalized int64, retracted bool) schema.Row {
		*row.NormalizedAt() = millis(normalized)
		*row.Retracted() = schema.Value{}
		if retracted {
			*row.Retracted() = schema.IntValue(1)
		}
		return row
	}
	event := func(table *schema.Table, n int, updated, normalized int64, retracted bool) schema.Row {
		row := rowWith(table, n, map[string]schema.Value{"shop_id": schema.TextValue("1"), "updated_at": millis(updated * 1000)})
		for _, account := range []string{"buyer_id", "customer_id", "gift_card_code"} {
			if i := table.Index(account); i >= 0 {
				row[i] = schema.TextValue("someone")
			}
		}
		for _, balance := range []string{"points_balance", "current_balance_cents"} {
			if i := table.Index(balance); i >= 0 {
				row[i] = told(int64(n))
			}
		}
		row[table.Index("merchant_id")] = schema.TextValue(strconv.Itoa(n))
		return at(row, normalized, retracted)
	}
	tests := []struct{ table, facts, latest, latestColumn string }{
		{"fact_points", "points", "points_balances", "points_balance"},
		{"fact_store_credits", "store_credits", "store_credit_balances", "current_balance_cents"},
		{"fact_gift_cards", "gift_cards", "gift_card_balances", "current_balance_cents"},
		{"fact_customer_changes", "customer_changes", "customers", "merchant_id"},
	}
	for _, test := range tests {
		t.Run(test.facts, func(t *testing.T) {
			table := factTable(test.table)
			expect := func(facts, latest string) {
				t.Helper()
				for _, settings := range []string{"0", "1"} {
					for view, columns := range map[string]string{test.facts: "merchant_id", test.latest: test.latestColumn} {
						want := facts
						if view == test.latest {
							want = latest
						}
						got := text(t, w.conn, columns, fmt.Sprintf("FROM %s.%s ORDER BY 1 SETTINGS optimize_move_to_prewhere_if_final = %s, optimize_move_to_prewhere = 1", w.cfg.Database, view, settings))
						if got != want {
							t.Errorf("with optimize_move_to_prewhere_if_final = %s view %s has %q, want %q", settings, view, got, want)
						}
					}
				}
			}
			execute(t, w.conn, "SYSTEM STOP MERGES "+w.cfg.Database+"."+test.table)
			w.insert(t, table, event(table, 11, 10, 100, false))
			w.insert(t, table, event(table, 12, 20, 100, false))
			expect("11\n12", "12")
			w.insert(t, table, event(table, 12, 20, 200, true))
			expect("11", "11")
			w.insert(t, table, event(table, 12, 20, 150, false)) // A late resend.
			expect("11", "11")
			w.insert(t, table, event(table, 11, 10, 200, true))
			expect("", "")
			w.insert(t, table, event(table, 12, 20, 300, false))
			expect("12", "12")
			w.insert(t, table, event(table, 11, 10, 300, false), event(table, 12, 20, 400, true))
			expect("11", "11")
			if parts := text(t, w.conn, "count() > 5", "FROM system.parts WHERE active AND database = ? AND table = ?", w.cfg.Database, test.table); parts != "1" && parts != "true" {
				t.Errorf("the parts have been merged (%s)", parts)
			}
			execute(t, w.conn, "SYSTEM START MERGES "+w.cfg.Database+"."+test.table)
			w.optimize(t, table)
			expect("11", "11")
		})
	}
}

func TestColumnsOfViews(t *testing.T) {
	w := openWarehouse(t)
	for view, name := range map[string]string{
		"points": "fact_points", "store_credits": "fact_store_credits", "gift_cards": "fact_gift_cards",
		"customer_changes": "fact_customer_changes", "customers": "fact_customer_changes",
	} {
		columns := func(table string) string {
			return text(t, w.conn, "name; type", "FROM system.columns WHERE database = ? AND table = ? ORDER BY position", w.cfg.Database, table)
		}
		if got, want := columns(view), strings.TrimSuffix(columns(name), "\nretracted, Bool"); got != want {
			t.Errorf("view %s has the columns\n%s\nwant those of %s\n%s", view, got, name, want)
		}
	}
	for view, want := range map[string]string{
		"points_balances": `shop_id, String
buyer_id, String
points_balance, Int64
updated_scene, LowCardinality(String)
updated_at, DateTime64(3, 'UTC')`,
		"store_credit_balances": `shop_id, String
buyer_id, String
current_balance_cents, Int64
store_credits_code, String
update_reason, LowCardinality(String)
updated_at, DateTime64(3, 'UTC')`,
		"gift_card_balances": `shop_id, String
gift_card_code, String
buyer_id, String
current_balance_cents, Int64
original_value_cents, Nullable(Int64)
scene_type, LowCardinality(String)
expires_at, Nullable(DateTime64(3, 'UTC'))
updated_at, DateTime64(3, 'UTC')
disabled, Bool`,
	} {
		got := text(t, w.conn, "name; type", "FROM system.columns WHERE database = ? AND table = ? ORDER BY position", w.cfg.Database, view)
		if got != want {
			t.Errorf("view %s has the columns\n%s\nwant\n%s", view, got, want)
		}
	}
}
