//go:build linux

package bench

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// secret is the app secret of every receiver here.
const secret = "bench-secret"

// patience bounds the wait for anything that another process does.
const patience = 2 * time.Minute

// buildConnector returns the program that is measured, built once for all
// benchmarks.
var buildConnector = sync.OnceValues(func() (string, error) {
	program := filepath.Join(programDir, "connector")
	out, err := exec.Command("go", "build", "-trimpath", "-o", program, "loyaltyhouse/connector").CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
})

// A process is a child of this program. It is killed when this program ends,
// however it ends.
type process struct {
	name   string
	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	log    bytes.Buffer // standard error; read after done
	done   chan struct{}
	err    error // read after done
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
	p := &process{name: name, cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = &p.log
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	in, err := cmd.StdinPipe()
	if err != nil {
		b.Fatal(err)
	}
	out, outWriter, err := os.Pipe()
	if err != nil {
		b.Fatal(err)
	}
	cmd.Stdout = outWriter
	p.stdin, p.stdout = in, bufio.NewReader(out)
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		// The kernel takes the end of the thread that started the child for the end
		// of the parent, so that this thread stays until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = outWriter.Close()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		b.Fatalf("%s: %v", name, err)
	}
	b.Cleanup(func() {
		p.stop()
		_ = out.Close()
		if b.Failed() {
			b.Logf("%s: %v\n%s", name, p.err, p.log.Bytes())
		}
	})
	return p
}

// stop ends the process in order, and kills it when it takes too long.
func (p *process) stop() {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-p.done:
	case <-time.After(30 * time.Second):
		_ = p.cmd.Process.Kill()
		<-p.done
	}
}

// line reads one line of the process's output.
func (p *process) line(b *testing.B) string {
	b.Helper()
	text, err := p.stdout.ReadString('\n')
	if err != nil {
		b.Fatalf("%s said nothing: %v", p.name, err)
	}
	return strings.TrimSuffix(text, "\n")
}

// cpu returns the processor time that the process has used so far.
func (p *process) cpu(b *testing.B) time.Duration {
	b.Helper()
	return cpuOf(b, p.cmd.Process.Pid)
}

func cpuOf(b *testing.B, pid int) time.Duration {
	b.Helper()
	// The clock of another process, as clock_getcpuclockid(3) makes its number.
	const scheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil {
		b.Fatalf("processor time of process %d: %v", pid, err)
	}
	return time.Duration(t.Nano())
}

// peakMB returns the most memory that the process has had in use, in MB.
func (p *process) peakMB(b *testing.B) float64 {
	b.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		b.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.ParseFloat(fields[1], 64)
			if err != nil {
				b.Fatal(err)
			}
			return kib * 1024 / 1e6
		}
	}
	b.Fatalf("/proc/%d/status has no VmHWM", p.cmd.Process.Pid)
	return 0
}

// await polls until f returns true, and fails when the process ends before.
func (p *process) await(b *testing.B, what string, every time.Duration, f func() bool) {
	b.Helper()
	for deadline := time.Now().Add(patience); !f(); {
		select {
		case <-p.done:
			b.Fatalf("%s ended before %s", p.name, what)
		case <-time.After(every):
		}
		if time.Now().After(deadline) {
			b.Fatalf("%s: not after %s: %s", p.name, patience, what)
		}
	}
}

// awaitOK polls a probe until it answers 200.
func (p *process) awaitOK(b *testing.B, url string) {
	b.Helper()
	p.await(b, url+" answers 200", 20*time.Millisecond, func() bool {
		status, _ := get(b, url)
		return status == http.StatusOK
	})
}

// get returns status 0 when there is no answer.
func get(b *testing.B, url string) (status int, body []byte) {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.Context(), 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}

// freeAddress returns an address of this machine that nobody listens at.
func freeAddress(b *testing.B) string {
	b.Helper()
	listener, err := new(net.ListenConfig).Listen(b.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
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
