package clickhouse_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks/sinktest"
)

// BenchmarkBytesPerRow fills the tables with a simulated history of half a
// million events and their resends, merges them, and reports what a row
// takes on disk with the migrations' codecs and with ClickHouse's default one;
// with -v column by column:
//
//	go test -run '^$' -v -bench BytesPerRow ./sinks/clickhouse/
func BenchmarkBytesPerRow(b *testing.B) {
	w := openWarehouse(b)
	fill(b, w, 500_000)
	for _, name := range []string{"fact_points", "fact_store_credits", "fact_gift_cards", "raw_webhooks"} {
		plain := copyWithoutCodecs(b, w, name)
		chosen, lz4 := bytesPerRow(b, w, name), bytesPerRow(b, w, plain)
		b.Run(name, func(b *testing.B) {
			total := len(chosen) - 1
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(chosen[total].bytes, "B/row")
			b.ReportMetric(lz4[total].bytes, "lz4-B/row")
			if testing.Verbose() {
				for i := range chosen {
					b.Logf("%-24s %6.2f B/row, lz4 %6.2f", chosen[i].column, chosen[i].bytes, lz4[i].bytes)
				}
			}
		})
	}
}

type columnBytes struct {
	column string
	bytes  float64
}

// bytesPerRow merges the table and returns what each column takes, in the
// table's order, and the total.
func bytesPerRow(b *testing.B, w *warehouse, table string) []columnBytes {
	b.Helper()
	// Small parts keep their columns in one file, whose sizes are not told apart.
	execute(b, w.conn, "ALTER TABLE "+w.cfg.Database+"."+table+" MODIFY SETTING min_bytes_for_wide_part = 0, min_rows_for_wide_part = 0")
	execute(b, w.conn, "OPTIMIZE TABLE "+w.cfg.Database+"."+table+" FINAL SETTINGS optimize_skip_merged_partitions = 0")
	lines := text(b, w.conn, "column; sum(column_data_compressed_bytes) / sum(rows)",
		"FROM system.parts_columns WHERE active AND database = ? AND table = ? GROUP BY column, column_position ORDER BY column_position", w.cfg.Database, table)
	all := []columnBytes{}
	total := columnBytes{column: "total"}
	for line := range strings.Lines(lines) {
		column, number, _ := strings.Cut(strings.TrimSpace(line), ", ")
		bytes, err := strconv.ParseFloat(number, 64)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, columnBytes{column, bytes})
		total.bytes += bytes
	}
	return append(all, total)
}

func copyWithoutCodecs(b *testing.B, w *warehouse, name string) string {
	b.Helper()
	plain := name + "_lz4"
	columns := text(b, w.conn, "'`' || name || '` ' || type", "FROM system.columns WHERE database = ? AND table = ? ORDER BY position", w.cfg.Database, name)
	key := text(b, w.conn, "sorting_key", "FROM system.tables WHERE database = ? AND name = ?", w.cfg.Database, name)
	partition := text(b, w.conn, "partition_key", "FROM system.tables WHERE database = ? AND name = ?", w.cfg.Database, name)
	execute(b, w.conn,
		fmt.Sprintf("CREATE TABLE %s.%s (%s) ENGINE = MergeTree PARTITION BY %s ORDER BY (%s)", w.cfg.Database, plain, strings.ReplaceAll(columns, "\n", ", "), partition, key),
		fmt.Sprintf("INSERT INTO %[1]s.%[2]s SELECT * FROM %[1]s.%[3]s", w.cfg.Database, plain, name))
	return plain
}

// fill stores what a connector would have stored of the events, but for the
// customers' changes.
func fill(b *testing.B, w *warehouse, events int) {
	b.Helper()
	cfg := simulate.DefaultConfig()
	cfg.Count, cfg.Customers = events, events/20
	generator := simulate.New(cfg)
	batches := map[string][]schema.Row{}
	raw := schema.RawWebhooks()
	add := func(table *schema.Table, row schema.Row) {
		batches[table.Name] = append(batches[table.Name], row)
		if len(batches[table.Name]) == 50_000 {
			w.insert(b, table, batches[table.Name]...)
			batches[table.Name] = nil
		}
	}
	for {
		d, ok := generator.Next()
		if !ok {
			break
		}
		if d.Kind == simulate.KindBad || d.Kind == simulate.KindBadSignature {
			continue
		}
		cells := deliveryCells(&d)
		add(raw, rowOf(raw, cells))
		for _, l := range ledgers {
			if l.table == d.Table {
				add(factTable(l.table), rowOf(factTable(l.table), l.cells(&d, cells)))
			}
		}
	}
	for _, table := range sinktest.Tables(b) {
		if rows := batches[table.Name]; len(rows) > 0 {
			w.insert(b, table, rows...)
		}
	}
}

func rowOf(table *schema.Table, cells map[string]schema.Value) schema.Row {
	row := make(schema.Row, len(table.Columns))
	for i, c := range table.Columns {
		row[i] = cells[c.Name]
	}
	return row
}

// deliveryCells are the columns that every table begins with. Times of receipt
// lie some seconds behind the event's, at random, those of a resend a minute.
func deliveryCells(d *simulate.Delivery) map[string]schema.Value {
	sum := sha256.Sum256(fmt.Appendf(nil, "%v %v %v", d.Truth.Account, d.Truth.UpdatedAtMillis, d.Table))
	received := d.Truth.UpdatedAtMillis + 500 + int64(sum[20])*8
	if d.Kind == simulate.KindResend {
		received += time.Minute.Milliseconds()
	}
	return map[string]schema.Value{
		"event_id":      schema.TextValue(uuid.UUID(sum[:16]).String()),
		"shop_id":       schema.TextValue(d.Truth.Account.ShopID),
		"shop_domain":   schema.TextValue(d.ShopDomain),
		"merchant_id":   schema.TextValue(d.MerchantID),
		"api_version":   schema.TextValue(d.APIVersion),
		"webhook_id":    schema.TextValue(d.WebhookID),
		"received_at":   schema.IntValue(received),
		"normalized_at": schema.IntValue(received + int64(sum[21]%3)),
		"topic":         schema.TextValue(d.Topic),
		"body":          schema.BytesValue(d.Body),
	}
}

func (l ledger) cells(d *simulate.Delivery, cells map[string]schema.Value) map[string]schema.Value {
	expires := null
	if d.Truth.ExpiresAtMillis != 0 {
		expires = schema.IntValue(d.Truth.ExpiresAtMillis)
	}
	amount := schema.IntValue(max(d.Truth.Delta, -d.Truth.Delta))
	maps.Copy(cells, map[string]schema.Value{
		"update_type": schema.TextValue(d.Truth.UpdateType), "updated_at": schema.IntValue(d.Truth.UpdatedAtMillis),
		"updated_value": amount, "update_value_cents": amount,
		"points_expires_at": expires, "expires_at": expires,
		"original_value_cents": schema.IntValue(d.Truth.Balance),
		"store_credits_code":   schema.TextValue("SC" + d.Truth.BuyerID),
		"buyer_id":             schema.TextValue(d.Truth.BuyerID),
		l.account:              schema.TextValue(d.Truth.Account.ID),
		l.delta:                schema.IntValue(d.Truth.Delta),
		l.balance:              schema.IntValue(d.Truth.Balance),
		l.scene:                schema.TextValue(d.Truth.Scene),
	})
	return cells
}

// BenchmarkViews fills fact_points with two million events of a hundred
// thousand buyers, as many inserts leave them, and asks the views.
func BenchmarkViews(b *testing.B) {
	w := openWarehouse(b)
	const inserts, size = 8, 260_000 // Neighbors share 10,000 events: resends.
	for i := range inserts {
		execute(b, w.conn, fmt.Sprintf(`INSERT INTO %s.fact_points
			SELECT reinterpretAsUUID(sipHash128(n)), toString(1610418123456 + buyer %% 3 * 1000003), 'shophub-1.myshopline.com', '2000001234', 'v20250601',
				lower(hex(randomString(12))), at, '420000' || toString(buyer * 7919), if(delta > 0, 'INCREASE', 'DECREASE'),
				['SUCCESSFUL_ORDERS', 'DAILY_ATTENDANCE', 'MANUALLY_INCREASE', 'CASHBACK'][1 + n %% 4], abs(delta), delta, 1000 + n %% 5000, NULL, at, now64(3), false
			FROM (SELECT number AS n, sipHash64(n) %% 100000 AS buyer, toInt64(sipHash64(n, 1) %% 200) - 50 AS delta,
				toDateTime64('2025-11-01 00:00:00', 3, 'UTC') + n * 90 * 86400 / 2000000 + (sipHash64(n, 2) %% 1000) / 1000 AS at
				FROM numbers(%d, %d))`, w.cfg.Database, i*(size-10_000), size))
	}
	for _, state := range []string{"as inserted", "merged"} {
		if state == "merged" {
			execute(b, w.conn, "OPTIMIZE TABLE "+w.cfg.Database+".fact_points FINAL")
		}
		for name, query := range map[string]string{
			"points_balances": "SELECT * FROM %s.points_balances FORMAT Null",
			"points by scene": "SELECT updated_scene, sum(points_delta) FROM %s.points GROUP BY updated_scene FORMAT Null",
		} {
			b.Run(name+" "+state, func(b *testing.B) {
				for b.Loop() {
					if err := w.conn.Exec(context.Background(), fmt.Sprintf(query, w.cfg.Database)); err != nil {
						b.Fatal(err)
					}
				}
			})
		}
	}
}
