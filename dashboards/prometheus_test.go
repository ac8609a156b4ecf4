package dashboards_test

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
)

// scrapeInterval is that of prometheus.yml.
const scrapeInterval = 15 * time.Second

// A scraped is a storage that Prometheus' engine reads: series and their samples.
type scraped []storage.Series

var _ storage.Queryable = scraped(nil)

// Querier implements storage.Queryable.
func (s scraped) Querier(_, _ int64) (storage.Querier, error) {
	return &storage.MockQuerier{SelectMockFunction: func(_ bool, _ *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
		var found []storage.Series
		for _, series := range s {
			if matchAll(series.Labels(), matchers) {
				found = append(found, series)
			}
		}
		return &seriesSet{SeriesSet: storage.EmptySeriesSet(), series: found}
	}}, nil
}

func matchAll(l labels.Labels, matchers []*labels.Matcher) bool {
	for _, m := range matchers {
		if !m.Matches(l.Get(m.Name)) {
			return false
		}
	}
	return true
}

// A seriesSet goes through series. It knows of no errors and warnings, as the empty
// one does not.
type seriesSet struct {
	storage.SeriesSet
	series []storage.Series
	next   int
}

func (s *seriesSet) Next() bool {
	s.next++
	return s.next <= len(s.series)
}

func (s *seriesSet) At() storage.Series { return s.series[s.next-1] }

// A sample is a number at a time.
type sample struct {
	at    int64
	value float64
}

func (s sample) T() int64                      { return s.at }
func (s sample) ST() int64                     { return 0 }
func (s sample) F() float64                    { return s.value }
func (s sample) H() *histogram.Histogram       { return nil }
func (s sample) FH() *histogram.FloatHistogram { return nil }
func (s sample) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (s sample) Copy() chunks.Sample           { return s }

// A reading is a number that a query gives for a series at a time.
type reading struct {
	legend string
	at     time.Time
	value  float64
}

// evaluate asks as Grafana does: for the present, or for a time up to it. What
// Prometheus warns of is an error, as a rate of what is no counter.
func evaluate(ctx context.Context, s scraped, q target, r timeRange) ([]reading, error) {
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 10_000_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute})
	expr := strings.ReplaceAll(q.Expr, "$__rate_interval", rateInterval(r.step).String())
	query, err := engine.NewRangeQuery(ctx, s, nil, expr, r.from, r.to, r.step)
	if q.Instant {
		query, err = engine.NewInstantQuery(ctx, s, nil, expr, r.to)
	}
	if err != nil {
		return nil, err
	}
	defer query.Close()
	result := query.Exec(ctx)
	if result.Err != nil {
		return nil, result.Err
	}
	if warnings := result.Warnings.AsErrors(); len(warnings) > 0 {
		return nil, errors.Join(warnings...)
	}
	var all []reading
	switch value := result.Value.(type) {
	case promql.Vector:
		for _, s := range value {
			all = append(all, reading{legend(q.Legend, s.Metric), time.UnixMilli(s.T), s.F})
		}
	case promql.Matrix:
		for _, s := range value {
			for _, point := range s.Floats {
				all = append(all, reading{legend(q.Legend, s.Metric), time.UnixMilli(point.T), point.F})
			}
		}
	default:
		return nil, fmt.Errorf("the answer is a %s", value.Type())
	}
	return all, nil
}

// A timeRange is what a panel shows, with a point at each step.
type timeRange struct {
	from, to time.Time
	step     time.Duration
}

// rateInterval is Grafana's $__rate_interval.
func rateInterval(step time.Duration) time.Duration {
	return max(step+scrapeInterval, 4*scrapeInterval)
}

var inLegend = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)

// legend writes the name of a series; a label that it has not is empty.
func legend(format string, series labels.Labels) string {
	return inLegend.ReplaceAllStringFunc(format, func(use string) string {
		return series.Get(inLegend.FindStringSubmatch(use)[1])
	})
}
