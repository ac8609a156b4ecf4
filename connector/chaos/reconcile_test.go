//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	kafkago "github.com/segmentio/kafka-go"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/schema"
)

// A pipeline without processes: what it would deliver is put into Kafka and
// ClickHouse by hand, so that it can be put there wrongly.
type handmade struct {
	warehouse *warehouse
	kafka     *reader
	expected  expectation
	values    map[string][][]byte // of the records, by table
}

func newHandmade(t *testing.T) *handmade {
	t.Helper()
	cfg := embedded.DefaultConfig()
	cfg.DataDir, cfg.Broker.Listen = t.TempDir(), "127.0.0.1:0"
	broker, err := embedded.StartBroker(t.Context(), cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := broker.Close(); err != nil {
			t.Error(err)
		}
	})
	h := &handmade{values: map[string][][]byte{}}
	if h.warehouse, err = startWarehouse(t.Context(), t.TempDir(), newJournal(new(bytes.Buffer), t.Output())); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.warehouse.close(); err != nil {
			t.Error(err)
		}
	})
	all, err := tables()
	if err != nil {
		t.Fatal(err)
	}
	h.kafka = newReader([]string{broker.Addr()}, topicPrefix, all)
	t.Cleanup(h.kafka.close)
	h.migrate(t, all)
	h.fill(t, broker.Addr(), all)
	return h
}

// migrate makes the tables of which parts are never merged.
func (h *handmade) migrate(t *testing.T, all []*schema.Table) {
	t.Helper()
	h.exec(t, "", "CREATE DATABASE "+database)
	files, err := schema.Migrations.ReadDir("migrations")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !strings.HasSuffix(file.Name(), ".up.sql") {
			continue
		}
		script, err := schema.Migrations.ReadFile("migrations/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		for statement := range strings.SplitSeq(string(script), ";\n") {
			if lines := strings.Split(statement, "\n"); slices.ContainsFunc(lines, func(l string) bool { return l != "" && !strings.HasPrefix(l, "--") }) {
				h.exec(t, database, statement)
			}
		}
	}
	var names []string
	for _, table := range all {
		names = append(names, database+"."+table.Name)
	}
	if err := h.warehouse.keepEveryRow(t.Context(), names); err != nil {
		t.Fatal(err)
	}
}

// exec runs a statement; what follows it in data is its input.
func (h *handmade) exec(t *testing.T, database, statement string, data ...byte) {
	t.Helper()
	address := fmt.Sprintf("http://%s:%d/?", h.warehouse.cfg.ClickHouse.Host, h.warehouse.cfg.ClickHouse.HTTPPort) +
		url.Values{"database": {database}, "date_time_input_format": {"best_effort"}, "input_format_skip_unknown_fields": {"1"}, "mutations_sync": {"1"}}.Encode()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, address, io.MultiReader(strings.NewReader(statement+"\n"), bytes.NewReader(data)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, err := io.ReadAll(response.Body); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %v %s", statement, err, answer)
	}
}

// fill plays a history into Kafka and ClickHouse.
func (h *handmade) fill(t *testing.T, broker string, all []*schema.Table) {
	t.Helper()
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	normalizer, err := normalize.New(contracts, false)
	if err != nil {
		t.Fatal(err)
	}
	client := &kafkago.Client{Addr: kafkago.TCP(broker)}
	create := &kafkago.CreateTopicsRequest{}
	for _, table := range all {
		create.Topics = append(create.Topics, kafkago.TopicConfig{Topic: topicPrefix + table.Topic, NumPartitions: 2, ReplicationFactor: 1})
	}
	if _, err := client.CreateTopics(t.Context(), create); err != nil {
		t.Fatal(err)
	}
	cfg := simulate.DefaultConfig()
	cfg.Count, cfg.Customers, cfg.BadRatio, cfg.ResendRatio = 300, 20, 0, 0.1
	generator := simulate.New(cfg)
	for n := 0; ; n++ {
		d, ok := generator.Next()
		if !ok {
			break
		}
		r := normalizer.Normalize(normalize.Delivery{
			Topic: d.Topic, ShopID: d.ShopID, ShopDomain: d.ShopDomain, MerchantID: d.MerchantID,
			APIVersion: d.APIVersion, WebhookID: d.WebhookID, Body: d.Body, ReceivedAt: cfg.End,
		}, cfg.End)
		if r.Reject != nil {
			t.Fatal(r.Reject)
		}
		h.expected.acknowledged = append(h.expected.acknowledged, acknowledgement{event: r.EventID, table: d.Table})
		h.publish(t, client, r.Table, n%2, r.Table.AppendRow(nil, r.Row))
		raw := schema.RawWebhooks()
		row := make(schema.Row, len(raw.Columns))
		row[raw.Index("event_id")] = schema.TextValue(r.EventID.String())
		row[raw.Index("webhook_id")] = schema.TextValue(d.WebhookID)
		row[raw.Index("received_at")] = schema.IntValue(cfg.End.UnixMilli())
		h.publish(t, client, raw, n%2, raw.AppendRow(nil, row))
	}
	spans, err := h.kafka.spans(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	h.expected.database, h.expected.tables, h.expected.spans = database, all, spans
	h.expected.balances, h.expected.customers = generator.Balances, generator.Expected().Customers
	for table, values := range h.values {
		h.exec(t, database, "INSERT INTO "+table+" SETTINGS optimize_on_insert = 0 FORMAT JSONEachRow", bytes.Join(values, []byte("\n"))...)
	}
}

func (h *handmade) publish(t *testing.T, client *kafkago.Client, table *schema.Table, partition int, value []byte) {
	t.Helper()
	h.values[table.Name] = append(h.values[table.Name], value)
	response, err := client.Produce(t.Context(), &kafkago.ProduceRequest{
		Topic: topicPrefix + table.Topic, Partition: partition, RequiredAcks: kafkago.RequireAll,
		Records: kafkago.NewRecordReader(kafkago.Record{Value: kafkago.NewBytes(value)}),
	})
	if err == nil {
		err = response.Error
	}
	if err != nil {
		t.Fatal(err)
	}
}

// reconcile returns the differences, and the names of the lists that were written.
func (h *handmade) reconcile(t *testing.T, change ...func(*expectation)) (differences, lists []string) {
	t.Helper()
	e := h.expected
	for _, change := range change {
		change(&e)
	}
	dir := t.TempDir()
	r, err := reconcile(t.Context(), h.warehouse, h.kafka, e, dir)
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.tsv"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lists = append(lists, fmt.Sprintf("%s: %d", filepath.Base(file), bytes.Count(content, []byte("\n"))-1))
	}
	return r.differences(), lists
}

// What is exact is found to be so, also after ClickHouse was killed, and
// everything that is not is found with its events and offsets.
func TestReconcile(t *testing.T) {
	h := newHandmade(t)
	expect := func(what string, differences, lists []string, change ...func(*expectation)) {
		t.Helper()
		gotDifferences, gotLists := h.reconcile(t, change...)
		if !slices.Equal(gotDifferences, differences) || !slices.Equal(gotLists, lists) {
			t.Errorf("%s: got %q with %q, want %q with %q", what, gotDifferences, gotLists, differences, lists)
		}
	}
	expect("as it was delivered", nil, nil)
	if err := h.warehouse.kill(); err != nil {
		t.Fatal(err)
	}
	if err := h.warehouse.start(context.Background()); err != nil {
		t.Fatal(err)
	}
	expect("after a kill", nil, nil)
	h.testLake(t)

	events := h.expected.acknowledged
	h.exec(t, database, "INSERT INTO fact_points FORMAT JSONEachRow", h.values["fact_points"][0]...)
	h.exec(t, database, "INSERT INTO raw_webhooks FORMAT JSONEachRow", h.values["raw_webhooks"][0]...)
	expect("doubled", []string{"fact_points: 1 rows are doubled", "raw_webhooks: 1 rows are doubled"},
		[]string{"fact_points.records.tsv: 1", "raw_webhooks.records.tsv: 1"})

	h.exec(t, database, "ALTER TABLE raw_webhooks DELETE WHERE event_id = '"+events[0].event.String()+"'")
	differences, lists := h.reconcile(t)
	if got := strings.Join(differences, "\n"); !strings.Contains(got, "raw_webhooks: ") || !strings.Contains(got, " Kafka records are lost") ||
		!strings.Contains(got, "raw_webhooks: 1 acknowledged events are lost") {
		t.Errorf("a row is gone: got %q", differences)
	}
	if !slices.Contains(lists, "raw_webhooks.missing.tsv: 1") {
		t.Errorf("a row is gone: lists are %q", lists)
	}

	differences, _ = h.reconcile(t, func(e *expectation) { e.acknowledged = e.acknowledged[1:] })
	if got := strings.Join(differences, "\n"); !strings.Contains(got, "were acknowledged") {
		t.Errorf("an event that nobody sent: got %q", differences)
	}

	table := ledgers[0].table
	h.exec(t, database, "ALTER TABLE "+table+" DELETE WHERE event_id IN (SELECT event_id FROM "+table+" ORDER BY updated_at DESC LIMIT 1)")
	differences, lists = h.reconcile(t)
	if got := strings.Join(differences, "\n"); !strings.Contains(got, "points_balances: 1 of ") {
		t.Errorf("the latest event is gone: got %q", differences)
	}
	if !slices.Contains(lists, "points_balances.tsv: 1") {
		t.Errorf("the latest event is gone: lists are %q", lists)
	}
}
