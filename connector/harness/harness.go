//go:build linux

// Package harness builds the connector and runs its parts as processes of their
// own, for the benchmarks, the fault tests and make chaos: what is to be killed
// must not be the one who kills.
package harness

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Build builds the connector into a directory and returns the program's path.
// It runs where the module's source is. Flags are more of go build, as -race.
func Build(ctx context.Context, dir string, flags ...string) (program string, err error) {
	program = filepath.Join(dir, "connector")
	arguments := slices.Concat([]string{"build", "-trimpath", "-o", program}, flags, []string{"loyaltyhouse/connector"})
	out, err := exec.CommandContext(ctx, "go", arguments...).CombinedOutput() //nolint:gosec // No shell is involved; the program is go, and the callers are tests and benchmarks, which pass a temporary directory and flags that stand in their code.
	if err != nil {
		return "", fmt.Errorf("go build: %w\n%s", err, out)
	}
	return program, nil
}

// A Process is a child of this program. It is killed when this program ends,
// however it ends.
type Process struct {
	Name string

	cmd    *exec.Cmd
	stdin  io.WriteCloser
	stdout *bufio.Reader
	output *os.File
	done   chan struct{}
	err    error // read after done
}

// Start starts a command whose standard error goes to log.
func Start(name string, cmd *exec.Cmd, log io.Writer) (*Process, error) {
	p := &Process{Name: name, cmd: cmd, done: make(chan struct{})}
	cmd.Stderr = log
	cmd.WaitDelay = time.Second
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	cmd.SysProcAttr.Setpgid = true // Ctrl-C is for this program, which ends its children in order.
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	out, outWriter, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	cmd.Stdout = outWriter
	p.stdin, p.stdout, p.output = in, bufio.NewReader(out), out
	started := make(chan error, 1)
	go func() {
		defer close(p.done)
		// The kernel takes the end of the thread that started the child for the end
		// of the parent, so that this thread stays until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		_ = outWriter.Close() // The child has its own.
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		_ = out.Close() // Nothing was written to it.
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// Line returns the next line of the process's standard output.
func (p *Process) Line() (string, error) {
	text, err := p.stdout.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s said nothing: %w", p.Name, err)
	}
	return strings.TrimSuffix(text, "\n"), nil
}

// Tell writes a line to the process's standard input.
func (p *Process) Tell(line string) error {
	if _, err := io.WriteString(p.stdin, line+"\n"); err != nil {
		return fmt.Errorf("tell %s: %w", p.Name, err)
	}
	return nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err tells how the process ended; it is nil while it runs.
func (p *Process) Err() error {
	select {
	case <-p.done:
		return p.err
	default:
		return nil
	}
}

// Signal sends a signal. One that has ended already is no error.
func (p *Process) Signal(s os.Signal) error {
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("signal %s: %w", p.Name, err)
	}
	return nil
}

// Kill ends the process at once, and returns when it is gone.
func (p *Process) Kill() {
	_ = p.cmd.Process.Kill() // It can only have ended already.
	<-p.done
	p.close()
}

// Stop ends the process in order, and kills it when it takes longer than grace.
func (p *Process) Stop(grace time.Duration) {
	_ = p.stdin.Close()
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // It can only have ended already.
	select {
	case <-p.done:
		p.close()
	case <-time.After(grace):
		p.Kill()
	}
}

func (p *Process) close() {
	_ = p.stdin.Close()  // Nobody reads it any more,
	_ = p.output.Close() // and nobody writes this.
}

// PID returns the process's number.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// CPU returns the processor time that the process has used so far.
func (p *Process) CPU() (time.Duration, error) { return CPUOf(p.cmd.Process.Pid) }

// CPUOf returns the processor time that a process has used so far.
func CPUOf(pid int) (time.Duration, error) {
	// The clock of another process, as clock_getcpuclockid(3) makes its number.
	const scheduled = 2
	var t unix.Timespec
	if err := unix.ClockGettime(int32(^pid<<3|scheduled), &t); err != nil { //nolint:gosec // Linux gives pids of at most 22 bits, so that 3 more fit into the number of a clock.
		return 0, fmt.Errorf("processor time of process %d: %w", pid, err)
	}
	return time.Duration(t.Nano()), nil
}

// PeakBytes returns the most memory that the process has had in use.
func (p *Process) PeakBytes() (int64, error) {
	file := fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid)
	status, err := os.ReadFile(file) //nolint:gosec // The path is in /proc, of a process that this package has started.
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10, nil
		}
	}
	return 0, fmt.Errorf("%s has no VmHWM", file)
}

// Await polls until f returns true, and gives up when ctx or the process ends.
func (p *Process) Await(ctx context.Context, what string, every time.Duration, f func() bool) error {
	for !f() {
		select {
		case <-p.done:
			return fmt.Errorf("%s ended before %s: %w", p.Name, what, p.err)
		case <-ctx.Done():
			return fmt.Errorf("%s: %w before %s", p.Name, ctx.Err(), what)
		case <-time.After(every):
		}
	}
	return nil
}

// AwaitOK polls a probe until it answers 200.
func (p *Process) AwaitOK(ctx context.Context, url string) error {
	return p.Await(ctx, url+" answered 200", 20*time.Millisecond, func() bool {
		status, _ := Get(ctx, url)
		return status == http.StatusOK
	})
}

// Get asks an URL. The status is 0 when there is no answer.
func Get(ctx context.Context, url string) (status int, body []byte) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil
	}
	defer resp.Body.Close() //nolint:errcheck // What is to be read has been read by then.
	body, err = io.ReadAll(resp.Body)
	if err != nil {
		return 0, nil
	}
	return resp.StatusCode, body
}
