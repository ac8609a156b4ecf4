package clickhouse_test

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The statements of docs/operation.md find all that is stored of one customer and
// delete it, and nothing of anybody else.
func TestDeletingACustomerAsDocumented(t *testing.T) {
	t.Parallel()
	page, err := os.ReadFile("../../docs/operation.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, found := strings.Cut(string(page), "\n## Deleting a customer's data\n")
	section, _, ended := strings.Cut(section, "\n## ")
	blocks := regexp.MustCompile("(?s)```sql\n(.*?)```").FindAllStringSubmatch(section, -1)
	if !found || !ended || len(blocks) != 2 {
		t.Fatalf("docs/operation.md has %d blocks of SQL about deleting a customer, want what looks and what deletes", len(blocks))
	}
	w := openWarehouse(t)
	statements := func(block []string) []string {
		text := strings.NewReplacer("loyalty.", w.cfg.Database+".", "SHOP", "shop", "CUSTOMER", "240472").Replace(block[1])
		return strings.Split(strings.TrimSuffix(text, ";\n"), ";\n")
	}

	customers := map[string]string{"fact_points": "buyer_id", "fact_store_credits": "buyer_id", "fact_gift_cards": "buyer_id", "fact_customer_changes": "customer_id"}
	for table, customer := range customers {
		execute(t, w.conn, fmt.Sprintf("INSERT INTO %s.%s (shop_id, %s) VALUES ('shop', '240472'), ('shop', '2404721'), ('another', '240472')", w.cfg.Database, table, customer))
	}
	for _, table := range []string{"raw_webhooks", "dead_letters"} {
		execute(t, w.conn, fmt.Sprintf(`INSERT INTO %s.%s (shop_id, webhook_id, body) VALUES
			('shop', 'gone', '{"buyer_id":"240472","updated_value":1}'), ('shop', 'gone', '{"id":240472}'), ('', 'gone', '{"buyer_id": 240472'),
			('shop', 'gone', '{"topic":"x","body":"{\\"buyer_id\\":\\"240472\\"}"}'), ('shop', 'gone', '\xff 240472'),
			('shop', 'kept', '{"buyer_id":"2404721"}'), ('shop', 'kept', '{"buyer_id":1240472}'), ('another', 'kept', '{"buyer_id":"240472"}')`, w.cfg.Database, table))
	}

	for _, statement := range statements(blocks[0]) {
		rows := text(t, w.conn, "count(); countIf(position(body, '240472') > 0)", "FROM ("+statement+")")
		if rows != "5, 5" {
			t.Errorf("%s finds %s bodies, want 5", statement, rows)
		}
	}
	execute(t, w.conn, statements(blocks[1])...)
	for table, customer := range customers {
		if left := w.ask(t, "shop_id; "+customer, table, "1"); left != "another, 240472\nshop, 2404721" {
			t.Errorf("%s still has\n%s", table, left)
		}
	}
	for _, table := range []string{"raw_webhooks", "dead_letters"} {
		if left := w.ask(t, "webhook_id; count()", table, "1 GROUP BY webhook_id"); left != "kept, 3" {
			t.Errorf("%s still has\n%s", table, left)
		}
	}
}
