//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	"loyaltyhouse/connector/harness"
)

// dump keeps what the processes know of themselves when something did not come
// to its end.
func (r *run) dump(ctx context.Context) {
	for p, probe := range r.probes {
		address, err := url.Parse(probe)
		if err != nil {
			continue // It was made here.
		}
		if _, text := harness.Get(ctx, "http://"+address.Host+"/metrics"); len(text) > 0 {
			if err := os.WriteFile(filepath.Join(r.dir, p.name+".metrics"), text, 0o600); err != nil { //nolint:gosec // The name is that of a process which this run has started, in the directory of this run.
				r.journal.note("%v", err)
			}
		}
		p.dump()
	}
}

// trouble is what a log of a Go program says when something is badly wrong.
var trouble = regexp.MustCompile(`^(panic: |fatal error: |WARNING: DATA RACE|SIG(SEGV|BUS|FPE|ABRT): |unexpected fault address)|runtime error: |made the receiver panic`)

// readLogs looks for what must never be in a log.
func (r *run) readLogs() error {
	logs, err := filepath.Glob(filepath.Join(r.dir, "*.log"))
	if err != nil {
		return err
	}
	for _, name := range logs {
		if filepath.Base(name) == "clickhouse.log" || filepath.Base(name) == "kafka.log" {
			continue
		}
		if err := r.readLog(name); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) readLog(name string) error {
	file, err := os.Open(name) //nolint:gosec // The names are those of the logs that this run has written itself.
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // It was only read.
	in := bufio.NewReader(file)
	for number := 1; ; number++ {
		line, err := in.ReadString('\n')
		if trouble.MatchString(line) {
			r.journal.found("%s:%d: %s", name, number, strings.TrimSpace(line))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
