package main

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks/clickhouse"
)

// A service that starts writes the contracts' docs into ClickHouse. Comments that
// the server refuses are a warning, for they are no reason not to deliver.
func TestStartWritesComments(t *testing.T) {
	t.Parallel()
	s := startService(t, embeddedConfig(t, freePorts(t), t.TempDir()))
	conn, err := clickhouse.Connect(*s.cfg.Sinks[0].ClickHouse)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	const query = "SELECT comment FROM system.columns WHERE database = 'loyalty' AND table = ? AND name = 'body'"
	for _, table := range []*schema.Table{schema.RawWebhooks(), schema.DeadLetters()} {
		var got string
		if err := conn.QueryRow(t.Context(), query, table.Name).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if want := table.Columns[table.Index("body")].Doc; got != want {
			t.Errorf("%s.body has the comment %q, want %q", table.Name, got, want)
		}
	}

	// A statement that is longer than the server takes.
	table := schema.RawWebhooks()
	table.Doc = strings.Repeat("long ", 100_000)
	var printed bytes.Buffer
	sink := &migrating{cfg: s.cfg.Sinks[0], log: slog.New(slog.NewTextHandler(&printed, nil))}
	if err := sink.Prepare(t.Context(), []*schema.Table{table}); err != nil {
		t.Errorf("refused comments keep the sink from starting: %v", err)
	}
	if text := printed.String(); !strings.Contains(text, "level=WARN") || !strings.Contains(text, "loyalty.raw_webhooks") {
		t.Errorf("the log does not warn of the table: %.1000s", text)
	}
}
