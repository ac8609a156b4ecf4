//go:build linux

package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"loyaltyhouse/connector/apachekafka"
	"loyaltyhouse/connector/harness"
)

// The kinds of Kafka.
const (
	kafkaEmbedded = "embedded"
	kafkaReal     = "real"
)

// A cluster is the Kafka of a run: the embedded broker as a process of its own,
// or Apache Kafka. Clients reach every broker through a proxy, whose address the
// broker tells them.
type cluster struct {
	addresses []string // of the proxies
	replicas  int
	targets   []*target
	close     func() error
}

// startBroker starts the embedded broker.
func startBroker(ctx context.Context, program, dir string, j *journal) (*cluster, error) {
	listen, err := harness.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	p, err := startProxy(ctx, "broker's connections", listen)
	if err != nil {
		return nil, err
	}
	broker := newProcess("broker", program, dir, j, "broker", filepath.Join(dir, "broker"), "--listen", listen, "--advertise", p.listen)
	c := &cluster{
		addresses: []string{p.listen}, replicas: 1,
		targets: []*target{broker.target("broker", brokerClass), p.target()},
		close: func() error {
			err := broker.terminate()
			broker.close()
			p.close()
			return err
		},
	}
	if err := broker.start(ctx); err != nil {
		return c, err
	}
	_, err = broker.line() // It says its address when it answers.
	return c, err
}

// startKafka starts Apache Kafka with three nodes, of which one at a time is
// broken: with more, topics that need two replicas in sync have to wait.
func startKafka(ctx context.Context, dir string, j *journal) (*cluster, error) {
	c := &cluster{replicas: 3}
	var proxies []*proxy
	var proxyErr error
	advertise := func(node, port int) string {
		p, err := startProxy(ctx, fmt.Sprintf("kafka-%d's connections", node), fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			proxyErr = err
			return ""
		}
		proxies = append(proxies, p)
		return p.listen
	}
	log, err := os.OpenFile(filepath.Join(dir, "kafka.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600) //nolint:gosec // The name is fixed, in the directory that this run has made for itself.
	if err != nil {
		return c, err
	}
	j.note("starting Apache Kafka")
	kafka, err := apachekafka.Start(ctx, apachekafka.Config{Nodes: 3, Dir: filepath.Join(dir, "kafka"), Advertise: advertise},
		slog.New(slog.NewTextHandler(log, nil)))
	c.close = func() error {
		var err error
		if kafka != nil {
			err = kafka.Close()
		}
		for _, p := range proxies {
			p.close()
		}
		_ = log.Close() // What matters has been read from it by now.
		return err
	}
	if proxyErr != nil {
		return c, proxyErr
	}
	if err != nil {
		return c, err
	}
	c.addresses = kafka.Addresses()
	for node, p := range proxies {
		c.targets = append(c.targets, &target{
			place:  place{name: fmt.Sprintf("kafka-%d", node), group: "kafka", class: kafkaNodeClass},
			kill:   func() error { return kafka.Kill(node) },
			start:  func(ctx context.Context) error { return kafka.Restart(ctx, node) },
			stop:   func() error { return kafka.Pause(node) },
			resume: func() error { return kafka.Resume(node) },
		}, p.target())
	}
	return c, nil
}
