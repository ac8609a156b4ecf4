//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	kafkago "github.com/segmentio/kafka-go"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/harness"
	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/sinks/clickhouse"
)

// The fault tests run each part of the pipeline as a process of its own: broker,
// receiver, sink, and ClickHouse, which is a process of its own anyway.

// buildProgram builds bin/connector once for all of them. It has no race
// detector, which would cost the parts their speed: the code in them is tested
// with it elsewhere.
var buildProgram = sync.OnceValues(func() (string, error) {
	return harness.Build(context.Background(), programDir)
})

// A child is one part of the pipeline.
type child struct {
	*harness.Process
	t     testing.TB
	log   output
	ports ports // of a receiver or sink
}

// startChild runs the program. It is killed with the test at the latest.
func startChild(t testing.TB, args ...string) *child {
	t.Helper()
	program, err := buildProgram()
	if err != nil {
		t.Fatal(err)
	}
	return runChild(t, args, exec.Command(program, args...))
}

func runChild(t testing.TB, args []string, cmd *exec.Cmd) *child {
	t.Helper()
	c := &child{t: t}
	var err error
	if c.Process, err = harness.Start(args[0], cmd, &c.log); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Kill()
		if t.Failed() {
			t.Logf("log of connector %s:\n%s", strings.Join(args, " "), &c.log)
		}
	})
	return c
}

// startBroker returns a broker on a directory, and its address as kafka.brokers
// wants it.
func startBroker(t testing.TB, dir string, flags ...string) (broker *child, address string) {
	t.Helper()
	broker = startChild(t, append([]string{"broker", dir}, flags...)...)
	return broker, broker.line()
}

// startAt runs a receiver or sink at free ports and waits until a probe answers 200.
func startAt(t *testing.T, role, probe string, configure func(p ports) (file string)) *child {
	t.Helper()
	p := freePorts(t)
	c := startChild(t, role, "--config", configure(p))
	c.ports = p
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Await(ctx, probe+" answered 200", 50*time.Millisecond, func() bool {
		status, _ := get(t, p.adminURL(probe))
		return status == http.StatusOK
	}); err != nil {
		t.Fatal(err)
	}
	return c
}

// line reads a line of what the process prints.
func (c *child) line() string {
	c.t.Helper()
	text, err := c.Line()
	if err != nil {
		c.t.Fatal(err)
	}
	return text
}

// peakMB is the most memory that the process has had in use.
func (c *child) peakMB() int64 {
	c.t.Helper()
	peak, err := c.PeakBytes()
	if err != nil {
		c.t.Fatal(err)
	}
	return peak >> 20
}

// withinMB fails when the process has had more memory in use.
func (c *child) withinMB(bound int64) {
	c.t.Helper()
	peak := c.peakMB()
	c.t.Logf("connector %s used %d MiB at most, it may use %d", c.Name, peak, bound)
	if peak > bound {
		c.t.Errorf("connector %s used %d MiB, more than %d", c.Name, peak, bound)
	}
}

// deliveringMB is what a sink may need besides what it needs when idle: what
// batch.buffer_bytes allows, and a fetch of 1 MiB for each partition. It holds
// that as it came, as records, as columns, as blocks and as what is sent, and
// twice as much until the garbage collector has seen it; the rest is for the
// connections and the program.
func deliveringMB(buffer int64) int64 { return 2*5*(buffer+6*partitions) + 64 }

// pause stops the process where it stands, wake lets it go on.
func (c *child) pause() { c.signal(syscall.SIGSTOP) }
func (c *child) wake()  { c.signal(syscall.SIGCONT) }

func (c *child) signal(s syscall.Signal) {
	c.t.Helper()
	if err := c.Signal(s); err != nil {
		c.t.Fatal(err)
	}
}

// metric sums a metric of a receiver or sink over its labels. The name is a
// regular expression, and may go on with the first label.
func (c *child) metric(name string) (sum float64) {
	c.t.Helper()
	for _, value := range c.series(name) {
		sum += value
	}
	return sum
}

// series returns the values of a metric. There are none while the process does
// not answer.
func (c *child) series(name string) (values []float64) {
	c.t.Helper()
	_, text := get(c.t, c.ports.adminURL("/metrics"))
	for _, match := range regexp.MustCompile(`(?m)^`+name+`(?:[{,][^}]*\})? (\S+)$`).FindAllStringSubmatch(text, -1) {
		value, err := strconv.ParseFloat(match[1], 64)
		if err != nil {
			c.t.Fatal(err)
		}
		values = append(values, value)
	}
	return values
}

// sections is a configuration of parts that run apart. The others are more keys
// of their sections, in YAML's flow style; second is another sink.
type sections struct {
	broker, clickHouse    string
	receiver, kafka, sink string
	second                string
}

// partitions is how many each topic has.
const partitions = 2

func (s sections) file(t *testing.T, p ports) string {
	t.Helper()
	var text strings.Builder
	section := func(line, more string) {
		if more != "" {
			more = ", " + more
		}
		fmt.Fprintf(&text, line+"\n", more)
	}
	section(fmt.Sprintf(`receiver: {address: "127.0.0.1:%d", secrets: [old-secret]%%s}`, p.receiver), s.receiver)
	section(fmt.Sprintf(`admin: {address: "127.0.0.1:%d"%%s}`, p.admin), "")
	section(fmt.Sprintf(`kafka: {brokers: [%q], topics: {partitions: %d}%%s}`, s.broker, partitions), s.kafka)
	if s.second != "" {
		s.sink += "}, {" + s.second
	}
	section(fmt.Sprintf(`sinks: [{name: warehouse, clickhouse: {addresses: [%q]}%%s}]`, s.clickHouse), s.sink)
	return writeFile(t, "connector.yaml", text.String())
}

// startReceiver and startSink run a part of it.
func (s sections) startReceiver(t *testing.T) *child {
	t.Helper()
	return startAt(t, "receive", "/readyz/receiver", func(p ports) string { return s.file(t, p) })
}

func (s sections) startSink(t *testing.T) *child {
	t.Helper()
	return startAt(t, "sink", "/readyz", func(p ports) string { return s.file(t, p) })
}

// A warehouse is a running ClickHouse.
type warehouse struct {
	t       *testing.T
	address string
	conn    driver.Conn
}

func connectWarehouse(t *testing.T, address string) *warehouse {
	t.Helper()
	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = []string{address}
	conn, err := clickhouse.Connect(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() }) // It is only read from.
	return &warehouse{t: t, address: address, conn: conn}
}

// An ownWarehouse is one that the test can kill.
type ownWarehouse struct {
	*warehouse
	engine *engine
}

func startWarehouse(t *testing.T) *ownWarehouse {
	t.Helper()
	p := freePorts(t)
	cfg := embedded.DefaultConfig()
	cfg.DataDir = warehouseDir(t)
	cfg.ClickHouse.NativePort, cfg.ClickHouse.HTTPPort = p.native, p.http
	e, err := startEngine(t.Context(), cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.close(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return &ownWarehouse{warehouse: connectWarehouse(t, e.get().Addr()), engine: e}
}

func (w *ownWarehouse) kill() {
	w.t.Helper()
	if err := w.engine.get().Kill(); err != nil {
		w.t.Fatal(err)
	}
}

// supervise starts ClickHouse again when it has ended, as connector serve does,
// until the end of the test.
func (w *ownWarehouse) supervise() {
	ctx, cancel := context.WithCancel(w.t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.engine.supervise(ctx) }()
	w.t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			w.t.Error(err)
		}
	})
}

// number reads one number, such as toInt64(count()). It waits for a ClickHouse
// that is being started again.
func (w *warehouse) number(query string) (n int64) {
	w.t.Helper()
	eventually(w.t, query, func() bool { return w.conn.QueryRow(w.t.Context(), query).Scan(&n) == nil })
	return n
}

// rows counts a table as it is on disk.
func (w *warehouse) rows(table string) int64 {
	w.t.Helper()
	return w.number("SELECT toInt64(count()) FROM loyalty." + table)
}

// storedOnce waits until every record of Kafka is a row, and fails when there are
// more. The two tables keep every row, so that none can hide which was stored
// twice; those of the facts collapse them.
func (w *warehouse) storedOnce(broker string) {
	w.t.Helper()
	for _, table := range []string{"raw_webhooks", "dead_letters"} {
		var stored, records int64
		eventually(w.t, table+" has every record of its topic", func() bool {
			stored, records = w.rows(table), recordsAt(w.t, broker, "loyalty."+table)
			return stored >= records
		})
		if stored != records {
			w.t.Errorf("%s has %d rows, Kafka has %d records", table, stored, records)
		}
		w.t.Logf("%s: %d records in Kafka, %d rows", table, records, stored)
	}
}

// recordsAt counts the records of a topic.
func recordsAt(t *testing.T, broker, topic string) (n int64) {
	t.Helper()
	network, address := "tcp", broker
	if path, ok := strings.CutPrefix(broker, "unix:"); ok {
		network, address = "unix", path
	}
	transport := &kafkago.Transport{Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	client := &kafkago.Client{Addr: kafkago.TCP("broker:9092"), Transport: transport}
	request := &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{topic: {}}}
	for partition := range partitions {
		request.Topics[topic] = append(request.Topics[topic], kafkago.LastOffsetOf(partition))
	}
	response, err := client.ListOffsets(t.Context(), request)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range response.Topics[topic] {
		if p.Error != nil {
			t.Fatal(p.Error)
		}
		n += p.LastOffset
	}
	return n
}

// A traffic is connector simulate, which sends a history to a receiver.
type traffic struct {
	*child
	generator *simulate.Generator // that has made the same history
}

// startTraffic sends count events, at a rate per second or, with 0, as fast as they
// are answered. Whatever is not answered 200 is sent again.
func startTraffic(t *testing.T, p ports, seed uint64, count, rate int) *traffic {
	t.Helper()
	g := history(seed, count)
	for _, more := g.Next(); more; _, more = g.Next() {
		// Afterwards the generator knows what must be stored.
	}
	cfg := simulate.DefaultConfig()
	return &traffic{generator: g, child: startChild(t, "simulate", "--url", p.receiverURL(), "--secret", "old-secret", "--connections", "96",
		"--seed", strconv.FormatUint(seed, 10), "--count", strconv.Itoa(count), "--rate", strconv.Itoa(rate),
		"--customers", "100", "--shops", strconv.Itoa(cfg.Shops))}
}

// wait returns what the sender says in the end.
func (s *traffic) wait() (said string) {
	s.t.Helper()
	for {
		line, err := s.Line()
		if err != nil {
			break
		}
		said += line + "\n"
	}
	<-s.Done()
	if err := s.Err(); err != nil {
		s.t.Fatalf("connector simulate: %v\n%s", err, said)
	}
	return said
}
