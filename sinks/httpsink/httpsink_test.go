package httpsink_test

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/httpsink"
	"loyaltyhouse/sinks/sinktest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSuite(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Destination { return newService(t) }})
}

// The same holds for lines of rows that go through a filter, under other names.
func TestSuiteOfASelection(t *testing.T) {
	cfg := sinks.SelectConfig{
		Filter:  `event_id != "" && api_version != "none"`,
		Columns: sinks.ColumnsConfig{Rename: map[string]string{"api_version": "version", "shop_id": "storeID", "body": "payload", "received_at": "at"}},
	}
	sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Destination {
		s := newService(t)
		s.table = func(table *schema.Table) *schema.Table {
			renamed := *table
			renamed.Columns = slices.Clone(table.Columns)
			for i := range renamed.Columns {
				renamed.Columns[i].Name = cmp.Or(cfg.Columns.Rename[renamed.Columns[i].Name], renamed.Columns[i].Name)
			}
			return &renamed
		}
		s.open = func(t *testing.T, url string) sinks.Sink {
			sink := openSink(t, url, func(c *httpsink.Config) { c.Format = httpsink.FormatNDJSON })
			selecting, err := sinks.Select(sink, cfg, sinktest.Tables(t))
			if err != nil {
				t.Fatal(err)
			}
			return selecting
		}
		return s
	}})
}

func batchOf(n int) *sinks.Batch {
	table := schema.RawWebhooks()
	rows := make([]schema.Row, n)
	for i := range rows {
		rows[i] = sinktest.Row(table, i)
	}
	b := sinktest.NewBatch(table, 40, rows...)
	b.Records[0].Timestamp = 1_800_000_000_123
	return b
}

func shut(t *testing.T, s sinks.Sink) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestRequest(t *testing.T) {
	service := newService(t)
	for _, format := range []string{httpsink.FormatJSON, httpsink.FormatNDJSON} {
		t.Run(format, func(t *testing.T) {
			sink := openSink(t, service.url(), func(c *httpsink.Config) {
				c.Format = format
				c.Headers = map[string]string{"Authorization": "Bearer x", "User-Agent": "us"}
			})
			defer shut(t, sink)
			at := time.Now()
			sink.SetClock(func() time.Time { return at })
			batch := batchOf(2)
			if err := sink.Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			first, body := service.last()
			for name, want := range map[string]string{
				"Authorization": "Bearer x", "User-Agent": "us", "Loyaltyhouse-Table": "raw_webhooks",
				"Content-Type":      map[string]string{httpsink.FormatJSON: "application/json", httpsink.FormatNDJSON: "application/x-ndjson"}[format],
				"Webhook-Timestamp": fmt.Sprint(at.Unix()),
			} {
				if got := first.Header.Get(name); got != want {
					t.Errorf("%s is %q, want %q", name, got, want)
				}
			}
			if first.Method != http.MethodPost || first.RequestURI != "/loyalty?token=secret-token" || first.ContentLength != int64(len(body)) {
				t.Errorf("the request is %s %s with %d of %d bytes", first.Method, first.RequestURI, first.ContentLength, len(body))
			}
			want := string(batch.Records[0].Value) + "\n" + string(batch.Records[1].Value) + "\n"
			if format == httpsink.FormatJSON {
				want = `{"type":"raw_webhooks","timestamp":"2027-01-15T08:00:00.123Z","table":"raw_webhooks",` +
					`"source":{"topic":"loyalty.raw_webhooks","partition":0,"first_offset":40,"last_offset":41},"data":[` +
					string(batch.Records[0].Value) + "," + string(batch.Records[1].Value) + "]}"
			}
			if string(body) != want {
				t.Errorf("the body is\n%s\nwant\n%s", body, want)
			}

			// The next try has the same id and body, and is signed anew.
			at = at.Add(time.Minute)
			if err := sink.Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			again, same := service.last()
			if again.Header.Get("Webhook-Id") != first.Header.Get("Webhook-Id") || string(same) != string(body) {
				t.Error("the same batch has another id or body")
			}
			if again.Header.Get("Webhook-Signature") == first.Header.Get("Webhook-Signature") {
				t.Error("another time has the same signature")
			}
			if err := sink.Write(t.Context(), batch.Slice(0, 1)); err != nil {
				t.Fatal(err)
			}
			if other, _ := service.last(); other.Header.Get("Webhook-Id") == first.Header.Get("Webhook-Id") {
				t.Error("another batch has the same id")
			}
		})
	}
}

// During a rotation a receiver with either secret takes the request.
func TestRotation(t *testing.T) {
	service := newService(t)
	file := filepath.Join(t.TempDir(), "secrets")
	raw := "an older secret that is just a text"
	if err := os.WriteFile(file, []byte("\n"+oldSecret+"\r\n"+raw+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	sink := openSink(t, service.url(), func(c *httpsink.Config) { c.SecretsFile = file })
	defer shut(t, sink)
	if err := sink.Write(t.Context(), batchOf(3)); err != nil {
		t.Fatal(err)
	}
	request, body := service.last()
	for _, secret := range []string{newSecret, oldSecret} {
		webhook, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := webhook.Verify(body, request.Header); err != nil {
			t.Errorf("with one of the secrets: %v", err)
		}
	}
	webhook, err := standardwebhooks.NewWebhookRaw([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	if err := webhook.Verify(body, request.Header); err != nil {
		t.Errorf("with a secret that is a text: %v", err)
	}
	if n := len(strings.Fields(request.Header.Get("Webhook-Signature"))); n != 3 {
		t.Errorf("there are %d signatures, want 3", n)
	}

	service.knows("whsec_" + strings.Repeat("A", 32))
	err = sink.Write(t.Context(), batchOf(4))
	if _, permanent := sinks.IsPermanent(err); err == nil || permanent || !strings.Contains(err.Error(), "401 Unauthorized; compare the secrets") {
		t.Errorf("with another secret Write returns %v", err)
	}
}

func TestAnswers(t *testing.T) {
	service := newService(t)
	for _, test := range []struct {
		status, rows int
		refused      string
		want         string // stored, transient or permanent
	}{
		{200, 2, httpsink.RefusedRetry, "stored"},
		{202, 2, httpsink.RefusedRetry, "stored"},
		{204, 2, httpsink.RefusedRetry, "stored"},
		{301, 2, httpsink.RefusedDeadLetter, "transient"},
		{304, 2, httpsink.RefusedDeadLetter, "transient"},
		{307, 2, httpsink.RefusedDeadLetter, "transient"},
		{400, 2, httpsink.RefusedRetry, "transient"},
		{400, 2, httpsink.RefusedDeadLetter, "permanent"},
		{400, 1, httpsink.RefusedDeadLetter, "permanent"},
		{401, 1, httpsink.RefusedDeadLetter, "transient"},
		{403, 1, httpsink.RefusedDeadLetter, "transient"},
		{404, 1, httpsink.RefusedDeadLetter, "transient"},
		{405, 1, httpsink.RefusedDeadLetter, "transient"},
		{408, 1, httpsink.RefusedDeadLetter, "transient"},
		{409, 1, httpsink.RefusedDeadLetter, "transient"},
		{410, 1, httpsink.RefusedDeadLetter, "transient"},
		{413, 2, httpsink.RefusedRetry, "permanent"},
		{413, 1, httpsink.RefusedRetry, "transient"},
		{413, 1, httpsink.RefusedDeadLetter, "permanent"},
		{422, 1, httpsink.RefusedRetry, "transient"},
		{422, 1, httpsink.RefusedDeadLetter, "permanent"},
		{425, 1, httpsink.RefusedDeadLetter, "transient"},
		{429, 1, httpsink.RefusedDeadLetter, "transient"},
		{500, 1, httpsink.RefusedDeadLetter, "transient"},
		{503, 1, httpsink.RefusedDeadLetter, "transient"},
		{599, 1, httpsink.RefusedDeadLetter, "transient"},
	} {
		t.Run(fmt.Sprintf("%d to %d rows, refused %s", test.status, test.rows, test.refused), func(t *testing.T) {
			service.answering(func(w http.ResponseWriter, _ int) bool {
				w.Header().Set("Location", service.url()+"&elsewhere")
				w.WriteHeader(test.status)
				if test.status != 204 && test.status != 304 {
					_, _ = w.Write([]byte("secret-value of a row"))
				}
				return true
			})
			sink := openSink(t, service.url(), func(c *httpsink.Config) { c.Refused = test.refused })
			defer shut(t, sink)
			before := service.asked()
			err := sink.Write(t.Context(), batchOf(test.rows))
			permanent, ok := sinks.IsPermanent(err)
			got := "transient"
			switch {
			case err == nil:
				got = "stored"
			case ok && permanent.Reason == sinks.RowRefused && permanent.Index == -1:
				got = "permanent"
			}
			if got != test.want {
				t.Errorf("Write returns %v, which is %s, want %s", err, got, test.want)
			}
			if n := service.asked() - before; n != 1 {
				t.Errorf("%d requests were made", n)
			}
			if text := fmt.Sprint(err); strings.Contains(text, "secret-") || strings.Contains(text, newSecret) || err != nil && !strings.Contains(text, fmt.Sprint(test.status)) {
				t.Errorf("the error reads %s", text)
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	service := newService(t)
	now := time.Now().Truncate(time.Second)
	for header, want := range map[string]time.Duration{
		"":    0,
		"0":   0,
		"17":  17 * time.Second,
		"-3":  0,
		"1.5": 0,
		now.Add(time.Hour).UTC().Format(http.TimeFormat):  time.Hour,
		now.Add(-time.Hour).UTC().Format(http.TimeFormat): 0,
		"soon": 0,
	} {
		service.answering(func(w http.ResponseWriter, _ int) bool {
			w.Header().Set("Retry-After", header)
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		})
		sink := openSink(t, service.url(), nil)
		sink.SetClock(func() time.Time { return now })
		err := sink.Write(t.Context(), batchOf(1))
		delayed, ok := errors.AsType[sinks.Delayed](err)
		if !ok || delayed.RetryAfter() != want {
			t.Errorf("of Retry-After %q Write returns %v, want a delay of %s", header, err, want)
		}
		shut(t, sink)
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, header := range []string{"", "0", "17", "-3", "99999999999999999999", "Wed, 21 Oct 2015 07:28:00 GMT", "Fri, 31 Dec 9999 23:59:59 GMT"} {
		f.Add(header)
	}
	f.Fuzz(func(t *testing.T, header string) {
		if d := httpsink.RetryAfter(header, time.Now()); d < 0 {
			t.Errorf("of %q the delay is %s", header, d)
		}
	})
}

// A service with a limit gets what fits: 413 is an error by which the delivery
// tries fewer rows, and what is stored then is stored once.
func TestBatchThatIsTooLargeIsSplit(t *testing.T) {
	service := newService(t)
	service.answering(func(w http.ResponseWriter, rows int) bool {
		if rows > 3 {
			w.WriteHeader(http.StatusRequestEntityTooLarge)
		}
		return rows > 3
	})
	sink := openSink(t, service.url(), nil)
	defer shut(t, sink)
	batch := batchOf(20)
	for range 2 { // The second time nothing is stored again.
		for from, size := 0, 20; from < 20; {
			err := sink.Write(t.Context(), batch.Slice(from, min(from+size, 20)))
			if _, permanent := sinks.IsPermanent(err); permanent && size > 1 {
				size /= 2
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			from += size
		}
	}
	if n := service.Count(t, batch.Table); n != 20 {
		t.Errorf("%d rows are stored, want 20", n)
	}
}

// A receiver that stops in the middle must not hold the sink longer than its
// timeout, and what follows the status must not matter.
func TestSlowAnswers(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	release := make(chan struct{})
	served := make(chan struct{})
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { //nolint:gosec // The test is its only client.
		if r.URL.Path == "/hangs" {
			<-release
			return
		}
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		<-release
	})}
	go func() {
		_ = server.Serve(listener)
		served <- struct{}{}
	}()
	defer func() {
		_ = server.Close()
		<-served
	}()
	defer close(release)
	for path, stored := range map[string]bool{"/hangs": false, "/slow": true} {
		sink := openSink(t, "http://"+listener.Addr().String()+path, func(c *httpsink.Config) { c.Timeout = 5 * time.Second })
		if !stored {
			sink = openSink(t, "http://"+listener.Addr().String()+path, func(c *httpsink.Config) { c.Timeout = 100 * time.Millisecond })
		}
		began := time.Now()
		err := sink.Write(t.Context(), batchOf(1))
		if (err == nil) != stored {
			t.Errorf("%s: Write returns %v", path, err)
		}
		if _, permanent := sinks.IsPermanent(err); permanent || err != nil && !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s: Write returns %v", path, err)
		}
		if took := time.Since(began); took > 4*time.Second {
			t.Errorf("%s: Write takes %s", path, took)
		}
		shut(t, sink)
	}
}

// What waits for another request ends with its context.
func TestRequestsAtOnceAreBounded(t *testing.T) {
	service := newService(t)
	service.Stall(t)
	sink := openSink(t, service.url(), func(c *httpsink.Config) { c.MaxRequests = 1 })
	defer shut(t, sink)
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	errs := make(chan error, 2)
	for range 2 {
		go func() { errs <- sink.Write(ctx, batchOf(1)) }()
	}
	waited := 0
	for range 2 {
		err := <-errs
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Write returns %v", err)
		}
		if strings.Contains(err.Error(), "waiting for other requests") {
			waited++
		}
	}
	if waited != 1 {
		t.Errorf("%d of 2 requests waited for the other", waited)
	}
	service.Restore(t)
}

func TestTLS(t *testing.T) {
	var requests atomic.Int32
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { requests.Add(1) }))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) // Of clients that do not trust it.
	server.StartTLS()
	defer server.Close()
	authority := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(authority, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name string
		tls  clienttls.Config
		ok   bool
	}{
		{"its authority", clienttls.Config{Enabled: true, CAFile: authority}, true},
		{"the name in the certificate", clienttls.Config{Enabled: true, CAFile: authority, ServerName: "example.com"}, true},
		{"another name", clienttls.Config{Enabled: true, CAFile: authority, ServerName: "else.example"}, false},
		{"the system's authorities", clienttls.Config{}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			sink := openSink(t, server.URL, func(c *httpsink.Config) { c.TLS = test.tls })
			defer shut(t, sink)
			for what, err := range map[string]error{"Ping": sink.Ping(t.Context()), "Check": sink.Check(t.Context(), nil, false), "Write": sink.Write(t.Context(), batchOf(1))} {
				if _, permanent := sinks.IsPermanent(err); (err == nil) != test.ok || permanent {
					t.Errorf("%s returns %v", what, err)
				}
			}
		})
	}
	if n := requests.Load(); n != 2 {
		t.Errorf("%d requests came, want one for each Write that is trusted and none for Ping and Check", n)
	}
}

// A proxy of the environment is not used: the rows go where the file says.
func TestNoProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("NO_PROXY", "")
	service := newService(t)
	sink := openSink(t, service.url(), nil)
	defer shut(t, sink)
	if err := sink.Write(t.Context(), batchOf(1)); err != nil {
		t.Error(err)
	}
}

func TestErrorsHoldNoSecret(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = listener.Close()
	for _, url := range []string{"http://" + listener.Addr().String() + "/secret-path?secret-query", "http://no-such-host.invalid/secret-path"} {
		sink := openSink(t, url, func(c *httpsink.Config) { c.Headers = map[string]string{"Authorization": "secret-header"} })
		for what, err := range map[string]error{"Write": sink.Write(t.Context(), batchOf(1)), "Ping": sink.Ping(t.Context())} {
			if err == nil || strings.Contains(err.Error(), "secret-") || strings.Contains(err.Error(), "whsec_") {
				t.Errorf("%s returns %v", what, err)
			}
		}
		shut(t, sink)
	}
}

func BenchmarkWrite(b *testing.B) {
	var table *schema.Table
	for _, known := range sinktest.Tables(b) {
		if known.Name == "fact_points" {
			table = known
		}
	}
	rows := make([]schema.Row, 10_000)
	for i := range rows {
		rows[i] = sinktest.Row(table, i)
	}
	batch := sinktest.NewBatch(table, 0, rows...)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var payload map[string]json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&payload); err != nil {
			b.Error(err)
		}
	}))
	defer server.Close()
	sink := openSink(b, server.URL, nil)
	for b.Loop() {
		if err := sink.Write(b.Context(), batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(rows))/b.Elapsed().Seconds(), "rows/s")
	if err := sink.Close(); err != nil {
		b.Error(err)
	}
}
