package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/webhook"
)

// publishTrouble is how long a failure counts as long as nothing has succeeded
// since. It ends by itself, for without requests nothing would ever succeed.
const publishTrouble = 10 * time.Second

// A publisher is the receiver's way into Kafka. It remembers the latest failure
// for the readiness probe: a broker can answer and yet take no records, as when
// its disk is full.
type publisher struct {
	producer *kafka.Producer
	prefix   string
	now      func() time.Time
	failure  atomic.Pointer[publishFailure] // nil after a success
}

type publishFailure struct {
	at  time.Time
	err error
}

// Publish implements webhook.Publisher.
func (p *publisher) Publish(ctx context.Context, records ...webhook.Record) error {
	messages := make([]kafka.Message, len(records))
	for i, r := range records {
		messages[i] = kafka.Message{Topic: p.prefix + r.Topic, Key: r.Key, Value: r.Value}
	}
	err := p.producer.Publish(ctx, messages...)
	switch {
	case err == nil:
		if p.failure.Load() != nil {
			p.failure.Store(nil)
		}
	case !errors.Is(err, context.Canceled): // The client went away; that says nothing of Kafka.
		p.failure.Store(&publishFailure{p.now(), err})
	}
	return err
}

// check is the part's readiness.
func (p *publisher) check(context.Context) error {
	if f := p.failure.Load(); f != nil && p.now().Sub(f.at) < publishTrouble {
		return fmt.Errorf("webhooks are not acknowledged: %w", f.err)
	}
	return nil
}
