//go:build linux

package main

import (
	"syscall"
	"testing"
)

// Broker, sink and receiver are killed one after the other in the middle of
// load and started again: nothing that was answered 200 is lost, and no row is
// stored twice.
func TestEachPartIsKilled(t *testing.T) {
	t.Parallel()
	w, dir := startWarehouse(t), t.TempDir()
	// The embedded engine does not always survive a client that is cut off.
	w.supervise()
	first, broker := startBroker(t, dir)
	s := sections{broker: broker, clickHouse: w.address, sink: "batch: {max_age: 50ms}"}
	receiver, sink := s.startReceiver(t), s.startSink(t)
	sent := startTraffic(t, receiver.ports, 41, 4000, 400)
	stored := func() int64 { return w.rows("raw_webhooks") }
	underLoad := func() {
		t.Helper()
		before := stored()
		eventually(t, "rows are being stored", func() bool { return stored() > before+100 })
	}

	underLoad()
	first.signal(syscall.SIGKILL)
	<-first.Done()
	if _, again := startBroker(t, dir); again != broker {
		t.Fatalf("the broker's address is %s, was %s", again, broker)
	}
	underLoad()
	sink.signal(syscall.SIGKILL)
	<-sink.Done()
	s.startSink(t)
	underLoad()
	receiver.signal(syscall.SIGKILL)
	<-receiver.Done()
	startChild(t, "receive", "--config", s.file(t, receiver.ports)) // At the same port, where the senders look for it.

	t.Log(sent.wait())
	reconciled(t, w.address, sent.generator)
	w.storedOnce(broker)
}
