package schema_test

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
)

// builtin returns one of the built-in contracts.
func builtin(t testing.TB, topic string) *schema.Contract {
	t.Helper()
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(contracts, func(c *schema.Contract) bool { return c.Topic == topic })
	if i < 0 {
		t.Fatalf("no built-in contract has the topic %s", topic)
	}
	return contracts[i]
}

// documented lists the members of each webhook's body as SHOPLINE documents
// them, in its order. What has a dot is a member of a nested object, with [] a
// member of each object in a list.
var documented = map[string]struct {
	webhook string
	members []string
}{
	"points": {
		"app_memberSystem_points/challenged",
		[]string{
			"buyer_id", "points_balance", "points_expiry_time", "store_id", "update_type",
			"updated_at", "updated_scene", "updated_value",
		},
	},
	"store_credits": {
		"app_memberSystem_shoppingCredit/challenged",
		[]string{
			"buyer_id", "current_balance", "store_credits_code", "store_credits_expiry_date",
			"store_credits_update_reason", "store_id", "update_type", "update_value", "updated_at",
		},
	},
	"gift_cards": {
		"app_memberSystem_giftCard/challenged",
		[]string{
			"buyer_id", "current_balance", "gift_card_code", "gift_card_expiry_date",
			"gift_card_original_value", "scene_type", "store_id", "update_type", "update_value", "updated_at",
		},
	},
	"customer_changes": {
		"customers/update",
		[]string{
			"accepts_marketing", "accepts_marketing_updated_at", "accepts_mobile_marketing", "accepts_mobile_marketing_updated_at",
			"addresses[].address1", "addresses[].address2", "addresses[].city", "addresses[].company", "addresses[].country",
			"addresses[].country_code", "addresses[].customer_id", "addresses[].default", "addresses[].first_name",
			"addresses[].id", "addresses[].last_name", "addresses[].phone", "addresses[].province",
			"addresses[].province_code", "addresses[].zip",
			"asid", "birthday", "created_at", "currency",
			"default_address.address1", "default_address.address2", "default_address.city", "default_address.company",
			"default_address.country", "default_address.country_code", "default_address.customer_id", "default_address.default",
			"default_address.first_name", "default_address.id", "default_address.last_name", "default_address.phone",
			"default_address.province", "default_address.province_code", "default_address.zip",
			"email",
			"email_marketing_consent.consent_collected_from", "email_marketing_consent.consent_updated_at",
			"email_marketing_consent.opt_in_level", "email_marketing_consent.state",
			"email_subscribe_flag", "first_name", "gender", "id", "language", "last_name", "last_order_id",
			"mobile_subscribe_flag", "multipass_identifier", "nick_name", "note", "orders_count", "phone",
			"sms_marketing_consent.consent_collected_from", "sms_marketing_consent.consent_updated_at",
			"sms_marketing_consent.opt_in_level", "sms_marketing_consent.state",
			"social_customer", "state", "tags", "total_spent", "updated_at", "verified_email",
		},
	},
}

// members returns what a contract reads of a body, sorted, each member once.
func members(fields []schema.Field, prefix string) []string {
	var all []string
	for _, f := range fields {
		switch f.Type {
		case schema.FieldDelta:
		case schema.FieldObject:
			all = append(all, members(f.Fields, prefix+f.Field+".")...)
		case schema.FieldObjects:
			all = append(all, members(f.Fields, prefix+f.Field+"[].")...)
		default:
			all = append(all, prefix+f.Field)
		}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// TestBuiltinReadsEveryDocumentedField is the promise that no documented field
// is lost on its way to the warehouse, and that none is made up.
func TestBuiltinReadsEveryDocumentedField(t *testing.T) {
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	if len(contracts) != len(documented) {
		t.Errorf("there are %d built-in contracts, want %d", len(contracts), len(documented))
	}
	for topic, want := range documented {
		c := builtin(t, topic)
		if !slices.Equal(c.Webhooks, []string{want.webhook}) {
			t.Errorf("%s has the webhooks %q, want %q", topic, c.Webhooks, want.webhook)
		}
		got := members(c.Fields, "")
		if c.ShopID != "" {
			got = append(got, c.ShopID)
			slices.Sort(got)
		}
		if diff := cmp.Diff(slices.Sorted(slices.Values(want.members)), got); diff != "" {
			t.Errorf("%s (- documented, + read):\n%s", topic, diff)
		}
	}
}

// TestBuiltinEnums lists the documented values, as they are stored.
func TestBuiltinEnums(t *testing.T) {
	ledger := []string{"INCREASE", "DECREASE"}
	tests := []struct {
		topic, column string
		values        []string
		closed        bool
	}{
		{"points", "update_type", ledger, true},
		{"points", "updated_scene", []string{
			"SUCCESSFUL_REGISTRATION", "LOGIN_SUCCESS", "CUSTOMERS_BIRTHDAY", "SUCCESSFUL_ORDERS", "EMAIL_SUBSCRIPTION",
			"ENTER_PHONE", "ENTER_BIRTHDAY", "SHARE_FB", "FOLLOW_FB", "FOLLOW_INS", "DAILY_ATTENDANCE", "PRODUCT_REVIEWS",
			"TOP_REVIEWS", "LEVEL_MEM_BENEFITS", "PAID_MEM_BENEFITS", "SUCCESSFUL_REFERRAL", "MANUALLY_INCREASE",
			"CUSTOMER_IMPORT_INCREASE", "CASHBACK", "REDEEM_COUPON_CODE", "REDEEM_COUPON", "REDEEM_FREE_SHIPPING",
			"REDEEM_PRODUCTS", "MANUALLY_DECREASE", "CUSTOMER_IMPORT_DECREASE", "POS_DECREASE",
		}, false},
		{"store_credits", "update_type", ledger, true},
		{"store_credits", "update_reason", []string{"refund", "transfer", "reward", "compensation", "other"}, false},
		{"gift_cards", "update_type", ledger, true},
		{"gift_cards", "scene_type", []string{"SELF_PURCHASE", "OTHERS_SEND", "PURCHASE_PAYMENT", "RETURN_INCREASE", "CARD_DISABLED"}, false},
		{"customer_changes", "gender", []string{"male", "female", "others", "secret"}, false},
	}
	for _, test := range tests {
		fields := builtin(t, test.topic).Fields
		i := slices.IndexFunc(fields, func(f schema.Field) bool { return f.ColumnName() == test.column })
		if i < 0 {
			t.Errorf("%s has no column %s", test.topic, test.column)
			continue
		}
		var values []string
		for _, v := range fields[i].Values {
			values = append(values, v.Value)
		}
		if diff := cmp.Diff(test.values, values); diff != "" {
			t.Errorf("%s.%s (- documented, + contract):\n%s", test.topic, test.column, diff)
		}
		if fields[i].Closed != test.closed {
			t.Errorf("%s.%s: closed is %t, want %t", test.topic, test.column, fields[i].Closed, test.closed)
		}
	}
}

// TestBuiltinIsDocumented holds the data dictionary complete.
func TestBuiltinIsDocumented(t *testing.T) {
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	tables := []*schema.Table{schema.RawWebhooks(), schema.DeadLetters()}
	for _, c := range contracts {
		tables = append(tables, c.FactTable())
	}
	for _, table := range tables {
		if table.Doc == "" {
			t.Errorf("table %s has no doc", table.Name)
		}
		for _, c := range table.Columns {
			if !strings.HasSuffix(strings.TrimSpace(c.Doc), ".") {
				t.Errorf("%s.%s: the doc is no sentence: %q", table.Name, c.Name, c.Doc)
			}
		}
	}
}

// header is a contract's beginning; a field of a test case begins in line 9.
const header = `topic: stars
webhooks: [stars/changed]
table: fact_stars
key: member
fields:
  - field: member
    type: string
    required: true
`

// everyType is a contract that uses everything there is.
const everyType = header + `
  - {field: a, type: bool, nullable: true}
  - {field: b, type: int64, required: true}
  - {field: c, column: c_cents, type: cents, nullable: true}
  - {field: d, type: string}
  - {field: d, column: d_cents, type: money, nullable: true, on_invalid: empty}
  - {field: e, column: e_at, type: epoch_ms, expiry: true}
  - {field: f, column: f_at, type: iso8601, nullable: true, on_invalid: reject}
  - {field: g, type: yyyymmdd, nullable: true}
  - {field: way, type: enum, case: upper, closed: true, required: true, values: [{value: INCREASE}, {value: DECREASE, aliases: [DOWN]}]}
  - {field: h, type: list}
  - {field: i, type: object, fields: [{field: x, type: int64, nullable: true}, {field: y, type: object, fields: [{field: z, type: bool}]}]}
  - {field: j, type: objects, fields: [{field: x, type: string}, {field: y, type: enum}, {field: z, type: bool}]}
  - {column: b_delta, type: delta, value: b, sign: way}
shop_id: shop
doc: Stars.
`

func TestParseEveryType(t *testing.T) {
	c, err := schema.Parse("stars.yaml", []byte(everyType))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, column := range c.FactTable().Columns[schema.ReceivedAt+1:] {
		got = append(got, column.Name+" "+column.ClickHouseType())
	}
	want := []string{
		"member String", "a Nullable(Bool)", "b Int64", "c_cents Nullable(Int64)", "d String", "d_cents Nullable(Int64)",
		"e_at Nullable(DateTime64(3, 'UTC'))", "f_at Nullable(DateTime64(3, 'UTC'))", "g Nullable(Date32)",
		"way LowCardinality(String)", "h Array(String)", "i_x Nullable(Int64)", "i_y_z Bool",
		"j.x Array(String)", "j.y Array(LowCardinality(String))", "j.z Array(Bool)", "b_delta Int64",
		"normalized_at DateTime64(3, 'UTC')", "retracted Bool",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("columns (- want, + got):\n%s", diff)
	}
}

// sign is the field of a delta's sign.
const sign = `  - {field: way, type: enum, case: upper, closed: true, required: true, values: [{value: INCREASE}, {value: DECREASE}]}
`

// mistakes are contracts that are refused, with the errors of Parse.
var mistakes = []struct {
	name string
	text string // with header before it where it begins with a field
	want string
}{
	{"an empty file", "{}", `s.yaml:1: topic: must be lower-case letters, digits and _, is ""
s.yaml:1: table: must be lower-case letters, digits and _, is ""
s.yaml:1: webhooks: must name at least one value of X-Shopline-Topic, as in customers/update
s.yaml:1: fields: must list at least one field`},
	{"an unknown key", "  - {field: a, type: string, requird: true}", `s.yaml:9: unknown key "requird" in "fields[1]"; did you mean "required"? allowed: field, column, type, doc, required, nullable, expiry, case, values, closed, value, sign, on_invalid, fields`},
	{"bad names", strings.NewReplacer("stars\n", "Stars!\n", "fact_stars", "2nd").Replace(header), `s.yaml:1: topic: must be lower-case letters, digits and _, is "Stars!"
s.yaml:3: table: must be lower-case letters, digits and _, is "2nd"`},
	{"the connector's own names", strings.NewReplacer("stars\n", "raw_webhooks\n", "fact_stars", "dead_letters").Replace(header), `s.yaml:1: topic: "raw_webhooks" is kept for the connector itself; choose another name
s.yaml:3: table: "dead_letters" is kept for the connector itself; choose another name`},
	{"an empty webhook", strings.Replace(header, "stars/changed", `a, ""`, 1), `s.yaml:2: webhooks: must name at least one value of X-Shopline-Topic, as in customers/update`},
	{"a key that is no column", strings.Replace(header, "key: member", "key: customer", 1), `s.yaml:4: key: must be the column of a field, is "customer"`},
	{"a key that may be missing", strings.Replace(header, "    required: true\n", "", 1), `s.yaml:4: key: the field of column "member" must have type string and be required`},
	{"a shop id that is an object", header + "  - {field: shop, type: object, fields: [{field: id, type: string}]}\nshop_id: shop", `s.yaml:10: shop_id: "shop" is read as an object, and an id is text`},
	{"an unknown type", "  - {field: a, type: integer}", `s.yaml:9: fields[1].type: "integer" is no type; allowed: string, bool, int64, cents, money, epoch_ms, iso8601, yyyymmdd, enum, list, object, objects, delta`},
	{"no member", "  - {column: a, type: string}", `s.yaml:9: fields[1].field: must name a member of the body, except for a delta, which has none`},
	{"a bad column", "  - {field: naïve, type: string}", `s.yaml:9: fields[1].column: must be lower-case letters, digits and _, is "naïve"`},
	{"two of one column", "  - {field: a, type: string}\n  - {field: b, column: a, type: string}", `s.yaml:5: fields: two of them fill the column "a"`},
	{"a column of the envelope", "  - {field: event_id, type: string}", `s.yaml:5: fields: two of them fill the column "event_id"`},
	{"an object read twice", "  - {field: a, type: object, fields: [{field: x, type: string}]}\n  - {field: a, column: b, type: string}", `s.yaml:10: fields[2].field: "a" is read by fields[1] already; an object can be read only once`},
	{"a nested object read twice", "  - {field: o, type: object, fields: [{field: a, type: string}, {field: a, column: b, type: objects, fields: [{field: x, type: string}]}]}", `s.yaml:9: fields[1].fields[1].field: "a" is read by fields[1].fields[0] already; an object can be read only once`},
	{"keys of other types", "  - {field: a, type: list, required: true, nullable: true, expiry: true, case: upper, values: [{value: A}], closed: true, value: a, sign: b, fields: [{field: x, type: string}]}", `s.yaml:9: fields[1].required: does not go with type list
s.yaml:9: fields[1].nullable: does not go with type list
s.yaml:9: fields[1].expiry: does not go with type list
s.yaml:9: fields[1].case: does not go with type list
s.yaml:9: fields[1].values: does not go with type list
s.yaml:9: fields[1].closed: does not go with type list
s.yaml:9: fields[1].value: does not go with type list
s.yaml:9: fields[1].sign: does not go with type list
s.yaml:9: fields[1].fields: does not go with type list
s.yaml:9: fields[1].required: a required field cannot be nullable or an expiry as well`},
	{"money without cents", "  - {field: a, type: cents, required: true}\n  - {field: b, type: money, nullable: true}", `s.yaml:9: fields[1].column: money is stored in cents, so that the name must end in _cents, is "a"
s.yaml:10: fields[2].column: money is stored in cents, so that the name must end in _cents, is "b"`},
	{"a time without at", "  - {field: a, type: epoch_ms, required: true}\n  - {field: b, type: iso8601, nullable: true}", `s.yaml:9: fields[1].column: the name of a time must end in _at, is "a"
s.yaml:10: fields[2].column: the name of a time must end in _at, is "b"`},
	{"required and nullable", "  - {field: a, type: int64, required: true, nullable: true}", `s.yaml:9: fields[1].required: a required field cannot be nullable or an expiry as well`},
	{"neither required nor nullable", "  - {field: a, type: int64}\n  - {field: b, type: yyyymmdd}", `s.yaml:9: fields[1]: must be required or nullable, for there is no empty value of type int64
s.yaml:10: fields[2]: must be required or nullable, for there is no empty value of type yyyymmdd`},
	{"a list's member of another type", "  - {field: a, type: objects, fields: [{field: x, type: int64, nullable: true}, {field: y, type: string, required: true}]}", `s.yaml:9: fields[1].fields[0]: a member of a list of objects must be a string, enum or bool, neither nullable nor required
s.yaml:9: fields[1].fields[1]: a member of a list of objects must be a string, enum or bool, neither nullable nor required`},
	{"a bad case", "  - {field: a, type: enum, case: title}", `s.yaml:9: fields[1].case: must be upper or lower, is "title"`},
	{"closed without values", "  - {field: a, type: enum, closed: true}", `s.yaml:9: fields[1].closed: needs the list of values`},
	{"bad values", "  - {field: a, type: enum, case: upper, values: [{value: A}, {value: b}, {value: C, aliases: [A, \"\"]}]}", `s.yaml:9: fields[1].values[1]: "b" must be in upper case, as it is stored
s.yaml:9: fields[1].values[2]: "A" is listed twice
s.yaml:9: fields[1].values[2]: a value or alias is empty`},
	{"a bad on_invalid", "  - {field: a, type: int64, nullable: true, on_invalid: ignore}", `s.yaml:9: fields[1].on_invalid: must be reject or empty, is "ignore"`},
	{"on_invalid without null", "  - {field: a, type: int64, required: true, on_invalid: empty}", `s.yaml:9: fields[1].on_invalid: empty needs nullable: true`},
	{"an object without fields", "  - {field: a, type: object}\n  - {field: b, type: objects}", `s.yaml:9: fields[1].fields: must list at least one field
s.yaml:10: fields[2].fields: must list at least one field`},
	{"a nested delta", "  - {field: a, type: object, fields: [{column: d, type: delta, value: b, sign: way}]}", `s.yaml:9: fields[1].fields[0].type: a delta must stand beside the body's own fields`},
	{"a delta of nothing", "  - {column: d, type: delta}", `s.yaml:9: fields[1].value: must be the column of a required field of type int64 or cents, is ""
s.yaml:9: fields[1].sign: must be the column of a required, closed enum of INCREASE and DECREASE, is ""`},
	{"a delta of what may be missing", sign + "  - {field: b, type: int64, nullable: true}\n  - {column: d, type: delta, value: b, sign: way}", `s.yaml:11: fields[3].value: must be the column of a required field of type int64 or cents, is "b"`},
	{"a delta of cents", sign + "  - {field: b_cents, type: cents, required: true}\n  - {column: d, type: delta, value: b_cents, sign: way}", `s.yaml:11: fields[3].column: money is stored in cents, so that the name must end in _cents, is "d"`},
	{"a sign that is open", strings.Replace(sign, "closed: true, ", "", 1) + "  - {field: b, type: int64, required: true}\n  - {column: d, type: delta, value: b, sign: way}", `s.yaml:11: fields[3].sign: must be the column of a required, closed enum of INCREASE and DECREASE, is "way"`},
	{"a sign of three values", strings.Replace(sign, "{value: DECREASE}", "{value: DECREASE}, {value: KEEP}", 1) + "  - {field: b, type: int64, required: true}\n  - {column: d, type: delta, value: b, sign: way}", `s.yaml:11: fields[3].sign: must be the column of a required, closed enum of INCREASE and DECREASE, is "way"`},
}

// mistaken returns the text of a contract in mistakes.
func mistaken(text string) []byte {
	if strings.HasPrefix(text, "  - ") {
		text = header + text
	}
	return []byte(text)
}

func TestParseErrors(t *testing.T) {
	for _, test := range mistakes {
		t.Run(test.name, func(t *testing.T) {
			c, err := schema.Parse("s.yaml", mistaken(test.text))
			if err == nil || c != nil {
				t.Fatalf("got a contract and the error %v", err)
			}
			if diff := cmp.Diff(test.want, err.Error()); diff != "" {
				t.Errorf("(- want, + got):\n%s", diff)
			}
		})
	}
}

func TestParseFS(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	contracts, err := schema.ParseFS(fstest.MapFS{
		"mine/b.yaml":  file(strings.Replace(header, "stars", "beta", 1)),
		"mine/a.yaml":  file(strings.Replace(header, "stars", "alpha", 1)),
		"mine/note.md": file("no contract"),
	}, "mine/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var topics []string
	for _, c := range contracts {
		topics = append(topics, c.Topic)
	}
	if want := []string{"alpha", "beta"}; !slices.Equal(topics, want) {
		t.Errorf("topics are %q, want %q", topics, want)
	}

	_, err = schema.ParseFS(fstest.MapFS{"mine/a.yaml": file("topic: [")}, "mine/*.yaml")
	if err == nil || !strings.HasPrefix(err.Error(), "mine/a.yaml:2: ") {
		t.Errorf("the error of a broken file does not name its place: %v", err)
	}
	if _, err := schema.ParseFS(fstest.MapFS{}, "["); err == nil {
		t.Error("a broken pattern is no error")
	}
	if none, err := schema.ParseFS(fstest.MapFS{}, "*.yaml"); err != nil || len(none) != 0 {
		t.Errorf("no file gives %v, %v", none, err)
	}
}

func TestFold(t *testing.T) {
	tests := []struct{ how, text, want string }{
		{"", "Ab", "Ab"}, {"upper", "Ab", "AB"}, {"lower", "Ab", "ab"}, {"upper", "é", "É"},
	}
	for _, test := range tests {
		f := schema.Field{Case: test.how}
		if got := f.Fold(test.text); got != test.want {
			t.Errorf("%q in case %q is %q, want %q", test.text, test.how, got, test.want)
		}
	}
}

// FuzzParse holds that a contract, which a data engineer writes, is taken or
// refused with an error that names the file.
func FuzzParse(f *testing.F) {
	f.Add([]byte(header))
	f.Add([]byte("fields: [{type: object, fields: [{type: delta}]}]"))
	f.Add([]byte("topic: &a [*a]"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := schema.Parse("s.yaml", data)
		if err != nil {
			if !strings.HasPrefix(err.Error(), "s.yaml") {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		for _, column := range c.FactTable().Columns {
			_ = column.ClickHouseType() // Panics where a column has no type.
		}
	})
}
