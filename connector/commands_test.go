package main

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/sinks/clickhouse"
)

func TestConfigCheck(t *testing.T) {
	t.Parallel()
	valid := embeddedConfig(t, freePorts(t), t.TempDir())
	if status, printed := connector(t, "config", "check", "--config", valid); status != 0 ||
		!strings.Contains(printed, "is valid: 2 app secrets, 4 contracts, 1 sinks") {
		t.Errorf("exit status %d for a valid file; it printed:\n%s", status, printed)
	}

	// Everything that is wrong, with file and line, in one go.
	invalid := writeFile(t, "connector.yaml", `receiver:
  secrets: [s]
  max_body_byte: 5
kafka:
  topics: {partitions: many}
sinks:
  - name: clickhouse
    clickhouse: {}
`)
	status, printed := connector(t, "config", "check", "--config", invalid)
	if status != 1 {
		t.Errorf("exit status %d for an invalid file", status)
	}
	for _, want := range []string{
		invalid + `:3: unknown key "max_body_byte" in "receiver"; did you mean "max_body_bytes"?`,
		invalid + `:5: kafka.topics.partitions: "many" is not`,
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("it does not print %q, but:\n%s", want, printed)
		}
	}

	certificate := writeFile(t, "connector.yaml", "receiver: {secrets: [s], tls_cert_file: absent.pem, tls_key_file: absent.key}\nsinks: [{name: clickhouse, clickhouse: {}}]\n")
	status, printed = connector(t, "config", "check", "--config", certificate)
	if status != 1 || !strings.Contains(printed, "receiver: TLS certificate absent.pem with key absent.key: open absent.pem: no such file") {
		t.Errorf("exit status %d for a certificate that is not there; it printed:\n%s", status, printed)
	}

	status, printed = connector(t, "config", "check", "--config", "absent.yaml")
	if status != 1 || !strings.Contains(printed, "absent.yaml") || !strings.Contains(printed, "--config") {
		t.Errorf("exit status %d for no file; it printed:\n%s", status, printed)
	}
}

// Everything that the configuration connects to is reached, with the embedded parts
// started for the command, or with those of the service.
func TestConfigCheckConnect(t *testing.T) {
	t.Parallel()
	dataDir, p := t.TempDir(), freePorts(t)
	file := embeddedConfig(t, p, dataDir)
	connects := func(status int, file string, wants ...string) {
		t.Helper()
		got, printed := connector(t, "config", "check", "--connect", "--config", file)
		if got != status {
			t.Errorf("exit status %d, want %d", got, status)
		}
		for _, want := range wants {
			if !strings.Contains(printed, want) {
				t.Errorf("it does not print %q, but:\n%s", want, printed)
			}
		}
	}
	for range 2 { // It changes nothing, and leaves nothing behind.
		connects(0, file, "is valid: ", "ok      kafka (embedded) ", "ok      topic loyalty.points                is created at the start, with 2 partitions\n",
			"ok      sink clickhouse (clickhouse)        takes rows of 6 topics\n", "8 ok, 0 warn, 0 failed\n")
	}
	byHand := writeFile(t, "connector.yaml", embeddedConfigText(t, file)+"migrate_on_start: false\n")
	connects(1, byHand, "failed  sink clickhouse (clickhouse)        clickhouse 127.0.0.1:", ": the database `loyalty` is missing, and migrate_on_start is off\n", "-> run connector migrate up\n")

	startService(t, file)
	connects(0, file, "ok      topic loyalty.points                partitions 2, replicas 1, in sync 1\n", "ok      sink clickhouse (clickhouse) ")
	connects(0, byHand, "ok      sink clickhouse (clickhouse) ")
	more := writeFile(t, "connector.yaml", strings.Replace(embeddedConfigText(t, file), "partitions: 2", "partitions: 4", 1))
	connects(0, more, "warn    topic loyalty.points                topic loyalty.points has 2 partitions, and kafka.topics.partitions is 4\n", "6 warn, 0 failed")
}

// What is away, or says nothing, is told beside what answers, in a bounded time.
func TestConfigCheckConnectOfWhatIsAway(t *testing.T) {
	t.Parallel()
	mute, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	file := writeFile(t, "connector.yaml", fmt.Sprintf(`
receiver: {secrets: [s]}
kafka: {brokers: ["127.0.0.1:1"]}
sinks:
  - {name: away, clickhouse: {addresses: ["127.0.0.1:1"], password: swordfish}}
  - {name: mute, clickhouse: {addresses: [%q]}}
  - {name: lake, files: {local: {directory: %q}}}
  - {name: partner, http: {url: "http://127.0.0.1:1/?key=swordfish", secrets: [swordfish-swordfish-swordfish]}}
  - {name: application, postgres: {port: 1, password: swordfish}}
  - {name: look, stdout: {}}
`, mute.Addr(), filepath.Join(t.TempDir(), "lake")))
	begin := time.Now()
	status, printed := connector(t, "config", "check", "--connect", "--timeout", "2s", "--config", file)
	if took := time.Since(begin); took > 30*time.Second {
		t.Errorf("it took %s", took)
	}
	for _, want := range []string{
		"failed  kafka 127.0.0.1:1 ", "failed  sink away (clickhouse) ", "failed  sink mute (clickhouse) ", "ok      sink lake (files) ",
		"failed  sink partner (http) ", "failed  sink application (postgres) ", "ok      sink look (stdout) ", "2 ok, 0 warn, 5 failed\n",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("it does not print %q, but:\n%s", want, printed)
		}
	}
	if status != 1 || strings.Contains(printed, "swordfish") || strings.Count(printed, "-> ") != 5 {
		t.Errorf("exit status %d; each failure should say what to do, and none a secret; it printed:\n%s", status, printed)
	}
	if status, printed := connector(t, "config", "check", "--connect", "--timeout", "0s", "--config", file); status != 1 || !strings.Contains(printed, "--timeout must be above 0") {
		t.Errorf("exit status %d without time; it printed:\n%s", status, printed)
	}
}

func TestMigrate(t *testing.T) {
	t.Parallel()
	file := embeddedConfig(t, freePorts(t), t.TempDir())
	steps := []struct {
		args   []string
		status int
		want   string
	}{
		{[]string{"migrate", "status"}, 0, "database loyalty has version 0 of"},
		{[]string{"migrate", "up"}, 0, ", was 0"},
		{[]string{"migrate", "up"}, 0, "nothing to do"},
		{[]string{"migrate", "down"}, 1, "--yes-drop-all-data"},
		{[]string{"migrate", "down", "--yes-drop-all-data"}, 0, "is dropped"},
		{[]string{"migrate", "status"}, 0, "database loyalty has version 0 of"},
	}
	for _, step := range steps {
		status, printed := connector(t, append(step.args, "--config", file)...)
		if status != step.status || !strings.Contains(printed, step.want) {
			t.Errorf("connector %s: exit status %d, want %d; it should print %q, it printed:\n%s",
				strings.Join(step.args, " "), status, step.status, step.want, printed)
		}
	}
}

// The other kinds of sinks are prepared beside the warehouse, and by a start too.
func TestMigratePreparesEveryKind(t *testing.T) {
	t.Parallel()
	directory := filepath.Join(t.TempDir(), "lake")
	file := writeFile(t, "connector.yaml", `receiver: {secrets: x}
sinks:
  - name: lake
    topics: [points]
    columns: {exclude: [webhook_id]}
    files:
      local: {directory: `+directory+`}
`)
	for _, args := range [][]string{{"migrate", "status"}, {"migrate", "up"}} {
		if _, err := os.Stat(directory); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("the directory is there before %v: %v", args, err)
		}
		if status, printed := connector(t, append(args, "--config", file)...); status != 0 {
			t.Errorf("%v: exit status %d; it printed:\n%s", args, status, printed)
		}
	}
	if _, err := os.Stat(directory); err != nil {
		t.Error(err)
	}
}

// The migrations can be looked at while the service runs and has the engine.
func TestMigrateBesideTheService(t *testing.T) {
	t.Parallel()
	file := embeddedConfig(t, freePorts(t), t.TempDir())
	startService(t, file)
	status, printed := connector(t, "migrate", "status", "--config", file)
	if status != 0 || strings.Contains(printed, "version 0 of") {
		t.Errorf("exit status %d; it printed:\n%s", status, printed)
	}
}

func TestHealthcheck(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	startService(t, embeddedConfig(t, p, t.TempDir()))
	if status, printed := connector(t, "healthcheck", "--url", p.adminURL("/healthz")); status != 0 {
		t.Errorf("exit status %d of a healthy service; it printed:\n%s", status, printed)
	}
	for _, url := range []string{p.adminURL("/nowhere"), "http://127.0.0.1:1/healthz"} {
		if status, _ := connector(t, "healthcheck", "--url", url); status != 1 {
			t.Errorf("exit status %d for %s, want 1", status, url)
		}
	}
}

// receive and sink would each have an embedded broker of their own.
func TestEmbeddedNeedsServe(t *testing.T) {
	t.Parallel()
	file := embeddedConfig(t, freePorts(t), t.TempDir())
	for _, command := range []string{"receive", "sink"} {
		if status, printed := connector(t, command, "--config", file); status != 1 || !strings.Contains(printed, "connector serve") {
			t.Errorf("connector %s: exit status %d; it printed:\n%s", command, status, printed)
		}
	}
}

func TestHelpAndCompletion(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--help"},
		{"version"},
		{"completion", "bash"},
		{"completion", "zsh"},
		{"serve", "--help"},
		{"simulate", "--help"},
		{"migrate", "--help"},
	} {
		if status, printed := connector(t, args...); status != 0 || printed == "" {
			t.Errorf("connector %s: exit status %d, printed %q", strings.Join(args, " "), status, printed)
		}
	}
	if status, printed := connector(t, "serv"); status != 1 || !strings.Contains(printed, "serve") {
		t.Errorf("a misspelt command: exit status %d; it should name the right one, it printed:\n%s", status, printed)
	}
}

// simulate against a receiver: the summary is right, and the same seed sends
// the same bytes.
func TestSimulateCommand(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	file := embeddedConfig(t, p, warehouseDir(t))
	s := startService(t, file)
	args := []string{"simulate", "--count", "200", "--seed", "5", "--customers", "20", "--url", p.receiverURL(), "--config", file}
	for range 2 {
		if status, printed := connector(t, args...); status != 0 || !strings.Contains(printed, "200 events") {
			t.Errorf("exit status %d; it printed:\n%s", status, printed)
		}
	}
	cfg := simulate.DefaultConfig()
	cfg.Seed, cfg.Count, cfg.Customers = 5, 200, 20
	twice := simulate.New(cfg)
	for more := true; more; {
		_, more = twice.Next()
	}
	reconciled(t, s.engine.get().Addr(), twice)
	if status, printed := connector(t, "simulate", "--count", "0", "--config", file); status != 1 || !strings.Contains(printed, "count") {
		t.Errorf("exit status %d for no events; it printed:\n%s", status, printed)
	}
	if status, printed := connector(t, "simulate", "--count", "20", "--secret", "wrong", "--url", p.receiverURL()); status != 1 ||
		!strings.Contains(printed, "wrong answer") {
		t.Errorf("exit status %d with a wrong secret; it printed:\n%s", status, printed)
	}
}

// A history goes straight into Kafka, beside the service or before it, or over
// HTTP, and is what a generator of its own says. Kafka's deliveries are received
// in the history's own time.
func TestSimulateHistory(t *testing.T) {
	t.Parallel()
	p, dataDir := freePorts(t), warehouseDir(t)
	file := embeddedConfig(t, p, dataDir)
	end := time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC)
	play := func(seed uint64, count int, args ...string) *simulate.Generator {
		t.Helper()
		args = append([]string{
			"simulate", "--config", file, "--history", "180d", "--end", end.Format(time.RFC3339), "--bad", "0.02",
			"--seed", strconv.FormatUint(seed, 10), "--count", strconv.Itoa(count),
		}, args...)
		if status, printed := connector(t, args...); status != 0 || !strings.Contains(printed, fmt.Sprintf("%d events,", count)) {
			t.Fatalf("exit status %d; it printed:\n%s", status, printed)
		}
		cfg := simulate.DefaultHistoryConfig()
		cfg.Seed, cfg.Count, cfg.Customers = seed, count, simulate.HistoryCustomers(count)
		cfg.Span, cfg.End, cfg.BadRatio = 180*24*time.Hour, end, 0.02
		g := simulate.New(cfg)
		for more := true; more; {
			_, more = g.Next()
		}
		return g
	}
	before := play(1, 3000, "--to", "kafka")
	s := startService(t, file)
	beside := play(2, 5000, "--to", "kafka")
	address := s.engine.get().Addr()
	reconciled(t, address, before)
	reconciled(t, address, beside)
	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = []string{address}
	conn, err := clickhouse.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for _, table := range []string{"raw_webhooks", "dead_letters", "fact_points"} {
		var late int64
		if err := conn.QueryRow(t.Context(), "SELECT toInt64(countIf(received_at > ?)) FROM loyalty."+table, end).Scan(&late); err != nil {
			t.Fatal(err)
		}
		if late > 0 {
			t.Errorf("%d rows of %s were received after the end of the history", late, table)
		}
	}
	posted := play(3, 500, "--url", p.receiverURL())
	reconciled(t, address, posted)
}

// What cannot be meant is refused before anything is opened.
func TestSimulateFlags(t *testing.T) {
	t.Parallel()
	file := embeddedConfig(t, freePorts(t), t.TempDir())
	for args, want := range map[string]string{
		"--to clickhouse":                        "--to must be http or kafka",
		"--to kafka --rate 5":                    "--rate is for --to http",
		"--to kafka --secret x":                  "--secret is for --to http",
		"--history year":                         "--history must be a span such as 365d",
		"--history -5h":                          "--history must be a span such as 365d",
		"--history 0d":                           "--history must be a span such as 365d",
		"--history 90d --span 5h":                "history",
		"--history 1h --count 1000000":           "span: a history must have at least",
		"--history 90d --customers 20000":        "customers: a history must have at most",
		"--history 36500d --end 2026-01-01":      "--end must be now or a time",
		"--history 36500d":                       "span: must not reach back before 2000",
		"--history 90d --to kafka --config none": "none",
	} {
		if status, printed := connector(t, append([]string{"simulate", "--config", file}, strings.Fields(args)...)...); status != 1 || !strings.Contains(printed, want) {
			t.Errorf("%s: exit status %d, want %q; it printed:\n%s", args, status, want, printed)
		}
	}
}

// A history without further flags ends with the last full hour, and a flag that
// is set counts.
func TestSimulateDefaults(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, time.May, 4, 13, 37, 5, 6, time.UTC)
	complete := func(s simulation, set ...string) simulate.Config {
		t.Helper()
		if err := s.complete(func(flag string) bool { return slices.Contains(set, flag) }, now); err != nil {
			t.Fatal(err)
		}
		return s.generator
	}
	plain := simulation{generator: simulate.DefaultConfig(), to: "http", end: simulate.DefaultConfig().End.Format(time.RFC3339)}
	if got := complete(plain); got != simulate.DefaultConfig() {
		t.Errorf("without flags: %+v", got)
	}
	history := plain
	history.history = "90d"
	want := simulate.DefaultHistoryConfig()
	want.Span, want.End = 90*24*time.Hour, now.Truncate(time.Hour)
	if got := complete(history, "history"); got != want {
		t.Errorf("with --history alone: %+v, want %+v", got, want)
	}
	history.generator.Count, history.end = 4000, "2026-02-03T04:05:06Z"
	want.Count, want.Customers, want.End = 4000, 100, time.Date(2026, time.February, 3, 4, 5, 6, 0, time.UTC)
	if got := complete(history, "history", "count", "end"); got != want {
		t.Errorf("with --count and --end: %+v, want %+v", got, want)
	}
}

// A second signal ends a process that takes its time.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	child := startProcess(t, "serve", "--config", embeddedConfig(t, p, warehouseDir(t)))
	eventually(t, "the service is ready", func() bool { return len(notReady(t, p.adminURL("/readyz"))) == 0 })
	// A request that never ends holds the shutdown up.
	hold, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", fmt.Sprintf("127.0.0.1:%d", p.receiver))
	if err != nil {
		t.Fatal(err)
	}
	defer hold.Close()
	if _, err := fmt.Fprintf(hold, "POST /webhooks/shopline HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(hold).ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("the receiver does not wait for the body: %q, %v", line, err)
	}
	child.signal(syscall.SIGINT)
	eventually(t, "the first signal is answered", func() bool { return strings.Contains(child.output.String(), "shutting down") })
	child.signal(syscall.SIGINT)
	if status := child.wait(); status != -1 {
		t.Errorf("exit status %d, want the end by a signal", status)
	}
}

// A disk that takes no more writes: here a data directory that is a file.
func TestDataDirectoryThatCannotBe(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	status, printed := connector(t, "serve", "--config", embeddedConfig(t, freePorts(t), file))
	if status != 1 || !strings.Contains(printed, "DATA_DIR") {
		t.Errorf("exit status %d; it should name DATA_DIR, it printed:\n%s", status, printed)
	}
}
