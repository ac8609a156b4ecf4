package main

import (
	"fmt"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"loyaltyhouse/connector/simulate"
)

// replaceIn changes the text of a file.
func replaceIn(t *testing.T, file, old, replacement string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(text), old) {
		t.Fatalf("%s does not hold %q", file, old)
	}
	if err := os.WriteFile(file, []byte(strings.Replace(string(text), old, replacement, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
}

// secondSink is a second warehouse on the same engine.
func secondSink(p ports) string {
	return fmt.Sprintf(`  - name: second
    batch: {max_age: 100ms}
    clickhouse: {addresses: ["127.0.0.1:%d"], database: second}
embedded:`, p.native)
}

// While webhooks come in at a steady rate, secrets are rotated by SIGHUP and a
// sink comes, changes and goes. Every webhook is answered as it should be, and is
// stored once.
func TestReloadLosesNothing(t *testing.T) {
	t.Parallel()
	p, dataDir := freePorts(t), warehouseDir(t)
	file := embeddedConfig(t, p, dataDir)
	connector := startChild(t, "serve", "--config", file)
	connector.ports = p
	eventually(t, "every part is ready", func() bool { return len(notReady(t, p.adminURL("/readyz"))) == 0 })
	applied := 0.0
	reload := func() {
		t.Helper()
		connector.signal(syscall.SIGHUP)
		applied++
		eventually(t, "the configuration was read again", func() bool {
			return connector.metric(`loyaltyhouse_config_reloads_total\{result="applied"\}`) == applied
		})
	}

	sent := startTraffic(t, p, 41, 2000, 300)
	replaceIn(t, file, "secrets: [new-secret, old-secret]", "secrets: [newest-secret, new-secret, old-secret]")
	replaceIn(t, file, "embedded:", secondSink(p))
	reload()
	if status := signedWith(t, p, "newest-secret"); status != http.StatusOK {
		t.Errorf("a webhook with the new secret is answered %d", status)
	}
	eventually(t, "the second sink has rows", func() bool { return connector.metric(`loyaltyhouse_sink_rows_total\{sink="second"`) > 0 })
	replaceIn(t, file, "  - name: second\n    batch: {max_age: 100ms}", "  - name: second\n    batch: {max_age: 200ms}")
	reload()
	replaceIn(t, file, "    batch: {max_age: 100ms}", "    batch: {max_age: 50ms}") // That of the first.
	reload()
	t.Log(sent.wait())
	reconciled(t, fmt.Sprintf("127.0.0.1:%d", p.native), sent.generator)
	for _, table := range []string{"raw_webhooks", "dead_letters"} {
		records := recordsOf(t, dataDir, "loyalty."+table)
		for _, database := range []string{"loyalty", "second"} {
			var stored int64
			eventually(t, "every record of "+table+" is stored in "+database, func() bool {
				stored = storedRows(t, p, database, table)
				return stored >= records
			})
			if stored != records {
				t.Errorf("%s.%s has %d rows, Kafka has %d records", database, table, stored, records)
			}
		}
	}

	replaceIn(t, file, "newest-secret, new-secret, old-secret", "newest-secret")
	replaceIn(t, file, strings.Replace(secondSink(p), "100ms", "200ms", 1), "embedded:")
	reload()
	if status := signedWith(t, p, "newest-secret"); status != http.StatusOK {
		t.Errorf("a webhook with the secret that is left is answered %d", status)
	}
	if status := signedWith(t, p, "old-secret"); status != http.StatusUnauthorized {
		t.Errorf("a webhook with a secret that was taken away is answered %d", status)
	}
	// The first sink was opened anew, and may still be looking up its tables.
	eventually(t, "every part is ready after a sink was taken away", func() bool { return len(notReady(t, p.adminURL("/readyz"))) == 0 })
	if _, text := get(t, p.adminURL("/readyz")); strings.Contains(text, "second") {
		t.Errorf("/readyz still names the sink: %s", text)
	}
}

// A faulty file is refused with its place and reason, and the one before it
// stays in force. Mended, it is taken without a signal, because it is watched.
func TestReloadRefusesWhatIsFaulty(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	file := embeddedConfig(t, p, warehouseDir(t))
	replaceIn(t, file, "\nreceiver:", "\nreload_on_change: true\nreceiver:")
	connector := startChild(t, "serve", "--config", file)
	connector.ports = p
	eventually(t, "every part is ready", func() bool { return len(notReady(t, p.adminURL("/readyz"))) == 0 })
	for i, fault := range []struct{ old, replacement, reason string }{
		{"secrets: [new-secret, old-secret]", "secrets: []", "connector.yaml:"},
		{"    clickhouse: {", "    clickhuose: {", "did you mean"},
		{"    clickhouse: {", "    clickhouse: {password_file: /nowhere, ", "/nowhere"},
	} {
		replaceIn(t, file, fault.old, fault.replacement)
		eventually(t, "the configuration is refused", func() bool {
			return connector.metric(`loyaltyhouse_config_reloads_total\{result="refused"\}`) == float64(i+1)
		})
		if text := connector.log.String(); !strings.Contains(text, "refused") || !strings.Contains(text, fault.reason) {
			t.Errorf("the log does not say %q:\n%s", fault.reason, text)
		}
		if got := connector.metric("loyaltyhouse_config_last_reload_successful"); got != 0 {
			t.Errorf("the metric says %v after a refusal", got)
		}
		if status := signedWith(t, p, "old-secret"); status != http.StatusOK {
			t.Errorf("after a refusal a webhook is answered %d", status)
		}
		replaceIn(t, file, fault.replacement, fault.old)
		eventually(t, "the mended configuration is taken", func() bool { return connector.metric("loyaltyhouse_config_last_reload_successful") == 1 })
	}
	if parts := notReady(t, p.adminURL("/readyz")); len(parts) > 0 {
		t.Errorf("not ready: %v", parts)
	}
}

// signedWith sends one webhook and returns the answer's status.
func signedWith(t *testing.T, p ports, secret string) (status int) {
	t.Helper()
	g := history(uint64(time.Now().UnixNano()), 1)
	cfg := senderTo(p)
	cfg.Secret = []byte(secret)
	cfg.Connections = 1
	one := true
	_, err := simulate.Send(t.Context(), cfg, func() (simulate.Delivery, bool) {
		delivery, more := g.Next()
		more, one = more && one, false
		return delivery, more
	}, func(o simulate.Outcome) { status = o.Status })
	if err != nil {
		t.Fatal(err)
	}
	return status
}
