package deliver

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loyaltyhouse/sinks"
)

// Metrics are shared by the deliverers of all sinks.
type Metrics struct {
	rows             *prometheus.CounterVec
	batchRows        *prometheus.HistogramVec
	write            *prometheus.HistogramVec
	deadLetters      *prometheus.CounterVec
	changedRanges    *prometheus.CounterVec
	changedContracts *prometheus.CounterVec
	maxAge           *prometheus.GaugeVec
	backlog          *backlog
	// Retry is for the decorators of the sinks.
	Retry sinks.RetryMetrics
}

// NewMetrics registers the metrics.
func NewMetrics(reg prometheus.Registerer, now func() time.Time) (*Metrics, error) {
	m := &Metrics{
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_sink_rows_total",
			Help: "Rows that a sink is done with, by Kafka topic: they are durably stored, or its filter has left them out.",
		}, []string{"sink", "topic"}),
		batchRows: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "loyaltyhouse_sink_batch_rows",
			Help:    "Rows per batch.",
			Buckets: prometheus.ExponentialBuckets(1, 4, 10),
		}, []string{"sink"}),
		write: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "loyaltyhouse_sink_write_duration_seconds",
			Help:    "Time until a batch was durably stored, its retries included.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60},
		}, []string{"sink"}),
		deadLetters: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_sink_dead_letters_total",
			Help: "Rows that a sink will never accept, by Kafka topic and reason.",
		}, []string{"sink", "topic", "reason"}),
		changedRanges: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_sink_changed_ranges_total",
			Help: "Ranges, and topics, that are not as they were when the member before left them.",
		}, []string{"sink", "topic"}),
		changedContracts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "loyaltyhouse_sink_changed_contracts_total",
			Help: "Ranges that were under way when a member stopped and were written again under another contract.",
		}, []string{"sink", "topic"}),
		maxAge: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "loyaltyhouse_sink_batch_max_age_seconds",
			Help: "How long the first row of a batch waits for more, as configured.",
		}, []string{"sink"}),
		backlog: &backlog{now: now, partitions: map[partitionKey]partitionBacklog{}},
	}
	for _, c := range []prometheus.Collector{m.rows, m.batchRows, m.write, m.deadLetters, m.changedRanges, m.changedContracts, m.maxAge, m.backlog} {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	var err error
	if m.Retry, err = sinks.NewRetryMetrics(reg); err != nil {
		return nil, err
	}
	return m, nil
}

type partitionKey struct {
	sink, topic, partition string
}

type partitionBacklog struct {
	lag    int64
	oldest time.Time // of the oldest record that is not delivered; zero without one
}

// A backlog collects what is not delivered yet, of the partitions that are
// assigned to this process. The ages are worked out when Prometheus asks, so
// that they grow while nothing moves.
type backlog struct {
	now        func() time.Time
	mu         sync.Mutex
	partitions map[partitionKey]partitionBacklog
}

var (
	lagDesc = prometheus.NewDesc("loyaltyhouse_consumer_lag_records",
		"Records in the partition that the sink has not committed, as of the latest fetch.", []string{"sink", "topic", "partition"}, nil)
	ageDesc = prometheus.NewDesc("loyaltyhouse_consumer_oldest_undelivered_seconds",
		"Age of the oldest record that the sink has not committed, 0 without one.", []string{"sink", "topic", "partition"}, nil)
)

// Describe implements prometheus.Collector.
func (b *backlog) Describe(ch chan<- *prometheus.Desc) {
	ch <- lagDesc
	ch <- ageDesc
}

// Collect implements prometheus.Collector.
func (b *backlog) Collect(ch chan<- prometheus.Metric) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for key, p := range b.partitions {
		age := 0.0
		if !p.oldest.IsZero() {
			age = max(0, b.now().Sub(p.oldest).Seconds())
		}
		ch <- prometheus.MustNewConstMetric(lagDesc, prometheus.GaugeValue, float64(p.lag), key.sink, key.topic, key.partition)
		ch <- prometheus.MustNewConstMetric(ageDesc, prometheus.GaugeValue, age, key.sink, key.topic, key.partition)
	}
}

func (b *backlog) set(key partitionKey, p partitionBacklog) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.partitions[key] = p
}

func (b *backlog) drop(key partitionKey) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.partitions, key)
}
