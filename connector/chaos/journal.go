//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"sync"
	"time"
)

// A journal writes down what is broken, for programs and for people, and
// collects what was found to be wrong.
type journal struct {
	mu       sync.Mutex
	begin    time.Time
	file     io.Writer
	screen   io.Writer
	err      error
	faults   []fault // those that were carried out
	findings []string
}

func newJournal(file, screen io.Writer) *journal {
	return &journal{begin: time.Now(), file: file, screen: screen}
}

// entry is a line of journal.ndjson. Durations are in seconds.
type entry struct {
	Time    time.Time `json:"time"`
	After   float64   `json:"after"`
	What    string    `json:"what"`
	Whom    string    `json:"whom,omitempty"`
	For     float64   `json:"for,omitempty"`
	Delay   float64   `json:"delay,omitempty"`
	Message string    `json:"message,omitempty"`
}

// fault notes a fault that is about to be carried out.
func (j *journal) fault(f fault) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.faults = append(j.faults, f)
	text := fmt.Sprintf("%-9s %s", f.Kind, f.Target)
	if f.For > 0 {
		text += " for " + f.For.String()
	}
	if f.Delay > 0 {
		text += ", each way " + f.Delay.String()
	}
	j.write(entry{What: string(f.Kind), Whom: f.Target, For: f.For.Seconds(), Delay: f.Delay.Seconds()}, text)
}

// note tells what the program is doing.
func (j *journal) note(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	j.write(entry{What: "note", Message: text}, text)
}

// found notes something that must not happen. It makes the run fail.
func (j *journal) found(format string, args ...any) {
	j.mu.Lock()
	defer j.mu.Unlock()
	text := fmt.Sprintf(format, args...)
	j.findings = append(j.findings, text)
	j.write(entry{What: "finding", Message: text}, "FOUND: "+text)
}

func (j *journal) write(e entry, text string) {
	now := time.Now()
	e.Time = now.UTC().Truncate(time.Millisecond)
	e.After = now.Sub(j.begin).Round(time.Millisecond).Seconds()
	line, err := json.Marshal(e)
	if err == nil {
		_, err = j.file.Write(append(line, '\n'))
	}
	if err != nil && j.err == nil {
		j.err = fmt.Errorf("write the journal: %w", err)
	}
	_, _ = fmt.Fprintf(j.screen, "%7.1fs  %s\n", e.After, text) // The journal's file counts.
}

// carriedOut returns the faults so far, and all that was found.
func (j *journal) carriedOut() (faults []fault, findings []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	faults = append(faults, j.faults...)
	findings = append(findings, j.findings...)
	if j.err != nil {
		findings = append(findings, j.err.Error())
	}
	return faults, findings
}
