package simulate

import (
	"math/rand/v2"
	"strconv"
)

// The two update types, as they are stored.
const (
	increase = "INCREASE"
	decrease = "DECREASE"
)

// mostCards is how many gift cards a customer gets in a whole history, so that
// the state of a customer has a fixed size. The last of them is never disabled.
const mostCards = 3

const day = int64(24 * 60 * 60 * 1000)

// customer is what the generator remembers of a person: the balances of the
// ledgers and what the profile is made of.
type customer struct {
	points, credits       int64
	hasPoints, hasCredits bool // whether the ledger has an event
	createdAt, profileAt  int64
	orders, spentCents    int64
	cards                 [mostCards]card
	opened                uint8
}

// card is a gift card; money is in cents.
type card struct {
	number            uint32 // counts the cards of its shop
	disabled          bool
	original, balance int64
}

// pointsEvent makes an event of the points ledger. Points are burned only as far
// as there are any, so that no balance falls below zero.
func (g *Generator) pointsEvent(now int64, k int) Delivery {
	c := &g.customers[k]
	var name, updateType string
	var value, delta int64
	switch {
	case !c.hasPoints:
		name, updateType, value = registration, increase, 100
		delta = value
	case c.points > 0 && g.rng.IntN(10) < 4:
		s := pick(g.rng, g.catalogue.burning)
		name, updateType, value = s.name, decrease, min(g.valueOf(s), c.points)
		delta = -value
	default:
		s := pick(g.rng, g.catalogue.earning)
		name, updateType, value = s.name, increase, g.valueOf(s)
		delta = value
	}
	c.hasPoints = true
	c.points += delta
	if name == successfulOrders {
		g.order(c, value)
	}
	truth := Truth{
		Account: g.buyer(k), UpdateType: updateType, Scene: name,
		Delta: delta, Balance: c.points, UpdatedAtMillis: now,
	}
	truth.BuyerID = truth.Account.ID

	b := &g.body
	b.begin(g.numberStyle())
	b.text("buyer_id", truth.BuyerID)
	b.integer("points_balance", c.points)
	// What is taken away has no expiry.
	truth.ExpiresAtMillis = g.expiry("points_expiry_time", now, updateType == increase)
	b.text("store_id", truth.Account.ShopID)
	b.text("update_type", g.updateTypeText(updateType))
	b.integer("updated_at", now)
	b.text("updated_scene", name)
	b.integer("updated_value", value)
	return g.delivery(k, TablePoints, TopicPoints, b.end(), truth)
}

// storeCreditsEvent makes an event of a customer's store credits. A customer has
// one account, whose code is the buyer's id and three digits.
func (g *Generator) storeCreditsEvent(now int64, k int) Delivery {
	c := &g.customers[k]
	var s scene
	var updateType string
	var value, delta int64
	if c.credits > 0 && g.rng.IntN(10) < 5 {
		s, updateType = pick(g.rng, g.catalogue.debiting), decrease
		value = min(g.valueOf(s), c.credits)
		delta = -value
	} else {
		s, updateType = pick(g.rng, g.catalogue.crediting), increase
		value = g.valueOf(s)
		delta = value
	}
	c.hasCredits = true
	c.credits += delta
	truth := Truth{
		Account: g.buyer(k), UpdateType: updateType, Scene: s.name,
		Delta: delta, Balance: c.credits, UpdatedAtMillis: now,
	}
	truth.BuyerID = truth.Account.ID

	b := &g.body
	b.begin(g.numberStyle())
	b.text("buyer_id", truth.BuyerID)
	b.integer("current_balance", c.credits)
	b.text("store_credits_code", truth.BuyerID+strconv.Itoa(100+k%900))
	truth.ExpiresAtMillis = g.expiry("store_credits_expiry_date", now, updateType == increase)
	b.text("store_credits_update_reason", s.name)
	b.text("store_id", truth.Account.ShopID)
	b.text("update_type", g.updateTypeText(updateType))
	b.integer("update_value", value)
	b.integer("updated_at", now)
	return g.delivery(k, TableStoreCredits, TopicStoreCredits, b.end(), truth)
}

// giftCardEvent makes an event of one of a customer's gift cards: a new card,
// a payment with one, a refund onto one, or its end.
func (g *Generator) giftCardEvent(now int64, k int) Delivery {
	c := &g.customers[k]
	owned := &c.cards[g.rng.IntN(max(1, int(c.opened)))]
	var name, updateType string
	var delta int64
	n := g.rng.IntN(100)
	if c.opened == 0 || c.opened < mostCards && (n < 25 || owned.disabled) {
		owned = g.openCard(k)
		name, updateType, delta = "SELF_PURCHASE", increase, owned.original
		if n%3 == 0 {
			name = "OTHERS_SEND"
		}
	} else {
		last := &c.cards[mostCards-1]
		if owned.disabled {
			owned = last
		}
		name, updateType, delta = g.useCard(owned, n, owned != last)
	}
	if name == "CARD_DISABLED" {
		owned.disabled = true
	}
	owned.balance += delta

	truth := Truth{
		BuyerID: g.buyer(k).ID, UpdateType: updateType, Scene: name,
		Delta: delta, Balance: owned.balance, UpdatedAtMillis: now,
	}
	truth.Account = Account{ShopID: g.shopOf(k).id, ID: cardCode(owned.number)}

	b := &g.body
	b.begin(g.numberStyle())
	b.text("buyer_id", truth.BuyerID)
	b.integer("current_balance", owned.balance)
	b.text("gift_card_code", truth.Account.ID)
	truth.ExpiresAtMillis = g.expiry("gift_card_expiry_date", now, true)
	b.integer("gift_card_original_value", owned.original)
	if name == "CARD_DISABLED" && g.rng.IntN(8) > 0 {
		// SHOPLINE's own spelling.
		name = "CARD_DIABLED"
	}
	b.text("scene_type", name)
	b.text("store_id", truth.Account.ShopID)
	b.text("update_type", g.updateTypeText(updateType))
	b.integer("update_value", max(delta, -delta))
	b.integer("updated_at", now)
	return g.delivery(k, TableGiftCards, TopicGiftCards, b.end(), truth)
}

// openCard sells a customer one more gift card, of 10.00 to 500.00.
func (g *Generator) openCard(k int) *card {
	c, s := &g.customers[k], g.shopOf(k)
	opened := &c.cards[c.opened]
	c.opened++
	*opened = card{number: s.cards, original: 1000 * (1 + g.below(50))}
	s.cards++
	return opened
}

// useCard decides what happens to a card. Its balance stays from zero up to its
// original value, and drops to zero when it is disabled. n is from 0 to 99.
func (g *Generator) useCard(owned *card, n int, mayEnd bool) (name, updateType string, delta int64) {
	spent := owned.original - owned.balance
	switch {
	case mayEnd && owned.balance > 0 && n >= 90:
		return "CARD_DISABLED", decrease, -owned.balance
	case spent > 0 && (owned.balance == 0 || n < 45):
		return "RETURN_INCREASE", increase, 1 + g.below(spent)
	default:
		return "PURCHASE_PAYMENT", decrease, -(1 + g.below(owned.balance))
	}
}

// order adds an order to what the customer has spent.
func (g *Generator) order(c *customer, points int64) {
	c.orders++
	c.spentCents += points*100 + g.below(100)
}

// expiry writes when a value expires and returns it in milliseconds since 1970,
// or 0 for never, which is said in many ways: the field absent, null, empty, 0,
// or a date that no column can hold.
func (g *Generator) expiry(name string, now int64, expires bool) int64 {
	n := g.rng.IntN(20)
	if !expires {
		n = 12 + n%5
	}
	b := &g.body
	switch n {
	case 12, 13:
		// Absent.
	case 14:
		b.raw(name, "null")
	case 15:
		b.raw(name, `""`)
	case 16:
		b.raw(name, "0")
	case 17:
		b.raw(name, "253402271999000") // the end of the year 9999
	case 18, 19:
		at := now + 30*day
		b.text(name, strconv.FormatInt(at, 10))
		return at
	default:
		at := now + 365*day
		b.integer(name, at)
		return at
	}
	return 0
}

// updateTypeText returns the update type as a body writes it: rarely in lower
// case, as one of SHOPLINE's documents does.
func (g *Generator) updateTypeText(updateType string) string {
	if g.rng.IntN(50) > 0 {
		return updateType
	}
	if updateType == increase {
		return "increase"
	}
	return "decrease"
}

func (g *Generator) valueOf(s scene) int64 { return s.least + g.below(s.most-s.least+1) }

// pick draws a scene by its weight.
func pick(rng *rand.Rand, scenes []scene) scene {
	total := 0
	for i := range scenes {
		total += scenes[i].weight
	}
	n := rng.IntN(total)
	for i := range scenes {
		if n -= scenes[i].weight; n < 0 {
			return scenes[i]
		}
	}
	return scenes[0]
}

// buyer returns the account of a customer. Some ids have 10 digits and some 26,
// and every eighth buyer of a shop shares the id with one of each other shop.
func (g *Generator) buyer(k int) Account {
	ordinal := k / len(g.shops)
	number := 2404721679 + 2*k // odd: nobody else's
	if ordinal%8 == 0 {
		number = 2404721680 + 2*ordinal
	}
	id := strconv.Itoa(number)
	if ordinal%16 == 3 {
		id = "5006511321220969" + id
	}
	return Account{ShopID: g.shopOf(k).id, ID: id}
}

// cardCode returns the code of a shop's card: its number, scrambled so that
// codes do not look counted. Each shop has its own numbers, so codes repeat
// between shops.
func cardCode(number uint32) string {
	code := strconv.FormatUint(uint64(number*2654435761+0x240acd), 16)
	return "0000000"[:8-len(code)] + code
}
