package normalize

import (
	"encoding/json"
	"math"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
)

// contractOf compiles a contract whose second field is given as YAML, with the
// member x.
func contractOf(t testing.TB, field string) *Normalizer {
	t.Helper()
	c, err := schema.Parse("test.yaml", []byte(`topic: tests
webhooks: [tests/changed]
table: fact_tests
key: member
fields:
  - {field: member, type: string, required: true}
  - {field: x, `+field+`}
`))
	if err != nil {
		t.Fatal(err)
	}
	n, err := New([]*schema.Contract{c}, false)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// read returns what a value of member x becomes: the columns that it fills, as
// they stand in Kafka, or the reject.
func read(t testing.TB, n *Normalizer, value string) string {
	t.Helper()
	r := n.Normalize(Delivery{Topic: "tests/changed", Body: []byte(`{"member":"m","x":` + value + `}`)}, normalized)
	if r.Reject != nil {
		return r.Reject.Error()
	}
	cells := columns(t, r)
	var all []string
	for _, c := range r.Table.Columns[schema.ReceivedAt+2 : r.Table.Index("normalized_at")] {
		all = append(all, cells[c.Name])
	}
	return strings.Join(all, " ")
}

const (
	noNumber   = "invalid_type: field x is not a number"
	fraction   = "invalid_value: field x has a fraction that cannot be stored exactly"
	beyond     = "out_of_range: field x is beyond 64 bits"
	noText     = "invalid_type: field x is not text"
	noBool     = "invalid_type: field x is neither true nor false"
	noEpoch    = "out_of_range: field x is no time between 2000 and 2100 in milliseconds since 1970"
	noInstant  = "invalid_value: field x is not a date and time with an offset, as in 2022-12-16T11:06:11+08:00"
	noDate     = "invalid_value: field x is not a date in eight digits, as in 19900625"
	outOfRange = "out_of_range: field x is not between 1900 and 2299"
	noValue    = "invalid_value: field x is none of the values of its contract"
)

func TestFieldTypes(t *testing.T) {
	type reading struct{ value, want string }
	tests := []struct {
		field    string
		readings []reading
	}{
		{"type: string", []reading{
			{`"text"`, `"text"`},
			{`"ü \u00fc \ud83d\udc4b \n \""`, `"ü ü 👋 \n \""`},
			{`" kept "`, `" kept "`},
			{`"12345678901234567890123456"`, `"12345678901234567890123456"`},
			{`12345678901234567890123456`, `"12345678901234567890123456"`},
			{`-1.50`, `"-1.50"`},
			{`null`, `""`},
			{`""`, `""`},
			{`true`, noText},
			{`{}`, noText},
			{`["a"]`, noText},
		}},
		{"type: string, required: true", []reading{
			{`"a"`, `"a"`},
			{`0`, `"0"`},
			{`""`, "missing_field: field x is missing or empty"},
			{`null`, "missing_field: field x is missing or empty"},
		}},
		{"type: bool, nullable: true", []reading{
			{`true`, `true`},
			{`false`, `false`},
			{`"true"`, `true`},
			{`"FALSE"`, `false`},
			{`1`, `true`},
			{`"0"`, `false`},
			{`null`, `null`},
			{`""`, `null`},
			{`"yes"`, noBool},
			{`2`, noBool},
			{`[true]`, noBool},
			{`{}`, noBool},
		}},
		{"type: bool", []reading{{`null`, `false`}, {`true`, `true`}}},
		{"type: int64, nullable: true", []reading{
			{`0`, `0`},
			{`1000`, `1000`},
			{`1000.0`, `1000`},
			{`1e3`, `1000`},
			{`"1000"`, `1000`},
			{`" 1000 "`, `1000`},
			{`"+1000"`, `1000`},
			{`"0001000"`, `1000`},
			{`"\u0031000"`, `1000`},
			{`-5`, `-5`},
			{`9223372036854775807`, `9223372036854775807`},
			{`-9223372036854775808`, `-9223372036854775808`},
			{`null`, `null`},
			{`""`, `null`},
			{`9223372036854775808`, beyond},
			{`-9223372036854775809`, beyond},
			{`1e999999999`, beyond},
			{`1.5`, fraction},
			{`"0.1"`, fraction},
			{`"ten"`, noNumber},
			{`" "`, noNumber},
			{`"1,000"`, noNumber},
			{`"0x10"`, noNumber},
			{`true`, noNumber},
			{`[1]`, noNumber},
			{`{}`, noNumber},
		}},
		{"type: cents, column: x_cents, nullable: true", []reading{
			{`1000`, `1000`},
			{`"1000"`, `1000`},
			{`10.00`, `10`}, // Cents already: not multiplied.
			{`10.5`, fraction},
		}},
		{"type: money, column: x_cents, nullable: true", []reading{
			{`"0"`, `0`},
			{`"12"`, `1200`},
			{`"12.5"`, `1250`},
			{`"12.50"`, `1250`},
			{`12.50`, `1250`},
			{`"-0.01"`, `-1`},
			{`"92233720368547758.07"`, `9223372036854775807`},
			{`null`, `null`},
			{`"12.345"`, fraction},
			{`"92233720368547758.08"`, beyond},
			{`"$12"`, noNumber},
		}},
		{"type: money, column: x_cents, nullable: true, on_invalid: empty", []reading{
			{`"12.50"`, `1250`},
			{`"12.345"`, `null`},
			{`"1e99"`, `null`},
			{`"$12"`, `null`},
			{`[]`, `null`},
		}},
		{"type: epoch_ms, column: x_at, nullable: true", []reading{
			{`946684800000`, `"2000-01-01T00:00:00.000Z"`},
			{`4102444799999`, `"2099-12-31T23:59:59.999Z"`},
			{`1721829526566`, `"2024-07-24T13:58:46.566Z"`},
			{`"1721829526566"`, `"2024-07-24T13:58:46.566Z"`},
			{`1.721829526566e12`, `"2024-07-24T13:58:46.566Z"`},
			{`null`, `null`},
			{`""`, `null`},
			{`946684799999`, noEpoch},
			{`4102444800000`, noEpoch},
			{`1721829526`, noEpoch}, // In seconds.
			{`1721829526566000`, noEpoch},
			{`0`, noEpoch},
			{`-1`, noEpoch},
			{`1721829526566.5`, fraction},
			{`99999999999999999999`, beyond},
			{`"2022-12-16T11:06:11+08:00"`, noNumber},
		}},
		{"type: epoch_ms, column: x_at, expiry: true", []reading{
			{`1721829526566`, `"2024-07-24T13:58:46.566Z"`},
			{`"1721829526566"`, `"2024-07-24T13:58:46.566Z"`},
			{`0`, `null`},
			{`"0"`, `null`},
			{`0.0`, `null`},
			{`""`, `null`},
			{`null`, `null`},
			{`4102444800000`, `"2100-01-01T00:00:00.000Z"`}, // What DateTime64 can hold is kept.
			{`10413791999999`, `"2299-12-31T23:59:59.999Z"`},
			{`10413792000000`, `null`}, // From 2300 on it never expires.
			{`253402300799000`, `null`},
			{`9223372036854775807`, `null`},
			{`99999999999999999999`, `null`},
			{`1721829526`, noEpoch},
			{`-1`, noEpoch},
			{`-99999999999999999999`, beyond},
			{`"never"`, noNumber},
		}},
		{"type: iso8601, column: x_at, nullable: true", []reading{
			{`"2022-12-16T11:06:11+08:00"`, `"2022-12-16T03:06:11.000Z"`},
			{`"2022-12-16T11:06:11+0800"`, `"2022-12-16T03:06:11.000Z"`},
			{`"2022-12-16T11:06:11-03:30"`, `"2022-12-16T14:36:11.000Z"`},
			{`"2022-12-16T11:06:11Z"`, `"2022-12-16T11:06:11.000Z"`},
			{`"2022-12-16T11:06:11.123456789+00:00"`, `"2022-12-16T11:06:11.123Z"`},
			{`"1900-01-01T00:00:00Z"`, `"1900-01-01T00:00:00.000Z"`},
			{`"2299-12-31T23:59:59.999Z"`, `"2299-12-31T23:59:59.999Z"`},
			{`null`, `null`},
			{`""`, `null`},
			{`"1899-12-31T23:59:59Z"`, outOfRange},
			{`"2300-01-01T00:00:00Z"`, outOfRange},
			{`"9999-12-31T23:59:59Z"`, outOfRange},
			{`"2022-12-16T11:06:11"`, noInstant},
			{`"2022-12-16"`, noInstant},
			{`"2022-02-30T00:00:00Z"`, noInstant},
			{`"soon"`, noInstant},
			{`1721829526566`, "invalid_type: field x is not text with a date and time"},
			{`{}`, "invalid_type: field x is not text with a date and time"},
		}},
		{"type: yyyymmdd, nullable: true", []reading{
			{`"19900625"`, `"1990-06-25"`},
			{`19900625`, `"1990-06-25"`},
			{`"19691231"`, `"1969-12-31"`},
			{`"19310203"`, `"1931-02-03"`},
			{`"19000101"`, `"1900-01-01"`},
			{`"20000229"`, `"2000-02-29"`},
			{`"22991231"`, `"2299-12-31"`},
			{`"00000000"`, `null`},
			{`"0"`, `null`},
			{`0`, `null`},
			{`" "`, `null`},
			{`null`, `null`},
			{`""`, `null`},
			{`"18991231"`, outOfRange},
			{`"23000101"`, outOfRange},
			{`"20230229"`, noDate},
			{`"19901301"`, noDate},
			{`"1990-06-25"`, noDate},
			{`"1990625"`, noDate},
			{`"birthday"`, noDate},
			{`true`, "invalid_type: field x is not a date in eight digits"},
		}},
		{"type: enum", []reading{
			{`"Mixed"`, `"Mixed"`},
			{`" Mixed "`, `"Mixed"`},
			{`7`, `"7"`},
			{`null`, `""`},
			{`" "`, `""`},
			{`{}`, noText},
		}},
		{"type: enum, case: upper, values: [{value: A, aliases: [ALPHA, ALFA]}, {value: B}]", []reading{
			{`"A"`, `"A"`},
			{`"a"`, `"A"`},
			{`"alpha"`, `"A"`},
			{`"Alfa"`, `"A"`},
			{`"b"`, `"B"`},
			{`"brand new"`, `"BRAND NEW"`},
		}},
		{"type: enum, case: lower", []reading{{`"RefunD"`, `"refund"`}}},
		{"type: enum, case: upper, required: true, closed: true, values: [{value: A}, {value: B}]", []reading{
			{`"a"`, `"A"`},
			{`"C"`, noValue},
			{`""`, "missing_field: field x is missing or empty"},
			{`" "`, "missing_field: field x is missing or empty"},
		}},
		{"type: list", []reading{
			{`"good"`, `["good"]`},
			{`"good, very good ,,vip,"`, `["good","very good","vip"]`},
			{`["good"," vip ","","a,b",7,null]`, `["good","vip","a,b","7"]`},
			{`"ü\u002c\u00fc"`, `["ü","ü"]`},
			{`7`, `["7"]`},
			{`[]`, `[]`},
			{`" , "`, `[]`},
			{`""`, `[]`},
			{`null`, `[]`},
			{`["good",["vip"]]`, noText},
			{`["good",{"a":1}]`, noText},
			{`{"good":1}`, noText},
			{`true`, noText},
		}},
		{"type: object, fields: [{field: a, type: string}, {field: b, type: int64, nullable: true}]", []reading{
			{`{"a":"1","b":2}`, `"1" 2`},
			{`{"b":2,"new":{"a":"no"},"a":"1"}`, `"1" 2`},
			{`{}`, `"" null`},
			{`null`, `"" null`},
			{`""`, `"" null`},
			{`"text"`, "invalid_type: field x is not the object or list of its contract"},
			{`[{"a":"1"}]`, "invalid_type: field x is not the object or list of its contract"},
			{`7`, "invalid_type: field x is not the object or list of its contract"},
			{`{"b":"two"}`, "invalid_type: field b is not a number"},
		}},
		{"type: objects, fields: [{field: a, type: string}, {field: b, type: enum, case: upper}, {field: c, type: bool}]", []reading{
			{`[{"a":"1","b":"x","c":true},{"c":false,"a":"2","b":"y"}]`, `["1","2"] ["X","Y"] [true,false]`},
			{`[{},{"a":"2"},{"b":null,"new":[{"a":"no"}]}]`, `["","2",""] ["","",""] [false,false,false]`},
			{`[]`, `[] [] []`},
			{`null`, `[] [] []`},
			{`""`, `[] [] []`},
			{`{"a":"1"}`, "invalid_type: field x is not the object or list of its contract"},
			{`"text"`, "invalid_type: field x is not the object or list of its contract"},
			{`[{"a":"1"},null]`, "invalid_type: field x has an element that is not an object"},
			{`[["a"],{"a":"1"}]`, "invalid_type: field x has an element that is not an object"},
			{`[{"a":{}}]`, "invalid_type: field a is not text"},
		}},
	}
	for _, test := range tests {
		t.Run(test.field, func(t *testing.T) {
			n := contractOf(t, test.field)
			for _, reading := range test.readings {
				if got := read(t, n, reading.value); got != reading.want {
					t.Errorf("%s\n gives %s\n want  %s", reading.value, got, reading.want)
				}
			}
		})
	}
}

// TestOneMemberTwoColumns holds that a member can be kept as it came beside
// what is made of it.
func TestOneMemberTwoColumns(t *testing.T) {
	n := builtin(t, false)
	body := file(t, "customer_changes.json")
	tests := []struct{ spent, text, cents string }{
		{`"0"`, `"0"`, `0`},
		{`"12.50"`, `"12.50"`, `1250`},
		{`12.50`, `"12.50"`, `1250`},
		{`"12.345"`, `"12.345"`, `null`},
		{`"1.234,56"`, `"1.234,56"`, `null`},
		{`"99999999999999999999"`, `"99999999999999999999"`, `null`},
		{`""`, `""`, `null`},
	}
	for _, test := range tests {
		cells := columns(t, n.Normalize(delivery("customer_changes", with(t, body, map[string]any{"total_spent": test.spent})), normalized))
		if cells["total_spent"] != test.text || cells["total_spent_cents"] != test.cents {
			t.Errorf("%s becomes %s and %s, want %s and %s", test.spent, cells["total_spent"], cells["total_spent_cents"], test.text, test.cents)
		}
	}
}

func TestDelta(t *testing.T) {
	n := builtin(t, false)
	tests := []struct {
		way, value string
		amount     int64
		delta      int64
	}{
		{`"INCREASE"`, `20`, 20, 20},
		{`"DECREASE"`, `20`, 20, -20},
		{`"increase"`, `20`, 20, 20},
		{`" Decrease "`, `"20"`, 20, -20},
		{`"INCREASE"`, `0`, 0, 0},
		{`"DECREASE"`, `0`, 0, 0},
		// The value is absolute; a sign of its own would count twice.
		{`"INCREASE"`, `-20`, -20, 20},
		{`"DECREASE"`, `-20`, -20, -20},
		{`"INCREASE"`, `9223372036854775807`, math.MaxInt64, math.MaxInt64},
		{`"DECREASE"`, `9223372036854775807`, math.MaxInt64, -math.MaxInt64},
		{`"DECREASE"`, `-9223372036854775808`, math.MinInt64, math.MinInt64},
	}
	ledgers := []struct{ topic, member, amount, delta string }{
		{"points", "updated_value", "updated_value", "points_delta"},
		{"store_credits", "update_value", "update_value_cents", "balance_delta_cents"},
		{"gift_cards", "update_value", "update_value_cents", "balance_delta_cents"},
	}
	for _, ledger := range ledgers {
		body := file(t, ledger.topic+".json")
		for _, test := range tests {
			cells := columns(t, n.Normalize(delivery(ledger.topic, with(t, body, map[string]any{"update_type": test.way, ledger.member: test.value})), normalized))
			amount, delta := strconv.FormatInt(test.amount, 10), strconv.FormatInt(test.delta, 10)
			if cells[ledger.amount] != amount || cells[ledger.delta] != delta {
				t.Errorf("%s: %s of %s is %s and %s, want %s and %s", ledger.topic, test.way, test.value, cells[ledger.amount], cells[ledger.delta], amount, delta)
			}
		}
		for _, reject := range []struct{ way, value, want string }{
			{`"INCREASE"`, `-9223372036854775808`, "out_of_range: field " + ledger.member + " is beyond 64 bits as an increase"},
			{`"EXPIRE"`, `20`, "invalid_value: field update_type is none of the values of its contract"},
			{`"+"`, `20`, "invalid_value: field update_type is none of the values of its contract"},
		} {
			r := n.Normalize(delivery(ledger.topic, with(t, body, map[string]any{"update_type": reject.way, ledger.member: reject.value})), normalized)
			if r.Reject == nil || r.Reject.Error() != reject.want {
				t.Errorf("%s: %s of %s gives %v, want %s", ledger.topic, reject.way, reject.value, r.Reject, reject.want)
			}
		}
	}
}

// TestQuirks goes through what SHOPLINE is known to send beside its documents.
func TestQuirks(t *testing.T) {
	n := builtin(t, false)
	tests := []struct {
		name, topic string
		members     map[string]any
		want        map[string]string
	}{
		{"the scene with a letter missing", "gift_cards", map[string]any{"scene_type": `"CARD_DIABLED"`}, map[string]string{"scene_type": `"CARD_DISABLED"`}},
		{"the right spelling", "gift_cards", map[string]any{"scene_type": `"card_disabled"`}, map[string]string{"scene_type": `"CARD_DISABLED"`}},
		{"a new scene of cards", "gift_cards", map[string]any{"scene_type": `"Melted"`}, map[string]string{"scene_type": `"MELTED"`}},
		{"a new scene of points", "points", map[string]any{"updated_scene": `"lottery"`}, map[string]string{"updated_scene": `"LOTTERY"`}},
		{"a reason in upper case", "store_credits", map[string]any{"store_credits_update_reason": `"REFUND"`}, map[string]string{"update_reason": `"refund"`}},
		{"a new reason", "store_credits", map[string]any{"store_credits_update_reason": `"Goodwill"`}, map[string]string{"update_reason": `"goodwill"`}},
		{"no expiry", "points", map[string]any{"points_expiry_time": nil}, map[string]string{"points_expires_at": `null`}},
		{"an expiry of 0", "gift_cards", map[string]any{"gift_card_expiry_date": `0`}, map[string]string{"expires_at": `null`}},
		{"an empty expiry", "store_credits", map[string]any{"store_credits_expiry_date": `""`}, map[string]string{"expires_at": `null`}},
		{"numbers as text", "points", map[string]any{"points_balance": `"20"`, "updated_at": `"1721829526566"`}, map[string]string{"points_balance": `20`, "updated_at": `"2024-07-24T13:58:46.566Z"`}},
		{"an id of 26 digits", "points", map[string]any{"buyer_id": `"12345678901234567890123456"`}, map[string]string{"buyer_id": `"12345678901234567890123456"`}},
		{"an id as a number", "gift_cards", map[string]any{"buyer_id": `12345678901234567890123456`, "gift_card_code": `0`}, map[string]string{"buyer_id": `"12345678901234567890123456"`, "gift_card_code": `"0"`}},
		{"a currency without cents", "customer_changes", map[string]any{"currency": `"clp"`, "total_spent": `"0"`}, map[string]string{"currency": `"CLP"`, "total_spent_cents": `0`}},
		{"a birthday before 1970", "customer_changes", map[string]any{"birthday": `"19310203"`}, map[string]string{"birthday": `"1931-02-03"`}},
		{"no birthday in zeros", "customer_changes", map[string]any{"birthday": `"00000000"`}, map[string]string{"birthday": `null`}},
		{"tags", "customer_changes", map[string]any{"tags": `"vip, new"`}, map[string]string{"tags": `["vip","new"]`}},
		{"tags as a list", "customer_changes", map[string]any{"tags": `["vip","new"]`}, map[string]string{"tags": `["vip","new"]`}},
		{"no address", "customer_changes", map[string]any{"default_address": `null`, "addresses": `null`}, map[string]string{"default_address_city": `""`, "default_address_default": `null`, "addresses.city": `[]`, "addresses.default": `[]`}},
		{
			"addresses of different members", "customer_changes",
			map[string]any{"addresses": `[{"city":"A"},{"zip":"2","default":true},{"customer_id":3}]`},
			map[string]string{"addresses.city": `["A","",""]`, "addresses.zip": `["","2",""]`, "addresses.default": `[false,true,false]`, "addresses.customer_id": `["","","3"]`, "addresses.id": `["","",""]`},
		},
		{"members that no document has", "points", map[string]any{"brand_new": `{"a":[1,2,{"b":null}]}`, "event_id": `"forged"`, "shop_id": `"forged"`}, map[string]string{"shop_id": `"1718263946864"`}},
		{"negative balances", "gift_cards", map[string]any{"current_balance": `-5`}, map[string]string{"current_balance_cents": `-5`}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cells := columns(t, n.Normalize(delivery(test.topic, with(t, file(t, test.topic+".json"), test.members)), normalized))
			got := map[string]string{}
			for name := range test.want {
				got[name] = cells[name]
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(- want, + got):\n%s", diff)
			}
			if !json.Valid([]byte(cells["event_id"])) || cells["event_id"] == `"forged"` {
				t.Errorf("the event id is %s", cells["event_id"])
			}
		})
	}
}

// TestNestedContract holds that a contract may nest as deep as its source does,
// and that any member's name can be read.
func TestNestedContract(t *testing.T) {
	n := contractOf(t, `type: object, fields: [{field: "Größe \"X\"/\u00a0", column: size, type: string}, {field: y, type: object, fields: [{field: z, type: objects, fields: [{field: s, type: string}]}]}]`)
	const want = `"XL" ["1","2"]`
	for _, body := range []string{
		`{"Größe \"X\"/` + "\u00a0" + `":"XL","y":{"z":[{"s":"1"},{"s":"2"}]}}`,
		`{"y":{"z":[{"s":1},{"s":2}]},"Gr\u00f6\u00dfe \u0022X\"\/\u00A0":"XL"}`,
	} {
		if got := read(t, n, body); got != want {
			t.Errorf("%s gives %s, want %s", body, got, want)
		}
	}
}
