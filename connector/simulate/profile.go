package simulate

import (
	"strconv"
)

// Absent stands for a number that a customers/update body does not have.
const Absent = -1

// Profile is what a customers/update body says of the customer, as far as it
// changes in the course of a history. Text is empty, a time 0 and a number
// Absent where the body has none.
type Profile struct {
	Email, Phone, FirstName, LastName string
	Currency                          string
	// Tags is as the body has it, with commas between the tags.
	Tags            string
	CreatedAtMillis int64
	// State is 0 disabled, 1 to be enabled, 2 invited, 3 valid.
	State       int64
	OrdersCount int64
	// TotalSpentCents is in 1/100 of the currency's unit.
	TotalSpentCents int64
	// Addresses is how many there are; the first is the default address.
	Addresses int

	AcceptsMarketing, AcceptsMobile, VerifiedEmail  bool
	AcceptsMarketingAtMillis, AcceptsMobileAtMillis int64
	EmailConsent, SMSConsent                        Consent
	// EmailFlag and MobileFlag are 0 cancelled, 1 available, 2 not available.
	EmailFlag, MobileFlag int64
}

// Consent is the consent to marketing by one channel.
type Consent struct {
	CollectedFrom   string
	UpdatedAtMillis int64
	// OptInLevel is 0 unknown, 1 single opt-in, 2 confirmed opt-in.
	OptInLevel int64
	// State is 0 cancelled, 1 subscribed, 2 not subscribed, and for e-mail also 3
	// waiting for confirmation.
	State int64
}

// profileWebhook ends the body of a customers/update webhook, which says what the
// profile has.
func (g *Generator) profileWebhook(k int, profile *Profile) Delivery {
	account := g.buyer(k)
	truth := Truth{
		Account: account, BuyerID: account.ID, UpdatedAtMillis: g.customers[k].profileAt * 1000, Profile: profile,
	}
	return g.delivery(k, TableCustomerChanges, TopicCustomersUpdate, g.body.end(), truth)
}

// profileOf returns what every full body of a customer says.
func (g *Generator) profileOf(c *customer, p *person) *Profile {
	profile := Profile{
		Email: p.email, FirstName: p.firstName, LastName: p.lastName, Currency: p.currency,
		CreatedAtMillis: c.createdAt * 1000, OrdersCount: c.orders, TotalSpentCents: c.spentCents,
	}
	if !p.minorUnits {
		profile.TotalSpentCents -= c.spentCents % 100
	}
	return &profile
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

// leastProfile has an address besides what every body has.
func (g *Generator) leastProfile(c *customer, p *person) *Profile {
	b := &g.body
	b.text("email", p.email)
	b.text("id", p.id)
	b.instant("updated_at", c.profileAt)
	unknown := Consent{OptInLevel: Absent, State: Absent}
	return &Profile{
		Email: p.email, State: Absent, OrdersCount: Absent, TotalSpentCents: Absent,
		EmailConsent: unknown, SMSConsent: unknown, EmailFlag: Absent, MobileFlag: Absent,
	}
}

// sparseProfile is shaped like a real delivery: no last name, phone, birthday,
// tags, default address or consents, and empty strings in the address.
func (g *Generator) sparseProfile(c *customer, p *person) *Profile {
	profile := g.profileOf(c, p)
	profile.LastName = ""
	profile.State, profile.VerifiedEmail, profile.Addresses = 3, true, 1
	unknown := Consent{OptInLevel: Absent, State: Absent}
	profile.EmailConsent, profile.SMSConsent = unknown, unknown
	profile.EmailFlag, profile.MobileFlag = Absent, Absent

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
	return profile
}

// fullProfile has every field of the document, some of them empty.
func (g *Generator) fullProfile(c *customer, p *person, profile *Profile) {
	b := &g.body
	b.boolean("accepts_marketing", profile.AcceptsMarketing)
	b.instant("accepts_marketing_updated_at", profile.AcceptsMarketingAtMillis/1000)
	b.boolean("accepts_mobile_marketing", profile.AcceptsMobile)
	b.instant("accepts_mobile_marketing_updated_at", profile.AcceptsMobileAtMillis/1000)
	b.openArray("addresses")
	for i := range profile.Addresses {
		b.openElement()
		g.address(p, i)
		b.closeObject()
	}
	b.closeArray()
	b.text("asid", strconv.FormatUint(p.traits>>16, 10))
	b.text("birthday", birthday(p.traits))
	b.instant("created_at", c.createdAt)
	b.text("currency", p.currency)
	if profile.Addresses > 0 {
		b.openObject("default_address")
		g.address(p, 0)
		b.closeObject()
	}
	b.text("email", p.email)
	b.consent("email_marketing_consent", &profile.EmailConsent)
	b.integer("email_subscribe_flag", profile.EmailFlag)
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
	b.integer("mobile_subscribe_flag", profile.MobileFlag)
	b.text("multipass_identifier", "multipass_identifier")
	b.text("nick_name", p.firstName+" "+p.lastName)
	b.text("note", oneOf(g.catalogue.notes, p.traits>>32))
	b.integer("orders_count", c.orders)
	b.text("phone", profile.Phone)
	b.consent("sms_marketing_consent", &profile.SMSConsent)
	b.text("social_customer", strconv.FormatUint(p.traits>>20, 10))
	b.integer("state", profile.State)
	b.text("tags", profile.Tags)
	b.text("total_spent", totalSpent(c.spentCents, p.minorUnits))
	b.instant("updated_at", c.profileAt)
	b.boolean("verified_email", profile.VerifiedEmail)
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

func (b *jsonBody) consent(name string, c *Consent) {
	b.openObject(name)
	b.text("consent_collected_from", c.CollectedFrom)
	b.instant("consent_updated_at", c.UpdatedAtMillis/1000)
	b.integer("opt_in_level", c.OptInLevel)
	b.integer("state", c.State)
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
	date := (1925+traits>>32%85)*10000 + birthMonth(traits)*100 + 1 + traits>>52%28
	return strconv.FormatUint(date, 10)
}

// birthMonth returns the month of the birthday, 1 to 12, or 0 for none.
func birthMonth(traits uint64) uint64 {
	switch traits >> 48 % 16 {
	case 0:
		return 0
	case 1:
		return 2
	}
	return 1 + traits>>40%12
}

func oneOf(list []string, n uint64) string { return list[n%uint64(len(list))] }

// mix is the finalizer of SplitMix64: it spreads neighbouring numbers.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
