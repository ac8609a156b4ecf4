package answers_test

import (
	"net/url"
	"slices"
	"strconv"
	"time"

	"loyaltyhouse/dashboards"
)

// A choice is what a person has chosen above a dashboard.
type choice struct {
	name     string
	from, to time.Time
	shops    []string // none: All
	scenes   []string // or reasons; none: All
	customer string
	zone     string // empty: the first, UTC
	interval string // empty: the first, auto
}

func (c *choice) inTime(t time.Time) bool { return !t.Before(c.from) && !t.After(c.to) }

func (c *choice) inShop(shop string) bool { return len(c.shops) == 0 || slices.Contains(c.shops, shop) }

func (c *choice) inScene(scene string) bool {
	return len(c.scenes) == 0 || slices.Contains(c.scenes, scene)
}

// location is the time zone in which days, weeks and months begin.
func (c *choice) location() *time.Location {
	if c.zone == "" {
		return time.UTC
	}
	location, err := time.LoadLocation(c.zone)
	if err != nil {
		panic(err)
	}
	return location
}

// onDay tells whether a time is on one of the days, in UTC, that the selected time
// touches.
func (c *choice) onDay(t time.Time) bool {
	date := t.UTC().Format(time.DateOnly)
	return date >= c.from.UTC().Format(time.DateOnly) && date <= c.to.UTC().Format(time.DateOnly)
}

// bar is the beginning, in UTC, of the bar that a time falls into. Of itself, an interval
// is an hour up to three days, a week beyond 400, and a day between.
func (c *choice) bar(t time.Time) time.Time {
	interval := c.interval
	if interval == "" {
		switch length := c.to.Sub(c.from); {
		case length > 400*day:
			interval = "week"
		case length > 3*day:
			interval = "day"
		default:
			interval = "hour"
		}
	}
	local := t.In(c.location())
	midnight := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, local.Location())
	switch interval {
	case "hour":
		return local.Add(-time.Duration(local.Minute())*time.Minute - time.Duration(local.Second())*time.Second - time.Duration(local.Nanosecond())).UTC()
	case "day":
		return midnight.UTC()
	case "week": // From Monday on.
		return midnight.AddDate(0, 0, -(int(local.Weekday())+6)%7).UTC()
	case "month":
		return midnight.AddDate(0, 0, 1-local.Day()).UTC()
	}
	panic("there is no interval " + interval)
}

// chosen are the events of a ledger in the selected time, shops and scenes.
func (p *programme) chosen(ledger string, c choice) []*change {
	return only(p.changes[ledger], func(e *change) bool { return c.inTime(e.at) && c.inShop(e.shop) && c.inScene(e.scene) })
}

// query is how the address of a page says what is chosen.
func (c *choice) query(d *dashboards.Dashboard) url.Values {
	query := url.Values{
		"from": {strconv.FormatInt(c.from.UnixMilli(), 10)}, "to": {strconv.FormatInt(c.to.UnixMilli(), 10)}, "points": {"1000"},
	}
	for _, v := range d.Variables {
		key := "var-" + v.Name
		switch v.Name {
		case "shop":
			query[key] = orAll(c.shops)
		case "scene", "reason", "card_scene":
			query[key] = orAll(c.scenes)
		case "customer":
			query[key] = []string{c.customer}
		case "tz":
			if c.zone != "" {
				query[key] = []string{c.zone}
			}
		case "interval":
			if c.interval != "" {
				query[key] = []string{c.interval}
			}
		default:
			panic("nothing is known of the variable " + v.Name)
		}
	}
	return query
}

func orAll(texts []string) []string {
	if len(texts) == 0 {
		return []string{"$__all"}
	}
	return texts
}
