package answers_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// trust is how far the other dashboards can be believed.
var trust = board{
	panels: map[string]promise{
		"Gaps": func(p *programme, c choice) answer { return single(count, int64(len(p.gapsOn(c)))) },
		"Explained": func(p *programme, c choice) answer {
			var events int64
			for _, ledger := range ledgers {
				events += int64(len(only(p.changes[ledger], func(e *change) bool { return c.inShop(e.shop) && c.onDay(e.at) })))
			}
			return single(share, over(events-int64(len(p.gapsOn(c))), events))
		},
		"Dead letters": func(p *programme, c choice) answer { return single(count, int64(len(p.lettersIn(c)))) },
		"Deliveries":   func(p *programme, c choice) answer { return single(count, int64(len(p.deliveriesIn(c)))) },
		"Resends": func(p *programme, c choice) answer {
			return single(count, int64(len(p.deliveriesIn(c)))-eventsOf(p.deliveriesIn(c)))
		},
		"Gaps by day": gapsByDay,
		"Dead letters over time": func(p *programme, c choice) answer {
			return stacked(c, p.lettersIn(c), "reason", count.as("letters"),
				func(l *letter) time.Time { return l.received }, func(l *letter) string { return l.reason },
				func(part []*letter) int64 { return int64(len(part)) })
		},
		"Reconciliation": reconciliation,
		"Gaps, one by one": func(p *programme, c choice) answer {
			a := table(moment.as("Time"), text.as("Ledger"), text.as("Shop"), text.as("Customer"), moment.as("Event before"),
				count.as("Expected"), count.as("Told"), count.as("Unexplained"))
			for _, g := range p.gaps {
				if c.inShop(g.after.shop) && c.inTime(g.after.at) {
					a.add(g.after.at, spoken(g.ledger), g.after.shop, g.after.buyer, g.before.at, g.expected, g.told, g.unexplained())
				}
			}
			return a.sorted(200, desc(0), asc(2), asc(1))
		},
		"Dead letters, by reason and topic": func(p *programme, c choice) answer {
			a := table(text.as("Stage"), text.as("Reason"), text.as("Topic"), count.as("Letters"), moment.as("Latest"), text.as("Detail"))
			for why, part := range grouped(p.lettersIn(c), func(l *letter) [3]string {
				return [3]string{l.stage, l.reason, orNotTold(l.topic)}
			}) {
				last := slices.MaxFunc(part, func(a, b *letter) int { return a.received.Compare(b.received) })
				a.add(why[0], why[1], why[2], int64(len(part)), last.received, last.detail)
			}
			return a.sorted(100, desc(3), asc(0), asc(1), asc(2))
		},
		"Freshness": freshness,
		"Deliveries and events": func(p *programme, c choice) answer {
			a := table(moment.as("time"), count.as("Deliveries"), count.as("Events"))
			for at, part := range grouped(p.deliveriesIn(c), func(d *delivery) time.Time { return c.bar(d.received) }) {
				a.add(at, int64(len(part)), eventsOf(part))
			}
			return a.sorted(0, asc(0))
		},
		"Deliveries by topic": func(p *programme, c choice) answer {
			a := table(text.as("Topic"), count.as("Deliveries"), count.as("Events"))
			for topic, part := range grouped(p.deliveriesIn(c), func(d *delivery) string { return orNotTold(d.topic) }) {
				a.add(topic, int64(len(part)), eventsOf(part))
			}
			return a.sorted(20, desc(1), asc(0))
		},
		"Refreshed": func(p *programme, _ choice) answer {
			a := table(text.as("Table"), seconds.as("Ago"), text.as("State"))
			for _, name := range []string{
				"points_members", "points_cohorts", "points_segments", "store_credit_members", "gift_card_lives",
				"customer_consents", "points_gaps", "store_credit_gaps", "gift_card_gaps", "reconciliation",
			} {
				a.add(name, between(time.Since(p.refreshed).Seconds()-1, time.Since(p.refreshing).Seconds()+1), "on time")
			}
			a.anyOrder = true // They are refreshed one after the other, or at once.
			return a
		},
	},
	variables: map[string]options{
		"shop": func(p *programme, _ choice) []string { return p.shops() },
	},
	annotations: map[string]promise{
		"Gaps": func(p *programme, c choice) answer { return p.gapMarks(c, ledgers...) },
		"Dead letters": func(p *programme, c choice) answer {
			a := table(moment.as("time"), text.as("text"))
			for at, part := range grouped(p.lettersIn(c), func(l *letter) time.Time { return c.dayMark(l.received) }) {
				reasons := map[string]bool{}
				for _, l := range part {
					reasons[l.reason] = true
				}
				a.add(at, fmt.Sprintf("%d dead letters: %s", len(part), strings.Join(slices.Sorted(maps.Keys(reasons)), ", ")))
			}
			return a.sorted(0, asc(0))
		},
	},
}

// gapsOn are those before events of the selected days.
func (p *programme) gapsOn(c choice) []gap {
	return only(p.gaps, func(g gap) bool { return c.inShop(g.after.shop) && c.onDay(g.after.at) })
}

func (p *programme) deliveriesIn(c choice) []*delivery {
	return only(p.deliveries, func(d *delivery) bool { return c.inShop(d.shop) && c.inTime(d.received) })
}

func (p *programme) lettersIn(c choice) []*letter {
	return only(p.letters, func(l *letter) bool { return c.inShop(l.shop) && c.inTime(l.received) })
}

// eventsOf counts the events among deliveries.
func eventsOf(deliveries []*delivery) int64 {
	return int64(len(grouped(deliveries, func(d *delivery) string { return d.event })))
}

// gapsByDay has a bar of every day and ledger with an event, without a gap too.
func gapsByDay(p *programme, c choice) answer {
	a := table(moment.as("time"), text.as("ledger"), count.as("gaps"))
	for day, found := range p.days(c) {
		a.add(day.at, day.series, found.gaps)
	}
	return a.sorted(0, asc(0), asc(1))
}

// found is what there is in a ledger on a day.
type found struct {
	events, gaps, unexplained int64
	shops                     map[string]bool // with gaps
}

// days are those, in UTC, that have an event.
func (p *programme) days(c choice) map[bar]*found {
	all := map[bar]*found{}
	for _, ledger := range ledgers {
		for _, e := range p.changes[ledger] {
			if !c.inShop(e.shop) || !c.onDay(e.at) {
				continue
			}
			b := bar{e.at.Truncate(day), ledger}
			if all[b] == nil {
				all[b] = &found{shops: map[string]bool{}}
			}
			all[b].events++
		}
	}
	for _, g := range p.gapsOn(c) {
		f := all[bar{g.after.at.Truncate(day), g.ledger}]
		f.gaps++
		f.unexplained += max(g.unexplained(), -g.unexplained())
		f.shops[g.after.shop] = true
	}
	return all
}

func reconciliation(p *programme, c choice) answer {
	a := table(text.as("Day"), text.as("Ledger"), count.as("Events"), count.as("Gaps"), count.as("Unexplained"), count.as("Shops with gaps"))
	for b, f := range p.days(c) {
		a.add(b.at.Format(time.DateOnly), b.series, f.events, f.gaps, f.unexplained, int64(len(f.shops)))
	}
	gapsFirst := func(x, y []any) int { return btoi(y[3].(int64) > 0) - btoi(x[3].(int64) > 0) }
	return a.sorted(500, gapsFirst, desc(0), asc(1))
}

// freshness is how long ago the latest event of each shop and ledger came, and how
// long ago the latest was by its own time.
func freshness(p *programme, c choice) answer {
	type source struct{ shop, ledger string }
	received, happened := map[source]time.Time{}, map[source]time.Time{}
	hear := func(s source, came, at time.Time) {
		if came.After(received[s]) {
			received[s] = came
		}
		if at.After(happened[s]) {
			happened[s] = at
		}
	}
	for _, ledger := range ledgers {
		for _, e := range p.changes[ledger] {
			hear(source{e.shop, ledger}, e.received, e.at)
		}
	}
	for _, u := range p.updates {
		hear(source{u.shop, "customer_changes"}, u.received, u.at)
	}
	ago := func(t time.Time) around {
		return between(p.now.Sub(t).Seconds()-1, time.Since(t).Seconds()+1)
	}
	a := table(text.as("Shop"), text.as("Ledger"), seconds.as("Received ago"), seconds.as("Happened ago"), moment.as("Received"))
	for s, came := range received {
		if c.inShop(s.shop) {
			a.add(s.shop, s.ledger, ago(came), ago(happened[s]), came)
		}
	}
	return a.sorted(200, asc(4), asc(0), asc(1))
}
