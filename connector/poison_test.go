//go:build linux

package main

import (
	"math/rand/v2"
	"syscall"
	"testing"
	"time"
)

// Rows that ClickHouse refuses cost only themselves, also when the sink is killed
// again and again while it singles them out: every other row is stored once, and
// each of them is a dead letter with the table and the constraint.
func TestPoisonRowsThroughKills(t *testing.T) {
	t.Parallel()
	const kills = 3 // Each costs a session of the consumer group.
	w := startWarehouse(t)
	w.supervise()
	_, broker := startBroker(t, t.TempDir())
	s := sections{broker: broker, clickHouse: w.address, sink: "batch: {max_age: 50ms}"}
	receiver := s.startReceiver(t)
	if err := w.conn.Exec(t.Context(), "ALTER TABLE loyalty.raw_webhooks ADD CONSTRAINT one_in_a_hundred CHECK cityHash64(webhook_id, received_at) % 100 != 0"); err != nil {
		t.Fatal(err)
	}
	sent := startTraffic(t, receiver.ports, 71, 2000, 0)
	t.Log(sent.wait())

	rng := rand.New(rand.NewPCG(7, 1)) //nolint:gosec // The kills must be the same in every run, not secret.
	p := freePorts(t)
	file := s.file(t, p)
	for range kills {
		sink := startChild(t, "sink", "--config", file)
		sink.ports = p
		eventually(t, "rows are refused", func() bool { return sink.metric(`loyaltyhouse_sink_write_errors_total\{kind="permanent"`) > 3 })
		time.Sleep(time.Duration(rng.IntN(300)) * time.Millisecond) // Anywhere in between.
		sink.signal(syscall.SIGKILL)
		<-sink.Done()
	}
	before := w.rows("raw_webhooks")
	startChild(t, "sink", "--config", file)

	records := recordsAt(t, broker, "loyalty.raw_webhooks")
	const letters = " FROM loyalty.dead_letters WHERE stage = 'sink'"
	refused := func() int64 {
		return w.number("SELECT toInt64(uniqExact(kafka_partition, kafka_offset))" + letters)
	}
	eventually(t, "every record is a row or a dead letter", func() bool { return w.rows("raw_webhooks")+refused() >= records })
	rows := w.rows("raw_webhooks")
	t.Logf("%d records: %d rows, of which %d were there after %d kills, and %d refused, with %d dead letters",
		records, rows, before, kills, refused(), w.number("SELECT toInt64(count())"+letters))
	if rows+refused() != records {
		t.Errorf("%d rows and %d refused ones are stored of %d records", rows, refused(), records)
	}
	if distinct := w.number("SELECT toInt64(uniqExact(event_id, webhook_id, received_at)) FROM loyalty.raw_webhooks"); distinct != rows {
		t.Errorf("%d rows are stored of %d deliveries", rows, distinct)
	}
	if n := w.number("SELECT toInt64(countIf(reason != 'row_refused' OR detail NOT LIKE '%table raw_webhooks%constraint one_in_a_hundred%'))" + letters); n > 0 {
		t.Errorf("%d dead letters do not say which table and constraint", n)
	}
	if refused() == 0 || before == 0 || before == rows {
		t.Errorf("the kills did not fall in between: %d of %d rows were there after them, %d are refused", before, rows, refused())
	}
}
