package answers_test

import (
	"fmt"
	"math"
	"time"
)

// pointsByScene is what the front page promises.
var pointsByScene = board{
	panels: map[string]promise{
		"Points earned": func(p *programme, c choice) answer { return single(count, added(p.chosen(points, c))) },
		"Points burned": func(p *programme, c choice) answer { return single(count, taken(p.chosen(points, c))) },
		"Net":           func(p *programme, c choice) answer { return single(count, net(p.chosen(points, c))) },
		"Redemption rate": func(p *programme, c choice) answer {
			return single(share, p.takenOfAdded(points, c))
		},
		"Active members": func(p *programme, c choice) answer { return single(count, customers(p.chosen(points, c))) },
		"Earned by scene": func(p *programme, c choice) answer {
			return barsByScene(c, only(p.chosen(points, c), isIncrease), "scene", count.as("points"), added)
		},
		"Burned by scene": func(p *programme, c choice) answer {
			return barsByScene(c, only(p.chosen(points, c), isDecrease), "scene", count.as("points"), taken)
		},
		"Totals by scene": func(p *programme, c choice) answer {
			chosen := p.chosen(points, c)
			a := table(text.as("Scene"), count.as("Events"), count.as("Customers"), count.as("Earned"), count.as("Burned"), count.as("Net"),
				share.as("Share of earned"), share.as("Share of burned"))
			for scene, part := range grouped(chosen, byScene) {
				a.add(scene, int64(len(part)), customers(part), added(part), taken(part), net(part),
					over(added(part), added(chosen)), over(taken(part), taken(chosen)))
			}
			return a.sorted(0, largerOf(3, 4), asc(0))
		},
		"Which scenes' points get burned": scenesThatGetBurned,
		"Points outstanding":              func(p *programme, c choice) answer { return single(count, p.outstanding(points, c)) },
		"Expired":                         func(p *programme, c choice) answer { return single(count, p.expired(points, c)) },
		"Members with points":             func(p *programme, c choice) answer { return single(count, p.withBalance(points, c)) },
		"Expiring in 30 days":             func(p *programme, c choice) answer { return single(count, p.expiring(points, c, 30)) },
		"Expiring in 60 days":             func(p *programme, c choice) answer { return single(count, p.expiring(points, c, 60)) },
		"Expiring in 90 days":             func(p *programme, c choice) answer { return single(count, p.expiring(points, c, 90)) },
		"Cohorts":                         cohorts,
		"Segments":                        segments,
		"Top days": func(p *programme, c choice) answer {
			a := table(text.as("Day"), count.as("Events"), count.as("Earned"), count.as("Burned"))
			for date, part := range grouped(p.chosen(points, c), func(e *change) string { return e.at.In(c.location()).Format(time.DateOnly) }) {
				a.add(date, int64(len(part)), added(part), taken(part))
			}
			return a.sorted(10, desc(2), asc(0))
		},
		"Largest balances": func(p *programme, c choice) answer {
			a := table(text.as("Shop"), text.as("Customer"), count.as("Points"), count.as("Expiring in 30 days"), moment.as("Latest event"))
			for o, h := range p.accounts[points] {
				if c.inShop(o.shop) {
					a.add(o.shop, o.id, h.balance(), h.expiring(p.now, p.now.Add(30*day)), h.last().at)
				}
			}
			return a.sorted(50, desc(2), asc(0), asc(1))
		},
		"Outstanding by shop": func(p *programme, c choice) answer { return p.outstandingByShop(points, c, count) },
	},
	variables: map[string]options{
		"shop":  func(p *programme, _ choice) []string { return p.shops() },
		"scene": func(p *programme, c choice) []string { return p.scenes(points, c) },
	},
	annotations: map[string]promise{
		"Gaps": func(p *programme, c choice) answer { return p.gapMarks(c, points) },
	},
}

func isIncrease(c *change) bool { return c.delta > 0 }

func isDecrease(c *change) bool { return c.delta < 0 }

// barsByScene are bars of changes by their scene or reason.
func barsByScene(c choice, changes []*change, label string, value column, size func([]*change) int64) answer {
	return stacked(c, changes, label, value, func(e *change) time.Time { return e.at }, byScene, size)
}

// largerOf puts the row first whose larger cell of two is larger.
func largerOf(i, j int) order {
	return func(a, b []any) int {
		return compareCells(max(b[i].(int64), b[j].(int64)), max(a[i].(int64), a[j].(int64)))
	}
}

// takenOfAdded is what was taken in the selected time for each that was added, of all
// scenes and reasons.
func (p *programme) takenOfAdded(ledger string, c choice) any {
	c.scenes = nil
	return over(taken(p.chosen(ledger, c)), added(p.chosen(ledger, c)))
}

// outstanding is the sum of all balances, as of now.
func (p *programme) outstanding(ledger string, c choice) (sum int64) {
	for o, h := range p.accounts[ledger] {
		if c.inShop(o.shop) {
			sum += h.balance()
		}
	}
	return sum
}

func (p *programme) outstandingByShop(ledger string, c choice, k kind) answer {
	byShop := map[string]int64{}
	for o, h := range p.accounts[ledger] {
		if c.inShop(o.shop) {
			byShop[o.shop] += h.balance()
		}
	}
	a := table(text.as("Shop"), k.as("Outstanding"))
	for shop, balance := range byShop {
		a.add(shop, balance)
	}
	return a.sorted(10, desc(1), asc(0))
}

// withBalance counts accounts on which something is left.
func (p *programme) withBalance(ledger string, c choice) (n int64) {
	for o, h := range p.accounts[ledger] {
		if c.inShop(o.shop) && h.balance() > 0 {
			n++
		}
	}
	return n
}

func (p *programme) expired(ledger string, c choice) (sum int64) {
	for o, h := range p.accounts[ledger] {
		if c.inShop(o.shop) {
			sum += h.expired(p.now)
		}
	}
	return sum
}

func (p *programme) expiring(ledger string, c choice, days int) (sum int64) {
	for o, h := range p.accounts[ledger] {
		if c.inShop(o.shop) {
			sum += h.expiring(p.now, p.now.Add(time.Duration(days)*day))
		}
	}
	return sum
}

// scenesThatGetBurned divides what each customer burned among the scenes, as what
// the customer earned in the same time. All scenes bring points, also those that
// are not selected.
func scenesThatGetBurned(p *programme, c choice) answer {
	everything := c
	everything.scenes = nil
	earned, burned := map[string]int64{}, map[string]float64{}
	for _, changes := range grouped(p.chosen(points, everything), (*change).who) {
		total := added(changes)
		for scene, part := range grouped(only(changes, isIncrease), byScene) {
			if c.inScene(scene) {
				earned[scene] += added(part)
				burned[scene] += float64(added(part)) * min(1, float64(taken(changes))/float64(total))
			}
		}
	}
	a := table(text.as("Scene"), count.as("Earned"), count.as("Of it burned"), share.as("Share burned"))
	for scene := range earned {
		whole := math.Round(burned[scene])
		// Half a point can go either way.
		tolerance := 0.0
		if math.Abs(math.Abs(burned[scene]-whole)-0.5) < 1e-6 {
			tolerance = 1
		}
		a.add(scene, earned[scene], around{whole, tolerance}, around{whole / float64(earned[scene]), tolerance / float64(earned[scene])})
	}
	return a.sorted(0, desc(2), asc(0))
}

// cohorts are customers by the month, in UTC, in which they first earned points,
// and the share of them with an event in each month after it that is over.
func cohorts(p *programme, c choice) answer {
	const months = 12
	month := func(t time.Time) time.Time { return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC) }
	members, active := map[time.Time]int64{}, map[[2]time.Time]int64{}
	for o, h := range p.accounts[points] {
		earned := only(h, isIncrease)
		if !c.inShop(o.shop) || len(earned) == 0 || h.hadBefore() {
			continue
		}
		first := month(history(earned)[0].at)
		members[first]++
		for m := range grouped(h, func(e *change) time.Time { return month(e.at) }) {
			active[[2]time.Time{first, m}]++
		}
	}
	a := table(text.as("Cohort"), count.as("Members"))
	for m := 1; m <= months; m++ {
		a.columns = append(a.columns, share.as(fmt.Sprintf("+%d", m)))
	}
	for first, n := range members {
		row := []any{first.Format("2006-01"), n}
		for m := 1; m <= months; m++ {
			later := first.AddDate(0, m, 0)
			if later.AddDate(0, 1, 0).After(p.now) {
				row = append(row, nil) // It is not over.
				continue
			}
			row = append(row, over(active[[2]time.Time{first, later}], n))
		}
		a.add(row...)
	}
	return a.sorted(24, desc(0))
}

// A member is what segments go by.
type member struct {
	days           int64 // since the latest event
	events, points int64 // earned in the last 365 days
	isNew          bool
	r, f, m        int
}

// segments follow from recency, frequency and monetary value as the data
// dictionary has it.
func segments(p *programme, c choice) answer {
	byShop := map[string][]*member{}
	for o, h := range p.accounts[points] {
		if !c.inShop(o.shop) {
			continue
		}
		m := &member{days: daysApart(h.last().at, p.now), isNew: h[0].at.After(p.now.Add(-30*day)) && !h.hadBefore()}
		for _, e := range h {
			if e.delta > 0 && e.at.After(p.now.Add(-365*day)) {
				m.events++
				m.points += e.delta
			}
		}
		byShop[o.shop] = append(byShop[o.shop], m)
	}
	sizes := map[string]int64{}
	for _, members := range byShop {
		for _, m := range members {
			m.r = fifth(members, func(other *member) int64 { return m.days - other.days })
			m.f = fifth(members, func(other *member) int64 { return other.events - m.events })
			m.m = fifth(members, func(other *member) int64 { return other.points - m.points })
			sizes[m.segment()]++
		}
	}
	a := table(text.as("Segment"), count.as("Customers"))
	for segment, n := range sizes {
		a.add(segment, n)
	}
	return a.sorted(0, desc(1), asc(0))
}

// daysApart counts the midnights, in UTC, between two times.
func daysApart(from, to time.Time) int64 {
	return int64(to.UTC().Truncate(day).Sub(from.UTC().Truncate(day)) / day)
}

// fifth is where in a line somebody stands, 1 to 5: behind all whose distance is
// negative, and in the middle of those whose distance is 0.
func fifth(line []*member, distance func(other *member) int64) int {
	place := 0.0
	for _, other := range line {
		switch d := distance(other); {
		case d < 0:
			place++
		case d == 0:
			place += 0.5
		}
	}
	return 1 + int(5*place/float64(len(line)))
}

func (m *member) segment() string {
	value := (m.f + m.m + 1) / 2
	switch {
	case m.isNew:
		return "new"
	case m.r >= 4 && value >= 4:
		return "champions"
	case m.r >= 3 && value >= 3:
		return "loyal"
	case m.r >= 3:
		return "promising"
	case value >= 3:
		return "at_risk"
	case m.r == 2:
		return "hibernating"
	}
	return "lost"
}
