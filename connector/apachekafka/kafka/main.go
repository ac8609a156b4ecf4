//go:build linux

// Command kafka runs Apache Kafka on this machine for development, until Ctrl-C.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"loyaltyhouse/connector/apachekafka"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "kafka:", err)
		os.Exit(1)
	}
}

func run() error {
	nodes := flag.Int("nodes", 1, "nodes of the cluster, 1 or 3")
	dir := flag.String("dir", ".data/kafka", "directory of the data and the logs")
	port := flag.Int("port", 9092, "port of the first node; the others take the next ones")
	flag.Parse()
	if flag.NArg() > 0 {
		return fmt.Errorf("no argument is expected, got %q", flag.Args())
	}

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	cluster, err := apachekafka.Start(ctx, apachekafka.Config{Nodes: *nodes, Dir: *dir, Port: *port}, log)
	if err != nil {
		return err
	}
	replication := "replication_factor: 1"
	if *nodes == 3 {
		replication = "replication_factor: 3, min_insync_replicas: 2"
	}
	fmt.Printf(`Apache Kafka is running. Put this into a configuration without "embedded":

kafka:
  brokers: [%s]
  topics: {%s}

Data and logs are in %s. Ctrl-C ends it.
`, strings.Join(cluster.Addresses(), ", "), replication, *dir)

	ended := make(chan int, *nodes)
	for node := range *nodes {
		go func() {
			<-cluster.Done(node)
			ended <- node
		}()
	}
	select {
	case <-ctx.Done():
		return cluster.Close()
	case node := <-ended:
		return errors.Join(fmt.Errorf("node %d ended by itself; see %s/node-%d.log", node, *dir, node), cluster.Close())
	}
}
