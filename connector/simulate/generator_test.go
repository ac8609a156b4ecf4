package simulate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"pgregory.net/rapid"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func all(g *Generator) []Delivery {
	var out []Delivery
	for {
		d, ok := g.Next()
		if !ok {
			return out
		}
		out = append(out, d)
	}
}

func digest(deliveries []Delivery) string {
	hash := sha256.New()
	for _, d := range deliveries {
		fmt.Fprintf(hash, "%s %s %s %s %s %s %s %s %s %d %d\n", d.Kind, d.Flaw, d.Topic, d.ShopDomain, d.ShopID,
			d.MerchantID, d.APIVersion, d.WebhookID, d.Encoding, d.Customer, len(d.Body))
		hash.Write(d.Body)
	}
	return hex.EncodeToString(hash.Sum(nil))
}

// TestSameSeedSameDeliveries pins the default history. Whoever changes what is
// generated changes the digest here knowingly.
func TestSameSeedSameDeliveries(t *testing.T) {
	const golden = "cb7dee1649b6a54562df3c4c99ef8f19e1f69cac40f590e3bd7d04fc120af8c6"
	first, second := all(New(DefaultConfig())), all(New(DefaultConfig()))
	if got := digest(first[:1000]); got != golden {
		t.Errorf("digest of the first 1000 deliveries is %s, want %s", got, golden)
	}
	if digest(first) != digest(second) {
		t.Error("two generators of one configuration differ")
	}
	other := DefaultConfig()
	other.Seed++
	if digest(all(New(other))) == digest(first) {
		t.Error("another seed makes the same deliveries")
	}
}

func drawConfig(t *rapid.T) Config {
	cfg := DefaultConfig()
	cfg.Seed = rapid.Uint64().Draw(t, "seed")
	cfg.Count = rapid.IntRange(1, 800).Draw(t, "count")
	cfg.Customers = rapid.IntRange(1, 200).Draw(t, "customers")
	cfg.Shops = rapid.IntRange(1, 5).Draw(t, "shops")
	least := int64(cfg.Count)
	if cfg.History = rapid.Bool().Draw(t, "history"); cfg.History {
		cfg.Customers = min(cfg.Customers, max(1, cfg.Count/10))
		least *= peakRoom.Milliseconds()
	}
	cfg.Span = time.Duration(rapid.Int64Range(least, 1000*least).Draw(t, "span")) * time.Millisecond
	ratio := rapid.SampledFrom([]float64{0, 0.05, 0.5, 1})
	cfg.ResendRatio = ratio.Draw(t, "resend")
	cfg.OutOfOrderRatio = ratio.Draw(t, "out of order")
	cfg.BadRatio = ratio.Draw(t, "bad")
	return cfg
}

// ledger names one ledger of one table.
type ledger struct {
	table   string
	account Account
}

// TestLedgersAddUp is the law that reconciliation rests on: whatever the order of
// delivery, the events of a ledger, ordered by time, have distinct times, add up
// from zero to every balance they state, and end at the expected one.
func TestLedgersAddUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		cfg := drawConfig(t)
		if err := cfg.Validate(); err != nil {
			t.Fatal(err)
		}
		g := New(cfg)
		events := make(map[ledger][]Truth)
		var total int
		for _, d := range all(g) {
			if d.Kind != KindEvent {
				continue
			}
			total++
			at := time.UnixMilli(d.Truth.UpdatedAtMillis)
			if at.After(cfg.End) || at.Before(cfg.End.Add(-cfg.Span).Truncate(time.Second)) {
				t.Fatalf("an event is dated %s, outside of the history", at)
			}
			key := ledger{d.Table, d.Truth.Account}
			events[key] = append(events[key], d.Truth)
		}
		if total != cfg.Count {
			t.Fatalf("%d distinct events, want %d", total, cfg.Count)
		}
		final := make(map[ledger]int64)
		for _, table := range []string{TablePoints, TableStoreCredits, TableGiftCards} {
			for account, balance := range g.Balances(table) {
				final[ledger{table, account}] = balance
			}
		}
		customers := int64(0)
		for key, truths := range events {
			slices.SortFunc(truths, func(a, b Truth) int { return int(a.UpdatedAtMillis - b.UpdatedAtMillis) })
			var balance, before int64
			for _, truth := range truths {
				if truth.UpdatedAtMillis == before {
					t.Fatalf("%v has two events at %d", key, before)
				}
				before = truth.UpdatedAtMillis
				balance += truth.Delta
				if balance != truth.Balance || balance < 0 {
					t.Fatalf("%v: deltas add up to %d, the event states %d", key, balance, truth.Balance)
				}
				if (truth.UpdateType == increase) != (truth.Delta > 0) || (truth.UpdateType == decrease) != (truth.Delta < 0) {
					t.Fatalf("%v: %s by %d", key, truth.UpdateType, truth.Delta)
				}
			}
			if key.table == TableCustomerChanges {
				customers++
				continue
			}
			if end, ok := final[key]; !ok || end != balance {
				t.Fatalf("%v: expected to end at %d, ends at %d", key, end, balance)
			}
			delete(final, key)
		}
		if len(final) != 0 {
			t.Fatalf("balances of ledgers without an event: %v", final)
		}
		if got := g.Expected().Customers; got != customers {
			t.Fatalf("%d customers expected, %d delivered", got, customers)
		}
	})
}

// TestExpectedCountsWhatIsDelivered counts independently of the generator.
func TestExpectedCountsWhatIsDelivered(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := New(drawConfig(t))
		stopAt := rapid.IntRange(0, 1500).Draw(t, "stop at")
		want := Expected{Facts: map[string]int64{}, Flaws: map[Flaw]int64{}, PointsScenes: map[string]SceneTotal{}}
		badBodies, afterwards, latest := map[string]bool{}, 0, map[ledger]int64{}
		var outOfOrder int64
		for n := 0; ; n++ {
			if n == stopAt {
				g.Stop()
			}
			d, ok := g.Next()
			if !ok {
				break
			}
			if n >= stopAt {
				afterwards++
			}
			want.Deliveries++
			if d.Flaw != "" {
				want.Flaws[d.Flaw]++
			}
			switch d.Kind {
			case KindEvent:
				want.Signed++
				want.Facts[d.Table]++
				key := ledger{d.Table, d.Truth.Account}
				if d.Truth.UpdatedAtMillis < latest[key] {
					outOfOrder++
				}
				latest[key] = max(latest[key], d.Truth.UpdatedAtMillis)
				if d.Table == TablePoints {
					scene := want.PointsScenes[d.Truth.Scene]
					want.PointsScenes[d.Truth.Scene] = SceneTotal{scene.Events + 1, scene.Delta + d.Truth.Delta}
				}
			case KindResend:
				want.Signed++
				want.Resends++
			case KindBad:
				want.Signed++
				want.BadDeliveries++
				badBodies[string(d.Body)] = true
			case KindBadSignature:
				want.Unsigned++
			}
		}
		want.BadBodies = int64(len(badBodies))
		got := g.Expected()
		if got.OutOfOrder > outOfOrder {
			t.Fatalf("%d events out of order expected, only %d were", got.OutOfOrder, outOfOrder)
		}
		sum := func(table string) (total LedgerTotal) {
			for _, balance := range g.Balances(table) {
				total.Ledgers++
				total.Balance += balance
			}
			return total
		}
		want.OutOfOrder, want.Customers = got.OutOfOrder, got.Customers
		want.Points, want.StoreCredits, want.GiftCards = sum(TablePoints), sum(TableStoreCredits), sum(TableGiftCards)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatalf("expected differs from what was delivered:\n%s", diff)
		}
		if afterwards > 6*window {
			t.Fatalf("%d deliveries after Stop", afterwards)
		}
	})
}

// TestBodiesSayWhatIsTrue reads the bodies as a receiver does and compares them
// with the ground truth; a resend must be the same JSON as its event.
func TestBodiesSayWhatIsTrue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		byEvent := make(map[string]Delivery) // canonical body to first delivery
		for _, d := range all(New(drawConfig(t))) {
			if d.Kind != KindEvent && d.Kind != KindResend {
				continue
			}
			if !utf8.Valid(d.Body) {
				t.Fatalf("not UTF-8: %q", d.Body)
			}
			canonical := canonicalJSON(t, d.Body)
			first, seen := byEvent[canonical]
			switch {
			case d.Kind == KindEvent && seen:
				t.Fatalf("two events have the body %s", d.Body)
			case d.Kind == KindEvent:
				byEvent[canonical] = d
				checkBody(t, &d)
			case !seen:
				t.Fatalf("a resend comes before its event: %s", d.Body)
			case d.WebhookID == first.WebhookID && !bytes.Equal(d.Body, first.Body):
				t.Fatalf("a resend with the same webhook id has other bytes:\n%s\n%s", first.Body, d.Body)
			case d.ShopID != first.ShopID || d.Topic != first.Topic || d.Truth != first.Truth:
				t.Fatalf("a resend differs in its envelope: %+v, %+v", first, d)
			}
		}
	})
}

func canonicalJSON(t *rapid.T, body []byte) string {
	var value any
	if err := json.Unmarshal(body, &value); err != nil {
		t.Fatalf("%v in %s", err, body)
	}
	out, err := json.Marshal(value) // sorts the keys
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

func checkBody(t *rapid.T, d *Delivery) {
	decoder := json.NewDecoder(bytes.NewReader(d.Body))
	decoder.UseNumber()
	var fields map[string]any
	if err := decoder.Decode(&fields); err != nil {
		t.Fatal(err)
	}
	same := func(name string, want any) {
		got := fields[name]
		if want, ok := want.(int64); ok {
			// A json.Number and a numeric string print alike.
			f, err := strconv.ParseFloat(fmt.Sprint(got), 64)
			if err != nil || f != math.Trunc(f) || int64(f) != want {
				t.Fatalf("%s is %v, want %d, in %s", name, got, want, d.Body)
			}
			return
		}
		if got != want {
			t.Fatalf("%s is %v, want %v, in %s", name, got, want, d.Body)
		}
	}
	truth := d.Truth
	if d.Table == TableCustomerChanges {
		same("id", truth.Account.ID)
		at, err := time.Parse(time.RFC3339, fmt.Sprint(fields["updated_at"]))
		if err != nil || at.UnixMilli() != truth.UpdatedAtMillis {
			t.Fatalf("updated_at is %v (%v) in %s", fields["updated_at"], err, d.Body)
		}
		return
	}
	same("buyer_id", truth.BuyerID)
	same("store_id", d.ShopID)
	same("updated_at", truth.UpdatedAtMillis)
	if got := strings.ToUpper(fmt.Sprint(fields["update_type"])); got != truth.UpdateType {
		t.Fatalf("update_type is %s, want %s", got, truth.UpdateType)
	}
	value := max(truth.Delta, -truth.Delta)
	expiry := ""
	switch d.Table {
	case TablePoints:
		expiry = "points_expiry_time"
		same("updated_value", value)
		same("points_balance", truth.Balance)
		same("updated_scene", truth.Scene)
	case TableStoreCredits:
		expiry = "store_credits_expiry_date"
		same("update_value", value)
		same("current_balance", truth.Balance)
		same("store_credits_update_reason", truth.Scene)
		same("store_credits_code", truth.Code)
	case TableGiftCards:
		expiry = "gift_card_expiry_date"
		same("update_value", value)
		same("current_balance", truth.Balance)
		same("gift_card_code", truth.Account.ID)
		same("gift_card_code", truth.Code)
		same("gift_card_original_value", truth.OriginalCents)
		if fields["scene_type"] != "CARD_DIABLED" || truth.Scene != "CARD_DISABLED" {
			same("scene_type", truth.Scene)
		}
	}
	if truth.ExpiresAtMillis != 0 {
		same(expiry, truth.ExpiresAtMillis)
	}
}

// TestEverySceneAppears holds the generator to the documents' lists.
func TestEverySceneAppears(t *testing.T) {
	documented := map[string]string{
		TablePoints + " " + increase: "SUCCESSFUL_REGISTRATION LOGIN_SUCCESS CUSTOMERS_BIRTHDAY SUCCESSFUL_ORDERS EMAIL_SUBSCRIPTION " +
			"ENTER_PHONE ENTER_BIRTHDAY SHARE_FB FOLLOW_FB FOLLOW_INS DAILY_ATTENDANCE PRODUCT_REVIEWS TOP_REVIEWS LEVEL_MEM_BENEFITS " +
			"PAID_MEM_BENEFITS SUCCESSFUL_REFERRAL MANUALLY_INCREASE CUSTOMER_IMPORT_INCREASE",
		TablePoints + " " + decrease: "CASHBACK REDEEM_COUPON_CODE REDEEM_COUPON REDEEM_FREE_SHIPPING REDEEM_PRODUCTS " +
			"MANUALLY_DECREASE CUSTOMER_IMPORT_DECREASE POS_DECREASE",
		TableStoreCredits + " " + increase: "refund transfer reward compensation other",
		TableStoreCredits + " " + decrease: "transfer other",
		TableGiftCards + " " + increase:    "SELF_PURCHASE OTHERS_SEND RETURN_INCREASE",
		TableGiftCards + " " + decrease:    "PURCHASE_PAYMENT CARD_DISABLED",
		TableCustomerChanges + " ":         "",
	}
	for seed := range uint64(6) {
		cfg := DefaultConfig()
		if seed == 5 {
			cfg = DefaultHistoryConfig()
		}
		cfg.Seed = seed
		seen := make(map[string]map[string]bool)
		for _, d := range all(New(cfg)) {
			if d.Kind != KindEvent {
				continue
			}
			key := d.Table + " " + d.Truth.UpdateType
			if seen[key] == nil {
				seen[key] = make(map[string]bool)
			}
			seen[key][d.Truth.Scene] = true
		}
		for key, scenes := range documented {
			want := make(map[string]bool)
			for scene := range strings.SplitSeq(scenes, " ") {
				want[scene] = true
			}
			if diff := cmp.Diff(want, seen[key]); diff != "" {
				t.Errorf("seed %d, scenes of %s:\n%s", seed, key, diff)
			}
		}
	}
}

// TestQuirksAppear looks for what SHOPLINE's payloads are known to contain.
func TestQuirksAppear(t *testing.T) {
	var bodies bytes.Buffer
	for _, d := range all(New(DefaultConfig())) {
		if d.Kind == KindEvent {
			bodies.Write(d.Body)
			bodies.WriteByte('\n')
		}
	}
	for _, quirk := range []string{
		`"points_expiry_time":null`, `"points_expiry_time":""`, `"points_expiry_time":0`, `"points_expiry_time":"1`,
		`"points_expiry_time":253402271999000`, `"update_type":"increase"`, `"update_type":"decrease"`, `"CARD_DIABLED"`,
		`"CARD_DISABLED"`, `"current_balance":"`, `.0,`, `e3,`, `"buyer_id":"5006511321220969`, `"currency":"CLP"`,
		`"last_name":null`, `"city":""`, `"total_spent":"0"`, `"birthday":"19600229"`, `"birthday":""`, `+08:00"`,
		"🌸", "欧阳", "Núñez", "👩‍👩‍👧", `\n`, `\"gift\"`, `C:\\`, `"addresses":[]`, `"customer_id":"9`,
	} {
		if !bytes.Contains(bodies.Bytes(), []byte(quirk)) {
			t.Errorf("no body has %s", quirk)
		}
	}
}

// TestShopsShareIDs holds because a ledger is found by shop and id, not by id.
func TestShopsShareIDs(t *testing.T) {
	g := New(DefaultConfig())
	all(g)
	for _, table := range []string{TablePoints, TableStoreCredits, TableGiftCards} {
		shops := make(map[string]map[string]bool)
		shared := 0
		for account := range g.Balances(table) {
			if shops[account.ID] == nil {
				shops[account.ID] = make(map[string]bool)
			}
			if shops[account.ID][account.ShopID] {
				t.Errorf("%s: %v is two ledgers", table, account)
			}
			shops[account.ID][account.ShopID] = true
			if len(shops[account.ID]) == 2 {
				shared++
			}
		}
		if shared == 0 {
			t.Errorf("%s: no id is in use in two shops", table)
		}
	}
}

func TestRatiosAreRespected(t *testing.T) {
	cfg := DefaultConfig()
	cfg.ResendRatio, cfg.OutOfOrderRatio, cfg.BadRatio = 0.1, 0.2, 0.05
	g := New(cfg)
	all(g)
	e := g.Expected()
	for _, check := range []struct {
		name             string
		got, least, most int64
	}{
		{"resends, some of them twice", e.Resends, 2000, 3000},
		{"out of order, where the next event is of the same ledger", e.OutOfOrder, 2000, 4000},
		{"bad bodies", e.BadBodies, 600, 900},
		{"bad deliveries", e.BadDeliveries, 700, 1200},
		{"bad signatures", e.Unsigned, 200, 300},
	} {
		if check.got < check.least || check.got > check.most {
			t.Errorf("%s: %d, want %d to %d", check.name, check.got, check.least, check.most)
		}
	}
}

// TestBadBodiesAreBadAndDistinct checks each flaw with eyes other than the
// generator's, and that no two bad bodies share a canonical form.
func TestBadBodiesAreBadAndDistinct(t *testing.T) {
	cfg := DefaultConfig()
	cfg.Count, cfg.BadRatio = 4000, 1
	g := New(cfg)
	seen := make(map[string]string)
	flaws := make(map[Flaw]bool)
	for _, d := range all(g) {
		if d.Kind != KindBad {
			continue
		}
		flaws[d.Flaw] = true
		canonical := string(d.Body)
		var value any
		err := json.Unmarshal(d.Body, &value)
		if err == nil && utf8.Valid(d.Body) {
			out, err := json.Marshal(value)
			if err != nil {
				t.Fatal(err)
			}
			canonical = string(out)
		}
		if webhookID, ok := seen[canonical]; ok && webhookID != d.WebhookID {
			t.Fatalf("two bad bodies are alike: %s", d.Body)
		}
		seen[canonical] = d.WebhookID

		object, isObject := value.(map[string]any)
		bad := false
		switch d.Flaw {
		case FlawUnknownTopic:
			bad = err == nil && d.Topic == "orders/edited"
		case FlawNotJSON, FlawTruncated:
			bad = err != nil
		case FlawNotObject:
			bad = err == nil && !isObject
		case FlawNotUTF8:
			bad = !utf8.Valid(d.Body)
		case FlawMissingField, FlawEmptyID:
			bad = isObject && lacksRequired(d.Topic, object)
		case FlawUpdateType:
			bad = isObject && object["update_type"] != increase
		case FlawSeconds:
			at, ok := object["updated_at"].(float64)
			bad = ok && time.UnixMilli(int64(at)).Year() < 2000
		case FlawFraction, FlawBeyondInt64:
			value := object["update_value"]
			if d.Topic == TopicPoints {
				value = object["updated_value"]
			}
			f, err := strconv.ParseFloat(fmt.Sprint(value), 64)
			bad = err == nil && (f != math.Trunc(f) || f >= 1<<63)
		}
		if !bad {
			t.Fatalf("%s is not seen in %s (topic %s)", d.Flaw, d.Body, d.Topic)
		}
	}
	if len(flaws) != 11 {
		t.Errorf("flaws are %v, want 11", flaws)
	}
	if got := g.Expected().BadBodies; got != int64(len(seen)) {
		t.Errorf("%d bad bodies expected, %d delivered", got, len(seen))
	}
}

func lacksRequired(topic string, object map[string]any) bool {
	required := map[string][]string{
		TopicPoints:          {"buyer_id", "update_type", "updated_value", "updated_at"},
		TopicStoreCredits:    {"buyer_id", "update_type", "update_value", "updated_at", "store_credits_code"},
		TopicGiftCards:       {"buyer_id", "update_type", "update_value", "updated_at", "gift_card_code"},
		TopicCustomersUpdate: {"id", "updated_at"},
	}
	return slices.ContainsFunc(required[topic], func(name string) bool {
		return object[name] == nil || object[name] == ""
	})
}

func TestValidateNamesTheField(t *testing.T) {
	for field, change := range map[string]func(*Config){
		"count":              func(c *Config) { c.Count = 0 },
		"customers":          func(c *Config) { c.Customers = -1 },
		"shops":              func(c *Config) { c.Shops = 1001 },
		"span":               func(c *Config) { c.Span = time.Duration(c.Count-1) * time.Millisecond },
		"end":                func(c *Config) { c.End = c.End.AddDate(100, 0, 0) },
		"resend_ratio":       func(c *Config) { c.ResendRatio = 1.5 },
		"out_of_order_ratio": func(c *Config) { c.OutOfOrderRatio = -0.1 },
		"bad_ratio":          func(c *Config) { c.BadRatio = math.NaN() },
	} {
		cfg := DefaultConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s: the error is %v", field, err)
		}
	}
	for field, change := range map[string]func(*Config){
		"customers": func(c *Config) { c.Customers = c.Count/10 + 1 },
		"span":      func(c *Config) { c.Span = time.Duration(c.Count)*peakRoom - 1 },
	} {
		cfg := DefaultHistoryConfig()
		change(&cfg)
		if err := cfg.Validate(); err == nil || !strings.HasPrefix(err.Error(), field+": ") {
			t.Errorf("%s of a history: the error is %v", field, err)
		}
	}
	for _, cfg := range []Config{DefaultConfig(), DefaultHistoryConfig()} {
		if err := cfg.Validate(); err != nil {
			t.Error(err)
		}
	}
}

// BenchmarkNext measures the generator alone: years of a million events of up to
// 100,000 customers, no sending.
func BenchmarkNext(b *testing.B) {
	cfg := DefaultConfig()
	cfg.Count, cfg.Customers, cfg.Span = 1_000_000, 100_000, 365*24*time.Hour
	g := New(cfg)
	var size int64
	b.ReportAllocs()
	for b.Loop() {
		d, ok := g.Next()
		if !ok {
			g = New(cfg)
		}
		size += int64(len(d.Body))
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64(size)/float64(b.N), "bytes/delivery")
}
