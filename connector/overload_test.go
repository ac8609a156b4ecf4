//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"loyaltyhouse/connector/harness"
	"loyaltyhouse/connector/simulate"
)

// An answer is what one webhook got.
type answer struct {
	webhookID  string
	status     int
	reason     string // of an answer that is not 200
	retryAfter string
	took       time.Duration
	err        error
}

// A flood posts webhooks without waiting for the answers to earlier ones, as
// long as a connection is free, and sends none again.
type flood struct {
	url         string
	connections int
	client      http.Client
}

func newFlood(p ports, connections int) *flood {
	return &flood{url: p.receiverURL(), connections: connections, client: http.Client{
		Timeout:   time.Minute, // SHOPLINE's is checked by the test.
		Transport: &http.Transport{MaxConnsPerHost: connections, MaxIdleConnsPerHost: connections},
	}}
}

// send posts deliveries, one every interval, and returns the answers.
func (f *flood) send(ctx context.Context, deliveries []simulate.Delivery, interval time.Duration) []answer {
	answers := make([]answer, len(deliveries))
	next := make(chan int)
	var senders sync.WaitGroup
	for range f.connections {
		senders.Go(func() {
			for i := range next {
				answers[i] = f.post(ctx, &deliveries[i])
			}
		})
	}
	begin := time.Now()
	for i := range deliveries {
		time.Sleep(time.Until(begin.Add(time.Duration(i) * interval)))
		next <- i
	}
	close(next)
	senders.Wait()
	return answers
}

func (f *flood) post(ctx context.Context, d *simulate.Delivery) answer {
	a := answer{webhookID: d.WebhookID}
	var req *http.Request
	if req, a.err = http.NewRequestWithContext(ctx, http.MethodPost, f.url, bytes.NewReader(d.Body)); a.err != nil {
		return a
	}
	req.Header = d.Header([]byte("old-secret"))
	begin := time.Now()
	resp, err := f.client.Do(req)
	if a.err = err; err != nil {
		return a
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	a.took, a.status, a.retryAfter, a.err = time.Since(begin), resp.StatusCode, resp.Header.Get("Retry-After"), err
	if a.status != http.StatusOK && a.err == nil {
		var refusal struct {
			Error string `json:"error"`
		}
		a.err = json.Unmarshal(body, &refusal)
		a.reason = refusal.Error
	}
	return a
}

// Three times as many webhooks as the receiver can take: each is answered in
// time, by 200 or by 503 with Retry-After, in bounded memory, and what was
// answered 200 is stored, exactly.
func TestOverload(t *testing.T) {
	t.Parallel()
	const (
		inFlight    = 24 // as configured below, like the next two
		queueMB     = 4  // of the producer, and of large bodies in flight
		bufferMB    = 8  // of the sink
		connections = 300
		patience    = 5 * time.Second // SHOPLINE's
	)
	w := startWarehouse(t)
	// The receiver can take what Kafka can, which is slow here however fast the
	// machine is: 24 webhooks in flight, each waiting 40 ms for its acknowledgement.
	direct, err := harness.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broker := slowly(t, direct, 40)
	startBroker(t, t.TempDir(), "--listen", direct, "--advertise", broker)
	s := sections{
		broker: broker, clickHouse: w.address,
		receiver: "max_body_bytes: 524288, max_in_flight: 24, max_in_flight_bytes: 4194304",
		kafka:    "producer: {queue_bytes: 4194304}",
		sink:     "batch: {max_bytes: 4194304, max_age: 100ms, buffer_bytes: 8388608}",
	}
	receiver, sink := s.startReceiver(t), s.startSink(t)
	idleReceiver, idleSink := receiver.peakMB(), sink.peakMB()

	cfg := simulate.DefaultConfig()
	cfg.Seed, cfg.BadRatio, cfg.ResendRatio = 71, 0, 0
	g := simulate.New(cfg)
	take := func(n int) []simulate.Delivery {
		deliveries := make([]simulate.Delivery, 0, n)
		for len(deliveries) < n {
			d, ok := g.Next()
			if !ok {
				t.Fatal("the history is too short")
			}
			deliveries = append(deliveries, d)
		}
		return deliveries
	}
	warmUp := newFlood(receiver.ports, inFlight)
	defer warmUp.client.CloseIdleConnections()
	begin := time.Now()
	answers := warmUp.send(t.Context(), take(1000), 0)
	capacity := float64(len(answers)) / time.Since(begin).Seconds()

	many := newFlood(receiver.ports, connections)
	defer many.client.CloseIdleConnections()
	begin = time.Now()
	answers = append(answers, many.send(t.Context(), take(int(15*capacity)), time.Duration(float64(time.Second)/(3*capacity)))...)
	took := time.Since(begin)

	taken, refused := 0, map[string]int{}
	var slowest time.Duration
	for _, a := range answers {
		slowest = max(slowest, a.took)
		switch {
		case a.err != nil:
			t.Fatalf("webhook %s got no answer: %v", a.webhookID, a.err)
		case a.status == http.StatusOK:
			taken++
		case a.status != http.StatusServiceUnavailable || a.retryAfter == "":
			t.Fatalf("webhook %s was answered %d with Retry-After %q", a.webhookID, a.status, a.retryAfter)
		default:
			refused[a.reason]++
		}
	}
	t.Logf("%.0f/s with %d connections; at three times that, with %d: %d webhooks in %s, %d answered 200, refused %v, the slowest answer took %s",
		capacity, inFlight, connections, len(answers), took.Round(time.Millisecond), taken, refused, slowest.Round(time.Millisecond))
	if refused["overloaded"] == 0 {
		t.Error("no webhook was refused: there was no overload")
	}
	if slowest > patience {
		t.Errorf("an answer took %s, SHOPLINE waits %s", slowest, patience)
	}

	// What was answered 200 is stored once, what was refused at once is not. One
	// whose acknowledgement came too late may be.
	w.storedOnce(broker)
	stored := w.webhookIDs()
	for _, a := range answers {
		n, late := stored[a.webhookID], a.reason == "buffer_unavailable"
		if a.status == http.StatusOK && n != 1 || a.status != http.StatusOK && n > 0 && !late || n > 1 {
			t.Errorf("webhook %s was answered %d %s and is stored %d times", a.webhookID, a.status, a.reason, n)
		}
	}
	eventually(t, "each webhook that is stored is an event", func() bool {
		return w.number("SELECT toInt64(count()) FROM ("+
			"SELECT event_id FROM loyalty.points UNION ALL SELECT event_id FROM loyalty.store_credits UNION ALL "+
			"SELECT event_id FROM loyalty.gift_cards UNION ALL SELECT event_id FROM loyalty.customer_changes)") == int64(len(stored))
	})

	// Twice what may wait, for the garbage collector's sake, 64 KiB for each
	// connection, and some for the program.
	receiver.withinMB(idleReceiver + 2*(queueMB+queueMB) + connections/16 + 32)
	sink.withinMB(idleSink + deliveringMB(bufferMB))
}

// webhookIDs returns how often each webhook is stored.
func (w *warehouse) webhookIDs() map[string]uint64 {
	w.t.Helper()
	rows, err := w.conn.Query(w.t.Context(), "SELECT webhook_id, count() FROM loyalty.raw_webhooks GROUP BY webhook_id")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	stored := map[string]uint64{}
	for rows.Next() {
		var id string
		var n uint64
		if err := rows.Scan(&id, &n); err != nil {
			w.t.Fatal(err)
		}
		stored[id] = n
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return stored
}
