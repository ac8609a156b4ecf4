package schema_test

import (
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
)

// The columns that analysts depend on, as ClickHouse's DESCRIBE prints them.
const (
	envelopeColumns = `event_id UUID
shop_id String
shop_domain LowCardinality(String)
merchant_id String
api_version LowCardinality(String)
webhook_id String
received_at DateTime64(3, 'UTC')
`
	pointsColumns = envelopeColumns + `buyer_id String
update_type LowCardinality(String)
updated_scene LowCardinality(String)
updated_value Int64
points_delta Int64
points_balance Nullable(Int64)
points_expires_at Nullable(DateTime64(3, 'UTC'))
updated_at DateTime64(3, 'UTC')
normalized_at DateTime64(3, 'UTC')
retracted Bool
`
	storeCreditsColumns = envelopeColumns + `buyer_id String
store_credits_code String
update_type LowCardinality(String)
update_reason LowCardinality(String)
update_value_cents Int64
balance_delta_cents Int64
current_balance_cents Nullable(Int64)
expires_at Nullable(DateTime64(3, 'UTC'))
updated_at DateTime64(3, 'UTC')
normalized_at DateTime64(3, 'UTC')
retracted Bool
`
	giftCardsColumns = envelopeColumns + `buyer_id String
gift_card_code String
update_type LowCardinality(String)
scene_type LowCardinality(String)
update_value_cents Int64
balance_delta_cents Int64
current_balance_cents Nullable(Int64)
original_value_cents Nullable(Int64)
expires_at Nullable(DateTime64(3, 'UTC'))
updated_at DateTime64(3, 'UTC')
normalized_at DateTime64(3, 'UTC')
retracted Bool
`
	customerChangesColumns = envelopeColumns + `customer_id String
accepts_marketing Nullable(Bool)
accepts_marketing_updated_at Nullable(DateTime64(3, 'UTC'))
accepts_mobile_marketing Nullable(Bool)
accepts_mobile_marketing_updated_at Nullable(DateTime64(3, 'UTC'))
addresses.address1 Array(String)
addresses.address2 Array(String)
addresses.city Array(String)
addresses.company Array(String)
addresses.country Array(String)
addresses.country_code Array(LowCardinality(String))
addresses.customer_id Array(String)
addresses.default Array(Bool)
addresses.first_name Array(String)
addresses.id Array(String)
addresses.last_name Array(String)
addresses.phone Array(String)
addresses.province Array(String)
addresses.province_code Array(LowCardinality(String))
addresses.zip Array(String)
asid String
birthday Nullable(Date32)
created_at Nullable(DateTime64(3, 'UTC'))
currency LowCardinality(String)
default_address_address1 String
default_address_address2 String
default_address_city String
default_address_company String
default_address_country String
default_address_country_code LowCardinality(String)
default_address_customer_id String
default_address_default Nullable(Bool)
default_address_first_name String
default_address_id String
default_address_last_name String
default_address_phone String
default_address_province String
default_address_province_code LowCardinality(String)
default_address_zip String
email String
email_marketing_consent_consent_collected_from String
email_marketing_consent_consent_updated_at Nullable(DateTime64(3, 'UTC'))
email_marketing_consent_opt_in_level Nullable(Int64)
email_marketing_consent_state Nullable(Int64)
email_subscribe_flag Nullable(Int64)
first_name String
gender LowCardinality(String)
language LowCardinality(String)
last_name String
last_order_id String
mobile_subscribe_flag Nullable(Int64)
multipass_identifier String
nick_name String
note String
orders_count Nullable(Int64)
phone String
sms_marketing_consent_consent_collected_from String
sms_marketing_consent_consent_updated_at Nullable(DateTime64(3, 'UTC'))
sms_marketing_consent_opt_in_level Nullable(Int64)
sms_marketing_consent_state Nullable(Int64)
social_customer String
state Nullable(Int64)
tags Array(String)
total_spent String
total_spent_cents Nullable(Int64)
updated_at DateTime64(3, 'UTC')
verified_email Nullable(Bool)
normalized_at DateTime64(3, 'UTC')
retracted Bool
`
	rawWebhooksColumns = `event_id UUID
webhook_id String
topic LowCardinality(String)
shop_id String
received_at DateTime64(3, 'UTC')
body String
shop_domain LowCardinality(String)
merchant_id String
api_version LowCardinality(String)
header_shop_id String
`
	deadLettersColumns = `stage LowCardinality(String)
reason LowCardinality(String)
detail String
topic LowCardinality(String)
shop_id String
webhook_id String
received_at DateTime64(3, 'UTC')
body String
event_id UUID
shop_domain LowCardinality(String)
merchant_id String
api_version LowCardinality(String)
sink LowCardinality(String)
kafka_partition Nullable(Int64)
kafka_offset Nullable(Int64)
header_shop_id String
`
)

// tables returns every table there is, by name.
func tables(t testing.TB) map[string]*schema.Table {
	t.Helper()
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]*schema.Table{"raw_webhooks": schema.RawWebhooks(), "dead_letters": schema.DeadLetters()}
	for _, c := range contracts {
		all[c.Table] = c.FactTable()
	}
	return all
}

func describe(table *schema.Table) string {
	var b strings.Builder
	for _, c := range table.Columns {
		b.WriteString(c.Name + " " + c.ClickHouseType() + "\n")
	}
	return b.String()
}

func TestTables(t *testing.T) {
	want := map[string]struct{ topic, columns string }{
		"fact_points":           {"points", pointsColumns},
		"fact_store_credits":    {"store_credits", storeCreditsColumns},
		"fact_gift_cards":       {"gift_cards", giftCardsColumns},
		"fact_customer_changes": {"customer_changes", customerChangesColumns},
		"raw_webhooks":          {"raw_webhooks", rawWebhooksColumns},
		"dead_letters":          {"dead_letters", deadLettersColumns},
	}
	all := tables(t)
	if len(all) != len(want) {
		t.Errorf("there are %d tables, want %d", len(all), len(want))
	}
	for name, want := range want {
		table := all[name]
		if table == nil {
			t.Errorf("there is no table %s", name)
			continue
		}
		if table.Name != name || table.Topic != want.topic {
			t.Errorf("table %s of topic %s, want %s of %s", table.Name, table.Topic, name, want.topic)
		}
		if diff := cmp.Diff(want.columns, describe(table)); diff != "" {
			t.Errorf("%s (- want, + got):\n%s", name, diff)
		}
	}
}

// TestMigrationsMakeTheTables holds the SQL and the tables of the code together.
func TestMigrationsMakeTheTables(t *testing.T) {
	create := regexp.MustCompile(`(?s)CREATE TABLE (?:IF NOT EXISTS )?(\w+)\s*\n\((.*?)\n\)\n`)
	codec := regexp.MustCompile(` CODEC\(.*\)$`)
	made := map[string]string{}
	for _, file := range []string{"migrations/0001_facts.up.sql", "migrations/0002_deliveries.up.sql"} {
		text, err := schema.Migrations.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range create.FindAllStringSubmatch(string(text), -1) {
			var columns strings.Builder
			for line := range strings.SplitSeq(strings.TrimSpace(match[2]), "\n") {
				line = strings.ReplaceAll(strings.TrimSuffix(strings.TrimSpace(line), ","), "`", "")
				columns.WriteString(codec.ReplaceAllString(line, "") + "\n")
			}
			made[match[1]] = columns.String()
		}
	}
	text, err := schema.Migrations.ReadFile("migrations/0004_retractions.up.sql")
	if err != nil {
		t.Fatal(err)
	}
	added := regexp.MustCompile(`ALTER TABLE (\w+) ADD COLUMN IF NOT EXISTS (\w+ \w+) DEFAULT [^ ]+ CODEC`)
	for _, match := range added.FindAllStringSubmatch(string(text), -1) {
		made[match[1]] += match[2] + "\n"
	}
	want := map[string]string{}
	for name, table := range tables(t) {
		want[name] = describe(table)
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("(- code, + migrations):\n%s", diff)
	}
}

func TestIndex(t *testing.T) {
	table := schema.RawWebhooks()
	for i, c := range table.Columns {
		if got := table.Index(c.Name); got != i {
			t.Errorf("the index of %s is %d, want %d", c.Name, got, i)
		}
	}
	if got := table.Index("bodies"); got != -1 {
		t.Errorf("the index of a column that is not there is %d, want -1", got)
	}
}

// TestEnvelopePositions holds the constants to the columns that they stand for.
func TestEnvelopePositions(t *testing.T) {
	want := map[int]string{
		schema.EventID: "event_id", schema.ShopID: "shop_id", schema.ShopDomain: "shop_domain",
		schema.MerchantID: "merchant_id", schema.APIVersion: "api_version", schema.WebhookID: "webhook_id",
		schema.ReceivedAt: "received_at",
	}
	table := tables(t)["fact_points"]
	for i, name := range want {
		if table.Columns[i].Name != name {
			t.Errorf("column %d is %s, want %s", i, table.Columns[i].Name, name)
		}
	}
}

// TestClosingCells holds the methods of a row to the columns that they stand for.
func TestClosingCells(t *testing.T) {
	for _, table := range tables(t) {
		if !strings.HasPrefix(table.Name, "fact_") {
			continue
		}
		row := make(schema.Row, len(table.Columns))
		*row.NormalizedAt() = schema.IntValue(7)
		*row.Retracted() = schema.IntValue(1)
		if row[table.Index("normalized_at")].Int != 7 || row[table.Index("retracted")].Int != 1 {
			t.Errorf("%s: the cells are those of other columns: %v", table.Name, row)
		}
	}
}

func TestTextValueIsUTF8(t *testing.T) {
	if got := schema.TextValue("a\xff\xfeb").Text; got != "a\uFFFDb" {
		t.Errorf("got %q", got)
	}
	if got := schema.BytesValue([]byte("a\xffb")).Text; got != "a\xffb" {
		t.Errorf("bytes became %q", got)
	}
}

func TestReset(t *testing.T) {
	row := schema.Row{schema.TextValue("a"), schema.IntValue(1), {List: []schema.Value{schema.TextValue("b")}, Set: true}}
	row.Reset()
	for i, v := range row {
		if v.Text != "" || v.Int != 0 || v.Set || len(v.List) != 0 {
			t.Errorf("value %d is not empty: %+v", i, v)
		}
	}
	if cap(row[2].List) == 0 {
		t.Error("the list's memory is lost")
	}
}
