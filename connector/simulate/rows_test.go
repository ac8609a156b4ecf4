package simulate_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/schema"
)

func newNormalizer(t testing.TB) *normalize.Normalizer {
	t.Helper()
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	n, err := normalize.New(contracts, true)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func webhook(d *simulate.Delivery) normalize.Delivery {
	return normalize.Delivery{
		Topic: d.Topic, ShopID: d.ShopID, ShopDomain: d.ShopDomain, MerchantID: d.MerchantID,
		APIVersion: d.APIVersion, WebhookID: d.WebhookID, Body: d.Body, ReceivedAt: time.UnixMilli(d.AtMillis),
	}
}

// TestRowsAreTrue normalizes every delivery under the built-in contracts: an
// event becomes the row that its truth tells, a resend the same one again, and a
// bad body none.
func TestRowsAreTrue(t *testing.T) {
	mixture, history := simulate.DefaultConfig(), simulate.DefaultHistoryConfig()
	history.Count, history.Customers, history.BadRatio = 20_000, simulate.HistoryCustomers(20_000), 0.02
	for name, cfg := range map[string]simulate.Config{"mixture": mixture, "history": history} {
		t.Run(name, func(t *testing.T) {
			n := newNormalizer(t)
			events := make(map[string]bool)
			before := int64(0)
			for g := simulate.New(cfg); ; {
				d, ok := g.Next()
				if !ok {
					break
				}
				if d.AtMillis < before || d.AtMillis < d.Truth.UpdatedAtMillis {
					t.Fatalf("sent at %d, the one before at %d, happened at %d", d.AtMillis, before, d.Truth.UpdatedAtMillis)
				}
				before = d.AtMillis
				if d.Kind == simulate.KindBadSignature {
					continue
				}
				r := n.Normalize(webhook(&d), time.Now())
				if d.Kind == simulate.KindBad {
					if r.Reject == nil {
						t.Fatalf("a bad body is a row: %s", d.Body)
					}
					continue
				}
				if r.Reject != nil {
					t.Fatalf("%s: %s in %s", r.Reject.Reason, r.Reject.Detail, d.Body)
				}
				if id := r.EventID.String(); events[id] != (d.Kind == simulate.KindResend) {
					t.Fatalf("a delivery of kind %s has the event id of another event: %s", d.Kind, d.Body)
				} else {
					events[id] = true
				}
				checkRow(t, &d, r)
			}
			if len(events) != cfg.Count {
				t.Errorf("%d events, want %d", len(events), cfg.Count)
			}
		})
	}
}

// checkRow compares the columns that a truth tells.
func checkRow(t *testing.T, d *simulate.Delivery, r normalize.Result) {
	t.Helper()
	truth := d.Truth
	want := map[string]any{"shop_id": truth.Account.ShopID, "received_at": d.AtMillis, "updated_at": truth.UpdatedAtMillis}
	if truth.Profile != nil {
		want["customer_id"] = truth.BuyerID
		wantProfile(want, truth.Profile)
	} else {
		want["buyer_id"], want["update_type"] = truth.BuyerID, truth.UpdateType
	}
	value := max(truth.Delta, -truth.Delta)
	switch d.Table {
	case simulate.TablePoints:
		want["updated_scene"], want["updated_value"] = truth.Scene, value
		want["points_delta"], want["points_balance"] = truth.Delta, truth.Balance
		want["points_expires_at"] = optional(truth.ExpiresAtMillis, 0)
	case simulate.TableStoreCredits, simulate.TableGiftCards:
		want["update_value_cents"], want["balance_delta_cents"] = value, truth.Delta
		want["current_balance_cents"], want["expires_at"] = truth.Balance, optional(truth.ExpiresAtMillis, 0)
		if d.Table == simulate.TableStoreCredits {
			want["update_reason"], want["store_credits_code"] = truth.Scene, truth.Code
		} else {
			want["scene_type"], want["gift_card_code"], want["original_value_cents"] = truth.Scene, truth.Code, truth.OriginalCents
		}
	}
	if r.Table.Name != d.Table {
		t.Fatalf("the row is for %s, want %s", r.Table.Name, d.Table)
	}
	for column, want := range want {
		if got := cell(r, column); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Fatalf("%s is %v, want %v, from %s", column, got, want, d.Body)
		}
	}
}

func wantProfile(want map[string]any, p *simulate.Profile) {
	want["email"], want["phone"], want["first_name"], want["last_name"] = p.Email, p.Phone, p.FirstName, p.LastName
	want["currency"], want["tags"] = p.Currency, list(p.Tags)
	want["created_at"] = optional(p.CreatedAtMillis, 0)
	want["state"] = optional(p.State, simulate.Absent)
	want["orders_count"] = optional(p.OrdersCount, simulate.Absent)
	want["total_spent_cents"] = optional(p.TotalSpentCents, simulate.Absent)
	want["email_subscribe_flag"] = optional(p.EmailFlag, simulate.Absent)
	want["mobile_subscribe_flag"] = optional(p.MobileFlag, simulate.Absent)
	want["accepts_marketing_updated_at"] = optional(p.AcceptsMarketingAtMillis, 0)
	want["accepts_mobile_marketing_updated_at"] = optional(p.AcceptsMobileAtMillis, 0)
	if p.AcceptsMarketingAtMillis != 0 {
		want["accepts_marketing"], want["accepts_mobile_marketing"] = flag(p.AcceptsMarketing), flag(p.AcceptsMobile)
	}
	for channel, c := range map[string]simulate.Consent{"email": p.EmailConsent, "sms": p.SMSConsent} {
		want[channel+"_marketing_consent_consent_collected_from"] = c.CollectedFrom
		want[channel+"_marketing_consent_consent_updated_at"] = optional(c.UpdatedAtMillis, 0)
		want[channel+"_marketing_consent_opt_in_level"] = optional(c.OptInLevel, simulate.Absent)
		want[channel+"_marketing_consent_state"] = optional(c.State, simulate.Absent)
	}
}

// optional is NULL where the truth says that the body has no value.
func optional(value, absent int64) any {
	if value == absent {
		return nil
	}
	return value
}

func flag(is bool) int64 {
	if is {
		return 1
	}
	return 0
}

func list(tags string) string {
	var all []string
	for tag := range strings.SplitSeq(tags, ",") {
		if tag = strings.TrimSpace(tag); tag != "" {
			all = append(all, tag)
		}
	}
	return strings.Join(all, ",")
}

// cell returns what a row has in a column; nil for NULL.
func cell(r normalize.Result, column string) any {
	i := r.Table.Index(column)
	if i < 0 {
		return "no such column"
	}
	c, v := r.Table.Columns[i], r.Row[i]
	switch {
	case c.Array:
		var all []string
		for _, element := range v.List {
			all = append(all, element.Text)
		}
		return strings.Join(all, ",")
	case !v.Set && c.Nullable:
		return nil
	case c.Type == schema.String || c.Type == schema.UUID:
		return v.Text
	default:
		return v.Int
	}
}

// BenchmarkHistory measures a year of a million events of 25,000 customers, made
// and normalized on one core, and published nowhere.
func BenchmarkHistory(b *testing.B) {
	cfg := simulate.DefaultHistoryConfig()
	cfg.Count = 1_000_000
	cfg.Customers = simulate.HistoryCustomers(cfg.Count)
	n, g := newNormalizer(b), simulate.New(cfg)
	now := time.Now()
	b.ReportAllocs()
	for b.Loop() {
		d, ok := g.Next()
		if !ok {
			g = simulate.New(cfg)
			continue
		}
		if r := n.Normalize(webhook(&d), now); r.Table == nil && d.Kind == simulate.KindEvent {
			b.Fatalf("an event is no row: %s", d.Body)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
}
