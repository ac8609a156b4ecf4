//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/schema"
)

// scratch is the database with what is to be expected: the records that Kafka
// has, the events that were acknowledged, and the balances.
const scratch = "chaos"

// An expectation is what a correct pipeline holds.
type expectation struct {
	database     string
	tables       []*schema.Table
	spans        []span
	acknowledged []acknowledgement
	balances     func(table string) iter.Seq2[simulate.Account, int64]
	customers    int64
	// destinations are those of the sinks beside the warehouse's.
	destinations []destination
}

// A comparison tells how one table differs from what is to be expected.
type comparison struct {
	table string
	// records is what its topic holds, rows what the table does, duplicates and
	// all.
	records, rows int64
	// lost are records without a row, doubled rows without a record.
	lost, doubled int64
	// acknowledged are the distinct events, missing those that cannot be found, in
	// the table's view where it has one.
	acknowledged, missing int64
	// inView and events are the rows and the distinct events of the view; -1
	// without one.
	inView, events int64
}

// A result is the comparison of everything.
type result struct {
	tables []comparison
	// wrongBalances counts by view the balances that are missing, too many or
	// another than they should be; balances how many there are to be.
	balances, wrongBalances    map[string]int64
	customers, storedCustomers int64
	merged                     int64 // parts that are merges, so that rows could not be counted
	destinations               []destinationComparison
	// batches are those that the lake's files are named after; gaps are the offsets
	// in none of their ranges, overlaps those in several.
	batches, gaps, overlaps int64
}

// differences says in words what is not as it should be, and nothing when all
// is exact.
func (r *result) differences() []string {
	var all []string
	differs := func(format string, args ...any) { all = append(all, fmt.Sprintf(format, args...)) }
	if len(r.tables) == 0 {
		differs("nothing was compared")
	}
	if r.merged > 0 {
		differs("ClickHouse merged %d parts, so that rows cannot be counted", r.merged)
	}
	for _, c := range r.tables {
		if c.lost > 0 {
			differs("%s: %d Kafka records are lost", c.table, c.lost)
		}
		if c.doubled > 0 {
			differs("%s: %d rows are doubled", c.table, c.doubled)
		}
		if c.rows+c.lost != c.records+c.doubled {
			differs("%s: %d rows of %d records", c.table, c.rows, c.records)
		}
		if c.missing > 0 {
			differs("%s: %d acknowledged events are lost", c.table, c.missing)
		}
		if c.inView < 0 {
			continue
		}
		if c.inView != c.events {
			differs("%s: its view has %d rows of %d events", c.table, c.inView, c.events)
		}
		if c.events != c.acknowledged {
			differs("%s: its view has %d events, %d were acknowledged", c.table, c.events, c.acknowledged)
		}
	}
	for _, l := range ledgers {
		if n := r.wrongBalances[l.view]; n > 0 {
			differs("%s: %d of %d balances differ", l.view, n, r.balances[l.view])
		}
	}
	for _, c := range r.destinations {
		if c.lost > 0 {
			differs("%s of %s: %d rows are lost", c.table, c.sink, c.lost)
		}
		if c.doubled > 0 {
			differs("%s of %s: %d rows are doubled", c.table, c.sink, c.doubled)
		}
		if c.missing > 0 {
			differs("%s of %s: %d acknowledged events are lost", c.table, c.sink, c.missing)
		}
		if c.rows+c.lost != c.records+c.doubled {
			differs("%s of %s: %d rows, there should be %d", c.table, c.sink, c.rows, c.records)
		}
	}
	if r.gaps > 0 || r.overlaps > 0 {
		differs("%s: by the files' names, %d offsets are in no batch, and %d in several", lakeSink, r.gaps, r.overlaps)
	}
	if r.customers != r.storedCustomers {
		differs("customers: %d, there should be %d", r.storedCustomers, r.customers)
	}
	return all
}

// ledgers are the views of balances with their columns.
var ledgers = []struct{ table, view, account, balance string }{
	{simulate.TablePoints, "points_balances", "buyer_id", "points_balance"},
	{simulate.TableStoreCredits, "store_credit_balances", "buyer_id", "current_balance_cents"},
	{simulate.TableGiftCards, "gift_card_balances", "gift_card_code", "current_balance_cents"},
}

// reconcile compares the warehouse with what is to be expected, and writes lists
// of what differs into a directory.
func reconcile(ctx context.Context, w *warehouse, kafka *reader, e expectation, dir string) (*result, error) {
	c := &comparing{warehouse: w, expectation: e}
	if err := c.prepare(ctx, kafka); err != nil {
		return nil, err
	}
	r := &result{balances: map[string]int64{}, wrongBalances: map[string]int64{}, customers: e.customers}
	for _, t := range e.tables {
		merged, err := w.merged(ctx, e.database, t.Name)
		if err != nil {
			return nil, err
		}
		r.merged += merged
		compared, err := c.compare(ctx, t)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", t.Name, err)
		}
		r.tables = append(r.tables, compared)
	}
	var err error
	for _, l := range ledgers {
		if r.balances[l.view], err = w.number(ctx, "SELECT toInt64(count()) FROM "+scratch+".balances WHERE table = ?", l.table); err != nil {
			return nil, err
		}
		r.wrongBalances[l.view], err = w.number(ctx, "SELECT toInt64(count()) FROM ("+c.wrongBalances(l.view, l.account, l.balance)+")", l.table)
		if err != nil {
			return nil, fmt.Errorf("compare %s: %w", l.view, err)
		}
	}
	if r.storedCustomers, err = w.number(ctx, "SELECT toInt64(count()) FROM "+e.database+".customers"); err != nil {
		return nil, err
	}
	for _, at := range e.destinations {
		for _, t := range e.tables {
			compared, err := c.compareDestination(ctx, at, t)
			if err != nil {
				return nil, fmt.Errorf("compare %s of %s: %w", t.Name, at.sink(), err)
			}
			r.destinations = append(r.destinations, compared)
		}
		if l, ok := at.(lake); ok {
			names, err := l.files("")
			if err != nil {
				return nil, err
			}
			r.batches = int64(len(names))
			if r.gaps, r.overlaps, err = covered(names, e.spans); err != nil {
				return nil, err
			}
		}
	}
	return r, c.list(ctx, r, dir)
}

type comparing struct {
	*warehouse
	expectation
}

// prepare fills the scratch database.
func (c *comparing) prepare(ctx context.Context, kafka *reader) error {
	for _, statement := range []string{
		"DROP DATABASE IF EXISTS " + scratch,
		"CREATE DATABASE " + scratch,
		"CREATE TABLE " + scratch + `.records (table LowCardinality(String), partition Int64, offset Int64, event_id UUID, webhook_id String,
			received_ms Int64, normalized_ms Int64) ENGINE = MergeTree ORDER BY (table, event_id)`,
		"CREATE TABLE " + scratch + `.compared (table LowCardinality(String), event_id UUID, webhook_id String,
			received_ms Int64, normalized_ms Int64, records Int64, rows Int64) ENGINE = MergeTree ORDER BY (table, event_id)`,
		"CREATE TABLE " + scratch + ".stored (sink LowCardinality(String), table LowCardinality(String), key String, event_id UUID) ENGINE = MergeTree ORDER BY (sink, table, key)",
		"CREATE TABLE " + scratch + ".delivered (sink LowCardinality(String), table LowCardinality(String), key String, event_id UUID, records Int64, rows Int64) ENGINE = MergeTree ORDER BY (sink, table, key)",
		"CREATE TABLE " + scratch + ".acknowledged (table LowCardinality(String), event_id UUID) ENGINE = MergeTree ORDER BY (table, event_id)",
		"CREATE TABLE " + scratch + ".balances (table LowCardinality(String), shop_id String, id String, balance Int64) ENGINE = MergeTree ORDER BY (table, shop_id, id)",
	} {
		if err := c.conn.Exec(ctx, statement); err != nil {
			return fmt.Errorf("prepare the comparison: %w", err)
		}
	}
	records := &inserter{conn: c.conn, table: scratch + ".records"}
	for _, t := range c.tables {
		if err := kafka.read(ctx, t, c.spans, func(r record) error {
			return records.add(ctx, r.table, int64(r.partition), r.offset, r.event, r.webhook, r.receivedAt, r.normalizedAt)
		}); err != nil {
			return err
		}
	}
	acknowledged := &inserter{conn: c.conn, table: scratch + ".acknowledged"}
	for _, a := range c.acknowledged {
		if err := acknowledged.add(ctx, a.table, a.event); err != nil {
			return err
		}
	}
	balances := &inserter{conn: c.conn, table: scratch + ".balances"}
	for _, l := range ledgers {
		for account, balance := range c.balances(l.table) {
			if err := balances.add(ctx, l.table, account.ShopID, account.ID, balance); err != nil {
				return err
			}
		}
	}
	return errors.Join(records.flush(), acknowledged.flush(), balances.flush())
}

// compare compares one table.
func (c *comparing) compare(ctx context.Context, t *schema.Table) (comparison, error) {
	result := comparison{table: t.Name, inView: -1, events: -1}
	for _, s := range c.spans {
		if strings.HasSuffix(s.topic, "."+t.Topic) {
			result.records += s.records()
		}
	}
	stored := c.database + "." + t.Name
	normalized := "0"
	if t.Index("normalized_at") >= 0 {
		normalized = "toUnixTimestamp64Milli(normalized_at)"
	}
	if err := c.conn.Exec(ctx, `INSERT INTO `+scratch+`.compared
		SELECT ?, event_id, webhook_id, received_ms, normalized_ms, sum(record), sum(row)
		FROM (
			SELECT event_id, webhook_id, received_ms, normalized_ms, toInt64(1) AS record, toInt64(0) AS row
			FROM `+scratch+`.records WHERE table = ?
			UNION ALL
			SELECT event_id, webhook_id, toUnixTimestamp64Milli(received_at), `+normalized+`, 0, 1
			FROM `+stored+`
		) GROUP BY event_id, webhook_id, received_ms, normalized_ms`, t.Name, t.Name); err != nil {
		return result, err
	}
	view, fact := strings.CutPrefix(t.Name, "fact_")
	of := scratch + ".compared WHERE table = '" + t.Name + "'"
	found := c.database + "." + view
	queries := []struct {
		into  *int64
		query string
	}{
		{&result.rows, "SELECT toInt64(count()) FROM " + stored},
		{&result.doubled, "SELECT sum(greatest(rows - records, 0)) FROM " + of},
		{&result.lost, "SELECT sum(greatest(records - rows, 0)) FROM " + of},
		{&result.acknowledged, "SELECT toInt64(uniqExact(event_id)) FROM " + asked(t.Name)},
		{&result.missing, "SELECT toInt64(count()) FROM (SELECT DISTINCT event_id FROM " + asked(t.Name) + ") WHERE event_id NOT IN (SELECT event_id FROM " + found + ")"},
	}
	if fact {
		queries = append(queries, []struct {
			into  *int64
			query string
		}{
			{&result.inView, "SELECT toInt64(count()) FROM " + found},
			{&result.events, "SELECT toInt64(uniqExact(event_id)) FROM " + found},
		}...)
	}
	for _, q := range queries {
		var err error
		if *q.into, err = c.number(ctx, q.query); err != nil {
			return result, err
		}
	}
	return result, nil
}

// asked is where the acknowledged events are that must be in a table. Every
// delivery is in raw_webhooks, whatever became of it.
func asked(table string) string {
	return scratch + ".acknowledged WHERE (table = '" + table + "' OR '" + table + "' = '" + schema.RawWebhooks().Name + "')"
}

// wrongBalances selects the accounts whose balance is missing, unasked or
// another, with both.
func (c *comparing) wrongBalances(view, account, balance string) string {
	return `SELECT shop_id, id, arrayStringConcat(groupArrayIf(toString(balance), source = 'asked')) AS asked, arrayStringConcat(groupArrayIf(toString(balance), source = 'stored')) AS stored
		FROM (
			SELECT 'asked' AS source, shop_id, id, balance FROM ` + scratch + `.balances WHERE table = ?
			UNION ALL
			SELECT 'stored', shop_id, ` + account + `, assumeNotNull(` + balance + `) FROM ` + c.database + `.` + view + `
		) GROUP BY shop_id, id HAVING asked != stored`
}

// list writes what differs into files, so that it can be looked into.
func (c *comparing) list(ctx context.Context, r *result, dir string) error {
	write := func(name, header, query string, args ...any) (err error) {
		file, err := os.OpenFile(filepath.Join(dir, name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // A name is a table of the contracts with a fixed ending, in the directory that this run has made for itself.
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		if _, err := io.WriteString(file, header+"\n"); err != nil {
			return err
		}
		return c.warehouse.list(ctx, file, query, args...)
	}
	for _, t := range r.tables {
		if t.doubled > 0 || t.lost > 0 {
			if err := write(t.table+".records.tsv", "event_id\twebhook_id\trecords\trows\tpartition@offset", `
				SELECT toString(event_id), webhook_id, toString(any(c.records)), toString(any(c.rows)),
					arrayStringConcat(groupArray(concat(toString(r.partition), '@', toString(r.offset))), ' ')
				FROM `+scratch+`.compared AS c LEFT JOIN `+scratch+`.records AS r USING (table, event_id, webhook_id, received_ms, normalized_ms)
				WHERE table = ? AND rows != records
				GROUP BY event_id, webhook_id, received_ms, normalized_ms ORDER BY min(r.partition), min(r.offset)`, t.table); err != nil {
				return err
			}
		}
		if t.missing > 0 {
			view := strings.TrimPrefix(t.table, "fact_")
			if err := write(t.table+".missing.tsv", "event_id\tpartition@offset", `
				SELECT toString(event_id), arrayStringConcat(groupArray(concat(toString(r.partition), '@', toString(r.offset))), ' ')
				FROM (SELECT DISTINCT event_id FROM `+scratch+`.acknowledged WHERE table = ? OR ? = 'raw_webhooks') AS a
				LEFT JOIN (SELECT * FROM `+scratch+`.records WHERE table = ?) AS r USING (event_id)
				WHERE event_id NOT IN (SELECT event_id FROM `+c.database+`.`+view+`)
				GROUP BY event_id`, t.table, t.table, t.table); err != nil {
				return err
			}
		}
	}
	for _, at := range r.destinations {
		if at.lost > 0 || at.doubled > 0 {
			if err := write(at.sink+"."+at.table+".tsv", "key\trecords\trows", `
				SELECT key, toString(records), toString(rows) FROM `+scratch+`.delivered
				WHERE sink = ? AND table = ? AND rows != records ORDER BY key`, at.sink, at.table); err != nil {
				return err
			}
		}
	}
	for _, l := range ledgers {
		if r.wrongBalances[l.view] > 0 {
			if err := write(l.view+".tsv", "shop_id\tid\tasked\tstored", c.wrongBalances(l.view, l.account, l.balance), l.table); err != nil {
				return err
			}
		}
	}
	return nil
}

// An inserter collects rows and inserts them in blocks.
type inserter struct {
	conn  driver.Conn
	table string
	batch driver.Batch
}

func (i *inserter) add(ctx context.Context, cells ...any) (err error) {
	if i.batch == nil {
		if i.batch, err = i.conn.PrepareBatch(ctx, "INSERT INTO "+i.table); err != nil {
			return fmt.Errorf("insert into %s: %w", i.table, err)
		}
	}
	if err := i.batch.Append(cells...); err != nil {
		return fmt.Errorf("insert into %s: %w", i.table, err)
	}
	const block = 50_000
	if i.batch.Rows() >= block {
		return i.flush()
	}
	return nil
}

func (i *inserter) flush() error {
	if i.batch == nil {
		return nil
	}
	err := i.batch.Send()
	i.batch = nil
	if err != nil {
		return fmt.Errorf("insert into %s: %w", i.table, err)
	}
	return nil
}
