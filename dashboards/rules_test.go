package dashboards_test

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// A receiving is what a receiver answers in some hours: when its processes start, the
// first of them perhaps before Prometheus looks, and when requests are answered with
// which status.
type receiving struct {
	starts  []time.Duration
	answers map[string][]time.Duration
}

// counted are the statuses that a receiver counts from its start.
var counted = []string{"200", "401", "413", "503"}

// hours is how long a receiver is watched.
const hours = 14

// scrape returns what Prometheus has collected of a receiver. At each start all
// counters begin anew.
func (r receiving) scrape(began time.Time) (all scraped) {
	for _, status := range counted {
		var samples []chunks.Sample
		for at := max(0, r.starts[0]); at <= hours*time.Hour; at += scrapeInterval {
			started := r.starts[0]
			for _, start := range r.starts {
				if start <= at {
					started = start
				}
			}
			n := 0.0
			for _, answered := range r.answers[status] {
				if answered > started && answered <= at {
					n++
				}
			}
			samples = append(samples, sample{began.Add(at).UnixMilli(), n})
		}
		all = append(all, storage.NewListSeries(labels.FromStrings(
			model.MetricNameLabel, requests, "instance", "a:9090", "job", "connector", "status", status, "topic", "points"), samples))
	}
	return all
}

// every returns times from one on, as long as the receiver is watched.
func every(interval, from, until time.Duration) (times []time.Duration) {
	for at := from; at < until; at += interval {
		times = append(times, at)
	}
	return times
}

// A webhook that is refused comes again, nine times in a quarter of an hour.
func resent(times []time.Duration) (all []time.Duration) {
	for _, at := range times {
		for i := range 9 {
			all = append(all, at+time.Duration(i*i)*14*time.Second)
		}
	}
	return all
}

func TestRulesOnWhatIsReceived(t *testing.T) {
	const before = -time.Hour
	for _, c := range []struct {
		name, alert string
		receiving   receiving
		// Between which times the alert is first raised; both 0 if it must never be.
		earliest, latest time.Duration
	}{
		{
			"a wrong secret after a restart, where a webhook comes each hour", "SignaturesRejected",
			receiving{[]time.Duration{before, 3 * time.Hour}, map[string][]time.Duration{
				"200": every(time.Hour, 20*time.Minute, 3*time.Hour),
				"401": resent(every(time.Hour, 3*time.Hour+20*time.Minute, hours*time.Hour)),
			}},
			3*time.Hour + 20*time.Minute, 4 * time.Hour,
		},
		{
			"a wrong secret from the beginning, and one webhook in two hours", "SignaturesRejected",
			receiving{[]time.Duration{time.Hour}, map[string][]time.Duration{
				"401": every(2*time.Hour, time.Hour+time.Minute, hours*time.Hour),
			}},
			time.Hour, time.Hour + 10*time.Minute,
		},
		{
			"a wrong secret where webhooks come all the time", "SignaturesRejected",
			receiving{[]time.Duration{before, 3 * time.Hour}, map[string][]time.Duration{
				"200": every(time.Minute, 0, 3*time.Hour), "401": every(time.Minute, 3*time.Hour, hours*time.Hour),
			}},
			3 * time.Hour, 3*time.Hour + 20*time.Minute,
		},
		{
			"now and then somebody else's request among webhooks", "SignaturesRejected",
			receiving{[]time.Duration{before}, map[string][]time.Duration{
				"200": every(10*time.Minute, 0, hours*time.Hour), "401": every(25*time.Minute, 0, hours*time.Hour),
			}},
			0, 0,
		},
		{
			"nothing comes", "SignaturesRejected",
			receiving{[]time.Duration{before}, nil},
			0, 0,
		},
		{
			"no webhook since a restart", "NoWebhooks",
			receiving{[]time.Duration{before, 2 * time.Hour}, map[string][]time.Duration{
				"200": every(10*time.Minute, 0, 2*time.Hour),
			}},
			8 * time.Hour, 9 * time.Hour,
		},
		{
			"none has ever come", "NoWebhooks",
			receiving{[]time.Duration{time.Hour}, nil},
			7 * time.Hour, 8 * time.Hour,
		},
		{
			"a wrong secret after a restart", "NoWebhooks",
			receiving{[]time.Duration{before, 2 * time.Hour}, map[string][]time.Duration{
				"200": {time.Hour}, "401": every(time.Hour, 3*time.Hour, hours*time.Hour),
			}},
			7 * time.Hour, 8 * time.Hour,
		},
		{
			"one in five hours, with a restart", "NoWebhooks",
			receiving{[]time.Duration{before, 7 * time.Hour}, map[string][]time.Duration{
				"200": every(5*time.Hour, time.Hour, hours*time.Hour),
			}},
			0, 0,
		},
		{
			"answered 503 from a start on", "ReceiverNotReady",
			receiving{[]time.Duration{before, 2 * time.Hour}, map[string][]time.Duration{
				"200": every(time.Minute, 0, 2*time.Hour), "503": every(time.Minute, 2*time.Hour, hours*time.Hour),
			}},
			2*time.Hour + 10*time.Minute, 2*time.Hour + 15*time.Minute,
		},
	} {
		t.Run(c.alert+"/"+c.name, func(t *testing.T) {
			raised, ever := raisedAt(t, ruleNamed(t, c.alert), c.receiving)
			switch {
			case c.latest == 0 && ever:
				t.Errorf("it is raised after %s, and nothing is wrong", raised)
			case c.latest > 0 && !ever:
				t.Error("it is never raised")
			case raised < c.earliest || raised > c.latest:
				t.Errorf("it is raised after %s, want %s to %s", raised, c.earliest, c.latest)
			}
		})
	}
}

// raisedAt returns when a rule first raises its alert.
func raisedAt(t *testing.T, r rule, of receiving) (at time.Duration, ever bool) {
	t.Helper()
	began := time.Date(2026, time.March, 5, 12, 0, 0, 0, time.UTC)
	watched := timeRange{began, began.Add(hours * time.Hour), time.Minute}
	readings, err := evaluate(t.Context(), of.scrape(began), target{Expr: r.Expr}, watched)
	if err != nil {
		t.Fatal(err)
	}
	wait, err := model.ParseDuration(r.For)
	if err != nil {
		t.Fatal(err)
	}
	pending := map[time.Duration]bool{}
	for _, reading := range readings {
		pending[reading.at.Sub(began)] = true
	}
	var since, last time.Duration
	for i, now := range slices.Sorted(maps.Keys(pending)) {
		if i == 0 || now > last+watched.step {
			since = now
		}
		if last = now; now-since >= time.Duration(wait) {
			return now, true
		}
	}
	return 0, false
}

// ruleNamed returns an alert of Prometheus.
func ruleNamed(t *testing.T, alert string) rule {
	t.Helper()
	for _, file := range ruleFiles(t) {
		var rules ruleGroups
		decode(t, file, &rules)
		for _, group := range rules.Groups {
			for _, r := range group.Rules {
				if r.Alert == alert {
					return r
				}
			}
		}
	}
	t.Fatalf("there is no alert %s", alert)
	return rule{}
}
