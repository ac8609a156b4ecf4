package dashboards

import (
	"fmt"
	"regexp"
	"strconv"
	"time"
)

const (
	day  = 24 * time.Hour
	week = 7 * day
)

// intervals are the steps that Grafana chooses from, each with the length below
// which it is chosen.
var intervals = []struct{ below, step time.Duration }{
	{15 * time.Millisecond, 10 * time.Millisecond},
	{35 * time.Millisecond, 20 * time.Millisecond},
	{75 * time.Millisecond, 50 * time.Millisecond},
	{150 * time.Millisecond, 100 * time.Millisecond},
	{350 * time.Millisecond, 200 * time.Millisecond},
	{750 * time.Millisecond, 500 * time.Millisecond},
	{1500 * time.Millisecond, time.Second},
	{3500 * time.Millisecond, 2 * time.Second},
	{7500 * time.Millisecond, 5 * time.Second},
	{12500 * time.Millisecond, 10 * time.Second},
	{17500 * time.Millisecond, 15 * time.Second},
	{25 * time.Second, 20 * time.Second},
	{45 * time.Second, 30 * time.Second},
	{90 * time.Second, time.Minute},
	{210 * time.Second, 2 * time.Minute},
	{450 * time.Second, 5 * time.Minute},
	{750 * time.Second, 10 * time.Minute},
	{1050 * time.Second, 15 * time.Minute},
	{25 * time.Minute, 20 * time.Minute},
	{45 * time.Minute, 30 * time.Minute},
	{90 * time.Minute, time.Hour},
	{150 * time.Minute, 2 * time.Hour},
	{270 * time.Minute, 3 * time.Hour},
	{9 * time.Hour, 6 * time.Hour},
	{day, 12 * time.Hour},
	{week, day},
	{3 * week, week},
	{6 * week, 30 * day},
}

const longestInterval = 365 * day

// Interval returns the step of a panel's time series, as Grafana chooses it: so
// long that no more than about points of them make up the range, and not
// shorter than the panel's own least interval.
func (p *Panel) Interval(from, to time.Time, points int) time.Duration {
	if p.MaxDataPoints > 0 {
		points = p.MaxDataPoints
	}
	step := to.Sub(from) / time.Duration(max(points, 1))
	if step < p.MinInterval {
		return p.MinInterval
	}
	for _, i := range intervals {
		if step < i.below {
			return max(i.step, p.MinInterval)
		}
	}
	return longestInterval
}

var intervalForm = regexp.MustCompile(`^>?\s*(\d{1,9})(ms|[smhdwMy])$`)

var intervalUnits = map[string]time.Duration{
	"ms": time.Millisecond, "s": time.Second, "m": time.Minute, "h": time.Hour,
	"d": day, "w": week, "M": 30 * day, "y": longestInterval,
}

// parseInterval reads an interval in Grafana's form, such as 1h.
func parseInterval(text string) (time.Duration, error) {
	parts := intervalForm.FindStringSubmatch(text)
	if parts == nil {
		return 0, fmt.Errorf("%q is not an interval; write one as 30s, 5m, 1h or 1d", text)
	}
	n, err := strconv.Atoi(parts[1])
	if err != nil {
		return 0, err
	}
	unit := intervalUnits[parts[2]]
	if n == 0 || time.Duration(n) > 10*longestInterval/unit {
		return 0, fmt.Errorf("%q is out of range", text)
	}
	return time.Duration(n) * unit, nil
}

// formatInterval writes an interval as Grafana does, in its largest whole unit.
func formatInterval(d time.Duration) string {
	for _, unit := range []string{"y", "d", "h", "m", "s"} {
		if length := intervalUnits[unit]; d >= length && d%length == 0 {
			return strconv.FormatInt(int64(d/length), 10) + unit
		}
	}
	return strconv.FormatInt(d.Milliseconds(), 10) + "ms"
}
