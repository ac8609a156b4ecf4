package dashboards_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// A site is connectors at work, as Prometheus has watched them. All that is
// counted comes twice as fast after a moment, and every level is three times as
// high, so that it matters of what time a panel tells.
type site struct {
	began, changed, now time.Time
	exposed             map[string]metric
	series              []series
	wrong               []string // series that nothing exposes
}

// A series is what one process tells of one metric.
type series struct {
	metric string
	labels map[string]string
	// size is how much comes in a second before the change, or how high the level
	// is; buckets are the sizes of a histogram by their upper bounds.
	size    float64
	buckets map[float64]float64
	course  course
}

// A course is how the numbers of a series go.
type course int

const (
	counts   course = iota // a counter
	level                  // a gauge
	constant               // a gauge that never moves
)

func newSite(t *testing.T) *site {
	now := time.Date(2026, time.March, 5, 12, 0, 0, 0, time.UTC)
	return &site{began: now.Add(-30 * time.Minute), changed: now.Add(-2 * time.Minute), now: now, exposed: exposed(t)}
}

// add adds a series, whose labels are names and values in turn. They must be those
// with which the connector exposes the metric.
func (s *site) add(instance string, c course, metric string, size float64, pairs ...string) {
	s.put(series{metric: metric, labels: s.labelled(metric, instance, "connector", pairs), size: size, course: c})
}

// observe adds a histogram: how many observations a second fall below each bound
// and above the one before, and how large they are on average.
func (s *site) observe(instance, metric string, mean float64, buckets map[float64]float64, pairs ...string) {
	if !s.exposed[metric].histogram {
		s.wrong = append(s.wrong, metric+" is no histogram")
	}
	l := s.labelled(metric, instance, "connector", pairs)
	total := 0.0
	for _, bound := range slices.Sorted(maps.Keys(buckets)) {
		total += buckets[bound]
		bucket := maps.Clone(l)
		bucket["le"] = fmt.Sprint(bound)
		s.put(series{metric: metric + "_bucket", labels: bucket, size: total})
	}
	s.put(series{metric: metric + "_count", labels: l, size: total})
	s.put(series{metric: metric + "_sum", labels: l, size: total * mean})
	s.put(series{metric: metric, labels: l, buckets: buckets})
}

func (s *site) put(one series) { s.series = append(s.series, one) }

func (s *site) labelled(metric, instance, job string, pairs []string) map[string]string {
	l := map[string]string{"instance": instance, "job": job}
	var names []string
	for i := 0; i+1 < len(pairs); i += 2 {
		l[pairs[i]] = pairs[i+1]
		names = append(names, pairs[i])
	}
	known, ok := s.exposed[metric]
	if slices.Contains(foreign, metric) {
		return l
	}
	if want := slices.Sorted(slices.Values(known.labels)); !ok || !slices.Equal(slices.Sorted(slices.Values(names)), want) {
		s.wrong = append(s.wrong, fmt.Sprintf("%s%v; exposed: %t, with the labels %v", metric, names, ok, want))
	}
	return l
}

// scrape returns what Prometheus has collected.
func (s *site) scrape() (all scraped) {
	for _, one := range s.series {
		if one.buckets != nil {
			continue // Its buckets are series of their own.
		}
		var samples []chunks.Sample
		for at := s.began; !at.After(s.now); at = at.Add(scrapeInterval) {
			samples = append(samples, sample{at.UnixMilli(), s.value(one, at)})
		}
		l := maps.Clone(one.labels)
		l[model.MetricNameLabel] = one.metric
		all = append(all, storage.NewListSeries(labels.FromMap(l), samples))
	}
	return all
}

func (s *site) value(one series, at time.Time) float64 {
	since := max(0, at.Sub(s.changed).Seconds())
	switch {
	case one.course == counts:
		return one.size * (at.Sub(s.began).Seconds() + since)
	case one.course == level && since > 0:
		return 3 * one.size
	}
	return one.size
}

// sizes are those of series by their legends.
type sizes map[string]float64

// A filter keeps some series.
type filter func(labels map[string]string) bool

func with(label, value string) filter {
	return func(l map[string]string) bool { return l[label] == value }
}

func (s *site) of(metric string, filters ...filter) (found []series) {
	for _, one := range s.series {
		if one.metric == metric && !slices.ContainsFunc(filters, func(f filter) bool { return !f(one.labels) }) {
			found = append(found, one)
		}
	}
	return found
}

// sum is that of all series, 0 of none, under one legend.
func (s *site) sum(legend, metric string, filters ...filter) sizes {
	total := sizes{legend: 0}
	for _, one := range s.of(metric, filters...) {
		total[legend] += one.size
	}
	return total
}

// sums are those of the series that have the same legend.
func (s *site) sums(format, metric string, filters ...filter) sizes {
	totals := sizes{}
	for _, one := range s.of(metric, filters...) {
		totals[legend(format, labels.FromMap(one.labels))] += one.size
	}
	return totals
}

// largest are the largest of the series that have the same legend.
func (s *site) largest(format, metric string) sizes {
	found := sizes{}
	for _, one := range s.of(metric) {
		name := legend(format, labels.FromMap(one.labels))
		found[name] = max(found[name], one.size)
	}
	return found
}

// overdue is how much older the oldest record is, of all sinks, than its sink's
// batches may wait to fill.
func (s *site) overdue() (longest float64) {
	for _, one := range s.of("loyaltyhouse_consumer_oldest_undelivered_seconds") {
		wait := 0.0
		for _, w := range s.of("loyaltyhouse_sink_batch_max_age_seconds", with("sink", one.labels["sink"])) {
			wait = max(wait, w.size)
		}
		longest = max(longest, one.size-wait)
	}
	return longest
}

// quantiles are those of all observations together. Within a bucket they lie
// evenly.
func (s *site) quantiles(metric string) sizes {
	all := map[float64]float64{}
	total := 0.0
	for _, one := range s.of(metric) {
		for bound, size := range one.buckets {
			all[bound] += size
			total += size
		}
	}
	found := sizes{}
	for name, q := range map[string]float64{"50 %": 0.5, "95 %": 0.95, "99 %": 0.99} {
		below, lower := 0.0, 0.0
		for _, bound := range slices.Sorted(maps.Keys(all)) {
			if below+all[bound] >= q*total {
				found[name] = lower + (bound-lower)*(q*total-below)/all[bound]
				break
			}
			below, lower = below+all[bound], bound
		}
	}
	return found
}

// A measure is what the numbers of a panel are, and how they go when what they are
// made of changes.
type measure struct {
	unit     string
	decimals float64
	// after is what the change makes of a number. Over is the time of which a number
	// at the present is the average.
	after float64
	over  time.Duration
	// sinceStart tells that all is counted that came since the processes started.
	sinceStart bool
	// unknown is what stands where no process tells; empty: whatever it is.
	unknown string
}

var (
	perSecond = measure{unit: "short", decimals: 1, after: 2, over: 5 * time.Minute}
	rare      = measure{unit: "short", decimals: 3, after: 2, over: 5 * time.Minute, unknown: "–"}
	asOfNow   = measure{unit: "locale", after: 3}
	lagNow    = measure{unit: "locale", after: 3, unknown: "–"}
	processes = measure{unit: "locale", after: 1}
	sinceUp   = measure{unit: "locale", sinceStart: true}
	ageNow    = measure{unit: "s", after: 3, unknown: "–"}
	bytesNow  = measure{unit: "bytes", decimals: 1, after: 3}
	duration  = measure{unit: "s", decimals: 3, after: 1}
	perBatch  = measure{unit: "short", decimals: 1, after: 1}
)

// A pipelinePromise is what a panel says.
type pipelinePromise struct {
	measure
	sizes func(*site) sizes
}

func both(a, b sizes) sizes {
	maps.Copy(a, b)
	return a
}

const requests = "loyaltyhouse_webhook_requests_total"

var pipelinePromises = map[string]pipelinePromise{
	"Webhooks":     {rare, func(s *site) sizes { return s.sum("webhooks", requests, with("status", "200")) }},
	"Answered 503": {rare, func(s *site) sizes { return s.sum("503", requests, with("status", "503")) }},
	"Refused signatures": {rare, func(s *site) sizes {
		return s.sum("401", requests, with("status", "401"))
	}},
	"Not delivered":      {lagNow, func(s *site) sizes { return s.sum("records", "loyaltyhouse_consumer_lag_records") }},
	"Oldest undelivered": {ageNow, func(s *site) sizes { return sizes{"age": s.overdue()} }},
	"Out of reach": {processes, func(s *site) sizes {
		return s.count("down", "up", func(one series) bool { return one.size == 0 }, with("job", "connector"))
	}},
	"Requests by status": {perSecond, func(s *site) sizes { return s.sums("{{status}}", requests) }},
	"Requests by topic":  {perSecond, func(s *site) sizes { return s.sums("{{topic}}", requests, with("status", "200")) }},
	"Time to answer":     {duration, func(s *site) sizes { return s.quantiles("loyaltyhouse_webhook_request_duration_seconds") }},
	"In flight":          {asOfNow, func(s *site) sizes { return s.sums("{{instance}}", "loyaltyhouse_webhook_in_flight_requests") }},
	"Became dead letters": {perSecond, func(s *site) sizes {
		return both(s.sums("{{reason}}", "loyaltyhouse_webhook_rejects_total"),
			s.sum("another shop in the header", "loyaltyhouse_webhook_store_mismatches_total"))
	}},
	"Time to publish": {duration, func(s *site) sizes { return s.quantiles("loyaltyhouse_kafka_publish_duration_seconds") }},
	"Publish errors":  {perSecond, func(s *site) sizes { return s.sums("{{topic}} {{reason}}", "loyaltyhouse_kafka_publish_errors_total") }},
	"Waiting to be published": {bytesNow, func(s *site) sizes {
		return s.sums("{{instance}}", "loyaltyhouse_kafka_publish_queue_bytes")
	}},
	"Messages per publish": {perBatch, func(s *site) sizes {
		messages := s.sum("messages", "loyaltyhouse_kafka_publish_batch_messages_sum")
		messages["messages"] /= s.sum("batches", "loyaltyhouse_kafka_publish_batch_messages_count")["batches"]
		return messages
	}},
	"Not delivered, by topic": {lagNow, func(s *site) sizes { return s.sums("{{sink}} {{topic}}", "loyaltyhouse_consumer_lag_records") }},
	"Oldest undelivered, by topic": {ageNow, func(s *site) sizes {
		return s.largest("{{sink}} {{topic}}", "loyaltyhouse_consumer_oldest_undelivered_seconds")
	}},
	"Rows stored":    {perSecond, func(s *site) sizes { return s.sums("{{sink}} {{topic}}", "loyaltyhouse_sink_rows_total") }},
	"Rows per batch": {perBatch, func(s *site) sizes { return s.quantiles("loyaltyhouse_sink_batch_rows") }},
	"Time to write":  {duration, func(s *site) sizes { return s.quantiles("loyaltyhouse_sink_write_duration_seconds") }},
	"Write errors":   {perSecond, func(s *site) sizes { return s.sums("{{sink}} {{kind}}", "loyaltyhouse_sink_write_errors_total") }},
	"Refused by a sink": {perSecond, func(s *site) sizes {
		return s.sums("{{sink}} {{topic}} {{reason}}", "loyaltyhouse_sink_dead_letters_total")
	}},
	"Consumer groups": {perSecond, func(s *site) sizes {
		return both(both(
			s.sums("rebalances {{group}}", "loyaltyhouse_kafka_rebalances_total"),
			s.sums("errors {{group}}", "loyaltyhouse_kafka_group_errors_total")),
			s.sums("fetch errors {{topic}}", "loyaltyhouse_kafka_fetch_errors_total"))
	}},
	"Rows missing":      {sinceUp, func(s *site) sizes { return s.sum("rows", "loyaltyhouse_sink_missing_rows_total") }},
	"Rows doubled":      {sinceUp, func(s *site) sizes { return s.sum("rows", "loyaltyhouse_sink_doubled_rows_total") }},
	"Ranges changed":    {sinceUp, func(s *site) sizes { return s.sum("ranges", "loyaltyhouse_sink_changed_ranges_total") }},
	"Contracts changed": {sinceUp, func(s *site) sizes { return s.sum("ranges", "loyaltyhouse_sink_changed_contracts_total") }},
	"Offsets lost":      {sinceUp, func(s *site) sizes { return s.sum("resets", "loyaltyhouse_kafka_offset_resets_total") }},
	"Builds": {processes, func(s *site) sizes {
		return sizes{"versions": float64(len(s.sums("{{version}}", "loyaltyhouse_build_info")))}
	}},
	"Configurations refused": {processes, func(s *site) sizes {
		return s.count("processes", "loyaltyhouse_config_last_reload_successful", func(one series) bool { return one.size == 0 })
	}},
	"Configurations read again": {sinceUp, func(s *site) sizes { return s.sum("reloads", "loyaltyhouse_config_reloads_total") }},
	"Memory":                    {bytesNow, func(s *site) sizes { return s.ofConnectors("process_resident_memory_bytes") }},
	"Go heap":                   {bytesNow, func(s *site) sizes { return s.ofConnectors("go_memstats_heap_alloc_bytes") }},
	"Goroutines":                {asOfNow, func(s *site) sizes { return s.ofConnectors("go_goroutines") }},
}

// count is how many series there are for which is tells so.
func (s *site) count(legend, metric string, is func(series) bool, filters ...filter) sizes {
	n := 0
	for _, one := range s.of(metric, filters...) {
		if is(one) {
			n++
		}
	}
	return sizes{legend: float64(n)}
}

// ofConnectors leaves out the other programs that tell the same metric.
func (s *site) ofConnectors(metric string) sizes {
	return s.sums("{{instance}}", metric, with("job", "connector"))
}

// busy is two connectors and one that cannot be reached, with something of
// everything.
func busy(t *testing.T) *site {
	s := working(t, 1)
	s.add("c:9090", constant, "up", 0)
	s.add("a:9090", counts, requests, 0.5, "status", "503", "topic", "points")
	s.add("b:9090", counts, requests, 0.25, "status", "503", "topic", "gift_cards")
	s.add("b:9090", counts, requests, 0.2, "status", "401", "topic", "points")
	for i, instance := range []string{"a:9090", "b:9090"} {
		n := float64(i + 1)
		s.add(instance, counts, "loyaltyhouse_kafka_publish_errors_total", 0.4*n, "topic", "points", "reason", "timeout")
		s.add(instance, counts, "loyaltyhouse_kafka_publish_errors_total", 0.6*n, "topic", "raw_webhooks", "reason", "timeout")
		s.add(instance, counts, "loyaltyhouse_sink_write_errors_total", 0.8*n, "sink", "clickhouse", "kind", "transient")
		s.add(instance, counts, "loyaltyhouse_sink_write_errors_total", 0.05*n, "sink", "clickhouse", "kind", "permanent")
		s.add(instance, counts, "loyaltyhouse_sink_dead_letters_total", 0.15*n, "sink", "clickhouse", "topic", "points", "reason", "row_refused")
		s.add(instance, counts, "loyaltyhouse_kafka_rebalances_total", 0.01*n, "group", "loyalty-clickhouse")
		s.add(instance, counts, "loyaltyhouse_kafka_group_errors_total", 0.02*n, "group", "loyalty-clickhouse")
		s.add(instance, counts, "loyaltyhouse_kafka_fetch_errors_total", 0.03*n, "topic", "points")
		s.add(instance, counts, "loyaltyhouse_sink_missing_rows_total", 0.5*n, "sink", "clickhouse", "topic", "points")
		s.add(instance, counts, "loyaltyhouse_sink_doubled_rows_total", 1.5*n, "sink", "clickhouse", "topic", "gift_cards")
		s.add(instance, counts, "loyaltyhouse_sink_changed_ranges_total", 2.5*n, "sink", "clickhouse", "topic", "points")
		s.add(instance, counts, "loyaltyhouse_sink_changed_contracts_total", 3.5*n, "sink", "clickhouse", "topic", "points")
		s.add(instance, counts, "loyaltyhouse_kafka_offset_resets_total", 4.5*n, "group", "loyalty-clickhouse", "topic", "points")
		s.add(instance, counts, "loyaltyhouse_config_reloads_total", 5.5*n, "result", "refused")
	}
	s.add("c:9090", constant, "loyaltyhouse_config_last_reload_successful", 0)
	s.add("c:9090", constant, "loyaltyhouse_build_info", 1, "version", "1.1.0", "go", "go1.26")
	return s
}

// working is two connectors at work. Mishaps are how many there are of those that a
// process counts from its start on, even where there is none.
func working(t *testing.T, mishaps float64) *site {
	s := newSite(t)
	for i, instance := range []string{"a:9090", "b:9090"} {
		n := float64(i + 1)
		s.add(instance, constant, "up", 1)
		s.add(instance, counts, requests, 3*n, "status", "200", "topic", "points")
		s.add(instance, counts, requests, 1*n, "status", "200", "topic", "gift_cards")
		for _, status := range counted {
			s.add(instance, counts, requests, 0, "status", status, "topic", "unknown")
		}
		s.observe(instance, "loyaltyhouse_webhook_request_duration_seconds", 0.02,
			map[float64]float64{0.01: 6 * n, 0.05: 3 * n, 0.25: 1, 1: 0.2 * n, math.Inf(1): 0}, "status", "200")
		s.observe(instance, "loyaltyhouse_webhook_request_duration_seconds", 0.3,
			map[float64]float64{0.01: 0, 0.05: n, 0.25: 2, 1: 0.5 * n, math.Inf(1): 0}, "status", "503")
		s.add(instance, counts, "loyaltyhouse_webhook_rejects_total", 0.1*n*mishaps, "reason", "missing_field")
		s.add(instance, counts, "loyaltyhouse_webhook_rejects_total", 0.3*n*mishaps, "reason", "invalid_json")
		s.add(instance, counts, "loyaltyhouse_webhook_store_mismatches_total", 0.7*n*mishaps)
		s.add(instance, level, "loyaltyhouse_webhook_in_flight_requests", 7*n)
		s.observe(instance, "loyaltyhouse_kafka_publish_duration_seconds", 0.004,
			map[float64]float64{0.001: 2 * n, 0.01: 5, 0.1: 1 * n, 1: 0.1, math.Inf(1): 0}, "topic", "points")
		s.observe(instance, "loyaltyhouse_kafka_publish_batch_messages", 12*n, map[float64]float64{10: 3 * n, 50: 2, math.Inf(1): 0})
		s.add(instance, level, "loyaltyhouse_kafka_publish_queue_bytes", 4096*n)
		for j, topic := range []string{"points", "gift_cards"} {
			m := n + 10*float64(j)
			s.add(instance, level, "loyaltyhouse_consumer_lag_records", 100*m, "sink", "clickhouse", "topic", topic, "partition", fmt.Sprint(i))
			s.add(instance, level, "loyaltyhouse_consumer_oldest_undelivered_seconds", 5*m, "sink", "clickhouse", "topic", topic, "partition", fmt.Sprint(i))
			s.add(instance, counts, "loyaltyhouse_sink_rows_total", 40*m, "sink", "clickhouse", "topic", topic)
		}
		s.add(instance, level, "loyaltyhouse_sink_batch_max_age_seconds", 0.5*n, "sink", "clickhouse")
		// A sink that waits for large batches is late on purpose.
		s.add(instance, level, "loyaltyhouse_consumer_oldest_undelivered_seconds", 250*n, "sink", "lake", "topic", "points", "partition", "0")
		s.add(instance, level, "loyaltyhouse_sink_batch_max_age_seconds", 600, "sink", "lake")
		s.observe(instance, "loyaltyhouse_sink_batch_rows", 30, map[float64]float64{16: 4 * n, 64: 2, 256: 1 * n, math.Inf(1): 0}, "sink", "clickhouse")
		s.observe(instance, "loyaltyhouse_sink_write_duration_seconds", 0.3,
			map[float64]float64{0.1: 3, 1: 2 * n, 10: 0.5, math.Inf(1): 0}, "sink", "clickhouse")
		s.add(instance, constant, "loyaltyhouse_build_info", 1, "version", "1.0.0", "go", "go1.26")
		s.add(instance, constant, "loyaltyhouse_config_last_reload_successful", 1)
		s.add(instance, counts, "loyaltyhouse_config_reloads_total", 0.5*n, "result", "applied")
		for j, metric := range foreign[1:] {
			s.add(instance, level, metric, 1000*n+float64(j))
		}
	}
	// Prometheus watches other programs, too.
	for _, metric := range foreign {
		s.put(series{metric: metric, labels: s.labelled(metric, "other:9100", "other", nil), course: constant})
	}
	return s
}

func TestPipelineSaysWhatItPromises(t *testing.T) {
	panels := decoded(t)["pipeline"].Panels
	for title := range pipelinePromises {
		if !slices.ContainsFunc(panels, func(p panel) bool { return p.Title == title }) {
			t.Errorf("there is no panel %q", title)
		}
	}
	everything := busy(t)
	for _, s := range []*site{everything, working(t, 0)} {
		for _, wrong := range s.wrong {
			t.Errorf("nothing exposes %s", wrong)
		}
		for _, p := range panels {
			promise, ok := pipelinePromises[p.Title]
			if !ok {
				t.Errorf("nothing is known of what the panel %q promises", p.Title)
				continue
			}
			for _, wrong := range promise.check(t.Context(), s, p) {
				t.Errorf("%s: %s", p.Title, wrong)
			}
		}
	}
	for title, promise := range pipelinePromises {
		if len(promise.sizes(everything)) == 0 {
			t.Errorf("%s: the site has nothing for it to show", title)
		}
	}
}

// Where no connector can be reached, nothing is known of it, and no panel says 0 or
// never instead.
func TestPipelineOfNobody(t *testing.T) {
	s := newSite(t)
	s.add("a:9090", constant, "up", 0)
	for _, p := range decoded(t)["pipeline"].Panels {
		promise := pipelinePromises[p.Title]
		if promise.unknown == "" {
			continue
		}
		if noValue := p.FieldConfig.Defaults.NoValue; noValue != promise.unknown {
			t.Errorf("%s: where no process tells there is %q, want %q", p.Title, noValue, promise.unknown)
		}
		readings, err := evaluate(t.Context(), s.scrape(), p.Targets[0], timeRange{s.began, s.now, time.Minute})
		if err != nil || len(readings) > 0 {
			t.Errorf("%s: %v, %v", p.Title, readings, err)
		}
	}
}

// Every mistake in the panels is found.
func TestMistakesInPipelineAreFound(t *testing.T) {
	panels := decoded(t)["pipeline"].Panels
	sites := []*site{busy(t), working(t, 0)}
	for _, m := range []struct{ title, old, new string }{
		{"Webhooks", "200", "503"},
		{"Webhooks", "[5m]", "[1m]"},
		{"Webhooks", "requests_total", "request_total"},
		{"Webhooks", "{status", "{code"},
		{"Answered 503", "[5m]", "[1m]"},
		{"Refused signatures", "401", "403"},
		{"Not delivered", "sum", "max"},
		{"Oldest undelivered", "(max(", "(sum("},
		{"Oldest undelivered", "on (sink)", "on (instance)"},
		{"Oldest undelivered", "- on (sink) group_left () max by (sink) (loyaltyhouse_sink_batch_max_age_seconds)", ""},
		{"Out of reach", `{job="connector"}`, ""},
		{"Out of reach", "== 0", "== 1"},
		{"Requests by status", "rate(", "increase("},
		{"Requests by status", "[$__rate_interval]", "[15m]"},
		{"Requests by topic", `{status="200"}`, ""},
		{"Requests by topic", "by (topic)", "by (instance)"},
		{"Time to answer", "0.95", "0.9"},
		{"Time to answer", "by (le)", "by (le, status)"},
		{"In flight", "{{instance}}", "{{job}}"},
		{"Became dead letters", "store_mismatches", "rejects"},
		{"Publish errors", "topic, reason", "reason"},
		{"Messages per publish", "_sum[", "_count["},
		{"Oldest undelivered, by topic", "max by", "sum by"},
		{"Rows stored", "rate(loyaltyhouse_sink_rows_total", "irate(loyaltyhouse_consumer_lag_records"},
		{"Rows per batch", "batch_rows_bucket", "write_duration_seconds_bucket"},
		{"Write errors", "{{kind}}", "{{reason}}"},
		{"Consumer groups", "group_errors", "rebalances"},
		{"Rows missing", "sum(loyaltyhouse_sink_missing_rows_total)", "sum(increase(loyaltyhouse_sink_missing_rows_total[10m]))"},
		{"Builds", "by (version)", "by (instance)"},
		{"Configurations refused", " == 0", ""},
		{"Configurations read again", "sum", "count"},
		{"Memory", `{job="connector"}`, ""},
		{"Go heap", "heap_alloc", "heap_inuse"},
	} {
		p := panels[slices.IndexFunc(panels, func(p panel) bool { return p.Title == m.title })]
		p.Targets = slices.Clone(p.Targets)
		for i := range p.Targets {
			q := &p.Targets[i]
			q.Expr, q.Legend = strings.ReplaceAll(q.Expr, m.old, m.new), strings.ReplaceAll(q.Legend, m.old, m.new)
		}
		wrong := 0
		for _, s := range sites {
			wrong += len(pipelinePromises[m.title].check(t.Context(), s, p))
		}
		if wrong == 0 {
			t.Errorf("%s: nothing is wrong with %q in the place of %q", m.title, m.new, m.old)
		}
	}
}

// check compares a panel's unit and every number of it with what they must be, and
// returns what is wrong.
func (p pipelinePromise) check(ctx context.Context, s *site, of panel) (wrong []string) {
	complain := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	if field := of.FieldConfig.Defaults; field.Unit != p.unit || field.Decimals == nil || *field.Decimals != p.decimals {
		complain("its numbers need the unit %s with %v decimals; they have %s", p.unit, p.decimals, field.Unit)
	}
	if len(of.FieldConfig.Overrides) > 0 {
		complain("nothing is known of what its overrides are for")
	}
	want, shown, points := p.sizes(s), map[string]int{}, 1
	// As a page of six hours and a thousand points asks, of the end alone.
	r := timeRange{s.now.Add(-20 * time.Minute), s.now, 20 * time.Second}
	for _, query := range of.Targets {
		if !query.Instant {
			points = int(r.to.Sub(r.from)/r.step) + 1
		}
		readings, err := evaluate(ctx, s.scrape(), query, r)
		if err != nil {
			complain("%s: %v", query.Expr, err)
		}
		for _, got := range readings {
			shown[got.legend]++
			size, ok := want[got.legend]
			if least, most := p.at(s, size, got.at, query.Instant); !ok || !(got.value >= least-1e-9 && got.value <= most+1e-9) {
				complain("%q is %v at %s, want %v to %v (promised: %t)", got.legend, got.value, got.at.UTC().Format(time.TimeOnly), least, most, ok)
				break
			}
		}
	}
	for legend := range want {
		if shown[legend] != points && len(wrong) == 0 {
			complain("%q has %d points, want %d", legend, shown[legend], points)
		}
	}
	return wrong
}

// at is what a number of this size must be at a time. A rate that is an average
// over the change lies between the two, within what scrapes cannot tell.
func (p pipelinePromise) at(s *site, size float64, at time.Time, instant bool) (least, most float64) {
	since := at.Sub(s.changed)
	switch {
	case p.sinceStart:
		size *= at.Sub(s.began).Seconds() + max(0, since.Seconds())
	case p.over > 0 && instant:
		size *= 1 + (p.after-1)*min(since, p.over).Seconds()/p.over.Seconds()
		return size * 0.97, size * 1.03
	case p.over > 0 && since > 0 && since < 2*time.Minute-time.Millisecond:
		return size, size * p.after
	case since > 0 && since < scrapeInterval:
		return min(size, size*p.after), max(size, size*p.after)
	case since > 0:
		size *= p.after
	}
	return size * (1 - 1e-9), size * (1 + 1e-9)
}
