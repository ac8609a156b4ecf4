package kafka_test

import (
	"context"
	"encoding/json"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"golang.org/x/sys/unix"

	"loyaltyhouse/connector/kafka"
)

// BenchmarkPublish publishes rows of 400 bytes, from as many callers at a
// time as a receiver may have. The broker runs in the same process and throws
// the records away.
func BenchmarkPublish(b *testing.B) {
	for _, callers := range []int{1, 64} {
		for _, compression := range []string{"none", "snappy", "lz4", "zstd"} {
			b.Run(fmt.Sprintf("callers=%d/%s", callers, compression), func(b *testing.B) {
				broker := startBroker(b, kfake.BlackholeProduce())
				client := newTopic(b, broker, 3)
				producer := newProducer(b, client, func(c *kafka.ProducerConfig) { c.Compression = compression })
				messages := make([]kafka.Message, 256)
				for i := range messages {
					messages[i] = kafka.Message{
						Topic: testTopic,
						Key:   fmt.Appendf(nil, "shop-%d/buyer-%d", i%7, i),
						Value: row(i),
					}
				}
				publish(b, producer, messages[0])
				b.SetBytes(int64(len(messages[0].Value)))
				b.ReportAllocs()

				var callersDone sync.WaitGroup
				work := make(chan int, callers)
				b.ResetTimer()
				before := cpuTime(b)
				for range callers {
					callersDone.Go(func() {
						for i := range work {
							for range 64 {
								if err := producer.Publish(context.Background(), messages[i%len(messages)]); err != nil {
									b.Error(err)
								}
								i += 7
							}
						}
					})
				}
				for i := 0; i < b.N; i += 64 {
					work <- i
				}
				close(work)
				callersDone.Wait()
				b.ReportMetric(float64(cpuTime(b)-before)/float64(b.N), "cpu-ns/op")
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
			})
		}
	}
}

// cpuTime is what this process has used, broker included.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var usage unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &usage); err != nil {
		b.Fatal(err)
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// row looks like a row of fact_points.
func row(i int) []byte {
	value, err := json.Marshal(map[string]any{
		"event_id":       fmt.Sprintf("%032x", i*7919),
		"shop_id":        fmt.Sprint(1_610_418_123_456 + i%7),
		"shop_domain":    "example.myshopline.com",
		"merchant_id":    fmt.Sprint(2_000_341_884 + i%7),
		"api_version":    "v20260901",
		"webhook_id":     fmt.Sprintf("%024d", i*104_729),
		"received_at":    1_789_000_000_000 + i*1013,
		"buyer_id":       fmt.Sprint(3_200_000_000_000 + i*31),
		"update_type":    "INCREASE",
		"updated_scene":  "ORDER_PAID",
		"updated_value":  i * 3,
		"points_delta":   i * 3,
		"points_balance": i * 11,
		"updated_at":     1_789_000_000_000 + i*997,
	})
	if err != nil {
		panic(err)
	}
	return value
}
