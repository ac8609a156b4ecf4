package answers_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

const day = 24 * time.Hour

// The ledgers, as the warehouse names them.
const (
	points  = "points"
	credits = "store_credits"
	cards   = "gift_cards"
)

var ledgers = []string{points, credits, cards}

// A change is one event of a ledger.
type change struct {
	id                string // of the event
	shop, buyer, code string
	scene             string // the reason, of store credits
	delta             int64  // with its sign, in points or cents
	// balance is what the event tells to be there after it; nil where it tells none.
	balance      *int64
	original     int64 // with which a gift card was sold
	at, received time.Time
	expires      time.Time // zero: never
}

// An update is one update of a customer.
type update struct {
	id, shop, customer string
	at, received       time.Time
	row                schema.Row
}

// A delivery is one signed webhook, resends too.
type delivery struct {
	event, shop, topic, webhook string
	received                    time.Time
	bytes                       int
}

// A letter is a delivery that could not become a row, or a row that a sink refused.
type letter struct {
	shop, stage, topic, reason, detail string
	received                           time.Time
}

// A programme is what shops and customers did, and what was told of it: the same
// in memory and in the warehouse, whatever the day. Its last delivery came a short
// time ago.
type programme struct {
	now time.Time
	// refreshing is when the views named *_cached began to be refreshed, and refreshed
	// when all were.
	refreshing, refreshed time.Time

	changes    map[string][]*change // by ledger, each event once
	updates    []*update            // each once
	deliveries []*delivery
	letters    []*letter

	// What follows from the changes, and is asked often.
	accounts map[string]map[owner]history // by ledger
	gaps     []gap                        // the latest first
	known    string                       // a customer with something of everything

	rows map[*schema.Table][]schema.Row // what the sink is given, in the order of arrival
}

// Of so many events of a ledger, and updates of customers, one is lost; another
// event of a ledger does not tell its balance; and another update is of the same
// second as the customer's one before.
const (
	lostChangeOneIn = 61
	lostUpdateOneIn = 9
	untoldOneIn     = 19
	atOnceOneIn     = 4
)

// newProgramme plays a history of more than a year, beside it an even mixture of
// events in which much is late, doubled, bad or not told, and a shop of which only
// customers are known.
func newProgramme(now time.Time) (*programme, error) {
	year, mixture := simulate.DefaultHistoryConfig(), simulate.DefaultConfig()
	year.Count, year.Customers, year.Shops = 7000, 160, 2
	year.Span = 430 * day
	year.ResendRatio, year.OutOfOrderRatio, year.BadRatio = 0.06, 0.05, 0.01
	mixture.Seed, mixture.Count, mixture.Customers, mixture.Shops = 7, 2500, 60, 2
	mixture.Span = 200 * day
	newcomer := mixture
	newcomer.Seed, newcomer.Count, newcomer.Customers, newcomer.Shops = 8, 300, 20, 1

	contracts, err := schema.Builtin()
	if err != nil {
		return nil, err
	}
	normalizer, err := normalize.New(contracts, true)
	if err != nil {
		return nil, err
	}
	p := &programme{now: now, changes: map[string][]*change{}, rows: map[*schema.Table][]schema.Row{}}
	s := scribe{programme: p, normalizer: normalizer, raw: schema.RawWebhooks(), dead: schema.DeadLetters(), known: map[string]any{}, told: map[string]int{}, before: map[owner]*update{}}
	onlyCustomers := only(arrivals(newcomer), func(d *simulate.Delivery) bool { return d.Table == simulate.TableCustomerChanges })
	all := slices.Concat(arrivals(year), arrivals(mixture), onlyCustomers)
	slices.SortStableFunc(all, func(a, b *simulate.Delivery) int { return cmp.Compare(a.AtMillis, b.AtMillis) })
	for _, d := range all {
		if err := s.receive(d); err != nil {
			return nil, err
		}
	}
	for _, c := range p.changes[points][len(p.changes[points])-3:] {
		s.refuse(c)
	}
	p.settle()
	p.accounts = map[string]map[owner]history{}
	for ledger, changes := range p.changes {
		p.accounts[ledger] = histories(ledger, changes)
		for _, h := range p.accounts[ledger] {
			p.gaps = append(p.gaps, h.gaps(ledger)...)
		}
	}
	slices.SortFunc(p.gaps, func(a, b gap) int { return b.after.at.Compare(a.after.at) })
	slices.SortFunc(p.updates, inOrder)
	if p.known = p.bestKnown(); p.known == "" {
		return nil, errors.New("there is no customer with something of everything")
	}
	return p, nil
}

// arrivals are the signed deliveries of a history.
func arrivals(cfg simulate.Config) (all []*simulate.Delivery) {
	for g := simulate.New(cfg); ; {
		d, ok := g.Next()
		if !ok {
			return all
		}
		if d.Kind != simulate.KindBadSignature {
			all = append(all, &d)
		}
	}
}

// A scribe writes deliveries down, in memory and as the rows of the warehouse.
type scribe struct {
	*programme
	normalizer *normalize.Normalizer
	raw, dead  *schema.Table
	known      map[string]any // by event: a *change, an *update, or how it is lost
	told       map[string]int // events by table
	before     map[owner]*update
}

// Ways of losing an event: one that never arrives, and one that does, and that a
// replay takes back.
type (
	missing   struct{}
	retracted struct{}
)

func (s *scribe) receive(d *simulate.Delivery) error {
	came := normalize.Delivery{
		Topic: d.Topic, ShopID: d.ShopID, ShopDomain: d.ShopDomain, MerchantID: d.MerchantID,
		APIVersion: d.APIVersion, WebhookID: d.WebhookID, Body: d.Body, ReceivedAt: time.UnixMilli(d.AtMillis),
	}
	r := s.normalizer.Normalize(came, came.ReceivedAt)
	if rejected := r.Reject != nil; rejected != (d.Kind == simulate.KindBad) {
		return fmt.Errorf("a delivery of kind %s: rejected is %t", d.Kind, rejected)
	}
	id := r.EventID.String()
	if r.Reject == nil {
		if s.known[id] == nil {
			s.known[id] = s.event(id, d, r)
		}
		switch e := s.known[id].(type) {
		case missing:
			return nil
		case retracted:
			// Its row once more, of a later normalization, says so. Both are there.
			again := slices.Clone(r.Row)
			*again.NormalizedAt() = schema.IntValue(d.AtMillis + 1)
			*again.Retracted() = schema.IntValue(1)
			s.rows[r.Table] = append(s.rows[r.Table], again)
		case *change:
			e.received = came.ReceivedAt
			switch balance := &r.Row[r.Table.Index(balanceColumn[d.Table])]; {
			case e.balance == nil:
				*balance = schema.Value{}
			case isDisabling(e):
				*balance, r.Row[r.Table.Index("balance_delta_cents")] = schema.IntValue(*e.balance), schema.IntValue(0)
			}
		case *update:
			e.received = came.ReceivedAt
			r.Row[r.Table.Index("updated_at")] = schema.IntValue(e.at.UnixMilli())
		}
		s.rows[r.Table] = append(s.rows[r.Table], r.Row)
	} else {
		s.letters = append(s.letters, &letter{
			shop: r.ShopID, stage: "normalize", topic: d.Topic, reason: string(r.Reject.Reason), detail: r.Reject.Detail, received: came.ReceivedAt,
		})
		s.rows[s.dead] = append(s.rows[s.dead], normalize.DeadLetter(came, r))
	}
	s.deliveries = append(s.deliveries, &delivery{
		event: id, shop: r.ShopID, topic: d.Topic, webhook: d.WebhookID, received: came.ReceivedAt, bytes: len(d.Body),
	})
	s.rows[s.raw] = append(s.rows[s.raw], normalize.RawWebhook(came, r))
	return nil
}

// refuse writes down that a sink did not take an event of points, as it can be where
// there are several sinks.
func (s *scribe) refuse(c *change) {
	l := &letter{shop: c.shop, stage: "sink", topic: "loyalty.points", reason: "row_refused", detail: "code 469", received: c.received}
	s.letters = append(s.letters, l)
	row := make(schema.Row, len(s.dead.Columns))
	for column, value := range map[string]schema.Value{
		"stage": schema.TextValue(l.stage), "reason": schema.TextValue(l.reason), "detail": schema.TextValue(l.detail),
		"topic": schema.TextValue(l.topic), "shop_id": schema.TextValue(l.shop), "received_at": schema.IntValue(l.received.UnixMilli()),
		"event_id": schema.TextValue(c.id), "sink": schema.TextValue("another"),
	} {
		row[s.dead.Index(column)] = value
	}
	s.rows[s.dead] = append(s.rows[s.dead], row)
}

var balanceColumn = map[string]string{
	simulate.TablePoints:       "points_balance",
	simulate.TableStoreCredits: "current_balance_cents",
	simulate.TableGiftCards:    "current_balance_cents",
}

// event writes down an event that comes for the first time. Of a ledger's event
// it takes what the simulation knows to be true.
func (s *scribe) event(id string, d *simulate.Delivery, r normalize.Result) any {
	truth := &d.Truth
	at := time.UnixMilli(truth.UpdatedAtMillis)
	s.told[d.Table]++
	lost := lostChangeOneIn
	if truth.Profile != nil {
		lost = lostUpdateOneIn
	}
	switch n := s.told[d.Table]; {
	case n%(2*lost) == 0:
		return missing{}
	case n%lost == 0:
		return retracted{}
	}
	if truth.Profile != nil {
		u := &update{id: id, shop: truth.Account.ShopID, customer: truth.BuyerID, at: at, row: r.Row}
		if last := s.before[u.who()]; last != nil && s.told[d.Table]%atOnceOneIn == 0 {
			u.at = last.at
			delete(s.before, u.who()) // Two are enough.
		} else {
			s.before[u.who()] = u
		}
		s.updates = append(s.updates, u)
		return u
	}
	c := &change{
		id: id, shop: truth.Account.ShopID, buyer: truth.BuyerID, code: truth.Code, scene: truth.Scene,
		delta: truth.Delta, balance: &truth.Balance, original: truth.OriginalCents, at: at,
	}
	if s.told[d.Table]%untoldOneIn == 0 {
		c.balance = nil
	} else if isDisabling(c) {
		left := truth.Balance - truth.Delta
		c.delta, c.balance = 0, &left
	}
	if truth.ExpiresAtMillis != 0 {
		c.expires = time.UnixMilli(truth.ExpiresAtMillis)
	}
	ledger := map[string]string{
		simulate.TablePoints: points, simulate.TableStoreCredits: credits, simulate.TableGiftCards: cards,
	}[d.Table]
	s.changes[ledger] = append(s.changes[ledger], c)
	return c
}

// settle moves the programme in time, so that its last delivery came an hour ago,
// or some minutes more: nothing may expire or grow old while it is being asked for,
// for the warehouse has a clock of its own.
func (p *programme) settle() {
	last := slices.MaxFunc(p.deliveries, func(a, b *delivery) int { return a.received.Compare(b.received) }).received
	shift := p.now.Add(-time.Hour).Sub(last)
	for !p.quiet(shift) {
		shift -= time.Minute
	}
	move := func(times ...*time.Time) {
		for _, t := range times {
			if !t.IsZero() {
				*t = t.Add(shift).UTC()
			}
		}
	}
	for _, changes := range p.changes {
		for _, c := range changes {
			move(&c.at, &c.received, &c.expires)
		}
	}
	for _, u := range p.updates {
		move(&u.at, &u.received)
	}
	for _, d := range p.deliveries {
		move(&d.received)
	}
	for _, l := range p.letters {
		move(&l.received)
	}
	for table, rows := range p.rows {
		for _, row := range rows {
			for i, column := range table.Columns {
				if column.Type == schema.Time && row[i].Set {
					row[i].Int += shift.Milliseconds()
				}
			}
		}
	}
}

// calm is how long the warehouse may take to be asked everything.
const calm = 5 * time.Minute

// quiet tells whether no moment that counts comes within the next minutes.
func (p *programme) quiet(shift time.Duration) bool {
	near := func(t time.Time, days ...int) bool {
		return slices.ContainsFunc(days, func(n int) bool {
			return t.Add(shift).Sub(p.now.Add(time.Duration(n)*day)).Abs() < calm
		})
	}
	for _, changes := range p.changes {
		for _, c := range changes {
			if near(c.at, -30, -365) || !c.expires.IsZero() && near(c.expires, 0, 30, 60, 90) {
				return false
			}
		}
	}
	return true
}

// store writes all rows through the sink, in batches of one partition of each
// topic, as they arrived.
func (p *programme) store(ctx context.Context, sink sinks.Sink) error {
	for table, rows := range p.rows {
		offset := int64(0)
		for part := range slices.Chunk(rows, 500) {
			b := &sinks.Batch{Topic: "loyalty." + table.Topic, Table: table}
			for _, row := range part {
				b.Records = append(b.Records, sinks.Record{Offset: offset, Timestamp: p.now.UnixMilli(), Value: table.AppendRow(nil, row)})
				offset++
			}
			if err := sink.Write(ctx, b); err != nil {
				return err
			}
		}
	}
	return nil
}
