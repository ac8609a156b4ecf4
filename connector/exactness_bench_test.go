//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/deliver"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
)

// BenchmarkExactness is the price of exactness: it drains a full topic with the
// intents that make a batch stored once, and without them, in turns. The
// metric exact/at-least-once is the median of the turns' ratios; 1 is free.
//
// It is not in connector/bench because the switch is none of the configuration.
func BenchmarkExactness(b *testing.B) {
	const rounds = 6
	broker := &drainedBroker{rows: 150_000}
	broker.start(b)
	engine := embedded.DefaultConfig()
	engine.DataDir = b.TempDir()
	engine.ClickHouse.NativePort, engine.ClickHouse.HTTPPort = 0, 0
	e, err := embedded.StartClickHouse(b.Context(), engine, slog.New(slog.DiscardHandler), os.Stderr)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := e.Close(context.Background()); err != nil {
			b.Error(err)
		}
	})

	for _, maxRows := range []int{deliver.DefaultBatchConfig().MaxRows, 2000} {
		b.Run(fmt.Sprintf("max_rows=%d", maxRows), func(b *testing.B) {
			rates := map[bool][]float64{} // by whether it is at least once
			var ratios []float64
			for b.Loop() {
				for round := range rounds {
					// The first of two has no advantage in the end: it changes.
					for _, atLeastOnce := range []bool{round%2 == 0, round%2 == 1} {
						rates[atLeastOnce] = append(rates[atLeastOnce], broker.drain(b, e.Addr(), maxRows, atLeastOnce))
					}
					last := len(rates[true]) - 1
					ratios = append(ratios, rates[false][last]/rates[true][last])
				}
			}
			b.ReportMetric(median(rates[false]), "exact-rows/s")
			b.ReportMetric(median(rates[true]), "at-least-once-rows/s")
			b.ReportMetric(median(ratios), "exact/at-least-once")
			b.ReportMetric(0, "ns/op") // The length of all rounds says nothing.
		})
	}
}

func median(values []float64) float64 {
	slices.Sort(values)
	n := len(values)
	return (values[(n-1)/2] + values[n/2]) / 2
}

// A drainedBroker is a broker, in a process of its own, with a full topic that
// one group after the other drains.
type drainedBroker struct {
	rows   int
	cfg    kafka.Config
	table  *schema.Table
	rounds int
}

func (d *drainedBroker) start(b *testing.B) {
	b.Helper()
	_, address := startBroker(b, b.TempDir())
	d.cfg = kafka.DefaultConfig()
	d.cfg.Brokers = []string{address}
	client, err := kafka.NewClient(d.cfg, kafka.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	producer := client.NewProducer(d.cfg.Producer)
	messages, err := d.points()
	if err == nil {
		err = client.EnsureTopics(b.Context(), []string{messages[0].Topic})
	}
	for chunk := range slices.Chunk(messages, 10_000) {
		if err == nil {
			err = producer.Publish(b.Context(), chunk...)
		}
	}
	if err := errors.Join(err, producer.Close(b.Context())); err != nil {
		b.Fatal(err)
	}
}

// points are the messages that a receiver makes of a history's points.
func (d *drainedBroker) points() (messages []kafka.Message, err error) {
	contracts, err := schema.Builtin()
	if err != nil {
		return nil, err
	}
	normalizer, err := normalize.New(contracts, false)
	if err != nil {
		return nil, err
	}
	cfg := simulate.DefaultConfig()
	cfg.Count, cfg.BadRatio, cfg.ResendRatio = 4*d.rows, 0, 0
	g := simulate.New(cfg)
	for len(messages) < d.rows {
		delivery, ok := g.Next()
		if !ok {
			return nil, errors.New("the history has too few points")
		}
		if delivery.Topic != simulate.TopicPoints {
			continue
		}
		r := normalizer.Normalize(normalize.Delivery{
			Topic: delivery.Topic, ShopID: delivery.ShopID, ShopDomain: delivery.ShopDomain, MerchantID: delivery.MerchantID,
			APIVersion: delivery.APIVersion, WebhookID: delivery.WebhookID, Body: delivery.Body, ReceivedAt: cfg.End,
		}, cfg.End)
		if r.Reject != nil {
			return nil, r.Reject
		}
		d.table = r.Table
		messages = append(messages, kafka.Message{
			Topic: d.cfg.TopicPrefix + r.Table.Topic, Key: []byte(r.CustomerID), Value: r.Table.AppendRow(nil, r.Row),
		})
	}
	return messages, nil
}

// drain delivers the topic into a database of its own and returns the rows per
// second, from the assignment of the partitions until nine tenths are stored: the
// last batch of a partition waits whether more comes.
func (d *drainedBroker) drain(b *testing.B, address string, maxRows int, atLeastOnce bool) float64 {
	b.Helper()
	d.rounds++
	name := fmt.Sprintf("drain_%d", d.rounds)
	log := slog.New(slog.DiscardHandler)
	warehouse := clickhouse.DefaultConfig()
	warehouse.Addresses, warehouse.Database = []string{address}, name
	kind, err := openKind(config.Sink{Name: name, ClickHouse: &warehouse}, log)
	if err != nil {
		b.Fatal(err)
	}
	if err := kind.(sinks.Preparer).Prepare(b.Context(), nil); err != nil {
		b.Fatal(err)
	}
	metrics, err := deliver.NewMetrics(prometheus.NewRegistry(), time.Now)
	if err != nil {
		b.Fatal(err)
	}
	client, err := kafka.NewClient(d.cfg, kafka.Options{})
	if err != nil {
		b.Fatal(err)
	}
	defer client.Close()
	producer := client.NewProducer(d.cfg.Producer)
	timed := &timedSink{Sink: kind, enough: int64(d.rows) * 9 / 10, done: make(chan struct{})}
	sink := sinks.Retry(timed, name, sinks.DefaultRetryConfig(), metrics.Retry, log, time.Now)
	cfg := deliver.Config{
		Sink: name, TopicPrefix: d.cfg.TopicPrefix, Tables: []*schema.Table{d.table},
		Start: kafka.StartEarliest, Batch: deliver.DefaultBatchConfig(), AtLeastOnce: atLeastOnce,
	}
	cfg.Batch.MaxRows = maxRows

	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error, 1)
	go func() {
		ended <- deliver.New(cfg, sink, &timedConsumer{client, &timed.began}, producer, metrics, log, time.Now).Run(ctx)
	}()
	select {
	case <-timed.done:
	case err := <-ended:
		b.Fatalf("the delivery ended: %v", err)
	case <-time.After(2 * time.Minute):
		b.Fatal("the topic was not drained within two minutes")
	}
	cancel()
	err = errors.Join(<-ended, producer.Close(context.WithoutCancel(ctx)))
	conn, connectErr := clickhouse.Connect(warehouse)
	if err := errors.Join(err, connectErr); err != nil {
		b.Fatal(err)
	}
	err = conn.Exec(b.Context(), "DROP DATABASE "+name+" SYNC") // The next round begins with the same disk.
	if err := errors.Join(err, conn.Close(), sink.Close()); err != nil {
		b.Fatal(err)
	}
	return timed.perSecond
}

// A timedConsumer notes when the first partition is assigned.
type timedConsumer struct {
	deliver.Consumer
	began *atomic.Int64 // Unix nanoseconds
}

func (c *timedConsumer) Consume(ctx context.Context, group string, topics []string, start kafka.StartOffset, handle kafka.HandleFunc) error {
	return c.Consumer.Consume(ctx, group, topics, start, func(ctx context.Context, p *kafka.Partition) error {
		c.began.CompareAndSwap(0, time.Now().UnixNano())
		return handle(ctx, p)
	})
}

// A timedSink measures how long it takes to store enough rows.
type timedSink struct {
	sinks.Sink
	enough        int64
	began, stored atomic.Int64 // Unix nanoseconds; rows
	done          chan struct{}
	perSecond     float64 // read after done
}

func (s *timedSink) Write(ctx context.Context, batch *sinks.Batch) error {
	if err := s.Sink.Write(ctx, batch); err != nil {
		return err
	}
	n := int64(len(batch.Records))
	if stored := s.stored.Add(n); stored >= s.enough && stored-n < s.enough {
		s.perSecond = float64(stored) / time.Since(time.Unix(0, s.began.Load())).Seconds()
		close(s.done)
	}
	return nil
}
