package simulate

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestSameHistorySameDeliveries pins the default history, as
// TestSameSeedSameDeliveries does for the even mixture.
func TestSameHistorySameDeliveries(t *testing.T) {
	const golden = "2b6221bba6bc6a4cc9f5e858135126d61833e0c03aa447d2bba15b5fa01e1514"
	cfg := DefaultHistoryConfig()
	first := all(New(cfg))
	if got := digest(first); got != golden {
		t.Errorf("digest of the default history is %s, want %s", got, golden)
	}
	if digest(all(New(cfg))) != digest(first) {
		t.Error("two generators of one configuration differ")
	}
}

// TestHistoriesHaveTheirOwnShops holds because two histories in one shop would
// show as gaps in its ledgers.
func TestHistoriesHaveTheirOwnShops(t *testing.T) {
	configs := []Config{DefaultConfig(), DefaultHistoryConfig()}
	for _, change := range []func(*Config){
		func(c *Config) { c.Seed++ },
		func(c *Config) { c.Count++ },
		func(c *Config) { c.Customers++ },
		func(c *Config) { c.Shops++ },
		func(c *Config) { c.End = c.End.Add(time.Hour) },
		func(c *Config) { c.Span += time.Hour },
		func(c *Config) { c.ResendRatio = 0.5 },
		func(c *Config) { c.OutOfOrderRatio = 0.5 },
		func(c *Config) { c.BadRatio = 0.5 },
	} {
		cfg := DefaultHistoryConfig()
		change(&cfg)
		configs = append(configs, cfg)
	}
	taken := make(map[string]Config)
	for _, cfg := range configs {
		for _, shop := range New(cfg).Shops() {
			if other, ok := taken[shop]; ok {
				t.Errorf("shop %s is in two histories: %+v and %+v", shop, cfg, other)
			}
			taken[shop] = cfg
		}
	}
}

// TestCalendarAlwaysGoesOn draws spans of every length and place: the times are
// distinct and within the span, however near the peak events come.
func TestCalendarAlwaysGoesOn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := DefaultHistoryConfig()
		cfg.Count = rapid.IntRange(1, 3000).Draw(t, "count")
		least := time.Duration(cfg.Count) * peakRoom
		cfg.Span = least + time.Duration(rapid.Int64Range(0, int64(800*24*time.Hour)).Draw(t, "span"))
		cfg.End = time.UnixMilli(rapid.Int64Range(1_200_000_000_000, 3_900_000_000_000).Draw(t, "end"))
		g := New(cfg)
		c := newCalendar(&cfg)
		before := cfg.End.Add(-cfg.Span).UnixMilli() - 1
		for i := range cfg.Count {
			at := c.tick(g.rng)
			if at <= before {
				t.Fatalf("event %d is at %d, the one before at %d", i, at, before)
			}
			before = at
		}
		if before >= cfg.End.UnixMilli() {
			t.Fatalf("the last event is %d ms after the end", before-cfg.End.UnixMilli())
		}
	})
}

func TestBlackFriday(t *testing.T) {
	for day, want := range map[string]bool{
		"2024-11-28": false, "2024-11-29": true, "2024-12-02": true, "2024-12-03": false,
		"2025-11-21": false, "2025-11-27": false, "2025-11-28": true, "2025-12-01": true, "2025-12-05": false,
		"2026-11-26": false, "2026-11-27": true, "2026-11-30": true, "2026-12-01": false,
		"2029-11-22": false, "2029-11-23": true,
	} {
		at, err := time.Parse(time.DateOnly, day)
		if err != nil {
			t.Fatal(err)
		}
		if got := isBlackFriday(at); got != want {
			t.Errorf("%s: %v, want %v", day, got, want)
		}
	}
}

// counts sums up a history by what makes its pictures.
type counts struct {
	months                     [13]int64 // events by month, from 1 on
	weekdays                   [7]int64
	hours                      [24]int64
	tables                     map[string]int64
	scenes                     map[string]int64
	sales                      [13]int64 // of gift cards
	earned, burned             int64
	ordered                    [2]int64 // points for orders in usual weeks and in weeks of double points
	orders                     [2]int64
	byCustomer                 map[int]int64
	firstSeen, lastSeen        map[int]int64
	cards                      map[Account]Truth // the last event
	emailStates, accountStates map[int]map[int64]bool
}

func countHistory(cfg Config) counts {
	c := counts{
		tables: map[string]int64{}, scenes: map[string]int64{}, byCustomer: map[int]int64{},
		firstSeen: map[int]int64{}, lastSeen: map[int]int64{}, cards: map[Account]Truth{},
		emailStates: map[int]map[int64]bool{}, accountStates: map[int]map[int64]bool{},
	}
	for g := New(cfg); ; {
		d, ok := g.Next()
		if !ok {
			return c
		}
		if d.Kind == KindEvent {
			c.add(&d)
		}
	}
}

func (c *counts) add(d *Delivery) {
	at := time.UnixMilli(d.Truth.UpdatedAtMillis).In(shoplineZone)
	month := at.Month()
	c.months[month]++
	c.weekdays[at.Weekday()]++
	c.hours[at.Hour()]++
	c.tables[d.Table]++
	c.scenes[d.Table+" "+d.Truth.Scene]++
	c.byCustomer[d.Customer]++
	if c.firstSeen[d.Customer] == 0 {
		c.firstSeen[d.Customer] = d.Truth.UpdatedAtMillis
	}
	c.lastSeen[d.Customer] = max(c.lastSeen[d.Customer], d.Truth.UpdatedAtMillis)
	switch d.Table {
	case TablePoints:
		c.earned += max(0, d.Truth.Delta)
		c.burned -= min(0, d.Truth.Delta)
		if d.Truth.Scene == successfulOrders {
			double := 0
			if month == time.June && at.Day() <= 7 || month == time.September && at.Day() >= 8 && at.Day() <= 14 {
				double = 1
			}
			c.orders[double]++
			c.ordered[double] += d.Truth.Delta
		}
	case TableGiftCards:
		if d.Truth.Scene == "SELF_PURCHASE" || d.Truth.Scene == "OTHERS_SEND" {
			c.sales[month]++
		}
		if d.Truth.UpdatedAtMillis >= c.cards[d.Truth.Account].UpdatedAtMillis {
			c.cards[d.Truth.Account] = d.Truth
		}
	case TableCustomerChanges:
		note := func(states map[int]map[int64]bool, state int64) {
			if states[d.Customer] == nil {
				states[d.Customer] = map[int64]bool{}
			}
			states[d.Customer][state] = true
		}
		note(c.emailStates, d.Truth.Profile.EmailConsent.State)
		note(c.accountStates, d.Truth.Profile.State)
	}
}

// TestHistoryIsPlausible looks for what a picture of a programme must show.
func TestHistoryIsPlausible(t *testing.T) {
	cfg := DefaultHistoryConfig()
	c := countHistory(cfg)
	percent := func(part, whole int64) int64 { return 100 * part / max(1, whole) }
	total := int64(cfg.Count)

	var mostActive, gone, early, breakage, changed, states, sales int64
	active := 0
	for k, n := range c.byCustomer {
		if n > 4*total/int64(cfg.Customers) {
			active++
			mostActive += n
		}
		if quarter := cfg.Span.Milliseconds() / 4; c.firstSeen[k] < cfg.End.UnixMilli()-3*quarter {
			early++
			if c.lastSeen[k] < cfg.End.UnixMilli()-quarter {
				gone++
			}
		}
	}
	for _, truth := range c.cards {
		if truth.ExpiresAtMillis != 0 && truth.ExpiresAtMillis < cfg.End.UnixMilli() && truth.Balance > 0 {
			breakage++
		}
	}
	for k := range c.emailStates {
		if len(c.emailStates[k]) > 1 {
			changed++
		}
		if len(c.accountStates[k]) > 1 {
			states++
		}
	}
	for _, n := range c.sales {
		sales += n
	}
	for _, check := range []struct {
		name             string
		got, least, most int64
	}{
		{"percent of points events", percent(c.tables[TablePoints], total), 57, 63},
		{"percent of store credits events", percent(c.tables[TableStoreCredits], total), 12, 16},
		{"percent of gift card events", percent(c.tables[TableGiftCards], total), 12, 16},
		{"percent of customer changes", percent(c.tables[TableCustomerChanges], total), 10, 14},
		{"December, in percent of February", percent(c.months[time.December], c.months[time.February]), 200, 500},
		{"November, in percent of August", percent(c.months[time.November], c.months[time.August]), 130, 250},
		{"Saturday, in percent of Monday", percent(c.weekdays[time.Saturday], c.weekdays[time.Monday]), 115, 200},
		{"nine in the evening, in percent of four at night", percent(c.hours[21], c.hours[4]), 800, 2500},
		{"points for an order in a week of double points, in percent of others", percent(c.ordered[1]*1000/c.orders[1], c.ordered[0]*1000/c.orders[0]), 170, 230},
		{"burned points, in percent of those earned", percent(c.burned, c.earned), 50, 85},
		{"orders, in percent of points events", percent(c.scenes[TablePoints+" "+successfulOrders], c.tables[TablePoints]), 30, 50},
		{"December's gift cards, in percent of all", percent(c.sales[time.December], sales), 25, 50},
		{"customers with more than four times the mean, in percent", percent(int64(active), int64(cfg.Customers)), 1, 8},
		{"their part of all events, in percent", percent(mostActive, total), 10, 40},
		{"percent of early customers who have left", percent(gone, early), 25, 60},
		{"percent of cards that have expired with something on them", percent(breakage, int64(len(c.cards))), 1, 20},
		{"percent of customers with more than one state of consent to e-mail", percent(changed, int64(cfg.Customers)), 15, 60},
		{"percent of customers with more than one state of the account", percent(states, int64(cfg.Customers)), 3, 30},
		{"customers", int64(len(c.byCustomer)), int64(cfg.Customers) * 99 / 100, int64(cfg.Customers)},
	} {
		if check.got < check.least || check.got > check.most {
			t.Errorf("%s: %d, want %d to %d", check.name, check.got, check.least, check.most)
		}
	}
}

// TestCardsKeepTheirExpiry holds in a history, where every event of a card is of
// the same card.
func TestCardsKeepTheirExpiry(t *testing.T) {
	cards := make(map[Account]Truth)
	for _, d := range all(New(DefaultHistoryConfig())) {
		if d.Kind != KindEvent || d.Table != TableGiftCards {
			continue
		}
		first, known := cards[d.Truth.Account]
		if !known {
			cards[d.Truth.Account] = d.Truth
			continue
		}
		if d.Truth.ExpiresAtMillis != first.ExpiresAtMillis || d.Truth.OriginalCents != first.OriginalCents || d.Truth.BuyerID != first.BuyerID {
			t.Fatalf("one card has two lives: %+v and %+v", first, d.Truth)
		}
		if e := d.Truth.ExpiresAtMillis; e != 0 && d.Truth.UpdatedAtMillis >= e {
			t.Fatalf("a card is used after it has expired: %+v", d.Truth)
		}
	}
}
