package answers_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"loyaltyhouse/schema"
)

// customerLedger is all that is known of one customer.
var customerLedger = board{
	panels: map[string]promise{
		"Points":        func(p *programme, c choice) answer { return single(count, p.balanceOf(points, c)) },
		"Store credits": func(p *programme, c choice) answer { return single(money, p.balanceOf(credits, c)) },
		"On gift cards": func(p *programme, c choice) answer {
			return single(money, left(only(p.held(c), func(l *life) bool { return l.state == "active" })))
		},
		"Gaps":    func(p *programme, c choice) answer { return single(count, int64(len(p.gapsOf(c)))) },
		"Profile": profile,
		"Points balance": func(p *programme, c choice) answer {
			return p.toldBalances(points, c, count.as("points"))
		},
		"Store credit balance": func(p *programme, c choice) answer {
			return p.toldBalances(credits, c, money.as("credits"))
		},
		"Events": everyEvent,
		"Gift cards": func(p *programme, c choice) answer {
			a := table(text.as("Shop"), text.as("Card"), text.as("State"), money.as("Original value"), money.as("Balance"), money.as("Redeemed"),
				moment.as("Expires"), moment.as("Latest event"))
			for _, l := range p.held(c) {
				a.add(l.shop, l.id, l.state, l.last().original, l.balance(), redeemed(l.history), orNever(l.expires), l.last().at)
			}
			return a.sorted(100, desc(7), asc(0), asc(1))
		},
		"Changes of the profile": profileChanges,
		"Gaps of this customer": func(p *programme, c choice) answer {
			a := table(moment.as("Time"), text.as("Shop"), text.as("Ledger"), moment.as("Event before"),
				mixed.as("Expected"), mixed.as("Told"), mixed.as("Unexplained"))
			for _, g := range p.gapsOf(c) {
				a.add(g.after.at, g.after.shop, spoken(g.ledger), g.before.at,
					unitsOf(g.ledger, g.expected), unitsOf(g.ledger, g.told), unitsOf(g.ledger, g.unexplained()))
			}
			return a.sorted(500, desc(0), asc(1), asc(2))
		},
		"Deliveries": deliveriesOf,
	},
	variables: map[string]options{
		"shop": func(p *programme, _ choice) []string { return p.shops() },
	},
}

// spoken is a ledger's name for people.
func spoken(ledger string) string { return strings.ReplaceAll(ledger, "_", " ") }

// unitsOf are points as they are, and cents in the currency's unit.
func unitsOf(ledger string, n int64) float64 {
	if ledger == points {
		return float64(n)
	}
	return float64(n) / 100
}

// changesOf are the customer's events of a ledger in the selected shops.
func (p *programme) changesOf(ledger string, c choice) history {
	return only(p.changes[ledger], func(e *change) bool { return e.buyer == c.customer && c.inShop(e.shop) })
}

// balanceOf is the customer's balance in the selected shops, as of now.
func (p *programme) balanceOf(ledger string, c choice) (sum int64) {
	for o, h := range p.histories(ledger) {
		if o.id == c.customer && c.inShop(o.shop) {
			sum += h.balance()
		}
	}
	return sum
}

// held are the cards that the customer has now.
func (p *programme) held(c choice) []*life {
	return only(p.lives(c), func(l *life) bool { return l.holder == c.customer })
}

// gapsOf are those before the customer's events, all history.
func (p *programme) gapsOf(c choice) []gap {
	return only(p.gaps(), func(g gap) bool { return g.after.buyer == c.customer && c.inShop(g.after.shop) })
}

// profile is what the customer's latest update tells, and what the ledgers have of
// the customer, of each shop that knows the customer.
func profile(p *programme, c choice) answer {
	a := table(text.as("Shop"), text.as("E-mail"), text.as("Phone"), text.as("First name"), text.as("Last name"), text.as("Account"),
		text.as("E-mail consent"), text.as("SMS consent"), text.as("Tags"), count.as("Orders"), money.as("Spent"), text.as("Currency"),
		count.as("Points earned"), count.as("Points burned"), count.as("Gift cards"),
		moment.as("First event"), moment.as("Latest event"), moment.as("Profile updated"))
	times := map[string][]time.Time{} // of all events, by shop
	updates := map[string]*update{}   // the latest, by shop
	for _, u := range p.updatesOf(c) {
		if u.customer == c.customer {
			times[u.shop] = append(times[u.shop], u.at)
			updates[u.shop] = u
		}
	}
	for _, ledger := range ledgers {
		for _, e := range p.changesOf(ledger, c) {
			times[e.shop] = append(times[e.shop], e.at)
		}
	}
	for shop, moments := range times {
		here := func(e *change) bool { return e.shop == shop }
		row := []any{shop, "", "", "", "", "unknown", "unknown", "unknown", "", nil, nil, ""}
		var updated any
		if u := updates[shop]; u != nil {
			tags := strings.Join(u.list("tags"), ", ")
			row = []any{
				shop, u.text("email"), u.text("phone"), u.text("first_name"), u.text("last_name"), u.account(), u.consent("email"), u.consent("sms"),
				tags, u.orNull("orders_count"), u.orNull("total_spent_cents"), u.text("currency"),
			}
			updated = u.at
		}
		inPoints := only(p.changesOf(points, c), here)
		usable := only(p.held(c), func(l *life) bool { return l.shop == shop && l.state == "active" })
		a.add(append(row, added(inPoints), taken(inPoints), int64(len(usable)),
			slices.MinFunc(moments, time.Time.Compare), slices.MaxFunc(moments, time.Time.Compare), updated)...)
	}
	return a.sorted(0, asc(0))
}

// toldBalances are the balances that the events of the selected time told.
func (p *programme) toldBalances(ledger string, c choice, value column) answer {
	a := table(moment.as("time"), text.as("shop"), value)
	for _, e := range p.changesOf(ledger, c) {
		if c.inTime(e.at) {
			a.add(e.at, e.shop, optional(e.balance))
		}
	}
	return a.sorted(0, asc(0))
}

func optional(n *int64) any {
	if n == nil {
		return nil
	}
	return *n
}

// everyEvent is each event of the selected time, the latest first.
func everyEvent(p *programme, c choice) answer {
	a := table(moment.as("Time"), text.as("Shop"), text.as("Ledger"), text.as("Scene or reason"), text.as("Code"), count.as("Points"), count.as("Points after"),
		money.as("Amount"), money.as("Amount after"), moment.as("Expires"), moment.as("Received"), text.as("Event"))
	for _, ledger := range ledgers {
		for _, e := range p.changesOf(ledger, c) {
			if !c.inTime(e.at) {
				continue
			}
			changed := []any{nil, nil, e.delta, optional(e.balance)}
			if ledger == points {
				changed = []any{e.delta, optional(e.balance), nil, nil}
			}
			row := append([]any{e.at, e.shop, spoken(ledger), e.scene, e.code}, changed...)
			a.add(append(row, orNever(e.expires), e.received, e.id)...)
		}
	}
	return a.sorted(1000, desc(0), asc(11))
}

// profileChanges are the fields of which an update of the selected time tells
// another value than the one before, whenever that was.
func profileChanges(p *programme, c choice) answer {
	a := table(moment.as("Time"), text.as("Shop"), text.as("Field"), text.as("Before"), text.as("After"))
	mine := only(p.updatesOf(c), func(u *update) bool { return u.customer == c.customer })
	for _, updates := range grouped(mine, (*update).who) {
		for i, u := range slices.Backward(updates) {
			if i == 0 || !c.inTime(u.at) {
				continue
			}
			for _, column := range updatesTable.Columns[schema.ReceivedAt+1:] {
				switch column.Name {
				case "customer_id", "updated_at", "normalized_at", "retracted":
					continue
				}
				if before, after := updates[i-1].written(column.Name), u.written(column.Name); before != after {
					a.add(u.at, u.shop, column.Name, before, after)
				}
			}
		}
	}
	return a.sorted(500, desc(0), asc(1), asc(2))
}

// list is a column of several texts.
func (u *update) list(name string) (texts []string) {
	_, v := u.cell(name)
	for _, item := range v.List {
		texts = append(texts, item.Text)
	}
	return texts
}

// orNull is a column of numbers that an update may not tell.
func (u *update) orNull(name string) any {
	if _, v := u.cell(name); v.Set {
		return v.Int
	}
	return nil
}

// written is a field as text: a list as ['a','b'], a time in UTC, and what is not
// told as nothing.
func (u *update) written(name string) string {
	c, v := u.cell(name)
	switch {
	case c.Array:
		items := make([]string, len(v.List))
		for i := range v.List {
			items[i] = writtenValue(c, &v.List[i])
			if c.Type == schema.String {
				items[i] = "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(items[i]) + "'"
			}
		}
		return "[" + strings.Join(items, ",") + "]"
	case c.Nullable && !v.Set:
		return ""
	}
	return writtenValue(c, v)
}

func writtenValue(c *schema.Column, v *schema.Value) string {
	switch c.Type {
	case schema.Bool:
		return strconv.FormatBool(v.Int != 0)
	case schema.Int64:
		return strconv.FormatInt(v.Int, 10)
	case schema.Time:
		return time.UnixMilli(v.Int).UTC().Format("2006-01-02 15:04:05.000")
	case schema.Date:
		return time.Unix(v.Int*86400, 0).UTC().Format(time.DateOnly)
	}
	return v.Text
}

// deliveriesOf are the webhooks of the customer's events that came in the selected
// time, whenever the events were.
func deliveriesOf(p *programme, c choice) answer {
	mine := map[string]bool{}
	for _, ledger := range ledgers {
		for _, e := range p.changes[ledger] {
			mine[e.id] = mine[e.id] || e.buyer == c.customer
		}
	}
	for _, u := range p.updates {
		mine[u.id] = mine[u.id] || u.customer == c.customer
	}
	a := table(moment.as("Received"), text.as("Shop"), text.as("Topic"), text.as("Webhook"), text.as("Event"), count.as("Bytes"))
	for _, d := range p.deliveriesIn(c) {
		if mine[d.event] {
			a.add(d.received, d.shop, d.topic, d.webhook, d.event, int64(d.bytes))
		}
	}
	return a.sorted(500, desc(0), asc(3), asc(4))
}

// everything is a customer of whom all ledgers and updates know something, in more
// than one shop, and in whose ledgers there are gaps: the one with most events.
func (p *programme) everything() string {
	events := map[string]int{}
	shops := map[string]map[string]bool{}
	for _, ledger := range ledgers {
		for _, e := range p.changes[ledger] {
			events[e.buyer]++
			if shops[e.buyer] == nil {
				shops[e.buyer] = map[string]bool{}
			}
			shops[e.buyer][e.shop] = true
		}
	}
	best := ""
	for _, buyer := range slices.Sorted(maps.Keys(events)) {
		c := choice{customer: buyer}
		if len(shops[buyer]) > 1 && len(p.gapsOf(c)) > 1 && events[buyer] > events[best] && p.balanceOf(credits, c) > 0 &&
			slices.ContainsFunc(p.held(c), func(l *life) bool { return l.state == "active" }) {
			best = buyer
		}
	}
	return best
}
