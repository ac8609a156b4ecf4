package webhook

import (
	"github.com/prometheus/client_golang/prometheus"

	"loyaltyhouse/connector/normalize"
)

type metrics struct {
	requests   *prometheus.CounterVec
	rejects    *prometheus.CounterVec
	mismatches prometheus.Counter
	duration   *prometheus.HistogramVec
	inFlight   prometheus.Gauge
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_webhook_requests_total",
			Help: "Requests answered, by HTTP status and contract topic; the topic is unknown where no contract names the webhook.",
		}, []string{"status", "topic"}),
		rejects: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_webhook_rejects_total",
			Help: "Signed bodies that became dead letters, by reason.",
		}, []string{"reason"}),
		mismatches: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "loyaltyhouse_webhook_store_mismatches_total",
			Help: "Signed bodies whose store_id differs from the header X-Shopline-Shop-Id.",
		}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "loyaltyhouse_webhook_request_duration_seconds",
			Help:    "Time from a request's header to its answer, by HTTP status.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2, 3, 5},
		}, []string{"status"}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "loyaltyhouse_webhook_in_flight_requests",
			Help: "Requests being worked on.",
		}),
	}
	for _, reason := range normalize.Reasons() {
		m.rejects.WithLabelValues(string(reason))
	}
	for _, c := range []prometheus.Collector{m.requests, m.rejects, m.mismatches, m.duration, m.inFlight} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}
