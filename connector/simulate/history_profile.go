package simulate

import "strings"

// profileEvent makes a customers/update webhook of a member, who may change a
// consent or the account on the occasion. It has every field, and what the
// member's orders have made of it.
func (h *history) profileEvent(now int64, k int) Delivery {
	c, m, p := &h.customers[k], &h.members[k], h.personOf(k)
	known := c.profileAt > 0
	c.profileAt = now / 1000
	if known {
		h.change(m, c.profileAt*1000)
	}
	profile := h.profileOf(c, &p)
	if m.hasPhone {
		// The end of the number is the customer's own.
		own := "0000" + p.id
		profile.Phone = p.phone[:len(p.phone)-4] + own[len(own)-4:]
	}
	profile.Tags = m.tags(c)
	profile.State = m.state
	profile.Addresses = int(p.traits >> 44 % 3)
	profile.VerifiedEmail = m.state == 3
	profile.EmailConsent, profile.SMSConsent = m.email, m.sms
	profile.EmailFlag, profile.MobileFlag = m.email.flag(), m.sms.flag()
	profile.AcceptsMarketing, profile.AcceptsMarketingAtMillis = m.email.State == 1, m.email.UpdatedAtMillis
	profile.AcceptsMobile, profile.AcceptsMobileAtMillis = m.sms.State == 1, m.sms.UpdatedAtMillis
	h.body.begin(h.numberStyle())
	h.fullProfile(c, &p, profile)
	return h.profileWebhook(k, profile)
}

// change is what a member changes in the profile, if anything.
func (h *history) change(m *member, at int64) {
	switch n := h.rng.IntN(100); {
	case m.email.State == 3 && n < 60:
		h.consent(&m.email, at, 1, 2)
	case m.state != 3 && n < 50:
		m.state++ // In the end, the account is valid.
	case n < 8:
		switch m.email.State {
		case 1:
			h.consent(&m.email, at, 0, m.email.OptInLevel)
		case 0, 2:
			h.consent(&m.email, at, 3, 1)
		}
	case n < 14 && m.hasPhone:
		if m.sms.State == 1 {
			h.consent(&m.sms, at, 0, m.sms.OptInLevel)
		} else {
			h.consent(&m.sms, at, 1, h.between(1, 2))
		}
	case n < 18:
		m.hasPhone = true
	case n < 19:
		m.state = 0
	}
}

func (h *history) consent(c *Consent, at, state, level int64) {
	*c = Consent{CollectedFrom: oneOf(h.catalogue.collectors, h.rng.Uint64()), UpdatedAtMillis: at, OptInLevel: level, State: state}
}

// flag returns the subscription's flag that goes with a consent.
func (c *Consent) flag() int64 {
	if c.State == 3 {
		return 2
	}
	return c.State
}

// tags returns the level of a customer and what else the merchant notes.
func (m *member) tags(c *customer) string {
	tags := []string{levels[levelOf(c)].name}
	if m.pays() {
		tags = append(tags, "paid member")
	}
	if m.email.State == 1 {
		tags = append(tags, "newsletter")
	}
	if m.traits>>32%40 == 0 {
		tags = append(tags, "wholesale")
	}
	return strings.Join(tags, ",")
}
