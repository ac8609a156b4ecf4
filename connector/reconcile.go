package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/connector/simulate"
)

// A check compares one number that was sent with the one that is stored.
type check struct {
	what         string
	sent, stored int64
	// more allows for more than was sent: a delivery that was stored, but whose
	// answer was lost, was sent again.
	more bool
}

func (c check) ok() bool { return c.stored == c.sent || c.more && c.stored > c.sent }

// A reconciliation compares what a simulation sent with what the warehouse
// holds of its shops.
type reconciliation struct {
	conn      driver.Conn
	database  string
	generator *simulate.Generator
	shops     []string
}

// ledgers are the three ledgers: their facts, balances and keys.
var ledgers = []struct {
	table, view, delta, balances, balance, key string
}{
	{simulate.TablePoints, "points", "points_delta", "points_balances", "points_balance", "buyer_id"},
	{simulate.TableStoreCredits, "store_credits", "balance_delta_cents", "store_credit_balances", "current_balance_cents", "buyer_id"},
	{simulate.TableGiftCards, "gift_cards", "balance_delta_cents", "gift_card_balances", "current_balance_cents", "gift_card_code"},
}

// run reads all numbers once.
func (r *reconciliation) run(ctx context.Context) ([]check, error) {
	e := r.generator.Expected()
	var checks []check
	add := func(c check, query string, args ...any) error {
		if err := r.conn.QueryRow(ctx, query, args...).Scan(&c.stored); err != nil {
			return fmt.Errorf("reconcile %s: %w", c.what, err)
		}
		checks = append(checks, c)
		return nil
	}
	for _, l := range ledgers {
		if err := add(check{what: l.view + ": events", sent: e.Facts[l.table]},
			"SELECT toInt64(count()) FROM "+r.database+"."+l.view+" WHERE shop_id IN ?", r.shops); err != nil {
			return nil, err
		}
	}
	if err := add(check{what: "customer_changes: events", sent: e.Facts[simulate.TableCustomerChanges]},
		"SELECT toInt64(count()) FROM "+r.database+".customer_changes WHERE shop_id IN ?", r.shops); err != nil {
		return nil, err
	}
	if err := add(check{what: "customers: customers", sent: e.Customers},
		"SELECT toInt64(count()) FROM "+r.database+".customers WHERE shop_id IN ?", r.shops); err != nil {
		return nil, err
	}
	if err := add(check{what: "dead_letters: bodies that cannot become a row", sent: e.BadBodies},
		"SELECT toInt64(uniqExact(event_id)) FROM "+r.database+".dead_letters WHERE shop_id IN ?", r.shops); err != nil {
		return nil, err
	}
	if err := add(check{what: "raw_webhooks: signed deliveries, resends too", sent: e.Signed, more: true},
		"SELECT toInt64(count()) FROM "+r.database+".raw_webhooks WHERE shop_id IN ?", r.shops); err != nil {
		return nil, err
	}
	if err := add(check{what: "deliveries that are neither a fact nor a dead letter"},
		"SELECT toInt64(uniqExact(event_id)) FROM "+r.database+".raw_webhooks WHERE shop_id IN ? AND event_id NOT IN ("+r.everyEvent()+")", r.shops); err != nil {
		return nil, err
	}
	for _, l := range ledgers {
		var sent int64
		for _, balance := range r.generator.Balances(l.table) {
			sent += balance
		}
		if err := add(check{what: l.view + ": sum of deltas", sent: sent},
			"SELECT sum("+l.delta+") FROM "+r.database+"."+l.view+" WHERE shop_id IN ?", r.shops); err != nil {
			return nil, err
		}
		wrong, err := r.wrongBalances(ctx, l.table, "SELECT shop_id, "+l.key+", "+l.balance+" FROM "+r.database+"."+l.balances+" WHERE shop_id IN ?")
		if err != nil {
			return nil, fmt.Errorf("reconcile %s: %w", l.balances, err)
		}
		checks = append(checks, check{what: l.balances + ": balances that differ", stored: wrong})
	}
	return checks, nil
}

// everyEvent selects the events of all fact tables and of the dead letters.
func (r *reconciliation) everyEvent() string {
	var selects []string
	for _, table := range []string{"fact_points", "fact_store_credits", "fact_gift_cards", "fact_customer_changes", "dead_letters"} {
		selects = append(selects, "SELECT event_id FROM "+r.database+"."+table)
	}
	return strings.Join(selects, " UNION ALL ")
}

// wrongBalances counts the ledgers whose last balance is missing, unknown or
// another than the simulated one.
func (r *reconciliation) wrongBalances(ctx context.Context, table, query string) (wrong int64, err error) {
	want := maps.Collect(r.generator.Balances(table))
	rows, err := r.conn.Query(ctx, query, r.shops)
	if err != nil {
		return 0, err
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong.
	for rows.Next() {
		var account simulate.Account
		var balance int64
		if err := rows.Scan(&account.ShopID, &account.ID, &balance); err != nil {
			return 0, err
		}
		if expected, ok := want[account]; !ok || expected != balance {
			wrong++
		}
		delete(want, account)
	}
	return wrong + int64(len(want)), rows.Err()
}

// await reads until everything reconciles, and gives up when nothing has
// changed for a while.
func (r *reconciliation) await(ctx context.Context, patience time.Duration) (checks []check, ok bool, err error) {
	var before int64 = -1
	changed := time.Now()
	for {
		if checks, err = r.run(ctx); err != nil {
			return nil, false, err
		}
		ok = true
		var now int64
		for _, c := range checks {
			ok = ok && c.ok()
			now += c.stored
		}
		if ok {
			return checks, true, nil
		}
		if now != before {
			before, changed = now, time.Now()
		} else if time.Since(changed) > patience {
			return checks, false, nil
		}
		select {
		case <-ctx.Done():
			return checks, false, ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
}

func printChecks(out io.Writer, checks []check) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, err := fmt.Fprintln(w, "\tsent\tstored\t\t")
	for _, c := range checks {
		mark := "ok"
		if !c.ok() {
			mark = "DIFFERS"
		}
		if err == nil {
			_, err = fmt.Fprintf(w, "%s\t%d\t%d\t%s\t\n", c.what, c.sent, c.stored, mark)
		}
	}
	if err == nil {
		err = w.Flush()
	}
	return err
}
