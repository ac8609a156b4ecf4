package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"go.uber.org/goleak"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/harness"
)

// asConnector makes the test binary behave as bin/connector.
const asConnector = "LOYALTYHOUSE_TEST_AS_CONNECTOR"

func TestMain(m *testing.M) {
	embedded.RunChild()
	gin.SetMode(gin.ReleaseMode)
	if os.Getenv(asConnector) != "" {
		os.Exit(run())
	}
	runOnSmallDisk()
	dir, err := os.MkdirTemp("", "loyaltyhouse-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	programDir = dir
	goleak.VerifyTestMain(m, append(harness.ToxiproxyLeaks(), goleak.Cleanup(func(status int) {
		_ = os.RemoveAll(dir) // What is left lies in the system's temporary directory.
		os.Exit(status)
	}))...)
}

// programDir is where tests build programs; TestMain makes and removes it.
var programDir string

// ports are free ports on loopback for one connector.
type ports struct{ receiver, admin, native, http int }

func freePorts(t *testing.T) ports {
	t.Helper()
	var p ports
	for _, port := range []*int{&p.receiver, &p.admin, &p.native, &p.http} {
		var err error
		if *port, err = harness.FreePort(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

func (p ports) receiverURL() string {
	return fmt.Sprintf("http://127.0.0.1:%d/webhooks/shopline", p.receiver)
}

func (p ports) adminURL(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", p.admin, path)
}

// embeddedConfig writes a configuration with everything embedded and returns its file.
func embeddedConfig(t *testing.T, p ports, dataDir string) string {
	t.Helper()
	return writeFile(t, "connector.yaml", fmt.Sprintf(`
receiver: {address: "127.0.0.1:%d", secrets: [new-secret, old-secret]}
admin: {address: "127.0.0.1:%d"}
kafka: {topics: {partitions: 2}}
sinks:
  - name: clickhouse
    batch: {max_age: 100ms}
    retry: {max_interval: 500ms} # What waits for a sink should not wait for its backoff, too.
    clickhouse: {addresses: ["127.0.0.1:%d"]}
embedded:
  data_dir: %q
  clickhouse: {native_port: %d, http_port: %d}
`, p.receiver, p.admin, p.native, dataDir, p.native, p.http))
}

// warehouseDir returns a data directory that begins with the tables of a migrated
// warehouse. Making them costs more than most tests do with them.
func warehouseDir(t *testing.T) string {
	t.Helper()
	migrated.Do(func() {
		migrated.dir = filepath.Join(programDir, "warehouse")
		if status, printed := connector(t, "migrate", "up", "--config", embeddedConfig(t, freePorts(t), migrated.dir)); status != 0 {
			t.Fatalf("exit status %d; it printed:\n%s", status, printed)
		}
	})
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(migrated.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

var migrated struct {
	sync.Once
	dir string // nothing runs on it
}

func writeFile(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// startService starts a service in this process and shuts it down with the test.
func startService(t *testing.T, file string) *service {
	t.Helper()
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	s, err := start(t.Context(), cfg, roles{receive: true, deliver: true}, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.shutdown(context.Background()); err != nil {
			t.Errorf("shutdown: %v", err)
		}
	})
	if err := s.awaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

// A process is bin/connector as a child of the test.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	output *output
	done   chan struct{}
}

func startProcess(t *testing.T, args ...string) *process {
	t.Helper()
	p := newProcess(t, args...)
	p.start()
	return p
}

func newProcess(t *testing.T, args ...string) *process {
	p := &process{t: t, cmd: exec.Command(os.Args[0], args...), output: &output{}, done: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), asConnector+"=1",
		"GORACE=atexit_sleep_ms=0") // Otherwise each exit takes a second under the race detector.
	p.cmd.Stdout, p.cmd.Stderr = p.output, p.output
	return p
}

func (p *process) start() {
	p.t.Helper()
	if err := p.cmd.Start(); err != nil {
		p.t.Fatal(err)
	}
	go func() {
		_ = p.cmd.Wait() // The exit status is read from ProcessState.
		close(p.done)
	}()
	p.t.Cleanup(func() {
		p.signal(syscall.SIGKILL)
		<-p.done
		if p.t.Failed() {
			p.t.Logf("output of connector %s:\n%s", strings.Join(p.cmd.Args[1:], " "), p.output)
		}
	})
}

func (p *process) signal(s os.Signal) {
	_ = p.cmd.Process.Signal(s) // It may have ended already.
}

// wait returns the exit status; -1 tells that a signal ended it.
func (p *process) wait() int {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(time.Minute):
		p.t.Fatalf("the process did not end; it printed:\n%s", p.output)
	}
	return p.cmd.ProcessState.ExitCode()
}

// An output collects what a process prints.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// connector runs the command to its end.
func connector(t *testing.T, args ...string) (status int, printed string) {
	t.Helper()
	p := startProcess(t, args...)
	return p.wait(), p.output.String()
}

// get returns the status and body of an admin page; 0 when nobody answers.
func get(t testing.TB, url string) (int, string) {
	t.Helper()
	client := http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err.Error()
	}
	return resp.StatusCode, string(body)
}

// eventually polls until the condition holds.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("did not come true within a minute: %s", what)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// notReady returns the parts that /readyz names as not ready.
func notReady(t *testing.T, url string) map[string]string {
	t.Helper()
	_, body := get(t, url)
	var answer struct {
		Parts []partState `json:"parts"`
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return map[string]string{"admin": err.Error()}
	}
	parts := map[string]string{}
	for _, p := range answer.Parts {
		if !p.Ready {
			parts[p.Name] = p.Message
		}
	}
	return parts
}

func testLog(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}
