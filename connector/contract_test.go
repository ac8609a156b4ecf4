package main

import (
	"bytes"
	"fmt"
	"net/http"
	"os"
	"testing"

	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/sinks/clickhouse"
)

// A data engineer's own topic: one contract and one table, and no Go.
func TestOwnContract(t *testing.T) {
	t.Parallel()
	contract := writeFile(t, "refunds.yaml", `
topic: refunds
webhooks: [refunds/create]
table: fact_refunds
doc: One refund.
key: customer_id
fields:
  - {field: customer_id, type: string, required: true, doc: The customer.}
  - {field: amount, column: amount_cents, type: money, required: true, doc: The amount.}
  - {field: tags, type: list, doc: Tags.}
  - {field: created_at, type: iso8601, required: true, doc: When it was made.}
`)
	p := freePorts(t)
	file := embeddedConfig(t, p, t.TempDir())
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	s := startService(t, writeFile(t, "connector.yaml", string(text)+fmt.Sprintf("contracts: [%q]\n", contract)))

	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = []string{s.engine.get().Addr()}
	conn, err := clickhouse.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.Exec(t.Context(), `CREATE TABLE loyalty.fact_refunds
(
    event_id UUID, shop_id String, shop_domain String, merchant_id String, api_version String, webhook_id String, received_at DateTime64(3, 'UTC'),
    customer_id String, amount_cents Int64, tags Array(String), created_at DateTime64(3, 'UTC'), normalized_at DateTime64(3, 'UTC'), retracted Bool
)
ENGINE = ReplacingMergeTree(normalized_at) ORDER BY (shop_id, customer_id, created_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000`); err != nil {
		t.Fatal(err)
	}

	body := []byte(`{"customer_id":"c1","amount":"12.50","tags":"late, broken","created_at":"2026-01-02T03:04:05+08:00"}`)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, p.receiverURL(), bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-Shopline-Topic", "refunds/create")
	req.Header.Set("X-Shopline-Shop-Id", "s1")
	req.Header.Set("X-Shopline-Hmac-Sha256", simulate.SignBase64([]byte("new-secret"), body))
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("answered %s", resp.Status)
	}

	var got string
	eventually(t, "the refund is in its table", func() bool {
		err := conn.QueryRow(t.Context(), "SELECT toString((shop_id, customer_id, amount_cents, tags, created_at)) FROM loyalty.fact_refunds").Scan(&got)
		return err == nil
	})
	if want := `('s1','c1',1250,['late','broken'],'2026-01-01 19:04:05.000')`; got != want {
		t.Errorf("the row is %s, want %s", got, want)
	}
}
