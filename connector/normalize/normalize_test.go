package normalize

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"loyaltyhouse/schema"
)

var update = flag.Bool("update", false, "write the golden files anew")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	received   = time.Date(2026, 1, 2, 3, 4, 5, 678_000_000, time.UTC)
	normalized = received.Add(time.Millisecond)
)

// The values of X-Shopline-Topic by the Kafka topic that they end in.
var webhooks = map[string]string{
	"points":           "app_memberSystem_points/challenged",
	"store_credits":    "app_memberSystem_shoppingCredit/challenged",
	"gift_cards":       "app_memberSystem_giftCard/challenged",
	"customer_changes": "customers/update",
}

func builtin(t testing.TB, strict bool) *Normalizer {
	t.Helper()
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	n, err := New(contracts, strict)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func delivery(topic string, body []byte) Delivery {
	return Delivery{
		Topic: webhooks[topic], ShopID: "1610418123456", ShopDomain: "example.myshopline.com",
		MerchantID: "2000001234", APIVersion: "v20250601", WebhookID: "b54557e48a5fbf7d70bcd043",
		Body: body, ReceivedAt: received,
	}
}

func file(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// with returns a JSON object with some members replaced; a nil one is removed.
func with(t testing.TB, object []byte, members map[string]any) []byte {
	t.Helper()
	var all map[string]json.RawMessage
	if err := json.Unmarshal(object, &all); err != nil {
		t.Fatal(err)
	}
	for name, value := range members {
		if value == nil {
			delete(all, name)
			continue
		}
		all[name] = json.RawMessage(value.(string))
	}
	// Put together by hand, since encoding/json would escape what is tried.
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(all)) {
		parts = append(parts, strconv.Quote(name)+":"+string(all[name]))
	}
	return []byte("{" + strings.Join(parts, ",") + "}")
}

// columns returns the row's cells as they stand in Kafka.
func columns(t testing.TB, r Result) map[string]string {
	t.Helper()
	if r.Reject != nil {
		t.Fatalf("rejected: %v", r.Reject)
	}
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(r.Table.AppendRow(nil, r.Row), &raw); err != nil {
		t.Fatal(err)
	}
	cells := map[string]string{}
	for name, value := range raw {
		cells[name] = string(value)
	}
	return cells
}

// TestGoldenRows shows what each documented example becomes.
func TestGoldenRows(t *testing.T) {
	n := builtin(t, false)
	tests := map[string]string{
		"points": "points", "store_credits": "store_credits", "gift_cards": "gift_cards",
		"customer_changes": "customer_changes", "customer_sparse": "customer_changes",
	}
	for name, topic := range tests {
		t.Run(name, func(t *testing.T) {
			r := n.Normalize(delivery(topic, file(t, name+".json")), normalized)
			if r.Reject != nil {
				t.Fatal(r.Reject)
			}
			if r.Table.Topic != topic {
				t.Errorf("the row goes to %s, want %s", r.Table.Topic, topic)
			}
			var got bytes.Buffer
			if err := json.Indent(&got, r.Table.AppendRow(nil, r.Row), "", "  "); err != nil {
				t.Fatal(err)
			}
			got.WriteByte('\n')
			golden := filepath.Join("testdata", name+".row.json")
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if diff := cmp.Diff(string(file(t, name+".row.json")), got.String()); diff != "" {
				t.Errorf("(- golden, + got; -update writes it anew):\n%s", diff)
			}
		})
	}
}

func TestResult(t *testing.T) {
	n := builtin(t, false)
	body := file(t, "points.json")
	r := n.Normalize(delivery("points", body), normalized)
	if r.ShopID != "1718263946864" || r.CustomerID != "2404721679" || !r.StoreMismatch {
		t.Errorf("shop %q, customer %q, mismatch %t; want the signed shop, its customer, and a mismatch", r.ShopID, r.CustomerID, r.StoreMismatch)
	}
	if id, _ := EventID(body); r.EventID != id || r.Row[schema.EventID].Text != id.String() {
		t.Errorf("the event id is %s, in the row %s, want %s", r.EventID, r.Row[schema.EventID].Text, id)
	}
	r = n.Normalize(delivery("customer_changes", file(t, "customer_changes.json")), normalized)
	if r.ShopID != "1610418123456" || r.CustomerID != "231321312321" || r.StoreMismatch {
		t.Errorf("shop %q, customer %q, mismatch %t; want the header's shop, its customer, and no mismatch", r.ShopID, r.CustomerID, r.StoreMismatch)
	}
}

func TestTopics(t *testing.T) {
	n := builtin(t, false)
	tests := []struct{ webhook, topic string }{
		{"app_memberSystem_points/challenged", "points"},
		{"APP_MEMBERSYSTEM_POINTS/CHALLENGED", "points"},
		{"app_membersystem_giftcard/challenged", "gift_cards"},
		{" customers/update ", "customer_changes"},
		{"orders/edited", ""},
		{"points", ""},
		{"", ""},
	}
	for _, test := range tests {
		if got := n.Topic(test.webhook); got != test.topic {
			t.Errorf("%q is %q, want %q", test.webhook, got, test.topic)
		}
		d := delivery("points", file(t, "points.json"))
		d.Topic = test.webhook
		r := n.Normalize(d, normalized)
		if unknown := r.Reject != nil && r.Reject.Reason == UnknownTopic; unknown != (test.topic == "") {
			t.Errorf("%q gives the reject %v", test.webhook, r.Reject)
		}
		if test.topic == "" && (r.EventID == uuid.Nil || r.ShopID != d.ShopID || r.Table != nil || r.Row != nil) {
			t.Errorf("%q: a reject has the event's id and the header's shop, and no row: %+v", test.webhook, r)
		}
	}
}

func TestTables(t *testing.T) {
	var names []string
	for _, table := range builtin(t, false).Tables() {
		names = append(names, table.Name)
	}
	slices.Sort(names)
	if want := []string{"fact_customer_changes", "fact_gift_cards", "fact_points", "fact_store_credits"}; !slices.Equal(names, want) {
		t.Errorf("tables are %q, want %q", names, want)
	}
}

func TestContractConflicts(t *testing.T) {
	contract := func(topic, webhook, table string) *schema.Contract {
		return &schema.Contract{
			Topic: topic, Webhooks: []string{webhook}, Table: table, Key: "id",
			Fields: []schema.Field{{Field: "id", Type: schema.FieldString, Required: true}},
		}
	}
	first := contract("a", "x/y", "fact_a")
	tests := []struct {
		second *schema.Contract
		want   string
	}{
		{contract("a", "x/z", "fact_b"), "contracts a (table fact_b) and a (table fact_a) share a topic or table; give each its own"},
		{contract("b", "x/z", "fact_a"), "contracts b (table fact_a) and a (table fact_a) share a topic or table; give each its own"},
		{contract("b", "X/Y", "fact_b"), "contracts b and a both ask for the webhook X/Y; leave it to one of them"},
	}
	for _, test := range tests {
		if _, err := New([]*schema.Contract{first, test.second}, false); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
	if _, err := New([]*schema.Contract{first, contract("b", "x/z", "fact_b")}, false); err != nil {
		t.Error(err)
	}
}

func TestShop(t *testing.T) {
	body := file(t, "points.json")
	tests := []struct {
		name     string
		body     []byte
		header   string
		shop     string
		mismatch bool
	}{
		{"both agree", body, "1718263946864", "1718263946864", false},
		{"they differ, and the signed one counts", body, "1610418123456", "1718263946864", true},
		{"no header", body, "", "1718263946864", false},
		{"no store_id", with(t, body, map[string]any{"store_id": nil}), "1610418123456", "1610418123456", false},
		{"null", with(t, body, map[string]any{"store_id": "null"}), "1610418123456", "1610418123456", false},
		{"empty", with(t, body, map[string]any{"store_id": `""`}), "1610418123456", "1610418123456", false},
		{"a number", with(t, body, map[string]any{"store_id": "1718263946864"}), "1718263946864", "1718263946864", false},
		{"neither", with(t, body, map[string]any{"store_id": nil}), "", "", false},
		{"a header that is not UTF-8", with(t, body, map[string]any{"store_id": nil}), "a\xff", "a\uFFFD", false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			d := delivery("points", test.body)
			d.ShopID = test.header
			r := builtin(t, false).Normalize(d, normalized)
			if got := columns(t, r)["shop_id"]; got != strconv.Quote(test.shop) || r.StoreMismatch != test.mismatch {
				t.Errorf("shop %s, mismatch %t; want %q, %t", got, r.StoreMismatch, test.shop, test.mismatch)
			}
			strict := builtin(t, true).Normalize(d, normalized)
			if !test.mismatch {
				if strict.Reject != nil {
					t.Errorf("the strict one rejects: %v", strict.Reject)
				}
				return
			}
			const want = "store_mismatch: the body's store_id and the header X-Shopline-Shop-Id differ"
			if strict.Reject == nil || strict.Reject.Error() != want || strict.ShopID != test.shop || !strict.StoreMismatch {
				t.Errorf("the strict one gives %+v, want the reject %s", strict, want)
			}
		})
	}
}

// required lists each contract's required members.
var required = map[string][]string{
	"points":           {"buyer_id", "update_type", "updated_value", "updated_at"},
	"store_credits":    {"buyer_id", "store_credits_code", "update_type", "update_value", "updated_at"},
	"gift_cards":       {"buyer_id", "gift_card_code", "update_type", "update_value", "updated_at"},
	"customer_changes": {"id", "updated_at"},
}

func TestRequired(t *testing.T) {
	n := builtin(t, false)
	for topic, names := range required {
		body := file(t, topic+".json")
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatal(err)
		}
		for name := range members {
			for _, empty := range []any{nil, "null", `""`} {
				r := n.Normalize(delivery(topic, with(t, body, map[string]any{name: empty})), normalized)
				if !slices.Contains(names, name) {
					if r.Reject != nil {
						t.Errorf("%s: %s = %v is rejected: %v", topic, name, empty, r.Reject)
					}
					continue
				}
				want := "missing_field: field " + name + " is missing or empty"
				if r.Reject == nil || r.Reject.Error() != want {
					t.Errorf("%s: %s = %v gives %v, want %s", topic, name, empty, r.Reject, want)
				}
			}
		}
		if r := n.Normalize(delivery(topic, []byte("{}")), normalized); r.Reject == nil || r.Reject.Reason != MissingField {
			t.Errorf("%s: an empty object gives %v", topic, r.Reject)
		}
	}
}

// TestRejectKnowsWhose holds that a dead letter can be found by its shop and
// customer whenever the body tells them, wherever in it they stand.
func TestRejectKnowsWhose(t *testing.T) {
	n := builtin(t, false)
	tests := []struct{ body, shop, customer string }{
		{`{"buyer_id":"c","store_id":"s","updated_value":"x"}`, "s", "c"},
		{`{"updated_value":"x","buyer_id":"c","store_id":"s"}`, "s", "c"},
		{`{"updated_value":{"a":[1,{"b":2}]},"points_balance":[[]],"buyer_id":"c","store_id":"s"}`, "s", "c"},
		{`{"buyer_id":"c","updated_value":"x"}`, "1610418123456", "c"},
		{`{"buyer_id":{},"store_id":"s"}`, "s", ""},
		{`{"buyer_id":"c","store_id":[]}`, "1610418123456", "c"},
		{`{"buyer_id":"c","store_id":"s"`, "1610418123456", ""},
		{`["buyer_id","c"]`, "1610418123456", ""},
	}
	for _, test := range tests {
		r := n.Normalize(delivery("points", []byte(test.body)), normalized)
		if r.Reject == nil || r.ShopID != test.shop || r.CustomerID != test.customer {
			t.Errorf("%s: shop %q, customer %q, reject %v; want %q, %q", test.body, r.ShopID, r.CustomerID, r.Reject, test.shop, test.customer)
		}
	}
}

func TestInvalidJSON(t *testing.T) {
	n := builtin(t, false)
	const broken = "invalid_json: the body is not valid JSON, or repeats a name in an object"
	const noObject = "invalid_json: the body is not a JSON object"
	tests := []struct{ body, want string }{
		{"", broken},
		{"secret", broken},
		{`{"buyer_id":"secret"`, broken},
		{`{"buyer_id":"secret"} {}`, broken},
		{`{"buyer_id":"secret","buyer_id":"secret"}`, broken},
		{`{"note":{"a":1,"\u0061":2}}`, broken},
		{"{\"buyer_id\":\"secret\xff\"}", broken},
		{`{"buyer_id":"\ud83d"}`, broken},
		{`{'buyer_id':'secret'}`, broken},
		{"\xef\xbb\xbf{}", broken},
		{`{"a":NaN}`, broken},
		{"null", noObject},
		{`"secret"`, noObject},
		{"42", noObject},
		{"[]", noObject},
	}
	for _, test := range tests {
		r := n.Normalize(delivery("points", []byte(test.body)), normalized)
		if r.Reject == nil || r.Reject.Error() != test.want {
			t.Errorf("%s gives %v, want %s", test.body, r.Reject, test.want)
		}
	}
}

func TestReasons(t *testing.T) {
	want := []Reason{"unknown_topic", "invalid_json", "missing_field", "invalid_type", "invalid_value", "out_of_range", "store_mismatch"}
	if got := Reasons(); !slices.Equal(got, want) {
		t.Errorf("reasons are %q, want %q", got, want)
	}
}

// TestDetailsHoldNoValues puts a value of personal data's look into every
// member in turn and holds that no reject repeats it.
func TestDetailsHoldNoValues(t *testing.T) {
	n := builtin(t, true)
	for topic := range webhooks {
		body := file(t, topic+".json")
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatal(err)
		}
		rejects := 0
		for name := range members {
			for _, value := range []string{`"Zaphod"`, `["Zaphod",{"Zaphod":4242}]`, `{"Zaphod":4242}`, "4242", "4242.5", "-42424242424242424242", "true"} {
				r := n.Normalize(delivery(topic, with(t, body, map[string]any{name: value})), normalized)
				if r.Reject == nil {
					continue
				}
				rejects++
				if text := r.Reject.Error(); strings.Contains(text, "Zaphod") || strings.Contains(text, "4242") {
					t.Errorf("the reject repeats a value: %s", text)
				}
			}
		}
		if rejects == 0 {
			t.Errorf("%s: nothing was rejected", topic)
		}
	}
}

// shuffled writes a JSON value anew: members in another order, white space
// between all tokens, names in escapes. It says the same.
func shuffled(t *rapid.T, value []byte) []byte {
	space := rapid.SampledFrom([]string{"", " ", "\n\t", "\r\n"}).Draw(t, "space")
	switch value[0] {
	case '{':
		var members map[string]json.RawMessage
		if err := json.Unmarshal(value, &members); err != nil {
			t.Fatal(err)
		}
		names := slices.Sorted(maps.Keys(members))
		if len(names) > 1 {
			names = rapid.Permutation(names).Draw(t, "names")
		}
		for i, name := range names {
			quoted := strconv.Quote(name)
			if rapid.IntRange(0, 9).Draw(t, "escape") == 0 {
				quoted = fmt.Sprintf(`"\u%04x%s`, name[0], quoted[2:])
			}
			names[i] = space + quoted + space + ":" + string(shuffled(t, members[name]))
		}
		return []byte(space + "{" + strings.Join(names, ",") + space + "}")
	case '[':
		var elements []json.RawMessage
		if err := json.Unmarshal(value, &elements); err != nil {
			t.Fatal(err)
		}
		all := make([]string, len(elements))
		for i := range elements {
			all[i] = string(shuffled(t, elements[i]))
		}
		return []byte(space + "[" + strings.Join(all, ",") + space + "]")
	default:
		return []byte(space + string(value) + space)
	}
}

// TestSameEventSameRow is invariant 3: whatever the order, the white space and
// the headers, one event has one id and one row.
func TestSameEventSameRow(t *testing.T) {
	n := builtin(t, false)
	for topic := range webhooks {
		t.Run(topic, func(t *testing.T) {
			body := file(t, topic+".json")
			want := n.Normalize(delivery(topic, body), normalized)
			rapid.Check(t, func(t *rapid.T) {
				d := delivery(topic, shuffled(t, bytes.TrimSpace(body)))
				got := n.Normalize(d, normalized)
				if got.Reject != nil {
					t.Fatalf("rejected: %v", got.Reject)
				}
				if diff := cmp.Diff(string(want.Table.AppendRow(nil, want.Row)), string(got.Table.AppendRow(nil, got.Row))); diff != "" {
					t.Fatalf("the row differs (- as it was, + shuffled):\n%s", diff)
				}
				again := n.Normalize(d, normalized)
				if diff := cmp.Diff(got.Row, again.Row); diff != "" || got.EventID != again.EventID {
					t.Fatalf("the same delivery gives another row:\n%s", diff)
				}

				text := rapid.String()
				d.ShopID, d.ShopDomain, d.MerchantID = text.Draw(t, "shop"), text.Draw(t, "domain"), text.Draw(t, "merchant")
				d.APIVersion, d.WebhookID = text.Draw(t, "version"), text.Draw(t, "webhook")
				d.ReceivedAt = d.ReceivedAt.Add(time.Duration(rapid.Int64Range(0, math.MaxInt64/2).Draw(t, "later")))
				resent := n.Normalize(d, normalized)
				if resent.Reject != nil || resent.EventID != want.EventID {
					t.Fatalf("a resend has the id %s, want %s", resent.EventID, want.EventID)
				}
				if diff := cmp.Diff(want.Row[schema.ReceivedAt+1:], resent.Row[schema.ReceivedAt+1:]); diff != "" {
					t.Fatalf("a resend has other fields:\n%s", diff)
				}
			})
		})
	}
}

// TestConcurrent holds, with the race detector, that a normalizer may be shared.
func TestConcurrent(t *testing.T) {
	n := builtin(t, false)
	points, customer := file(t, "points.json"), file(t, "customer_changes.json")
	done := make(chan string)
	for range 4 {
		go func() {
			var last string
			for range 50 {
				n.Normalize(delivery("points", points), normalized)
				r := n.Normalize(delivery("customer_changes", customer), normalized)
				last = string(r.Table.AppendRow(nil, r.Row))
			}
			done <- last
		}()
	}
	first := <-done
	for range 3 {
		if other := <-done; other != first {
			t.Errorf("the rows differ:\n%s\n%s", first, other)
		}
	}
}

// TestHostileBodies holds that a signed body of the largest size does no harm,
// however it is nested. Each would take minutes, or the stack, if it did.
func TestHostileBodies(t *testing.T) {
	const size = 1 << 20
	var names strings.Builder
	for i := range size / 12 {
		fmt.Fprintf(&names, `"%x":0,`, uint32(i)*2654435761) // The overflow scatters the names.
	}
	address := `{"city":"x","default":true},`
	deep := 9990 // Deeper is refused.
	tests := []struct {
		name, body string
		rejected   Reason // empty for a row
	}{
		{"open lists", strings.Repeat("[", size), InvalidJSON},
		{"open objects", strings.Repeat(`{"a":`, size/5), InvalidJSON},
		{"closed lists", strings.Repeat("[", size/2) + strings.Repeat("]", size/2), InvalidJSON},
		{"deep members in the wrong order", `{"id":"1","updated_at":"2022-12-16T11:06:11Z","x":` + strings.Repeat(`{"b":`, deep) + "1" + strings.Repeat(`,"a":1}`, deep) + "}", ""},
		{"deep tags", `{"id":"1","updated_at":"2022-12-16T11:06:11Z","tags":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + "}", InvalidType},
		{"many names", `{"id":"1","updated_at":"2022-12-16T11:06:11Z",` + names.String() + `"z":0}`, ""},
		{"many addresses", `{"id":"1","updated_at":"2022-12-16T11:06:11Z","addresses":[` + strings.TrimSuffix(strings.Repeat(address, size/len(address)), ",") + "]}", OutOfRange},
		{"as many addresses as may be", `{"id":"1","updated_at":"2022-12-16T11:06:11Z","addresses":[` + strings.TrimSuffix(strings.Repeat("{},", 1000), ",") + "]}", ""},
		{"one more", `{"id":"1","updated_at":"2022-12-16T11:06:11Z","addresses":[` + strings.TrimSuffix(strings.Repeat("{},", 1001), ",") + "]}", OutOfRange},
		{"many tags", `{"id":"1","updated_at":"2022-12-16T11:06:11Z","tags":"` + strings.Repeat("a,", size/2) + `"}`, OutOfRange},
		{"as many tags as may be", `{"id":"1","updated_at":"2022-12-16T11:06:11Z","tags":"` + strings.Repeat("a,", 1000) + `"}`, ""},
		{"a long number", `{"id":"1","updated_at":"2022-12-16T11:06:11Z","orders_count":` + strings.Repeat("9", size) + "}", OutOfRange},
		{"a large exponent", `{"id":"1","updated_at":"2022-12-16T11:06:11Z","orders_count":"1e999999999"}`, OutOfRange},
	}
	n := builtin(t, false)
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			r := n.Normalize(delivery("customer_changes", []byte(test.body)), normalized)
			if r.Reject == nil && test.rejected != "" || r.Reject != nil && r.Reject.Reason != test.rejected {
				t.Errorf("the reject is %v, want %q", r.Reject, test.rejected)
			}
		})
	}
}

// FuzzNormalize holds that any body becomes a row which survives its way
// through Kafka, or a reject with a known reason.
func FuzzNormalize(f *testing.F) {
	topics := slices.Sorted(maps.Keys(webhooks))
	for topic := range webhooks {
		f.Add(file(f, topic+".json"))
	}
	f.Add(file(f, "customer_sparse.json"))
	f.Add([]byte(`{"addresses":[{"zip":"1"},null,{"zip":2}],"tags":["a",null,[]],"default_address":""}`))
	n := builtin(f, false)
	decoders := map[string]*schema.Decoder{}
	for _, table := range n.Tables() {
		decoders[table.Topic] = schema.NewDecoder(table)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		for _, topic := range append(topics, "unknown") {
			r := n.Normalize(delivery(topic, body), normalized)
			if r.Reject != nil {
				if !slices.Contains(Reasons(), r.Reject.Reason) || r.Reject.Detail == "" || r.Row != nil || r.Table != nil {
					t.Fatalf("not a proper reject: %+v", r)
				}
				continue
			}
			value := r.Table.AppendRow(nil, r.Row)
			row := make(schema.Row, len(r.Table.Columns))
			if err := decoders[topic].Decode(value, row); err != nil {
				t.Fatalf("the row cannot be decoded: %v\n%s", err, value)
			}
			if again := r.Table.AppendRow(nil, row); !bytes.Equal(value, again) {
				t.Fatalf("the row changes on its way:\n%s\n%s", value, again)
			}
			length := -1
			for i, c := range r.Table.Columns {
				if strings.HasPrefix(c.Name, "addresses.") {
					if length >= 0 && len(r.Row[i].List) != length {
						t.Fatalf("%s has %d elements, another of its lists %d", c.Name, len(r.Row[i].List), length)
					}
					length = len(r.Row[i].List)
				}
			}
		}
	})
}

func BenchmarkNormalize(b *testing.B) {
	for _, topic := range []string{"points", "customer_changes"} {
		b.Run(topic, func(b *testing.B) {
			n := builtin(b, false)
			var body bytes.Buffer
			if err := json.Compact(&body, file(b, topic+".json")); err != nil {
				b.Fatal(err)
			}
			d := delivery(topic, body.Bytes())
			b.SetBytes(int64(body.Len()))
			b.ReportAllocs()
			for b.Loop() {
				if r := n.Normalize(d, normalized); r.Reject != nil {
					b.Fatal(r.Reject)
				}
			}
		})
	}
}
