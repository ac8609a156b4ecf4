package stdout_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/sinktest"
	"loyaltyhouse/sinks/stdout"
)

// printForEver makes the test's program print batches on its standard output.
const printForEver = "LOYALTYHOUSE_TEST_PRINT"

func TestMain(m *testing.M) {
	if os.Getenv(printForEver) != "" {
		printAll()
	}
	goleak.VerifyTestMain(m)
}

// A reader is what stands behind the pipe that a sink prints into. It reads all
// lines, until it is stopped.
type reader struct {
	mu    sync.Mutex
	lines map[string][][]byte // rows by table

	write   *os.File
	read    *os.File
	ended   sync.WaitGroup
	stalled bool
}

func newReader(t *testing.T) *reader {
	r := &reader{lines: map[string][][]byte{}}
	r.connect(t)
	t.Cleanup(func() {
		_ = r.write.Close()
		r.ended.Wait()
	})
	return r
}

// connect opens a pipe and reads it to its end.
func (r *reader) connect(t *testing.T) {
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	r.read, r.write = read, write
	r.ended.Go(func() { r.readAll(t, read) })
}

func (r *reader) readAll(t *testing.T, read *os.File) {
	defer read.Close()
	lines := bufio.NewReader(read)
	for {
		line, err := lines.ReadBytes('\n')
		if err != nil {
			return // What is left is not a whole line.
		}
		if len(line) == 1 {
			continue // What filled the pipe.
		}
		var printed struct {
			Table string
			Row   json.RawMessage
		}
		if err := json.Unmarshal(line, &printed); err != nil {
			t.Errorf("a line is %q: %v", line, err)
			continue
		}
		r.mu.Lock()
		r.lines[printed.Table] = append(r.lines[printed.Table], printed.Row)
		r.mu.Unlock()
	}
}

// Write implements io.Writer with the pipe of the moment.
func (r *reader) Write(p []byte) (int, error) {
	r.mu.Lock()
	write := r.write
	r.mu.Unlock()
	return write.Write(p)
}

func (r *reader) Open(*testing.T) sinks.Sink { return stdout.New(stdout.DefaultConfig(), r) }

func (r *reader) Rows(t *testing.T, table *schema.Table) []schema.Row {
	t.Helper()
	r.settle(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	var rows []schema.Row
	for _, line := range r.lines[table.Name] {
		row := make(schema.Row, len(table.Columns))
		if err := schema.NewDecoder(table).Decode(line, row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func (r *reader) Count(t *testing.T, table *schema.Table) int {
	t.Helper()
	r.settle(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.lines[table.Name])
}

// settle waits until everything that was printed has been read, and goes on
// with a new pipe.
func (r *reader) settle(t *testing.T) {
	t.Helper()
	_ = r.write.Close()
	r.ended.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.connect(t)
}

// Break leaves a pipe whose reader is gone. It has read what was printed before.
func (r *reader) Break(t *testing.T) {
	t.Helper()
	r.settle(t)
	_ = r.read.Close()
	r.ended.Wait()
}

// Stall leaves the pipe full with nobody reading.
func (r *reader) Stall(t *testing.T) {
	t.Helper()
	_ = r.write.Close()
	r.ended.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	var err error
	if r.read, r.write, err = os.Pipe(); err != nil {
		t.Fatal(err)
	}
	r.stalled = true
	if err := r.write.SetWriteDeadline(time.Now().Add(100 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = r.write.Write(bytes.Repeat([]byte{'\n'}, 4096))
	}
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatal(err)
	}
	if err := r.write.SetWriteDeadline(time.Time{}); err != nil {
		t.Fatal(err)
	}
}

func (r *reader) Restore(t *testing.T) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.stalled {
		r.stalled = false
		read := r.read
		r.ended.Go(func() { r.readAll(t, read) })
		return
	}
	_ = r.write.Close()
	r.connect(t)
}

func TestSuite(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{
		New:         func(t *testing.T) sinktest.Destination { return newReader(t) },
		AtLeastOnce: true,
	})
}

func someTable() *schema.Table {
	return &schema.Table{Topic: "some", Name: "some_table", Columns: []schema.Column{
		{Name: "event_id", Type: schema.UUID},
		{Name: "name", Type: schema.String},
		{Name: "balance", Type: schema.Int64, Nullable: true},
		{Name: "updated_at", Type: schema.Time},
		{Name: "day", Type: schema.Date},
		{Name: "tags", Type: schema.String, Array: true},
		{Name: "body", Type: schema.Bytes},
		{Name: "retracted", Type: schema.Bool, Sparse: true},
	}}
}

func someRows() []schema.Row {
	id := schema.TextValue("e7000000-0000-0000-0000-000000000001")
	return []schema.Row{
		{id, schema.TextValue("積分 \x1b[31mred"), schema.IntValue(-7), schema.IntValue(1_800_000_000_123), schema.IntValue(20_000), {List: []schema.Value{schema.TextValue("a"), schema.TextValue("b c")}}, schema.BytesValue([]byte("{}\n\xff")), schema.IntValue(1)},
		{id, {}, {}, schema.IntValue(0), schema.IntValue(0), {}, {}, {}},
	}
}

func TestFormats(t *testing.T) {
	for format, want := range map[string]string{
		stdout.FormatNDJSON: `{"table":"some_table","topic":"loyalty.some","partition":0,"offset":41,"row":{"event_id":"e7000000-0000-0000-0000-000000000001","name":"積分 \u001b[31mred","balance":-7,"updated_at":"2027-01-15T08:00:00.123Z","day":"2024-10-04","tags":["a","b c"],"body_base64":"e30K/w==","retracted":true}}
{"table":"some_table","topic":"loyalty.some","partition":0,"offset":42,"row":{"event_id":"e7000000-0000-0000-0000-000000000001","name":"","balance":null,"updated_at":"1970-01-01T00:00:00.000Z","day":"1970-01-01","tags":[],"body":""}}
`,
		stdout.FormatText: `some_table  loyalty.some/0 offset 41
  event_id    e7000000-0000-0000-0000-000000000001
  name        "積分 \x1b[31mred"
  balance     -7
  updated_at  2027-01-15 08:00:00.123
  day         2024-10-04
  tags        a, b c
  body        "{}\n\xff"
  retracted   true

some_table  loyalty.some/0 offset 42
  event_id    e7000000-0000-0000-0000-000000000001
  updated_at  1970-01-01 00:00:00.000
  day         1970-01-01
  retracted   false

`,
	} {
		t.Run(format, func(t *testing.T) {
			var out bytes.Buffer
			s := stdout.New(stdout.Config{Format: format}, &out)
			if err := s.Write(t.Context(), sinktest.NewBatch(someTable(), 41, someRows()...)); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, out.String()); diff != "" {
				t.Errorf("printed is (-want +got):\n%s", diff)
			}
			if err := s.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

// full is a disk that takes some bytes, and later all.
type full struct {
	bytes.Buffer
	room int
}

func (f *full) Write(p []byte) (int, error) {
	if f.room < len(p) {
		_, _ = f.Buffer.Write(p[:f.room])
		return f.room, syscall.ENOSPC
	}
	return f.Buffer.Write(p)
}

func TestLinesAreWholeAfterOneThatWasCutOff(t *testing.T) {
	disk := &full{room: 50}
	s := stdout.New(stdout.DefaultConfig(), disk)
	batch := sinktest.NewBatch(someTable(), 0, someRows()...)
	err := s.Write(t.Context(), batch)
	if _, permanent := sinks.IsPermanent(err); permanent || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Write returns %v", err)
	}
	if err := s.Ping(t.Context()); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("Ping returns %v", err)
	}
	disk.room = 1 << 20
	if err := s.Write(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(disk.String(), "\n")
	if len(lines) != 4 || json.Valid([]byte(lines[0])) || !json.Valid([]byte(lines[1])) || !json.Valid([]byte(lines[2])) || lines[3] != "" {
		t.Errorf("printed is\n%s", disk.String())
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("Ping returns %v", err)
	}
}

func TestCloseWaitsAMomentForTheReader(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read, write := io.Pipe()
		s := stdout.New(stdout.DefaultConfig(), write)
		written := make(chan error, 1)
		go func() { written <- s.Write(t.Context(), sinktest.NewBatch(someTable(), 0, someRows()...)) }()
		synctest.Wait()
		if err := s.Close(); err == nil {
			t.Error("Close returns nil although nobody reads")
		}
		_ = read.Close()
		if err := <-written; !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("Write returns %v", err)
		}
	})
}

// The program ends when its reader has seen enough.
func TestHeadEndsTheProgram(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	printing := exec.Command(self)
	printing.Env = append(os.Environ(), printForEver+"=1")
	out, err := printing.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := printing.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadBytes('\n')
	if err != nil || !json.Valid(line) {
		t.Errorf("the first line is %q, %v", line, err)
	}
	_ = out.Close()
	err = printing.Wait()
	if status, ok := printing.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGPIPE {
		t.Errorf("the program ends with %v, want SIGPIPE", err)
	}
}

func printAll() {
	s, err := stdout.Open("test", stdout.DefaultConfig())
	if err != nil {
		panic(err)
	}
	for {
		if err := s.Write(context.Background(), sinktest.NewBatch(someTable(), 0, someRows()...)); err != nil {
			os.Exit(7)
		}
	}
}

func TestConfig(t *testing.T) {
	if err := stdout.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
	err := stdout.Config{Format: "xml"}.Validate()
	if want := `format: must be ndjson or text, is "xml"`; err == nil || err.Error() != want {
		t.Errorf("Validate says %v, want %s", err, want)
	}
}

func BenchmarkWrite(b *testing.B) {
	table := &schema.Table{}
	for _, known := range sinktest.Tables(b) {
		if known.Name == "fact_points" {
			table = known
		}
	}
	rows := make([]schema.Row, 10_000)
	for i := range rows {
		rows[i] = sinktest.Row(table, i)
	}
	batch := sinktest.NewBatch(table, 0, rows...)
	for _, format := range []string{stdout.FormatNDJSON, stdout.FormatText} {
		b.Run(format, func(b *testing.B) {
			s := stdout.New(stdout.Config{Format: format}, io.Discard)
			for b.Loop() {
				if err := s.Write(b.Context(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N*len(rows))/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
