package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/connector/webhook"
)

const (
	// chunkDeliveries is how many deliveries are normalized and published together.
	chunkDeliveries = 4000
	// chunkBytes is room for them: two records of each, of some kilobytes.
	chunkBytes = 64 << 20
	// chunkTimeout is how long Kafka may take to acknowledge them.
	chunkTimeout = time.Minute
)

// A loader brings simulated webhooks straight into Kafka, as the very records
// that the receiver makes of them, received when they were sent.
type loader struct {
	normalizer *normalize.Normalizer
	records    webhook.Records
	publisher  webhook.Publisher
	// delivering tells that a running service brings the records into the warehouse,
	// as far as this process can know.
	delivering bool
	closers
}

func openLoader(ctx context.Context, cfg *config.Config, log *slog.Logger) (*loader, error) {
	contracts, err := cfg.LoadContracts()
	if err != nil {
		return nil, err
	}
	normalizer, err := normalize.New(contracts, cfg.Receiver.OnStoreMismatch == "dead_letter")
	if err != nil {
		return nil, err
	}
	l := &loader{normalizer: normalizer, records: webhook.NewRecords(), delivering: true}
	if cfg.Embedded != nil {
		address, err := embedded.RunningBroker(*cfg.Embedded)
		if err != nil {
			return nil, err
		}
		if l.delivering = address != ""; l.delivering {
			cfg.Kafka.Brokers = []string{address}
		}
	}
	cfg.Kafka.Producer.QueueMessages = max(cfg.Kafka.Producer.QueueMessages, 2*chunkDeliveries)
	cfg.Kafka.Producer.QueueBytes = max(cfg.Kafka.Producer.QueueBytes, chunkBytes)
	producer, opened, err := openProducer(ctx, cfg, contracts, !l.delivering, log)
	if err != nil {
		return nil, err
	}
	l.closers = opened
	l.publisher = &publisher{producer: producer, prefix: cfg.Kafka.TopicPrefix, now: time.Now}
	return l, nil
}

// load publishes what next returns, until it returns false or ctx ends. Progress
// is called with the number of events that have been acknowledged in addition.
func (l *loader) load(ctx context.Context, next func() (simulate.Delivery, bool), progress func(events int)) (records int64, err error) {
	ctx, cancel := context.WithCancel(ctx)
	chunks := make(chan chunk, 1)
	var making sync.WaitGroup
	making.Go(func() {
		defer close(chunks)
		for ctx.Err() == nil {
			c, more := l.chunk(next)
			select {
			case chunks <- c:
			case <-ctx.Done():
				return
			}
			if !more {
				return
			}
		}
	})
	defer making.Wait()
	defer cancel()
	for c := range chunks {
		if err := l.publish(ctx, c.records); err != nil {
			return records, err
		}
		records += int64(len(c.records))
		progress(c.events)
	}
	return records, ctx.Err()
}

func (l *loader) publish(ctx context.Context, records []webhook.Record) error {
	ctx, cancel := context.WithTimeout(ctx, chunkTimeout)
	defer cancel()
	return l.publisher.Publish(ctx, records...)
}

// A chunk is what is published at once.
type chunk struct {
	records []webhook.Record
	events  int
}

// chunk takes the next deliveries and makes their records, on all processors. A
// wrong signature is left out: the receiver refuses it before Kafka.
func (l *loader) chunk(next func() (simulate.Delivery, bool)) (c chunk, more bool) {
	deliveries := make([]simulate.Delivery, 0, chunkDeliveries)
	for more = true; more && len(deliveries) < chunkDeliveries; {
		var d simulate.Delivery
		if d, more = next(); more && d.Kind != simulate.KindBadSignature {
			deliveries = append(deliveries, d)
		}
	}
	made := make([][2]webhook.Record, len(deliveries))
	now := time.Now()
	var workers sync.WaitGroup
	share := max(1, (len(deliveries)+runtime.GOMAXPROCS(0)-1)/runtime.GOMAXPROCS(0))
	begin := 0
	for part := range slices.Chunk(deliveries, share) {
		out := made[begin:]
		begin += len(part)
		workers.Go(func() {
			for i := range part {
				d := received(&part[i])
				out[i] = l.records.Of(d, l.normalizer.Normalize(d, now))
			}
		})
	}
	workers.Wait()
	c.records = make([]webhook.Record, 0, 2*len(made))
	for i := range made {
		c.records = append(c.records, made[i][:]...)
		if deliveries[i].Kind == simulate.KindEvent {
			c.events++
		}
	}
	return c, more
}

// received is a delivery as the receiver has it.
func received(d *simulate.Delivery) normalize.Delivery {
	return normalize.Delivery{
		Topic:      d.Topic,
		ShopID:     d.ShopID,
		ShopDomain: d.ShopDomain,
		MerchantID: d.MerchantID,
		APIVersion: d.APIVersion,
		WebhookID:  d.WebhookID,
		Body:       d.Body,
		ReceivedAt: time.UnixMilli(d.AtMillis).UTC(),
	}
}

// play loads the generator's history with a progress bar, and says what it was.
func (l *loader) play(ctx context.Context, g *simulate.Generator, events int, out, bars io.Writer) error {
	bar := progressBar(events, bars, "publishing webhooks", "events")
	begin := time.Now()
	records, err := l.load(ctx, g.Next, func(n int) { _ = bar.Add(n) }) // A terminal that cannot be drawn on is no reason to stop.
	duration := time.Since(begin)
	if err != nil {
		_ = bar.Exit()
		return fmt.Errorf("%d records were published, which the same seed, count and end publish again without counting twice: %w", records, err)
	}
	_ = bar.Finish()
	e := g.Expected()
	_, err = fmt.Fprintf(out, "published %d webhooks as %d records in %s: %d events, %d resends, %d out of order, %d that cannot become a row; left out %d with a bad signature\n",
		e.Signed, records, duration.Round(time.Millisecond), eventsOf(e), e.Resends, e.OutOfOrder, e.BadDeliveries, e.Unsigned)
	if err == nil && !l.delivering {
		_, err = fmt.Fprintln(out, "The service is not running. The records are stored when it next runs.")
	}
	return err
}

// eventsOf counts the distinct events of all fact tables.
func eventsOf(e simulate.Expected) (events int64) {
	for _, n := range e.Facts {
		events += n
	}
	return events
}
