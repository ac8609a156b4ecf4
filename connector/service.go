package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/deliver"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/webhook"
	"loyaltyhouse/schema"
)

// roles are what one process does of the whole.
type roles struct {
	receive, deliver bool
}

// A service is the running connector.
type service struct {
	cfg      *config.Config
	roles    roles
	log      *slog.Logger
	registry *prometheus.Registry
	ready    *readiness
	process  *state

	contracts []*schema.Contract
	broker    *embedded.Broker
	engine    *engine
	kafka     *kafka.Client
	producer  *kafka.Producer
	reloads   *reloadMetrics
	delivery  *deliver.Metrics
	sinks     []*runningSink
	pages     *pages
	admin     *adminServer
	receiver  *webhook.Receiver
	server    *webhook.Server

	topicsCreated chan struct{} // closed when the topics are there

	work       context.Context // of what runs in the background; it outlives the receiver
	stopWork   context.CancelFunc
	background sync.WaitGroup
	failed     chan error // the first part that ended by itself
}

// serve runs the service until ctx ends, then shuts it down. Meanwhile it takes
// changes of the configuration from file.
func serve(ctx context.Context, cfg *config.Config, file *configFile, r roles, log *slog.Logger) error {
	s, err := start(ctx, cfg, r, log)
	if err != nil {
		if ctx.Err() != nil {
			log.LogAttrs(ctx, slog.LevelInfo, "ended by a signal while starting", slog.Any("error", err))
			return nil
		}
		return err
	}
	return s.wait(ctx, file)
}

// start returns when the ports are open. Kafka and ClickHouse may come later:
// the service tries until they are there, and readyz tells.
func start(ctx context.Context, cfg *config.Config, r roles, log *slog.Logger) (_ *service, err error) {
	s := &service{
		cfg: cfg, roles: r, log: log,
		registry: prometheus.NewRegistry(), ready: &readiness{}, process: newState("the process is starting"),
		topicsCreated: make(chan struct{}), failed: make(chan error, 1),
	}
	s.ready.add(part{Name: "process", forReceiver: true, check: s.process.check})
	s.work, s.stopWork = context.WithCancel(context.WithoutCancel(ctx))
	s.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), buildInfo())
	s.reloads = newReloadMetrics(s.registry)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.shutdown(context.WithoutCancel(ctx)))
		}
	}()

	if s.contracts, err = cfg.LoadContracts(); err != nil {
		return nil, err
	}
	if s.pages, err = newPages(cfg.Admin); err != nil {
		return nil, err
	}
	if s.admin, err = listenAdmin(ctx, cfg.Admin.Address, s.ready, s.registry, s.pages, log); err != nil {
		return nil, err
	}
	s.run(s.admin.serve)
	if err := s.startEmbedded(ctx); err != nil {
		return nil, err
	}
	if err := s.startKafka(); err != nil {
		return nil, err
	}
	topics := newState("the topics are being looked up")
	s.ready.add(part{Name: "topics", forReceiver: true, check: topics.check})
	if r.deliver {
		if err := s.openSinks(); err != nil {
			return nil, err
		}
	}
	if err := s.pages.connect(cfg, r); err != nil {
		return nil, err
	}
	if r.receive {
		if err := s.startReceiver(ctx); err != nil {
			return nil, err
		}
	}
	s.createTopics(topics) //nolint:contextcheck // What it starts outlives ctx: see service.work.
	for _, sink := range s.sinks {
		s.startSink(sink) //nolint:contextcheck // As above.
	}
	s.process.set(nil)
	return s, nil
}

// run starts a part that ends by itself only in trouble.
func (s *service) run(f func() error) {
	s.background.Go(func() {
		if err := f(); err != nil {
			select {
			case s.failed <- err:
			default: // Another part was first.
			}
		}
	})
}

func (s *service) startEmbedded(ctx context.Context) (err error) {
	if s.cfg.Embedded == nil {
		return nil
	}
	if s.broker, err = embedded.StartBroker(ctx, *s.cfg.Embedded, s.log); err != nil {
		return err
	}
	if s.engine, err = startEngine(ctx, *s.cfg.Embedded, s.log); err != nil {
		return err
	}
	s.engine.point(s.cfg)
	s.ready.add(part{Name: "embedded clickhouse", check: s.engine.state.check})
	s.run(func() error { return s.engine.supervise(s.work) })
	return nil
}

func (s *service) startKafka() error {
	options := kafka.Options{Logger: s.log, Registerer: s.registry, Topics: s.topics()}
	if s.broker != nil {
		options.Dial = s.broker.Dial
	}
	client, err := kafka.NewClient(s.cfg.Kafka, options)
	if err != nil {
		return err
	}
	s.kafka = client
	s.producer = client.NewProducer(s.cfg.Kafka.Producer)
	s.ready.add(part{Name: "kafka", forReceiver: true, check: client.Ping})
	return nil
}

// topics are the full names of the tables' topics.
func (s *service) topics() []string {
	var names []string
	for _, t := range schema.Tables(s.contracts) {
		names = append(names, s.cfg.Kafka.TopicPrefix+t.Topic)
	}
	return names
}

func (s *service) startReceiver(ctx context.Context) error {
	secrets, err := s.cfg.Secrets()
	if err != nil {
		return err
	}
	normalizer, err := normalize.New(s.contracts, s.cfg.Receiver.OnStoreMismatch == "dead_letter")
	if err != nil {
		return err
	}
	p := &publisher{producer: s.producer, prefix: s.cfg.Kafka.TopicPrefix, now: time.Now}
	s.ready.add(part{Name: "publishing", forReceiver: true, check: p.check})
	s.receiver, err = webhook.New( //nolint:contextcheck // Each request has its own context.
		s.cfg.Receiver, secrets, normalizer, p, s.registry, s.log, time.Now)
	if err != nil {
		return err
	}
	if s.server, err = webhook.Listen(ctx, s.receiver); err != nil {
		return err
	}
	s.run(s.server.Serve)
	s.log.LogAttrs(ctx, slog.LevelInfo, "receiving webhooks", slog.String("address", s.server.Addr()), slog.String("path", webhook.Path))
	return nil
}

// createTopics creates the topics that are missing. It tries until the work ends.
func (s *service) createTopics(topics *state) {
	names := s.topics()
	s.background.Go(func() {
		if s.until(s.work, topics, "topics", func() error {
			// EnsureTopics tries for as long as it may; readyz should tell why meanwhile.
			ctx, cancel := context.WithTimeout(s.work, 5*time.Second)
			defer cancel()
			return s.kafka.EnsureTopics(ctx, names)
		}) {
			close(s.topicsCreated)
		}
	})
}

// until repeats f until it succeeds, or ctx ends; then it returns false. What is
// the thing that is missing.
func (s *service) until(ctx context.Context, st *state, what string, f func() error) bool {
	for {
		err := f()
		st.set(err)
		if err == nil {
			return true
		}
		if ctx.Err() != nil {
			return false
		}
		s.log.LogAttrs(ctx, slog.LevelWarn, "not ready yet; trying again", slog.String("what", what), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return false
		case <-time.After(2 * time.Second):
		}
	}
}

// wait returns after the shutdown that ctx, or a part that failed, began.
func (s *service) wait(ctx context.Context, file *configFile) error {
	var watch <-chan time.Time
	if s.cfg.ReloadOnChange {
		ticker := time.NewTicker(watchInterval)
		defer ticker.Stop()
		watch, file.seen = ticker.C, digest(file.watched(s.cfg))
	}
	for {
		select {
		case <-ctx.Done():
			s.log.LogAttrs(ctx, slog.LevelInfo, "shutting down; a second signal ends at once")
			return s.shutdown(context.WithoutCancel(ctx))
		case cause := <-s.failed:
			return errors.Join(cause, s.shutdown(context.WithoutCancel(ctx)))
		case <-file.hangup:
			s.reload(ctx, file)
		case <-watch:
			if digest(file.watched(s.cfg)) != file.seen {
				s.reload(ctx, file)
			}
		}
	}
}

// shutdown follows the data (invariant 6), within the configured time.
func (s *service) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.ShutdownTimeout)
	defer cancel()
	s.process.set(errors.New("the process is shutting down"))
	var errs []error
	if s.server != nil {
		// Every request is answered after its acknowledgement, so that nothing of
		// the receiver's is left in the producer.
		if err := s.server.Shutdown(ctx); err != nil {
			errs = append(errs, fmt.Errorf("requests in flight were cut off: %w", err))
		}
	}
	s.stopWork()
	if s.admin != nil {
		errs = append(errs, s.admin.shutdown(ctx))
	}
	errs = append(errs, s.awaitBackground(ctx))
	if s.pages != nil {
		s.pages.close()
	}
	if s.producer != nil {
		errs = append(errs, s.producer.Close(ctx)) // The deliverers' dead letters went through it.
	}
	for _, sink := range s.sinks {
		errs = append(errs, sink.sink.Close())
	}
	if s.kafka != nil {
		s.kafka.Close()
	}
	if s.broker != nil {
		errs = append(errs, s.broker.Close())
	}
	if s.engine != nil {
		errs = append(errs, s.engine.close(ctx))
	}
	return errors.Join(errs...)
}

func (s *service) awaitBackground(ctx context.Context) error {
	done := make(chan struct{})
	go func() {
		s.background.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		select {
		case <-done:
			return nil // In time, if only just.
		default:
		}
		return fmt.Errorf("something did not end within shutdown_timeout (%s); what was not committed is delivered again", s.cfg.ShutdownTimeout)
	}
}
