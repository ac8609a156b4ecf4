//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"loyaltyhouse/connector/harness"
)

// endTimeout is how long a process may take to end in order: shutdown_timeout
// of its configuration, and more.
const endTimeout = 40 * time.Second

// A process is a part of the pipeline that is started again and again.
type process struct {
	name    string
	program string
	args    []string
	logFile string
	journal *journal

	watches sync.WaitGroup

	mu      sync.Mutex
	current *life
}

// A life is one of the processes that a process was.
type life struct {
	*harness.Process
	told atomic.Bool // to end
}

func newProcess(name, program, dir string, j *journal, args ...string) *process {
	return &process{name: name, program: program, args: args, logFile: filepath.Join(dir, name+".log"), journal: j}
}

// start starts the process, unless it runs.
func (p *process) start(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		return nil
	}
	log, err := os.OpenFile(p.logFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("open the log of %s: %w", p.name, err)
	}
	// Nothing but its own methods ends it.
	command := exec.CommandContext(context.WithoutCancel(ctx), p.program, p.args...) //nolint:gosec // No shell is involved; the program is the connector that this run has built, with arguments of its own.
	command.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0")
	started, err := harness.Start(p.name, command, log)
	if err := errors.Join(err, log.Close()); err != nil {
		return err
	}
	l := &life{Process: started}
	p.current = l
	p.watches.Go(func() {
		<-l.Done()
		if !l.told.Load() {
			p.journal.found("%s ended by itself: %v; see %s", p.name, l.Err(), p.logFile)
		}
	})
	return nil
}

// running reports whether there is a process that has not ended.
func (p *process) running() bool {
	if p.current == nil {
		return false
	}
	select {
	case <-p.current.Done():
		p.current.Kill() // It has ended: this closes what it leaves behind.
		return false
	default:
		return true
	}
}

func (p *process) kill() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.running() {
		p.current.told.Store(true)
		p.current.Kill()
	}
	return nil
}

// terminate ends the process in order.
func (p *process) terminate() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return nil
	}
	p.current.told.Store(true)
	begin := time.Now()
	p.current.Stop(endTimeout)
	took := time.Since(begin).Round(time.Millisecond)
	switch err := p.current.Err(); {
	case took >= endTimeout:
		p.journal.found("%s did not end within %s after SIGTERM; see %s", p.name, endTimeout, p.logFile)
	case err != nil:
		p.journal.note("%s ended after %s with: %v", p.name, took, err)
	}
	return nil
}

func (p *process) stop() error   { return p.signal(syscall.SIGSTOP) }
func (p *process) resume() error { return p.signal(syscall.SIGCONT) }

func (p *process) signal(s os.Signal) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.current == nil {
		return nil
	}
	return p.current.Signal(s)
}

// dump ends the process so that it writes the stacks of its goroutines into its
// log, when nothing moves any more and nobody knows why.
func (p *process) dump() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.running() {
		return
	}
	p.current.told.Store(true)
	_ = p.current.Signal(syscall.SIGQUIT) // It can only have ended already.
	select {
	case <-p.current.Done():
	case <-time.After(endTimeout):
		p.current.Kill()
	}
}

// awaitOK polls a probe until it answers 200.
func (p *process) awaitOK(ctx context.Context, url string) error {
	p.mu.Lock()
	current := p.current
	p.mu.Unlock()
	return current.AwaitOK(ctx, url)
}

// line returns the next line of the current process's output.
func (p *process) line() (string, error) {
	p.mu.Lock()
	current := p.current
	p.mu.Unlock()
	return current.Line()
}

// close kills the process, if it still runs, and returns when nothing is left.
func (p *process) close() {
	_ = p.kill() // It never fails.
	p.watches.Wait()
}

func (p *process) target(group string, c class) *target {
	return &target{
		place: place{name: p.name, group: group, class: c},
		kill:  p.kill, terminate: p.terminate, start: p.start,
		stop: p.stop, resume: p.resume,
	}
}
