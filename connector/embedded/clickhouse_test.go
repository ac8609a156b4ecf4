package embedded_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"loyaltyhouse/connector/embedded"
)

func startClickHouse(t *testing.T, cfg embedded.Config) *embedded.ClickHouse {
	t.Helper()
	clickHouse, err := embedded.StartClickHouse(t.Context(), cfg, quiet(), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeClickHouse(t, clickHouse) })
	return clickHouse
}

func closeClickHouse(t *testing.T, clickHouse *embedded.ClickHouse) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	if err := clickHouse.Close(ctx); err != nil {
		t.Error(err)
	}
}

// queryText asks over the native protocol and returns the first column of the
// first row.
func queryText(t *testing.T, clickHouse *embedded.ClickHouse, query string) string {
	t.Helper()
	connection, err := clickhouse.Open(&clickhouse.Options{Addr: []string{clickHouse.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	var text string
	if err := connection.QueryRow(t.Context(), query).Scan(&text); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return text
}

func execute(t *testing.T, address string, statements ...string) {
	t.Helper()
	connection, err := clickhouse.Open(&clickhouse.Options{Addr: []string{address}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	for _, statement := range statements {
		if err := connection.Exec(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
}

// storeThousand stores a thousand rows, which countRows counts.
func storeThousand(t *testing.T, address string) {
	t.Helper()
	execute(t, address,
		"CREATE DATABASE IF NOT EXISTS loyalty",
		"CREATE TABLE IF NOT EXISTS loyalty.numbers (n UInt64) ENGINE = MergeTree ORDER BY n",
		"INSERT INTO loyalty.numbers SELECT number FROM numbers(1000)")
}

const countRows = "SELECT toString(count()) FROM loyalty.numbers"

func TestClickHouseAnswersOverBothProtocols(t *testing.T) {
	clickHouse := startClickHouse(t, testConfig(t.TempDir()))
	if version := queryText(t, clickHouse, "SELECT version()"); !strings.HasPrefix(version, "26.") {
		t.Errorf("the version over the native protocol is %q, want 26", version)
	}

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+clickHouse.HTTPAddr()+"/?query=SELECT+version()", nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	if body, err := io.ReadAll(response.Body); err != nil || !strings.HasPrefix(string(body), "26.") {
		t.Errorf("the version over HTTP is %q, %v, want 26", body, err)
	}
}

func TestClickHouseSettings(t *testing.T) {
	t.Setenv("TZ", "Asia/Taipei")
	t.Setenv("SHOPLINE_APP_SECRETS", "not-for-the-child")
	cfg := testConfig(t.TempDir())
	cfg.ClickHouse.MaxMemoryBytes = 1 << 30
	clickHouse := startClickHouse(t, cfg)
	for query, want := range map[string]string{
		"SELECT timezone()": "UTC",
		"SELECT value FROM system.server_settings WHERE name = 'max_server_memory_usage'":                           strconv.Itoa(1 << 30),
		"SELECT toString(keep_free_space) FROM system.disks WHERE name = 'default'":                                 "16777216",
		"SELECT toString(countIf(line LIKE '%not-for-the-child%')) FROM file('/proc/self/environ', 'LineAsString')": "0",
	} {
		if got := queryText(t, clickHouse, query); got != want {
			t.Errorf("%s is %q, want %q", query, got, want)
		}
	}
}

// Error messages quote the rows they are about.
func TestClickHouseLogsNoRows(t *testing.T) {
	cfg := testConfig(t.TempDir())
	clickHouse := startClickHouse(t, cfg)
	connection, err := clickhouse.Open(&clickhouse.Options{Addr: []string{clickHouse.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = connection.Close() }()
	const personal = "jane@example.com"
	if err := connection.Exec(t.Context(), "SELECT toUInt8('"+personal+"')"); err == nil || !strings.Contains(err.Error(), personal) {
		t.Fatalf("the error is %v, want one that quotes the value", err)
	}
	closeClickHouse(t, clickHouse)
	content, err := os.ReadFile(filepath.Join(cfg.DataDir, "clickhouse.log"))
	if err != nil || strings.Contains(string(content), personal) {
		t.Errorf("the log repeats a value: %v\n%s", err, content)
	}
}

func TestClickHouseKeepsItsData(t *testing.T) {
	cfg := testConfig(t.TempDir())
	clickHouse := startClickHouse(t, cfg)
	storeThousand(t, clickHouse.Addr())
	closeClickHouse(t, clickHouse)
	if err := clickHouse.Err(); err != nil {
		t.Errorf("after Close the error is %v, want none", err)
	}
	closeClickHouse(t, clickHouse) // A second time does nothing.

	clickHouse = startClickHouse(t, cfg)
	if got := queryText(t, clickHouse, countRows); got != "1000" {
		t.Errorf("after a restart there are %s rows, want 1000", got)
	}
	storeThousand(t, clickHouse.Addr())
	if err := clickHouse.Kill(); err != nil {
		t.Fatal(err)
	}

	clickHouse = startClickHouse(t, cfg)
	if got := queryText(t, clickHouse, countRows); got != "2000" {
		t.Errorf("after a kill there are %s rows, want 2000", got)
	}
}

func TestClickHouseReportsItsEnd(t *testing.T) {
	clickHouse := startClickHouse(t, testConfig(t.TempDir()))
	if err := clickHouse.Err(); err != nil {
		t.Errorf("a running engine has the error %v", err)
	}
	if err := clickHouse.Kill(); err != nil {
		t.Fatal(err)
	}
	<-clickHouse.Done()
	wantWords(t, clickHouse.Err(), "ended by itself", "signal: killed", "clickhouse.log")
}

func TestClickHouseCloseDoesNotWaitForever(t *testing.T) {
	clickHouse := startClickHouse(t, testConfig(t.TempDir()))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := clickHouse.Close(ctx); err != nil {
		t.Error(err)
	}
	<-clickHouse.Done()
}

// A killed connector cannot stop its engine: the engine notices, ends, and gives
// the data directory free for the next one.
func TestClickHouseEndsWithItsKilledParent(t *testing.T) {
	dir := t.TempDir()
	parent := startPart(t, "clickhouse", dir)
	storeThousand(t, parent.address)
	parent.kill(t)

	clickHouse := startClickHouse(t, testConfig(dir))
	if got := queryText(t, clickHouse, countRows); got != "1000" {
		t.Errorf("there are %s rows, want 1000", got)
	}
	connection, err := new(net.Dialer).DialContext(t.Context(), "tcp", parent.address)
	if err == nil && clickHouse.Addr() != parent.address {
		_ = connection.Close()
		t.Error("the killed parent's engine still listens")
	}
}

// Ctrl-C reaches every process of the group in a terminal's foreground. The
// connector still needs the engine then, for its last batch.
func TestClickHouseOutlivesCtrlC(t *testing.T) {
	parent := startPart(t, "clickhouse", t.TempDir())
	if err := syscall.Kill(-parent.command.Process.Pid, syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	if got := parent.line(t); got != "interrupted" {
		t.Fatalf("the process says %q, want that it was interrupted", got)
	}
	storeThousand(t, parent.address)
}

func TestClickHouseNamesATakenPort(t *testing.T) {
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	taken := listener.Addr().(*net.TCPAddr).Port

	tests := []struct {
		setting string
		change  func(*embedded.Config)
	}{
		{"clickhouse.native_port", func(c *embedded.Config) { c.ClickHouse.NativePort = taken }},
		{"clickhouse.http_port", func(c *embedded.Config) { c.ClickHouse.HTTPPort = taken }},
	}
	for _, test := range tests {
		t.Run(test.setting, func(t *testing.T) {
			cfg := testConfig(t.TempDir())
			test.change(&cfg)
			_, err := embedded.StartClickHouse(t.Context(), cfg, quiet(), os.Stderr)
			wantWords(t, err, fmt.Sprintf("port %d of 127.0.0.1", taken), "in use by another program", "set "+test.setting)
		})
	}
}

func TestClickHouseSharesNoDataDirectory(t *testing.T) {
	cfg := testConfig(t.TempDir())
	startClickHouse(t, cfg)
	_, err := embedded.StartClickHouse(t.Context(), cfg, quiet(), nil)
	wantWords(t, err, "another connector (process "+strconv.Itoa(os.Getpid())+") is using "+cfg.DataDir, "stop it", "DATA_DIR")
}

func TestClickHouseStartSaysWhyTheEngineEnded(t *testing.T) {
	cfg := testConfig(t.TempDir())
	data := filepath.Join(cfg.DataDir, "clickhouse", "data")
	if err := os.MkdirAll(filepath.Dir(data), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(data, []byte("not a directory"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := embedded.StartClickHouse(t.Context(), cfg, quiet(), nil)
	wantWords(t, err, "ended by itself", "create_directories: File exists")
}

// eventually waits until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	ticker := time.NewTicker(5 * time.Millisecond)
	defer ticker.Stop()
	deadline := time.After(30 * time.Second)
	for !condition() {
		select {
		case <-ticker.C:
		case <-deadline:
			t.Fatalf("%s: still not so after 30 s", what)
		}
	}
}
