package answers_test

import (
	"cmp"
	"slices"
	"time"
)

// An owner is a customer of a shop or, of gift cards, a card of a shop. Shops may
// use the same ids.
type owner struct{ shop, id string }

// who is the customer whose change it is.
func (c *change) who() owner { return owner{c.shop, c.buyer} }

// account is what the change's balance belongs to.
func account(ledger string, c *change) owner {
	if ledger == cards {
		return owner{c.shop, c.code}
	}
	return c.who()
}

// A history is all changes of one account, in the order in which they happened.
type history []*change

// histories are the accounts of a ledger.
func histories(ledger string, changes []*change) map[owner]history {
	all := map[owner]history{}
	for _, c := range changes {
		o := account(ledger, c)
		all[o] = append(all[o], c)
	}
	for _, h := range all {
		slices.SortFunc(h, func(a, b *change) int { return a.at.Compare(b.at) })
	}
	return all
}

func (h history) last() *change { return h[len(h)-1] }

// balance is what the latest event that tells one tells, and the changes since.
func (h history) balance() (balance int64) {
	for _, c := range h {
		balance += c.delta
		if c.balance != nil {
			balance = *c.balance
		}
	}
	return balance
}

// hadBefore tells whether there was something before the first event.
func (h history) hadBefore() bool { return h[0].balance != nil && *h[0].balance > h[0].delta }

// expired is the part of the balance that has run out.
func (h history) expired(now time.Time) int64 { return h.runsOut(time.Time{}, now) }

// expiring is the part of the balance that runs out until then.
func (h history) expiring(now, until time.Time) int64 { return h.runsOut(now, until) }

// runsOut is the part of the balance that runs out after one moment and until
// another. What runs out first is spent first: the balance lies on what never runs
// out, and then on what does so last.
func (h history) runsOut(after, until time.Time) (part int64) {
	lots := slices.DeleteFunc(slices.Clone(h), func(c *change) bool { return c.delta <= 0 })
	slices.SortFunc(lots, func(a, b *change) int {
		return cmp.Or(-cmp.Compare(btoi(a.expires.IsZero()), btoi(b.expires.IsZero())), b.expires.Compare(a.expires))
	})
	left := max(0, h.balance())
	for _, lot := range lots {
		lies := min(left, lot.delta)
		left -= lies
		if lot.expires.After(after) && !lot.expires.After(until) {
			part += lies
		}
	}
	return part
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// A gap is between two events of an account of which the second does not follow
// from the first.
type gap struct {
	ledger         string
	before, after  *change
	expected, told int64
}

func (g *gap) unexplained() int64 { return g.told - g.expected }

// gaps are those of one account.
func (h history) gaps(ledger string) (gaps []gap) {
	var before *change // the last one that told its balance
	var balance int64
	for _, c := range h {
		balance += c.delta
		if c.balance == nil {
			continue
		}
		if before != nil && balance != *c.balance {
			gaps = append(gaps, gap{ledger, before, c, balance, *c.balance})
		}
		before, balance = c, *c.balance
	}
	return gaps
}

// Sums over changes.

func added(changes []*change) (sum int64) {
	for _, c := range changes {
		sum += max(0, c.delta)
	}
	return sum
}

func taken(changes []*change) (sum int64) {
	for _, c := range changes {
		sum += max(0, -c.delta)
	}
	return sum
}

func net(changes []*change) int64 { return added(changes) - taken(changes) }

func customers(changes []*change) int64 {
	all := map[owner]bool{}
	for _, c := range changes {
		all[c.who()] = true
	}
	return int64(len(all))
}

// grouped sorts things by a key.
func grouped[T any, K comparable](things []T, key func(T) K) map[K][]T {
	groups := map[K][]T{}
	for _, t := range things {
		groups[key(t)] = append(groups[key(t)], t)
	}
	return groups
}

// only are the things for which keep is true.
func only[T any](things []T, keep func(T) bool) []T {
	return slices.DeleteFunc(slices.Clone(things), func(t T) bool { return !keep(t) })
}

func byScene(c *change) string { return c.scene }

// over divides, and has no answer for nothing.
func over(a, b int64) any {
	if b == 0 {
		return nil
	}
	return float64(a) / float64(b)
}
