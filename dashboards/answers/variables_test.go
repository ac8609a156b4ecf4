package answers_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// shops are all that have sent anything that became a row.
func (p *programme) shops() []string {
	all := map[string]bool{}
	for _, changes := range p.changes {
		for _, c := range changes {
			all[c.shop] = true
		}
	}
	for _, u := range p.updates {
		all[u.shop] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// scenes are those of a ledger in the selected time, of all shops.
func (p *programme) scenes(ledger string, c choice) []string {
	all := map[string]bool{}
	for _, e := range p.changes[ledger] {
		if c.inTime(e.at) {
			all[e.scene] = true
		}
	}
	return slices.Sorted(maps.Keys(all))
}

// gapMarks mark the days, in UTC, before whose events there are gaps.
func (p *programme) gapMarks(c choice, of ...string) answer {
	a := table(moment.as("time"), text.as("text"))
	gaps := only(p.gaps(), func(g gap) bool {
		return slices.Contains(of, g.ledger) && c.inShop(g.after.shop) && c.onDay(g.after.at)
	})
	for date, part := range grouped(gaps, func(g gap) time.Time { return g.after.at.Truncate(day) }) {
		shops, ledgers := map[string]bool{}, map[string]bool{}
		for _, g := range part {
			shops[g.after.shop], ledgers[g.ledger] = true, true
		}
		a.add(date, fmt.Sprintf("%d gaps in %s of %d shops", len(part), strings.Join(slices.Sorted(maps.Keys(ledgers)), ", "), len(shops)))
	}
	return a.sorted(0, asc(0))
}
