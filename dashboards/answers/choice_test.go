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
	zone     *time.Location // nil: the first, UTC
	interval string         // empty: the first, auto
}

func (c *choice) inTime(t time.Time) bool { return !t.Before(c.from) && !t.After(c.to) }

func (c *choice) inShop(shop string) bool { return len(c.shops) == 0 || slices.Contains(c.shops, shop) }

func (c *choice) inScene(scene string) bool {
	return len(c.scenes) == 0 || slices.Contains(c.scenes, scene)
}

// location is the time zone in which days, weeks and months begin.
func (c *choice) location() *time.Location {
	if c.zone == nil {
		return time.UTC
	}
	return c.zone
}

// onDay tells whether a time is on one of the days, in UTC, that the selected time
// touches.
func (c *choice) onDay(t time.Time) bool {
	date := t.UTC().Format(time.DateOnly)
	return date >= c.from.UTC().Format(time.DateOnly) && date <= c.to.UTC().Format(time.DateOnly)
}

// step is how much time a bar stands for. Of itself it is an hour up to three days, a
// week beyond 400, and a day between.
func (c *choice) step() string {
	if c.interval != "" {
		return c.interval
	}
	switch length := c.to.Sub(c.from); {
	case length > 400*day:
		return "week"
	case length > 3*day:
		return "day"
	}
	return "hour"
}

// bar is where the bar that a time falls into begins on the axis, which is in UTC: an
// hour when it began, and what is longer at the date of its first day.
func (c *choice) bar(t time.Time) time.Time {
	local := t.In(c.location())
	date := time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
	switch c.step() {
	case "hour":
		return local.Add(-time.Duration(local.Minute())*time.Minute - time.Duration(local.Second())*time.Second - time.Duration(local.Nanosecond())).UTC()
	case "day":
		return date
	case "week": // From Monday on.
		return date.AddDate(0, 0, -(int(date.Weekday())+6)%7)
	case "month":
		return date.AddDate(0, 0, 1-date.Day())
	}
	panic("there is no interval " + c.step())
}

// dayMark is where a day is marked: among hours when it began, and else at its date.
func (c *choice) dayMark(t time.Time) time.Time {
	local, zone := t.In(c.location()), time.UTC
	if c.step() == "hour" {
		zone = c.location()
	}
	return time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, zone).UTC()
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
			if c.zone != nil {
				query[key] = []string{c.zone.String()}
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
