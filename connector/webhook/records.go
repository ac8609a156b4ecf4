package webhook

import (
	"strings"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

// A Record is what the buffer is asked to keep: one Kafka record, its topic
// named without the configured prefix.
type Record struct {
	Topic      string
	Key, Value []byte
}

// records builds what a delivery is stored as: its fact or its dead letter, and
// the delivery itself. All have the key of the shop and the customer, so that
// one customer's events stay in order.
type records struct {
	raw, dead *schema.Table
}

func newRecords() records { return records{raw: schema.RawWebhooks(), dead: schema.DeadLetters()} }

func (b records) of(d normalize.Delivery, r normalize.Result) [2]Record {
	key := recordKey(r)
	raw := Record{Topic: b.raw.Topic, Key: key, Value: b.raw.AppendRow(make([]byte, 0, 512+2*len(d.Body)), rawRow(d, r))}
	if r.Reject != nil {
		return [2]Record{{Topic: b.dead.Topic, Key: key, Value: b.dead.AppendRow(nil, deadRow(d, r))}, raw}
	}
	return [2]Record{{Topic: r.Table.Topic, Key: key, Value: r.Table.AppendRow(make([]byte, 0, 1024), r.Row)}, raw}
}

// recordKey is shop/customer; where the body names no customer, shop/event.
func recordKey(r normalize.Result) []byte {
	customer := r.CustomerID
	if customer == "" {
		customer = r.EventID.String()
	}
	return []byte(strings.ToValidUTF8(r.ShopID, "\uFFFD") + "/" + customer)
}

func rawRow(d normalize.Delivery, r normalize.Result) schema.Row {
	return schema.Row{
		schema.TextValue(r.EventID.String()),
		schema.TextValue(d.WebhookID),
		schema.TextValue(d.Topic),
		schema.TextValue(r.ShopID),
		schema.IntValue(d.ReceivedAt.UnixMilli()),
		schema.BytesValue(d.Body),
		schema.TextValue(d.ShopDomain),
		schema.TextValue(d.MerchantID),
		schema.TextValue(d.APIVersion),
	}
}

func deadRow(d normalize.Delivery, r normalize.Result) schema.Row {
	return schema.Row{
		schema.TextValue("normalize"),
		schema.TextValue(string(r.Reject.Reason)),
		schema.TextValue(r.Reject.Detail),
		schema.TextValue(d.Topic),
		schema.TextValue(r.ShopID),
		schema.TextValue(d.WebhookID),
		schema.IntValue(d.ReceivedAt.UnixMilli()),
		schema.BytesValue(d.Body),
		schema.TextValue(r.EventID.String()),
		schema.TextValue(d.ShopDomain),
		schema.TextValue(d.MerchantID),
		schema.TextValue(d.APIVersion),
		{},
		{},
		{},
	}
}
