package simulate

// historyCards is how many gift cards a customer gets at most, so that the state
// of a customer is bounded.
const historyCards = 8

// anyGiftCardEvent sells a card, or uses one: the season says which is more
// likely.
func (h *history) anyGiftCardEvent(now int64) Delivery {
	if !h.one(h.calendar.gifts) {
		for len(h.holders) > 0 {
			i := h.rng.IntN(len(h.holders))
			k := h.holders[i]
			if d, ok := h.useGiftCard(now, k); ok {
				return d
			}
			h.members[k].holds = false
			h.holders[i] = h.holders[len(h.holders)-1]
			h.holders = h.holders[:len(h.holders)-1]
		}
	}
	k := h.anyMember(now)
	for try := 0; try < 8 && len(h.customers[k].cards) == historyCards; try++ {
		k = h.anyMember(now)
	}
	return h.event(now, k, TableGiftCards)
}

// giftCardEvent makes an event of one customer's cards, if that can be: a new
// card, as long as the customer may have one, or else the use of one.
func (h *history) giftCardEvent(now int64, k int) (Delivery, bool) {
	if len(h.customers[k].cards) < historyCards {
		return h.sellGiftCard(now, k), true
	}
	return h.useGiftCard(now, k)
}

func (h *history) sellGiftCard(now int64, k int) Delivery {
	c, m := &h.customers[k], &h.members[k]
	values := [...]int64{20_00, 25_00, 25_00, 50_00, 50_00, 50_00, 100_00, 100_00, 200_00, 500_00}
	i := h.openCard(k, values[h.rng.IntN(len(values))])
	bought := &c.cards[i]
	bought.soldAt = now
	u := update{scene: "SELF_PURCHASE", delta: bought.original, style: h.numberStyle()}
	if h.one(h.calendar.gifts) {
		u.scene = "OTHERS_SEND"
	}
	switch n := h.rng.IntN(100); {
	case n < 35:
		bought.expiresAt = now + 180*day
	case n < 85:
		bought.expiresAt = now + 365*day
	}
	if !m.holds {
		m.holds = true
		h.holders = append(h.holders, k)
	}
	u.expiry = h.cardExpiry(bought)
	return h.giftCardWebhook(now, k, i, u)
}

// useGiftCard pays with a customer's card, refunds onto it, or disables it. It
// returns false when the customer has none that something can be done with.
func (h *history) useGiftCard(now int64, k int) (Delivery, bool) {
	c := &h.customers[k]
	for i := range c.cards {
		used := &c.cards[i]
		if used.disabled || used.expiresAt != 0 && used.expiresAt <= now || used.forgotten() {
			continue
		}
		var u update
		switch {
		case used.paid > 0 && h.one(12):
			u.scene, u.delta = "RETURN_INCREASE", used.paid
			if h.one(50) {
				u.delta = h.between(1, used.paid)
			}
			used.paid = 0
		case used.balance == 0:
			used.paid = 0 // It was not returned, and will not be.
			continue
		case h.one(2):
			u.scene, u.delta = cardDisabled, -used.balance
		default:
			// A card lasts for some purchases.
			u.scene, u.delta = "PURCHASE_PAYMENT", -used.balance
			if used.balance > 5_00 && h.one(80) {
				u.delta = -h.between(used.balance/10, used.balance*6/10)
			}
			used.paid = -u.delta
		}
		u.style, u.expiry = h.numberStyle(), h.cardExpiry(used)
		return h.giftCardWebhook(now, k, i, u), true
	}
	return Delivery{}, false
}

// forgotten returns whether a card lies in a drawer until it has expired.
func (c *card) forgotten() bool { return mix(uint64(c.number))%100 < 12 }

// cardExpiry writes a card's expiry, which stays the same.
func (h *history) cardExpiry(c *card) expiry {
	if c.expiresAt == 0 {
		return h.never()
	}
	return expiry{at: c.expiresAt}
}
