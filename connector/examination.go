package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/deliver"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// An examination is what one command looks at: the Kafka and the sinks of a
// configuration. It opens no connection itself.
type examination struct {
	cfg       *config.Config
	contracts []*schema.Contract
	kafka     *kafka.Client
	sinks     []examinedSink
	closers
}

// An examinedSink is one sink, as it would be opened for delivery.
type examinedSink struct {
	cfg         config.Sink
	tables      []*schema.Table
	kind        sinks.Sink // without what is selected
	destination sinks.Sink
}

// openExamination opens everything, after the embedded parts where nobody has them.
func openExamination(ctx context.Context, cfg *config.Config) (_ *examination, err error) {
	// What goes wrong is told by the findings.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelError}))
	e := &examination{cfg: cfg}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.contracts, err = cfg.LoadContracts(); err != nil {
		return nil, err
	}
	options := kafka.Options{Logger: log, Topics: e.topics()}
	if cfg.Embedded != nil {
		address, err := embedded.RunningBroker(*cfg.Embedded)
		switch {
		case err != nil:
			return nil, err
		case address != "":
			cfg.Kafka.Brokers = []string{address}
		default:
			if options.Dial, err = e.startEmbedded(ctx, log); err != nil {
				return nil, err
			}
		}
	}
	if e.kafka, err = kafka.NewClient(cfg.Kafka, options); err != nil {
		return nil, err
	}
	e.closers = append(e.closers, func() error { e.kafka.Close(); return nil })
	all := schema.Tables(e.contracts)
	for _, c := range cfg.Sinks {
		kind, err := openKind(c, log)
		if err != nil {
			return nil, fmt.Errorf("sink %s: %w", c.Name, err)
		}
		e.closers = append(e.closers, kind.Close)
		destination, err := sinks.Select(kind, c.SelectConfig, all)
		if err != nil {
			return nil, fmt.Errorf("sink %s: %w", c.Name, err)
		}
		e.sinks = append(e.sinks, examinedSink{cfg: c, tables: c.Tables(all), kind: kind, destination: destination})
	}
	return e, nil
}

func (e *examination) startEmbedded(ctx context.Context, log *slog.Logger) (kafka.DialFunc, error) {
	broker, err := embedded.StartBroker(ctx, *e.cfg.Embedded, log)
	if err != nil {
		return nil, err
	}
	e.closers = append(e.closers, broker.Close)
	giveBack, err := borrowEngine(ctx, e.cfg, log)
	if err != nil {
		return nil, err
	}
	e.closers = append(e.closers, giveBack)
	return broker.Dial, nil
}

// topics are the full names of all topics.
func (e *examination) topics() (names []string) {
	for _, t := range schema.Tables(e.contracts) {
		names = append(names, e.cfg.Kafka.TopicPrefix+t.Topic)
	}
	return names
}

// connections are the probes of everything that the connector connects to.
func (e *examination) connections() []probe {
	probes := []probe{{subject: "kafka", run: func(ctx context.Context) []finding {
		all, answers := e.surveyKafka(ctx)
		if !answers {
			return all // What follows would only fail for the same reason.
		}
		for _, s := range e.sinks {
			if _, err := e.lags(ctx, s); err != nil {
				all = append(all, found("group of sink "+s.cfg.Name, broken, err)...)
			}
		}
		return all
	}}}
	for _, s := range e.sinks {
		probes = append(probes, probe{subject: s.part(), run: func(ctx context.Context) []finding { return s.check(ctx, e.cfg.MigrateOnStart) }})
	}
	return probes
}

// topicPart begins the part of a topic.
const topicPart = "topic "

// surveyKafka looks at the brokers and at the topics. Answers tells that a broker
// told of the topics.
func (e *examination) surveyKafka(ctx context.Context) (all []finding, answers bool) {
	survey, err := e.kafka.Survey(ctx, e.topics())
	for _, b := range survey.Brokers {
		part := "kafka " + b.Address
		if e.cfg.Embedded != nil {
			part = "kafka (embedded)"
		}
		if b.Err != nil {
			all = append(all, found(part, broken, b.Err)...)
		} else {
			all = append(all, finef(part, "answers, Fetch up to version %d", b.Fetch))
		}
	}
	for _, t := range survey.Topics {
		part := topicPart + t.Name
		for _, problem := range t.Problems {
			all = append(all, found(part, broken, problem)...)
		}
		for _, remark := range t.Remarks {
			all = append(all, found(part, doubtful, remark)...)
		}
		switch {
		case len(t.Problems)+len(t.Remarks) > 0:
		case t.Missing:
			all = append(all, finef(part, "is created at the start, with %d partitions", e.cfg.Kafka.Topics.Partitions))
		default:
			all = append(all, finef(part, "partitions %d, replicas %d, in sync %d", t.Partitions, t.Replicas, t.InSync))
		}
	}
	answers = len(survey.Topics) > 0
	if err != nil && answers {
		all = append(all, found("kafka", broken, err)...)
	}
	return all, answers
}

// lags returns how far a sink's consumer group is behind in each of its topics.
func (e *examination) lags(ctx context.Context, s examinedSink) ([]kafka.Lag, error) {
	var topics []string
	for _, t := range s.tables {
		topics = append(topics, e.cfg.Kafka.TopicPrefix+t.Topic)
	}
	return e.kafka.Lags(ctx, deliver.Config{Sink: s.cfg.Name}.Group(), topics)
}

func (s *examinedSink) part() string { return fmt.Sprintf("sink %s (%s)", s.cfg.Name, s.cfg.Kind()) }

// check looks whether the sink's batches would be written.
func (s *examinedSink) check(ctx context.Context, prepares bool) []finding {
	checker, able := s.destination.(sinks.Checker)
	if !able {
		if err := s.destination.Ping(ctx); err != nil {
			return s.trouble(err)
		}
		return []finding{finef(s.part(), "answers")}
	}
	if err := checker.Check(ctx, s.tables, prepares); err != nil {
		return s.trouble(err)
	}
	return []finding{finef(s.part(), "takes rows of %d topics", len(s.tables))}
}

// trouble is what to tell of an error of the sink. Not every one says what to do,
// such as that of a network.
func (s *examinedSink) trouble(err error) []finding {
	all := found(s.part(), broken, err)
	for i := range all {
		if all[i].Advice == "" {
			all[i].Advice = "see that it runs and can be reached from here, and that the sink's section names it rightly"
		}
	}
	return all
}
