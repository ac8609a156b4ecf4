//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"loyaltyhouse/connector/simulate"
)

// A startedExample is one of config/examples as somebody would start it: the file as it
// is, with the variables that it has. It is played a history.
type startedExample struct {
	*child
	generator *simulate.Generator
	sent      []simulate.Delivery
}

// startExample runs connector serve with the file.
func startExample(t *testing.T, name string, variables map[string]string) *startedExample {
	t.Helper()
	file := filepath.Join("..", "config", "examples", name)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	p := freePorts(t)
	variables["SHOPLINE_APP_SECRETS"] = "old-secret"
	variables["RECEIVER_ADDRESS"] = fmt.Sprintf("127.0.0.1:%d", p.receiver)
	variables["ADMIN_ADDRESS"] = fmt.Sprintf("127.0.0.1:%d", p.admin)
	args := []string{"serve", "--config", file}
	cmd := exec.Command(program, args...)
	cmd.Env = os.Environ()
	for name, value := range variables {
		if !strings.Contains(string(text), "${"+name+"}") && !strings.Contains(string(text), "${"+name+":-") {
			t.Errorf("%s has no variable %s", file, name)
		}
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	e := &startedExample{child: runChild(t, args, cmd)}
	e.ports = p
	eventually(t, "every part is ready", func() bool { return len(notReady(t, p.adminURL("/readyz"))) == 0 })
	return e
}

// servers starts a broker and a ClickHouse, and returns their addresses as the
// examples' variables have them.
func servers(t *testing.T) (*ownWarehouse, map[string]string) {
	t.Helper()
	w := startWarehouse(t)
	_, broker := startBroker(t, t.TempDir())
	return w, map[string]string{
		"KAFKA_BROKERS": broker, "KAFKA_REPLICATION_FACTOR": "1", "KAFKA_MIN_INSYNC_REPLICAS": "1",
		"CLICKHOUSE_ADDRESSES": w.address, "CLICKHOUSE_USERNAME": "default", "CLICKHOUSE_PASSWORD": "",
	}
}

// play sends a history, each delivery once, and waits until the first sink has
// all of it.
func (e *startedExample) play(t *testing.T, warehouse string, seed uint64) {
	t.Helper()
	cfg := simulate.DefaultConfig()
	cfg.Seed, cfg.Count, cfg.Customers = seed, 300, 100
	cfg.Span = 36 * time.Hour // A file is synced for each day.
	e.generator = simulate.New(cfg)
	next := func() (simulate.Delivery, bool) {
		d, more := e.generator.Next()
		if more {
			e.sent = append(e.sent, d)
		}
		return d, more
	}
	summary, err := simulate.Send(t.Context(), senderTo(e.ports), next, nil)
	if err != nil {
		t.Fatal(err)
	}
	if summary.Retries > 0 || summary.Violations > 0 {
		t.Fatalf("webhooks had to be sent again %d times; wrong answers: %v", summary.Retries, summary.FirstViolations)
	}
	reconciled(t, warehouse, e.generator)
}

// rowOf is how the tests write a row down: shop, customer, change and time.
func rowOf(shop, customer string, delta, updatedAtMillis int64) string {
	return fmt.Sprintf("%s %s %d %d", shop, customer, delta, updatedAtMillis)
}

// rows are what a table must hold, and how often: once for each delivery, which
// is more than once for a resend.
func (e *startedExample) rows(table string, taken func(simulate.Truth) bool) map[string]uint64 {
	rows := map[string]uint64{}
	for _, d := range e.sent {
		if d.Table == table && (d.Kind == simulate.KindEvent || d.Kind == simulate.KindResend) && taken(d.Truth) {
			customer := d.Truth.BuyerID
			if table == simulate.TableCustomerChanges {
				customer = d.Truth.Account.ID
			}
			rows[rowOf(d.Truth.Account.ShopID, customer, d.Truth.Delta, d.Truth.UpdatedAtMillis)]++
		}
	}
	return rows
}

func everyRow(simulate.Truth) bool { return true }

// once has each of the rows once, as where resends collapse.
func once(rows map[string]uint64) map[string]uint64 {
	for row := range rows {
		rows[row] = 1
	}
	return rows
}

// deliveries counts the deliveries of a kind, or with none all that are signed.
func (e *startedExample) deliveries(kind simulate.Kind) (n int64) {
	for _, d := range e.sent {
		if d.Kind == kind || kind == "" && d.Kind != simulate.KindBadSignature {
			n++
		}
	}
	return n
}

// factColumns are the columns of a row as rowOf has them, by table.
var factColumns = map[string][2]string{
	simulate.TablePoints:          {"buyer_id", "points_delta"},
	simulate.TableStoreCredits:    {"buyer_id", "balance_delta_cents"},
	simulate.TableGiftCards:       {"buyer_id", "balance_delta_cents"},
	simulate.TableCustomerChanges: {"customer_id", "0"},
}

// holds waits until a source of ClickHouse has the rows of a table, and fails when
// it has others, too.
func (w *warehouse) holds(source, table string, want map[string]uint64) {
	w.t.Helper()
	c := factColumns[table]
	total := "SELECT toInt64(count()) FROM " + source
	eventually(w.t, source+" has as many rows as it should", func() bool { return w.number(total) >= sum(want) })
	answer, err := w.conn.Query(w.t.Context(), fmt.Sprintf(
		"SELECT concat(shop_id, ' ', %s, ' ', toString(%s), ' ', toString(toUnixTimestamp64Milli(updated_at))) AS row, count() FROM %s GROUP BY row", c[0], c[1], source))
	if err != nil {
		w.t.Fatal(err)
	}
	defer answer.Close()
	have := map[string]uint64{}
	for answer.Next() {
		var row string
		var times uint64
		if err := answer.Scan(&row, &times); err != nil {
			w.t.Fatal(err)
		}
		have[row] = times
	}
	if err := answer.Err(); err != nil {
		w.t.Fatal(err)
	}
	if diff := cmp.Diff(want, have); diff != "" {
		w.t.Errorf("%s differs from what was sent (-):\n%s", source, diff)
	}
}

func sum(rows map[string]uint64) (n int64) {
	for _, times := range rows {
		n += int64(times)
	}
	return n
}

func TestExampleSecondClickHouse(t *testing.T) {
	t.Parallel()
	w, variables := servers(t)
	for _, name := range []string{"ADDRESSES", "USERNAME", "PASSWORD"} {
		variables["STAGING_CLICKHOUSE_"+name] = variables["CLICKHOUSE_"+name]
	}
	e := startExample(t, "second-clickhouse.yaml", variables)
	e.play(t, w.address, 81)
	for _, table := range []string{simulate.TablePoints, simulate.TableStoreCredits, simulate.TableGiftCards} {
		w.holds("loyalty_staging."+strings.TrimPrefix(table, "fact_"), table, once(e.rows(table, everyRow)))
	}
	for _, table := range []string{"fact_customer_changes", "raw_webhooks", "dead_letters"} {
		if n := w.number("SELECT toInt64(count()) FROM loyalty_staging." + table); n > 0 {
			t.Errorf("staging has %d rows of %s, which it should not get", n, table)
		}
	}
}

// inLake compares every table's files with what was sent.
func (e *startedExample) inLake(w *warehouse, source func(table string) string) {
	for table := range factColumns {
		w.holds(source(table), table, e.rows(table, everyRow))
	}
	for table, want := range map[string]int64{"raw_webhooks": e.deliveries(""), "dead_letters": e.deliveries(simulate.KindBad)} {
		count := "SELECT toInt64(count()) FROM " + source(table)
		eventually(w.t, table+" is in the lake", func() bool { return w.number(count) >= want })
		if n := w.number(count); n != want {
			w.t.Errorf("the lake has %d rows of %s, want %d", n, table, want)
		}
	}
}

func TestExampleLakeLocal(t *testing.T) {
	t.Parallel()
	dataDir, p := t.TempDir(), freePorts(t)
	directory := filepath.Join(dataDir, "clickhouse", "data", "user_files", "lake")
	e := startExample(t, "lake-local.yaml", map[string]string{
		"DATA_DIR": dataDir, "LAKE_DIRECTORY": directory, "LAKE_DELAY": "500ms",
		"CLICKHOUSE_PORT": strconv.Itoa(p.native), "CLICKHOUSE_HTTP_PORT": strconv.Itoa(p.http),
	})
	address := fmt.Sprintf("127.0.0.1:%d", p.native)
	e.play(t, address, 82)
	e.inLake(connectWarehouse(t, address), func(table string) string { return "file('" + directory + "/" + table + "/**/*.parquet')" })
}

func TestExampleLakeS3(t *testing.T) {
	t.Parallel()
	const bucket = "company-lake"
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	store := httptest.NewServer(gofakes3.New(backend).Server())
	t.Cleanup(store.Close)
	w, variables := servers(t)
	maps.Copy(variables, map[string]string{
		"LAKE_BUCKET": bucket, "LAKE_REGION": "us-east-1", "LAKE_ENDPOINT": store.URL, "LAKE_PATH_STYLE": "true",
		"LAKE_ACCESS_KEY_ID": "key", "LAKE_SECRET_ACCESS_KEY": "secret", "LAKE_DELAY": "500ms",
	})
	e := startExample(t, "lake-s3.yaml", variables)
	e.play(t, w.address, 83)
	e.inLake(w.warehouse, func(table string) string {
		return fmt.Sprintf("s3('%s/%s/loyalty/%s/**/*.parquet', 'key', 'secret', 'Parquet')", store.URL, bucket, table)
	})
}

func TestExampleForwardHTTP(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	service := newSubscriber(t, secret)
	w, variables := servers(t)
	variables["FORWARD_URL"], variables["FORWARD_SECRETS"] = service.URL+"/loyalty", secret
	e := startExample(t, "forward-http.yaml", variables)
	// It gets what comes from the moment on at which it has its partitions.
	eventually(t, "the sink has its partitions", func() bool {
		return len(e.series(`loyaltyhouse_consumer_lag_records\{[^}]*sink="forward"`)) == 3*3
	})
	e.play(t, w.address, 84)
	for _, table := range []string{simulate.TablePoints, simulate.TableStoreCredits, simulate.TableGiftCards} {
		want := e.rows(table, func(truth simulate.Truth) bool { return truth.UpdateType == "DECREASE" })
		eventually(t, "the service has as many rows of "+table+" as it should", func() bool { return int64(len(service.of(table))) >= sum(want) })
		have := map[string]uint64{}
		for _, row := range service.of(table) {
			have[row.written(t, factColumns[table])]++
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("what the service has of %s differs from what was sent (-):\n%s", table, diff)
		}
	}
	if others := len(service.of(simulate.TableCustomerChanges)) + len(service.of(simulate.TableDeadLetters)); others > 0 {
		t.Errorf("the service has %d rows of topics that it should not get", others)
	}
}

// written writes a row down as rowOf does.
func (r forwardedRow) written(t *testing.T, columns [2]string) string {
	t.Helper()
	var shop, customer string
	var delta int64
	var updatedAt time.Time
	for name, into := range map[string]any{"shop_id": &shop, columns[0]: &customer, columns[1]: &delta, "updated_at": &updatedAt} {
		if err := json.Unmarshal(r[name], into); err != nil {
			t.Fatalf("column %s of a row that was forwarded: %v", name, err)
		}
	}
	return rowOf(shop, customer, delta, updatedAt.UnixMilli())
}
