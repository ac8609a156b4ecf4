package replay

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"github.com/google/uuid"

	"loyaltyhouse/schema"
)

// A Letter is one dead letter. What was published twice, because a process died
// in between, is one.
type Letter struct {
	// ID is 16 hexadecimal digits made of what identifies the letter: of a webhook
	// the delivery, of a refused row its record in Kafka.
	ID string
	// Stored tells that the letter is resolved: its event is in the table of the
	// present contract.
	Stored bool
	// Row is a row of [schema.DeadLetters]. Its body is empty in a list.
	Row schema.Row
	// event is the one that is looked for; a refused record may name it although
	// the rest of it could not be read.
	event string
}

// Text returns a text column of the letter.
func (l *Letter) Text(column string) string { return l.Row[lettersTable.Index(column)].Text }

// ReceivedAt returns when the webhook was received, or when the refused record
// was given up where that could not be read.
func (l *Letter) ReceivedAt() time.Time {
	return time.UnixMilli(l.Row[lettersTable.Index("received_at")].Int).UTC()
}

// Body returns the letter's bytes.
func (l *Letter) Body() []byte { return []byte(l.Text("body")) }

var lettersTable = schema.DeadLetters()

// stages of a dead letter.
const (
	stageNormalize = "normalize"
	stageSink      = "sink"
)

// A Filter selects dead letters. What is empty selects all.
type Filter struct {
	IDs     []string
	Reasons []string
	Stage   string
	// Topic is a contract's topic, a webhook or a topic in Kafka.
	Topic string
	Shop  string
	// Since and Until bound received_at: from Since on and before Until.
	Since, Until time.Time
	// Resolved selects those too whose event is stored.
	Resolved bool
}

// letterID identifies a letter. Of a record that was refused in two topics of
// one name, of which the first was deleted, event_id tells the two apart.
const letterID = `leftPad(lower(hex(if(stage = 'sink',
    sipHash64(toString(stage), toString(topic), toString(sink), ifNull(kafka_partition, -1), ifNull(kafka_offset, -1), event_id),
    sipHash64(toString(stage), toString(topic), webhook_id, event_id, toUnixTimestamp64Milli(received_at))))), 16, '0')`

// letterEvent is the event of a letter.
const letterEvent = `if(stage = 'sink' AND event_id = toUUID('00000000-0000-0000-0000-000000000000'),
    toUUIDOrZero(JSONExtractString(body, 'event_id')), event_id)`

// letters returns a query for the letters of a filter, each once, with the
// columns id, event, open and those of the table.
func (r *Replayer) letters(f Filter) (query string, args []any) {
	conditions := []string{"1"}
	add := func(condition, name string, value any) {
		conditions = append(conditions, condition)
		args = append(args, named(name, value))
	}
	if len(f.IDs) > 0 {
		add("id IN @ids", "ids", lower(f.IDs))
	}
	if len(f.Reasons) > 0 {
		add("reason IN @reasons", "reasons", f.Reasons)
	}
	if f.Stage != "" {
		add("stage = @stage", "stage", f.Stage)
	}
	if f.Topic != "" {
		add("lowerUTF8(topic) IN @topics", "topics", r.topicNames(f.Topic))
	}
	if f.Shop != "" {
		add("shop_id = @shop", "shop", f.Shop)
	}
	if !f.Since.IsZero() {
		add("received_at >= fromUnixTimestamp64Milli(@since)", "since", f.Since.UnixMilli())
	}
	if !f.Until.IsZero() {
		add("received_at < fromUnixTimestamp64Milli(@until)", "until", f.Until.UnixMilli())
	}
	if len(r.cfg.OtherSinks) > 0 {
		add("sink NOT IN @others", "others", r.cfg.OtherSinks)
	}
	selected := fmt.Sprintf("SELECT *, %s AS id, %s AS event FROM %s WHERE %s", letterID, letterEvent, r.table(r.dead.Name), strings.Join(conditions, " AND "))
	stored, more := r.storedLetter(selected)
	query = fmt.Sprintf("SELECT *, %s AS stored FROM (%s ORDER BY received_at, id LIMIT 1 BY id)", stored, selected)
	if !f.Resolved {
		query = "SELECT * FROM (" + query + ") WHERE NOT stored"
	}
	return query, append(args, more...)
}

// topicNames are the values of the column topic that a person means by a name.
func (r *Replayer) topicNames(name string) []string {
	names := []string{name, r.cfg.TopicPrefix + name}
	for _, f := range r.facts {
		if name == f.table.Topic {
			names = append(names, f.contract.Webhooks...)
		}
	}
	return lower(names)
}

// storedLetter is the condition that a letter's event is stored where the
// present contracts would have it. Selected is the query for the letters.
func (r *Replayer) storedLetter(selected string) (condition string, args []any) {
	var b strings.Builder
	b.WriteString("multiIf(")
	for i, f := range r.facts {
		if f.missing {
			continue
		}
		webhooks, topic := fmt.Sprintf("webhooks%d", i), fmt.Sprintf("topic%d", i)
		args = append(args, named(webhooks, lower(f.contract.Webhooks)), named(topic, r.cfg.TopicPrefix+f.table.Topic))
		fmt.Fprintf(&b, "stage = 'normalize' AND %s OR stage = 'sink' AND topic = @%s, event IN (%s), ", webhookOf("@"+webhooks), topic,
			r.storedEvents(f, "IN (SELECT event FROM ("+selected+"))"))
	}
	args = append(args, named("topicRaw", r.cfg.TopicPrefix+r.raw.Topic))
	fmt.Fprintf(&b, "stage = 'sink' AND topic = @topicRaw, (event, webhook_id, received_at) IN (SELECT event_id, webhook_id, received_at FROM %s WHERE event_id IN (SELECT event FROM (%s))), false)",
		r.table(r.raw.Name), selected)
	return b.String(), args
}

// storedEvents selects those of the events that a fact table holds now. Only the
// sorting key is asked before rows have been replaced.
func (r *Replayer) storedEvents(f *fact, events string) string {
	return fmt.Sprintf("SELECT event_id FROM %s FINAL PREWHERE event_id %s WHERE NOT retracted", r.table(f.table.Name), events)
}

// Letters calls yield for the letters of a filter, the newest first, and no more
// than limit unless that is 0. Without bodies they come faster.
func (r *Replayer) Letters(ctx context.Context, f Filter, limit int, bodies bool, yield func(*Letter) error) error {
	query, args := r.letters(f)
	columns := make([]string, len(r.dead.Columns))
	for i, c := range r.dead.Columns {
		columns[i] = selected(c)
		if c.Type == schema.Bytes && !bodies {
			columns[i] = "''"
		}
	}
	query = fmt.Sprintf("SELECT id, toBool(stored), toString(event), %s FROM (%s) ORDER BY received_at DESC, id", strings.Join(columns, ", "), query)
	if limit > 0 {
		query += fmt.Sprintf(" LIMIT %d", limit)
	}
	return r.query(ctx, query, args, func(rows driver.Rows) error {
		l := &Letter{Row: make(schema.Row, len(r.dead.Columns))}
		cells := []any{&l.ID, &l.Stored, &l.event}
		for i := range l.Row {
			cells = append(cells, &cell{r.dead.Columns[i], &l.Row[i]})
		}
		if err := rows.Scan(cells...); err != nil {
			return describe(err)
		}
		return yield(l)
	})
}

// A LetterCount counts the letters of one reason.
type LetterCount struct {
	Stage, Reason  string
	Open, Resolved int64
}

// CountLetters counts the letters of a filter by reason.
func (r *Replayer) CountLetters(ctx context.Context, f Filter) (counts []LetterCount, err error) {
	query, args := r.letters(f)
	query = "SELECT toString(stage), toString(reason), toInt64(countIf(NOT stored)), toInt64(countIf(stored)) FROM (" + query + ") GROUP BY stage, reason ORDER BY count() DESC, stage, reason"
	err = r.query(ctx, query, args, func(rows driver.Rows) error {
		var c LetterCount
		err := rows.Scan(&c.Stage, &c.Reason, &c.Open, &c.Resolved)
		counts = append(counts, c)
		return err
	})
	return counts, err
}

// hasEvent reports whether a letter's event is known.
func (l *Letter) hasEvent() bool { return l.event != uuid.Nil.String() }
