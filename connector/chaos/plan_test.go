//go:build linux

package main

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// places are those of a run with the embedded broker.
func places() []place {
	return []place{
		{"broker", "broker", brokerClass},
		{"broker's connections", "broker's connections", proxyClass},
		{"clickhouse", "clickhouse", clickHouseClass},
		{"postgres", "postgres", postgresClass},
		{"receive-1", receiverGroup, receiverClass},
		{"receive-2", receiverGroup, receiverClass},
		{"sink-1's ClickHouse", "sink-1's ClickHouse", proxyClass},
		{"sink-1's PostgreSQL", "sink-1's PostgreSQL", proxyClass},
		{"sink-1", "sink-1", sinkClass},
		{"sink-2's ClickHouse", "sink-2's ClickHouse", proxyClass},
		{"sink-2's PostgreSQL", "sink-2's PostgreSQL", proxyClass},
		{"sink-2", "sink-2", sinkClass},
	}
}

func TestPlanFollowsFromTheSeed(t *testing.T) {
	first := makePlan(7, 10*time.Minute, 3*time.Second, places())
	if diff := cmp.Diff(first, makePlan(7, 10*time.Minute, 3*time.Second, places())); diff != "" {
		t.Error("one seed has two plans:\n" + diff)
	}
	if cmp.Equal(first, makePlan(8, 10*time.Minute, 3*time.Second, places())) {
		t.Error("two seeds have one plan")
	}
}

// Ten minutes bring two hundred kills, of everything that can be killed, and
// everything else that can be done.
func TestPlanBreaksEverything(t *testing.T) {
	for seed := range uint64(20) {
		kills := 0
		seen := map[string]bool{}
		for _, f := range makePlan(seed, 10*time.Minute, 3*time.Second, places()) {
			if f.Kind == faultKill || f.Kind == faultTerminate {
				kills++
			}
			seen[string(f.Kind)+" "+f.Target] = true
		}
		if kills < 195 {
			t.Errorf("seed %d has %d kills", seed, kills)
		}
		for _, p := range places() {
			for kind := range p.class.kinds {
				if !seen[string(kind)+" "+p.name] {
					t.Errorf("seed %d never does %s to %s", seed, kind, p.name)
				}
			}
		}
	}
}

// Every fault has an end, and a target that is broken is not broken again before
// it is whole.
func TestPlanIsBounded(t *testing.T) {
	kafka := []place{
		{"kafka-0", "kafka", kafkaNodeClass},
		{"kafka-1", "kafka", kafkaNodeClass},
		{"kafka-2", "kafka", kafkaNodeClass},
	}
	all := append(places(), kafka...)
	byName := map[string]place{}
	for _, p := range all {
		byName[p.name] = p
	}
	for seed := range uint64(20) {
		until := map[string]time.Duration{}
		var before time.Duration
		for _, f := range makePlan(seed, 5*time.Minute, time.Second, all) {
			p := byName[f.Target]
			if p.class.kinds[f.Kind] == 0 {
				t.Errorf("seed %d does %s to %s", seed, f.Kind, f.Target)
			}
			if longest := max(p.class.away, p.class.still); f.For > longest {
				t.Errorf("seed %d: %+v is longer than %s", seed, f, longest)
			}
			if f.At < before || f.At >= 5*time.Minute {
				t.Errorf("seed %d: %+v is out of its order or time", seed, f)
			}
			before = f.At
			if end := f.At + f.For; end > until[p.group] {
				until[p.group] = end
			} else {
				t.Errorf("seed %d: %+v comes while %s is broken", seed, f, p.group)
			}
		}
	}
}
