//go:build linux

package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A process that ends without having been told to is found, and one that was
// told is not.
func TestProcessThatEndsByItselfIsFound(t *testing.T) {
	j := newJournal(new(bytes.Buffer), t.Output())
	dir := t.TempDir()
	faithful := newProcess("faithful", "/bin/sh", dir, j, "-c", "sleep 1000")
	for _, end := range []func() error{faithful.kill, faithful.terminate} {
		if err := faithful.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := end(); err != nil {
			t.Error(err)
		}
	}
	faithful.close()
	if _, findings := j.carriedOut(); len(findings) > 0 {
		t.Errorf("found %v", findings)
	}
	for range 2 {
		crashing := newProcess("crashing", "/bin/sh", dir, j, "-c", "echo 'panic: no more' >&2; exit 3")
		if err := crashing.start(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-crashing.current.Done()
		crashing.watches.Wait()
		crashing.close()
	}
	_, findings := j.carriedOut()
	if len(findings) != 2 || !strings.Contains(findings[0], "crashing ended by itself: exit status 3") {
		t.Errorf("found %q", findings)
	}
	if log, err := os.ReadFile(filepath.Join(dir, "crashing.log")); err != nil || string(log) != "panic: no more\npanic: no more\n" {
		t.Errorf("its log is %q, %v", log, err)
	}
}

func TestLogsAreReadForTrouble(t *testing.T) {
	var file bytes.Buffer
	r := &run{dir: t.TempDir(), journal: newJournal(&file, t.Output())}
	for name, log := range map[string]string{
		"good.log":       "level=ERROR msg=\"a batch could not be written\" error=\"panic: is not a line of its own\"\nthe last line has no end",
		"panic.log":      "level=INFO\npanic: assignment to entry in nil map\n",
		"race.log":       "==================\nWARNING: DATA RACE\n",
		"clickhouse.log": "panic: is not a Go program\n",
	} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(log), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.readLogs(); err != nil {
		t.Fatal(err)
	}
	_, findings := r.journal.carriedOut()
	want := []string{
		fmt.Sprintf("%s/panic.log:2: panic: assignment to entry in nil map", r.dir),
		fmt.Sprintf("%s/race.log:2: WARNING: DATA RACE", r.dir),
	}
	if strings.Join(findings, "\n") != strings.Join(want, "\n") {
		t.Errorf("found %q, want %q", findings, want)
	}
	if !strings.Contains(file.String(), `"what":"finding"`) {
		t.Errorf("the journal is %s", file.String())
	}
}
