package simulate

// The scenes that happen once in a member's life, in the order of the bits of
// member.done.
var onceScenes = [...]scene{
	{"ENTER_PHONE", 5, 20, 20},
	{"ENTER_BIRTHDAY", 5, 20, 20},
	{"EMAIL_SUBSCRIPTION", 5, 50, 50},
	{"FOLLOW_FB", 3, 10, 10},
	{"FOLLOW_INS", 4, 10, 10},
	{"SHARE_FB", 2, 10, 10},
}

// pointsEvent makes the event that is due to a member, or one that the member
// brings about: redeeming when enough is saved up, an order, or something small.
func (h *history) pointsEvent(now int64, k int) Delivery {
	c, m := &h.customers[k], &h.members[k]
	var u update
	switch level := levelOf(c); {
	case !c.hasPoints:
		u.scene, u.delta = registration, 100
	case level > m.level:
		m.level = level
		u.scene, u.delta = "LEVEL_MEM_BENEFITS", 200*int64(level)
	case m.pays() && m.benefited != h.calendar.months:
		m.benefited = h.calendar.months
		u.scene, u.delta = "PAID_MEM_BENEFITS", 300
	case m.congratulated != h.calendar.year && m.birthMonth == h.calendar.month && h.one(50):
		m.congratulated = h.calendar.year
		u.scene, u.delta = "CUSTOMERS_BIRTHDAY", 100*(1+int64(level))
	case c.points >= m.goal() && h.one(45):
		u.scene, u.delta = h.redeem(c.points)
	case h.one(1):
		u.scene, u.delta = h.correct(c.points)
	default:
		u.scene, u.delta = h.earn(c, m)
	}
	u.style = h.numberStyle()
	switch {
	case u.delta < 0 || h.one(8):
		u.expiry = h.never()
	default:
		u.expiry = expiry{at: now + 365*day}
	}
	return h.pointsWebhook(now, k, u)
}

// earn makes a member do something for points.
func (h *history) earn(c *customer, m *member) (scene string, points int64) {
	// The members of an old programme bring their points along.
	if h.made < h.cfg.Count/50 && h.one(10) {
		return "CUSTOMER_IMPORT_INCREASE", h.between(1, 10) * 100
	}
	n := h.rng.IntN(100)
	if h.calendar.doublePoints {
		n = n * 2 / 3 // more orders, and fewer other things
	}
	switch {
	case n < 50:
		return successfulOrders, h.order(c, m)
	case n < 72 && m.attended != h.calendar.day:
		m.attended = h.calendar.day
		return "DAILY_ATTENDANCE", h.between(1, 10)
	case n < 82:
		return "LOGIN_SUCCESS", h.between(1, 5)
	case n < 90 && c.orders > 0:
		return "PRODUCT_REVIEWS", 10 * h.between(1, 5)
	case n < 91 && c.orders > 0:
		return "TOP_REVIEWS", 100
	case n < 93:
		return "SUCCESSFUL_REFERRAL", 200
	}
	i := h.rng.IntN(len(onceScenes))
	if m.done&(1<<i) != 0 {
		return successfulOrders, h.order(c, m)
	}
	m.done |= 1 << i
	return onceScenes[i].name, onceScenes[i].least
}

// order makes a member buy something, mostly of 15.00 to 90.00, and returns the
// points for it.
func (h *history) order(c *customer, m *member) (points int64) {
	cents := h.between(15_00, 90_00)
	if h.one(8) {
		cents += h.between(50_00, 400_00)
	}
	points = cents / 100 * levels[levelOf(c)].earns / 100
	if h.calendar.doublePoints {
		points *= 2
	}
	c.order(cents)
	m.refundable = cents
	return points
}

// redeem turns points, at least a hundred, into something: the dearest coupon
// that the member can have, or cashback for all of them.
func (h *history) redeem(points int64) (scene string, delta int64) {
	switch n := h.rng.IntN(100); {
	case n < 25:
		return "CASHBACK", -(points - points%100)
	case n < 33:
		return "POS_DECREASE", -h.between(50, points)
	case n < 45:
		return "REDEEM_FREE_SHIPPING", -100
	case n < 55 && points >= 500:
		return "REDEEM_PRODUCTS", -(points - points%250)
	case n < 70:
		scene = "REDEEM_COUPON_CODE"
	default:
		scene = "REDEEM_COUPON"
	}
	for _, price := range [...]int64{2000, 1000, 500, 200} {
		if points >= price {
			return scene, -price
		}
	}
	return scene, -100
}

// correct is what the merchant does by hand or by an import.
func (h *history) correct(points int64) (scene string, delta int64) {
	switch n := h.rng.IntN(10); {
	case n < 4 && points > 0:
		return "MANUALLY_DECREASE", -h.between(1, min(points, 200))
	case n < 5 && points > 0:
		return "CUSTOMER_IMPORT_DECREASE", -h.between(1, min(points, 500))
	default:
		return "MANUALLY_INCREASE", 10 * h.between(1, 30)
	}
}

// never draws how a body says that something never expires.
func (g *Generator) never() expiry { return never[g.rng.IntN(len(never))] }
