// Package simulate plays SHOPLINE: a deterministic generator of loyalty
// webhooks that knows what a correct pipeline must have stored afterwards, and
// a sender that signs and posts them the way SHOPLINE does.
//
// The two halves meet only in a function that returns the next delivery, so the
// generator can feed a file, a benchmark or a test as well as the sender.
package simulate

import (
	"fmt"
	"math"
	"time"
)

const (
	maxCount     = 10_000_000_000
	maxCustomers = 10_000_000
	maxShops     = 1_000
)

// Config says what a Generator makes. Two generators of one Config make the
// same deliveries, byte for byte and in the same order.
type Config struct {
	// Seed selects one of 2^64 histories.
	Seed uint64 `yaml:"seed"`
	// History plays a loyalty programme as it goes on for months: with seasons and
	// campaigns, and customers who save up, redeem and leave. Otherwise events of all
	// kinds are evenly mixed.
	History bool `yaml:"history"`
	// Count is the number of distinct events. Resends, bad bodies and bad
	// signatures come in addition.
	Count int `yaml:"count"`
	// Customers is the number of people who register in the course of the
	// history, or Count where that is smaller.
	Customers int `yaml:"customers"`
	// Shops is the number of shops the customers are spread over.
	Shops int `yaml:"shops"`
	// End is the time by which the last event has happened.
	End time.Time `yaml:"end"`
	// Span is how far before End the first event happens: at least one
	// millisecond per event, because no two events share one.
	Span time.Duration `yaml:"span"`
	// ResendRatio is the share of events, from 0 to 1, that are delivered more
	// than once.
	ResendRatio float64 `yaml:"resend_ratio"`
	// OutOfOrderRatio is the share of events, from 0 to 1, that are held back
	// until a later event of the same customer has been delivered.
	OutOfOrderRatio float64 `yaml:"out_of_order_ratio"`
	// BadRatio is the number of deliveries per event, from 0 to 1, that must not
	// reach a fact table. One in four of them has a missing or a wrong signature.
	BadRatio float64 `yaml:"bad_ratio"`
}

// DefaultConfig returns a history large enough to show every kind of event and
// small enough to be sent within seconds.
func DefaultConfig() Config {
	return Config{
		Seed:            1,
		Count:           20_000,
		Customers:       1_000,
		Shops:           3,
		End:             time.Date(2026, time.January, 1, 0, 0, 0, 0, time.UTC),
		Span:            90 * 24 * time.Hour,
		ResendRatio:     0.05,
		OutOfOrderRatio: 0.05,
		BadRatio:        0.02,
	}
}

// DefaultHistoryConfig returns a year of a programme of some thousand customers.
// Less goes wrong on the way than in the even mixture.
func DefaultHistoryConfig() Config {
	cfg := DefaultConfig()
	cfg.History = true
	cfg.Count, cfg.Span = 100_000, 365*24*time.Hour
	cfg.Customers = HistoryCustomers(cfg.Count)
	cfg.ResendRatio, cfg.OutOfOrderRatio, cfg.BadRatio = 0.02, 0.02, 0.002
	return cfg
}

// HistoryCustomers returns how many customers make so many events in a year or
// so: each forty, as a mean of the many who leave soon and the few who stay.
func HistoryCustomers(count int) int { return max(1, count/40) }

// identity tells histories apart that one warehouse may hold, for each has shops
// of its own. An even mixture is told by its seed alone.
func (c Config) identity() uint64 {
	if !c.History {
		return c.Seed
	}
	identity := mix(c.Seed + 1)
	for _, n := range []int64{int64(c.Count), int64(c.Customers), int64(c.Shops), c.End.UnixMilli(), c.Span.Milliseconds()} {
		identity = mix(identity ^ uint64(n)) //nolint:gosec // It is mixed into a hash, for which a negative number is as good as any.
	}
	for _, ratio := range []float64{c.ResendRatio, c.OutOfOrderRatio, c.BadRatio} {
		identity = mix(identity ^ math.Float64bits(ratio))
	}
	return identity
}

// Validate reports the first setting that no history can be made from.
func (c Config) Validate() error {
	oldest := time.Date(2000, time.January, 1, 0, 0, 0, 0, time.UTC)
	newest := time.Date(2100, time.January, 1, 0, 0, 0, 0, time.UTC)
	switch {
	case c.Count < 1 || c.Count > maxCount:
		return fmt.Errorf("count: must be from 1 to %d, is %d", maxCount, c.Count)
	case c.Customers < 1 || c.Customers > maxCustomers:
		return fmt.Errorf("customers: must be from 1 to %d, is %d", maxCustomers, c.Customers)
	case c.Shops < 1 || c.Shops > maxShops:
		return fmt.Errorf("shops: must be from 1 to %d, is %d", maxShops, c.Shops)
	case c.Span.Milliseconds() < int64(c.Count):
		return fmt.Errorf("span: must be at least one millisecond per event (%d ms), is %s", c.Count, c.Span)
	case c.History && c.Customers > max(1, c.Count/10):
		return fmt.Errorf("customers: a history must have at most one for ten events (%d), is %d", max(1, c.Count/10), c.Customers)
	case c.History && c.Span/peakRoom < time.Duration(c.Count):
		return fmt.Errorf("span: a history must have at least %s per event, for its peaks, is %s for %d events", peakRoom, c.Span, c.Count)
	case c.End.After(newest):
		return fmt.Errorf("end: must not be after 2100, is %s", c.End.Format(time.RFC3339))
	case c.End.Add(-c.Span).Before(oldest):
		return fmt.Errorf("span: must not reach back before 2000, begins %s", c.End.Add(-c.Span).Format(time.RFC3339))
	}
	for _, ratio := range []struct {
		name  string
		value float64
	}{
		{"resend_ratio", c.ResendRatio},
		{"out_of_order_ratio", c.OutOfOrderRatio},
		{"bad_ratio", c.BadRatio},
	} {
		if math.IsNaN(ratio.value) || ratio.value < 0 || ratio.value > 1 {
			return fmt.Errorf("%s: must be from 0 to 1, is %v", ratio.name, ratio.value)
		}
	}
	return nil
}
