package simulate

import (
	"strconv"
)

// register makes the first event of a new customer.
func (g *Generator) register(now int64) Delivery {
	g.customers = append(g.customers, customer{createdAt: now / 1000})
	return g.profileEvent(now, len(g.customers)-1)
}

// profileEvent makes a customers/update webhook, as full or as sparse as they
// come.
func (g *Generator) profileEvent(now int64, k int) Delivery {
	c := &g.customers[k]
	c.profileAt = now / 1000
	truth := Truth{Account: g.buyer(k), UpdatedAtMillis: c.profileAt * 1000}
	truth.BuyerID = truth.Account.ID

	p := g.personOf(k)
	g.body.begin(g.numberStyle())
	switch n := g.rng.IntN(20); {
	case n == 0:
		g.body.text("email", p.email)
		g.body.text("id", p.id)
		g.body.instant("updated_at", c.profileAt)
	case n < 8:
		g.sparseProfile(c, &p)
	default:
		g.fullProfile(c, &p)
	}
	return g.delivery(k, TableCustomerChanges, TopicCustomersUpdate, g.body.end(), truth)
}

// person is what never changes about a customer. It follows from the seed and
// the customer's ordinal, so nothing of it has to be remembered.
type person struct {
	*locale
	id, firstName, lastName, email string
	traits                         uint64
}

func (g *Generator) personOf(k int) person {
	traits := mix(g.cfg.Seed + uint64(k)*0x9e3779b97f4a7c15) //nolint:gosec // An ordinal is not negative.
	where := &g.catalogue.locales[traits%uint64(len(g.catalogue.locales))]
	id := g.buyer(k).ID
	return person{
		locale:    where,
		id:        id,
		firstName: where.first[traits>>8%uint64(len(where.first))],
		lastName:  where.last[traits>>16%uint64(len(where.last))],
		// Shops share ids, and this body names no shop: the address tells them apart.
		email:  "buyer" + id + "." + strconv.Itoa(k%len(g.shops)+1) + "@example.com",
		traits: traits,
	}
}

// sparseProfile is shaped like a real delivery: no last name, phone, birthday,
// tags, default address or consents, and empty strings in the address.
func (g *Generator) sparseProfile(c *customer, p *person) {
	b := &g.body
	b.boolean("accepts_marketing", false)
	b.openArray("addresses")
	b.openElement()
	b.text("address1", "")
	b.text("address2", "")
	b.text("city", "")
	b.text("country", p.country)
	b.text("country_code", p.countryCode)
	b.text("customer_id", p.id)
	b.boolean("default", true)
	b.text("first_name", p.firstName)
	b.text("id", g.addressID(p, 0))
	b.text("last_name", "")
	b.text("zip", "")
	b.closeObject()
	b.closeArray()
	b.instant("created_at", c.createdAt)
	b.text("currency", p.currency)
	b.text("email", p.email)
	b.text("first_name", p.firstName)
	b.text("id", p.id)
	if g.rng.IntN(2) == 0 {
		b.raw("last_name", "null")
	}
	b.integer("orders_count", c.orders)
	b.integer("state", 3)
	b.text("total_spent", totalSpent(c.spentCents, p.minorUnits))
	b.instant("updated_at", c.profileAt)
	b.boolean("verified_email", true)
}

// fullProfile has every field of the document, some of them empty.
func (g *Generator) fullProfile(c *customer, p *person) {
	b := &g.body
	subscribed := g.rng.IntN(3) > 0
	b.boolean("accepts_marketing", subscribed)
	b.instant("accepts_marketing_updated_at", c.createdAt)
	b.boolean("accepts_mobile_marketing", !subscribed)
	b.instant("accepts_mobile_marketing_updated_at", c.profileAt)
	b.openArray("addresses")
	addresses := g.rng.IntN(4)
	for i := range addresses {
		b.openElement()
		g.address(p, i)
		b.closeObject()
	}
	b.closeArray()
	b.text("asid", strconv.FormatUint(p.traits>>16, 10))
	b.text("birthday", birthday(p.traits))
	b.instant("created_at", c.createdAt)
	b.text("currency", p.currency)
	if addresses > 0 {
		b.openObject("default_address")
		g.address(p, 0)
		b.closeObject()
	}
	b.text("email", p.email)
	g.consent("email_marketing_consent", c, subscribed)
	b.integer("email_subscribe_flag", g.below(3))
	b.text("first_name", p.firstName)
	b.text("gender", oneOf(g.catalogue.genders, p.traits>>24))
	b.text("id", p.id)
	b.text("language", p.language)
	b.text("last_name", p.lastName)
	if c.orders > 0 {
		b.text("last_order_id", "2008328691"+strconv.FormatInt(20938+c.orders, 10))
	} else {
		b.text("last_order_id", "")
	}
	b.integer("mobile_subscribe_flag", g.below(3))
	b.text("multipass_identifier", "multipass_identifier")
	b.text("nick_name", p.firstName+" "+p.lastName)
	b.text("note", oneOf(g.catalogue.notes, p.traits>>32))
	b.integer("orders_count", c.orders)
	b.text("phone", p.phone)
	g.consent("sms_marketing_consent", c, !subscribed)
	b.text("social_customer", strconv.FormatUint(p.traits>>20, 10))
	b.integer("state", g.below(4))
	b.text("tags", oneOf(g.catalogue.tags, p.traits>>40))
	b.text("total_spent", totalSpent(c.spentCents, p.minorUnits))
	b.instant("updated_at", c.profileAt)
	b.boolean("verified_email", subscribed)
}

// address writes the members of a customer's i-th address. The first one is the
// default. The second one was taken over from a merged customer, whose id it
// keeps, as happens in SHOPLINE.
func (g *Generator) address(p *person, i int) {
	b := &g.body
	b.text("address1", p.street)
	b.text("address2", "")
	b.text("city", p.city)
	b.text("company", "")
	b.text("country", p.country)
	b.text("country_code", p.countryCode)
	if i == 1 {
		b.text("customer_id", "9"+p.id)
	} else {
		b.text("customer_id", p.id)
	}
	b.boolean("default", i == 0)
	b.text("first_name", p.firstName)
	b.text("id", g.addressID(p, i))
	b.text("last_name", p.lastName)
	b.text("phone", p.phone)
	b.text("province", p.province)
	b.text("province_code", p.provinceCode)
	b.text("zip", p.zip)
}

func (g *Generator) addressID(p *person, i int) string {
	return addressID + strconv.FormatUint(5006511321220969539+p.traits>>8+uint64(i), 10) //nolint:gosec // An index is not negative.
}

func (g *Generator) consent(name string, c *customer, subscribed bool) {
	b := &g.body
	b.openObject(name)
	b.text("consent_collected_from", "checkout")
	b.instant("consent_updated_at", c.createdAt)
	b.integer("opt_in_level", g.below(3))
	if subscribed {
		b.integer("state", 1)
	} else {
		b.integer("state", 2)
	}
	b.closeObject()
}

// totalSpent writes cents as a decimal string in major units.
func totalSpent(cents int64, minorUnits bool) string {
	whole := strconv.FormatInt(cents/100, 10)
	if !minorUnits || cents%100 == 0 {
		return whole
	}
	return whole + "." + strconv.FormatInt(100+cents%100, 10)[1:]
}

// birthday returns YYYYMMDD from 1925 on, so every second one is before 1970;
// now and then 29 February, and now and then none.
func birthday(traits uint64) string {
	switch traits >> 48 % 16 {
	case 0:
		return ""
	case 1:
		return "19600229"
	}
	date := (1925+traits>>32%85)*10000 + (1+traits>>40%12)*100 + 1 + traits>>52%28
	return strconv.FormatUint(date, 10)
}

func oneOf(list []string, n uint64) string { return list[n%uint64(len(list))] }

// mix is the finalizer of SplitMix64: it spreads neighbouring numbers.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
