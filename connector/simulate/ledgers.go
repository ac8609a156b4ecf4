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

const day = int64(24 * 60 * 60 * 1000)

// customer is what the generator remembers of a person: the balances of the
// ledgers and what the profile is made of.
type customer struct {
	points, credits       int64
	hasPoints, hasCredits bool // whether the ledger has an event
	createdAt, profileAt  int64
	orders, spentCents    int64
	cards                 []card
}

// order adds an order to what the customer has spent.
func (c *customer) order(cents int64) {
	c.orders++
	c.spentCents += cents
}

// card is a gift card; money is in cents. The last three are a history's alone.
type card struct {
	number            uint32 // counts the cards of its shop
	disabled          bool
	original, balance int64
	// paid is the latest payment, as long as it can come back.
	paid              int64
	soldAt, expiresAt int64 // in milliseconds since 1970; expiresAt is 0 for never
}

// cardDisabled is the scene that ends a gift card, as it is stored.
const cardDisabled = "CARD_DISABLED"

// update is one change of a ledger before it is written down.
type update struct {
	scene  string
	delta  int64 // not 0
	style  numberStyle
	expiry expiry
}

// updateType returns INCREASE or DECREASE.
func (u *update) updateType() string {
	if u.delta > 0 {
		return increase
	}
	return decrease
}

// pointsWebhook changes a customer's points and writes the webhook.
func (g *Generator) pointsWebhook(now int64, k int, u update) Delivery {
	c := &g.customers[k]
	c.hasPoints = true
	c.points += u.delta
	truth := g.truth(now, k, &u, c.points)

	b := &g.body
	b.begin(u.style)
	b.text("buyer_id", truth.BuyerID)
	b.integer("points_balance", c.points)
	b.expiry("points_expiry_time", u.expiry)
	b.text("store_id", truth.Account.ShopID)
	b.text("update_type", g.updateTypeText(truth.UpdateType))
	b.integer("updated_at", now)
	b.text("updated_scene", u.scene)
	b.integer("updated_value", max(u.delta, -u.delta))
	return g.delivery(k, TablePoints, TopicPoints, b.end(), truth)
}

// storeCreditsWebhook changes a customer's store credits and writes the webhook.
// A customer has one account, whose code is the buyer's id and three digits.
func (g *Generator) storeCreditsWebhook(now int64, k int, u update) Delivery {
	c := &g.customers[k]
	c.hasCredits = true
	c.credits += u.delta
	truth := g.truth(now, k, &u, c.credits)
	truth.Code = truth.BuyerID + strconv.Itoa(100+k%900)

	b := &g.body
	b.begin(u.style)
	b.text("buyer_id", truth.BuyerID)
	b.integer("current_balance", c.credits)
	b.text("store_credits_code", truth.Code)
	b.expiry("store_credits_expiry_date", u.expiry)
	b.text("store_credits_update_reason", u.scene)
	b.text("store_id", truth.Account.ShopID)
	b.text("update_type", g.updateTypeText(truth.UpdateType))
	b.integer("update_value", max(u.delta, -u.delta))
	b.integer("updated_at", now)
	return g.delivery(k, TableStoreCredits, TopicStoreCredits, b.end(), truth)
}

// giftCardWebhook changes a customer's i-th gift card and writes the webhook.
func (g *Generator) giftCardWebhook(now int64, k, i int, u update) Delivery {
	owned := &g.customers[k].cards[i]
	owned.balance += u.delta
	if u.scene == cardDisabled {
		owned.disabled = true
	}
	truth := g.truth(now, k, &u, owned.balance)
	truth.Code, truth.OriginalCents = cardCode(owned.number), owned.original
	truth.Account.ID = truth.Code

	b := &g.body
	b.begin(u.style)
	b.text("buyer_id", truth.BuyerID)
	b.integer("current_balance", owned.balance)
	b.text("gift_card_code", truth.Code)
	b.expiry("gift_card_expiry_date", u.expiry)
	b.integer("gift_card_original_value", owned.original)
	name := u.scene
	if name == cardDisabled && g.rng.IntN(8) > 0 {
		// SHOPLINE's own spelling.
		name = "CARD_DIABLED"
	}
	b.text("scene_type", name)
	b.text("store_id", truth.Account.ShopID)
	b.text("update_type", g.updateTypeText(truth.UpdateType))
	b.integer("update_value", max(u.delta, -u.delta))
	b.integer("updated_at", now)
	return g.delivery(k, TableGiftCards, TopicGiftCards, b.end(), truth)
}

// truth returns what is stored of a change of a customer's ledger.
func (g *Generator) truth(now int64, k int, u *update, balance int64) Truth {
	account := g.buyer(k)
	return Truth{
		Account: account, BuyerID: account.ID, UpdateType: u.updateType(), Scene: u.scene,
		Delta: u.delta, Balance: balance, UpdatedAtMillis: now, ExpiresAtMillis: u.expiry.at,
	}
}

// openCard gives a customer one more gift card, with nothing on it yet, and
// returns which of the customer's cards it is.
func (g *Generator) openCard(k int, original int64) int {
	c, s := &g.customers[k], g.shopOf(k)
	c.cards = append(c.cards, card{number: s.cards, original: original})
	s.cards++
	return len(c.cards) - 1
}

// expiry is when a value expires, in milliseconds since 1970 or 0 for never, and
// how a body says so.
type expiry struct {
	at   int64
	form expiryForm
}

// expiryForm is how a body writes an expiry.
type expiryForm uint8

const (
	plainExpiry  expiryForm = iota // a number, as the body writes its others
	quotedExpiry                   // digits in quotes
	absentExpiry
	nullExpiry
	emptyExpiry
	zeroExpiry
	farExpiry // a date that no column can hold
)

// never are the ways to say that something never expires. An absent field is
// there twice, because it is the most usual one.
var never = [...]expiry{
	{form: absentExpiry}, {form: absentExpiry}, {form: nullExpiry}, {form: emptyExpiry}, {form: zeroExpiry}, {form: farExpiry},
}

func (b *jsonBody) expiry(name string, e expiry) {
	switch e.form {
	case absentExpiry:
	case nullExpiry:
		b.raw(name, "null")
	case emptyExpiry:
		b.raw(name, `""`)
	case zeroExpiry:
		b.raw(name, "0")
	case farExpiry:
		b.raw(name, "253402271999000") // the end of the year 9999
	case quotedExpiry:
		b.text(name, strconv.FormatInt(e.at, 10))
	default:
		b.integer(name, e.at)
	}
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
