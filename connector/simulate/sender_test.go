package simulate

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestSign holds to the vector of SHOPLINE's own SDK.
func TestSign(t *testing.T) {
	secret, body := []byte("LDLLJJLflja2039203flaflaLLFLE"), []byte(`{"body_html":"BodyHtml","id":"32398389389389"}`)
	const digest = "edf64f4c46a9cb2c8aaa6c7034b77899aca1b63ad0c461901417a42b1cf139b0"
	if got := SignHex(secret, body); got != digest {
		t.Errorf("hex is %s, want %s", got, digest)
	}
	raw, err := base64.StdEncoding.DecodeString(SignBase64(secret, body))
	if err != nil || hex.EncodeToString(raw) != digest {
		t.Errorf("base64 is %x (%v), want %s", raw, err, digest)
	}
	if Sign(secret, body, EncodingHex) != SignHex(secret, body) || Sign(secret, body, EncodingBase64) != SignBase64(secret, body) {
		t.Error("Sign does not follow the encoding")
	}
}

// receiver answers as the contract says and remembers what it was sent.
type receiver struct {
	secret []byte
	// before, unless nil, may answer first and return true.
	before func(http.ResponseWriter, *http.Request) bool

	mu        sync.Mutex
	signed    int
	refused   int
	encodings map[Encoding]int
	order     map[string][]string // shop and buyer to bodies
}

func newReceiver() *receiver {
	return &receiver{secret: []byte("dev-secret"), encodings: make(map[Encoding]int), order: make(map[string][]string)}
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	if r.before != nil && r.before(w, request) {
		return
	}
	body, err := io.ReadAll(request.Body)
	if err != nil {
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	want := sum(r.secret, body)
	signature := request.Header.Get("X-Shopline-Hmac-Sha256")
	encoding := EncodingHex
	got, err := hex.DecodeString(signature)
	if err != nil {
		encoding = EncodingBase64
		got, err = base64.StdEncoding.DecodeString(signature)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil || !hmac.Equal(got, want) {
		r.refused++
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	r.signed++
	r.encodings[encoding]++
	key := request.Header.Get("X-Shopline-Shop-Id") + buyerIn(body)
	r.order[key] = append(r.order[key], string(body))
}

func buyerIn(body []byte) string {
	_, rest, _ := strings.Cut(string(body), `"buyer_id":"`)
	buyer, _, _ := strings.Cut(rest, `"`)
	return buyer
}

func small() Config {
	cfg := DefaultConfig()
	cfg.Count, cfg.Customers = 500, 40
	cfg.ResendRatio, cfg.OutOfOrderRatio, cfg.BadRatio = 0.2, 0.2, 0.2
	return cfg
}

func senderTo(server *httptest.Server, secret []byte) SenderConfig {
	cfg := DefaultSenderConfig()
	cfg.URL, cfg.Secret = server.URL, secret
	cfg.Connections = 4
	cfg.Retry = Retry{First: time.Millisecond, Longest: 5 * time.Millisecond}
	return cfg
}

// TestSendDeliversAllInOrder is the whole way: what is generated arrives, signed
// both ways, each customer's deliveries in the order of the generator.
func TestSendDeliversAllInOrder(t *testing.T) {
	r := newReceiver()
	server := httptest.NewTLSServer(r)
	defer server.Close()

	sent := make(map[string][]string)
	g := New(small())
	next := func() (Delivery, bool) {
		d, ok := g.Next()
		if ok && d.Kind != KindBadSignature {
			key := d.ShopID + buyerIn(d.Body)
			sent[key] = append(sent[key], string(d.Body))
		}
		return d, ok
	}
	cfg := senderTo(server, r.secret)
	cfg.RootCAs = x509.NewCertPool()
	cfg.RootCAs.AddCert(server.Certificate())
	observed := 0
	summary, err := Send(t.Context(), cfg, next, func(Outcome) { observed++ })
	if err != nil {
		t.Fatal(err)
	}
	e := g.Expected()
	if int64(r.signed) != e.Signed || int64(r.refused) != e.Unsigned || e.Unsigned == 0 {
		t.Errorf("%d signed and %d refused, want %d and %d", r.signed, r.refused, e.Signed, e.Unsigned)
	}
	if summary.Accepted != e.Signed || summary.Refused != e.Unsigned || summary.Sent != e.Deliveries ||
		summary.ByStatus[200] != e.Signed || summary.ByStatus[401] != e.Unsigned || int64(observed) != e.Deliveries {
		t.Errorf("the summary %+v of %d observations does not match %+v", summary, observed, e)
	}
	if summary.Violations != 0 || summary.Retries != 0 || summary.Unsettled != 0 {
		t.Errorf("violations, retries or unsettled deliveries: %+v", summary)
	}
	if summary.P50 <= 0 || summary.P99 < summary.P50 || summary.Max < summary.P99 {
		t.Errorf("latencies are p50 %s, p99 %s, max %s", summary.P50, summary.P99, summary.Max)
	}
	if r.encodings[EncodingHex] == 0 || r.encodings[EncodingBase64] == 0 {
		t.Errorf("encodings are %v, want both", r.encodings)
	}
	for buyer, bodies := range sent {
		if buyerIn([]byte(bodies[0])) == "" {
			continue // of several customers, so without an order
		}
		if !slices.Equal(bodies, r.order[buyer]) {
			t.Errorf("the deliveries of %s arrived in another order", buyer)
		}
	}
}

// TestSendRepeatsWhatIsNotAccepted is SHOPLINE's part of "signed means kept".
func TestSendRepeatsWhatIsNotAccepted(t *testing.T) {
	r := newReceiver()
	var requests, refusals atomic.Int64
	r.before = func(w http.ResponseWriter, _ *http.Request) bool {
		switch requests.Add(1) % 4 {
		case 1:
			w.Header().Set("Retry-After", "0")
			w.WriteHeader(http.StatusServiceUnavailable)
		case 2:
			w.WriteHeader(http.StatusInternalServerError)
		case 3:
			panic(http.ErrAbortHandler) // no answer
		default:
			return false
		}
		refusals.Add(1)
		return true
	}
	server := httptest.NewServer(r)
	defer server.Close()
	cfg := small()
	cfg.Count = 50
	g := New(cfg)
	summary, err := Send(t.Context(), senderTo(server, r.secret), g.Next, nil)
	if err != nil {
		t.Fatal(err)
	}
	e := g.Expected()
	if int64(r.signed) != e.Signed || summary.Accepted != e.Signed || summary.Violations != 0 {
		t.Errorf("%d signed of %d, %+v", r.signed, e.Signed, summary)
	}
	if summary.Retries < refusals.Load() || summary.ByStatus[503] == 0 || summary.ByStatus[500] == 0 || summary.Unanswered == 0 || summary.LastFailure == nil {
		t.Errorf("retries are not told: %+v", summary)
	}
}

func TestSendGivesUpAfterTheConfiguredAttempts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }))
	defer server.Close()
	gen := small()
	gen.Count = 20
	g := New(gen)
	cfg := senderTo(server, []byte("dev-secret"))
	cfg.Retry.Attempts = 3
	summary, err := Send(t.Context(), cfg, g.Next, func(o Outcome) {
		if o.Attempts != 3 || o.Status != http.StatusServiceUnavailable {
			t.Errorf("given up after %d attempts, status %d", o.Attempts, o.Status)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	n := g.Expected().Deliveries
	if summary.Violations != n || summary.Retries != 2*n || summary.ByStatus[503] != 3*n {
		t.Errorf("%d deliveries: %+v", n, summary)
	}
}

// TestSendTellsViolations has receivers that break the contract.
func TestSendTellsViolations(t *testing.T) {
	for _, test := range []struct {
		name   string
		status int
		count  func(Expected) int64
	}{
		{"accepts a bad signature", http.StatusOK, func(e Expected) int64 { return e.Unsigned }},
		{"refuses signed bodies", http.StatusUnauthorized, func(e Expected) int64 { return e.Signed }},
		{"answers 4xx", http.StatusBadRequest, func(e Expected) int64 { return e.Deliveries }},
		{"answers 204", http.StatusNoContent, func(e Expected) int64 { return e.Deliveries }},
		{"redirects", http.StatusTemporaryRedirect, func(e Expected) int64 { return e.Deliveries }},
	} {
		t.Run(test.name, func(t *testing.T) {
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", "/elsewhere")
				w.WriteHeader(test.status)
			}))
			defer server.Close()
			g := New(small())
			var body []byte
			summary, err := Send(t.Context(), senderTo(server, []byte("dev-secret")), g.Next, func(o Outcome) { body = o.Delivery.Body })
			if err != nil {
				t.Fatal(err)
			}
			want := test.count(g.Expected())
			if summary.Violations != want || want == 0 || len(summary.FirstViolations) != int(min(want, mostViolations)) {
				t.Errorf("%d violations, %d described, want %d", summary.Violations, len(summary.FirstViolations), want)
			}
			for _, description := range summary.FirstViolations {
				if strings.Contains(description, string(body)) || strings.Contains(description, "dev-secret") {
					t.Errorf("a description has too much in it: %s", description)
				}
			}
		})
	}
}

// TestSendEndsWithItsContext has a receiver that never answers.
func TestSendEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		// The server notices that the client leaves only when the body has been read.
		_, err := io.Copy(io.Discard, request.Body)
		cancel()
		if err == nil {
			<-request.Context().Done()
		}
	}))
	defer server.Close()
	g := New(DefaultConfig())
	summary, err := Send(ctx, senderTo(server, []byte("dev-secret")), g.Next, nil)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("the error is %v", err)
	}
	if summary.Sent != 0 || summary.Unsettled == 0 {
		t.Errorf("the summary is %+v", summary)
	}
}

// TestSendEndsWhileItWaits has waits that outlast any test.
func TestSendEndsWhileItWaits(t *testing.T) {
	for name, change := range map[string]func(*SenderConfig){
		"for a retry":  func(c *SenderConfig) { c.Retry.Longest = time.Hour },
		"for its turn": func(c *SenderConfig) { c.Rate = 1.0 / 3600 },
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Retry-After", "3600")
				w.WriteHeader(http.StatusServiceUnavailable)
				cancel()
			}))
			defer server.Close()
			cfg := senderTo(server, []byte("dev-secret"))
			change(&cfg)
			if _, err := Send(ctx, cfg, New(small()).Next, nil); !errors.Is(err, context.Canceled) {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// TestSendOutlastsASlowServer times one attempt out; the retry is answered.
func TestSendOutlastsASlowServer(t *testing.T) {
	r := newReceiver()
	var first atomic.Bool
	r.before = func(_ http.ResponseWriter, request *http.Request) bool {
		if first.CompareAndSwap(false, true) {
			// The server notices that the client leaves only when the body has been read.
			if _, err := io.Copy(io.Discard, request.Body); err == nil {
				<-request.Context().Done()
			}
			return true
		}
		return false
	}
	server := httptest.NewServer(r)
	defer server.Close()
	gen := small()
	gen.Count = 20
	g := New(gen)
	cfg := senderTo(server, r.secret)
	cfg.Timeout = 200 * time.Millisecond
	summary, err := Send(t.Context(), cfg, g.Next, nil)
	if err != nil {
		t.Fatal(err)
	}
	if summary.Unanswered == 0 || summary.Violations != 0 || int64(r.signed) < g.Expected().Signed {
		t.Errorf("%d signed: %+v", r.signed, summary)
	}
}

func TestSendKeepsToItsConnections(t *testing.T) {
	r := newReceiver()
	server := httptest.NewUnstartedServer(r)
	var connections atomic.Int64
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	if _, err := Send(t.Context(), senderTo(server, r.secret), New(small()).Next, nil); err != nil {
		t.Fatal(err)
	}
	if n := connections.Load(); n > 4 {
		t.Errorf("%d connections were opened, want at most 4", n)
	}
}

func TestSenderConfigNamesTheField(t *testing.T) {
	for field, change := range map[string]func(*SenderConfig){
		"url":            func(c *SenderConfig) { c.URL = "127.0.0.1:8080" },
		"secret":         func(c *SenderConfig) { c.Secret = nil },
		"rate":           func(c *SenderConfig) { c.Rate = math.NaN() },
		"connections":    func(c *SenderConfig) { c.Connections = 0 },
		"timeout":        func(c *SenderConfig) { c.Timeout = 0 },
		"retry.first":    func(c *SenderConfig) { c.Retry.First = 0 },
		"retry.longest":  func(c *SenderConfig) { c.Retry.Longest = 0 },
		"retry.attempts": func(c *SenderConfig) { c.Retry.Attempts = -1 },
	} {
		cfg := DefaultSenderConfig()
		cfg.Secret = []byte("dev-secret")
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		change(&cfg)
		if _, err := Send(t.Context(), cfg, nil, nil); err == nil || !strings.HasPrefix(err.Error(), "simulate: "+field+": ") {
			t.Errorf("%s: the error is %v", field, err)
		}
	}
}

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              -1,
		"0":                             0,
		"120":                           2 * time.Minute,
		"-1":                            -1,
		"soon":                          -1,
		"Thu, 01 Jan 2026 00:00:30 GMT": 30 * time.Second,
		"Wed, 31 Dec 2025 00:00:00 GMT": 0,
	} {
		if got := retryAfter(value, now); got != want {
			t.Errorf("%q is read as %s, want %s", value, got, want)
		}
	}
}

func TestRearrangedIsTheSameJSON(t *testing.T) {
	body := []byte(`{"a":"x,\"{\\","b":[{"c":1},[]],"d":{"e":"}"}}`)
	want := "{\n  \"d\":{\"e\":\"}\"},\n  \"b\":[{\"c\":1},[]],\n  \"a\":\"x,\\\"{\\\\\"\n}"
	if got := rearranged(body); !bytes.Equal(got, []byte(want)) {
		t.Errorf("got %s, want %s", got, want)
	}
}

// BenchmarkSend measures the sender together with the simplest server there is.
func BenchmarkSend(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		_, _ = io.Copy(io.Discard, request.Body)
	}))
	defer server.Close()
	cfg := DefaultSenderConfig()
	cfg.URL, cfg.Secret = server.URL, []byte("dev-secret")
	gen := DefaultConfig()
	gen.Count, gen.BadRatio = 1_000_000, 0
	g := New(gen)
	left := b.N
	next := func() (Delivery, bool) {
		left--
		if left < 0 {
			return Delivery{}, false
		}
		return g.Next()
	}
	b.ReportAllocs()
	b.ResetTimer()
	if _, err := Send(b.Context(), cfg, next, nil); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
