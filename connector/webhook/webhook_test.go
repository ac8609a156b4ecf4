package webhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/webhook"
	"loyaltyhouse/schema"
)

func TestMain(m *testing.M) {
	gin.SetMode(gin.ReleaseMode)
	goleak.VerifyTestMain(m)
}

const (
	newSecret = "hush-new-5e3c1f" // Signs every test's body unless it says otherwise.
	oldSecret = "hush-old-77ab02"
	// personal stands for a customer's data in bodies. Like the secrets it must
	// show in no answer and no log line.
	personal = "Zaphod"
)

const (
	pointsWebhook   = "app_memberSystem_points/challenged"
	creditsWebhook  = "app_memberSystem_shoppingCredit/challenged"
	cardsWebhook    = "app_memberSystem_giftCard/challenged"
	customerWebhook = "customers/update"
)

const (
	pointsBody   = `{"buyer_id":"Zaphod-1","store_id":"1718263946864","update_type":"INCREASE","updated_scene":"LOGIN_SUCCESS","updated_value":20,"points_balance":40,"updated_at":1721829526566}`
	creditsBody  = `{"buyer_id":"Zaphod-1","store_id":"1718263946864","store_credits_code":"c1","update_type":"INCREASE","update_value":1000,"updated_at":1721829526566}`
	cardsBody    = `{"buyer_id":"Zaphod-1","store_id":"1718263946864","gift_card_code":"g1","update_type":"DECREASE","update_value":1000,"updated_at":1721829526566}`
	customerBody = `{"id":"Zaphod-1","first_name":"Zaphod","updated_at":"2022-12-16T11:06:11+08:00"}`
)

// A clock stands still until it is moved.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) move(by time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(by)
}

// A recorder is a publisher that keeps what it is given, or does what a test
// wants instead.
type recorder struct {
	mu      sync.Mutex
	batches [][]webhook.Record
	instead func(ctx context.Context, records []webhook.Record) error
}

func (p *recorder) Publish(ctx context.Context, records ...webhook.Record) error {
	if p.instead != nil {
		if err := p.instead(ctx, records); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.batches = append(p.batches, records)
	return nil
}

func (p *recorder) published() [][]webhook.Record {
	p.mu.Lock()
	defer p.mu.Unlock()
	return append([][]webhook.Record(nil), p.batches...)
}

// A logbook collects log lines of every level.
type logbook struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logbook) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logbook) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// A fixture is a receiver with everything around it. When a test ends the log
// is searched for what must not be there.
type fixture struct {
	cfg       webhook.Config
	receiver  *webhook.Receiver
	publisher *recorder
	metrics   *prometheus.Registry
	logs      *logbook
	clock     *clock
	url       string
	client    *http.Client
}

func newFixture(t *testing.T, set func(*webhook.Config)) *fixture {
	t.Helper()
	f := &fixture{
		cfg: webhook.DefaultConfig(), publisher: &recorder{}, metrics: prometheus.NewRegistry(), logs: &logbook{},
		clock: &clock{at: time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)},
	}
	f.cfg.Address, f.cfg.Secrets = "127.0.0.1:0", []string{newSecret, oldSecret}
	if set != nil {
		set(&f.cfg)
	}
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	normalizer, err := normalize.New(contracts, f.cfg.OnStoreMismatch == "dead_letter")
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.NewJSONHandler(f.logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	f.receiver, err = webhook.New(f.cfg, f.cfg.Secrets, normalizer, f.publisher, f.metrics, log, f.clock.now)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { holdsNothingSecret(t, "the log", f.logs.String()) })
	return f
}

// start answers requests with net/http's server over the handler alone.
func start(t *testing.T, set func(*webhook.Config)) *fixture {
	t.Helper()
	f := newFixture(t, set)
	server := httptest.NewServer(f.receiver.Handler())
	t.Cleanup(server.Close)
	f.url, f.client = server.URL, server.Client()
	return f
}

// listen answers requests as the service does, until the test ends.
func listen(t *testing.T, set func(*webhook.Config)) (*fixture, *webhook.Server) {
	t.Helper()
	f := newFixture(t, set)
	server, err := webhook.Listen(t.Context(), f.receiver)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve() }()
	f.url, f.client = "http://"+server.Addr(), &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		f.client.CloseIdleConnections()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return f, server
}

func holdsNothingSecret(t *testing.T, what, text string) {
	t.Helper()
	for _, secret := range []string{newSecret, oldSecret, personal, "WmFwaG9k"} {
		if strings.Contains(text, secret) {
			t.Errorf("%s repeats %q: %s", what, secret, text)
		}
	}
}

// An answer is a response that has been read.
type answer struct {
	status int
	header http.Header
	body   string
}

// reason returns the member "error" of an answer that is not 200, which must
// have the form that senders are promised.
func (a answer) reason(t *testing.T) string {
	t.Helper()
	var body map[string]string
	if err := json.Unmarshal([]byte(a.body), &body); err != nil || len(body) != 2 || body["error"] == "" || body["message"] == "" {
		t.Errorf(`%d has the body %q, want {"error","message"}`, a.status, a.body)
	}
	if got := a.header.Get("Content-Type"); got != "application/json; charset=utf-8" {
		t.Errorf("%d has the content type %q", a.status, got)
	}
	if retry := a.header.Get("Retry-After"); (retry != "") != (a.status == http.StatusServiceUnavailable) {
		t.Errorf("%d has Retry-After %q; a 503 has it and no other", a.status, retry)
	}
	return body["error"]
}

func (f *fixture) do(t *testing.T, req *http.Request) answer {
	t.Helper()
	response, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	holdsNothingSecret(t, "the answer", string(body))
	return answer{response.StatusCode, response.Header, string(body)}
}

// request is a webhook as SHOPLINE sends it.
func (f *fixture) request(t *testing.T, topic, body string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, f.url+webhook.Path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	for name, value := range map[string]string{
		"X-Shopline-Topic":       topic,
		"X-Shopline-Hmac-Sha256": signHex(newSecret, []byte(body)),
		"X-Shopline-Shop-Domain": "example.myshopline.com",
		"X-Shopline-Shop-Id":     "1718263946864",
		"X-Shopline-Merchant-Id": "2000001234",
		"X-Shopline-API-Version": "v20250601",
		"X-Shopline-Webhook-Id":  "b54557e48a5fbf7d70bcd043",
	} {
		req.Header.Set(name, value)
	}
	return req
}

// kept asserts that the request is answered exactly 200 with nothing in it.
func (f *fixture) kept(t *testing.T, req *http.Request) {
	t.Helper()
	if a := f.do(t, req); a.status != http.StatusOK || a.body != "" || a.header.Get("Content-Length") != "0" {
		t.Errorf("answered %d with %q and Content-Length %q, want 200 with nothing", a.status, a.body, a.header.Get("Content-Length"))
	}
}

// refused asserts the answer to a request which is not kept.
func (f *fixture) refused(t *testing.T, req *http.Request, status int, reason string) {
	t.Helper()
	before := len(f.publisher.published())
	a := f.do(t, req)
	if got := a.reason(t); a.status != status || got != reason {
		t.Errorf("answered %d %s, want %d %s", a.status, got, status, reason)
	}
	if after := len(f.publisher.published()); after != before {
		t.Errorf("a refused request was published")
	}
}

// metric returns the value of a counter or gauge, or a histogram's count, with
// exactly these labels; 0 where there is none.
func (f *fixture) metric(t *testing.T, name string, labels ...string) float64 {
	t.Helper()
	families, err := f.metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			var got []string
			for _, label := range m.GetLabel() {
				got = append(got, label.GetName()+"="+label.GetValue())
			}
			if strings.Join(got, ",") == strings.Join(labels, ",") {
				return m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return 0
}

// until waits for a condition that another goroutine brings about.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for !holds() {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain until %s", what)
		}
		time.Sleep(time.Millisecond)
	}
}
