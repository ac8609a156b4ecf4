package webhook_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/webhook"
	"loyaltyhouse/schema"
)

// TestKept goes through the requests that are answered 200, and where they go.
func TestKept(t *testing.T) {
	const padding = `,"note":"`
	limit := int(webhook.DefaultConfig().MaxBodyBytes)
	longest := strings.TrimSuffix(pointsBody, "}") + padding
	longest += strings.Repeat("x", limit-len(longest)-2) + `"}`
	tests := []struct {
		name, topic, body string
		change            func(*http.Request)
		goes              string // the Kafka topic beside raw_webhooks
	}{
		{"points", pointsWebhook, pointsBody, nil, "points"},
		{"store credits", creditsWebhook, creditsBody, nil, "store_credits"},
		{"gift cards", cardsWebhook, cardsBody, nil, "gift_cards"},
		{"customers", customerWebhook, customerBody, nil, "customer_changes"},
		{"hex in upper case", pointsWebhook, pointsBody, func(r *http.Request) {
			r.Header.Set("X-Shopline-Hmac-Sha256", strings.ToUpper(signHex(newSecret, []byte(pointsBody))))
		}, "points"},
		{"base64", pointsWebhook, pointsBody, func(r *http.Request) {
			r.Header.Set("X-Shopline-Hmac-Sha256", signBase64(newSecret, []byte(pointsBody)))
		}, "points"},
		{"the older secret", pointsWebhook, pointsBody, func(r *http.Request) {
			r.Header.Set("X-Shopline-Hmac-Sha256", signHex(oldSecret, []byte(pointsBody)))
		}, "points"},
		{"the older secret in base64", pointsWebhook, pointsBody, func(r *http.Request) {
			r.Header.Set("X-Shopline-Hmac-Sha256", signBase64(oldSecret, []byte(pointsBody)))
		}, "points"},
		{"header names in lower case", pointsWebhook, pointsBody, func(r *http.Request) { rename(r.Header, strings.ToLower) }, "points"},
		{"header names in upper case", pointsWebhook, pointsBody, func(r *http.Request) { rename(r.Header, strings.ToUpper) }, "points"},
		{"a topic in another case", strings.ToUpper(pointsWebhook), pointsBody, nil, "points"},
		{"no content type", pointsWebhook, pointsBody, func(r *http.Request) { r.Header.Del("Content-Type") }, "points"},
		{"another content type", pointsWebhook, pointsBody, func(r *http.Request) { r.Header.Set("Content-Type", "text/plain") }, "points"},
		{"chunks", pointsWebhook, pointsBody, func(r *http.Request) { r.ContentLength = -1 }, "points"},
		{"a query", pointsWebhook, pointsBody, func(r *http.Request) { r.URL.RawQuery = "a=b" }, "points"},
		{"no header but the signature and the topic", pointsWebhook, pointsBody, func(r *http.Request) {
			for _, name := range []string{"Shop-Domain", "Shop-Id", "Merchant-Id", "Api-Version", "Webhook-Id"} {
				r.Header.Del("X-Shopline-" + name)
			}
		}, "points"},
		{"the longest body", pointsWebhook, longest, nil, "points"},
		{"the longest body in chunks", pointsWebhook, longest, func(r *http.Request) { r.ContentLength = -1 }, "points"},
		{"an unknown topic", "orders/edited", pointsBody, nil, "dead_letters"},
		{"no topic", "", pointsBody, nil, "dead_letters"},
		{"no JSON", pointsWebhook, "Zaphod", nil, "dead_letters"},
		{"nothing", pointsWebhook, "", nil, "dead_letters"},
		{"not UTF-8", pointsWebhook, "{\"buyer_id\":\"\xff\xfe\"}", nil, "dead_letters"},
		{"a required field missing", pointsWebhook, `{"buyer_id":"Zaphod"}`, nil, "dead_letters"},
		{"a number out of range", pointsWebhook, strings.Replace(pointsBody, `:20,`, `:1e99,`, 1), nil, "dead_letters"},
		{"a time in seconds", pointsWebhook, strings.Replace(pointsBody, "1721829526566", "1721829526", 1), nil, "dead_letters"},
		{"another topic's body", customerWebhook, pointsBody, nil, "dead_letters"},
	}
	f := start(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := len(f.publisher.published())
			req := f.request(t, test.topic, test.body)
			if test.change != nil {
				test.change(req)
			}
			f.kept(t, req)
			batches := f.publisher.published()[before:]
			if len(batches) != 1 || len(batches[0]) != 2 {
				t.Fatalf("published %d times, want one publish of two records", len(batches))
			}
			if got := []string{batches[0][0].Topic, batches[0][1].Topic}; !slices.Equal(got, []string{test.goes, "raw_webhooks"}) {
				t.Errorf("published to %q, want %s and raw_webhooks", got, test.goes)
			}
			raw := schema.RawWebhooks()
			if got := decoded(t, raw, batches[0][1])[raw.Index("body")].Text; got != test.body {
				t.Errorf("the raw body is not byte for byte what was sent")
			}
		})
	}
}

// rename writes header names as HTTP/1 allows them, which net/http's client
// would not do by itself.
func rename(header http.Header, fold func(string) string) {
	for name, values := range header.Clone() {
		delete(header, name)
		header[fold(name)] = values
	}
}

func TestSDKVector(t *testing.T) {
	f := start(t, func(cfg *webhook.Config) { cfg.Secrets = []string{"another", sdkSecret} })
	sum, err := hex.DecodeString(sdkHex)
	if err != nil {
		t.Fatal(err)
	}
	for _, signature := range []string{sdkHex, base64.StdEncoding.EncodeToString(sum)} {
		req := f.request(t, pointsWebhook, sdkBody)
		req.Header.Set("X-Shopline-Hmac-Sha256", signature)
		f.kept(t, req)
	}
}

// TestRefused goes through the requests that are not kept.
func TestRefused(t *testing.T) {
	sign := func(signature string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("X-Shopline-Hmac-Sha256", signature) }
	}
	good := signHex(newSecret, []byte(pointsBody))
	tests := []struct {
		name   string
		change func(*http.Request)
		status int
		reason string
	}{
		{"no signature", func(r *http.Request) { r.Header.Del("X-Shopline-Hmac-Sha256") }, 401, "missing_signature"},
		{"an empty signature", sign(""), 401, "missing_signature"},
		{"another secret", sign(signHex("guess", []byte(pointsBody))), 401, "invalid_signature"},
		{"another body's signature", sign(signHex(newSecret, []byte(pointsBody+" "))), 401, "invalid_signature"},
		{"a signature cut short", sign(good[:63]), 401, "invalid_signature"},
		{"no signature's form", sign("Basic Zaphod"), 401, "invalid_signature"},
		{"the secret as the signature", sign(newSecret), 401, "invalid_signature"},
		{"a changed body", func(r *http.Request) {
			r.Body = io.NopCloser(strings.NewReader(strings.Replace(pointsBody, "20", "99", 1)))
		}, 401, "invalid_signature"},
		{"GET", func(r *http.Request) { r.Method, r.Body, r.ContentLength = http.MethodGet, nil, 0 }, 405, "method_not_allowed"},
		{"PUT", func(r *http.Request) { r.Method = http.MethodPut }, 405, "method_not_allowed"},
		{"DELETE", func(r *http.Request) { r.Method = http.MethodDelete }, 405, "method_not_allowed"},
		{"OPTIONS", func(r *http.Request) { r.Method = http.MethodOptions }, 405, "method_not_allowed"},
		{"another path", func(r *http.Request) { r.URL.Path = "/" }, 404, "not_found"},
		{"a slash too many", func(r *http.Request) { r.URL.Path += "/" }, 404, "not_found"},
		{"a path in another case", func(r *http.Request) { r.URL.Path = strings.ToUpper(r.URL.Path) }, 404, "not_found"},
		{"the metrics", func(r *http.Request) { r.Method, r.URL.Path = http.MethodGet, "/metrics" }, 404, "not_found"},
	}
	f := start(t, nil)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			req := f.request(t, pointsWebhook, pointsBody)
			test.change(req)
			f.refused(t, req, test.status, test.reason)
		})
	}
}

// TestTooLarge holds that a body over the limit is refused by what its header
// says, before it is sent, and at the limit where its header says nothing.
func TestTooLarge(t *testing.T) {
	f := start(t, func(cfg *webhook.Config) { cfg.MaxBodyBytes = 2048 })
	f.kept(t, f.request(t, pointsWebhook, strings.Repeat("x", 2048)))

	for _, body := range []string{strings.Repeat("x", 2049), strings.Repeat("x", 1<<20)} {
		req := f.request(t, pointsWebhook, body)
		req.ContentLength = -1
		f.refused(t, req, 413, "body_too_large")
	}
	conn := dial(t, f.url)
	fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nContent-Length: 2049\r\nExpect: 100-continue\r\n\r\n", webhook.Path)
	a := readAnswer(t, conn)
	if reason := a.reason(t); a.status != 413 || reason != "body_too_large" {
		t.Errorf("an announced body gets %d %s, want 413 body_too_large", a.status, reason)
	}
}

func dial(t *testing.T, url string) net.Conn {
	t.Helper()
	conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

func readAnswer(t *testing.T, conn net.Conn) answer {
	t.Helper()
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
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

// TestRecords shows what a delivery is stored as.
func TestRecords(t *testing.T) {
	const raw = `{"event_id":"%s","webhook_id":"b54557e48a5fbf7d70bcd043","topic":"%s","shop_id":"1718263946864","received_at":"2026-01-02T03:04:05.678Z",%s,"shop_domain":"example.myshopline.com","merchant_id":"2000001234","api_version":"v20250601"}`
	const dead = `{"stage":"normalize","reason":"%s","detail":"%s","topic":"%s","shop_id":"1718263946864","webhook_id":"b54557e48a5fbf7d70bcd043","received_at":"2026-01-02T03:04:05.678Z",%s,"event_id":"%s","shop_domain":"example.myshopline.com","merchant_id":"2000001234","api_version":"v20250601","sink":"","kafka_partition":null,"kafka_offset":null}`
	type record struct{ topic, key, value string }
	id := func(body string) string {
		id, _ := normalize.EventID([]byte(body))
		return id.String()
	}
	quotedPoints := `"body":"` + strings.ReplaceAll(pointsBody, `"`, `\"`) + `"`
	const broken = "{\"buyer_id\":\"Zaphod\xff\"}"
	brokenBase64 := `"body_base64":"` + base64.StdEncoding.EncodeToString([]byte(broken)) + `"`
	const incomplete = `{"buyer_id":"Zaphod-1","store_id":"7"}`
	// another makes a record's shop that of the body, which is not the header's.
	another := func(record string) string {
		return strings.TrimSuffix(strings.Replace(record, "1718263946864", "7", 1), "}") + `,"header_shop_id":"1718263946864"}`
	}
	tests := []struct {
		name, topic, body string
		want              []record
	}{
		{"a fact", pointsWebhook, pointsBody, []record{
			{
				"points", "1718263946864/Zaphod-1",
				`{"event_id":"` + id(pointsBody) + `","shop_id":"1718263946864","shop_domain":"example.myshopline.com","merchant_id":"2000001234","api_version":"v20250601","webhook_id":"b54557e48a5fbf7d70bcd043","received_at":"2026-01-02T03:04:05.678Z",` +
					`"buyer_id":"Zaphod-1","update_type":"INCREASE","updated_scene":"LOGIN_SUCCESS","updated_value":20,"points_delta":20,"points_balance":40,"points_expires_at":null,"updated_at":"2024-07-24T13:58:46.566Z","normalized_at":"2026-01-02T03:04:05.678Z"}`,
			},
			{"raw_webhooks", "1718263946864/Zaphod-1", fmt.Sprintf(raw, id(pointsBody), pointsWebhook, quotedPoints)},
		}},
		{"bytes that are no text", pointsWebhook, broken, []record{
			{"dead_letters", "1718263946864/" + id(broken), fmt.Sprintf(dead, "invalid_json", "the body is not valid JSON, or repeats a name in an object", pointsWebhook, brokenBase64, id(broken))},
			{"raw_webhooks", "1718263946864/" + id(broken), fmt.Sprintf(raw, id(broken), pointsWebhook, brokenBase64)},
		}},
		{"a missing field", pointsWebhook, incomplete, []record{
			{"dead_letters", "7/Zaphod-1", another(fmt.Sprintf(dead, "missing_field", "field update_type is missing or empty", pointsWebhook, `"body":"`+strings.ReplaceAll(incomplete, `"`, `\"`)+`"`, id(incomplete)))},
			{"raw_webhooks", "7/Zaphod-1", another(fmt.Sprintf(raw, id(incomplete), pointsWebhook, `"body":"`+strings.ReplaceAll(incomplete, `"`, `\"`)+`"`))},
		}},
		{"an unknown topic", "orders/edited", pointsBody, []record{
			{"dead_letters", "1718263946864/" + id(pointsBody), fmt.Sprintf(dead, "unknown_topic", "no contract has this webhook topic", "orders/edited", quotedPoints, id(pointsBody))},
			{"raw_webhooks", "1718263946864/" + id(pointsBody), fmt.Sprintf(raw, id(pointsBody), "orders/edited", quotedPoints)},
		}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := start(t, nil)
			f.kept(t, f.request(t, test.topic, test.body))
			var got []record
			for _, r := range f.publisher.published()[0] {
				got = append(got, record{r.Topic, string(r.Key), string(r.Value)})
			}
			if diff := cmp.Diff(test.want, got, cmp.AllowUnexported(record{})); diff != "" {
				t.Errorf("(- want, + got):\n%s", diff)
			}
		})
	}
}

func decoded(t *testing.T, table *schema.Table, r webhook.Record) schema.Row {
	t.Helper()
	row := make(schema.Row, len(table.Columns))
	if err := schema.NewDecoder(table).Decode(r.Value, row); err != nil {
		t.Fatalf("%s: %v", r.Topic, err)
	}
	return row
}

// TestHeadersOfAnyBytes holds that a header, which is not signed, cannot spoil
// the record of a body.
func TestHeadersOfAnyBytes(t *testing.T) {
	f := start(t, nil)
	req := f.request(t, pointsWebhook+"\xff", customerBody)
	req.Header.Set("X-Shopline-Shop-Id", "a\xffb")
	req.Header.Set("X-Shopline-Webhook-Id", strings.Repeat("\xfe", 100))
	f.kept(t, req)
	batch := f.publisher.published()[0]
	dead, raw := schema.DeadLetters(), schema.RawWebhooks()
	if got := decoded(t, dead, batch[0])[dead.Index("shop_id")].Text; got != "a\uFFFDb" {
		t.Errorf("the shop is %q", got)
	}
	if got := decoded(t, raw, batch[1])[raw.Index("topic")].Text; got != pointsWebhook+"\uFFFD" {
		t.Errorf("the topic is %q", got)
	}
}

func TestStoreMismatch(t *testing.T) {
	body := strings.Replace(pointsBody, "1718263946864", "1718263946865", 1)
	for way, goes := range map[string]string{"keep": "points", "dead_letter": "dead_letters"} {
		f := start(t, func(cfg *webhook.Config) { cfg.OnStoreMismatch = way })
		f.kept(t, f.request(t, pointsWebhook, body))
		f.kept(t, f.request(t, pointsWebhook, pointsBody))
		batches := f.publisher.published()
		if batches[0][0].Topic != goes || batches[1][0].Topic != "points" {
			t.Errorf("%s: the shop that differs goes to %s, want %s; the other to %s", way, batches[0][0].Topic, goes, batches[1][0].Topic)
		}
		if key := string(batches[0][0].Key); key != "1718263946865/Zaphod-1" {
			t.Errorf("%s: the key is %s, want the signed shop", way, key)
		}
		if got := f.metric(t, "loyaltyhouse_webhook_store_mismatches_total"); got != 1 {
			t.Errorf("%s: %v mismatches are counted, want 1", way, got)
		}
	}
}

// TestBufferFails holds that nothing is answered 200 which the buffer has not
// acknowledged.
func TestBufferFails(t *testing.T) {
	tests := []struct {
		name    string
		instead func(context.Context, []webhook.Record) error
		reason  string
	}{
		{"an error", func(context.Context, []webhook.Record) error { return errors.New("no broker answers") }, "buffer_unavailable"},
		{"silence", func(ctx context.Context, _ []webhook.Record) error {
			<-ctx.Done()
			return fmt.Errorf("waiting for all replicas: %w", ctx.Err())
		}, "buffer_unavailable"},
		{"a panic", func(context.Context, []webhook.Record) error { panic("Zaphod") }, "internal_error"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			f := start(t, func(cfg *webhook.Config) { cfg.PublishTimeout = 20 * time.Millisecond })
			f.publisher.instead = test.instead
			for _, body := range []string{pointsBody, "no JSON"} {
				f.refused(t, f.request(t, pointsWebhook, body), 503, test.reason)
			}
			if f.logs.String() == "" {
				t.Error("nobody is told: the log is empty")
			}
			if logged := f.logs.String(); test.reason == "internal_error" && (!strings.Contains(logged, "receiver_test.go") || strings.Contains(logged, "Zaphod")) {
				t.Errorf("the log does not say where the panic began, or repeats it:\n%s", logged)
			}
			if got := f.metric(t, "loyaltyhouse_webhook_rejects_total", "reason=invalid_json"); got != 0 {
				t.Errorf("%v rejects are counted for what was not kept", got)
			}

			// It recovers, and nothing is held for ever.
			f.publisher.instead = nil
			f.kept(t, f.request(t, pointsWebhook, pointsBody))
			if got := f.metric(t, "loyaltyhouse_webhook_in_flight_requests"); got != 0 {
				t.Errorf("%v requests are in flight after the last answer", got)
			}
		})
	}
}

// TestBufferTroubleInTheLog holds that one outage is not a line per request.
func TestBufferTroubleInTheLog(t *testing.T) {
	f := start(t, nil)
	f.publisher.instead = func(context.Context, []webhook.Record) error { return errors.New("no broker answers") }
	lines := func(skipped int) int {
		return strings.Count(f.logs.String(), fmt.Sprintf(`"not_logged_since":%d,"error":"no broker answers"`, skipped))
	}
	for range 10 {
		f.refused(t, f.request(t, pointsWebhook, pointsBody), 503, "buffer_unavailable")
	}
	f.clock.move(time.Minute)
	f.refused(t, f.request(t, pointsWebhook, pointsBody), 503, "buffer_unavailable")
	if first, later := lines(0), lines(9); first != 1 || later != 1 {
		t.Errorf("%d lines say that none was left out and %d that 9 were, want one of each:\n%s", first, later, f.logs)
	}
}

// hold makes the publisher wait with what contains "hold" until release is called.
func hold(f *fixture) (release func()) {
	held := make(chan struct{})
	f.publisher.instead = func(ctx context.Context, records []webhook.Record) error {
		if !bytes.Contains(records[1].Value, []byte("hold")) {
			return nil
		}
		select {
		case <-held:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return func() { close(held) }
}

// inBackground sends a request that is to be kept.
func (f *fixture) inBackground(t *testing.T, body string) (wait func()) {
	t.Helper()
	req := f.request(t, pointsWebhook, body)
	result := make(chan error, 1)
	go func() {
		response, err := f.client.Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, response.Body)
			err = errors.Join(err, response.Body.Close())
			if response.StatusCode != http.StatusOK {
				err = errors.Join(err, fmt.Errorf("answered %s", response.Status))
			}
		}
		result <- err
	}()
	return func() {
		t.Helper()
		if err := <-result; err != nil {
			t.Errorf("the request in the background: %v", err)
		}
	}
}

func (f *fixture) untilInFlight(t *testing.T, n float64) {
	t.Helper()
	until(t, fmt.Sprintf("%v requests are in flight", n), func() bool {
		return f.metric(t, "loyaltyhouse_webhook_in_flight_requests") == n
	})
}

func TestTooManyInFlight(t *testing.T) {
	f := start(t, func(cfg *webhook.Config) { cfg.MaxInFlight, cfg.PublishTimeout = 2, 4*time.Second })
	release := hold(f)
	first := f.inBackground(t, `{"hold":1}`)
	second := f.inBackground(t, `{"hold":2}`)
	f.untilInFlight(t, 2)
	f.refused(t, f.request(t, pointsWebhook, pointsBody), 503, "overloaded")
	release()
	first()
	second()
	f.kept(t, f.request(t, pointsWebhook, pointsBody))
}

func TestTooManyBytesInFlight(t *testing.T) {
	f := start(t, func(cfg *webhook.Config) {
		cfg.MaxBodyBytes, cfg.MaxInFlightBytes, cfg.PublishTimeout = 200_000, 200_000, 4*time.Second
	})
	release := hold(f)
	first := f.inBackground(t, `{"hold":"`+strings.Repeat("x", 99_989)+`"}`) // 100,000 bytes
	f.untilInFlight(t, 1)

	f.refused(t, f.request(t, pointsWebhook, strings.Repeat("x", 100_001)), 503, "overloaded")
	f.kept(t, f.request(t, pointsWebhook, strings.Repeat("x", 100_000)))
	// A body of unknown length may be of any length that is allowed.
	chunked := f.request(t, pointsWebhook, "x")
	chunked.ContentLength = -1
	f.refused(t, chunked, 503, "overloaded")
	// SHOPLINE's bodies are small, and get through whoever holds the memory.
	small := f.inBackground(t, `{"hold":"`+strings.Repeat("x", 60_000)+`"}`)
	hog := f.inBackground(t, `{"hold":"`+strings.Repeat("x", 99_000)+`"}`)
	f.untilInFlight(t, 3)
	f.kept(t, f.request(t, pointsWebhook, pointsBody))

	release()
	first()
	small()
	hog()
	f.kept(t, f.request(t, pointsWebhook, strings.Repeat("x", 200_000)))
}

func TestMetrics(t *testing.T) {
	f := start(t, nil)
	f.kept(t, f.request(t, pointsWebhook, pointsBody))
	f.kept(t, f.request(t, strings.ToUpper(pointsWebhook), pointsBody))
	f.kept(t, f.request(t, customerWebhook, customerBody))
	f.kept(t, f.request(t, cardsWebhook, "no JSON"))
	f.kept(t, f.request(t, "made/up", "{}"))
	f.kept(t, f.request(t, "made/up/too", "{}"))
	unsigned := f.request(t, pointsWebhook, pointsBody)
	unsigned.Header.Del("X-Shopline-Hmac-Sha256")
	f.refused(t, unsigned, 401, "missing_signature")
	elsewhere := f.request(t, pointsWebhook, pointsBody)
	elsewhere.URL.Path = "/made/up"
	f.refused(t, elsewhere, 404, "not_found")

	const requests, duration = "loyaltyhouse_webhook_requests_total", "loyaltyhouse_webhook_request_duration_seconds"
	for _, want := range []struct {
		value  float64
		name   string
		labels []string
	}{
		{2, requests, []string{"status=200", "topic=points"}},
		{1, requests, []string{"status=200", "topic=customer_changes"}},
		{1, requests, []string{"status=200", "topic=gift_cards"}},
		{2, requests, []string{"status=200", "topic=unknown"}}, // Whatever a sender makes up.
		{1, requests, []string{"status=401", "topic=points"}},
		{1, requests, []string{"status=404", "topic=unknown"}},
		{6, duration, []string{"status=200"}},
		{1, duration, []string{"status=401"}},
		{1, "loyaltyhouse_webhook_rejects_total", []string{"reason=invalid_json"}},
		{2, "loyaltyhouse_webhook_rejects_total", []string{"reason=unknown_topic"}},
		{0, "loyaltyhouse_webhook_rejects_total", []string{"reason=out_of_range"}},
		{0, "loyaltyhouse_webhook_store_mismatches_total", nil},
		{0, "loyaltyhouse_webhook_in_flight_requests", nil},
	} {
		if got := f.metric(t, want.name, want.labels...); got != want.value {
			t.Errorf("%s%q is %v, want %v", want.name, want.labels, got, want.value)
		}
	}
}

// TestMetricsBeforeTheFirstWebhook holds that what alerts wait for is there at 0.
func TestMetricsBeforeTheFirstWebhook(t *testing.T) {
	families, err := newFixture(t, nil).metrics.Gather()
	if err != nil {
		t.Fatal(err)
	}
	there := map[string]bool{}
	for _, family := range families {
		if family.GetName() != "loyaltyhouse_webhook_requests_total" {
			continue
		}
		for _, m := range family.GetMetric() {
			there[m.GetLabel()[0].GetValue()+" "+m.GetLabel()[1].GetValue()] = true
			if value := m.GetCounter().GetValue(); value != 0 {
				t.Errorf("%v is %v", m.GetLabel(), value)
			}
		}
	}
	for _, status := range []string{"200", "401", "413", "503"} {
		for _, topic := range []string{"points", "store_credits", "gift_cards", "customer_changes", "unknown"} {
			if !there[status+" "+topic] {
				t.Errorf("requests answered %s of the topic %s are not counted from the start", status, topic)
			}
		}
	}
}

// TestMetricsTakenTwice holds that two receivers cannot share a registry unnoticed.
func TestMetricsTakenTwice(t *testing.T) {
	f := newFixture(t, nil)
	if _, err := webhook.New(f.cfg, f.cfg.Secrets, nil, nil, f.metrics, nil, f.clock.now); err == nil {
		t.Error("a second receiver registered the same metrics without an error")
	}
}

// TestClientGoesAway holds that whoever hangs up before the answer leaves
// nothing behind.
func TestClientGoesAway(t *testing.T) {
	f := start(t, func(cfg *webhook.Config) { cfg.MaxInFlight, cfg.PublishTimeout = 1, 4*time.Second })
	_ = hold(f)
	ctx, hangUp := context.WithCancel(t.Context())
	req := f.request(t, pointsWebhook, `{"hold":1}`).WithContext(ctx)
	gone := make(chan struct{})
	go func() {
		defer close(gone)
		if response, err := f.client.Do(req); err == nil {
			_ = response.Body.Close()
		}
	}()
	f.untilInFlight(t, 1)
	hangUp()
	<-gone
	f.untilInFlight(t, 0)
	f.kept(t, f.request(t, pointsWebhook, pointsBody))
}
