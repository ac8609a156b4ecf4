package simulate

import (
	"math/rand/v2"
	"time"
)

// peakRoom is the time that a history has on average for one event, at least. At
// its peak, events come about ten times as fast, and no two share a millisecond.
const peakRoom = 20 * time.Millisecond

const hour = int64(60 * 60 * 1000)

// The rhythm of a shop, in percent of the usual: by month, by weekday from Sunday
// on, and by hour of the day.
var (
	monthly = [12]int64{85, 75, 85, 90, 95, 100, 95, 90, 95, 100, 115, 150}
	weekly  = [7]int64{115, 85, 88, 92, 97, 110, 125}
	hourly  = [24]int64{
		40, 25, 15, 12, 12, 18, 35, 60, 85, 100, 110, 120,
		140, 125, 105, 100, 105, 115, 135, 160, 190, 200, 150, 80,
	}
)

// moment is what a calendar knows of an hour, by the clock of the shops.
type moment struct {
	year  int
	month time.Month
	// day counts the days since 1970, months the months since the year 0.
	day, months int32
	// doublePoints tells that every order brings twice the points.
	doublePoints bool
	// gifts is how many of a hundred gift card events are sales.
	gifts int
	// weight is how fast events come, relative to other hours.
	weight int64
}

// calendar spreads events over a span the way that a growing shop has them. It
// is a clock whose hours have different lengths: an hour of twice the weight has
// room for twice the events. It works in integers, so that every machine comes to
// the same millisecond.
type calendar struct {
	begin, end int64 // milliseconds since 1970
	seed       uint64
	// clock runs over the weighted span.
	clock clock
	// moment is the hour from since on, up to until. Its place in the weighted span
	// begins at mass.
	moment
	since, until, mass int64
	latest             int64
}

func newCalendar(cfg *Config) *calendar {
	c := &calendar{begin: cfg.End.Add(-cfg.Span).UnixMilli(), end: cfg.End.UnixMilli(), seed: cfg.Seed}
	c.first()
	total := int64(0)
	for {
		total += (c.until - c.since) * c.weight
		if c.until == c.end {
			break
		}
		c.advance()
	}
	c.first()
	c.clock = newClock(0, total, cfg.Count)
	return c
}

// tick returns the time of the next event. It is at least one millisecond later
// than the one before, which the configuration leaves room for.
func (c *calendar) tick(rng *rand.Rand) int64 {
	at := c.clock.next(rng)
	for at >= c.mass+(c.until-c.since)*c.weight {
		c.advance()
	}
	c.latest = max(c.latest+1, c.since+(at-c.mass)/c.weight)
	return c.latest
}

// first goes to the first hour, of which only a part may belong to the span.
func (c *calendar) first() {
	c.since, c.mass, c.latest = c.begin, 0, c.begin-1
	c.read()
}

func (c *calendar) advance() {
	c.mass += (c.until - c.since) * c.weight
	c.since = c.until
	c.read()
}

// read finds out about the hour that since is in.
func (c *calendar) read() {
	c.until = min(c.end, c.since-c.since%hour+hour)
	at := time.UnixMilli(c.since).In(shoplineZone)
	year, month, day := at.Date()
	_, offset := at.Zone()
	c.moment = moment{
		year: year, month: month,
		day:          int32((c.since + int64(offset)*1000) / (24 * hour)), //nolint:gosec // Years from 2000 to 2100.
		months:       int32(12*year + int(month) - 1),                     //nolint:gosec // Years from 2000 to 2100.
		doublePoints: month == time.June && day <= 7 || month == time.September && day >= 8 && day <= 14,
		gifts:        18,
	}

	// The shop grows from 70 to 130 percent, and no day is quite like another.
	weight := 700 + 600*((c.since-c.begin)/1000)/max(1, (c.end-c.begin)/1000)
	weight = weight * monthly[month-1] / 100 * weekly[at.Weekday()] / 100 * hourly[at.Hour()] / 100
	weight = weight * (90 + int64(mix(c.seed^uint64(c.day))%21)) / 100 //nolint:gosec // Days after 1970, percents.
	switch {
	case isBlackFriday(at):
		weight, c.gifts = weight*5/2, 55
	case month == time.November && day == 11: // Singles' Day
		weight = weight * 2
	case month == time.November && day > 15:
		c.gifts = 35
	case month == time.December && day <= 24:
		c.gifts = 70
	case month == time.December:
		weight = weight * 6 / 10
	case month == time.January:
		c.gifts = 8
	case month == time.February && day >= 7 && day <= 14: // Valentine's Day
		weight, c.gifts = weight*5/4, 35
	case month == time.May && day <= 14: // Mother's Day
		c.gifts = 30
	case c.doublePoints:
		weight = weight * 3 / 2
	}
	c.weight = max(1, weight)
}

// isBlackFriday returns whether a day is the Friday after the fourth Thursday of
// November, or one of the three days that follow.
func isBlackFriday(at time.Time) bool {
	after := (int(at.Weekday()) - int(time.Friday) + 7) % 7
	_, month, day := at.AddDate(0, 0, -after).Date()
	return after <= 3 && month == time.November && day >= 23 && day <= 29
}
