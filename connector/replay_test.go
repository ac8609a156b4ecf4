package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/sinks/clickhouse"
)

// A tierBench is a running service with a topic of its own, whose contract is
// corrected as the test goes on.
type tierBench struct {
	t        *testing.T
	p        ports
	file     string // the configuration
	contract string // the contract's file
	service  *process
	conn     driver.Conn
}

// tierContract reads the customer from one member and the points from another.
func tierContract(customer, points string) string {
	return fmt.Sprintf(`
topic: tiers
webhooks: [tiers/changed]
table: fact_tiers
doc: One change of a tier.
shop_id: store_id
key: customer_id
fields:
  - {field: %s, column: customer_id, type: string, required: true, doc: The customer.}
  - {field: %s, column: points, type: int64, required: true, doc: The points.}
  - {field: updated_at, type: epoch_ms, required: true, doc: When it changed.}
`, customer, points)
}

func newTierBench(t *testing.T) *tierBench {
	t.Helper()
	b := &tierBench{t: t, p: freePorts(t)}
	b.contract = writeFile(t, "tiers.yaml", tierContract("customer", "points_typo"))
	text, err := os.ReadFile(embeddedConfig(t, b.p, warehouseDir(t)))
	if err != nil {
		t.Fatal(err)
	}
	b.file = writeFile(t, "connector.yaml", string(text)+fmt.Sprintf("contracts: [%q]\n", b.contract))
	b.start()
	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = []string{fmt.Sprintf("127.0.0.1:%d", b.p.native)}
	if b.conn, err = clickhouse.Connect(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.conn.Close() })
	for _, statement := range []string{`CREATE TABLE loyalty.fact_tiers
(
    event_id UUID, shop_id String, shop_domain String, merchant_id String, api_version String, webhook_id String, received_at DateTime64(3, 'UTC'),
    customer_id String, points Int64, updated_at DateTime64(3, 'UTC'), normalized_at DateTime64(3, 'UTC'), retracted Bool
)
ENGINE = ReplacingMergeTree(normalized_at) PARTITION BY toYYYYMM(updated_at) ORDER BY (shop_id, customer_id, updated_at, event_id)
SETTINGS non_replicated_deduplication_window = 10000`, "CREATE VIEW loyalty.tiers AS SELECT * EXCEPT (retracted) FROM loyalty.fact_tiers FINAL WHERE NOT retracted"} {
		if err := b.conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func (b *tierBench) start() {
	b.t.Helper()
	b.service = startProcess(b.t, "serve", "--config", b.file)
	eventually(b.t, "the service is ready", func() bool { return len(notReady(b.t, b.p.adminURL("/readyz"))) == 0 })
}

// correct writes the contract anew, which the commands read at once.
func (b *tierBench) correct(text string) {
	b.t.Helper()
	if err := os.WriteFile(b.contract, []byte(text), 0o600); err != nil {
		b.t.Fatal(err)
	}
}

func (b *tierBench) send(topic, body string) {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.p.receiverURL(), strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	req.Header.Set("X-Shopline-Topic", topic)
	req.Header.Set("X-Shopline-Shop-Id", "s1")
	req.Header.Set("X-Shopline-Hmac-Sha256", simulate.SignBase64([]byte("new-secret"), []byte(body)))
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		b.t.Fatalf("answered %s", resp.Status)
	}
}

// connector runs a command, expects its status and that it prints some texts.
func (b *tierBench) connector(status int, args []string, want ...string) string {
	b.t.Helper()
	got, printed := connector(b.t, append(args, "--config", b.file)...)
	for _, text := range want {
		if got != status || !strings.Contains(printed, text) {
			b.t.Errorf("connector %s: exit status %d, want %d; it should print %q, it printed:\n%s", strings.Join(args, " "), got, status, text, printed)
			break
		}
	}
	return printed
}

// awaitTiers waits until the view has exactly these rows.
func (b *tierBench) awaitTiers(want string) {
	b.t.Helper()
	var got string
	eventually(b.t, "the tiers are "+want, func() bool {
		err := b.conn.QueryRow(b.t.Context(), "SELECT toString(groupArray((customer_id, points))) FROM (SELECT * FROM loyalty.tiers ORDER BY customer_id)").Scan(&got)
		return err == nil && got == want
	})
}

const tierBody = `{"customer":"c%d","member":"m%[1]d","points":%[1]d0,"updated_at":17218295265%02[1]d,"store_id":"s1"}`

// A person finds dead letters, looks at them, corrects the contract, retries them
// and replays the rest.
func TestDeadLettersAndReplay(t *testing.T) {
	t.Parallel()
	b := newTierBench(t)
	b.send("tiers/changed", fmt.Sprintf(tierBody, 1))
	b.send("tiers/changed", fmt.Sprintf(tierBody, 2))
	b.send("tiers/changed", "no JSON \x1b[31m\xff")
	b.send("tiers/\u202eunknown\u009b", "{}")
	eventually(t, "the dead letters are there", func() bool { return storedRows(t, b.p, "loyalty", "dead_letters") == 4 })

	printed := b.connector(0, []string{"deadletters", "list"}, "ID ", "missing_field", "4 open: missing_field 2, invalid_json 1, unknown_topic 1.")
	if strings.ContainsAny(printed, "\x1b\u202e\u009b") || !strings.Contains(printed, `unknown\u009b`) {
		t.Errorf("bytes from outside reach the terminal: %q", printed)
	}
	b.connector(0, []string{"deadletters", "list", "--reason", "missing_field", "--limit", "1"}, "2 open: missing_field 2. 1 more are not shown")
	b.connector(0, []string{"deadletters", "list", "--since", "-1h", "--shop", "s1", "--topic", "tiers", "--stage", "normalize"}, "3 open: missing_field 2, invalid_json 1.")
	b.connector(0, []string{"deadletters", "list", "--until", "2020-01-01"}, "No dead letters.")
	b.connector(1, []string{"deadletters", "list", "--since", "yesterday"}, "--since must be a time")
	b.connector(1, []string{"deadletters", "list", "--sink", "nowhere"}, `there is no ClickHouse sink "nowhere"; there is clickhouse`)
	b.connector(1, []string{"deadletters", "retry"}, "say which")
	b.connector(1, []string{"deadletters", "show", "x' OR 1=1"}, "is no id of a dead letter")
	b.connector(1, []string{"deadletters", "retry", "00000000000000ff"}, "no dead letter has the id 00000000000000ff")
	ids := map[string]string{}
	for line := range strings.Lines(b.connector(0, []string{"deadletters", "list", "--format", "json"}, `"state":"open"`)) {
		var letter struct{ ID, Reason string }
		if json.Unmarshal([]byte(line), &letter) == nil {
			ids[letter.Reason] = letter.ID
		}
	}
	if len(ids) != 3 {
		t.Fatalf("the ids are %v", ids)
	}
	b.connector(0, []string{"deadletters", "show", ids["missing_field"], ids["invalid_json"]},
		"field points_typo is missing or empty", `  "customer": "c`, "now still no row: missing_field", "not text, here in base64:\nbm8gSlNPTiAbWzMxbf8=")
	if raw := b.connector(0, []string{"deadletters", "show", "--raw", ids["invalid_json"]}, ""); raw != "no JSON \x1b[31m\xff" {
		t.Errorf("the raw body is %q", raw)
	}

	out := filepath.Join(t.TempDir(), "letters.ndjson")
	b.connector(0, []string{"deadletters", "export", "--out", out}, "4 dead letters are in")
	b.connector(1, []string{"deadletters", "export", "--out", out}, "is not overwritten")
	exported, err := os.ReadFile(out)
	if err != nil || bytes.Count(exported, []byte("\n")) != 4 || !bytes.Contains(exported, []byte(`"body_base64":"bm8gSlNPTiAbWzMxbf8="`)) || !bytes.Contains(exported, []byte(`"body":"{\"customer\":\"c1\"`)) {
		t.Errorf("the export, error %v:\n%s", err, exported)
	}
	if info, err := os.Stat(out); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the export's mode is %v, error %v", info.Mode(), err)
	}

	b.connector(1, []string{"deadletters", "retry", "--all-open", "--wait", "0s"}, "selected 4: 0 stored already, 0 published, 4 still rejected", "4 dead letters still cannot become a row")
	b.correct(tierContract("customer", "points"))
	b.connector(0, []string{"deadletters", "show", ids["missing_field"]}, "now a row of fact_tiers:")
	b.connector(0, []string{"deadletters", "retry", "--reason", "missing_field", "--dry-run"}, "2 would be published", "Dry run: nothing was published.")
	b.connector(0, []string{"deadletters", "list"}, "4 open")
	b.connector(0, []string{"deadletters", "retry", "--reason", "missing_field", "--wait", "1m"}, "2 published", "stored 2\n")
	b.awaitTiers("[('c1',10),('c2',20)]")
	b.connector(0, []string{"deadletters", "retry", ids["missing_field"]}, "selected 1: 1 stored already, 0 published")
	b.connector(0, []string{"deadletters", "list", "--all"}, "2 open, 2 resolved: missing_field 2", "resolved  field points_typo")

	// Another key: the rows move.
	b.correct(tierContract("member", "points"))
	b.connector(1, []string{"replay", "--from", "tomorrow"}, "--from must be a time")
	b.connector(1, []string{"replay", "--from", "-1h", "--topic", "tires"}, `no contract has the topic or webhook "tires"`)
	b.connector(0, []string{"replay", "--from", "-1h", "--topic", "tiers", "--dry-run", "--values"},
		"tiers           3       3          0    0        0      2          0           1", `customer_id "c1" -> "m1"`, "tiers: cannot be read, as before: invalid_json 1", "Dry run: nothing was published.")
	b.awaitTiers("[('c1',10),('c2',20)]")
	b.connector(0, []string{"replay", "--from", "-1h"}, "Published 4 records.", "(no contract)", "replaying webhooks 100%")
	b.awaitTiers("[('m1',10),('m2',20)]")
	b.connector(0, []string{"replay", "--from", "-1h"}, "Published 0 records.")

	// Without the service the records wait for it.
	b.service.signal(syscall.SIGTERM)
	b.service.wait()
	b.correct(tierContract("customer", "points"))
	b.connector(0, []string{"replay", "--from", "-1h"}, "Published 4 records.", "The service is not running.")
	b.connector(0, []string{"deadletters", "list"}, "2 open")
	b.start()
	b.awaitTiers("[('c1',10),('c2',20)]")
}

// A signalOn ends a context when something is printed that holds its text.
type signalOn struct {
	text   string
	signal context.CancelFunc
}

func (s signalOn) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(s.text)) {
		s.signal()
	}
	return len(b), nil
}

// A replay that Ctrl-C ends is no failure, and says how far it came.
func TestReplayEndsWithASignal(t *testing.T) {
	t.Parallel()
	b := newTierBench(t)
	if err := b.conn.Exec(t.Context(), `INSERT INTO loyalty.raw_webhooks (event_id, topic, shop_id, received_at, body)
SELECT generateUUIDv4(), 'tiers/changed', 's1', toDateTime64('2026-01-01 00:00:00', 3, 'UTC') + number, concat('{"n":', toString(number), '}') FROM numbers(60000)`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var printed bytes.Buffer
	root := rootCommand()
	root.SetArgs([]string{"replay", "--from", "2026-01-01", "--config", b.file})
	root.SetOut(&printed)
	root.SetErr(signalOn{"replaying webhooks", cancel})
	if err := root.ExecuteContext(ctx); err != nil {
		t.Errorf("it ends with %v", err)
	}
	for _, want := range []string{"tiers       20000   20000", "Stopped: what was received before 2026-01-01T05:33:20Z is done. Go on with --from 2026-01-01T05:33:20Z"} {
		if !strings.Contains(printed.String(), want) {
			t.Errorf("it should print %q, it printed:\n%s", want, &printed)
		}
	}
}

func TestParseMoment(t *testing.T) {
	now := time.Date(2026, 11, 22, 10, 0, 0, 0, time.UTC)
	for text, want := range map[string]string{
		"now": "2026-11-22T10:00:00Z", "-24h": "2026-11-21T10:00:00Z", "-90m": "2026-11-22T08:30:00Z", "-7d": "2026-11-15T10:00:00Z",
		"2026-01-31": "2026-01-31T00:00:00Z", "2026-01-31T08:00:00+08:00": "2026-01-31T00:00:00Z",
	} {
		if got, err := parseMoment("--from", text, now); err != nil || got.Format(time.RFC3339) != want {
			t.Errorf("%s is %s, error %v; want %s", text, got, err, want)
		}
	}
	for _, text := range []string{"", "24h", "--24h", "-1y", "-99999d", "2026-13-01", "yesterday", "-"} {
		if got, err := parseMoment("--from", text, now); err == nil || !strings.HasPrefix(err.Error(), "--from must be") {
			t.Errorf("%q is %s, error %v", text, got, err)
		}
	}
}

func TestVisible(t *testing.T) {
	for text, want := range map[string]string{
		"Zaphod 漢字 é": "Zaphod 漢字 é", "\x1b[31m": `\x1b[31m`, "a\nb\tc": `a\x0ab\x09c`, "\u009b\u202e": `\u009b\u202e`,
		"\xff\xfe": `\xff\xfe`, "\uFFFD": "\uFFFD", "\U000e0001": `\U000e0001`, "": "",
	} {
		if got := visible(text); got != want {
			t.Errorf("visible(%q) is %q, want %q", text, got, want)
		}
	}
	if got := visibleLines("a\n\tb\x1b"); got != "a\n\tb\\x1b" {
		t.Errorf("visibleLines is %q", got)
	}
	if got := shorten("abcdef", 4); got != "abc…" {
		t.Errorf("shorten is %q", got)
	}
	const value = "{\"a\":\"\u009b\u202e\U000e0001\x7f ü\"}"
	var before, after map[string]string
	escaped := escapeJSON([]byte(value))
	if err := json.Unmarshal([]byte(value), &before); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(escaped, &after); err != nil || after["a"] != before["a"] || regexp.MustCompile(`[^\x20-\x7eü]`).Match(escaped) {
		t.Errorf("escapeJSON: %q, error %v", escaped, err)
	}
}
