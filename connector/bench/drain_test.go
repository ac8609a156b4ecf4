//go:build linux

package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/harness"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/schema"
)

const (
	drainedRows = 400_000
	partitions  = 3
)

// BenchmarkDrain has `connector sink` deliver a topic that is full when it
// begins, and then inserts the same rows with clickhouse-go from memory, in
// batches of the same size, as many at a time, into a table like the other.
func BenchmarkDrain(b *testing.B) {
	broker := startBroker(b)
	clickHouse := startClickHouse(b)
	fill(b, broker)
	bare := startRole(b, "bare-insert")
	bare.line(b)

	results := series{}
	round := 0
	for b.Loop() {
		round++
		database := fmt.Sprintf("bench_%d", round)
		sink := drain(b, broker, clickHouse, database)
		results.add("rows/s", sink.rate)
		results.add("cpu-us/row", sink.cpu)
		results.add("MB", sink.peakMB)
		results.add("rows/batch", sink.batch)

		clickHouse.exec(b, "CREATE DATABASE "+database+"_bare")
		clickHouse.exec(b, fmt.Sprintf("CREATE TABLE %[1]s_bare.fact_points AS %[1]s.fact_points", database))
		clickHouse.exec(b, "DROP DATABASE "+database+" SYNC")
		before := bare.cpu(b)
		bare.tell(b, fmt.Sprintf("%s %s_bare.fact_points %d", clickHouse.address, database, int(sink.batch)))
		took, err := time.ParseDuration(bare.line(b))
		if err != nil {
			b.Fatal(err)
		}
		bareRate := perSecond(drainedRows, took)
		results.add("bare-cpu-us/row", float64((bare.cpu(b)-before).Microseconds())/drainedRows)
		results.add("bare-rows/s", bareRate)
		results.add("of-bare", sink.rate/bareRate)
		if n := clickHouse.count(b, database+"_bare.fact_points"); n != drainedRows {
			b.Fatalf("the bare insert stored %d rows of %d", n, drainedRows)
		}
		clickHouse.exec(b, "DROP DATABASE "+database+"_bare SYNC")
	}
	results.report(b)
}

// drained is what one run of a sink gave.
type drained struct {
	rate   float64 // rows per second
	cpu    float64 // microseconds of processor time per row
	peakMB float64
	batch  float64 // rows per batch
}

// drain runs a sink on a database of its own, and measures from its first
// fetch until nine tenths of the rows are stored: the last batch of a partition
// waits for max_age whether more comes.
func drain(b *testing.B, broker string, clickHouse *warehouse, database string) drained {
	b.Helper()
	admin := freeAddress(b)
	sink := startConnector(b, "sink", "--config", writeFile(b, fmt.Sprintf(`
receiver: {secrets: %s}
kafka: {brokers: ["%s"], topics: {partitions: %d}}
sinks: [{name: %s, clickhouse: {addresses: "%s", database: %[4]s}}]
admin: {address: "%[6]s"}
log: {level: warn}
`, secret, broker, partitions, database, clickHouse.address, admin)))
	metrics := func() string {
		_, text := harness.Get(b.Context(), "http://"+admin+"/metrics")
		return string(text)
	}
	const every = 100 * time.Millisecond
	sink.await(b, "the first fetch", every, func() bool {
		return sum(metrics(), "loyaltyhouse_consumer_lag_records") > 0
	})
	begin, before := time.Now(), sink.cpu(b)
	var stored float64
	sink.await(b, "nine tenths of the rows are stored", every, func() bool {
		stored = sum(metrics(), "loyaltyhouse_sink_rows_total")
		return stored >= drainedRows*9/10
	})
	took, cpu := time.Since(begin), sink.cpu(b)-before
	sink.await(b, "all rows are stored", every, func() bool {
		return sum(metrics(), "loyaltyhouse_sink_rows_total") >= drainedRows
	})
	if n := clickHouse.count(b, database+".fact_points"); n != drainedRows {
		b.Fatalf("the sink stored %d rows of %d", n, drainedRows)
	}
	text := metrics()
	result := drained{
		rate:   stored / took.Seconds(),
		cpu:    float64(cpu.Microseconds()) / stored,
		peakMB: sink.peakMB(b),
		batch:  sum(text, "loyaltyhouse_sink_batch_rows_sum") / sum(text, "loyaltyhouse_sink_batch_rows_count"),
	}
	sink.stop()
	return result
}

// sum adds the values of a metric over its labels.
func sum(text, metric string) (total float64) {
	for _, match := range regexp.MustCompile(`(?m)^`+metric+`(?:\{[^}]*\})? (\S+)$`).FindAllStringSubmatch(text, -1) {
		value, err := strconv.ParseFloat(match[1], 64)
		if err == nil {
			total += value
		}
	}
	return total
}

// fill publishes the rows.
func fill(b *testing.B, broker string) {
	b.Helper()
	cfg := kafka.DefaultConfig()
	cfg.Brokers, cfg.Topics.Partitions = []string{broker}, partitions
	client, err := kafka.NewClient(cfg, kafka.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	producer := client.NewProducer(cfg.Producer)
	ctx := b.Context()
	topic := cfg.TopicPrefix + "points"
	if err := client.EnsureTopics(ctx, []string{topic}); err != nil {
		b.Fatal(err)
	}
	var group errgroup.Group
	group.SetLimit(16)
	var chunk []kafka.Message
	flush := func() {
		messages := chunk
		chunk = nil
		group.Go(func() error { return producer.Publish(ctx, messages...) })
	}
	err = points(drainedRows, func(t *schema.Table, row schema.Row, key string) {
		chunk = append(chunk, kafka.Message{Topic: topic, Key: []byte(key), Value: t.AppendRow(nil, row)})
		if len(chunk) == 1000 {
			flush()
		}
	})
	flush()
	if err := errors.Join(err, group.Wait(), producer.Close(ctx)); err != nil {
		b.Fatal(err)
	}
}

// points makes the rows: always the same ones.
func points(n int, use func(t *schema.Table, row schema.Row, key string)) error {
	contracts, err := schema.Builtin()
	if err != nil {
		return err
	}
	normalizer, err := normalize.New(contracts, false)
	if err != nil {
		return err
	}
	cfg := simulate.DefaultConfig()
	cfg.Count, cfg.Customers, cfg.BadRatio, cfg.ResendRatio = 4*n, 50_000, 0, 0
	g := simulate.New(cfg)
	for n > 0 {
		d, ok := g.Next()
		if !ok {
			return errors.New("the history has too few points")
		}
		if d.Topic != simulate.TopicPoints {
			continue
		}
		r := normalizer.Normalize(normalize.Delivery{
			Topic: d.Topic, ShopID: d.ShopID, ShopDomain: d.ShopDomain, MerchantID: d.MerchantID,
			APIVersion: d.APIVersion, WebhookID: d.WebhookID, Body: d.Body, ReceivedAt: cfg.End,
		}, cfg.End)
		if r.Reject != nil {
			return r.Reject
		}
		use(r.Table, r.Row, r.ShopID+"/"+r.CustomerID)
		n--
	}
	return nil
}

// A warehouse is a ClickHouse that the sink and the bare insert share.
type warehouse struct {
	address string
	conn    driver.Conn
}

func startClickHouse(b *testing.B) *warehouse {
	b.Helper()
	cfg := embedded.DefaultConfig()
	cfg.DataDir = b.TempDir()
	cfg.ClickHouse.NativePort, cfg.ClickHouse.HTTPPort = 0, 0
	engine, err := embedded.StartClickHouse(b.Context(), cfg, slog.New(slog.DiscardHandler), os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := engine.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{engine.Addr()}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = conn.Close() })
	return &warehouse{address: engine.Addr(), conn: conn}
}

func (w *warehouse) exec(b *testing.B, statement string) {
	b.Helper()
	if err := w.conn.Exec(b.Context(), statement); err != nil {
		b.Fatal(err)
	}
}

func (w *warehouse) count(b *testing.B, table string) (n uint64) {
	b.Helper()
	if err := w.conn.QueryRow(b.Context(), "SELECT count() FROM "+table).Scan(&n); err != nil {
		b.Fatal(err)
	}
	return n
}

// A pointsRow is a row of fact_points as a program without a contract has it.
type pointsRow struct {
	eventID, shopID, shopDomain, merchantID, apiVersion, webhookID string
	receivedAt                                                     time.Time
	buyerID, updateType, updatedScene                              string
	updatedValue, pointsDelta                                      int64
	pointsBalance                                                  *int64
	pointsExpiresAt                                                *time.Time
	updatedAt, normalizedAt                                        time.Time
}

func newPointsRow(r schema.Row) pointsRow {
	at := func(v schema.Value) time.Time { return time.UnixMilli(v.Int).UTC() }
	p := pointsRow{
		eventID: r[0].Text, shopID: r[1].Text, shopDomain: r[2].Text, merchantID: r[3].Text,
		apiVersion: r[4].Text, webhookID: r[5].Text, receivedAt: at(r[6]),
		buyerID: r[7].Text, updateType: r[8].Text, updatedScene: r[9].Text,
		updatedValue: r[10].Int, pointsDelta: r[11].Int, updatedAt: at(r[14]), normalizedAt: at(r[15]),
	}
	if r[12].Set {
		p.pointsBalance = &r[12].Int
	}
	if r[13].Set {
		expires := at(r[13])
		p.pointsExpiresAt = &expires
	}
	return p
}

// bareInsert holds the rows and inserts all of them for each line that it
// reads: address, table and rows per batch. It answers with the time it took.
func bareInsert() error {
	rows := make([]pointsRow, 0, drainedRows)
	err := points(drainedRows, func(_ *schema.Table, row schema.Row, _ string) { rows = append(rows, newPointsRow(row)) })
	if err != nil {
		return err
	}
	fmt.Println("ready")
	ctx := context.Background()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		var address, table string
		var batch int
		if _, err := fmt.Sscan(in.Text(), &address, &table, &batch); err != nil {
			return err
		}
		begin := time.Now()
		if err := insertAll(ctx, address, table, rows, batch); err != nil {
			return err
		}
		fmt.Println(time.Since(begin))
	}
	return nil
}

func insertAll(ctx context.Context, address, table string, rows []pointsRow, size int) error {
	conn, err := clickhouse.Open(&clickhouse.Options{
		Addr:        []string{address},
		Compression: &clickhouse.Compression{Method: clickhouse.CompressionLZ4},
	})
	if err != nil {
		return err
	}
	defer conn.Close()
	var next atomic.Int64
	var group errgroup.Group
	for range partitions {
		group.Go(func() error {
			for {
				from := int(next.Add(int64(size))) - size
				if from >= len(rows) {
					return nil
				}
				if err := insertBatch(ctx, conn, table, rows[from:min(from+size, len(rows))]); err != nil {
					return err
				}
			}
		})
	}
	return group.Wait()
}

func insertBatch(ctx context.Context, conn driver.Conn, table string, rows []pointsRow) error {
	batch, err := conn.PrepareBatch(ctx, "INSERT INTO "+table)
	if err != nil {
		return err
	}
	defer batch.Close()
	for i := range rows {
		r := &rows[i]
		if err := batch.Append(r.eventID, r.shopID, r.shopDomain, r.merchantID, r.apiVersion, r.webhookID, r.receivedAt,
			r.buyerID, r.updateType, r.updatedScene, r.updatedValue, r.pointsDelta, r.pointsBalance, r.pointsExpiresAt,
			r.updatedAt, r.normalizedAt, false); err != nil {
			return err
		}
	}
	return batch.Send()
}
