package webhook_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/prometheus/client_golang/prometheus"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/webhook"
	"loyaltyhouse/schema"
)

// nowhere acknowledges at once.
type nowhere struct{}

func (nowhere) Publish(context.Context, ...webhook.Record) error { return nil }

// A response takes an answer without net/http's work.
type response struct {
	header http.Header
	status int
}

func (r *response) Header() http.Header         { return r.header }
func (r *response) Write(p []byte) (int, error) { return len(p), nil }
func (r *response) WriteHeader(status int)      { r.status = status }

// post hands one points webhook after another to a handler.
func post(b *testing.B, handler http.Handler) {
	b.Helper()
	body := []byte(pointsBody)
	req := (&fixture{url: "http://127.0.0.1"}).benchmarkRequest(b, body)
	reader := bytes.NewReader(body)
	req.Body = io.NopCloser(reader)
	answer := &response{header: http.Header{}}
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		reader.Reset(body)
		handler.ServeHTTP(answer, req)
		if answer.status != http.StatusOK {
			b.Fatalf("answered %d", answer.status)
		}
	}
}

func (f *fixture) benchmarkRequest(b *testing.B, body []byte) *http.Request {
	b.Helper()
	req, err := http.NewRequestWithContext(b.Context(), http.MethodPost, f.url+webhook.Path, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	for name, value := range map[string]string{
		"X-Shopline-Topic":       pointsWebhook,
		"X-Shopline-Hmac-Sha256": signHex(newSecret, body),
		"X-Shopline-Shop-Domain": "example.myshopline.com",
		"X-Shopline-Shop-Id":     "1718263946864",
		"X-Shopline-Merchant-Id": "2000001234",
		"X-Shopline-Api-Version": "v20250601",
		"X-Shopline-Webhook-Id":  "b54557e48a5fbf7d70bcd043",
	} {
		req.Header.Set(name, value)
	}
	return req
}

// BenchmarkReceive is the whole way of a webhook but for the buffer and the
// network. BenchmarkBareGin is the least that could be answered 200; what lies
// between the two is the price of normalizing, encoding and counting.
func BenchmarkReceive(b *testing.B) {
	contracts, err := schema.Builtin()
	if err != nil {
		b.Fatal(err)
	}
	normalizer, err := normalize.New(contracts, false)
	if err != nil {
		b.Fatal(err)
	}
	r, err := webhook.New(webhook.DefaultConfig(), []string{newSecret}, normalizer, nowhere{}, prometheus.NewRegistry(), slog.New(slog.DiscardHandler), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	post(b, r.Handler())
}

func BenchmarkBareGin(b *testing.B) {
	engine := gin.New()
	engine.POST(webhook.Path, func(c *gin.Context) {
		body, err := io.ReadAll(c.Request.Body)
		if err != nil {
			c.Status(http.StatusBadRequest)
			return
		}
		mac := hmac.New(sha256.New, []byte(newSecret))
		mac.Write(body)
		given, err := hex.DecodeString(c.GetHeader("X-Shopline-Hmac-Sha256"))
		if err != nil || !hmac.Equal(mac.Sum(nil), given) {
			c.Status(http.StatusUnauthorized)
			return
		}
		c.Status(http.StatusOK)
	})
	post(b, engine)
}
