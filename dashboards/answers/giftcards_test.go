package answers_test

import (
	"fmt"
	"slices"
	"time"
)

// giftCards follows cards from their sale to their last use.
var giftCards = board{
	panels: map[string]promise{
		"Sold":     func(p *programme, c choice) answer { return single(money, sold(p.chosen(cards, c))) },
		"Redeemed": func(p *programme, c choice) answer { return single(money, redeemed(p.chosen(cards, c))) },
		"Refunded": func(p *programme, c choice) answer { return single(money, refunded(p.chosen(cards, c))) },
		"Disabled": func(p *programme, c choice) answer { return single(money, disabled(p.chosen(cards, c))) },
		"Cards changed": func(p *programme, c choice) answer {
			return single(count, int64(len(grouped(p.chosen(cards, c), func(e *change) owner { return account(cards, e) }))))
		},
		"Sold, redeemed, refunded, disabled": func(p *programme, c choice) answer {
			a := table(moment.as("time"), money.as("Sold"), money.as("Redeemed"), money.as("Refunded"), money.as("Disabled"))
			for at, part := range grouped(p.chosen(cards, c), func(e *change) time.Time { return c.bar(e.at) }) {
				a.add(at, sold(part), redeemed(part), refunded(part), disabled(part))
			}
			return a.sorted(0, asc(0))
		},
		"Cards by state": func(p *programme, c choice) answer {
			a := table(text.as("State"), count.as("Cards"))
			for state, part := range grouped(p.lives(c), func(l *life) string { return l.state }) {
				a.add(state, int64(len(part)))
			}
			return a.sorted(0, desc(1), asc(0))
		},
		"Outstanding": func(p *programme, c choice) answer { return single(money, left(p.livesThatAre("active", c))) },
		"Active cards": func(p *programme, c choice) answer {
			return single(count, int64(len(p.livesThatAre("active", c))))
		},
		"Breakage": func(p *programme, c choice) answer { return single(money, left(p.livesThatAre("expired", c))) },
		"Breakage rate": func(p *programme, c choice) answer {
			var all int64
			for _, l := range p.lives(c) {
				all += sold(l.history)
			}
			return single(share, over(left(p.livesThatAre("expired", c)), all))
		},
		"Expiring": func(p *programme, c choice) answer {
			a := table(text.as("When"), money.as("Expiring"))
			for _, days := range []int{30, 60, 90} {
				until := p.now.Add(time.Duration(days) * day)
				a.add(fmt.Sprintf("in %d days", days), left(only(p.livesThatAre("active", c), func(l *life) bool {
					return !l.expires.IsZero() && !l.expires.After(until)
				})))
			}
			return a
		},
		"Changes by scene": func(p *programme, c choice) answer {
			return barsByScene(c, p.chosen(cards, c), "scene", count.as("events"), func(part []*change) int64 { return int64(len(part)) })
		},
		"From sale to first use": fromSaleToFirstUse,
		"Cards": func(p *programme, c choice) answer {
			a := table(text.as("Shop"), text.as("Card"), text.as("Customer"), text.as("State"), money.as("Original value"), money.as("Balance"),
				money.as("Redeemed"), money.as("Refunded"), count.as("Times used"), moment.as("Sold"), moment.as("Last used"), moment.as("Expires"))
			for _, l := range p.lives(c) {
				uses := only(l.history, isRedemption)
				var lastUsed any
				if len(uses) > 0 {
					lastUsed = uses[len(uses)-1].at
				}
				a.add(l.shop, l.id, l.holder, l.state, l.last().original, l.balance(),
					redeemed(l.history), refunded(l.history), int64(len(uses)), l.soldAt(), lastUsed, orNever(l.expires))
			}
			return a.sorted(100, desc(5), asc(0), asc(1))
		},
		"Expiring next": func(p *programme, c choice) answer {
			a := table(text.as("Shop"), text.as("Card"), text.as("Customer"), money.as("Balance"), moment.as("Expires"), count.as("Days left"))
			for _, l := range p.livesThatAre("active", c) {
				if !l.expires.IsZero() {
					// A day can end while the panel is asked for.
					most, least := l.expires.Sub(p.now)/day, time.Until(l.expires)/day
					a.add(l.shop, l.id, l.holder, l.balance(), l.expires, between(float64(least), float64(most)))
				}
			}
			return a.sorted(50, asc(4), asc(0), asc(1))
		},
	},
	variables: map[string]options{
		"shop":       func(p *programme, _ choice) []string { return p.shops() },
		"card_scene": func(p *programme, c choice) []string { return p.scenes(cards, c) },
	},
	annotations: map[string]promise{
		"Gaps": func(p *programme, c choice) answer { return p.gapMarks(c, cards) },
	},
}

func isSale(c *change) bool {
	return c.delta > 0 && (c.scene == "SELF_PURCHASE" || c.scene == "OTHERS_SEND")
}

func isRedemption(c *change) bool { return c.delta < 0 && c.scene == "PURCHASE_PAYMENT" }

func sold(changes []*change) int64 { return added(only(changes, isSale)) }

func redeemed(changes []*change) int64 { return taken(only(changes, isRedemption)) }

func refunded(changes []*change) int64 {
	return added(only(changes, func(c *change) bool { return c.scene == "RETURN_INCREASE" }))
}

// disabled is what was on cards when they were disabled.
func disabled(changes []*change) (sum int64) {
	for _, c := range only(changes, isDisabling) {
		sum += max(0, -c.delta)
		if c.balance != nil {
			sum += *c.balance
		}
	}
	return sum
}

func isDisabling(c *change) bool { return c.scene == "CARD_DISABLED" }

// A life is all that is known of a card, as of now.
type life struct {
	owner // its shop and code
	history
	holder, state string
	expires       time.Time
}

// lives are those of all cards of the selected shops.
func (p *programme) lives(c choice) (all []*life) {
	for o, h := range p.accounts[cards] {
		if !c.inShop(o.shop) {
			continue
		}
		l := &life{owner: o, history: h, holder: h.last().buyer, expires: h.last().expires}
		switch {
		case slices.ContainsFunc(h, isDisabling):
			l.state = "disabled"
		case h.balance() <= 0:
			l.state = "used_up"
		case !l.expires.IsZero() && !l.expires.After(p.now):
			l.state = "expired"
		default:
			l.state = "active"
		}
		all = append(all, l)
	}
	return all
}

func (p *programme) livesThatAre(state string, c choice) []*life {
	return only(p.lives(c), func(l *life) bool { return l.state == state })
}

// left is what is on cards.
func left(lives []*life) (sum int64) {
	for _, l := range lives {
		sum += l.balance()
	}
	return sum
}

// soldAt is when the card was first sold, nil for a card whose sale is not known.
func (l *life) soldAt() any {
	if sales := only(l.history, isSale); len(sales) > 0 {
		return sales[0].at
	}
	return nil
}

func orNever(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}

// fromSaleToFirstUse counts the midnights, in the selected time zone, from the
// sale of a card to its first use.
func fromSaleToFirstUse(p *programme, c choice) answer {
	steps := []struct {
		below int
		name  string
	}{{1, "same day"}, {7, "first week"}, {30, "first month"}, {90, "first 3 months"}, {365, "first year"}, {1 << 30, "later"}}
	found := map[string]int64{}
	for _, l := range p.lives(c) {
		uses := only(l.history, isRedemption)
		saleAt, isSold := l.soldAt().(time.Time)
		if !isSold || len(uses) == 0 {
			continue
		}
		date := func(t time.Time) time.Time {
			local := t.In(c.location())
			return time.Date(local.Year(), local.Month(), local.Day(), 0, 0, 0, 0, time.UTC)
		}
		days := int(date(uses[0].at).Sub(date(saleAt)) / day)
		for _, step := range steps {
			if days < step.below {
				found[step.name]++
				break
			}
		}
	}
	a := table(text.as("First used"), count.as("Cards"))
	for _, step := range steps {
		if found[step.name] > 0 {
			a.add(step.name, found[step.name])
		}
	}
	return a
}
