package schema

// The columns that every fact table begins with.
var envelope = []Column{
	{Name: "event_id", Type: UUID, Doc: "Identity of the event: a 128-bit hash of the canonical form of the signed body. Resends share it."},
	{Name: "shop_id", Type: String, Doc: "The shop: the body's store_id where it has one (it is signed), else the header X-Shopline-Shop-Id."},
	{Name: "shop_domain", Type: String, LowCardinality: true, Doc: "Header X-Shopline-Shop-Domain."},
	{Name: "merchant_id", Type: String, Doc: "Header X-Shopline-Merchant-Id."},
	{Name: "api_version", Type: String, LowCardinality: true, Doc: "Header X-Shopline-API-Version."},
	{Name: "webhook_id", Type: String, Doc: "Header X-Shopline-Webhook-Id: SHOPLINE's id of the delivery's message, the same for a resend."},
	{Name: "received_at", Type: Time, Doc: "When the receiver had read the body."},
}

// Positions of the envelope's columns in every fact table's row.
const (
	EventID = iota
	ShopID
	ShopDomain
	MerchantID
	APIVersion
	WebhookID
	ReceivedAt
	envelopeColumns
)

// closing are the columns that every fact table ends with. normalized_at is
// the version by which ReplacingMergeTree chooses among the rows of one event.
var closing = []Column{
	{Name: "normalized_at", Type: Time, Doc: "When the row was made from the body. Of several rows of one event the latest counts, so that a replay under a corrected contract replaces the old row."},
	{Name: "retracted", Type: Bool, Sparse: true, Doc: "True where a replay took this row back, because under a corrected contract the event has another key or no row at all. The views leave such rows out."},
}

// NormalizedAt returns the cell of that name in the row of a fact table.
func (r Row) NormalizedAt() *Value { return &r[len(r)-2] }

// Retracted returns the cell of that name in the row of a fact table.
func (r Row) Retracted() *Value { return &r[len(r)-1] }

// headerShopID tells what the receiver could not take as the shop's id.
var headerShopID = Column{
	Name: "header_shop_id", Type: String, Sparse: true,
	Doc: "Header X-Shopline-Shop-Id, where it is not shop_id because the signed body names another shop.",
}

// RawWebhooks returns the table that keeps every signed delivery, resends too.
func RawWebhooks() *Table {
	return &Table{
		Topic: "raw_webhooks", Name: "raw_webhooks",
		Doc: "Every delivery with a valid signature, byte for byte, resends too.",
		Columns: []Column{
			envelope[EventID],
			{Name: "webhook_id", Type: String, Doc: envelope[WebhookID].Doc},
			{Name: "topic", Type: String, LowCardinality: true, Doc: "Header X-Shopline-Topic, as it came."},
			envelope[ShopID],
			envelope[ReceivedAt],
			{Name: "body", Type: Bytes, Doc: "The body, byte for byte, also when it is not UTF-8."},
			envelope[ShopDomain],
			envelope[MerchantID],
			envelope[APIVersion],
			headerShopID,
		},
	}
}

// DeadLetters returns the table of what could not become a row, with the reason.
func DeadLetters() *Table {
	return &Table{
		Topic: "dead_letters", Name: "dead_letters",
		Doc: "Every delivery or Kafka record that could not become a row, with the reason and the bytes.",
		Columns: []Column{
			{Name: "stage", Type: String, LowCardinality: true, Doc: "Where it failed: normalize (the body) or sink (the row)."},
			{Name: "reason", Type: String, LowCardinality: true, Doc: "Why, from a bounded set."},
			{Name: "detail", Type: String, Doc: "What exactly was wrong: the field or the error's code, never a value."},
			{Name: "topic", Type: String, LowCardinality: true, Doc: "In stage normalize the header X-Shopline-Topic, in stage sink the Kafka topic."},
			envelope[ShopID],
			{Name: "webhook_id", Type: String, Doc: envelope[WebhookID].Doc},
			envelope[ReceivedAt],
			{Name: "body", Type: Bytes, Doc: "In stage normalize the webhook's body, in stage sink the Kafka record's value; byte for byte."},
			envelope[EventID],
			envelope[ShopDomain],
			envelope[MerchantID],
			envelope[APIVersion],
			{Name: "sink", Type: String, LowCardinality: true, Doc: "The sink that refused the row; empty in stage normalize."},
			{Name: "kafka_partition", Type: Int64, Nullable: true, Doc: "The refused record's partition; NULL in stage normalize."},
			{Name: "kafka_offset", Type: Int64, Nullable: true, Doc: "The refused record's offset; NULL in stage normalize."},
			headerShopID,
		},
	}
}

// Tables returns the tables that rows are delivered to: one for each contract,
// and the connector's own two.
func Tables(contracts []*Contract) []*Table {
	var all []*Table
	for _, c := range contracts {
		all = append(all, c.FactTable())
	}
	return append(all, RawWebhooks(), DeadLetters())
}
