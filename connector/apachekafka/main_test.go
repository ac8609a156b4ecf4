//go:build linux && apachekafka

package apachekafka_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"loyaltyhouse/connector/apachekafka"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/harness"
)

// patience bounds the wait for anything that another process does, on the
// slowest machine.
const patience = 2 * time.Minute

// shared is what all tests use and TestMain takes down. Each part is started by
// the first test that wants it.
var shared struct {
	dir     string
	mu      sync.Mutex
	program string               // the connector
	one     *apachekafka.Cluster // of one node
	three   *apachekafka.Cluster // of three nodes
	engine  *embedded.ClickHouse
	gateway *gateway // to the engine
}

func TestMain(m *testing.M) {
	embedded.RunChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	var err error
	if shared.dir, err = os.MkdirTemp("", "loyaltyhouse-kafka-"); err != nil {
		return complain(err)
	}
	defer func() { _ = os.RemoveAll(shared.dir) }() // It lies in the system's temporary directory.
	code := m.Run()
	for _, cluster := range []*apachekafka.Cluster{shared.one, shared.three} {
		if cluster != nil {
			err = errors.Join(err, cluster.Close())
		}
	}
	if shared.engine != nil {
		shared.gateway.close()
		err = errors.Join(err, shared.engine.Err(), shared.engine.Close(context.Background()))
	}
	if err = errors.Join(err, goleak.Find()); err != nil {
		return complain(err)
	}
	return code
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// oneNode is the cluster of one node, which tests must not stop.
func oneNode(t *testing.T) *apachekafka.Cluster {
	t.Helper()
	return sharedCluster(t, &shared.one, 1)
}

// threeNodes is the cluster of three. Tests leave all nodes running.
func threeNodes(t *testing.T) *apachekafka.Cluster {
	t.Helper()
	return sharedCluster(t, &shared.three, 3)
}

func sharedCluster(t *testing.T, cluster **apachekafka.Cluster, nodes int) *apachekafka.Cluster {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if *cluster == nil {
		var err error
		cfg := apachekafka.Config{Nodes: nodes, Dir: filepath.Join(shared.dir, fmt.Sprintf("kafka-%d", nodes))}
		if *cluster, err = apachekafka.Start(t.Context(), cfg, testLog(t)); err != nil {
			t.Fatal(err)
		}
	}
	return *cluster
}

// startCluster starts a cluster for one test.
func startCluster(t *testing.T, cfg apachekafka.Config) *apachekafka.Cluster {
	t.Helper()
	cfg.Dir = t.TempDir()
	cluster, err := apachekafka.Start(t.Context(), cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cluster.Close(); err != nil {
			t.Error(err)
		}
	})
	return cluster
}

// connectorProgram is the connector, built once.
func connectorProgram(t *testing.T) string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.program == "" {
		program, err := harness.Build(t.Context(), shared.dir)
		if err != nil {
			t.Fatal(err)
		}
		shared.program = program
	}
	return shared.program
}

// clickHouse is the address of the ClickHouse of all tests.
func clickHouse(t *testing.T) string {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if shared.engine == nil {
		cfg := embedded.DefaultConfig()
		cfg.DataDir = filepath.Join(shared.dir, "clickhouse")
		cfg.ClickHouse.NativePort, cfg.ClickHouse.HTTPPort = 0, 0
		var err error
		if shared.engine, err = embedded.StartClickHouse(t.Context(), cfg, slog.New(slog.DiscardHandler), os.Stderr); err != nil {
			t.Fatal(err)
		}
		if shared.gateway, err = openGateway(shared.engine.Addr()); err != nil {
			t.Fatal(err)
		}
	}
	return shared.gateway.listener.Addr().String()
}

// testContext ends when a test has taken far too long.
func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for until := time.Now().Add(patience); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("never: %s", what)
		}
	}
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}
