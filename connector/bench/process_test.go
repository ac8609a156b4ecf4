//go:build linux

package bench

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"loyaltyhouse/connector/harness"
)

// secret is the app secret of every receiver here.
const secret = "bench-secret"

// patience bounds the wait for anything that another process does.
const patience = 2 * time.Minute

// buildConnector returns the program that is measured, built once for all
// benchmarks.
var buildConnector = sync.OnceValues(func() (string, error) {
	return harness.Build(context.Background(), programDir)
})

// A process is a child of this program, with what it logged.
type process struct {
	*harness.Process
	log bytes.Buffer // read after it has ended
}

// startConnector runs the connector with arguments.
func startConnector(b *testing.B, args ...string) *process {
	b.Helper()
	program, err := buildConnector()
	if err != nil {
		b.Fatal(err)
	}
	return start(b, args[0], exec.Command(program, args...))
}

// startRole runs this program in another role.
func startRole(b *testing.B, role string, environment ...string) *process {
	b.Helper()
	program, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	cmd := exec.Command(program)
	cmd.Env = append(append(os.Environ(), roleVariable+"="+role), environment...)
	return start(b, role, cmd)
}

func start(b *testing.B, name string, cmd *exec.Cmd) *process {
	b.Helper()
	p := &process{}
	var err error
	if p.Process, err = harness.Start(name, cmd, &p.log); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		p.stop()
		if b.Failed() {
			b.Logf("%s: %v\n%s", name, p.Err(), p.log.Bytes())
		}
	})
	return p
}

func (p *process) stop() { p.Stop(30 * time.Second) }

// line reads one line of the process's output.
func (p *process) line(b *testing.B) string {
	b.Helper()
	text, err := p.Line()
	if err != nil {
		b.Fatal(err)
	}
	return text
}

// tell writes one line to the process's input.
func (p *process) tell(b *testing.B, line string) {
	b.Helper()
	if err := p.Tell(line); err != nil {
		b.Fatal(err)
	}
}

// cpu returns the processor time that the process has used so far.
func (p *process) cpu(b *testing.B) time.Duration {
	b.Helper()
	used, err := p.CPU()
	if err != nil {
		b.Fatal(err)
	}
	return used
}

// peakMB returns the most memory that the process has had in use, in MB.
func (p *process) peakMB(b *testing.B) float64 {
	b.Helper()
	peak, err := p.PeakBytes()
	if err != nil {
		b.Fatal(err)
	}
	return float64(peak) / 1e6
}

// await polls until f returns true, and fails when the process ends before.
func (p *process) await(b *testing.B, what string, every time.Duration, f func() bool) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), patience)
	defer cancel()
	if err := p.Await(ctx, what, every, f); err != nil {
		b.Fatal(err)
	}
}

// awaitOK polls a probe until it answers 200.
func (p *process) awaitOK(b *testing.B, url string) {
	b.Helper()
	p.await(b, url+" answered 200", 20*time.Millisecond, func() bool {
		status, _ := harness.Get(b.Context(), url)
		return status == http.StatusOK
	})
}

// freeAddress returns an address of this machine that nobody listens at.
func freeAddress(b *testing.B) string {
	b.Helper()
	address, err := harness.FreeAddress(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return address
}

// writeFile writes a configuration into the benchmark's directory.
func writeFile(b *testing.B, text string) string {
	b.Helper()
	file := filepath.Join(b.TempDir(), "connector.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		b.Fatal(err)
	}
	return file
}

// startBroker returns the address of a broker in a process of its own.
func startBroker(b *testing.B) (address string) {
	b.Helper()
	return startConnector(b, "broker", b.TempDir()).line(b)
}

// series collects what the rounds give, by metric.
type series map[string][]float64

func (s series) add(metric string, value float64) { s[metric] = append(s[metric], value) }

// report gives the medians to the benchmark.
func (s series) report(b *testing.B) {
	b.Helper()
	for metric, values := range s {
		slices.Sort(values)
		n := len(values)
		b.ReportMetric((values[(n-1)/2]+values[n/2])/2, metric)
	}
	b.ReportMetric(0, "ns/op") // The length of a round says nothing.
}
