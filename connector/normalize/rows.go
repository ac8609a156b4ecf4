package normalize

import (
	"strings"

	"loyaltyhouse/schema"
)

// Key returns the key in Kafka of what concerns a customer of a shop, so that
// one customer's events stay in order.
func Key(shopID, customerID string) []byte {
	return []byte(strings.ToValidUTF8(shopID, "\uFFFD") + "/" + customerID)
}

// Key returns the key in Kafka of the delivery's records: shop and customer, or
// shop and event where the body names no customer.
func (r Result) Key() []byte {
	if r.CustomerID == "" {
		return Key(r.ShopID, r.EventID.String())
	}
	return Key(r.ShopID, r.CustomerID)
}

// RawWebhook returns the row of [schema.RawWebhooks] that keeps the delivery.
func RawWebhook(d Delivery, r Result) schema.Row {
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
		headerShopID(d, r),
	}
}

// DeadLetter returns the row of [schema.DeadLetters] for a delivery that was
// rejected.
func DeadLetter(d Delivery, r Result) schema.Row {
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
		headerShopID(d, r),
	}
}

// headerShopID is the header where it is not the row's shop_id already.
func headerShopID(d Delivery, r Result) schema.Value {
	if d.ShopID == r.ShopID {
		return schema.Value{}
	}
	return schema.TextValue(d.ShopID)
}
