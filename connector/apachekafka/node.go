//go:build linux

package apachekafka

import (
	"bytes"
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	kafkago "github.com/segmentio/kafka-go"

	"loyaltyhouse/connector/harness"
)

//go:embed log4j2.xml
var logging []byte

// javaOptions keep a node small, and quick to start on a machine with few
// processors.
var javaOptions = []string{"-Xms64m", "-Xmx320m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:+DisplayVMOutputToStderr", "-XX:-UsePerfData"}

// node is one process of the cluster.
type node struct {
	id         int
	dir        string // of this node
	logFile    string
	install    install
	advertised string
	settings   map[string]string

	clientPort, brokerPort, controllerPort int

	mu      sync.Mutex
	process *harness.Process // nil before the first start
}

// newNodes chooses the ports of all nodes, which have to know each other.
func newNodes(ctx context.Context, cfg Config, found install) ([]*node, error) {
	var nodes []*node
	var voters []string
	for id := range cfg.Nodes {
		n := &node{
			id: id, install: found,
			dir:     filepath.Join(cfg.Dir, fmt.Sprintf("node-%d", id)),
			logFile: filepath.Join(cfg.Dir, fmt.Sprintf("node-%d.log", id)),
		}
		if cfg.Port != 0 {
			n.clientPort = cfg.Port + id
		}
		for _, port := range []*int{&n.clientPort, &n.brokerPort, &n.controllerPort} {
			var err error
			if *port == 0 {
				*port, err = harness.FreePort(ctx)
			}
			if err != nil {
				return nil, err
			}
		}
		n.advertised = loopback(n.clientPort)
		if cfg.Advertise != nil {
			n.advertised = cfg.Advertise(id, n.clientPort)
		}
		nodes = append(nodes, n)
		voters = append(voters, fmt.Sprintf("%d@%s", id, loopback(n.controllerPort)))
	}
	for _, n := range nodes {
		n.settings = n.defaults(cfg.Nodes)
		n.settings["controller.quorum.voters"] = strings.Join(voters, ",")
		maps.Copy(n.settings, cfg.Settings)
	}
	return nodes, nil
}

// defaults are the settings of a node besides those of the cluster; see
// https://kafka.apache.org/documentation/#brokerconfigs.
func (n *node) defaults(nodes int) map[string]string {
	replicas := strconv.Itoa(nodes)
	inSync := strconv.Itoa(nodes/2 + 1)
	return map[string]string{
		"node.id":       strconv.Itoa(n.id),
		"process.roles": "broker,controller",
		"log.dirs":      filepath.Join(n.dir, "data"),

		// A proxy between clients and nodes is not between the nodes.
		"listeners": fmt.Sprintf("CLIENT://%s,BROKER://%s,CONTROLLER://%s",
			loopback(n.clientPort), loopback(n.brokerPort), loopback(n.controllerPort)),
		"advertised.listeners":           fmt.Sprintf("CLIENT://%s,BROKER://%s", n.advertised, loopback(n.brokerPort)),
		"listener.security.protocol.map": "CLIENT:PLAINTEXT,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"inter.broker.listener.name":     "BROKER",
		"controller.listener.names":      "CONTROLLER",

		"auto.create.topics.enable":                        "false",
		"default.replication.factor":                       replicas,
		"offsets.topic.replication.factor":                 replicas,
		"transaction.state.log.replication.factor":         replicas,
		"transaction.state.log.min.isr":                    inSync,
		"share.coordinator.state.topic.replication.factor": replicas,
		"share.coordinator.state.topic.min.isr":            inSync,
		"group.initial.rebalance.delay.ms":                 "0",

		// A node that was killed is replaced, and may come back, after this time.
		"broker.session.timeout.ms":    "5000",
		"broker.heartbeat.interval.ms": "1000",

		// Small: these are for the topics of one application on one machine.
		"offsets.topic.num.partitions":                 "6",
		"transaction.state.log.num.partitions":         "3",
		"share.coordinator.state.topic.num.partitions": "3",
		"log.cleaner.dedupe.buffer.size":               "4194304",
		"num.network.threads":                          "2",
		"num.io.threads":                               "4",
	}
}

// prepare writes the settings, and formats the storage the first time.
func (n *node) prepare(ctx context.Context, clusterID string) error {
	if err := os.MkdirAll(n.dir, 0o700); err != nil {
		return fmt.Errorf("create the directory of a node: %w", err)
	}
	if err := os.WriteFile(n.file("log4j2.xml"), logging, 0o600); err != nil {
		return fmt.Errorf("write the logging settings of a node: %w", err)
	}
	if err := os.WriteFile(n.file("server.properties"), properties(n.settings), 0o600); err != nil {
		return fmt.Errorf("write the settings of a node: %w", err)
	}
	_, err := os.Stat(filepath.Join(n.settings["log.dirs"], "meta.properties"))
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	format := n.install.command(ctx, n.options(), "kafka.tools.StorageTool",
		"format", "--ignore-formatted", "--cluster-id", clusterID, "--config", n.file("server.properties"))
	format.WaitDelay = time.Second
	if words, err := format.CombinedOutput(); err != nil {
		return fmt.Errorf("format the storage of node %d: %w:\n%s", n.id, err, lastLines(words, 12))
	}
	return nil
}

func (n *node) file(name string) string { return filepath.Join(n.dir, name) }

func (n *node) options() []string {
	return append(slices.Clone(javaOptions), "-Dlog4j2.configurationFile="+n.file("log4j2.xml"))
}

// start starts the process, which outlives the context, and does not wait for it.
func (n *node) start(ctx context.Context) error {
	for _, port := range []int{n.clientPort, n.brokerPort, n.controllerPort} {
		listener, err := new(net.ListenConfig).Listen(ctx, "tcp", loopback(port))
		if err != nil {
			return fmt.Errorf("node %d of Kafka cannot listen at %s: %w; stop what uses the port, or choose another", n.id, loopback(port), err)
		}
		_ = listener.Close() // The node is to have it.
	}
	log, err := os.OpenFile(n.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of a node: %w", err)
	}
	command := n.install.command(context.WithoutCancel(ctx), n.options(), "kafka.Kafka", n.file("server.properties"))
	process, err := harness.Start(fmt.Sprintf("Kafka node %d", n.id), command, log)
	_ = log.Close() // The process has its own.
	if err != nil {
		return err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	n.process = process
	return nil
}

// await returns when the node answers and knows of so many brokers that are up,
// itself among them.
func (n *node) await(ctx context.Context, brokers int) error {
	ctx, cancel := context.WithTimeoutCause(ctx, startTimeout, fmt.Errorf("not within %s", startTimeout))
	defer cancel()
	for {
		err := n.answers(ctx, brokers)
		if err == nil {
			return nil
		}
		select {
		case <-n.done():
			return fmt.Errorf("node %d of Kafka ended when it was started; the end of %s:\n%s", n.id, n.logFile, n.lastWords())
		case <-ctx.Done():
			return fmt.Errorf("wait for node %d of Kafka: %w (%w); see %s", n.id, context.Cause(ctx), err, n.logFile)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// answers asks the node which brokers there are, and whether it takes clients.
func (n *node) answers(ctx context.Context, brokers int) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	transport := &kafkago.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP(loopback(n.brokerPort)), Transport: transport}
	response, err := client.Metadata(ctx, &kafkago.MetadataRequest{})
	if err != nil {
		return err
	}
	itself := func(b kafkago.Broker) bool { return b.ID == n.id }
	if len(response.Brokers) < brokers || !slices.ContainsFunc(response.Brokers, itself) {
		return fmt.Errorf("it knows of %d brokers", len(response.Brokers))
	}
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", loopback(n.clientPort))
	if err != nil {
		return err
	}
	return conn.Close()
}

func (n *node) lastWords() string {
	words, err := os.ReadFile(n.logFile)
	if err != nil {
		return err.Error()
	}
	return lastLines(words, 15)
}

// done is closed when the process has ended; before the first start it never is.
func (n *node) done() <-chan struct{} {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.process == nil {
		return nil
	}
	return n.process.Done()
}

// stop ends the process in order, and kills it when it takes longer than grace.
func (n *node) stop(grace time.Duration) {
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case n.process == nil:
	case grace == 0:
		n.process.Kill()
	default:
		_ = n.process.Signal(syscall.SIGCONT) // One that is paused would not notice.
		n.process.Stop(grace)
	}
}

func (n *node) pause() error  { return n.signal(syscall.SIGSTOP) }
func (n *node) resume() error { return n.signal(syscall.SIGCONT) }

func (n *node) signal(s os.Signal) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.process.Signal(s)
}

// properties writes settings in the format of Java.
func properties(settings map[string]string) []byte {
	var text bytes.Buffer
	escape := strings.NewReplacer(`\`, `\\`, "\n", `\n`)
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		fmt.Fprintf(&text, "%s=%s\n", name, escape.Replace(settings[name]))
	}
	return text.Bytes()
}
