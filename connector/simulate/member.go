package simulate

import "time"

// member is what a history remembers of a customer besides the ledgers.
type member struct {
	// traits say what never changes: see the methods below.
	traits uint64
	// leavesAt is when the member is lost, in milliseconds since 1970.
	leavesAt int64
	// eagerness is how many of a hundred chances to do something the member takes.
	eagerness int64

	// refundable is the latest order, in cents, as long as it can come back.
	refundable int64
	// birthMonth is 0 where the birthday is not known.
	birthMonth time.Month
	// done are the scenes that happen once in a member's life.
	done uint8
	// level is the highest one that has been rewarded.
	level uint8
	// attended, benefited and congratulated are the day, the month and the year for
	// which the member has had the points already.
	attended, benefited int32
	congratulated       int

	holds bool // whether the member is among the holders of gift cards

	state      int64
	hasPhone   bool
	email, sms Consent
}

const second = int64(1000)

// forever is later than every history.
const forever = int64(1) << 62

func (h *history) newMember(now int64, k int) member {
	traits := h.personOf(k).traits
	m := member{
		traits: mix(traits), leavesAt: forever,
		birthMonth: time.Month(birthMonth(traits)), //nolint:gosec // At most 12.
	}
	switch n := m.traits % 100; {
	case n < 15: // one purchase, and no more
		m.leavesAt = now + h.between(1, 21)*day
	case n < 55:
		m.leavesAt = now + h.between(45, 330)*day
	}
	switch n := m.traits >> 8 % 100; {
	case n < 4:
		m.eagerness = 100
	case n < 30:
		m.eagerness = 35
	default:
		m.eagerness = 10
	}
	m.state = 3
	if h.one(15) {
		m.state = h.between(1, 2)
	}
	m.hasPhone = h.one(60)
	at := now - now%second
	m.email = Consent{CollectedFrom: oneOf(h.catalogue.collectors, h.rng.Uint64()), UpdatedAtMillis: at, State: 2}
	m.sms = Consent{CollectedFrom: oneOf(h.catalogue.collectors, h.rng.Uint64()), UpdatedAtMillis: at, State: 2}
	switch n := h.rng.IntN(100); {
	case n < 35:
		m.email.State, m.email.OptInLevel = 1, 1
	case n < 60:
		m.email.State, m.email.OptInLevel = 3, 1
	}
	if m.hasPhone && h.one(30) {
		m.sms.State, m.sms.OptInLevel = 1, 1
	}
	return m
}

// pays returns whether the member has bought the paid membership.
func (m *member) pays() bool { return m.traits>>16%100 < 6 }

// goal is how many points the member saves up before redeeming.
func (m *member) goal() int64 { return [...]int64{100, 200, 300, 500, 1000}[m.traits>>24%5] }

// levels are the membership's levels: what must have been spent, in cents, and
// how many points in a hundred units of the currency bring.
var levels = [...]struct {
	name         string
	spent, earns int64
}{
	{"bronze", 0, 100},
	{"silver", 500_00, 125},
	{"gold", 1500_00, 150},
	{"platinum", 4000_00, 200},
}

// levelOf returns the level that a customer has reached.
func levelOf(c *customer) uint8 {
	level := uint8(0)
	for level+1 < uint8(len(levels)) && c.spentCents >= levels[level+1].spent {
		level++
	}
	return level
}

// between draws a number; both ends are included.
func (g *Generator) between(least, most int64) int64 { return least + g.below(most-least+1) }
