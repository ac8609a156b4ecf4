package simulate

import (
	"math/rand/v2"
	"strconv"
)

// window is how many events later, at most, a resend or a held event comes. It
// bounds the deliveries that a Generator keeps.
const window = 1024

// longestHold is how many events an out-of-order event is held back, at most.
const longestHold = 32

// Generator makes deliveries one at a time. It keeps the state of every customer
// and the deliveries that are still to come within the window, nothing more. It
// is not safe for concurrent use.
type Generator struct {
	cfg       Config
	rng       *rand.Rand
	catalogue *catalogue
	body      jsonBody
	script    script

	shops     []shop
	customers []customer
	made      int   // events so far
	now       int64 // the time of the latest event
	stopped   bool

	// ready are the deliveries that are due, from head on. later[i] are those that
	// become due when slot reaches i; scheduled is how many there are.
	ready     []Delivery
	head      int
	later     [window][]Delivery
	slot      int
	scheduled int

	// held is the event that the next one has to overtake.
	held      Delivery
	overtake  bool
	badBodies int64
	forged    int64
	tally     tally
}

// shop is one of the merchant's shops.
type shop struct {
	id, domain, merchantID string
	// cards is how many gift cards the shop has sold.
	cards uint32
}

// New returns a generator of the history that cfg describes. The configuration
// must be valid.
func New(cfg Config) *Generator {
	g := &Generator{
		cfg: cfg,
		// The second word is arbitrary; it must never change.
		rng:       rand.New(rand.NewPCG(cfg.Seed, 0x10ca17f_40b5e)), //nolint:gosec // A simulation has to be repeatable, not secret.
		catalogue: newCatalogue(),
		shops:     make([]shop, cfg.Shops),
		customers: make([]customer, 0, min(cfg.Customers, cfg.Count)),
		tally:     newTally(),
	}
	for i := range g.shops {
		g.shops[i] = shop{
			id:         shopID(cfg.identity(), i),
			domain:     "shophub-" + strconv.Itoa(i+1) + ".myshopline.com",
			merchantID: strconv.Itoa(2000001234 + i),
		}
	}
	if cfg.History {
		g.script = newHistory(g)
	} else {
		g.script = newMixture(g)
	}
	return g
}

// shopID returns 13 digits. Each identity has its own shops, so that one
// warehouse can hold many histories.
func shopID(identity uint64, i int) string {
	mixed := (identity + 1) * 0x9e3779b97f4a7c15
	mixed ^= mixed >> 32
	return strconv.FormatUint(1_000_000_000_000+mixed%8_000_000_000_000+uint64(i)*1_000_003, 10) //nolint:gosec // An index is not negative.
}

// Next returns the next delivery, and false when all events and everything that
// follows from them have been delivered.
func (g *Generator) Next() (Delivery, bool) {
	for g.head == len(g.ready) {
		if !g.advance() {
			return Delivery{}, false
		}
	}
	d := g.ready[g.head]
	g.ready[g.head] = Delivery{}
	g.head++
	d.AtMillis = g.now
	if d.Kind != KindBadSignature {
		// Both encodings are in use, so deliveries alternate.
		d.Encoding = EncodingHex
		if g.tally.deliveries%2 == 1 {
			d.Encoding = EncodingBase64
		}
	}
	g.tally.add(&d)
	return d, true
}

// Stop ends the history early: no new events happen, and Next returns only what
// is still due, at most a few thousand deliveries, after which Expected is exact.
func (g *Generator) Stop() { g.stopped = true }

// advance makes one more event and moves to ready what has become due. It
// returns false when nothing is left.
func (g *Generator) advance() bool {
	g.ready, g.head = g.ready[:0], 0
	g.slot = (g.slot + 1) % window
	switch {
	case g.made < g.cfg.Count && !g.stopped:
		g.happen()
		g.made++
	case g.scheduled == 0:
		return false
	}
	due := g.later[g.slot]
	g.ready = append(g.ready, due...)
	g.scheduled -= len(due)
	clear(due)
	g.later[g.slot] = due[:0]
	return true
}

// happen makes the next event, plans its deliveries, and perhaps adds a bad one.
func (g *Generator) happen() {
	g.now = g.script.tick()
	now := g.now
	var d Delivery
	hold := 0
	if g.overtake {
		d = g.script.event(now, g.held.Customer, g.held.Table)
		if d.Table == g.held.Table && d.Truth.Account == g.held.Truth.Account {
			g.tally.outOfOrder++
		}
		g.overtake, g.held = false, Delivery{}
	} else {
		d = g.script.anyEvent(now)
		if g.chance(g.cfg.OutOfOrderRatio) {
			g.overtake, g.held = true, d
			hold = 1 + g.rng.IntN(longestHold)
		}
	}
	g.deliver(d, hold)

	if g.chance(g.cfg.ResendRatio) {
		// Three in four events are delivered twice, the others three times.
		last := hold
		for range 1 + g.below(4)/3 {
			last += 1 + g.rng.IntN((window-longestHold)/2-1)
			g.deliver(g.again(d), last)
		}
	}
	if g.chance(g.cfg.BadRatio) {
		g.bad(now)
	}
}

// deliver plans a delivery for delay events from now, at most the window.
func (g *Generator) deliver(d Delivery, delay int) {
	if delay == 0 {
		g.ready = append(g.ready, d)
		return
	}
	at := (g.slot + delay) % window
	g.later[at] = append(g.later[at], d)
	g.scheduled++
}

// again returns a resend of an event: mostly the very same request, otherwise
// the copy that a second subscription gets.
func (g *Generator) again(d Delivery) Delivery {
	d.Kind = KindResend
	switch g.rng.IntN(4) {
	case 0:
		d.WebhookID = g.webhookID()
	case 1:
		d.WebhookID = g.webhookID()
		d.Body = rearranged(d.Body)
	}
	return d
}

// register adds a customer, and returns which one it is.
func (g *Generator) register(now int64) int {
	g.customers = append(g.customers, customer{createdAt: now / 1000})
	return len(g.customers) - 1
}

// anyTable draws the fact table of an event, in the proportions that a programme
// has.
func (g *Generator) anyTable() string {
	switch n := g.rng.IntN(100); {
	case n < 60:
		return TablePoints
	case n < 74:
		return TableStoreCredits
	case n < 88:
		return TableGiftCards
	default:
		return TableCustomerChanges
	}
}

// delivery returns an event of a customer with a webhook id of its own.
func (g *Generator) delivery(k int, table, topic string, body []byte, truth Truth) Delivery {
	s := g.shopOf(k)
	return Delivery{
		Kind: KindEvent, Table: table, Topic: topic, Body: body,
		ShopDomain: s.domain, ShopID: s.id, MerchantID: s.merchantID,
		APIVersion: APIVersion, WebhookID: g.webhookID(),
		Customer: k, Truth: truth,
	}
}

func (g *Generator) shopOf(k int) *shop { return &g.shops[k%len(g.shops)] }

// webhookID returns 24 random hex digits.
func (g *Generator) webhookID() string {
	const digits = "0123456789abcdef"
	var id [24]byte
	high, low := g.rng.Uint64(), g.rng.Uint64()
	for i := range 16 {
		id[i] = digits[high>>(4*i)&15]
	}
	for i := range 8 {
		id[16+i] = digits[low>>(4*i)&15]
	}
	return string(id[:])
}

// chance returns true with the given probability.
func (g *Generator) chance(probability float64) bool { return g.rng.Float64() < probability }

// below returns a number from 0 up to n, n excluded.
func (g *Generator) below(n int64) int64 { return g.rng.Int64N(n) }

// numberStyle draws how a body writes its integers: nine in ten plainly.
func (g *Generator) numberStyle() numberStyle {
	switch g.rng.IntN(40) {
	case 0, 1:
		return quotedNumbers
	case 2:
		return decimalNumbers
	case 3:
		return exponentNumbers
	default:
		return plainNumbers
	}
}

// clock hands out strictly increasing times, evenly spread with some jitter.
type clock struct {
	at              int64 // milliseconds since 1970
	step, rest, err int64 // the span divided by the events, and what has been left over
	events          int64
}

// newClock returns a clock for a span in milliseconds, which must be at least
// one for each event.
func newClock(begin, span int64, events int) clock {
	n := int64(events)
	return clock{at: begin, step: span / n, rest: span % n, events: n}
}

// next returns the time of the next event in milliseconds since 1970.
func (c *clock) next(rng *rand.Rand) int64 {
	width := c.step
	if c.err += c.rest; c.err >= c.events {
		c.err -= c.events
		width++
	}
	now := c.at + rng.Int64N(width)
	c.at += width
	return now
}
