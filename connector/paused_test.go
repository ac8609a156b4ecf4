//go:build linux

package main

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"

	"loyaltyhouse/connector/simulate"
)

// slowly returns an address that leads to another, with a delay in each answer.
func slowly(t *testing.T, address string, milliseconds int) string {
	t.Helper()
	proxy := toxiproxy.NewProxy(toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop()), "slowly", "127.0.0.1:0", address)
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(proxy.Stop)
	toxic := fmt.Sprintf(`{"type": "latency", "stream": "downstream", "attributes": {"latency": %d}}`, milliseconds)
	if _, err := proxy.Toxics.AddToxicJson(strings.NewReader(toxic)); err != nil {
		t.Fatal(err)
	}
	return proxy.Listen
}

// A sink that stands still in the middle of a batch is taken for dead. The other
// takes its partitions over and goes on; when the first wakes up it must not
// store anything again, and takes part again.
func TestPausedSink(t *testing.T) {
	t.Parallel()
	w := startWarehouse(t)
	_, broker := startBroker(t, t.TempDir())
	s := sections{broker: broker, clickHouse: w.address, sink: "batch: {max_age: 50ms}"}
	// The one that is to be paused waits for ClickHouse nearly all of the time.
	slow := s
	slow.clickHouse = slowly(t, w.address, 200)
	receiver, awake := s.startReceiver(t), s.startSink(t)
	paused := slow.startSink(t)
	assigned := func(c *child) int { return len(c.series("loyaltyhouse_consumer_lag_records")) }
	shared := func() bool { return assigned(paused) == 3*partitions && assigned(awake) == 3*partitions }
	eventually(t, "both have half of the partitions", shared)

	sent := startTraffic(t, receiver.ports, 51, 2500, 125)
	delivered := func(c *child) float64 { return c.metric("loyaltyhouse_sink_rows_total") }
	eventually(t, "both store rows", func() bool { return delivered(paused) > 0 && delivered(awake) > 0 })
	paused.pause()
	eventually(t, "the other has taken all partitions over", func() bool { return assigned(awake) == 6*partitions })
	before := delivered(awake)
	eventually(t, "the other has gone on", func() bool { return delivered(awake) > before+500 })
	paused.wake()
	eventually(t, "both have half of the partitions again", shared)
	before = delivered(paused)
	eventually(t, "the one that was paused stores rows again", func() bool { return delivered(paused) > before })

	t.Log(sent.wait())
	reconciled(t, w.address, sent.generator)
	w.storedOnce(broker)
}

// A receiver that stands still answers nobody in time. What it was sent is sent
// again, and nothing is lost.
func TestPausedReceiver(t *testing.T) {
	t.Parallel()
	w := startWarehouse(t)
	_, broker := startBroker(t, t.TempDir())
	s := sections{broker: broker, clickHouse: w.address, sink: "batch: {max_age: 50ms}"}
	receiver := s.startReceiver(t)
	s.startSink(t)

	g := history(61, 1500)
	var offered atomic.Int64
	next := func() (simulate.Delivery, bool) {
		offered.Add(1)
		return g.Next()
	}
	cfg := senderTo(receiver.ports)
	cfg.Timeout = time.Second
	var summary simulate.Summary
	sent := make(chan error, 1)
	go func() {
		var err error
		summary, err = simulate.Send(t.Context(), cfg, next, nil)
		sent <- err
	}()
	eventually(t, "webhooks are being sent", func() bool { return offered.Load() > 200 })
	receiver.pause()
	// Every connection has a request that is not answered in time.
	time.Sleep(2 * cfg.Timeout)
	receiver.wake()
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	t.Logf("%d sent, %d attempts without an answer, %d wrong answers", summary.Sent, summary.Unanswered, summary.Violations)
	if summary.Unanswered == 0 || summary.Violations > 0 {
		t.Errorf("%d attempts without an answer, want some; wrong answers: %v", summary.Unanswered, summary.FirstViolations)
	}
	reconciled(t, w.address, g)
	w.storedOnce(broker)
}
