package main

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"time"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
)

// closers are what a command has to close, in the order of opening.
type closers []func() error

// close closes what was opened last first.
func (c closers) close() error {
	var errs []error
	for _, f := range slices.Backward(c) {
		errs = append(errs, f())
	}
	return errors.Join(errs...)
}

// openProducer opens a producer for one command, and creates the topics that are
// missing. It can start the embedded broker for as long as that takes.
func openProducer(ctx context.Context, cfg *config.Config, contracts []*schema.Contract, startBroker bool, log *slog.Logger) (_ *kafka.Producer, opened closers, err error) {
	defer func() {
		if err != nil {
			err = errors.Join(err, opened.close())
			opened = nil
		}
	}()
	options := kafka.Options{Logger: log}
	for _, t := range schema.Tables(contracts) {
		options.Topics = append(options.Topics, cfg.Kafka.TopicPrefix+t.Topic)
	}
	if startBroker {
		broker, err := embedded.StartBroker(ctx, *cfg.Embedded, log)
		if err != nil {
			return nil, opened, err
		}
		opened = append(opened, broker.Close)
		options.Dial = broker.Dial
	}
	client, err := kafka.NewClient(cfg.Kafka, options)
	if err != nil {
		return nil, opened, err
	}
	opened = append(opened, func() error { client.Close(); return nil })
	looking, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	if err := client.EnsureTopics(looking, options.Topics); err != nil {
		return nil, opened, err
	}
	producer := client.NewProducer(cfg.Kafka.Producer)
	return producer, append(opened, func() error {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		return producer.Close(closing)
	}), nil
}
