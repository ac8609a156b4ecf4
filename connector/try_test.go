package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tryConfig has a sink of every kind, none of which is there.
func tryConfig(t *testing.T) string {
	t.Helper()
	return writeFile(t, "connector.yaml", fmt.Sprintf(`
receiver: {secrets: [s], max_body_bytes: 2000}
kafka: {brokers: ["127.0.0.1:1"], topic_prefix: shop.}
sinks:
  - name: warehouse
    clickhouse: {addresses: ["127.0.0.1:1"]}
  - name: application
    topics: [points]
    postgres: {host: 127.0.0.1, port: 1, schema: app}
  - name: lake
    topics: [points]
    filter: points_delta > 0
    files: {local: {directory: %q}, prefix: lake}
  - name: partner
    topics: [points, dead_letters]
    columns: {include: [buyer_id, points_delta], rename: {buyer_id: customer}}
    http: {url: "http://127.0.0.1:1/in?token=swordfish", secrets: [swordfish-swordfish-swordfish]}
  - name: look
    topics: [points]
    filter: 'points_balance %% updated_value == 0'
    stdout: {}
`, filepath.Join(t.TempDir(), "lake")))
}

func TestTry(t *testing.T) {
	file := tryConfig(t)
	points := filepath.Join("normalize", "testdata", "points.json")
	for _, test := range []struct {
		name   string
		args   []string
		body   string
		status int
		want   []string
	}{
		{
			name: "a row", args: []string{"--topic", "points", "--header", "x-shopline-shop-id: 9", points},
			want: []string{
				"Webhook app_memberSystem_points/challenged, 254 bytes, event 31c7e029-6063-b9f9-90bb-1a8bf280e38f\n",
				"The body and the header name different shops",
				"\nRow of fact_points:\n",
				"\n  updated_at         2024-07-24 13:58:46.566 UTC\n",
				"\n  points_delta       -20\n",
				"\n  and 4 columns that are empty\n",
				"\nIn Kafka, with the key 1718263946864/2404721679:\nshop.points\n  {\"event_id\":\"31c7e029-6063-b9f9-90bb-1a8bf280e38f\",",
				"\nshop.raw_webhooks\n  {",
				"\nSink warehouse (clickhouse) gets\n  of points, in table loyalty.fact_points, all 17 columns\n  of raw_webhooks, in table loyalty.raw_webhooks, all 10 columns\n",
				"\nSink application (postgres) gets\n  of points, in table app.fact_points, all 17 columns\n  of raw_webhooks nothing: its topics leave it out\n",
				"\nSink lake (files) gets\n  of points nothing: its filter says no\n",
				"\nSink partner (http) gets\n  of points, in a POST to 127.0.0.1:1 with Loyaltyhouse-Table: fact_points, 5 of 17 columns\n" +
					`    {"event_id":"31c7e029-6063-b9f9-90bb-1a8bf280e38f","customer":"2404721679","points_delta":-20,"normalized_at":`,
				"\nSink look (stdout) gets\n  of points, in a line of stdout, all 17 columns\n",
			},
		},
		{
			name: "SHOPLINE's topic, and the full name of Kafka's", args: []string{"--topic", "APP_memberSystem_points/challenged", points},
			want: []string{"Row of fact_points"},
		},
		{name: "Kafka's topic", args: []string{"--topic", "shop.points", points}, want: []string{"Row of fact_points"}},
		{
			name: "the topic as a header", args: []string{"--header", "X-Shopline-Topic: app_memberSystem_points/challenged", "--header", "X-Shopline-Webhook-Id: w1", points},
			want: []string{"Row of fact_points", "\n  webhook_id         w1\n"},
		},
		{
			name: "a reject", args: []string{"--topic", "points", "-"}, body: `{"buyer_id":"b"}`, status: 1,
			want: []string{
				"\n  stage   normalize\n  reason  missing_field\n  detail  field update_type is missing or empty\n",
				`shop.dead_letters` + "\n" + `  {"stage":"normalize","reason":"missing_field",`,
				"\nSink warehouse (clickhouse) gets\n  of dead_letters, in table loyalty.dead_letters, all 16 columns\n",
				"\nSink lake (files) gets\n  of dead_letters nothing: its topics leave it out\n",
				"the body does not become a row, and would be a dead letter",
			},
		},
		{
			name: "an unknown topic", args: []string{"--topic", "pionts", points}, status: 1,
			want: []string{"reason  unknown_topic", "known   customer_changes (customers/update), gift_cards (", "points (app_memberSystem_points/challenged)"},
		},
		{
			name: "a filter that can be neither true nor false", args: []string{"--topic", "points", "-"},
			body: `{"buyer_id":"b","update_type":"INCREASE","updated_value":0,"points_balance":30,"updated_at":1721829526566}`,
			want: []string{
				"Sink lake (files) gets\n  of points nothing: its filter says no\n",
				"Sink look (stdout) gets\n  of points a dead letter: stage sink, reason filter_failed, the filter cannot be told for this row at ",
			},
		},
		{name: "no topic", args: []string{points}, status: 1, want: []string{"--topic is needed"}},
		{name: "no header", args: []string{"--topic", "points", "--header", "X-Shopline-Shop: 9", points}, status: 1, want: []string{"--header must be one of X-Shopline-Topic, "}},
		{name: "no file", args: []string{"--topic", "points", "absent.json"}, status: 1, want: []string{"absent.json", "or - for standard input"}},
		{name: "too large", args: []string{"--topic", "points", "-"}, body: strings.Repeat(" ", 2001), status: 1, want: []string{"receiver.max_body_bytes (2000)", "413"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			status, printed := connectorReading(t, test.body, append([]string{"try", "--config", file}, test.args...)...)
			if status != test.status {
				t.Errorf("exit status %d, want %d", status, test.status)
			}
			for _, want := range test.want {
				if !strings.Contains(printed, want) {
					t.Errorf("it does not print %q, but:\n%s", want, printed)
				}
			}
			if strings.Contains(printed, "swordfish") {
				t.Error("it prints a secret")
			}
		})
	}
}

// What is printed as the record in Kafka is JSON, whatever the body holds.
func TestTryPrintsAnything(t *testing.T) {
	body := "{\"buyer_id\":\"\\u001b[2J\u202e\",\"x\":\"\xff\"}"
	_, printed := connectorReading(t, body, "try", "--config", tryConfig(t), "--topic", "points", "-")
	for line := range strings.Lines(printed) {
		if text, ok := strings.CutPrefix(line, "  {"); ok && !json.Valid([]byte("{"+text)) {
			t.Errorf("this is no JSON: %s", line)
		}
	}
	if bytes.ContainsAny([]byte(printed), "\x1b\u202e") {
		t.Errorf("it prints what can move a cursor: %q", printed)
	}
}

// connectorReading runs the command to its end with a text as its standard input.
func connectorReading(t *testing.T, input string, args ...string) (status int, printed string) {
	t.Helper()
	file := writeFile(t, "input", input)
	in, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	p := newProcess(t, args...)
	p.cmd.Stdin = in
	p.start()
	return p.wait(), p.output.String()
}
