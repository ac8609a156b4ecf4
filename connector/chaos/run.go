//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"loyaltyhouse/connector/harness"
	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/schema"
)

const (
	database    = "loyalty"
	topicPrefix = "loyalty."
	partitions  = 3

	// receiverGroup has one receiver at a time broken, so that webhooks come in.
	receiverGroup = "receivers"

	// patience is how long nothing may move, after everything has been made whole
	// again, before the run fails.
	patience = 2 * time.Minute
)

// A run is one run of this program.
type run struct {
	options options
	dir     string // evidence and data
	journal *journal
	file    *os.File // of the journal
	begin   time.Time

	cluster     *cluster
	warehouse   *warehouse
	application *application
	proxies     []*proxy
	receivers   []*process
	sinks       []*process
	probes      map[*process]string // that answer 200 when a process is ready
	balancer    *balancer
	targets     []*target

	load   *load
	sent   simulate.Summary
	result *result
}

func newRun(o options) (*run, error) {
	var err error
	if o.evidence == "" {
		o.evidence, err = os.MkdirTemp("", "loyaltyhouse-chaos-")
	} else {
		err = os.Mkdir(o.evidence, 0o700)
	}
	if err != nil {
		return nil, fmt.Errorf("create the directory for the evidence: %w", err)
	}
	dir, err := filepath.Abs(o.evidence)
	if err != nil {
		return nil, err
	}
	file, err := os.OpenFile(filepath.Join(dir, "journal.ndjson"), os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // The name is fixed, in the directory that was made a few lines above, which fails where there is one.
	if err != nil {
		return nil, err
	}
	return &run{options: o, dir: dir, file: file, journal: newJournal(file, os.Stderr), begin: time.Now(), probes: map[*process]string{}}, nil
}

// play does the whole run. What is found to be wrong is in the journal and in
// the result; the error tells that the run did not come to its end.
func (r *run) play(ctx context.Context) (err error) {
	defer func() { err = errors.Join(err, r.tearDown()) }() //nolint:contextcheck // What runs is to end, all the more when ctx has.
	defer func() {
		if err != nil && ctx.Err() == nil {
			r.dump(ctx)
		}
	}()
	r.journal.note("seed %d, %s, %v webhooks per second, %s Kafka, evidence in %s", r.options.seed, r.options.time, r.options.rate, r.options.kafka, r.dir)
	if err := r.setUp(ctx); err != nil {
		return err
	}
	if err := r.breakEverything(ctx); err != nil {
		return err
	}
	return r.reconcile(ctx)
}

func (r *run) setUp(ctx context.Context) error {
	program := r.options.program
	var err error
	// First, for it is what a machine may lack.
	if r.application, err = r.startApplication(ctx); err != nil {
		return err
	}
	r.targets = append(r.targets, r.application.target())
	if program == "" {
		r.journal.note("building the connector")
		var flags []string
		if r.options.race {
			flags = append(flags, "-race")
		}
		if program, err = harness.Build(ctx, r.dir, flags...); err != nil {
			return err
		}
	}
	if r.options.kafka == kafkaReal {
		r.cluster, err = startKafka(ctx, r.dir, r.journal)
	} else {
		r.cluster, err = startBroker(ctx, program, r.dir, r.journal)
	}
	if err != nil {
		return err
	}
	r.targets = append(r.targets, r.cluster.targets...)
	if r.warehouse, err = startWarehouse(ctx, r.dir, r.journal); err != nil {
		return err
	}
	r.targets = append(r.targets, r.warehouse.target())
	var receivers []receiver
	for _, command := range []string{"receive", "receive", "sink", "sink"} {
		host, err := r.add(ctx, program, command)
		if err != nil {
			return err
		}
		if command == "receive" {
			receivers = append(receivers, receiver{host: host, probe: r.probes[r.receivers[len(r.receivers)-1]]})
		}
	}
	if err := r.migrate(ctx, program); err != nil {
		return err
	}
	if r.balancer, err = startBalancer(ctx, receivers); err != nil {
		return err
	}
	return r.makeWhole(ctx)
}

// startApplication starts PostgreSQL below the run's directory. As root that is
// done by another user, who has to get there, and sees nothing on the way.
func (r *run) startApplication(ctx context.Context) (*application, error) {
	if os.Getuid() == 0 {
		if err := os.Chmod(r.dir, 0o711); err != nil { //nolint:gosec // PostgreSQL runs as another user and must pass through; nobody but the owner can list the directory, and each file in it has a mode of its own.
			return nil, err
		}
	}
	return startApplication(ctx, filepath.Join(r.dir, "postgres"))
}

// lake is where ClickHouse, which compares, may read files.
func (r *run) lake() string { return filepath.Join(r.dir, "clickhouse", "data", "user_files", "lake") }

// add adds a receiver or a sink, and returns where a receiver listens.
func (r *run) add(ctx context.Context, program, command string) (host string, err error) {
	number := 1 + len(r.receivers)
	if command == "sink" {
		number = 1 + len(r.sinks)
	}
	name := fmt.Sprintf("%s-%d", command, number)
	var addresses [2]string
	for i := range addresses {
		if addresses[i], err = harness.FreeAddress(ctx); err != nil {
			return "", err
		}
	}
	warehouse, application := r.warehouse.address(), r.application.server.Addr()
	if command == "sink" {
		for _, server := range []struct {
			name    string
			address *string
		}{{"ClickHouse", &warehouse}, {"PostgreSQL", &application}} {
			p, err := startProxy(ctx, name+"'s "+server.name, *server.address)
			if err != nil {
				return "", err
			}
			r.proxies = append(r.proxies, p)
			r.targets = append(r.targets, p.target())
			*server.address = p.listen
		}
	}
	file := filepath.Join(r.dir, name+".yaml")
	text := fmt.Appendf(nil, `receiver: {address: "%s", secrets: %s}
kafka:
  brokers: [%s]
  topics: {partitions: %d, replication_factor: %d, min_insync_replicas: %d}
sinks:
  - name: %s
    clickhouse: {addresses: "%s"}
    retry: {max_interval: 2s} # What was broken is whole again soon.
  - name: %s
    # Every file is synced, and a directory for each simulated day would take too many.
    files: {local: {directory: "%s"}, partition_by: [shop]}
    batch: {max_age: 1s}
    retry: {max_interval: 2s}
  - name: %s
    postgres: %s
    retry: {max_interval: 2s}
admin: {address: "%s"}
shutdown_timeout: 15s
`, addresses[0], secret, strings.Join(r.cluster.addresses, ", "), partitions, r.cluster.replicas, (r.cluster.replicas+1)/2,
		warehouseSink, warehouse, lakeSink, r.lake(), applicationSink, r.application.section(application), addresses[1])
	if err := os.WriteFile(file, text, 0o600); err != nil { //nolint:gosec // The name is made of a command and a number, in the directory of this run.
		return "", err
	}
	p := newProcess(name, program, r.dir, r.journal, command, "--config", file)
	if command == "sink" {
		r.sinks = append(r.sinks, p)
		r.probes[p] = "http://" + addresses[1] + "/readyz"
		r.targets = append(r.targets, p.target(name, sinkClass))
	} else {
		r.receivers = append(r.receivers, p)
		r.probes[p] = "http://" + addresses[1] + "/readyz/receiver"
		r.targets = append(r.targets, p.target(receiverGroup, receiverClass))
	}
	return addresses[0], nil
}

// migrate makes the tables, before the sinks do so themselves, and keeps their
// parts from being merged.
func (r *run) migrate(ctx context.Context, program string) error {
	migration := newProcess("migrate", program, r.dir, r.journal, "migrate", "up", "--config", filepath.Join(r.dir, "sink-1.yaml"))
	if err := migration.start(ctx); err != nil {
		return err
	}
	defer migration.close()
	migration.current.told.Store(true) // It ends by itself.
	select {
	case <-migration.current.Done():
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := migration.current.Err(); err != nil {
		return fmt.Errorf("connector migrate up: %w; see %s", err, migration.logFile)
	}
	tables, err := tables()
	if err != nil {
		return err
	}
	var names []string
	for _, t := range tables {
		names = append(names, database+"."+t.Name)
	}
	return r.warehouse.keepEveryRow(ctx, names)
}

// tables returns every table that a topic is delivered to.
func tables() ([]*schema.Table, error) {
	contracts, err := schema.Builtin()
	if err != nil {
		return nil, err
	}
	var all []*schema.Table
	for _, c := range contracts {
		all = append(all, c.FactTable())
	}
	return append(all, schema.RawWebhooks(), schema.DeadLetters()), nil
}

// makeWhole starts what does not run and waits until everything is ready.
func (r *run) makeWhole(ctx context.Context) error {
	for _, t := range r.targets {
		if t.start == nil {
			continue
		}
		if err := t.start(ctx); err != nil {
			return err
		}
	}
	waiting, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, p := range slices.Concat(r.receivers, r.sinks) {
		if err := p.awaitOK(waiting, r.probes[p]); err != nil {
			return fmt.Errorf("%w; see %s", err, p.logFile)
		}
	}
	return nil
}

// breakEverything sends webhooks, carries the plan out, and returns when all is
// whole again and everything is delivered.
func (r *run) breakEverything(ctx context.Context) error {
	r.load = newLoad(r.options, r.balancer.address)
	sending, stopSending := context.WithCancel(ctx)
	defer stopSending()
	sent := make(chan error, 1)
	go func() {
		var err error
		r.sent, err = r.load.send(sending)
		sent <- err
	}()
	stopTelling := r.tellProgress()
	broken := r.carryOut(ctx)
	stopTelling()
	r.journal.note("no more faults; sending the rest")
	whole := r.makeWhole(ctx)
	// Whatever happened, the sender has ended when this returns.
	err := errors.Join(broken, whole)
	if err == nil {
		err = r.awaitSent(ctx, sent)
	}
	stopSending()
	if err != nil {
		if sendErr, ok := <-sent; ok && !errors.Is(sendErr, context.Canceled) {
			err = errors.Join(err, sendErr)
		}
		return err
	}
	if r.sent.Violations > 0 {
		r.journal.found("%d webhooks got another answer than a correct receiver gives, such as: %s", r.sent.Violations, strings.Join(r.sent.FirstViolations, "; "))
	}
	// Nothing can be on its way to Kafka after this.
	for _, p := range r.receivers {
		if err := p.terminate(); err != nil {
			return err
		}
	}
	return nil
}

// tellProgress notes now and then how far the load is, until it is stopped.
func (r *run) tellProgress() (stop func()) {
	done := make(chan struct{})
	var telling sync.WaitGroup
	telling.Go(func() {
		ticker := time.NewTicker(10 * time.Second)
		defer ticker.Stop()
		for {
			select {
			case <-done:
				return
			case <-ticker.C:
				settled, _ := r.load.progress()
				r.journal.note("%d webhooks are answered for good", settled)
			}
		}
	})
	return func() {
		close(done)
		telling.Wait()
	}
}

// carryOut carries the plan out, and returns when its time is over and what was
// broken is whole again.
func (r *run) carryOut(ctx context.Context) error {
	limited, cancel := context.WithTimeout(ctx, r.options.time)
	defer cancel()
	places := make([]place, len(r.targets))
	byName := map[string]*target{}
	breaking := map[string]*sync.Mutex{} // by group
	for i, t := range r.targets {
		places[i] = t.place
		byName[t.name] = t
		breaking[t.group] = new(sync.Mutex)
	}
	begin := time.Now()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var errs []error
	for _, f := range makePlan(r.options.seed, r.options.time, r.options.every, places) {
		select {
		case <-limited.Done():
		case <-time.After(time.Until(begin.Add(f.At))):
		}
		wg.Go(func() {
			t := byName[f.Target]
			if err := t.suffer(limited, breaking[t.group], f, r.journal); err != nil {
				mu.Lock()
				defer mu.Unlock()
				errs = append(errs, fmt.Errorf("%s of %s: %w", f.Kind, f.Target, err))
			}
		})
	}
	<-limited.Done()
	wg.Wait()
	if ctx.Err() != nil {
		errs = append(errs, ctx.Err())
	}
	return errors.Join(errs...)
}

// awaitSent waits for the sender, as long as something is settled now and then.
func (r *run) awaitSent(ctx context.Context, sent chan error) error {
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	healed := time.Now()
	for {
		select {
		case err := <-sent:
			close(sent)
			return err
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
		settled, latest := r.load.progress()
		if now := time.Now(); now.Sub(latest) > patience && now.Sub(healed) > patience {
			return fmt.Errorf("no webhook was answered for %s although everything should be whole again; %d are settled", patience, settled)
		}
	}
}

// reconcile waits until everything is delivered, and compares.
func (r *run) reconcile(ctx context.Context) error {
	tables, err := tables()
	if err != nil {
		return err
	}
	kafka := newReader(r.cluster.addresses, topicPrefix, tables)
	defer kafka.close()
	spans, err := r.awaitDelivered(ctx, kafka)
	if err != nil {
		return err
	}
	for _, p := range r.sinks {
		if err := p.terminate(); err != nil {
			return err
		}
	}
	r.journal.note("comparing")
	r.result, err = reconcile(ctx, r.warehouse, kafka, expectation{
		database: database, tables: tables, spans: spans,
		acknowledged: r.load.acknowledged, balances: r.load.generator.Balances, customers: r.load.generator.Expected().Customers,
		destinations: []destination{lake{r.lake()}, r.application},
	}, r.dir)
	return err
}

// awaitDelivered returns when the sinks have committed everything.
func (r *run) awaitDelivered(ctx context.Context, kafka *reader) ([]span, error) {
	var before, lag int64 = -1, -1
	moved := time.Now()
	for {
		spans, err := kafka.spans(ctx)
		if err == nil {
			lag = 0
			for _, s := range spans {
				lag += s.lag()
			}
			if lag == 0 {
				return spans, nil
			}
		}
		if lag != before {
			r.journal.note("the sinks have %d records to deliver", lag)
			before, moved = lag, time.Now()
		}
		if time.Since(moved) > patience {
			return nil, errors.Join(fmt.Errorf("the sinks are %d records behind, and have not moved for %s", lag, patience), err)
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(time.Second):
		}
	}
}

// tearDown ends whatever runs, the last part of the way first.
func (r *run) tearDown() error {
	var errs []error
	for _, p := range slices.Concat(r.receivers, r.sinks) {
		errs = append(errs, p.terminate())
		p.close()
	}
	if r.balancer != nil {
		r.balancer.close()
	}
	if r.cluster != nil && r.cluster.close != nil {
		errs = append(errs, r.cluster.close())
	}
	if r.warehouse != nil {
		errs = append(errs, r.warehouse.close())
	}
	if r.application != nil {
		errs = append(errs, r.application.close())
	}
	for _, p := range r.proxies {
		p.close()
	}
	return errors.Join(append(errs, r.readLogs())...)
}

// conclude prints the summary, removes what nobody needs any more, and reports
// whether everything is exact.
func (r *run) conclude(ctx context.Context, err error) bool {
	s := &summary{options: r.options, took: time.Since(r.begin), sent: r.sent, result: r.result}
	var findings []string
	s.faults, findings = r.journal.carriedOut()
	if r.load != nil {
		s.resends = r.load.generator.Expected().Resends
	}
	switch {
	case ctx.Err() != nil:
		s.differences = append(s.differences, "ended by a signal; nothing was compared")
	case err != nil:
		s.differences = append(s.differences, err.Error())
	case r.result != nil:
		s.differences = append(s.differences, r.result.differences()...)
	}
	s.differences = append(s.differences, findings...)
	if closeErr := r.file.Close(); closeErr != nil {
		s.differences = append(s.differences, closeErr.Error())
	}
	if !s.exact() || r.options.keep {
		s.evidence = r.dir
	} else if err := os.RemoveAll(r.dir); err != nil && !errors.Is(err, fs.ErrNotExist) { //nolint:gosec // Only what this run has written is removed: newRun made the directory, which fails where there is one.
		fmt.Fprintln(os.Stderr, "chaos: remove the evidence:", err)
	}
	if err := s.print(os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "chaos:", err)
		return false
	}
	return s.exact()
}
