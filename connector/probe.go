package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// A verdict is how a part is.
type verdict string

const (
	fine     verdict = "ok"
	doubtful verdict = "warn"   // it works, and somebody should look at it
	broken   verdict = "failed" // it does not work
)

// A finding is what was found out of one part.
type finding struct {
	Part  string  `json:"part"`
	State verdict `json:"state"`
	// Detail says how the part is, and Advice what to do about it.
	Detail string `json:"detail"`
	Advice string `json:"advice,omitempty"`
}

// A probe looks at one subject, and tells what it finds of its parts.
type probe struct {
	subject string
	run     func(ctx context.Context) []finding
}

func finef(part, format string, args ...any) finding {
	return finding{Part: part, State: fine, Detail: oneLine(fmt.Sprintf(format, args...))}
}

// foundf is a finding whose text says after its first semicolon what to do.
func foundf(part string, state verdict, format string, args ...any) finding {
	detail, advice, _ := strings.Cut(oneLine(fmt.Errorf(format, args...).Error()), "; ")
	return finding{Part: part, State: state, Detail: detail, Advice: advice}
}

// found returns a finding for each of the errors that are joined in err.
func found(part string, state verdict, err error) (all []finding) {
	for _, e := range separate(err) {
		all = append(all, foundf(part, state, "%w", e))
	}
	return all
}

// separate takes apart what errors.Join put together. An error that wraps several
// in a sentence of its own is one.
func separate(err error) []error {
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return []error{err}
	}
	var texts []string
	var all []error
	for _, e := range joined.Unwrap() {
		texts = append(texts, e.Error())
		all = append(all, separate(e)...)
	}
	if err.Error() != strings.Join(texts, "\n") {
		return []error{err}
	}
	return all
}

func oneLine(text string) string { return visible(strings.Join(strings.Fields(text), " ")) }

// slack is how long after its time a probe may still say why it was late.
const slack = time.Second

// examine runs all probes at once, each for so long at most, and hands on what they
// find in their order, as soon as it is known.
func examine(ctx context.Context, probes []probe, timeout time.Duration, tell func(finding) error) error {
	results := make([]chan []finding, len(probes))
	for i, p := range probes {
		results[i] = make(chan []finding, 1)
		go func() {
			ctx, cancel := context.WithTimeout(ctx, timeout)
			defer cancel()
			results[i] <- p.run(ctx)
		}()
	}
	late := time.NewTimer(timeout + slack)
	defer late.Stop()
	for i, p := range probes {
		var all []finding
		select {
		case all = <-results[i]:
		case <-late.C:
			late.Reset(0) // For those that follow.
			select {
			case all = <-results[i]:
			default:
				all = []finding{foundf(p.subject, broken, "no answer within %s; give it more with --timeout, or see why it hangs", timeout)}
			}
		}
		for _, f := range all {
			if err := tell(f); err != nil {
				return err
			}
		}
	}
	return nil
}

// A findingPrinter prints findings as a table, or keeps them for JSON.
type findingPrinter struct {
	out    io.Writer
	asJSON bool

	all    []finding
	counts map[verdict]int
}

func newFindingPrinter(out io.Writer, asJSON bool) *findingPrinter {
	return &findingPrinter{out: out, asJSON: asJSON, all: []finding{}, counts: map[verdict]int{}}
}

func (p *findingPrinter) print(f finding) error {
	p.all = append(p.all, f)
	p.counts[f.State]++
	if p.asJSON {
		return nil
	}
	const line = "%-6s  %-34s  %s\n"
	_, err := fmt.Fprintf(p.out, line, f.State, f.Part, f.Detail)
	if err == nil && f.Advice != "" {
		_, err = fmt.Fprintf(p.out, line, "", "", "-> "+f.Advice)
	}
	return err
}

// end prints the rest, and returns an error where a finding has one of the verdicts.
func (p *findingPrinter) end(bad ...verdict) error {
	wrong := 0
	for _, v := range bad {
		wrong += p.counts[v]
	}
	if p.asJSON {
		encoder := json.NewEncoder(p.out)
		encoder.SetIndent("", "  ")
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(struct {
			OK       bool      `json:"ok"`
			Findings []finding `json:"findings"`
		}{wrong == 0, p.all}); err != nil {
			return err
		}
	} else if _, err := fmt.Fprintf(p.out, "%d ok, %d warn, %d failed\n", p.counts[fine], p.counts[doubtful], p.counts[broken]); err != nil {
		return err
	}
	switch wrong {
	case 0:
		return nil
	case 1:
		return errors.New("one finding needs attention; it says what to do")
	default:
		return fmt.Errorf("%d findings need attention; each says what to do", wrong)
	}
}
