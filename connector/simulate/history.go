package simulate

import "math"

// history is the script of a loyalty programme: its calendar says when something
// happens, and what a member does follows from who that is and from what happened
// to them before. No document knows a scene for points or credits that lapse, so
// they stay in the balance, and a lot's expiry alone tells.
type history struct {
	*Generator
	calendar *calendar
	members  []member // beside customers

	// newcomers have registered and wait for their first points.
	newcomers []int
	// active are members who have not left yet, as far as has been noticed.
	active []int
	// holders are customers who had a gift card to use when last looked at.
	holders []int
}

func newHistory(g *Generator) *history {
	return &history{
		Generator: g,
		calendar:  newCalendar(&g.cfg),
		members:   make([]member, 0, cap(g.customers)),
		active:    make([]int, 0, cap(g.customers)),
	}
}

func (h *history) tick() int64 { return h.calendar.tick(h.rng) }

func (h *history) anyEvent(now int64) Delivery {
	if len(h.members) == 0 {
		return h.join(now)
	}
	switch table := h.anyTable(); table {
	case TableCustomerChanges:
		if h.registrationDue() {
			return h.join(now)
		}
		return h.event(now, h.anyMember(now), table)
	case TablePoints:
		if len(h.newcomers) > 0 {
			k := h.newcomers[0]
			h.newcomers = h.newcomers[1:]
			return h.pointsEvent(now, k)
		}
		return h.pointsEvent(now, h.anyMember(now))
	case TableGiftCards:
		return h.anyGiftCardEvent(now)
	default:
		return h.event(now, h.anyMember(now), table)
	}
}

func (h *history) event(now int64, k int, table string) Delivery {
	switch {
	case table == TableStoreCredits:
		return h.storeCreditsEvent(now, k)
	case table == TableGiftCards:
		if d, ok := h.giftCardEvent(now, k); ok {
			return d
		}
	case table == TableCustomerChanges && now/1000 > h.customers[k].profileAt:
		return h.profileEvent(now, k)
	}
	return h.pointsEvent(now, k)
}

// registrationDue returns whether the next customer has come: many in the first
// weeks, and then ever a few.
func (h *history) registrationDue() bool {
	known := float64(len(h.members)) / float64(h.cfg.Customers)
	happened := float64(h.made) / float64(h.cfg.Count)
	// The square root is exact on every machine, as powers are not.
	return known < 1 && known*math.Sqrt(known) < happened
}

// join makes the first event of a new customer.
func (h *history) join(now int64) Delivery {
	k := h.register(now)
	h.members = append(h.members, h.newMember(now, k))
	h.newcomers = append(h.newcomers, k)
	h.active = append(h.active, k)
	return h.profileEvent(now, k)
}

// anyMember draws one of those who have not left, the eager ones more often. It
// notices who has left; when all have, one of them comes back.
func (h *history) anyMember(now int64) int {
	for len(h.active) > 0 {
		i := h.rng.IntN(len(h.active))
		k := h.active[i]
		switch {
		case h.members[k].leavesAt <= now:
			h.active[i] = h.active[len(h.active)-1]
			h.active = h.active[:len(h.active)-1]
		case h.below(100) < h.members[k].eagerness:
			return k
		}
	}
	return h.rng.IntN(len(h.members))
}

// one draws true in so many of a hundred cases.
func (h *history) one(inHundred int) bool { return h.rng.IntN(100) < inHundred }
