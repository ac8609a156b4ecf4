package schema

import (
	"bytes"
	"cmp"
	"fmt"
	"strings"
)

// sources says where the columns come from that no contract reads from a body.
// What is not listed is the connector's own.
var sources = map[string]string{
	"event_id":        "hash of the body",
	"shop_domain":     "header `X-Shopline-Shop-Domain`",
	"merchant_id":     "header `X-Shopline-Merchant-Id`",
	"api_version":     "header `X-Shopline-API-Version`",
	"webhook_id":      "header `X-Shopline-Webhook-Id`",
	"received_at":     "receiver's clock",
	"normalized_at":   "receiver's clock",
	"retracted":       "`connector replay`",
	"header_shop_id":  "header `X-Shopline-Shop-Id`",
	"topic":           "header `X-Shopline-Topic`",
	"body":            "the body itself",
	"kafka_partition": "Kafka",
	"kafka_offset":    "Kafka",
}

const dictionaryHead = `# Data dictionary

This file is generated from the contracts in [schema/contracts](../schema/contracts).
After a change of one of them, write it anew with

    go test ./schema -run Dictionary -update

Everything is in the database that the configuration names, ` + "`loyalty`" + ` by default.
Read the [views](#views): there each event counts once at any moment. A fact
table may hold a row of one event several times until ClickHouse merges them.

The meanings below are also the comments of the tables, the views and their columns in
ClickHouse, where ` + "`DESCRIBE TABLE`, `system.columns`" + ` and the tools that read them
show them. A sink writes them when it starts, also over comments that somebody has
changed. Those of the columns of the views named ` + "`*_cached`" + ` are part of the migrations,
for a refresh makes these columns anew.

- Money is in ` + "`*_cents`" + `, an integer in 1/100 of the currency's unit. Times are
  ` + "`*_at`" + `, in UTC with milliseconds. Ids are text.
- Text that the body does not have is empty. A number, time, date or truth value
  that it does not have is NULL, where the column is ` + "`Nullable`" + `.
- A field marked *required* sends a body without it to ` + "`dead_letters`" + `.
- Enums are ` + "`LowCardinality(String)`" + `. Where it is not said that they are closed,
  the values listed are those that are known, and a new one is stored as it comes.
- The fact tables are partitioned by the month of ` + "`updated_at`" + ` and sorted by
  ` + "`(shop_id, customer, updated_at, event_id)`" + `, where the customer is ` + "`buyer_id`" + `,
  or ` + "`customer_id`" + ` in ` + "`fact_customer_changes`" + `.
- Each table has a Kafka topic. A record there is one flat JSON object whose keys
  are the table's columns: times as RFC 3339, NULL as ` + "`null`" + `, and a body that is
  not readable text as base64 under ` + "`body_base64`" + `. The keys ` + "`retracted`" + ` and
  ` + "`header_shop_id`" + ` are there only where they tell something. The topics' names
  begin with the configured prefix, ` + "`loyalty.`" + ` by default.
- Who reads the facts from Kafka, or a fact table itself, takes a row with
  ` + "`retracted`" + ` for the end of the row of the same key: see
  [dead-letters.md](dead-letters.md#what-a-replay-changes).
`

// Dictionary describes the tables of the contracts, the two tables of the
// connector itself and the views, as a page of Markdown.
func Dictionary(contracts []*Contract) []byte {
	var b bytes.Buffer
	b.WriteString(dictionaryHead)
	b.WriteString("\n## Views\n\n| view | what it holds |\n|---|---|\n")
	for _, v := range views {
		fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", v.Name, v.Name, v.Doc)
	}
	for _, v := range views {
		appendView(&b, v)
	}
	for _, c := range contracts {
		appendContract(&b, c)
	}
	for _, t := range []*Table{RawWebhooks(), DeadLetters()} {
		appendHeading(&b, t)
		appendColumns(&b, t, nil, "the body's shop id, else header `X-Shopline-Shop-Id`")
	}
	return b.Bytes()
}

func appendView(b *bytes.Buffer, v View) {
	fmt.Fprintf(b, "\n### %s\n\n%s\n\n", v.Name, v.Doc)
	if len(v.Parameters) > 0 {
		b.WriteString("| parameter | type | meaning |\n|---|---|---|\n")
		appendViewColumns(b, v.Parameters)
		b.WriteString("\n")
	}
	if v.base != "" {
		fmt.Fprintf(b, "Columns: all of [`%s`](#%s) but `retracted`.\n", v.base, v.base)
		return
	}
	b.WriteString("| column | type | meaning |\n|---|---|---|\n")
	appendViewColumns(b, v.Columns)
}

func appendViewColumns(b *bytes.Buffer, columns []ViewColumn) {
	for _, c := range columns {
		fmt.Fprintf(b, "| `%s` | `%s` | %s |\n", c.Name, c.Type, c.Doc)
	}
}

func appendContract(b *bytes.Buffer, c *Contract) {
	t := c.FactTable()
	appendHeading(b, t)
	webhooks := make([]string, len(c.Webhooks))
	for i, w := range c.Webhooks {
		webhooks[i] = "`" + w + "`"
	}
	fmt.Fprintf(b, "Webhook: %s.\n\n", strings.Join(webhooks, ", "))
	shop := "header `X-Shopline-Shop-Id`"
	if c.ShopID != "" {
		shop = fmt.Sprintf("`%s`, else header `X-Shopline-Shop-Id`", c.ShopID)
	}
	var fields []bodyField
	for i := range c.Fields {
		fields = appendBodyFields(fields, &c.Fields[i], "")
	}
	appendColumns(b, t, fields, shop)
	for _, f := range fields {
		appendValues(b, f)
	}
}

func appendHeading(b *bytes.Buffer, t *Table) {
	fmt.Fprintf(b, "\n## %s\n\n%s Kafka topic: `loyalty.%s`.\n\n", t.Name, t.Doc, t.Topic)
}

// A bodyField is a field that fills one column, with its place in the body.
type bodyField struct {
	*Field
	path string
}

// appendBodyFields lists fields in the order of the columns that they fill.
func appendBodyFields(fields []bodyField, f *Field, prefix string) []bodyField {
	path := prefix + f.Field
	switch f.Type {
	case FieldObject:
		path += "."
	case FieldObjects:
		path += "[]."
	default:
		return append(fields, bodyField{Field: f, path: path})
	}
	for i := range f.Fields {
		fields = appendBodyFields(fields, &f.Fields[i], path)
	}
	return fields
}

func (f bodyField) source() string {
	if f.Type == FieldDelta {
		return fmt.Sprintf("`%s` with the sign of `%s`", f.Value, f.Sign)
	}
	text := "`" + f.path + "`"
	if f.Required {
		text += ", required"
	}
	return text
}

func appendColumns(b *bytes.Buffer, t *Table, fields []bodyField, shop string) {
	b.WriteString("| column | type | from | meaning |\n|---|---|---|---|\n")
	for i, c := range t.Columns {
		source := cmp.Or(sources[c.Name], "the connector")
		switch k := i - envelopeColumns; {
		case k >= 0 && k < len(fields):
			source = fields[k].source()
		case c.Name == "shop_id":
			source = shop
		case t.Name == "dead_letters" && c.Name == "topic":
			source = "header `X-Shopline-Topic`, or Kafka"
		case t.Name == "dead_letters" && c.Name == "body":
			source = "the body itself, or the Kafka record's value"
		}
		fmt.Fprintf(b, "| `%s` | `%s` | %s | %s |\n", c.Name, c.ClickHouseType(), source, c.Doc)
	}
}

func appendValues(b *bytes.Buffer, f bodyField) {
	if len(f.Values) == 0 {
		return
	}
	closed := "Known values"
	if f.Closed {
		closed = "The only values"
	}
	fmt.Fprintf(b, "\n%s of `%s`:\n\n| value | meaning |\n|---|---|\n", closed, f.ColumnName())
	for _, v := range f.Values {
		fmt.Fprintf(b, "| `%s` | %s", v.Value, v.Doc)
		for _, alias := range v.Aliases {
			fmt.Fprintf(b, "; also read from `%s`", alias)
		}
		b.WriteString(" |\n")
	}
}
