package normalize

import (
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"loyaltyhouse/schema"
)

// A Delivery is one webhook as it came. Only the body is signed: whoever
// replays a body can write any header.
type Delivery struct {
	// Topic and the five after it are the X-Shopline headers.
	Topic, ShopID, ShopDomain, MerchantID, APIVersion, WebhookID string
	Body                                                         []byte
	// ReceivedAt is when the body had been read.
	ReceivedAt time.Time
}

// A Result is what a delivery became.
type Result struct {
	EventID uuid.UUID
	// ShopID is the signed shop id where the body has one, else the header's.
	ShopID string
	// CustomerID is the contract's key, empty where the body has none to read.
	CustomerID string
	// StoreMismatch tells that the body and the header name different shops.
	StoreMismatch bool
	// Table and Row are nil when Reject says why there is no row.
	Table  *schema.Table
	Row    schema.Row
	Reject *Reject
}

// A Normalizer holds the compiled contracts. It is safe for concurrent use.
type Normalizer struct {
	plans []*plan
	// rejectMismatch makes a difference between store_id and the header a reject.
	rejectMismatch bool
	decoders       sync.Pool
}

// New compiles the contracts. With rejectMismatch a body whose store_id
// differs from the header X-Shopline-Shop-Id is rejected. It is an error when
// two contracts ask for the same webhook, Kafka topic or table.
func New(contracts []*schema.Contract, rejectMismatch bool) (*Normalizer, error) {
	if err := schema.CheckConflicts(contracts); err != nil {
		return nil, err
	}
	n := &Normalizer{rejectMismatch: rejectMismatch}
	n.decoders.New = func() any { return newDecoder() }
	for _, c := range contracts {
		n.plans = append(n.plans, compile(c))
	}
	return n, nil
}

// Tables returns the fact tables of the contracts.
func (n *Normalizer) Tables() []*schema.Table {
	tables := make([]*schema.Table, len(n.plans))
	for i, p := range n.plans {
		tables[i] = p.table
	}
	return tables
}

// Normalize turns a delivery into a row, or into a reject with its reason. Now
// becomes the row's normalized_at.
func (n *Normalizer) Normalize(d Delivery, now time.Time) Result {
	id, valid := EventID(d.Body)
	r := Result{EventID: id, ShopID: d.ShopID}
	p := n.plan(d.Topic)
	switch {
	case p == nil:
		r.Reject = rejectf(UnknownTopic, "no contract has this webhook topic")
		return r
	case !valid:
		r.Reject = rejectf(InvalidJSON, "the body is not valid JSON, or repeats a name in an object")
		return r
	}

	dec := n.decoders.Get().(*decoder)
	row := make(schema.Row, len(p.table.Columns))
	reject := dec.run(p, d.Body, row)
	if dec.shopID != "" {
		r.ShopID = dec.shopID
		r.StoreMismatch = d.ShopID != "" && d.ShopID != dec.shopID
	}
	n.decoders.Put(dec)
	r.CustomerID = row[p.key].Text
	if reject == nil && r.StoreMismatch && n.rejectMismatch {
		reject = rejectf(StoreMismatch, "the body's %s and the header X-Shopline-Shop-Id differ", p.contract.ShopID)
	}
	if reject != nil {
		r.Reject = reject
		return r
	}

	row[schema.EventID] = schema.Value{Text: id.String(), Set: true}
	row[schema.ShopID] = schema.TextValue(r.ShopID)
	row[schema.ShopDomain] = schema.TextValue(d.ShopDomain)
	row[schema.MerchantID] = schema.TextValue(d.MerchantID)
	row[schema.APIVersion] = schema.TextValue(d.APIVersion)
	row[schema.WebhookID] = schema.TextValue(d.WebhookID)
	row[schema.ReceivedAt] = schema.IntValue(d.ReceivedAt.UnixMilli())
	*row.NormalizedAt() = schema.IntValue(now.UnixMilli())
	r.Table, r.Row = p.table, row
	return r
}

func (n *Normalizer) plan(topic string) *plan {
	topic = strings.TrimSpace(topic)
	for _, p := range n.plans {
		for _, webhook := range p.contract.Webhooks {
			if strings.EqualFold(topic, webhook) {
				return p
			}
		}
	}
	return nil
}

// Topic returns the Kafka topic of the contract for a value of
// X-Shopline-Topic, or "" where no contract names it.
func (n *Normalizer) Topic(webhook string) string {
	if p := n.plan(webhook); p != nil {
		return p.contract.Topic
	}
	return ""
}
