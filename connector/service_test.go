package main

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/sinks/clickhouse"
)

// reconciled compares what a generator has sent with a running ClickHouse.
func reconciled(t *testing.T, address string, g *simulate.Generator) {
	t.Helper()
	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = []string{address}
	conn, err := clickhouse.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := &reconciliation{conn: conn, database: cfg.Database, generator: g, shops: g.Shops()}
	checks, ok, err := r.await(t.Context(), 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if !ok {
		var table strings.Builder
		if err := printChecks(&table, checks); err != nil {
			t.Fatal(err)
		}
		t.Errorf("sent and stored differ:\n%s", &table)
	}
}

func history(seed uint64, count int) *simulate.Generator {
	cfg := simulate.DefaultConfig()
	cfg.Seed, cfg.Count, cfg.Customers = seed, count, 100
	return simulate.New(cfg)
}

func senderTo(p ports) simulate.SenderConfig {
	cfg := simulate.DefaultSenderConfig()
	cfg.URL, cfg.Secret, cfg.Connections = p.receiverURL(), []byte("old-secret"), 32
	cfg.Retry.Longest = 200 * time.Millisecond
	return cfg
}

// Every kind of webhook, resends, late ones and bad ones, ends where it should,
// and a second history on the same data reconciles too.
func TestWebhooksBecomeRows(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	s := startService(t, embeddedConfig(t, p, t.TempDir()))
	for seed := range uint64(2) {
		g := history(seed, 600)
		summary, err := simulate.Send(t.Context(), senderTo(p), g.Next, nil)
		if err != nil {
			t.Fatal(err)
		}
		if summary.Violations > 0 {
			t.Errorf("wrong answers: %v", summary.FirstViolations)
		}
		reconciled(t, s.engine.get().Addr(), g)
	}

	_, metrics := get(t, p.adminURL("/metrics"))
	for _, name := range []string{
		`loyaltyhouse_webhook_requests_total{status="200",topic="points"}`,
		`loyaltyhouse_webhook_requests_total{status="401",`,
		`loyaltyhouse_webhook_rejects_total{reason="missing_field"}`,
		`loyaltyhouse_webhook_request_duration_seconds_bucket{status="200",le=`,
		`loyaltyhouse_kafka_publish_duration_seconds_bucket{`,
		`loyaltyhouse_sink_rows_total{sink="clickhouse",topic="loyalty.points"}`,
		`loyaltyhouse_sink_batch_rows_bucket{sink="clickhouse",le=`,
		`loyaltyhouse_sink_write_duration_seconds_bucket{sink="clickhouse",le=`,
		`loyaltyhouse_consumer_lag_records{partition="0",sink="clickhouse",topic="loyalty.points"} 0`,
		`loyaltyhouse_consumer_oldest_undelivered_seconds{partition="0",sink="clickhouse",topic="loyalty.points"} 0`,
		`loyaltyhouse_build_info{`,
	} {
		if !strings.Contains(metrics, name) {
			t.Errorf("/metrics lacks %s", name)
		}
	}
}

// Whatever was acknowledged is in the views, though the process is killed again
// and again under load.
func TestNothingAcknowledgedIsLostByKill(t *testing.T) {
	t.Parallel()
	p, dataDir := freePorts(t), warehouseDir(t)
	file := embeddedConfig(t, p, dataDir)
	g := history(7, 2500)

	sent := make(chan error, 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		cfg := senderTo(p)
		cfg.Rate = 500
		summary, err := simulate.Send(ctx, cfg, g.Next, nil)
		if err == nil && summary.Violations > 0 {
			err = fmt.Errorf("wrong answers: %v", summary.FirstViolations)
		}
		sent <- err
	}()
	rng := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // Repeatable on purpose.
	for range 4 {
		connector := startProcess(t, "serve", "--config", file)
		eventually(t, "the receiver is ready", func() bool { return len(notReady(t, p.adminURL("/readyz/receiver"))) == 0 })
		time.Sleep(time.Duration(200+rng.IntN(800)) * time.Millisecond)
		connector.signal(syscall.SIGKILL)
		connector.wait()
	}
	startProcess(t, "serve", "--config", file)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	reconciled(t, fmt.Sprintf("127.0.0.1:%d", p.native), g)
	for _, table := range []string{"raw_webhooks", "dead_letters"} {
		stored, records := storedRows(t, p, "loyalty", table), recordsOf(t, dataDir, "loyalty."+table)
		if stored != records {
			t.Errorf("%s has %d rows, Kafka has %d records", table, stored, records)
		}
	}
}

// storedRows counts a table as it is on disk. Its view, if it had one, would
// collapse what was stored twice.
func storedRows(t *testing.T, p ports, database, table string) (n int64) {
	t.Helper()
	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = []string{fmt.Sprintf("127.0.0.1:%d", p.native)}
	conn, err := clickhouse.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.QueryRow(t.Context(), "SELECT toInt64(count()) FROM "+database+"."+table).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// recordsOf counts the records of a topic in the broker of a running service.
func recordsOf(t *testing.T, dataDir, topic string) (n int64) {
	t.Helper()
	transport := &kafkago.Transport{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "unix", filepath.Join(dataDir, "broker", "socket", "kafka.sock"))
	}}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP("broker:9092"), Transport: transport}
	request := &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{topic: {}}}
	for partition := range 2 {
		request.Topics[topic] = append(request.Topics[topic], kafkago.LastOffsetOf(partition))
	}
	response, err := client.ListOffsets(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			t.Fatal(p.Error)
		}
		n += p.LastOffset
	}
	return n
}

// SIGTERM under load: every answer was right, the end is orderly, and the next
// start goes on.
func TestShutdownUnderLoad(t *testing.T) {
	t.Parallel()
	p, dataDir := freePorts(t), warehouseDir(t)
	file := embeddedConfig(t, p, dataDir)
	g := history(8, 1000)
	first := startProcess(t, "serve", "--config", file)
	eventually(t, "the service is ready", func() bool { return len(notReady(t, p.adminURL("/readyz"))) == 0 })
	taken := 0
	underLoad := make(chan struct{})
	next := func() (simulate.Delivery, bool) {
		if taken++; taken == 100 {
			close(underLoad)
		}
		return g.Next()
	}
	sent := make(chan error, 1)
	go func() {
		_, err := simulate.Send(t.Context(), senderTo(p), next, nil)
		sent <- err
	}()
	<-underLoad
	first.signal(syscall.SIGTERM)
	if status := first.wait(); status != 0 {
		t.Errorf("exit status after SIGTERM is %d, want 0; it printed:\n%s", status, first.output)
	}
	second := startProcess(t, "serve", "--config", file)
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	eventually(t, "the service is ready again", func() bool { return len(notReady(t, p.adminURL("/readyz"))) == 0 })
	reconciled(t, fmt.Sprintf("127.0.0.1:%d", p.native), g)
	second.signal(os.Interrupt)
	if status := second.wait(); status != 0 {
		t.Errorf("exit status after SIGINT is %d, want 0; it printed:\n%s", status, second.output)
	}
}

// While ClickHouse is away webhooks are accepted, /readyz names the part, and
// everything arrives when it is back.
func TestClickHouseAway(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	s := startService(t, embeddedConfig(t, p, warehouseDir(t)))
	if err := s.engine.get().Kill(); err != nil {
		t.Fatal(err)
	}
	g := history(9, 300)
	summary, err := simulate.Send(t.Context(), senderTo(p), g.Next, nil)
	if err != nil || summary.Violations > 0 {
		t.Fatalf("sending while ClickHouse is away: %v, %v", err, summary.FirstViolations)
	}
	// The engine is started again by itself.
	eventually(t, "every part is ready again", func() bool { return len(notReady(t, p.adminURL("/readyz"))) == 0 })
	reconciled(t, s.engine.get().Addr(), g)
}

// The buffer away: 503 with Retry-After, within SHOPLINE's patience.
func TestBufferAway(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	s := startService(t, embeddedConfig(t, p, warehouseDir(t)))
	if err := s.broker.Close(); err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"id":"1","updated_at":"2022-12-16T11:06:11+08:00"}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.receiverURL(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Shopline-Hmac-Sha256", simulate.SignHex([]byte("new-secret"), body))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	http.DefaultClient.CloseIdleConnections()
	if resp.StatusCode != http.StatusServiceUnavailable || resp.Header.Get("Retry-After") == "" {
		t.Errorf("answered %s, Retry-After %q; want 503 with Retry-After", resp.Status, resp.Header.Get("Retry-After"))
	}
	if parts := notReady(t, p.adminURL("/readyz/receiver")); parts["kafka"] == "" || parts["publishing"] == "" {
		t.Errorf("/readyz/receiver does not name kafka and publishing: %v", parts)
	}
}

// receive and sink run apart, against servers: here the broker and ClickHouse
// of this process.
func TestReceiveAndSinkApart(t *testing.T) {
	t.Parallel()
	cfg := embedded.DefaultConfig()
	cfg.DataDir = t.TempDir()
	cfg.ClickHouse.NativePort, cfg.ClickHouse.HTTPPort = 0, 0
	servers, err := embedded.Start(t.Context(), cfg, testLog(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := servers.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}()
	p, q := freePorts(t), freePorts(t)
	file := func(p ports) string {
		return writeFile(t, "connector.yaml", fmt.Sprintf(`
receiver: {address: "127.0.0.1:%d", secrets: [old-secret]}
admin: {address: "127.0.0.1:%d"}
kafka: {brokers: ["unix:%s"]}
sinks: [{name: warehouse, clickhouse: {addresses: ["%s"]}, batch: {max_age: 100ms}}]
`, p.receiver, p.admin, servers.Broker.SocketPath(), servers.ClickHouse.Addr()))
	}
	startProcess(t, "receive", "--config", file(p))
	startProcess(t, "sink", "--config", file(q))
	g := history(10, 500)
	if _, err := simulate.Send(t.Context(), senderTo(p), g.Next, nil); err != nil {
		t.Fatal(err)
	}
	reconciled(t, servers.ClickHouse.Addr(), g)
	if parts := notReady(t, p.adminURL("/readyz")); len(parts) > 0 {
		t.Errorf("the receiver's process is not ready: %v", parts)
	}
	if parts := notReady(t, q.adminURL("/readyz")); len(parts) > 0 {
		t.Errorf("the sink's process is not ready: %v", parts)
	}
}

// A part that cannot start ends the process with a message that says what to do.
func TestStartErrors(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	s := startService(t, embeddedConfig(t, p, warehouseDir(t)))
	taken := func(change func(*ports)) string {
		other := freePorts(t)
		change(&other)
		return embeddedConfig(t, other, warehouseDir(t))
	}
	tests := map[string]struct {
		file string
		want string
	}{
		"receiver's port": {taken(func(o *ports) { o.receiver = p.receiver }), fmt.Sprintf("receiver.address 127.0.0.1:%d cannot be listened on", p.receiver)},
		"admin's port":    {taken(func(o *ports) { o.admin = p.admin }), fmt.Sprintf("admin.address 127.0.0.1:%d cannot be listened on", p.admin)},
		"native port":     {taken(func(o *ports) { o.native = p.native }), fmt.Sprintf("127.0.0.1:%d", p.native)},
		"data directory":  {embeddedConfig(t, freePorts(t), s.cfg.Embedded.DataDir), "another connector"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			cfg, err := config.Load(test.file)
			if err != nil {
				t.Fatal(err)
			}
			_, err = start(t.Context(), cfg, roles{receive: true, deliver: true}, testLog(t))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("error is %v\nwant one with %q", err, test.want)
			}
		})
	}
}

// The demo ends with 0 when it reconciles, and says so.
func TestDemo(t *testing.T) {
	t.Parallel()
	file := embeddedConfig(t, freePorts(t), t.TempDir())
	status, printed := connector(t, "demo", "--exit", "--count", "500", "--config", file)
	if status != 0 || !strings.Contains(printed, "Reconciled: every signed webhook is stored once") {
		t.Errorf("exit status %d; it printed:\n%s", status, printed)
	}
}

// A demo whose numbers differ ends with an error: here somebody deletes rows.
func TestDemoNoticesLoss(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	s := startService(t, embeddedConfig(t, p, t.TempDir()))
	g := history(11, 300)
	if _, err := simulate.Send(t.Context(), senderTo(p), g.Next, nil); err != nil {
		t.Fatal(err)
	}
	address := s.engine.get().Addr()
	reconciled(t, address, g)
	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = []string{address}
	conn, err := clickhouse.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), "DELETE FROM loyalty.fact_points WHERE event_id = (SELECT event_id FROM loyalty.fact_points LIMIT 1)"); err != nil {
		t.Fatal(err)
	}
	r := &reconciliation{conn: conn, database: cfg.Database, generator: g, shops: g.Shops()}
	checks, err := r.run(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var wrong []string
	for _, c := range checks {
		if !c.ok() {
			wrong = append(wrong, c.what)
		}
	}
	if len(wrong) < 3 {
		t.Errorf("one deleted event is noticed only by %q", wrong)
	}
}
