package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"

	"loyaltyhouse/config"
	"loyaltyhouse/sinks/clickhouse"
)

// examined are the findings of connector doctor --json by their parts.
func examined(t *testing.T, file string, args ...string) (status int, parts map[string]finding) {
	t.Helper()
	// Standard error is not JSON: the process's two outputs are one here.
	p := newProcess(t, append([]string{"doctor", "--json", "--config", file}, args...)...)
	said := &output{}
	p.cmd.Stderr = said
	p.start()
	status = p.wait()
	var answer struct {
		OK       bool      `json:"ok"`
		Findings []finding `json:"findings"`
	}
	if err := json.Unmarshal([]byte(p.output.String()), &answer); err != nil {
		t.Fatalf("%v; it printed:\n%s%s", err, p.output, said)
	}
	if answer.OK != (status == 0) {
		t.Errorf("ok is %v with the exit status %d", answer.OK, status)
	}
	parts = map[string]finding{}
	for _, f := range answer.Findings {
		if was, there := parts[f.Part]; !there || was.State == fine {
			parts[f.Part] = f
		}
	}
	return status, parts
}

func expectFinding(t *testing.T, parts map[string]finding, part string, state verdict, says string) {
	t.Helper()
	f, there := parts[part]
	if !there || f.State != state || !strings.Contains(f.Detail+"; "+f.Advice, says) {
		t.Errorf("%s is %+v, want %s and %q; all findings: %v", part, f, state, says, parts)
	}
	if state != fine && f.Advice == "" {
		t.Errorf("%s does not say what to do: %+v", part, f)
	}
}

func TestDoctorWithoutTheService(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	file := embeddedConfig(t, p, t.TempDir())
	for range 2 { // What it has started is gone again.
		status, parts := examined(t, file)
		if status != 1 {
			t.Errorf("exit status %d", status)
		}
		expectFinding(t, parts, "service", broken, "the service is down; start it with connector serve")
		expectFinding(t, parts, "kafka (embedded)", fine, "answers")
		expectFinding(t, parts, "topics", fine, "6 as configured")
		expectFinding(t, parts, "last webhook", doubtful, "none in Kafka; see at SHOPLINE")
		expectFinding(t, parts, "sink clickhouse (clickhouse)", fine, "takes rows of 6 topics")
		expectFinding(t, parts, "dead letters of sink clickhouse", fine, "no tables yet")
		expectFinding(t, parts, "data directory", fine, "free")
	}
	if status, printed := connector(t, "doctor", "--config", file); status != 1 || !strings.Contains(printed, "\nfailed  service  ") || !strings.Contains(printed, " -> start it with connector serve") {
		t.Errorf("exit status %d; it printed:\n%s", status, printed)
	}
}

func TestDoctorBesideTheService(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	dataDir := warehouseDir(t)
	file := embeddedConfig(t, p, dataDir)
	s := startService(t, file)
	simulate := func(seed int, args ...string) {
		t.Helper()
		args = append([]string{"simulate", "--count", "100", "--seed", fmt.Sprint(seed), "--customers", "10", "--url", p.receiverURL(), "--config", file}, args...)
		if status, printed := connector(t, args...); status != 0 {
			t.Fatalf("exit status %d; it printed:\n%s", status, printed)
		}
	}
	simulate(1, "--bad", "0")
	var parts map[string]finding
	eventually(t, "everything is delivered and the doctor finds nothing", func() bool {
		var status int
		status, parts = examined(t, file)
		return status == 0 && parts["lag of sink clickhouse"].Detail == "nothing"
	})
	expectFinding(t, parts, "service", fine, "ready, at http://127.0.0.1:")
	expectFinding(t, parts, "service version", fine, version())
	expectFinding(t, parts, "service configuration", fine, "applied")
	expectFinding(t, parts, "lag of sink clickhouse", fine, "nothing")
	expectFinding(t, parts, "last webhook", fine, "points ")
	expectFinding(t, parts, "version of sink clickhouse", fine, "clickhouse 2")
	expectFinding(t, parts, "clock of sink clickhouse", fine, "as this machine's")
	expectFinding(t, parts, "disk of sink clickhouse", fine, "default: ")
	expectFinding(t, parts, "dead letters of sink clickhouse", fine, "none open")

	simulate(2, "--bad", "0.2")
	s.reloads.current.Set(0)
	eventually(t, "the doctor finds dead letters", func() bool {
		_, parts = examined(t, file)
		return parts["dead letters of sink clickhouse"].State == doubtful
	})
	expectFinding(t, parts, "dead letters of sink clickhouse", doubtful, "connector deadletters list --sink clickhouse --since -24h")
	expectFinding(t, parts, "service configuration", broken, "refused")

	// Somebody else's port, and one that is not the configuration's.
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	_, parts = examined(t, file, "--admin", other.URL)
	expectFinding(t, parts, "service", broken, "is no connector; correct admin.address or --admin")
	_, parts = examined(t, embeddedConfig(t, ports{p.receiver, 1, p.native, p.http}, dataDir), "--admin", p.adminURL("/"))
	expectFinding(t, parts, "service", fine, "ready")

	// A sink that has got nothing, later.
	late := openForTest(t, strings.Replace(embeddedConfigText(t, file), "name: clickhouse", "name: another", 1))
	parts = byPart(late.examineKafka(t.Context(), time.Now().Add(7*time.Hour)))
	expectFinding(t, parts, "lag of sink another", doubtful, "the oldest 7h ago; see that the service runs")
	expectFinding(t, parts, "last webhook", doubtful, "7h ago")
}

// openForTest opens the examination of a configuration beside a running service.
func openForTest(t *testing.T, text string) *examination {
	t.Helper()
	cfg, err := config.Load(writeFile(t, "connector.yaml", text))
	if err != nil {
		t.Fatal(err)
	}
	e, err := openExamination(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

func embeddedConfigText(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Clean(file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func byPart(all []finding) map[string]finding {
	parts := map[string]finding{}
	for _, f := range all {
		parts[f.Part] = f
	}
	return parts
}

// A ledger that does not add up is told when the view has been refreshed.
func TestDoctorTellsOfGaps(t *testing.T) {
	t.Parallel()
	p := freePorts(t)
	file := embeddedConfig(t, p, warehouseDir(t))
	s := startService(t, file)
	conn, err := clickhouse.Connect(*s.cfg.Sinks[0].ClickHouse)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	now := time.Now().UTC().Format("2006-01-02 15:04:05")
	for _, statement := range []string{
		"INSERT INTO loyalty.fact_points (event_id, shop_id, buyer_id, update_type, updated_value, points_delta, points_balance, updated_at) SETTINGS async_insert = 0 VALUES " +
			"(generateUUIDv4(), 's', 'b', 'INCREASE', 5, 5, 5, '" + now + "'), (generateUUIDv4(), 's', 'b', 'INCREASE', 5, 5, 50, addSeconds(toDateTime('" + now + "'), 1))",
	} {
		if err := conn.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := clickhouse.Refresh(t.Context(), conn, "loyalty"); err != nil {
		t.Fatal(err)
	}
	_, parts := examined(t, file)
	expectFinding(t, parts, "gaps of sink clickhouse", doubtful, "1 of the last 7 days, in points, as of ")
}

// The user that docs/operation.md has made runs the migrations, delivers, and has
// nothing that the doctor finds for ever; with the right to look at the disks it
// tells of them too.
func TestDoctorOfAUserWithTheDocumentedRights(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	grants := regexp.MustCompile(`(?m)^ *(GRANT .+) TO connector;`).FindAllStringSubmatch(string(page), -1)
	if len(grants) != 3 {
		t.Fatalf("docs/operation.md grants %q to connector, want what it needs, its tables' engines and the disks", grants)
	}
	for _, test := range []struct {
		grants [][]string
		says   string
	}{
		{grants[:2], "to see it: GRANT SELECT ON system.disks TO connector"},
		{grants, "default: "},
	} {
		dataDir := t.TempDir()
		giveUser(t, dataDir, "connector", "swordfish", test.grants)
		p := freePorts(t)
		file := embeddedConfig(t, p, dataDir)
		file = writeFile(t, "connector.yaml", strings.Replace(embeddedConfigText(t, file), "clickhouse: {addresses", "clickhouse: {username: connector, password: swordfish, addresses", 1))
		startService(t, file)
		if status, printed := connector(t, "simulate", "--count", "100", "--bad", "0", "--url", p.receiverURL(), "--config", file); status != 0 {
			t.Fatalf("exit status %d; it printed:\n%s", status, printed)
		}
		var parts map[string]finding
		eventually(t, "everything is delivered and the doctor finds nothing", func() bool {
			var status int
			status, parts = examined(t, file)
			return status == 0 && parts["lag of sink clickhouse"].Detail == "nothing"
		})
		expectFinding(t, parts, "disk of sink clickhouse", fine, test.says)
	}
}

// giveUser adds a user to the embedded ClickHouse of a data directory, before it
// is started.
func giveUser(t *testing.T, dataDir, name, password string, grants [][]string) {
	t.Helper()
	var queries strings.Builder
	for _, g := range grants {
		queries.WriteString("<query>" + g[1] + "</query>")
	}
	const anybody = "<networks><ip>::/0</ip></networks><profile>default</profile><quota>default</quota>"
	users := writeFile(t, "users.xml", "<clickhouse><profiles><default/></profiles><quotas><default/></quotas><users><default><password/>"+anybody+"</default>"+
		"<"+name+"><password>"+password+"</password>"+anybody+"<grants>"+queries.String()+"</grants></"+name+"></users></clickhouse>")
	more := filepath.Join(dataDir, "clickhouse", "config.d")
	if err := os.MkdirAll(more, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(more, "users.xml"), []byte("<clickhouse><users_config>"+users+"</users_config></clickhouse>"), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestJudgeDisks(t *testing.T) {
	s := examinedSink{cfg: config.Sink{Name: "s", ClickHouse: &clickhouse.Config{Username: "u"}}}
	for _, test := range []struct {
		disks []clickhouse.Disk
		err   error
		want  []finding
	}{
		{[]clickhouse.Disk{{Name: "a", Free: lowRoom}, {Name: "b", Free: lowRoom - 1}}, nil, []finding{
			{"disk of sink s", fine, "a: 1 GiB free", ""},
			{"disk of sink s", doubtful, "b: 1024 MiB free", "make room, or drop old partitions; a full disk stops the delivery and not the receiver"},
		}},
		{nil, fmt.Errorf("clickhouse: %w", proto.ErrAccessDenied), []finding{
			{"disk of sink s", fine, "unknown, for the sink's user may not look at it; to see it: GRANT SELECT ON system.disks TO u", ""},
		}},
		{nil, errors.New("it is away; start it"), []finding{{"disk of sink s", broken, "it is away", "start it"}}},
	} {
		if got := s.judgeDisks(test.disks, test.err); !slices.Equal(got, test.want) {
			t.Errorf("the disks %v and the error %v are %+v, want %+v", test.disks, test.err, got, test.want)
		}
	}
}

func TestJudgeClock(t *testing.T) {
	before := time.Date(2026, time.May, 4, 8, 0, 0, 0, time.UTC)
	after := before.Add(20 * time.Millisecond)
	for _, test := range []struct {
		clock time.Duration
		state verdict
		says  string
	}{
		{10 * time.Millisecond, fine, "as this machine's, within 20ms"},
		{-time.Second, fine, "within 1s"},
		{time.Minute, doubtful, "1m0s ahead of this machine's"},
		{-time.Minute, doubtful, "1m0s behind this machine's"},
	} {
		f := judgeClock("clock", before.Add(test.clock), before, after)
		if f.State != test.state || !strings.Contains(f.Detail, test.says) {
			t.Errorf("a clock at %s is %+v", test.clock, f)
		}
	}
}

func TestJudgeRoom(t *testing.T) {
	for free, want := range map[uint64]verdict{lowRoom - 1: doubtful, lowRoom: fine} {
		if f := judgeRoom("disk", "d", free, "more"); f.State != want {
			t.Errorf("%d bytes are %+v", free, f)
		}
	}
	var texts []string
	for _, n := range []uint64{0, 1023, 1 << 20, 1<<30 + 1<<29, 1 << 50} {
		texts = append(texts, bytesText(n))
	}
	if want := []string{"0 B", "1023 B", "1 MiB", "1.5 GiB", "1024 TiB"}; !slices.Equal(texts, want) {
		t.Errorf("the texts are %q, want %q", texts, want)
	}
}

func TestAdminURL(t *testing.T) {
	for address, want := range map[string]string{
		":9090": "http://127.0.0.1:9090", "0.0.0.0:1": "http://127.0.0.1:1", "[::]:1": "http://127.0.0.1:1",
		"10.0.0.7:9090": "http://10.0.0.7:9090", "admin.internal:9": "http://admin.internal:9",
	} {
		if got := adminURL(address); got != want {
			t.Errorf("adminURL(%q) is %s, want %s", address, got, want)
		}
	}
}

// Without Kafka and ClickHouse each is told once, and nothing takes long.
func TestDoctorOfServersThatAreAway(t *testing.T) {
	t.Parallel()
	file := writeFile(t, "connector.yaml", `
receiver: {secrets: [s]}
admin: {address: "127.0.0.1:1"}
kafka: {brokers: ["127.0.0.1:1"]}
sinks:
  - {name: one, clickhouse: {addresses: ["127.0.0.1:1"], password: swordfish}}
`)
	status, printed := connector(t, "doctor", "--config", file, "--timeout", "5s")
	for _, want := range []string{
		"failed  service ", "failed  kafka 127.0.0.1:1 ", "-> start the broker, or correct kafka.brokers",
		"failed  sink one (clickhouse) ", "-> start the server, or correct addresses", "1 ok, 0 warn, 3 failed",
	} {
		if !strings.Contains(printed, want) {
			t.Errorf("it does not print %q, but:\n%s", want, printed)
		}
	}
	if status != 1 || strings.Contains(printed, "swordfish") {
		t.Errorf("exit status %d; it printed:\n%s", status, printed)
	}
}
