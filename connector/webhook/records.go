package webhook

import (
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

// A Record is what the buffer is asked to keep: one Kafka record, its topic
// named without the configured prefix.
type Record struct {
	Topic      string
	Key, Value []byte
}

// Records builds what a delivery is stored as: its fact or its dead letter, and
// the delivery itself. All have the key of the shop and the customer, so that
// one customer's events stay in order.
type Records struct {
	raw, dead *schema.Table
}

// NewRecords returns Records for the connector's own tables.
func NewRecords() Records { return Records{raw: schema.RawWebhooks(), dead: schema.DeadLetters()} }

// Of returns the records of a delivery that was normalized with the result r.
func (b Records) Of(d normalize.Delivery, r normalize.Result) [2]Record {
	key := r.Key()
	raw := Record{Topic: b.raw.Topic, Key: key, Value: b.raw.AppendRow(make([]byte, 0, 512+2*len(d.Body)), normalize.RawWebhook(d, r))}
	if r.Reject != nil {
		return [2]Record{{Topic: b.dead.Topic, Key: key, Value: b.dead.AppendRow(nil, normalize.DeadLetter(d, r))}, raw}
	}
	return [2]Record{{Topic: r.Table.Topic, Key: key, Value: r.Table.AppendRow(make([]byte, 0, 1024), r.Row)}, raw}
}
