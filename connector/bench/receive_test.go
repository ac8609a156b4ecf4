//go:build linux

package bench

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/gin-gonic/gin"

	"loyaltyhouse/connector/simulate"
)

const (
	webhooksPerRound = 10_000
	connections      = 64
	webhookPath      = "/webhooks/shopline"
)

// BenchmarkReceive sends webhooks to `connector receive`, which answers when the
// embedded broker, in another process, has synced them to disk, and the same
// ones to a handler that only verifies the signature.
//
// x-bare compares the processor time of both at the same rate, the one that the
// receiver has reached: a process that has less to do uses more of it for each
// request, since it goes to sleep and wakes up more often. The handler's
// flat-out numbers are those of as many requests as it can answer.
func BenchmarkReceive(b *testing.B) {
	broker := startBroker(b)
	address, admin := freeAddress(b), freeAddress(b)
	receiver := startConnector(b, "receive", "--config", writeFile(b, fmt.Sprintf(`
receiver: {address: "%s", secrets: %s}
kafka: {brokers: ["%s"], topics: {partitions: 1}}
sinks: [{name: unused, clickhouse: {}}]
admin: {address: "%s"}
log: {level: warn}
`, address, secret, broker, admin)))
	receiver.awaitOK(b, "http://"+admin+"/readyz/receiver")

	bareAddress := freeAddress(b)
	bare := startRole(b, "bare-receiver", "ADDRESS="+bareAddress)
	bare.line(b)

	for _, load := range []struct{ name, topic string }{{"mixed", ""}, {"points", simulate.TopicPoints}} {
		deliveries := history(b, load.topic)
		b.Run(load.name, func(b *testing.B) {
			send(b, address, deliveries[:webhooksPerRound/4], 0)
			send(b, bareAddress, deliveries[:webhooksPerRound/4], 0)
			results := series{}
			for b.Loop() {
				cpu, s := measured(b, receiver, address, deliveries, 0)
				results.addReceiver(cpu, s)
				bareCPU, _ := measured(b, bare, bareAddress, deliveries, perSecond(s.Accepted, s.Duration))
				results.add("bare-cpu-us/webhook", bareCPU)
				results.add("x-bare", cpu/bareCPU)
				flatOutCPU, flatOut := measured(b, bare, bareAddress, deliveries, 0)
				results.add("flat-out-acks/s", perSecond(flatOut.Accepted, flatOut.Duration))
				results.add("flat-out-cpu-us/webhook", flatOutCPU)
			}
			results.add("MB", receiver.peakMB(b))
			results.report(b)
		})
	}
}

// BenchmarkServe sends webhooks to `connector serve`, which is receiver, broker
// and sinks in one process; ClickHouse is its child and not measured.
func BenchmarkServe(b *testing.B) {
	address, admin := freeAddress(b), freeAddress(b)
	p := startConnector(b, "serve", "--config", writeFile(b, fmt.Sprintf(`
receiver: {address: "%s", secrets: %s}
kafka: {topics: {partitions: 1}}
sinks: [{name: clickhouse, clickhouse: {addresses: "127.0.0.1:0"}}]
admin: {address: "%s"}
log: {level: warn}
embedded: {data_dir: "%s", clickhouse: {native_port: 0, http_port: 0}}
`, address, secret, admin, b.TempDir())))
	p.awaitOK(b, "http://"+admin+"/readyz")
	deliveries := history(b, "")
	send(b, address, deliveries[:webhooksPerRound/4], 0)

	results := series{}
	for b.Loop() {
		results.addReceiver(measured(b, p, address, deliveries, 0))
	}
	results.add("MB", p.peakMB(b))
	results.report(b)
}

// addReceiver adds what a receiver did in a round.
func (s series) addReceiver(cpu float64, sent simulate.Summary) {
	s.add("acks/s", perSecond(sent.Accepted, sent.Duration))
	s.add("p50-ms", milliseconds(sent.P50))
	s.add("p99-ms", milliseconds(sent.P99))
	s.add("cpu-us/webhook", cpu)
}

// history returns deliveries of a topic, or of all, that a receiver must accept.
func history(b *testing.B, topic string) []simulate.Delivery {
	b.Helper()
	cfg := simulate.DefaultConfig()
	cfg.Count, cfg.BadRatio = 4*webhooksPerRound, 0
	g := simulate.New(cfg)
	deliveries := make([]simulate.Delivery, 0, webhooksPerRound)
	for len(deliveries) < webhooksPerRound {
		d, ok := g.Next()
		if !ok {
			b.Fatalf("the history has only %d deliveries of topic %s", len(deliveries), topic)
		}
		if topic == "" || d.Topic == topic {
			d.Customer = len(deliveries) // All connections are kept busy; the order does not matter here.
			deliveries = append(deliveries, d)
		}
	}
	return deliveries
}

// send posts all deliveries at a rate, 0 being as fast as they are answered.
func send(b *testing.B, address string, deliveries []simulate.Delivery, rate float64) simulate.Summary {
	b.Helper()
	cfg := simulate.DefaultSenderConfig()
	cfg.URL, cfg.Secret = "http://"+address+webhookPath, []byte(secret)
	cfg.Connections, cfg.Rate = connections, rate
	i := 0
	summary, err := simulate.Send(b.Context(), cfg, func() (simulate.Delivery, bool) {
		if i == len(deliveries) {
			return simulate.Delivery{}, false
		}
		i++
		return deliveries[i-1], true
	}, nil)
	if err != nil {
		b.Fatal(err)
	}
	if summary.Violations > 0 || summary.Retries > 0 {
		b.Fatalf("%d wrong answers, %d repeated requests: %v %v", summary.Violations, summary.Retries, summary.FirstViolations, summary.LastFailure)
	}
	return summary
}

// measured sends, and returns the microseconds of processor time that the
// process used for each webhook.
func measured(b *testing.B, p *process, address string, deliveries []simulate.Delivery, rate float64) (cpu float64, s simulate.Summary) {
	b.Helper()
	before := p.cpu(b)
	s = send(b, address, deliveries, rate)
	return float64((p.cpu(b) - before).Microseconds()) / float64(s.Sent), s
}

func perSecond(n int64, d time.Duration) float64 { return float64(n) / d.Seconds() }

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// bareReceiver is the least that can be called a receiver: it reads the body,
// verifies the signature and answers.
func bareReceiver() error {
	gin.SetMode(gin.ReleaseMode)
	engine := gin.New()
	engine.POST(webhookPath, func(c *gin.Context) {
		body, err := c.GetRawData()
		if err != nil {
			c.Status(http.StatusBadRequest)
			return
		}
		text := c.GetHeader("X-Shopline-Hmac-Sha256")
		given, err := hex.DecodeString(text)
		if err != nil {
			given, err = base64.StdEncoding.DecodeString(text)
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(body)
		if err != nil || !hmac.Equal(mac.Sum(nil), given) {
			c.Status(http.StatusUnauthorized)
			return
		}
		c.Status(http.StatusOK)
	})
	server := &http.Server{Handler: engine, ReadHeaderTimeout: 5 * time.Second}

	listener, err := new(net.ListenConfig).Listen(context.Background(), "tcp", os.Getenv("ADDRESS"))
	if err != nil {
		return err
	}
	fmt.Println("ready")
	return server.Serve(listener)
}
