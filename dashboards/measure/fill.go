//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/google/uuid"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/connector/webhook"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
)

const (
	// seedEvents are simulated. The rest are copies of them.
	seedEvents = 1_000_000
	// batchRows are written at once.
	batchRows = 50_000
	// lag is by how much each copy happened before the one before.
	lag = 613 * time.Second
	// rest is how many parts the present month has: one with the first half of it,
	// one with the first half of what is left, and so on.
	rest = 6
)

// The databases beside the warehouse.
const (
	seed    = "seed"
	journal = "measure.filled"
)

// fill makes the year, unless the warehouse has it already.
func (w *warehouse) fill(ctx context.Context, points int) error {
	err := w.exec(ctx, "CREATE DATABASE IF NOT EXISTS measure",
		"CREATE TABLE IF NOT EXISTS "+journal+" (points UInt64, until DateTime64(3, 'UTC')) ENGINE = MergeTree ORDER BY ()")
	if err != nil {
		return err
	}
	var filled uint64
	if err := w.conn.QueryRow(ctx, "SELECT max(points), max(until) FROM "+journal).Scan(&filled, &w.until); err != nil {
		return err
	}
	if filled == uint64(points) { //nolint:gosec // It is above 0.
		return nil
	}
	begin := time.Now()
	w.until = begin.UTC().Truncate(time.Hour)
	if err := w.exec(ctx, "TRUNCATE TABLE "+journal, "DROP DATABASE "+w.cfg.Database+" SYNC", "DROP DATABASE IF EXISTS "+seed+" SYNC"); err != nil {
		return err
	}
	if err := migrate(ctx, w.cfg); err != nil {
		return err
	}
	if err := w.sow(ctx); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "simulated %d events in %s\n", seedEvents, time.Since(begin).Round(time.Second))
	var sown uint64
	if err := w.conn.QueryRow(ctx, "SELECT uniqExact(event_id) FROM "+seed+".fact_points").Scan(&sown); err != nil {
		return err
	}
	copies := max(1, (points+int(sown)/2)/int(sown))
	for _, t := range tables(nil) {
		if err := w.multiply(ctx, t, copies); err != nil {
			return err
		}
		fmt.Fprintf(os.Stderr, "filled %s after %s\n", t.Name, time.Since(begin).Round(time.Second))
	}
	return w.exec(ctx, "DROP DATABASE "+seed+" SYNC",
		fmt.Sprintf("INSERT INTO %s VALUES (%d, fromUnixTimestamp64Milli(%d))", journal, points, w.until.UnixMilli()))
}

// sow simulates a year, makes rows of it as the receiver does, and writes them as
// the sink does, into a database beside the warehouse.
func (w *warehouse) sow(ctx context.Context) (err error) {
	cfg := w.cfg
	cfg.Database = seed
	if err := migrate(ctx, cfg); err != nil {
		return err
	}
	contracts, err := schema.Builtin()
	if err != nil {
		return err
	}
	normalizer, err := normalize.New(contracts, false)
	if err != nil {
		return err
	}
	sink, err := clickhouse.Open("measure", cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	piles := map[string]*pile{} // by topic
	for _, t := range tables(normalizer.Tables()) {
		piles[t.Topic] = &pile{batch: sinks.Batch{Topic: t.Topic, Table: t}}
	}

	history := simulate.DefaultHistoryConfig()
	history.Count, history.Customers, history.Shops = seedEvents, simulate.HistoryCustomers(seedEvents), 10
	history.End, history.ResendRatio, history.OutOfOrderRatio = w.until, 0.03, 0.03
	g, records := simulate.New(history), webhook.NewRecords()
	for d, more := g.Next(); more; d, more = g.Next() {
		if d.Kind == simulate.KindBadSignature {
			continue
		}
		at := time.UnixMilli(d.AtMillis).UTC()
		delivery := normalize.Delivery{
			Topic: d.Topic, ShopID: d.ShopID, ShopDomain: d.ShopDomain, MerchantID: d.MerchantID,
			APIVersion: d.APIVersion, WebhookID: d.WebhookID, Body: d.Body, ReceivedAt: at,
		}
		normalized := normalizer.Normalize(delivery, at)
		if lost(normalized.EventID) {
			continue
		}
		for _, r := range records.Of(delivery, normalized) {
			if err := piles[r.Topic].add(ctx, sink, r.Value); err != nil {
				return err
			}
		}
	}
	for _, p := range piles {
		err = errors.Join(err, p.write(ctx, sink))
	}
	return err
}

// lost takes one event in 4096 out, so that there are gaps to find.
func lost(id uuid.UUID) bool { return id[0] == 0 && id[1] < 16 }

// A pile is the rows of one table that are yet to be written.
type pile struct {
	batch  sinks.Batch
	offset int64 // of the next row
}

// add puts a row onto the pile, and writes the pile when it is high enough.
func (p *pile) add(ctx context.Context, sink sinks.Sink, row []byte) error {
	p.batch.Records = append(p.batch.Records, sinks.Record{Offset: p.offset, Value: row})
	p.offset++
	if len(p.batch.Records) < batchRows {
		return nil
	}
	return p.write(ctx, sink)
}

func (p *pile) write(ctx context.Context, sink sinks.Sink) error {
	if len(p.batch.Records) == 0 {
		return nil
	}
	err := sink.Write(ctx, &p.batch)
	p.batch.Records = p.batch.Records[:0]
	return err
}

// multiply copies what was sown into the warehouse, so that it looks as after a
// year: a closed month is one part, as the hourly merge leaves it, and the present
// one has several. It stays so, for the tables are told to merge nothing more.
func (w *warehouse) multiply(ctx context.Context, t *schema.Table, copies int) error {
	const at = "received_at"
	month := "updated_at"
	if t.Name == schema.RawWebhooks().Name || t.Name == schema.DeadLetters().Name {
		month = at
	}
	insert := func(from, until time.Time, conditions string) error {
		var names, values []string
		for _, c := range t.Columns {
			names = append(names, "`"+c.Name+"`")
			values = append(values, copied(c))
		}
		return w.exec(ctx, fmt.Sprintf(`INSERT INTO %s.%s (%s)
SELECT %s FROM %s.%s AS e ARRAY JOIN range(%d) AS copy
WHERE e.%[8]s >= %[9]s AND e.%[8]s < %[10]s + INTERVAL %[11]d SECOND
    AND e.%[8]s - %[12]s >= %[9]s AND e.%[8]s - %[12]s < %[10]s%[13]s
SETTINGS max_threads = %[14]d, optimize_on_insert = 0, insert_deduplicate = 0, max_partitions_per_insert_block = 0`,
			w.cfg.Database, t.Name, strings.Join(names, ", "), strings.Join(values, ", "), seed, t.Name, copies,
			month, moment(from), moment(until), int(lag.Seconds())*copies, shift, conditions, threads))
	}
	present := time.Date(w.until.Year(), w.until.Month(), 1, 0, 0, 0, 0, time.UTC)
	for from := present.AddDate(0, -13, 0); from.Before(present); from = from.AddDate(0, 1, 0) {
		if err := insert(from, from.AddDate(0, 1, 0), ""); err != nil {
			return err
		}
		err := w.exec(ctx, fmt.Sprintf("OPTIMIZE TABLE %s.%s PARTITION %s FINAL SETTINGS optimize_skip_merged_partitions = 1", w.cfg.Database, t.Name, from.Format("200601")))
		if err != nil {
			return err
		}
	}
	err := w.exec(ctx, fmt.Sprintf("ALTER TABLE %s.%s MODIFY SETTING min_age_to_force_merge_seconds = 0, max_bytes_to_merge_at_max_space_in_pool = 1", w.cfg.Database, t.Name))
	if err != nil {
		return err
	}
	end := w.until.AddDate(0, 1, 0)
	for part, since := 1, present.AddDate(-1, 0, 0); part <= rest; part++ {
		until := end
		if part < rest {
			until = w.until.Add(-w.until.Sub(present) >> part)
		}
		err := insert(present, end, fmt.Sprintf(" AND e.%[1]s - %[2]s >= %[3]s AND e.%[1]s - %[2]s < %[4]s", at, shift, moment(since), moment(until)))
		if err != nil {
			return err
		}
		since = until
	}
	return nil
}

// shift is by how much a copy happened earlier.
var shift = fmt.Sprintf("toIntervalSecond(%d * copy)", int(lag.Seconds()))

// copied is a column in a copy: other events of other customers, with the same
// changes and balances.
func copied(c schema.Column) string {
	column := "e.`" + c.Name + "`"
	switch c.Name {
	case "event_id":
		return "reinterpretAsUUID(sipHash128(" + column + ", copy))"
	case "webhook_id":
		return "toString(reinterpretAsUUID(sipHash128(" + column + ", copy)))"
	case "buyer_id", "customer_id", "gift_card_code", "store_credits_code":
		return "concat(" + column + ", leftPad(toString(copy), 4, '0'))"
	case "updated_at", "received_at", "normalized_at", "created_at", "points_expires_at", "expires_at":
		return column + " - " + shift
	}
	return column
}

func moment(t time.Time) string { return fmt.Sprintf("fromUnixTimestamp64Milli(%d)", t.UnixMilli()) }
