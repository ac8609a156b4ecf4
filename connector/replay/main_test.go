package replay

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

// engine is the one ClickHouse of all tests; each test has its own database.
var engine *embedded.ClickHouse

func TestMain(m *testing.M) {
	embedded.RunChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "loyaltyhouse-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg := embedded.DefaultConfig()
	cfg.DataDir = dir
	cfg.ClickHouse.NativePort, cfg.ClickHouse.HTTPPort = 0, 0
	engine, err = embedded.StartClickHouse(context.Background(), cfg, slog.New(slog.DiscardHandler), os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	http.DefaultClient.CloseIdleConnections()
	if err := engine.Close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

var databases atomic.Int32

// A warehouse is a database with all tables. It stands for Kafka and the sink
// too: what is published to it is stored at once, or when held is released.
type warehouse struct {
	t         *testing.T
	database  string
	conn      driver.Conn
	tables    map[string]*schema.Table // by the topic in Kafka
	published []kafka.Message
	held      bool // what is published is not stored
	clock     time.Time
}

const prefix = "loyalty."

// refreshes matches a statement about a view that refreshes itself. To make these
// takes longer than most tests do, and no replay reads them.
var refreshes = regexp.MustCompile(`(?m)^(DROP|CREATE MATERIALIZED) VIEW (IF EXISTS )?\w+_cached\b`)

func newWarehouse(t *testing.T, contracts ...*schema.Contract) *warehouse {
	t.Helper()
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{engine.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	w := &warehouse{
		t: t, database: fmt.Sprintf("test_%d", databases.Add(1)), conn: conn, tables: map[string]*schema.Table{},
		clock: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC),
	}
	w.execute("CREATE DATABASE " + w.database)
	t.Cleanup(func() { w.execute("DROP DATABASE " + w.database) })
	files, err := fs.Glob(schema.Migrations, "migrations/*.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		text, err := schema.Migrations.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for statement := range strings.SplitSeq(strings.TrimSpace(string(text)), ";\n") {
			if !refreshes.MatchString(statement) {
				w.execute(strings.TrimSuffix(statement, ";"))
			}
		}
	}
	for _, table := range []*schema.Table{schema.RawWebhooks(), schema.DeadLetters()} {
		w.tables[prefix+table.Topic] = table
	}
	for _, c := range contracts {
		w.tables[prefix+c.Topic] = c.FactTable()
	}
	return w
}

// execute runs a statement in the database over HTTP.
func (w *warehouse) execute(statement string) { w.post(statement, "") }

func (w *warehouse) post(statement, data string) string {
	w.t.Helper()
	settings := url.Values{"query": {statement}, "date_time_input_format": {"best_effort"}, "input_format_skip_unknown_fields": {"1"}}
	if !strings.HasPrefix(statement, "CREATE DATABASE") && !strings.HasPrefix(statement, "DROP DATABASE") {
		settings.Set("database", w.database)
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+engine.HTTPAddr()+"/?"+settings.Encode(), strings.NewReader(data))
	if err != nil {
		w.t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		w.t.Fatalf("%.300s: %s %v %s", statement, resp.Status, err, text)
	}
	return strings.TrimSuffix(string(text), "\n")
}

// ask returns the answer to a query, columns between tabs.
func (w *warehouse) ask(query string) string {
	w.t.Helper()
	return w.post(query+" FORMAT TSV", "")
}

// Publish implements Publisher.
func (w *warehouse) Publish(_ context.Context, messages ...kafka.Message) error {
	w.published = append(w.published, messages...)
	if !w.held {
		w.store(messages...) //nolint:contextcheck // A request of a test ends with the test.
	}
	return nil
}

// store does what the sink does.
func (w *warehouse) store(messages ...kafka.Message) {
	w.t.Helper()
	values := map[string]string{}
	for _, m := range messages {
		values[m.Topic] += string(m.Value) + "\n"
	}
	for topic, rows := range values {
		table := w.tables[topic]
		if table == nil {
			w.t.Fatalf("a message for topic %q", topic)
		}
		columns, source := "", "*"
		for i, c := range table.Columns {
			if i > 0 {
				columns += ", "
			}
			columns += "`" + c.Name + "` " + c.ClickHouseType()
		}
		if table.Index("body") >= 0 {
			columns += ", body_base64 String"
			source = "* EXCEPT (body_base64) REPLACE (if(body_base64 = '', body, base64Decode(body_base64)) AS body)"
		}
		w.post(fmt.Sprintf("INSERT INTO %s SELECT %s FROM input('%s') FORMAT JSONEachRow", table.Name, source, strings.ReplaceAll(columns, "'", `\'`)), rows)
	}
}

// replayer opens the warehouse under some contracts.
func (w *warehouse) replayer(strict bool, contracts ...*schema.Contract) *Replayer {
	w.t.Helper()
	n, err := normalize.New(contracts, strict)
	if err != nil {
		w.t.Fatal(err)
	}
	r, err := Open(w.t.Context(), Config{Database: w.database, Sink: "clickhouse", OtherSinks: []string{"other"}, TopicPrefix: prefix}, w.conn, contracts, n, w, w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return r
}

// now is a clock that goes on by a second each time it is asked.
func (w *warehouse) now() time.Time {
	w.clock = w.clock.Add(time.Second)
	return w.clock
}

// receive does what the receiver does with deliveries under a contract.
func (w *warehouse) receive(c *schema.Contract, deliveries ...normalize.Delivery) {
	w.t.Helper()
	n, err := normalize.New([]*schema.Contract{c}, false)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, d := range deliveries {
		if d.ReceivedAt.IsZero() {
			d.ReceivedAt = w.now()
		}
		r := n.Normalize(d, d.ReceivedAt)
		message := func(t *schema.Table, row schema.Row) kafka.Message {
			return kafka.Message{Topic: prefix + t.Topic, Key: r.Key(), Value: t.AppendRow(nil, row)}
		}
		w.store(message(schema.RawWebhooks(), normalize.RawWebhook(d, r)))
		if r.Reject != nil {
			w.store(message(schema.DeadLetters(), normalize.DeadLetter(d, r)))
		} else {
			w.store(message(r.Table, r.Row))
		}
	}
}

// takePublished returns how many messages each topic got since the last call.
func (w *warehouse) takePublished() string {
	counts := map[string]int{}
	for _, m := range w.published {
		counts[strings.TrimPrefix(m.Topic, prefix)]++
	}
	w.published = nil
	return strings.TrimPrefix(fmt.Sprint(counts), "map")
}

// points returns the built-in contract of points with changes, each an old and
// a new text.
func points(t testing.TB, changes ...string) *schema.Contract {
	t.Helper()
	return edited(t, "points", changes...)
}

func edited(t testing.TB, name string, changes ...string) *schema.Contract {
	t.Helper()
	data, err := os.ReadFile("../../schema/contracts/" + name + ".yaml")
	if err != nil {
		t.Fatal(err)
	}
	text := string(data)
	for change := range slices.Chunk(changes, 2) {
		if !strings.Contains(text, change[0]) {
			t.Fatalf("the contract has no %q", change[0])
		}
		text = strings.ReplaceAll(text, change[0], change[1])
	}
	c, err := schema.Parse(name+".yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return c
}
