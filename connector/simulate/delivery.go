package simulate

import (
	"net/http"
)

// The values of X-Shopline-Topic that the four documented events carry.
const (
	TopicPoints          = "app_memberSystem_points/challenged"
	TopicStoreCredits    = "app_memberSystem_shoppingCredit/challenged"
	TopicGiftCards       = "app_memberSystem_giftCard/challenged"
	TopicCustomersUpdate = "customers/update"
)

// The tables in which a delivery must be found.
const (
	TablePoints          = "fact_points"
	TableStoreCredits    = "fact_store_credits"
	TableGiftCards       = "fact_gift_cards"
	TableCustomerChanges = "fact_customer_changes"
	TableDeadLetters     = "dead_letters"
)

// The request headers of a SHOPLINE webhook.
const (
	HeaderTopic      = "X-Shopline-Topic"
	HeaderSignature  = "X-Shopline-Hmac-Sha256"
	HeaderShopDomain = "X-Shopline-Shop-Domain"
	HeaderShopID     = "X-Shopline-Shop-Id"
	HeaderMerchantID = "X-Shopline-Merchant-Id"
	HeaderAPIVersion = "X-Shopline-Api-Version"
	HeaderWebhookID  = "X-Shopline-Webhook-Id"
)

// APIVersion is the version every delivery names.
const APIVersion = "v20250601"

// Kind says what a delivery is to the receiver.
type Kind string

// The kinds of deliveries.
const (
	// KindEvent is the first delivery of a distinct event: one more row in Table.
	KindEvent Kind = "event"
	// KindResend repeats an event: either with the same webhook id and the same
	// bytes, or as a second subscription's copy, which has another webhook id and
	// perhaps another order of keys. It adds a row to raw_webhooks only.
	KindResend Kind = "resend"
	// KindBad is correctly signed and can never become a row: a dead letter. A bad
	// body may be delivered twice.
	KindBad Kind = "bad"
	// KindBadSignature has a missing or a wrong signature: answered 401, not stored.
	KindBadSignature Kind = "bad_signature"
)

// Flaw names what is wrong with a bad delivery.
type Flaw string

// The flaws of bad bodies and of bad signatures.
const (
	FlawUnknownTopic Flaw = "unknown_topic"
	FlawNotJSON      Flaw = "not_json"
	FlawNotObject    Flaw = "not_object"
	FlawTruncated    Flaw = "truncated"
	FlawMissingField Flaw = "missing_field"
	FlawEmptyID      Flaw = "empty_id"
	FlawUpdateType   Flaw = "update_type"
	FlawSeconds      Flaw = "seconds"
	FlawFraction     Flaw = "fraction"
	FlawBeyondInt64  Flaw = "beyond_int64"
	FlawNotUTF8      Flaw = "not_utf8"

	FlawNoSignature      Flaw = "no_signature"
	FlawWrongSecret      Flaw = "wrong_secret"
	FlawGarbledSignature Flaw = "garbled_signature"
)

// Account names one ledger: a buyer of a shop, or for gift cards a card of a
// shop. Shops may use the same buyer ids and card codes for different people.
type Account struct {
	ShopID string
	ID     string
}

// Truth is what a correct pipeline stores for an event, normalized: enums in
// upper case, reasons in lower case, SHOPLINE's CARD_DIABLED as CARD_DISABLED.
// Money is in 1/100 of the currency unit.
type Truth struct {
	// Account is the ledger; for a customer change, the customer.
	Account Account
	BuyerID string
	// UpdateType is INCREASE or DECREASE; empty for a customer change.
	UpdateType string
	// Scene is the scene of a points or gift card event, the reason of a store
	// credits event, and empty for a customer change.
	Scene string
	// Delta is the signed change, Balance the ledger's balance after it.
	Delta, Balance int64
	// UpdatedAtMillis is in milliseconds since 1970, unique to the event but for
	// customer changes, which SHOPLINE dates in whole seconds.
	UpdatedAtMillis int64
	// ExpiresAtMillis is 0 for what never expires.
	ExpiresAtMillis int64
	// Code is the code of the store credits or of the gift card; empty otherwise.
	Code string
	// OriginalCents is the value with which a gift card was sold; 0 otherwise.
	OriginalCents int64
	// Profile is what a customer change says; nil for a ledger's event. It must not
	// be changed: resends share it.
	Profile *Profile
}

// Delivery is one HTTP request, before it is signed.
type Delivery struct {
	Kind Kind
	// Flaw is empty for events and resends.
	Flaw Flaw
	// Table is the table that must hold the event: a fact table, dead_letters for
	// a bad body, empty for a bad signature.
	Table string
	Topic string
	// Body must not be changed: a later resend may share its bytes.
	Body []byte

	ShopDomain, ShopID, MerchantID, APIVersion, WebhookID string

	// Encoding is how the signature is written.
	Encoding Encoding
	// Customer is the ordinal of the customer concerned. Deliveries of one
	// customer keep their order when they are spread by it.
	Customer int
	// AtMillis is when SHOPLINE sends it, in milliseconds since 1970: when the event
	// happens, or later for what is late and for resends.
	AtMillis int64
	// Truth is the zero value for bad deliveries.
	Truth Truth
}

// Header returns the request headers of the delivery, with the signature that
// its kind asks for.
func (d *Delivery) Header(secret []byte) http.Header {
	header := make(http.Header, 8)
	header.Set("Content-Type", "application/json")
	header.Set(HeaderTopic, d.Topic)
	header.Set(HeaderShopDomain, d.ShopDomain)
	header.Set(HeaderShopID, d.ShopID)
	header.Set(HeaderMerchantID, d.MerchantID)
	header.Set(HeaderAPIVersion, d.APIVersion)
	header.Set(HeaderWebhookID, d.WebhookID)
	if signature := d.signature(secret); signature != "" {
		header.Set(HeaderSignature, signature)
	}
	return header
}

// signature returns the value of the signature's header, or an empty string for
// a delivery that has none.
func (d *Delivery) signature(secret []byte) string {
	switch d.Flaw {
	case FlawNoSignature:
		return ""
	case FlawWrongSecret:
		// Lengthened, so that it differs from every secret it is made of.
		secret = append([]byte("not-"), secret...)
	case FlawGarbledSignature:
		return "sha256=" + SignHex(secret, d.Body)[:40]
	}
	return Sign(secret, d.Body, d.Encoding)
}
