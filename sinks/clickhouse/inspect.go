package clickhouse

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// identity are the columns that together tell one Kafka record's row from any
// other's, also from that of a resend. A table has some of them.
var identity = []string{"event_id", "webhook_id", "received_at", "normalized_at", "sink", "kafka_partition", "kafka_offset"}

// surely is how much longer than a batch's age a server must have been up for
// the token to be trusted, for the clocks of two connectors differ.
const surely = time.Minute

// forgetful is the age from which a token is not trusted.
const forgetful = time.Minute

var _ sinks.Inspector = (*Sink)(nil)

// Inspect implements [sinks.Inspector]. ClickHouse remembers a part's token just
// before it shows the part: one that is killed in between takes the part for
// stored. So the rows are looked for when the server has been started since, or
// when many inserts may have come in between. That reads the event ids of
// the whole table. A row that a later one of the same event has replaced in a
// merge is not missing.
func (s *Sink) Inspect(ctx context.Context, b *sinks.Batch, age time.Duration) (sinks.Findings, error) {
	if err := s.writes.Acquire(ctx, 1); err != nil {
		return sinks.Findings{}, fmt.Errorf("clickhouse: waiting for a connection: %w", err)
	}
	defer s.writes.Release(1)
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	if 0 <= age && age < forgetful && len(s.cfg.Addresses) == 1 {
		var uptime uint32
		if err := s.conn.QueryRow(ctx, "SELECT uptime()").Scan(&uptime); err != nil {
			return sinks.Findings{}, s.describe(err)
		}
		if time.Duration(uptime)*time.Second > age+s.surely {
			return sinks.Findings{}, nil
		}
	}
	return s.look(ctx, b)
}

// A record is the identity of one row, and its version.
type record struct {
	key        string
	event      string
	normalized int64 // 0 where the table keeps every row
}

// look compares the batch with what is stored of its events.
func (s *Sink) look(ctx context.Context, b *sinks.Batch) (found sinks.Findings, err error) {
	sought, events, err := s.sought(b)
	if err != nil {
		return found, err
	}
	var columns []string
	for _, name := range identity {
		if i := b.Table.Index(name); i >= 0 {
			columns = append(columns, keyOf(b.Table.Columns[i]))
		}
	}
	version := "toInt64(0)"
	if b.Table.Index("normalized_at") >= 0 {
		version = "toUnixTimestamp64Milli(normalized_at)"
	}
	ctx = clickhouse.Context(ctx, clickhouse.WithExternalTable(events))
	rows, err := s.conn.Query(ctx, fmt.Sprintf("SELECT concat(%s), toString(event_id), %s FROM `%s`.`%s` WHERE event_id IN sought",
		strings.Join(columns, ", '\n', "), version, s.cfg.Database, b.Table.Name))
	if err != nil {
		return found, s.describe(err)
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong.
	stored, newest := map[string]int{}, map[string]int64{}
	for rows.Next() {
		var r record
		if err := rows.Scan(&r.key, &r.event, &r.normalized); err != nil {
			return found, fmt.Errorf("clickhouse: table %s.%s: %w", s.cfg.Database, b.Table.Name, err)
		}
		stored[r.key]++
		newest[r.event] = max(newest[r.event], r.normalized)
	}
	if err := rows.Err(); err != nil {
		return found, s.describe(err)
	}
	for i, r := range sought {
		switch {
		case stored[r.key] > 0:
			stored[r.key]--
		case r.normalized == 0 || newest[r.event] < r.normalized:
			found.Missing = append(found.Missing, i)
		}
	}
	for _, r := range sought {
		found.Surplus += stored[r.key]
		delete(stored, r.key)
	}
	return found, nil
}

// keyOf returns an expression that is one text for each value.
func keyOf(c schema.Column) string {
	switch {
	case c.Type == schema.Time:
		return "toString(toUnixTimestamp64Milli(" + c.Name + "))"
	case c.Nullable:
		return "ifNull(toString(" + c.Name + "), '')"
	default:
		return "toString(" + c.Name + ")"
	}
}

// sought returns the records of the batch, and their events as a table that is
// sent with a query. A batch with a record that is no row was never stored.
func (s *Sink) sought(b *sinks.Batch) ([]record, *ext.Table, error) {
	events, err := ext.NewTable("sought", ext.Column("event_id", "UUID"))
	if err != nil {
		return nil, nil, fmt.Errorf("clickhouse: %w", err)
	}
	decoder, row := schema.NewDecoder(b.Table), make(schema.Row, len(b.Table.Columns))
	version := b.Table.Index("normalized_at")
	event := b.Table.Index("event_id")
	all := make([]record, len(b.Records))
	var parts []string
	for i := range b.Records {
		if err := decoder.Decode(b.Records[i].Value, row); err != nil {
			return nil, nil, sinks.Permanent(sinks.Undecodable, i, err)
		}
		parts = parts[:0]
		for _, name := range identity {
			if k := b.Table.Index(name); k >= 0 {
				parts = append(parts, keyText(b.Table.Columns[k], row[k]))
			}
		}
		all[i] = record{key: strings.Join(parts, "\n"), event: strings.ToLower(row[event].Text)}
		if version >= 0 {
			all[i].normalized = row[version].Int
		}
		if err := events.Append(row[event].Text); err != nil {
			return nil, nil, fmt.Errorf("clickhouse: an event id cannot be sent: %w", err)
		}
	}
	return all, events, nil
}

// keyText returns what keyOf returns for the stored value.
func keyText(c schema.Column, v schema.Value) string {
	switch {
	case c.Nullable && !v.Set:
		return ""
	case c.Type == schema.UUID:
		return strings.ToLower(v.Text)
	case c.Type == schema.Time || c.Type == schema.Int64:
		return strconv.FormatInt(v.Int, 10)
	default:
		return v.Text
	}
}

// leastWindow is the smallest deduplication window that rows are written with.
// It counts inserts of all partitions together: fewer would be overrun while a
// consumer group finds out that a member is gone.
const leastWindow = 1000

var windowSetting = regexp.MustCompile(`\bnon_replicated_deduplication_window = (\d+)`)

// checkWindow reports a table that would store a repeated insert twice.
// Replicated tables remember tokens by default. Of tables that are no MergeTree
// nothing is known.
func (s *Sink) checkWindow(ctx context.Context, table string) error {
	var engine, definition string
	err := s.conn.QueryRow(ctx, "SELECT engine, engine_full FROM system.tables WHERE database = ? AND name = ?", s.cfg.Database, table).Scan(&engine, &definition)
	if errors.Is(err, sql.ErrNoRows) {
		return nil // The insert will tell that there is no such table.
	}
	if err != nil {
		return s.describe(err)
	}
	if !strings.HasSuffix(engine, "MergeTree") || strings.HasPrefix(engine, "Replicated") || strings.HasPrefix(engine, "Shared") {
		return nil
	}
	window := 0
	if set := windowSetting.FindStringSubmatch(definition); set != nil {
		if window, err = strconv.Atoi(set[1]); err != nil {
			return fmt.Errorf("clickhouse: %s.%s: non_replicated_deduplication_window: %w", s.cfg.Database, table, err)
		}
	}
	if window < leastWindow {
		return fmt.Errorf("clickhouse: table %[1]s.%[2]s would store a repeated insert twice, for its deduplication window is %[3]d and must be at least %[4]d; run: ALTER TABLE %[1]s.%[2]s MODIFY SETTING non_replicated_deduplication_window = 10000",
			s.cfg.Database, table, window, leastWindow)
	}
	return nil
}
