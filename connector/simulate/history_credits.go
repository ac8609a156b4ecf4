package simulate

// storeCreditsEvent makes a member use store credits, or gives some: for an order
// that comes back, after a complaint, or as a reward.
func (h *history) storeCreditsEvent(now int64, k int) Delivery {
	c, m := &h.customers[k], &h.members[k]
	var u update
	uses := 65
	if h.calendar.month == 1 {
		uses = 35 // What was given at Christmas comes back.
	}
	if c.credits > 0 && h.one(uses) {
		u.scene, u.expiry = "other", h.never()
		if h.one(20) {
			u.scene = "transfer"
		}
		u.delta = -c.credits
		if h.one(40) {
			u.delta = -h.between(1, c.credits)
		}
	} else {
		u = h.issueCredits(now, m)
	}
	u.style = h.numberStyle()
	return h.storeCreditsWebhook(now, k, u)
}

func (h *history) issueCredits(now int64, m *member) (u update) {
	days := int64(0) // for ever
	switch n := h.rng.IntN(100); {
	case n < 60 && m.refundable > 0:
		u.scene, u.delta = "refund", m.refundable
		if h.one(50) {
			u.delta = h.between(1, m.refundable)
		}
		m.refundable = 0
		if h.one(60) {
			days = 365
		}
	case n < 75:
		u.scene, u.delta, days = "compensation", 1_00*h.between(3, 20), 180
	case n < 90:
		u.scene, u.delta, days = "reward", 1_00*h.between(5, 15), 90
	case n < 96:
		u.scene, u.delta = "transfer", 1_00*h.between(10, 100)
	default:
		u.scene, u.delta = "other", h.between(1, 50_00)
	}
	u.expiry = h.never()
	if days > 0 {
		u.expiry = expiry{at: now + days*day}
	}
	return u
}
