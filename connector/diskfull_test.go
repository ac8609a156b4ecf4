//go:build linux

package main

import (
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
)

// While the disk of Kafka is full no webhook is acknowledged, the receiver says
// so, and it goes on by itself when there is room again. Nothing that was
// answered 200 is lost.
func TestBrokerDiskFull(t *testing.T) {
	dir := t.TempDir()
	disk, w := newSmallDisk(t, dir), startWarehouse(t)
	broker := disk.start("broker", dir, "--listen", "127.0.0.1:0").line()
	s := sections{broker: broker, clickHouse: w.address, sink: "batch: {max_age: 100ms}"}
	receiver := s.startReceiver(t)
	s.startSink(t)
	answered := func(status string) bool {
		return receiver.metric(`loyaltyhouse_webhook_requests_total\{status="`+status+`"`) > 0
	}

	sent := startTraffic(t, receiver.ports, 21, 3000, 500)
	eventually(t, "webhooks are answered 200", func() bool { return answered("200") })
	disk.fill()
	probe := receiver.ports.adminURL("/readyz/receiver")
	var message string
	eventually(t, "the receiver says that webhooks are not acknowledged", func() bool {
		message = notReady(t, probe)["publishing"]
		return strings.Contains(message, "loyalty.")
	})
	t.Log(message)
	if !answered("503") {
		t.Error("no webhook was answered 503")
	}
	disk.free()
	eventually(t, "the receiver takes webhooks again", func() bool {
		status, _ := get(t, probe)
		return status == http.StatusOK
	})
	t.Log(sent.wait())
	reconciled(t, w.address, sent.generator)
	w.storedOnce(broker)
}

// While the disk of ClickHouse is full webhooks are taken, the sink says why it
// does not deliver, and everything is stored once when there is room again.
func TestClickHouseDiskFull(t *testing.T) {
	dir, p := t.TempDir(), freePorts(t)
	disk := newSmallDisk(t, filepath.Join(dir, "clickhouse"))
	c := disk.start("serve", "--config", embeddedConfig(t, p, dir))
	c.ports = p
	ready := func() bool { return len(notReady(t, p.adminURL("/readyz"))) == 0 }
	eventually(t, "every part is ready", ready)
	w := connectWarehouse(t, fmt.Sprintf("127.0.0.1:%d", p.native))

	sent := startTraffic(t, p, 22, 3000, 500)
	eventually(t, "rows are stored", func() bool { return c.metric("loyaltyhouse_sink_rows_total") > 0 })
	disk.fill()
	var message string
	eventually(t, "the sink says what is wrong", func() bool {
		message = notReady(t, p.adminURL("/readyz"))["sink clickhouse"]
		return message != ""
	})
	t.Log(message)
	if status, _ := get(t, p.adminURL("/readyz/receiver")); status != http.StatusOK {
		t.Errorf("/readyz/receiver answers %d", status)
	}
	t.Log(sent.wait()) // All of it while the disk is full.
	disk.free()
	reconciled(t, w.address, sent.generator)
	w.storedOnce("unix:" + filepath.Join(dir, "broker", "socket", "kafka.sock"))
	eventually(t, "every part is ready again", ready)
}
