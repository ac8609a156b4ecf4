package webhook

import (
	"net/http"
	"strconv"

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

// unknownTopic is the label where no contract names the webhook.
const unknownTopic = "unknown"

// newMetrics registers the metrics. Those that an alert waits for are there from the
// start, at 0: of a series that is not there a rule can say nothing, and of one that
// begins with its first event an increase does not see that event.
func newMetrics(reg prometheus.Registerer, n *normalize.Normalizer) (*metrics, error) {
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
	for _, c := range []prometheus.Collector{m.requests, m.rejects, m.mismatches, m.duration, m.inFlight} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	for _, reason := range normalize.Reasons() {
		m.rejects.WithLabelValues(string(reason))
	}
	topics := []string{unknownTopic}
	for _, t := range n.Tables() {
		topics = append(topics, t.Topic)
	}
	for _, status := range []int{http.StatusOK, http.StatusUnauthorized, http.StatusRequestEntityTooLarge, http.StatusServiceUnavailable} {
		for _, topic := range topics {
			m.requests.WithLabelValues(strconv.Itoa(status), topic)
		}
	}
	return m, nil
}
