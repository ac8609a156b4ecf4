package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/deliver"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
)

// A runningSink is one sink with its deliverer.
type runningSink struct {
	cfg         config.Sink
	files       string // the digest of the files that cfg names
	tables      []*schema.Table
	destination sinks.Sink
	sink        *sinks.Retrying // the same, with retries
	deliverer   *deliver.Deliverer
	stop        context.CancelFunc
	stopped     chan struct{}
}

// openKind opens a sink as it is configured, without what is selected for it.
func openKind(c config.Sink, log *slog.Logger) (sinks.Sink, error) {
	sink, err := c.Open()
	if warehouse, is := sink.(*clickhouse.Sink); is {
		return &migrating{Sink: warehouse, cfg: c, log: log}, nil
	}
	return sink, err
}

// openDestination opens a sink for what its configuration selects of the tables,
// which are all that there are.
func openDestination(c config.Sink, tables []*schema.Table, log *slog.Logger) (sinks.Sink, error) {
	kind, err := openKind(c, log)
	if err != nil {
		return nil, fmt.Errorf("sink %s: %w", c.Name, err)
	}
	selecting, err := sinks.Select(kind, c.SelectConfig, tables)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("sink %s: %w", c.Name, err), kind.Close())
	}
	return selecting, nil
}

func (s *service) openSinks() (err error) {
	if s.delivery, err = deliver.NewMetrics(s.registry, time.Now); err != nil {
		return err
	}
	for _, c := range s.cfg.Sinks {
		sink, err := s.openSink(c)
		if err != nil {
			return err
		}
		s.sinks = append(s.sinks, sink)
	}
	return nil
}

// openSink makes a sink that does not deliver yet.
func (s *service) openSink(c config.Sink) (*runningSink, error) {
	seen := digest(c.NamedFiles())
	all := schema.Tables(s.contracts)
	destination, err := openDestination(c, all, s.log)
	if err != nil {
		return nil, err
	}
	tables := c.Tables(all)
	sink := sinks.Retry(destination, c.Name, c.Retry, s.delivery.Retry, s.log, time.Now)
	cfg := deliver.Config{Sink: c.Name, TopicPrefix: s.cfg.Kafka.TopicPrefix, Tables: tables, Start: c.Start, Batch: c.Batch}
	return &runningSink{
		cfg: c, files: seen, tables: tables, destination: destination, sink: sink,
		deliverer: deliver.New(cfg, sink, s.kafka, s.producer, s.delivery, s.log, time.Now),
	}, nil
}

// startSink has a sink deliver when the topics are there and its destination is
// prepared.
func (s *service) startSink(r *runningSink) {
	ctx, stop := context.WithCancel(s.work)
	r.stop, r.stopped = stop, make(chan struct{})
	preparer, able := r.destination.(sinks.Preparer)
	prepare := able && s.cfg.MigrateOnStart
	tables := newState("the tables are being looked up")
	s.ready.add(part{Name: "sink " + r.cfg.Name, check: func(ctx context.Context) error {
		if err := r.sink.Ready(); err != nil {
			return err
		}
		if err := r.deliverer.Ready(); err != nil {
			return err
		}
		return r.sink.Ping(ctx)
	}})
	s.ready.add(part{Name: "tables of sink " + r.cfg.Name, check: tables.check})
	s.run(func() error {
		defer close(r.stopped)
		defer stop()
		ready := s.until(ctx, tables, "tables of sink "+r.cfg.Name, func() error {
			if !prepare {
				return nil
			}
			return preparer.Prepare(ctx, r.tables)
		})
		if !ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.topicsCreated:
		}
		return r.deliverer.Run(ctx)
	})
}

// stopSink ends a sink's delivery: its last batch is committed or abandoned, and
// whoever goes on with it goes on from there. It returns false when ctx ended
// before that.
func (s *service) stopSink(ctx context.Context, r *runningSink) bool {
	r.stop()
	select {
	case <-r.stopped:
	case <-ctx.Done():
		return false
	}
	s.ready.remove("sink "+r.cfg.Name, "tables of sink "+r.cfg.Name)
	if err := r.sink.Close(); err != nil {
		s.log.LogAttrs(ctx, slog.LevelWarn, "a sink did not close in order; what it has written is committed", slog.String("sink", r.cfg.Name), slog.Any("error", err))
	}
	return true
}

// closeAll closes sinks that have not been started.
func closeAll(opened []*runningSink) error {
	var errs []error
	for _, r := range opened {
		errs = append(errs, r.sink.Close())
	}
	return errors.Join(errs...)
}
