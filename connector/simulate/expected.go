package simulate

import (
	"iter"
	"maps"
)

// Expected is what a correct pipeline holds after all deliveries of a Generator
// have been answered once. The counts cover the deliveries returned so far; they
// agree with the balances once Next has returned false.
type Expected struct {
	// Facts is the number of distinct events by fact table.
	Facts map[string]int64
	// Deliveries counts everything that Next returned: Signed and Unsigned.
	Deliveries int64
	// Signed counts the deliveries that are answered 200, so the rows of
	// raw_webhooks.
	Signed int64
	// Unsigned counts the deliveries that are answered 401.
	Unsigned int64
	// Resends counts the deliveries that repeat an event.
	Resends int64
	// OutOfOrder counts the events that were held back until the very next event
	// of their ledger had been delivered. A few more may be late by chance.
	OutOfOrder int64
	// BadDeliveries counts the signed deliveries that become dead letters,
	// BadBodies the distinct bodies among them.
	BadDeliveries, BadBodies int64
	// Flaws counts the deliveries by what is wrong with them.
	Flaws map[Flaw]int64
	// PointsScenes sums the points ledgers by scene.
	PointsScenes map[string]SceneTotal
	// Customers is the number of customers with at least one change.
	Customers int64
	// Points, StoreCredits and GiftCards sum the final balances of all ledgers that
	// have an event. Balances returns them one by one.
	Points, StoreCredits, GiftCards LedgerTotal
}

// SceneTotal sums the events of one scene.
type SceneTotal struct {
	Events, Delta int64
}

// LedgerTotal sums the ledgers of one kind; money is in 1/100 of the currency unit.
type LedgerTotal struct {
	Ledgers, Balance int64
}

// Expected returns the ground truth of what has been delivered so far.
func (g *Generator) Expected() Expected {
	t := &g.tally
	e := Expected{
		Facts:         maps.Clone(t.facts),
		Deliveries:    t.deliveries,
		Signed:        t.deliveries - t.kinds[KindBadSignature],
		Unsigned:      t.kinds[KindBadSignature],
		Resends:       t.kinds[KindResend],
		OutOfOrder:    t.outOfOrder,
		BadDeliveries: t.kinds[KindBad],
		BadBodies:     g.badBodies,
		Flaws:         maps.Clone(t.flaws),
		PointsScenes:  maps.Clone(t.scenes),
		Customers:     int64(len(g.customers)),
	}
	for table, total := range map[string]*LedgerTotal{
		TablePoints:       &e.Points,
		TableStoreCredits: &e.StoreCredits,
		TableGiftCards:    &e.GiftCards,
	} {
		for _, balance := range g.Balances(table) {
			total.Ledgers++
			total.Balance += balance
		}
	}
	return e
}

// Balances yields the final balance of every ledger of a table that has an
// event: per buyer for points and store credits, per card for gift cards. For
// any other table it yields nothing.
func (g *Generator) Balances(table string) iter.Seq2[Account, int64] {
	return func(yield func(Account, int64) bool) {
		for k := range g.customers {
			c := &g.customers[k]
			switch {
			case table == TablePoints && c.hasPoints:
				if !yield(g.buyer(k), c.points) {
					return
				}
			case table == TableStoreCredits && c.hasCredits:
				if !yield(g.buyer(k), c.credits) {
					return
				}
			case table == TableGiftCards:
				for _, owned := range c.cards {
					if !yield(Account{ShopID: g.shopOf(k).id, ID: cardCode(owned.number)}, owned.balance) {
						return
					}
				}
			}
		}
	}
}

// tally counts what has been delivered.
type tally struct {
	deliveries int64
	outOfOrder int64
	kinds      map[Kind]int64
	flaws      map[Flaw]int64
	facts      map[string]int64
	scenes     map[string]SceneTotal
}

func newTally() tally {
	return tally{
		kinds:  make(map[Kind]int64),
		flaws:  make(map[Flaw]int64),
		facts:  make(map[string]int64),
		scenes: make(map[string]SceneTotal),
	}
}

func (t *tally) add(d *Delivery) {
	t.deliveries++
	t.kinds[d.Kind]++
	if d.Flaw != "" {
		t.flaws[d.Flaw]++
	}
	if d.Kind != KindEvent {
		return
	}
	t.facts[d.Table]++
	if d.Table == TablePoints {
		total := t.scenes[d.Truth.Scene]
		total.Events++
		total.Delta += d.Truth.Delta
		t.scenes[d.Truth.Scene] = total
	}
}

// Shops returns the ids of the shops that deliveries name.
func (g *Generator) Shops() []string {
	ids := make([]string, len(g.shops))
	for i := range g.shops {
		ids[i] = g.shops[i].id
	}
	return ids
}
