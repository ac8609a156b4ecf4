package kafka

import (
	"errors"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are those of a client, its producers and its consumers.
type metrics struct {
	publishDuration *prometheus.HistogramVec
	publishErrors   *prometheus.CounterVec
	publishBatch    prometheus.Histogram
	queueBytes      atomic.Int64

	rebalances   *prometheus.CounterVec
	groupErrors  *prometheus.CounterVec
	fetchErrors  *prometheus.CounterVec
	offsetResets *prometheus.CounterVec
}

// newMetrics registers nothing when registerer is nil.
func newMetrics(registerer prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		publishDuration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "loyaltyhouse_kafka_publish_duration_seconds",
			Help:    "Time from when a message was queued until it was acknowledged or given up.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"topic"}),
		publishErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_kafka_publish_errors_total",
			Help: "Calls to publish that were not acknowledged.",
		}, []string{"topic", "reason"}),
		publishBatch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name:    "loyaltyhouse_kafka_publish_batch_messages",
			Help:    "Messages in one acknowledged batch.",
			Buckets: []float64{1, 2, 5, 10, 20, 50, 100, 200, 500},
		}),
		rebalances: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_kafka_rebalances_total",
			Help: "Generations of the consumer group that this member has joined.",
		}, []string{"group"}),
		groupErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_kafka_group_errors_total",
			Help: "Failed attempts to join the consumer group.",
		}, []string{"group"}),
		fetchErrors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_kafka_fetch_errors_total",
			Help: "Failed fetches.",
		}, []string{"topic"}),
		offsetResets: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_kafka_offset_resets_total",
			Help: "Times that the next offset was not in the log any more: records may have been deleted before they were consumed.",
		}, []string{"group", "topic"}),
	}
	if registerer == nil {
		return m, nil
	}
	var errs []error
	for _, collector := range []prometheus.Collector{
		m.publishDuration, m.publishErrors, m.publishBatch,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "loyaltyhouse_kafka_publish_queue_bytes",
			Help: "Bytes of messages that wait to be sent or acknowledged.",
		}, func() float64 { return float64(m.queueBytes.Load()) }),
		m.rebalances, m.groupErrors, m.fetchErrors, m.offsetResets,
	} {
		errs = append(errs, registerer.Register(collector))
	}
	return m, errors.Join(errs...)
}
