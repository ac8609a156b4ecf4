package clickhouse_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks/sinktest"
)

// passes is how often every view is asked while a load goes on.
const passes = 2

// Resends and merges change no answer: what every exact view said before the first
// of them it says at any moment, byte for byte, but for when an event was received
// and its row was made.
func TestViewsStayTheSameUnderResendsAndMerges(t *testing.T) {
	t.Parallel()
	awaitMidnight()
	w := openWarehouse(t)
	facts := drawFacts()
	for table, rows := range facts {
		w.insert(t, factTable(table), rows...)
	}
	asked := exactViews(t)
	before := make([]string, len(asked))
	for i, q := range asked {
		var err error
		if before[i], err = askText(t.Context(), w.conn, w.cfg.Database, q); err != nil {
			t.Fatal(err)
		}
		if before[i] == "" {
			t.Errorf("%s is empty", q.view)
		}
	}

	load := w.newLoad(t)
	for table, rows := range facts {
		random := rand.New(rand.NewPCG(1, uint64(len(rows)))) //nolint:gosec // It only has to be the same each time.
		load.write(table, func(n int) []schema.Row {
			batch := make([]schema.Row, 40)
			for i := range batch {
				batch[i] = resend(rows[random.IntN(len(rows))], int64(n))
			}
			return batch
		})
	}
	load.read(func(ctx context.Context, conn driver.Conn) {
		for i, q := range asked {
			got, err := askText(ctx, conn, w.cfg.Database, q)
			if err != nil {
				t.Error(err)
				return
			}
			if got != before[i] {
				t.Errorf("%s has changed (-before +now):\n%.3000s", q.view, cmp.Diff(strings.Split(before[i], "\n"), strings.Split(got, "\n")))
				return
			}
		}
	})
}

// While events come in, with resends and corrections of those that are there, every
// view counts each event once: no fewer than had been stored when it was asked, and
// no more than had been sent when it answered. A ledger that arrives in order has no
// gap at any moment.
func TestViewsCountEachEventOnceWhileTheyArrive(t *testing.T) {
	t.Parallel()
	awaitMidnight()
	w := openWarehouse(t)
	load := w.newLoad(t)
	growth := map[string]*growing{}
	for _, table := range []string{"fact_points", "fact_store_credits", "fact_gift_cards", "fact_customer_changes"} {
		g := &growing{}
		growth[table] = g
		load.write(table, func(n int) []schema.Row { return g.batch(table, n) })
		load.acknowledge(table, g.store)
	}
	load.read(func(ctx context.Context, conn driver.Conn) {
		for _, c := range counts {
			g := growth[c.table]
			number := func(what string) (n int64) {
				if err := conn.QueryRow(ctx, fmt.Sprintf("SELECT toInt64(%s) FROM %s.%s", what, w.cfg.Database, c.from)).Scan(&n); err != nil && ctx.Err() == nil {
					t.Errorf("%s of %s: %v", what, c.from, err)
				}
				return n
			}
			if c.zero {
				if got := number(c.what); got != 0 {
					t.Errorf("%s of %s is %d, want 0", c.what, c.from, got)
				}
				continue
			}
			stored, sent := &g.stored, &g.sent
			if c.corrected {
				stored, sent = &g.correctionsStored, &g.correctionsSent
			}
			least := stored.Load()
			got := number(c.what)
			if most := sent.Load(); got < least || got > most {
				t.Errorf("%s of %s is %d, want %d to %d", c.what, c.from, got, least, most)
			}
		}
	})
	for table, g := range growth {
		if g.stored.Load() < 100 || g.correctionsStored.Load() < 100 {
			t.Errorf("%s got %d events and %d corrections, too few to show anything", table, g.stored.Load(), g.correctionsStored.Load())
		}
	}
}

// counts are what the views make of the events of a table of which each adds 1. Some
// count the corrected ones alone, and some are 0 whatever has arrived.
var counts = []struct {
	table, what, from string
	corrected, zero   bool
}{
	{table: "fact_points", what: "count()", from: "points"},
	{table: "fact_points", what: "uniqExact(event_id)", from: "points"},
	{table: "fact_points", what: "count() - uniqExact(event_id)", from: "points", zero: true},
	{table: "fact_points", what: "sum(points_balance)", from: "points_balances"},
	{table: "fact_points", what: "sum(events)", from: "points_by_scene_daily"},
	{table: "fact_points", what: "sumIf(net, updated_scene = 'RIGHT')", from: "points_by_scene_daily", corrected: true},
	{table: "fact_points", what: "sum(earned)", from: "points_daily"},
	{table: "fact_points", what: "sum(points_balance)", from: "points_members"},
	{table: "fact_points", what: "countIf(points_balance != earned OR points_balance != earn_events)", from: "points_members", zero: true},
	{table: "fact_points", what: "sum(points_outstanding)", from: "points_outstanding"},
	{table: "fact_points", what: "sum(earned)", from: "points_cohorts"},
	{table: "fact_points", what: "sum(frequency)", from: "points_segments"},
	{table: "fact_points", what: "count()", from: "points_gaps", zero: true},
	{table: "fact_points", what: "sumIf(events, ledger = 'points')", from: "reconciliation"},
	{table: "fact_points", what: "countIf(ledger = 'points')", from: "ledger_events"},
	{table: "fact_points", what: "sum(points_balance)", from: "customer_360"},

	{table: "fact_store_credits", what: "count()", from: "store_credits"},
	{table: "fact_store_credits", what: "count() - uniqExact(event_id)", from: "store_credits", zero: true},
	{table: "fact_store_credits", what: "sum(current_balance_cents)", from: "store_credit_balances"},
	{table: "fact_store_credits", what: "sum(net_cents)", from: "store_credits_by_reason_daily"},
	{table: "fact_store_credits", what: "sumIf(events, update_reason = 'RIGHT')", from: "store_credits_by_reason_daily", corrected: true},
	{table: "fact_store_credits", what: "sum(current_balance_cents)", from: "store_credit_members"},
	{table: "fact_store_credits", what: "countIf(current_balance_cents != issued_cents)", from: "store_credit_members", zero: true},
	{table: "fact_store_credits", what: "sum(outstanding_cents)", from: "store_credit_liability"},
	{table: "fact_store_credits", what: "count()", from: "store_credit_gaps", zero: true},
	{table: "fact_store_credits", what: "sumIf(events, ledger = 'store_credits')", from: "reconciliation"},
	{table: "fact_store_credits", what: "sum(store_credit_cents)", from: "customer_360"},

	{table: "fact_gift_cards", what: "count()", from: "gift_cards"},
	{table: "fact_gift_cards", what: "count() - uniqExact(event_id)", from: "gift_cards", zero: true},
	{table: "fact_gift_cards", what: "sum(current_balance_cents)", from: "gift_card_balances"},
	{table: "fact_gift_cards", what: "sum(net_cents)", from: "gift_cards_daily"},
	{table: "fact_gift_cards", what: "sumIf(events, scene_type = 'RIGHT')", from: "gift_cards_daily", corrected: true},
	{table: "fact_gift_cards", what: "sum(events)", from: "gift_card_lives"},
	{table: "fact_gift_cards", what: "countIf(current_balance_cents != events)", from: "gift_card_lives", zero: true},
	{table: "fact_gift_cards", what: "sum(outstanding_cents)", from: "gift_card_liability"},
	{table: "fact_gift_cards", what: "count()", from: "gift_card_gaps", zero: true},
	{table: "fact_gift_cards", what: "sumIf(events, ledger = 'gift_cards')", from: "reconciliation"},
	{table: "fact_gift_cards", what: "sum(gift_card_cents)", from: "customer_360"},
	{table: "fact_gift_cards", what: "sum(gaps) + sum(unexplained)", from: "reconciliation", zero: true},

	// A customer's orders_count is the number of the update.
	{table: "fact_customer_changes", what: "count()", from: "customer_changes"},
	{table: "fact_customer_changes", what: "count() - uniqExact(event_id)", from: "customer_changes", zero: true},
	{table: "fact_customer_changes", what: "countIf(note = 'RIGHT')", from: "customer_changes", corrected: true},
	{table: "fact_customer_changes", what: "sum(orders_count)", from: "customers"},
	{table: "fact_customer_changes", what: "sum(orders_count)", from: "customers_at(at = '2200-01-01 00:00:00')"},
	{table: "fact_customer_changes", what: "sum(orders_count)", from: "customer_360"},
	{table: "fact_customer_changes", what: "countIf(field = 'orders_count') + uniqExact(customer_id) * (count() > 0)", from: "customer_field_changes"},
	{table: "fact_customer_changes", what: "count() - 2 * uniqExact(customer_id)", from: "customer_consents", zero: true},
}

// growing is how many events of a table there are by now.
type growing struct {
	sent, stored                       atomic.Int64
	correctionsSent, correctionsStored atomic.Int64
	events                             []schema.Row
}

const accounts = 20

// batch returns the next event of each account, with the scene WRONG, the same
// events of an earlier batch with the scene RIGHT, as a replay under a corrected
// contract makes them, and resends that are older than the corrections.
func (g *growing) batch(table string, n int) []schema.Row {
	var rows []schema.Row
	for account := range accounts {
		rows = append(rows, oneMore(table, account, int64(n)))
	}
	g.events = append(g.events, rows...)
	g.sent.Add(accounts)
	if n == 0 {
		return rows
	}
	for _, wrong := range g.events[(n-1)*accounts : n*accounts] {
		right := resend(wrong, 1e9)
		for _, scene := range []string{"updated_scene", "update_reason", "scene_type", "note"} {
			if i := factTable(table).Index(scene); i >= 0 {
				right[i] = schema.TextValue("RIGHT")
			}
		}
		rows = append(rows, right)
	}
	g.correctionsSent.Add(accounts)
	for i := 0; i < len(g.events); i += 7 {
		rows = append(rows, resend(g.events[i], int64(n)))
	}
	return rows
}

// store counts what a batch brought that has been stored.
func (g *growing) store() {
	g.stored.Store(g.sent.Load())
	g.correctionsStored.Store(g.correctionsSent.Load())
}

// oneMore returns the n-th event of an account, from 0. All are of one month, for a
// batch is stored in the parts of several months one by one.
func oneMore(table string, account int, n int64) schema.Row {
	now := time.Now().UTC()
	at := time.Date(now.Year(), now.Month()-1, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Second)
	id, name := account*1_000_000+int(n), strconv.Itoa(account)
	for _, l := range ledgers {
		if l.table == table {
			return l.entry(id, entry{shop: "1", account: name, buyer: name, at: at, delta: 1, balance: told(n + 1), scene: "WRONG", original: told(1)}, 0)
		}
	}
	row := update(id, "1", name, 0, 0, map[string]schema.Value{"note": schema.TextValue("WRONG"), "orders_count": schema.IntValue(n + 1)})
	row[factTable(table).Index("updated_at")] = schema.IntValue(at.UnixMilli())
	return row
}

// drawFacts returns the rows of each table: ledgers with untold balances, gaps,
// corrected and retracted events over some months, and customers who change.
func drawFacts() map[string][]schema.Row {
	random := rand.New(rand.NewPCG(2, 3)) //nolint:gosec // It only has to be the same each time.
	facts := map[string][]schema.Row{}
	add := func(table string, rows ...schema.Row) { facts[table] = append(facts[table], rows...) }
	for account := range 30 {
		shop, name := strconv.Itoa(account%3), strconv.Itoa(account)
		for _, l := range ledgers {
			balance := int64(0)
			for k := range 8 {
				e := entry{
					shop: shop, account: name, buyer: name, at: fromNow(-float64(7*(8-k)) - random.Float64()), delta: random.Int64N(300) - 80,
					scene: []string{"SELF_PURCHASE", "PURCHASE_PAYMENT", "RETURN_INCREASE"}[random.IntN(3)], original: told(500),
				}
				balance += e.delta
				if random.IntN(4) > 0 {
					e.balance = told(balance)
				}
				if random.IntN(2) == 0 {
					e.expires = fromNow(15 + 30*float64(random.IntN(4)))
				}
				n := account*100 + k
				switch random.IntN(12) {
				case 0: // It never arrives.
				case 1:
					add(l.table, l.entry(n, e, 0), l.retraction(n, e, 1e9))
				case 2:
					wrong := e
					wrong.scene = "WRONG"
					add(l.table, l.entry(n, wrong, 0), l.entry(n, e, 1e9))
				default:
					add(l.table, l.entry(n, e, 1))
				}
			}
		}
		for k := range 5 {
			row := update(account*100+k, shop, name, int64(k*15*86400+account), 0, map[string]schema.Value{
				"email": schema.TextValue(name + "@example.com"), "orders_count": schema.IntValue(random.Int64N(4)), "note": schema.TextValue(strconv.Itoa(random.IntN(3))),
				"email_marketing_consent_state": schema.IntValue(random.Int64N(4)),
			})
			add("fact_customer_changes", row)
			switch random.IntN(6) {
			case 0:
				add("fact_customer_changes", retracted(row, 1e9))
			case 1:
				right := slices.Clone(row)
				right[factTable("fact_customer_changes").Index("note")] = schema.TextValue("RIGHT")
				*right.NormalizedAt() = millis(1e9)
				add("fact_customer_changes", right)
			}
		}
	}
	for _, rows := range facts {
		random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	}
	return facts
}

// resend returns the row of one more delivery of the event, received so many
// milliseconds into 2026. A retraction is made from no delivery, and comes again as
// it is.
func resend(row schema.Row, received int64) schema.Row {
	if row.Retracted().Int == 1 {
		return row
	}
	row = slices.Clone(row)
	row[schema.ReceivedAt] = millis(received)
	*row.NormalizedAt() = schema.IntValue(max(millis(received).Int, row.NormalizedAt().Int))
	return row
}

// A question is a view with what it takes, and its columns that no resend changes.
type question struct{ view, from, columns string }

// exactViews returns every view but those that hold what another one said.
func exactViews(t *testing.T) []question {
	t.Helper()
	var all []question
	for _, v := range schema.Views(sinktest.Tables(t)) {
		if v.Cached() {
			continue
		}
		var columns []string
		for _, c := range v.Columns {
			if !slices.Contains([]string{"received_at", "normalized_at", "last_received_at"}, c.Name) {
				columns = append(columns, "`"+c.Name+"`")
			}
		}
		from := v.Name
		if len(v.Parameters) > 0 {
			from += "(at = '2026-02-01 00:00:00')"
		}
		all = append(all, question{v.Name, from, strings.Join(columns, ", ")})
	}
	return all
}

// askText returns the rows of a view, sorted, each on a line.
func askText(ctx context.Context, conn driver.Conn, database string, q question) (rows string, err error) {
	query := fmt.Sprintf("SELECT arrayStringConcat(arraySort(groupArray(toString(tuple(%s)))), '\n') FROM %s.%s", q.columns, database, q.from)
	if err := conn.QueryRow(ctx, query).Scan(&rows); err != nil {
		return "", fmt.Errorf("%s: %w", q.view, err)
	}
	return rows, nil
}

// A load writes batch after batch, each table by itself, and merges the tables all
// the while, until the reader is done.
type load struct {
	t            *testing.T
	w            *warehouse
	next         map[string]func(n int) []schema.Row
	acknowledged map[string]func()
}

func (w *warehouse) newLoad(t *testing.T) *load {
	return &load{t, w, map[string]func(int) []schema.Row{}, map[string]func(){}}
}

// write has the table written, with what next returns for each batch's number.
func (l *load) write(table string, next func(n int) []schema.Row) { l.next[table] = next }

// acknowledge has it told when a batch of the table is stored.
func (l *load) acknowledge(table string, tell func()) { l.acknowledged[table] = tell }

// read asks several times while the load goes on.
func (l *load) read(ask func(context.Context, driver.Conn)) {
	l.t.Helper()
	var background sync.WaitGroup
	var merges atomic.Int64
	done := make(chan struct{})
	for table, next := range l.next {
		background.Go(func() {
			offset := int64(1e9) // Beyond the batches before the load.
			for n := 0; goesOn(done); n++ {
				rows := next(n)
				if err := l.w.sink.Write(l.t.Context(), sinktest.NewBatch(factTable(table), offset, rows...)); err != nil {
					l.t.Error(err)
					return
				}
				offset += int64(len(rows))
				if tell := l.acknowledged[table]; tell != nil {
					tell()
				}
			}
		})
	}
	conn := connect(l.t)
	background.Go(func() {
		for {
			for table := range l.next {
				if err := conn.Exec(l.t.Context(), "OPTIMIZE TABLE "+l.w.cfg.Database+"."+table+" FINAL"); err != nil {
					l.t.Error(err)
					return
				}
				merges.Add(1)
				if !goesOn(done) {
					return
				}
			}
		}
	})
	for range passes {
		ask(l.t.Context(), l.w.conn)
	}
	close(done)
	background.Wait()
	if merges.Load() < 8 {
		l.t.Errorf("there were only %d merges", merges.Load())
	}
}

// goesOn leaves the processor to others for a moment, and reports whether it is not
// done yet.
func goesOn(done <-chan struct{}) bool {
	select {
	case <-done:
		return false
	case <-time.After(50 * time.Millisecond):
		return true
	}
}

// awaitMidnight waits while midnight in UTC is close, when days since an event
// become more.
func awaitMidnight() {
	if next := time.Now().UTC().Truncate(24 * time.Hour).Add(24 * time.Hour); time.Until(next) < 30*time.Second {
		time.Sleep(time.Until(next))
	}
}
