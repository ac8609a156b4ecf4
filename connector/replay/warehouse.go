package replay

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

// table returns a table's name for a query. Database and tables are named by the
// configuration and the contracts, which allow letters, digits and _ alone;
// whatever else a query compares with is a parameter.
func (r *Replayer) table(name string) string {
	return "`" + r.cfg.Database + "`.`" + name + "`"
}

// query runs a query and calls scan for every row of the answer.
func (r *Replayer) query(ctx context.Context, query string, args []any, scan func(driver.Rows) error) (err error) {
	// Ids are listed in the query: many make it long.
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{"max_query_size": 64 << 20}))
	rows, err := r.conn.Query(ctx, query, args...)
	if err != nil {
		return describe(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong.
	for rows.Next() {
		if err := scan(rows); err != nil {
			return err
		}
	}
	return describe(rows.Err())
}

// describe says where an error comes from.
func describe(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("clickhouse: %w", err)
}

func named(name string, value any) any { return clickhouse.Named(name, value) }

// inspect looks up which tables there are and how they are sorted.
func (r *Replayer) inspect(ctx context.Context) error {
	type found struct {
		engine, sorting string
		columns         map[string]bool
	}
	tables := map[string]*found{}
	err := r.query(ctx, "SELECT name, engine, sorting_key FROM system.tables WHERE database = @database", []any{named("database", r.cfg.Database)}, func(rows driver.Rows) error {
		var name string
		f := &found{columns: map[string]bool{}}
		err := rows.Scan(&name, &f.engine, &f.sorting)
		tables[name] = f
		return err
	})
	if err != nil {
		return err
	}
	err = r.query(ctx, "SELECT table, name FROM system.columns WHERE database = @database", []any{named("database", r.cfg.Database)}, func(rows driver.Rows) error {
		var table, name string
		err := rows.Scan(&table, &name)
		if f := tables[table]; f != nil {
			f.columns[name] = true
		}
		return err
	})
	if err != nil {
		return err
	}
	for _, t := range []*schema.Table{r.raw, r.dead} {
		f := tables[t.Name]
		if f == nil {
			return fmt.Errorf("there is no table %s.%s: %w", r.cfg.Database, t.Name, errNoWarehouse)
		}
		for _, c := range t.Columns {
			if !f.columns[c.Name] {
				return fmt.Errorf("table %s.%s has no column %s: %w", r.cfg.Database, t.Name, c.Name, errNoWarehouse)
			}
		}
	}
	for _, fact := range r.facts {
		f := tables[fact.table.Name]
		if f == nil {
			fact.missing = true
			continue
		}
		for _, c := range fact.table.Columns {
			if !f.columns[c.Name] {
				return fmt.Errorf("table %[1]s.%[2]s has no column %[3]s; run connector migrate up, or, if the table is your own, ALTER TABLE %[1]s.%[2]s ADD COLUMN `%[3]s` %[4]s",
					r.cfg.Database, fact.table.Name, c.Name, c.ClickHouseType())
			}
		}
		if err := fact.sortedBy(f.engine, f.sorting); err != nil {
			return fmt.Errorf("table %s.%s %w", r.cfg.Database, fact.table.Name, err)
		}
	}
	return nil
}

// sortedBy takes over the table's sorting key: it decides which row replaces
// which.
func (f *fact) sortedBy(engine, sorting string) error {
	if !strings.HasSuffix(engine, "ReplacingMergeTree") {
		return fmt.Errorf("has the engine %s: a replay replaces rows, which needs ReplacingMergeTree(normalized_at)", engine)
	}
	f.key = nil
	hasEvent := false
	for name := range strings.SplitSeq(sorting, ",") {
		i := f.table.Index(strings.Trim(strings.TrimSpace(name), "`"))
		if i < 0 {
			return fmt.Errorf("is sorted by %q: a replay needs a sorting key of the contract's columns alone", sorting)
		}
		hasEvent = hasEvent || i == schema.EventID
		f.key = append(f.key, i)
	}
	if !hasEvent {
		return fmt.Errorf("is sorted by %q: a replay needs event_id in it, or it would replace other events", sorting)
	}
	return nil
}

// A rawDelivery is a row of raw_webhooks.
type rawDelivery struct {
	delivery normalize.Delivery
	// shop is the one that the receiver knew.
	shop string
	// superseded tells that the range has a later delivery of the same event,
	// which says the same. Then the body is left out.
	superseded bool
}

// rawColumns select a rawDelivery but for its body.
const rawColumns = "webhook_id, topic, shop_id, if(header_shop_id = '', shop_id, header_shop_id), toUnixTimestamp64Milli(received_at), shop_domain, merchant_id, api_version"

// scan reads rawColumns and those behind them.
func (d *rawDelivery) scan(rows driver.Rows, more ...any) error {
	var at int64
	x := &d.delivery
	err := rows.Scan(append([]any{&x.WebhookID, &x.Topic, &d.shop, &x.ShopID, &at, &x.ShopDomain, &x.MerchantID, &x.APIVersion}, more...)...)
	x.ReceivedAt = time.UnixMilli(at).UTC()
	return err
}

// where is the condition on raw_webhooks for a range from begin to end.
func (r *Replayer) where(in Range, begin, end time.Time) (string, []any) {
	condition := "received_at >= fromUnixTimestamp64Milli(@begin) AND received_at < fromUnixTimestamp64Milli(@end)"
	args := []any{named("begin", begin.UnixMilli()), named("end", end.UnixMilli())}
	i := slices.IndexFunc(r.facts, func(f *fact) bool { return f.table.Topic == in.Topic })
	if i < 0 {
		return condition, args
	}
	return condition + " AND " + webhookOf("@webhooks"), append(args, named("webhooks", lower(r.facts[i].contract.Webhooks)))
}

// webhookOf compares a webhook's topic the way that the receiver does.
func webhookOf(list string) string { return "lowerUTF8(trimBoth(topic)) IN " + list }

func lower(texts []string) []string {
	all := make([]string, len(texts))
	for i, t := range texts {
		all[i] = strings.ToLower(t)
	}
	return all
}

// Count returns how many deliveries a range has.
func (r *Replayer) Count(ctx context.Context, in Range) (n int64, err error) {
	condition, args := r.where(in, in.From, in.To)
	err = r.query(ctx, "SELECT toInt64(count()) FROM "+r.table(r.raw.Name)+" WHERE "+condition, args, func(rows driver.Rows) error { return rows.Scan(&n) })
	return n, err
}

// windowEnd returns where the first chunk of deliveries from begin on ends.
func (r *Replayer) windowEnd(ctx context.Context, in Range, begin time.Time) (time.Time, error) {
	condition, args := r.where(in, begin, in.To)
	end := in.To
	err := r.query(ctx, fmt.Sprintf("SELECT toUnixTimestamp64Milli(received_at) FROM %s WHERE %s ORDER BY received_at LIMIT 1 OFFSET %d",
		r.table(r.raw.Name), condition, r.chunk), args, func(rows driver.Rows) error {
		var at int64
		err := rows.Scan(&at)
		end = time.UnixMilli(max(at, begin.UnixMilli()+1)).UTC()
		return err
	})
	return end, err
}

// deliveries reads a window of the range in the order of their arrival.
func (r *Replayer) deliveries(ctx context.Context, in Range, begin, end time.Time, yield func(rawDelivery) error) error {
	condition, args := r.where(in, begin, end)
	raw := r.table(r.raw.Name)
	// A later delivery of the same event, in the window or behind it.
	latest := fmt.Sprintf(`SELECT event_id, toString(topic), shop_id, max((received_at, webhook_id)) FROM %[1]s
WHERE received_at >= fromUnixTimestamp64Milli(@begin) AND received_at < fromUnixTimestamp64Milli(@to) AND event_id IN (SELECT event_id FROM %[1]s WHERE %[2]s)
GROUP BY event_id, topic, shop_id`, raw, condition)
	args = append(args, named("to", in.To.UnixMilli()))
	query := fmt.Sprintf(`SELECT %[1]s, superseded, if(superseded, '', body)
FROM (SELECT *, (event_id, toString(topic), shop_id, (received_at, webhook_id)) NOT IN (%[2]s) AS superseded FROM %[3]s WHERE %[4]s)
ORDER BY received_at, webhook_id`, rawColumns, latest, raw, condition)
	return r.query(ctx, query, args, func(rows driver.Rows) error {
		var d rawDelivery
		var superseded uint8
		var body string
		if err := d.scan(rows, &superseded, &body); err != nil {
			return describe(err)
		}
		d.superseded, d.delivery.Body = superseded != 0, []byte(body)
		return yield(d)
	})
}

// stored returns the newest row under every sorting key of the events, retracted
// ones too, by event.
func (r *Replayer) stored(ctx context.Context, f *fact, events []string) (map[string][]schema.Row, error) {
	if f.missing || len(events) == 0 {
		return nil, nil
	}
	key := strings.Join(f.names(f.key), "`, `")
	columns := make([]string, len(f.table.Columns))
	for i, c := range f.table.Columns {
		columns[i] = selected(c)
	}
	query := fmt.Sprintf("SELECT %[1]s FROM (SELECT * FROM %[2]s WHERE event_id IN @events ORDER BY `%[3]s`, normalized_at DESC LIMIT 1 BY `%[3]s`)",
		strings.Join(columns, ", "), r.table(f.table.Name), key)
	all := map[string][]schema.Row{}
	err := r.query(ctx, query, []any{named("events", events)}, func(rows driver.Rows) error {
		row := make(schema.Row, len(f.table.Columns))
		cells := make([]any, len(row))
		for i := range cells {
			cells[i] = &cell{f.table.Columns[i], &row[i]}
		}
		if err := rows.Scan(cells...); err != nil {
			return describe(err)
		}
		event := row[schema.EventID].Text
		all[event] = append(all[event], row)
		return nil
	})
	return all, err
}

// selected asks for a column as String or Int64, or a list of them.
func selected(c schema.Column) string {
	convert := "toString(%s)"
	switch c.Type {
	case schema.Bool, schema.Int64:
		convert = "toInt64(%s)"
	case schema.Time:
		convert = "toUnixTimestamp64Milli(%s)"
	case schema.Date:
		convert = "toInt64(toInt32(%s))"
	default:
	}
	name := "`" + c.Name + "`"
	if c.Array {
		return "arrayMap(x -> " + fmt.Sprintf(convert, "x") + ", " + name + ")"
	}
	return fmt.Sprintf(convert, name)
}

// A cell reads one value of an answer to [selected].
type cell struct {
	column schema.Column
	value  *schema.Value
}

// Scan implements sql.Scanner.
func (c *cell) Scan(source any) error {
	switch source := source.(type) {
	case nil:
	case string:
		*c.value = schema.Value{Text: source, Set: true}
	case int64:
		*c.value = schema.IntValue(source)
	case *int64:
		if source != nil {
			*c.value = schema.IntValue(*source)
		}
	case []string:
		for _, s := range source {
			c.value.List = append(c.value.List, schema.Value{Text: s, Set: true})
		}
	case []int64:
		for _, n := range source {
			c.value.List = append(c.value.List, schema.IntValue(n))
		}
	default:
		return fmt.Errorf("column %s comes as %T", c.column.Name, source)
	}
	return nil
}
