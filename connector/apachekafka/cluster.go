//go:build linux

package apachekafka

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

const (
	// startTimeout bounds the time until a node answers.
	startTimeout = 2 * time.Minute

	// stopTimeout bounds the time until a node is killed. A node that finds no
	// controller any more would wait for one.
	stopTimeout = 10 * time.Second
)

// Config says what to start.
type Config struct {
	// Nodes is 1 or 3.
	Nodes int

	// Dir has everything: the data, the settings and the log of each node,
	// node-0.log and so on. A directory of an earlier cluster with as many nodes
	// goes on where that stopped. One cluster at a time may use it.
	Dir string

	// Port is the port of the first node, that of the second is the next one,
	// and so on. 0 takes free ones.
	Port int

	// Advertise returns the address, as host:port, that clients are told for a
	// node that listens on a port of 127.0.0.1, such as that of a proxy. Nil
	// tells them where it listens. The nodes know each other by other ports.
	Advertise func(node int, port int) string

	// Settings are more settings of the brokers, and replace those of this
	// package. Clients come to the listener named CLIENT.
	Settings map[string]string
}

// Cluster is a running cluster. Its nodes are numbered from 0, which is their
// node.id too. Its methods may be called concurrently.
type Cluster struct {
	nodes []*node
	log   *slog.Logger
}

// Start starts a cluster and returns when all nodes answer. The context bounds
// the start alone: the cluster runs until Close, or until this process ends.
func Start(ctx context.Context, cfg Config, log *slog.Logger) (*Cluster, error) {
	if cfg.Nodes != 1 && cfg.Nodes != 3 {
		return nil, fmt.Errorf("a cluster has 1 or 3 nodes, not %d", cfg.Nodes)
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("find the directory of Kafka: %w", err)
	}
	cfg.Dir = dir
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the directory of Kafka: %w", err)
	}
	found, err := findInstall(ctx, log)
	if err != nil {
		return nil, err
	}
	id, err := clusterID(dir)
	if err != nil {
		return nil, err
	}
	c := &Cluster{log: log}
	if c.nodes, err = newNodes(ctx, cfg, found); err != nil {
		return nil, err
	}
	begin := time.Now()
	var starts errgroup.Group
	for _, n := range c.nodes {
		starts.Go(func() error {
			if err := n.prepare(ctx, id); err != nil {
				return err
			}
			return n.start(ctx)
		})
	}
	err = starts.Wait()
	for _, n := range c.nodes {
		if err == nil {
			err = n.await(ctx, cfg.Nodes)
		}
	}
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	log.LogAttrs(ctx, slog.LevelInfo, "Apache Kafka is ready", slog.String("addresses", strings.Join(c.Addresses(), ",")),
		slog.String("directory", dir), slog.Duration("after", time.Since(begin)))
	return c, nil
}

// Addresses are the bootstrap addresses as clients are told them, those of
// Config.Advertise where there is one.
func (c *Cluster) Addresses() []string {
	var addresses []string
	for _, n := range c.nodes {
		addresses = append(addresses, n.advertised)
	}
	return addresses
}

// Listen is the address where a node really listens for clients.
func (c *Cluster) Listen(node int) string { return loopback(c.nodes[node].clientPort) }

// Done is closed when a node has ended, for whatever reason. After Restart
// there is another channel.
func (c *Cluster) Done(node int) <-chan struct{} { return c.nodes[node].done() }

// Kill ends a node with SIGKILL, and returns when it is gone.
func (c *Cluster) Kill(node int) error {
	n, err := c.node(node)
	if err != nil {
		return err
	}
	n.stop(0)
	return nil
}

// Pause stops a node with SIGSTOP: its connections stay open, and nobody
// answers. Resume ends that.
func (c *Cluster) Pause(node int) error {
	n, err := c.node(node)
	if err != nil {
		return err
	}
	return n.pause()
}

// Resume lets a paused node go on.
func (c *Cluster) Resume(node int) error {
	n, err := c.node(node)
	if err != nil {
		return err
	}
	return n.resume()
}

// Restart starts a node again that was killed, on the same ports and data, and
// returns when it answers. A node that runs is killed before. Without a majority
// of the nodes none answers: after two of three were killed, restart both at the
// same time, or the first with a context that ends.
func (c *Cluster) Restart(ctx context.Context, node int) error {
	n, err := c.node(node)
	if err != nil {
		return err
	}
	n.stop(0)
	if err := n.start(ctx); err != nil {
		return err
	}
	return n.await(ctx, 1)
}

// Close stops all nodes in order, and kills those that take too long.
func (c *Cluster) Close() error {
	var stops sync.WaitGroup
	for _, n := range c.nodes {
		stops.Go(func() { n.stop(stopTimeout) })
	}
	stops.Wait()
	return nil
}

func (c *Cluster) node(number int) (*node, error) {
	if number < 0 || number >= len(c.nodes) {
		return nil, fmt.Errorf("there is no node %d: the nodes are 0 to %d", number, len(c.nodes)-1)
	}
	return c.nodes[number], nil
}

// clusterID returns the id of the directory's cluster, which is made up the
// first time.
func clusterID(dir string) (string, error) {
	file := filepath.Join(dir, "cluster-id")
	id, err := os.ReadFile(file) //nolint:gosec // The name is fixed, in the directory that the test or the developer who starts the cluster gives.
	if err == nil {
		return strings.TrimSpace(string(id)), nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the id of the cluster: %w", err)
	}
	random := make([]byte, 16)
	_, _ = rand.Read(random) // It never fails.
	random[0] &= 0x7f        // Kafka's tools would take an id that begins with "-" for an option.
	made := base64.RawURLEncoding.EncodeToString(random)
	if err := os.WriteFile(file, []byte(made+"\n"), 0o600); err != nil {
		return "", fmt.Errorf("write the id of the cluster: %w", err)
	}
	return made, nil
}

func loopback(port int) string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(port)) }
