//go:build linux

package main

import (
	"net/http"
	"strings"
	"testing"
)

// ClickHouse is away for long: webhooks are taken as ever, the sink says what is
// wrong and how old what it cannot deliver is, and when ClickHouse is back the
// sink catches up in full batches and bounded memory, with every row stored once.
func TestClickHouseAwayForLong(t *testing.T) {
	t.Parallel()
	const (
		events  = 10_000
		maxRows = 1000 // as configured below
	)
	w := startWarehouse(t)
	_, broker := startBroker(t, t.TempDir())
	s := sections{
		broker: broker, clickHouse: w.address,
		sink: "batch: {max_rows: 1000, max_bytes: 2097152, max_age: 500ms, buffer_bytes: 4194304}, retry: {max_interval: 500ms}",
	}
	receiver, sink := s.startReceiver(t), s.startSink(t)
	idle := sink.peakMB()

	w.kill()
	sent := startTraffic(t, receiver.ports, 31, events, 0)
	said := sent.wait()
	t.Log(said)
	if !strings.Contains(said, " 0 sent again after another answer") {
		t.Error("while ClickHouse was away, webhooks had to be sent again")
	}
	if status, body := get(t, receiver.ports.adminURL("/readyz/receiver")); status != http.StatusOK {
		t.Errorf("/readyz/receiver answers %d: %s", status, body)
	}
	probe := sink.ports.adminURL("/readyz")
	eventually(t, "the sink names itself and the reason", func() bool {
		return strings.Contains(notReady(t, probe)["sink warehouse"], "connection refused")
	})
	t.Log(notReady(t, probe)["sink warehouse"])
	if status, _ := get(t, probe); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz of the sink answers %d", status)
	}
	const age, lag = "loyaltyhouse_consumer_oldest_undelivered_seconds", "loyaltyhouse_consumer_lag_records"
	before := sink.metric(age)
	eventually(t, "the age of what is not delivered grows", func() bool { return sink.metric(age) > before+1 })
	var records int64
	for _, topic := range []string{"points", "store_credits", "gift_cards", "customer_changes", "raw_webhooks", "dead_letters"} {
		records += recordsAt(t, broker, "loyalty."+topic)
	}
	eventually(t, "the lag is everything that Kafka holds", func() bool { return sink.metric(lag) == float64(records) })

	w.supervise()
	eventually(t, "rows are stored", func() bool { return w.rows("raw_webhooks") > 0 })
	reconciled(t, w.address, sent.generator)
	w.storedOnce(broker)
	eventually(t, "every part is ready, and nothing is left to deliver", func() bool {
		return len(notReady(t, probe)) == 0 && sink.metric(lag) == 0
	})

	// Of each partition one batch was under way, and one is the last. Those
	// between are full, by rows or by bytes, or hold all that the sink may buffer.
	inserts, rows := sink.metric("loyaltyhouse_sink_batch_rows_count"), sink.metric("loyaltyhouse_sink_rows_total")
	if bound := 2*rows/maxRows + 2*6*partitions; inserts > bound {
		t.Errorf("%.0f rows took %.0f inserts, more than %.0f", rows, inserts, bound)
	}
	parts := w.number("SELECT toInt64(count()) FROM system.parts WHERE active AND database = 'loyalty'")
	t.Logf("%d records of Kafka were %.0f rows in %.0f inserts, which are %d parts now", records, rows, inserts, parts)

	sink.withinMB(idle + deliveringMB(4))
}
