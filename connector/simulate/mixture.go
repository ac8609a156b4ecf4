package simulate

// mixture is the script that shows as much as possible in little time: evenly
// spread events of all kinds, whose values are drawn without regard to the
// customer or to the season.
type mixture struct {
	*Generator
	clock clock
}

func newMixture(g *Generator) *mixture {
	begin := g.cfg.End.Add(-g.cfg.Span).UnixMilli()
	return &mixture{Generator: g, clock: newClock(begin, g.cfg.Span.Milliseconds(), g.cfg.Count)}
}

func (m *mixture) tick() int64 { return m.clock.next(m.rng) }

// anyEvent makes the event of a customer: one who registers now, as long as
// customers are to come, or else one who is known. Customers come evenly during
// the first three quarters of the history.
func (m *mixture) anyEvent(now int64) Delivery {
	known := len(m.customers)
	if known == 0 || known < m.cfg.Customers && int64(known)*3*int64(m.cfg.Count) < int64(m.made)*4*int64(m.cfg.Customers) {
		return m.profileEvent(now, m.register(now))
	}
	// Squared, so that a few customers are much more active than the others.
	u := m.rng.Float64()
	k := int(u * u * float64(known))
	return m.event(now, k, m.anyTable())
}

func (m *mixture) event(now int64, k int, table string) Delivery {
	switch {
	case table == TableStoreCredits:
		return m.storeCreditsEvent(now, k)
	case table == TableGiftCards:
		return m.giftCardEvent(now, k)
	case table == TableCustomerChanges && now/1000 > m.customers[k].profileAt:
		return m.profileEvent(now, k)
	default:
		return m.pointsEvent(now, k)
	}
}

// pointsEvent makes an event of the points ledger. Points are burned only as far
// as there are any, so that no balance falls below zero.
func (m *mixture) pointsEvent(now int64, k int) Delivery {
	c := &m.customers[k]
	var u update
	switch {
	case !c.hasPoints:
		u.scene, u.delta = registration, 100
	case c.points > 0 && m.rng.IntN(10) < 4:
		s := pick(m.rng, m.catalogue.burning)
		u.scene, u.delta = s.name, -min(m.valueOf(s), c.points)
	default:
		s := pick(m.rng, m.catalogue.earning)
		u.scene, u.delta = s.name, m.valueOf(s)
	}
	if u.scene == successfulOrders {
		c.order(u.delta*100 + m.below(100))
	}
	u.style = m.numberStyle()
	// What is taken away has no expiry.
	u.expiry = m.anyExpiry(now, u.delta > 0)
	return m.pointsWebhook(now, k, u)
}

func (m *mixture) storeCreditsEvent(now int64, k int) Delivery {
	c := &m.customers[k]
	var u update
	if c.credits > 0 && m.rng.IntN(10) < 5 {
		s := pick(m.rng, m.catalogue.debiting)
		u.scene, u.delta = s.name, -min(m.valueOf(s), c.credits)
	} else {
		s := pick(m.rng, m.catalogue.crediting)
		u.scene, u.delta = s.name, m.valueOf(s)
	}
	u.style = m.numberStyle()
	u.expiry = m.anyExpiry(now, u.delta > 0)
	return m.storeCreditsWebhook(now, k, u)
}

// mixtureCards is how many gift cards a customer gets. The last of them is never
// disabled, so that there is always one to make an event of.
const mixtureCards = 3

// giftCardEvent makes an event of one of a customer's gift cards: a new card,
// a payment with one, a refund onto one, or its end.
func (m *mixture) giftCardEvent(now int64, k int) Delivery {
	c := &m.customers[k]
	i := m.rng.IntN(max(1, len(c.cards)))
	var u update
	n := m.rng.IntN(100)
	if len(c.cards) == 0 || len(c.cards) < mixtureCards && (n < 25 || c.cards[i].disabled) {
		// A card of 10.00 to 500.00.
		i = m.openCard(k, 1000*(1+m.below(50)))
		u.scene, u.delta = "SELF_PURCHASE", c.cards[i].original
		if n%3 == 0 {
			u.scene = "OTHERS_SEND"
		}
	} else {
		if c.cards[i].disabled {
			i = mixtureCards - 1
		}
		u.scene, u.delta = m.useCard(&c.cards[i], n, i != mixtureCards-1)
	}
	u.style = m.numberStyle()
	u.expiry = m.anyExpiry(now, true)
	return m.giftCardWebhook(now, k, i, u)
}

// useCard decides what happens to a card. Its balance stays from zero up to its
// original value, and drops to zero when it is disabled. n is from 0 to 99.
func (m *mixture) useCard(owned *card, n int, mayEnd bool) (scene string, delta int64) {
	spent := owned.original - owned.balance
	switch {
	case mayEnd && owned.balance > 0 && n >= 90:
		return cardDisabled, -owned.balance
	case spent > 0 && (owned.balance == 0 || n < 45):
		return "RETURN_INCREASE", 1 + m.below(spent)
	default:
		return "PURCHASE_PAYMENT", -(1 + m.below(owned.balance))
	}
}

// anyExpiry draws when a value expires, and how a body says so.
func (m *mixture) anyExpiry(now int64, expires bool) expiry {
	n := m.rng.IntN(20)
	if !expires {
		n = 12 + n%5
	}
	switch n {
	case 12, 13, 14, 15, 16, 17:
		return never[n-12]
	case 18, 19:
		return expiry{at: now + 30*day, form: quotedExpiry}
	default:
		return expiry{at: now + 365*day}
	}
}

func (m *mixture) valueOf(s scene) int64 { return s.least + m.below(s.most-s.least+1) }

// profileEvent makes a customers/update webhook, as full or as sparse as they
// come.
func (m *mixture) profileEvent(now int64, k int) Delivery {
	c := &m.customers[k]
	c.profileAt = now / 1000
	p := m.personOf(k)
	m.body.begin(m.numberStyle())
	switch n := m.rng.IntN(20); {
	case n == 0:
		return m.profileWebhook(k, m.leastProfile(c, &p))
	case n < 8:
		return m.profileWebhook(k, m.sparseProfile(c, &p))
	default:
		profile := m.anyProfile(c, &p)
		m.fullProfile(c, &p, profile)
		return m.profileWebhook(k, profile)
	}
}

// anyProfile draws what a customer says now.
func (m *mixture) anyProfile(c *customer, p *person) *Profile {
	subscribed := m.rng.IntN(3) > 0
	consent := func(subscribed bool) Consent {
		state := int64(2)
		if subscribed {
			state = 1
		}
		return Consent{CollectedFrom: "checkout", UpdatedAtMillis: c.createdAt * 1000, OptInLevel: m.below(3), State: state}
	}
	profile := m.profileOf(c, p)
	profile.AcceptsMarketing, profile.AcceptsMarketingAtMillis = subscribed, c.createdAt*1000
	profile.AcceptsMobile, profile.AcceptsMobileAtMillis = !subscribed, c.profileAt*1000
	profile.VerifiedEmail = subscribed
	profile.Addresses = m.rng.IntN(4)
	profile.EmailConsent = consent(subscribed)
	profile.EmailFlag = m.below(3)
	profile.MobileFlag = m.below(3)
	profile.SMSConsent = consent(!subscribed)
	profile.State = m.below(4)
	profile.Phone = p.phone
	profile.Tags = oneOf(m.catalogue.tags, p.traits>>40)
	return profile
}
