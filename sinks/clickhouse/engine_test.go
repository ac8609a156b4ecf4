package clickhouse_test

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/harness"
	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks/clickhouse"
	"loyaltyhouse/sinks/sinktest"
)

// engine is the one ClickHouse of all tests; each test has its own database.
var engine *embedded.ClickHouse

func TestMain(m *testing.M) {
	embedded.RunChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "loyaltyhouse-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg := embedded.DefaultConfig()
	cfg.DataDir = dir
	cfg.ClickHouse.NativePort, cfg.ClickHouse.HTTPPort = 0, 0
	engine, err = embedded.StartClickHouse(context.Background(), cfg, slog.New(slog.DiscardHandler), os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := flag.Set("rapid.checks", strconv.Itoa(lawChecks)); err != nil { // The command line counts for more.
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	if err := engine.Close(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	leaks := append(harness.ToxiproxyLeaks(), goleak.IgnoreTopFunction("loyaltyhouse/sinks/clickhouse_test.(*gate).Pipe"))
	if err := goleak.Find(leaks...); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	return code
}

// How often a law is tried, each time on a shop of up to so many accounts. What
// the engine costs for a question is nearly the same for few and for many.
const (
	lawChecks   = 25
	lawAccounts = 32
)

var databases atomic.Int32

// newConfig returns the configuration of a database of the test's own, which
// is not there yet.
func newConfig(t testing.TB) clickhouse.Config {
	t.Helper()
	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = strictyaml.List{engine.Addr()}
	cfg.Database = fmt.Sprintf("test_%d", databases.Add(1))
	cfg.Compression = "none"
	t.Cleanup(func() { execute(t, connect(t), "DROP DATABASE IF EXISTS "+cfg.Database) })
	return cfg
}

// newMigrated returns the configuration of a database that the migrations made.
func newMigrated(t testing.TB) clickhouse.Config {
	t.Helper()
	cfg := newConfig(t)
	migrateUp(t, cfg)
	return cfg
}

func migrateUp(t testing.TB, cfg clickhouse.Config) {
	t.Helper()
	m := newMigrator(t, cfg)
	if _, _, err := m.Up(context.Background()); err != nil {
		t.Fatal(err)
	}
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
}

// model is a database that the migrations made, of which newWarehouse makes copies.
const model = "model"

// newWarehouse returns the configuration of a database with the tables and the exact
// views that the migrations make. It is a copy, without the views that refresh
// themselves: to make them costs more than most tests do.
func newWarehouse(t testing.TB) clickhouse.Config {
	t.Helper()
	cfg := newConfig(t)
	conn := connect(t)
	execute(t, conn, "CREATE DATABASE "+cfg.Database)
	for _, statement := range modelStatements(t, conn) {
		execute(t, conn, strings.ReplaceAll(statement, " "+model+".", " "+cfg.Database+"."))
	}
	return cfg
}

// modelStatements returns the statements that make the model, the tables first and
// then the views in the order of the migrations.
func modelStatements(t testing.TB, conn driver.Conn) []string {
	t.Helper()
	modelOnce.Do(func() {
		cfg := clickhouse.DefaultConfig()
		cfg.Addresses, cfg.Database = strictyaml.List{engine.Addr()}, model
		migrateUp(t, cfg)
	})
	var names []string
	for _, table := range sinktest.Tables(t) {
		names = append(names, table.Name)
	}
	for _, v := range schema.Views(nil) {
		if !v.Cached() {
			names = append(names, v.Name)
		}
	}
	return strings.Split(text(t, conn, "create_table_query", "FROM system.tables WHERE database = ? AND has(?, name) ORDER BY indexOf(?, name)", model, names, names), "\n")
}

var modelOnce sync.Once

func newMigrator(t testing.TB, cfg clickhouse.Config) *clickhouse.Migrator {
	t.Helper()
	m, err := clickhouse.NewMigrator(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// connect returns a connection to the engine itself.
func connect(t testing.TB) driver.Conn {
	t.Helper()
	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = strictyaml.List{engine.Addr()}
	conn, err := clickhouse.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}

func execute(t testing.TB, conn driver.Conn, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		if err := conn.Exec(context.Background(), statement); err != nil {
			t.Fatalf("%.200s: %v", statement, err)
		}
	}
}

// text returns the answer's rows, each on a line with its columns between
// commas, as ClickHouse prints them.
func text(t testing.TB, conn driver.Conn, columns, rest string, args ...any) string {
	t.Helper()
	query := "SELECT arrayStringConcat([" + "toString(" + strings.ReplaceAll(columns, "; ", "), toString(") + ")], ', ') " + rest
	rows, err := conn.Query(context.Background(), query, args...)
	if err != nil {
		t.Fatalf("%.300s: %v", query, err)
	}
	defer func() { _ = rows.Close() }()
	var lines []string
	for rows.Next() {
		var line string
		if err := rows.Scan(&line); err != nil {
			t.Fatalf("%.300s: %v", query, err)
		}
		lines = append(lines, line)
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%.300s: %v", query, err)
	}
	return strings.Join(lines, "\n")
}

// A proxy stands between a sink and the engine, and can be away or mute.
type proxy struct {
	address string
	mute    atomic.Bool
	wg      sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func newProxy(t testing.TB) *proxy {
	t.Helper()
	address, err := harness.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: address}
	p.Restore(t)
	t.Cleanup(func() {
		p.cut()
		p.wg.Wait()
	})
	return p
}

// Break refuses connections and cuts those that are open.
func (p *proxy) Break(testing.TB) { p.cut() }

// Stall goes on to take connections and bytes, and passes none of them on.
func (p *proxy) Stall(testing.TB) { p.mute.Store(true) }

// Restore ends what Break or Stall began.
func (p *proxy) Restore(t testing.TB) {
	t.Helper()
	p.cut()
	p.mute.Store(false)
	var listener net.Listener
	for until := time.Now().Add(10 * time.Second); ; {
		var err error
		if listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", p.address); err == nil {
			break
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = listener
	p.wg.Go(func() { p.accept(listener) })
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
	}
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

func (p *proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", engine.Addr())
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(server, client) })
		p.wg.Go(func() { p.pass(client, server) })
	}
}

func (p *proxy) pass(to, from net.Conn) {
	_, _ = io.Copy(passing{p, to}, from)
	_, _ = to.Close(), from.Close()
}

// passing drops what is written while the proxy is mute.
type passing struct {
	p *proxy
	net.Conn
}

func (w passing) Write(b []byte) (int, error) {
	if w.p.mute.Load() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}
