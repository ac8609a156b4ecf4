//go:build linux

package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"loyaltyhouse/connector/simulate"
)

// A summary is what a run came to.
type summary struct {
	options     options
	took        time.Duration
	faults      []fault
	sent        simulate.Summary
	resends     int64 // deliveries that repeat an event, by intention
	result      *result
	differences []string // everything that is not as it should be
	evidence    string   // empty when it was removed
}

func (s *summary) exact() bool { return len(s.differences) == 0 }

// print writes the summary for a person.
func (s *summary) print(out io.Writer) error {
	w := &writer{out: out}
	w.printf("\nseed       %d (--seed %[1]d --time %s --every %s --rate %v --span %s --kafka %s)\n",
		s.options.seed, s.options.time, s.options.every, s.options.rate, s.options.span, s.options.kafka)
	w.printf("time       %s in all\n", s.took.Round(time.Second))
	kills, others := s.count(faultKill, faultTerminate), s.count(faultStop, faultCut, faultDelay, faultBlackhole)
	w.printf("kills      %s\n", kills)
	w.printf("others     %s\n", others)
	w.printf("webhooks   %d sent, %d of them resends; %d acknowledged, %d refused for their signature, %d attempts had to be repeated\n",
		s.sent.Sent, s.resends, s.sent.Accepted, s.sent.Refused, s.sent.Retries)
	if s.result != nil {
		s.printResult(w)
	}
	if s.exact() {
		w.printf("\nexact: every acknowledged webhook is stored by every sink, every record once, and every balance is right\n")
	} else {
		w.printf("\nNOT EXACT\n")
		for _, d := range s.differences {
			w.printf("  %s\n", d)
		}
	}
	if s.evidence != "" {
		w.printf("evidence   %s\n", s.evidence)
	}
	return w.err
}

// count says how many faults of some kinds hit whom.
func (s *summary) count(kinds ...faultKind) string {
	total := 0
	var parts []string
	for _, kind := range kinds {
		n := 0
		whom := map[string]int{}
		for _, f := range s.faults {
			if f.Kind == kind {
				n++
				whom[f.Target]++
			}
		}
		if n == 0 {
			continue
		}
		total += n
		var names []string
		for _, name := range slices.Sorted(maps.Keys(whom)) {
			names = append(names, fmt.Sprintf("%s %d", name, whom[name]))
		}
		parts = append(parts, fmt.Sprintf("%s %d (%s)", kind, n, strings.Join(names, ", ")))
	}
	return strings.Join(append([]string{fmt.Sprint(total)}, parts...), "; ")
}

func (s *summary) printResult(w *writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	t := &writer{out: table}
	t.printf("\n\trecords\trows\tlost\tdoubled\tacknowledged\tmissing\tin view\t\n")
	var total comparison
	for _, c := range s.result.tables {
		inView := "-"
		if c.inView >= 0 {
			inView = fmt.Sprint(c.inView)
		}
		t.printf("%s\t%d\t%d\t%d\t%d\t%d\t%d\t%s\t\n", c.table, c.records, c.rows, c.lost, c.doubled, c.acknowledged, c.missing, inView)
		total.records += c.records
		total.rows += c.rows
		total.lost += c.lost
		total.doubled += c.doubled
		total.missing += c.missing
	}
	w.keep(t.err)
	w.keep(table.Flush())
	var wrong, balances int64
	for _, l := range ledgers {
		wrong += s.result.wrongBalances[l.view]
		balances += s.result.balances[l.view]
	}
	w.printf("\nstored %d rows of %d records, lost %d, doubled %d; acknowledged events that are missing %d; balances that differ %d of %d\n",
		total.rows, total.records, total.lost, total.doubled, total.missing, wrong, balances)
	s.printDestinations(w)
}

// printDestinations prints a line for each sink beside the warehouse's.
func (s *summary) printDestinations(w *writer) {
	var totals []destinationComparison
	for _, c := range s.result.destinations {
		if len(totals) == 0 || totals[len(totals)-1].sink != c.sink {
			totals = append(totals, destinationComparison{sink: c.sink})
		}
		total := &totals[len(totals)-1]
		total.records += c.records
		total.rows += c.rows
		total.lost += c.lost
		total.doubled += c.doubled
		total.missing += c.missing
	}
	for _, t := range totals {
		what := ""
		if t.sink == lakeSink {
			what = fmt.Sprintf(" in files of %d batches", s.result.batches)
		}
		w.printf("%s: %d rows%s, there should be %d, lost %d, doubled %d; acknowledged events that are missing %d\n",
			t.sink, t.rows, what, t.records, t.lost, t.doubled, t.missing)
	}
}

// A writer remembers the first error.
type writer struct {
	out io.Writer
	err error
}

func (w *writer) Write(p []byte) (int, error) {
	n, err := w.out.Write(p)
	w.keep(err)
	return n, err
}

func (w *writer) printf(format string, args ...any) {
	_, err := fmt.Fprintf(w.out, format, args...)
	w.keep(err)
}

func (w *writer) keep(err error) {
	if w.err == nil {
		w.err = err
	}
}
