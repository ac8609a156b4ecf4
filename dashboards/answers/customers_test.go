package answers_test

import (
	"maps"
	"slices"
	"strings"
	"time"

	"loyaltyhouse/schema"
)

// customersAndConsent is who the customers are, and who of them may be written to.
var customersAndConsent = board{
	panels: map[string]promise{
		"Customers": func(p *programme, c choice) answer {
			return single(count, int64(len(latest(p.updatesOf(c)))))
		},
		"New customers": func(p *programme, c choice) answer {
			return single(count, int64(len(grouped(p.registrations(c), (*update).who))))
		},
		"Customers updated": func(p *programme, c choice) answer {
			return single(count, int64(len(latest(p.updatesIn(c)))))
		},
		"Subscribed to e-mail": func(p *programme, c choice) answer { return p.subscribed(c, "email") },
		"Subscribed to SMS":    func(p *programme, c choice) answer { return p.subscribed(c, "sms") },
		"New customers over time": func(p *programme, c choice) answer {
			a := table(moment.as("time"), count.as("New customers"))
			for at, part := range grouped(p.registrations(c), func(u *update) time.Time { return c.bar(*u.time("created_at")) }) {
				a.add(at, int64(len(grouped(part, (*update).who))))
			}
			return a.sorted(0, asc(0))
		},
		"New customers per month": func(p *programme, c choice) answer {
			a := table(text.as("Month"), count.as("New customers"))
			for month, part := range grouped(p.registrations(c), func(u *update) string {
				return u.time("created_at").In(c.location()).Format("2006-01")
			}) {
				a.add(month, int64(len(grouped(part, (*update).who))))
			}
			return a.sorted(0, asc(0))
		},
		"E-mail consent, step by step":        func(p *programme, c choice) answer { return p.consentSteps(c, "email") },
		"SMS consent, step by step":           func(p *programme, c choice) answer { return p.consentSteps(c, "sms") },
		"E-mail consent by its latest change": func(p *programme, c choice) answer { return p.consentChanges(c, "email") },
		"SMS consent by its latest change":    func(p *programme, c choice) answer { return p.consentChanges(c, "sms") },
		"E-mail consent now":                  func(p *programme, c choice) answer { return p.consentStates(c, "email") },
		"SMS consent now":                     func(p *programme, c choice) answer { return p.consentStates(c, "sms") },
		"Where consent comes from": func(p *programme, c choice) answer {
			var from []string
			for _, u := range latest(p.updatesOf(c)) {
				for _, channel := range []string{"email", "sms"} {
					if u.consent(channel) == "subscribed" {
						from = append(from, orNotTold(u.text(channel+"_marketing_consent_consent_collected_from")))
					}
				}
			}
			return tally(from, "Source", 10)
		},
		"Accounts by state": func(p *programme, c choice) answer {
			return tally(told(latest(p.updatesIn(c)), (*update).account), "State", 0)
		},
		"Fields that change most": fieldsThatChangeMost,
		"Languages": func(p *programme, c choice) answer {
			return tally(told(latest(p.updatesIn(c)), func(u *update) string { return orNotTold(u.text("language")) }), "Language", 10)
		},
		"Countries": func(p *programme, c choice) answer {
			return tally(told(latest(p.updatesIn(c)), func(u *update) string { return orNotTold(u.text("default_address_country_code")) }), "Country", 10)
		},
	},
	variables: map[string]options{
		"shop": func(p *programme, _ choice) []string { return p.shops() },
	},
}

func (u *update) who() owner { return owner{u.shop, u.customer} }

var updatesTable = func() *schema.Table {
	contracts, err := schema.Builtin()
	if err != nil {
		panic(err)
	}
	for _, contract := range contracts {
		if t := contract.FactTable(); t.Name == "fact_customer_changes" {
			return t
		}
	}
	panic("there is no table of updates")
}()

// cell is what the update tells in a column.
func (u *update) cell(name string) (*schema.Column, *schema.Value) {
	i := updatesTable.Index(name)
	if i < 0 {
		panic("updates have no column " + name)
	}
	return &updatesTable.Columns[i], &u.row[i]
}

func (u *update) text(name string) string {
	_, v := u.cell(name)
	return v.Text
}

// number is -1 where the update tells none.
func (u *update) number(name string) int64 {
	if _, v := u.cell(name); v.Set {
		return v.Int
	}
	return -1
}

// time is nil where the update tells none.
func (u *update) time(name string) *time.Time {
	_, v := u.cell(name)
	if !v.Set {
		return nil
	}
	t := time.UnixMilli(v.Int).UTC()
	return &t
}

// account is the state of the account in SHOPLINE's words.
func (u *update) account() string {
	return word(u.number("state"), "disabled", "to_enable", "invited", "valid")
}

// consent is the state of a consent in words. For SMS its 2 means something else.
func (u *update) consent(channel string) string {
	if channel == "sms" {
		return word(u.number("sms_marketing_consent_state"), "unsubscribed", "subscribed", "not_available")
	}
	return word(u.number("email_marketing_consent_state"), "unsubscribed", "subscribed", "not_subscribed", "pending")
}

func word(n int64, words ...string) string {
	if n < 0 || n >= int64(len(words)) {
		return "unknown"
	}
	return words[n]
}

// reachable tells whether there is an address to write to.
func (u *update) reachable(channel string) bool {
	if channel == "sms" {
		return u.text("phone") != "" && u.consent("sms") != "not_available"
	}
	return u.text("email") != ""
}

func orNotTold(s string) string {
	if s == "" {
		return "not told"
	}
	return s
}

// updatesOf are all updates of the selected shops, in the order of their time; of
// two in one second that was last which was delivered last.
func (p *programme) updatesOf(c choice) []*update {
	all := only(p.updates, func(u *update) bool { return c.inShop(u.shop) })
	slices.SortFunc(all, func(a, b *update) int {
		if n := a.at.Compare(b.at); n != 0 {
			return n
		}
		return a.received.Compare(b.received)
	})
	return all
}

// updatesIn are those in the selected time.
func (p *programme) updatesIn(c choice) []*update {
	return only(p.updatesOf(c), func(u *update) bool { return c.inTime(u.at) })
}

// latest is the last update of each customer.
func latest(updates []*update) []*update {
	last := map[owner]*update{}
	for _, u := range updates {
		last[u.who()] = u
	}
	return slices.Collect(maps.Values(last))
}

// registrations are updates that tell of an account made in the selected time.
func (p *programme) registrations(c choice) []*update {
	return only(p.updatesOf(c), func(u *update) bool {
		created := u.time("created_at")
		return created != nil && c.inTime(*created)
	})
}

func told(updates []*update, of func(*update) string) (texts []string) {
	for _, u := range updates {
		texts = append(texts, of(u))
	}
	return texts
}

// tally counts how often each text is there, the most frequent first.
func tally(texts []string, name string, most int) answer {
	a := table(text.as(name), count.as("Customers"))
	for t, all := range grouped(texts, func(t string) string { return t }) {
		a.add(t, int64(len(all)))
	}
	return a.sorted(most, desc(1), asc(0))
}

func (p *programme) subscribed(c choice, channel string) answer {
	all := latest(p.updatesOf(c))
	yes := only(all, func(u *update) bool { return u.consent(channel) == "subscribed" })
	return single(share, over(int64(len(yes)), int64(len(all))))
}

func (p *programme) consentStates(c choice, channel string) answer {
	return tally(told(latest(p.updatesOf(c)), func(u *update) string { return u.consent(channel) }), "State", 0)
}

// consentSteps counts in each step who got there from the step before.
func (p *programme) consentSteps(c choice, channel string) answer {
	a := table(text.as("Step"), count.as("Customers"))
	there := latest(p.updatesOf(c))
	for _, step := range []struct {
		name string
		got  func(*update) bool
	}{
		{"customers", func(*update) bool { return true }},
		{"reachable", func(u *update) bool { return u.reachable(channel) }},
		{"asked", func(u *update) bool {
			return slices.Contains([]string{"subscribed", "unsubscribed", "pending"}, u.consent(channel))
		}},
		{"subscribed", func(u *update) bool { return u.consent(channel) == "subscribed" }},
		{"confirmed", func(u *update) bool { return u.number(channel+"_marketing_consent_opt_in_level") == 2 }},
	} {
		there = only(there, step.got)
		a.add(step.name, int64(len(there)))
	}
	return a
}

// consentChanges are customers by when their consent last changed, if it did so in
// the selected time, and what it is.
func (p *programme) consentChanges(c choice, channel string) answer {
	changedAt := func(u *update) *time.Time { return u.time(channel + "_marketing_consent_consent_updated_at") }
	changed := only(latest(p.updatesOf(c)), func(u *update) bool { return changedAt(u) != nil && c.inTime(*changedAt(u)) })
	return stacked(c, changed, "state", count.as("customers"),
		func(u *update) time.Time { return *changedAt(u) },
		func(u *update) string { return u.consent(channel) },
		func(part []*update) int64 { return int64(len(part)) })
}

// watched are the fields of which the dashboard says how often they change.
var watched = strings.Fields(`accepts_marketing accepts_mobile_marketing birthday currency
	default_address_address1 default_address_city default_address_country_code default_address_phone default_address_zip
	email email_marketing_consent_state first_name gender language last_name last_order_id nick_name note
	orders_count phone sms_marketing_consent_state state tags total_spent verified_email`)

// fieldsThatChangeMost compares updates of the last 14 days of the selected time,
// each with the customer's one before.
func fieldsThatChangeMost(p *programme, c choice) answer {
	lately := only(p.updatesIn(c), func(u *update) bool { return u.at.After(c.to.Add(-14 * day)) })
	found := map[string]int64{}
	for _, updates := range grouped(lately, (*update).who) {
		for i, u := range updates {
			for _, field := range watched {
				if i > 0 && u.written(field) != updates[i-1].written(field) {
					found[field]++
				}
			}
		}
	}
	a := table(text.as("Field"), count.as("Changes"))
	for field, n := range found {
		a.add(field, n)
	}
	return a.sorted(12, desc(1), asc(0))
}
