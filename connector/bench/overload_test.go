//go:build linux

package bench

import (
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"loyaltyhouse/connector/simulate"
)

// BenchmarkOverload sends webhooks at the rate that a receiver reached when it
// was waited for, and at three times that rate from many more connections. What
// it cannot take it must refuse soon, with 503, and in bounded memory.
func BenchmarkOverload(b *testing.B) {
	const many = 512
	broker := startBroker(b)
	address, admin := freeAddress(b), freeAddress(b)
	receiver := startConnector(b, "receive", "--config", writeFile(b, fmt.Sprintf(`
receiver: {address: "%s", secrets: %s, max_in_flight: %d}
kafka: {brokers: ["%s"], topics: {partitions: 1}}
sinks: [{name: unused, clickhouse: {}}]
admin: {address: "%s"}
log: {level: warn}
`, address, secret, connections, broker, admin)))
	receiver.awaitOK(b, "http://"+admin+"/readyz/receiver")
	deliveries := history(b, "")
	warmUp := send(b, address, deliveries[:webhooksPerRound/2], 0)
	capacity := perSecond(warmUp.Accepted, warmUp.Duration)

	for _, times := range []int{1, 3} {
		b.Run(fmt.Sprintf("%dx", times), func(b *testing.B) {
			results := series{}
			for b.Loop() {
				results.addFlood(flood(b, address, deliveries, float64(times)*capacity, many))
			}
			results.add("MB", receiver.peakMB(b))
			results.report(b)
		})
	}
}

// flooded is what came of a flood.
type flooded struct {
	summary   simulate.Summary
	latencies []time.Duration // of the answers 200
	slowest   time.Duration   // of all
}

// flood posts all deliveries at a rate and sends none again. One that finds its
// connection busy waits for it, and then counts from the time of its request.
func flood(b *testing.B, address string, deliveries []simulate.Delivery, rate float64, connections int) (f flooded) {
	b.Helper()
	cfg := simulate.DefaultSenderConfig()
	cfg.URL, cfg.Secret = "http://"+address+webhookPath, []byte(secret)
	cfg.Connections, cfg.Rate, cfg.Retry.Attempts = connections, rate, 1
	i := 0
	next := func() (simulate.Delivery, bool) {
		if i == len(deliveries) {
			return simulate.Delivery{}, false
		}
		i++
		return deliveries[i-1], true
	}
	var err error
	f.summary, err = simulate.Send(b.Context(), cfg, next, func(o simulate.Outcome) {
		f.slowest = max(f.slowest, o.Latency)
		switch o.Status {
		case http.StatusOK:
			f.latencies = append(f.latencies, o.Latency)
		case http.StatusServiceUnavailable:
		default:
			b.Errorf("a webhook was answered %d", o.Status)
		}
	})
	if err != nil {
		b.Fatal(err)
	}
	slices.Sort(f.latencies)
	return f
}

func (s series) addFlood(f flooded) {
	s.add("200/s", perSecond(f.summary.ByStatus[http.StatusOK], f.summary.Duration))
	s.add("503/s", perSecond(f.summary.ByStatus[http.StatusServiceUnavailable], f.summary.Duration))
	n := len(f.latencies)
	s.add("p50-ms", milliseconds(f.latencies[n/2]))
	s.add("p99-ms", milliseconds(f.latencies[n*99/100]))
	s.add("max-ms", milliseconds(f.slowest))
}
