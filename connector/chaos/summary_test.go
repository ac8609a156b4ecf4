//go:build linux

package main

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/connector/simulate"
)

// exactResult is that of a run without a difference.
func exactResult() *result {
	return &result{
		tables: []comparison{
			{table: "fact_points", records: 110, rows: 110, acknowledged: 100, inView: 100, events: 100},
			{table: "raw_webhooks", records: 120, rows: 120, acknowledged: 110, inView: -1, events: -1},
		},
		balances:      map[string]int64{"points_balances": 9},
		wrongBalances: map[string]int64{"points_balances": 0},
		customers:     12, storedCustomers: 12,
		destinations: []destinationComparison{
			{sink: lakeSink, table: "fact_points", records: 110, rows: 110},
			{sink: lakeSink, table: "raw_webhooks", records: 120, rows: 120},
			{sink: applicationSink, table: "fact_points", records: 100, rows: 100},
		},
		batches: 7,
	}
}

func TestDifferences(t *testing.T) {
	if got := exactResult().differences(); len(got) > 0 {
		t.Errorf("an exact result differs: %v", got)
	}
	for want, change := range map[string]func(*result){
		"nothing was compared":                                  func(r *result) { r.tables = nil },
		"merged 2 parts":                                        func(r *result) { r.merged = 2 },
		"raw_webhooks: 1 Kafka records are lost":                func(r *result) { r.tables[1].lost, r.tables[1].rows = 1, 119 },
		"raw_webhooks: 2 rows are doubled":                      func(r *result) { r.tables[1].doubled, r.tables[1].rows = 2, 122 },
		"raw_webhooks: 121 rows of 120 records":                 func(r *result) { r.tables[1].rows = 121 },
		"raw_webhooks: 4 acknowledged events are lost":          func(r *result) { r.tables[1].missing = 4 },
		"fact_points: its view has 101 rows of 100 events":      func(r *result) { r.tables[0].inView = 101 },
		"fact_points: its view has 100 events, 99 were":         func(r *result) { r.tables[0].acknowledged = 99 },
		"points_balances: 1 of 9 balances differ":               func(r *result) { r.wrongBalances["points_balances"] = 1 },
		"customers: 11, there should be 12":                     func(r *result) { r.storedCustomers = 11 },
		"fact_points: its view has 99 events, 100 were":         func(r *result) { r.tables[0].inView, r.tables[0].events = 99, 99 },
		"fact_points: 106 rows of 110 records":                  func(r *result) { r.tables[0].rows = 106 },
		"gift_card_balances: 3 of 0 balances differ":            func(r *result) { r.wrongBalances["gift_card_balances"] = 3 },
		"store_credit_balances: 1 of 0 balances differ":         func(r *result) { r.wrongBalances["store_credit_balances"] = 1 },
		"fact_points: 5 rows are doubled":                       func(r *result) { r.tables[0].doubled, r.tables[0].rows = 5, 112 },
		"fact_points: 1 acknowledged events are lost":           func(r *result) { r.tables[0].missing = 1 },
		"fact_points: 7 Kafka records are lost":                 func(r *result) { r.tables[0].lost, r.tables[0].rows = 7, 100 },
		"fact_points: its view has 100 rows of 99 events":       func(r *result) { r.tables[0].events = 99 },
		"fact_points of lake: 1 rows are lost":                  func(r *result) { r.destinations[0].lost, r.destinations[0].rows = 1, 109 },
		"raw_webhooks of lake: 2 rows are doubled":              func(r *result) { r.destinations[1].doubled, r.destinations[1].rows = 2, 122 },
		"fact_points of application: 3 acknowledged events are": func(r *result) { r.destinations[2].missing = 3 },
		"fact_points of application: 99 rows, there should be":  func(r *result) { r.destinations[2].rows = 99 },
		"lake: by the files' names, 4 offsets are in no batch":  func(r *result) { r.gaps = 4 },
		"in no batch, and 5 in several":                         func(r *result) { r.overlaps = 5 },
		"customers: 13, there should be 12":                     func(r *result) { r.storedCustomers = 13 },
	} {
		r := exactResult()
		change(r)
		if got := strings.Join(r.differences(), "\n"); !strings.Contains(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestSummary(t *testing.T) {
	s := &summary{
		options: options{seed: 7, time: time.Minute, every: 3 * time.Second, rate: 300, span: time.Hour, kafka: kafkaEmbedded},
		took:    75 * time.Second,
		faults: []fault{
			{Kind: faultKill, Target: "sink-1"},
			{Kind: faultKill, Target: "sink-1"},
			{Kind: faultKill, Target: "broker"},
			{Kind: faultTerminate, Target: "sink-2"},
			{Kind: faultCut, Target: "broker's connections"},
		},
		sent: simulate.Summary{Sent: 1000, Accepted: 990, Refused: 10, Retries: 77}, resends: 50,
		result: exactResult(),
	}
	const exact = `
seed       7 (--seed 7 --time 1m0s --every 3s --rate 300 --span 1h0m0s --kafka embedded)
time       1m15s in all
kills      4; SIGKILL 3 (broker 1, sink-1 2); SIGTERM 1 (sink-2 1)
others     1; cut 1 (broker's connections 1)
webhooks   1000 sent, 50 of them resends; 990 acknowledged, 10 refused for their signature, 77 attempts had to be repeated

                records  rows  lost  doubled  acknowledged  missing  in view
   fact_points      110   110     0        0           100        0      100
  raw_webhooks      120   120     0        0           110        0        -

stored 230 rows of 230 records, lost 0, doubled 0; acknowledged events that are missing 0; balances that differ 0 of 9
lake: 230 rows in files of 7 batches, there should be 230, lost 0, doubled 0; acknowledged events that are missing 0
application: 100 rows, there should be 100, lost 0, doubled 0; acknowledged events that are missing 0

exact: every acknowledged webhook is stored by every sink, every record once, and every balance is right
`
	if got := printed(t, s); got != exact {
		t.Errorf("printed is\n%s\nwant\n%s", got, exact)
	}
	s.differences, s.evidence = []string{"fact_points: 1 rows are doubled"}, "/tmp/evidence"
	const inexact = `
NOT EXACT
  fact_points: 1 rows are doubled
evidence   /tmp/evidence
`
	if got := printed(t, s); !strings.HasSuffix(got, inexact) {
		t.Errorf("printed is\n%s\nwant at the end\n%s", got, inexact)
	}
}

func printed(t *testing.T, s *summary) string {
	t.Helper()
	var out bytes.Buffer
	if err := s.print(&out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}
