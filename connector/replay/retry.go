package replay

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

// An Outcome is what the present contracts make of a dead letter: a row, or the
// reason why there is none.
type Outcome struct {
	// Table and Row are what would be stored.
	Table *schema.Table
	Row   schema.Row
	// Reason and Detail say why there is no row.
	Reason, Detail string

	fact *fact
	item *item // where the body was normalized again
	key  []byte
}

// The reasons besides those of a contract and of a sink.
const (
	noContract  = "unknown_kafka_topic"
	undecodable = "undecodable"
)

// Explain says what the present contracts make of a letter, which must have its
// body.
func (r *Replayer) Explain(ctx context.Context, l *Letter) (*Outcome, error) {
	outcomes, err := r.outcomes(ctx, []*Letter{l})
	if err != nil {
		return nil, err
	}
	return outcomes[0], nil
}

// A RetryReport counts dead letters.
type RetryReport struct {
	Selected, AlreadyStored int64
	// Published letters are rows now and on their way; in a dry run, would be.
	Published int64
	// Rejected counts, by reason, those that still cannot become a row.
	Rejected map[string]int64
	// Examples tell of some of those, by id and with the detail.
	Examples []string

	pending []string // the ids of the published letters
	refused int64    // how often rows of their events had been refused before
}

// Retry publishes what the present contracts make of the letters of a filter.
func (r *Replayer) Retry(ctx context.Context, f Filter, dryRun bool) (*RetryReport, error) {
	report := &RetryReport{Rejected: map[string]int64{}}
	var chunk []*Letter
	bytes := 0
	flush := func() error {
		err := r.retryChunk(ctx, chunk, dryRun, report)
		chunk, bytes = chunk[:0], 0
		return err
	}
	err := r.Letters(ctx, f, 0, true, func(l *Letter) error {
		report.Selected++
		if l.Stored {
			report.AlreadyStored++
			return nil
		}
		chunk, bytes = append(chunk, l), bytes+len(l.Text("body"))
		if len(chunk) < r.chunk && bytes < chunkBytes {
			return nil
		}
		return flush()
	})
	if err != nil {
		return report, err
	}
	return report, flush()
}

// maxRejectExamples is how many rejected letters a report tells of.
const maxRejectExamples = 10

func (r *Replayer) retryChunk(ctx context.Context, letters []*Letter, dryRun bool, report *RetryReport) error {
	outcomes, err := r.outcomes(ctx, letters)
	if err != nil {
		return err
	}
	events := map[*fact][]string{}
	for _, o := range outcomes {
		if o.fact != nil && o.Row != nil {
			events[o.fact] = append(events[o.fact], o.Row[schema.EventID].Text)
		}
	}
	stored := map[*fact]map[string][]schema.Row{}
	for f, list := range events {
		if stored[f], err = r.stored(ctx, f, list); err != nil {
			return err
		}
	}
	begin := len(report.pending)
	for i, o := range outcomes {
		if o.Row != nil {
			report.pending = append(report.pending, letters[i].ID)
		}
	}
	report.Published = int64(len(report.pending))
	if added := report.pending[begin:]; len(added) > 0 {
		refused, err := r.refusals(ctx, added)
		if err != nil {
			return err
		}
		report.refused += refused
	}

	out := r.newOutbox(dryRun)
	now := r.now().UnixMilli()
	for i, o := range outcomes {
		if o.Row == nil {
			report.Rejected[o.Reason]++
			if len(report.Examples) < maxRejectExamples {
				report.Examples = append(report.Examples, fmt.Sprintf("%s: %s: %s", letters[i].ID, o.Reason, o.Detail))
			}
			continue
		}
		event := o.Row[schema.EventID].Text
		switch {
		case o.item != nil:
			err = out.rows(ctx, o.fact, o.fact.decide(now, o.item, stored[o.fact][event]).publish)
		case o.fact != nil:
			same := slices.IndexFunc(stored[o.fact][event], func(row schema.Row) bool { return o.fact.sameKey(row, o.Row) })
			var replaced schema.Row
			if same >= 0 {
				replaced = stored[o.fact][event][same]
			}
			*o.Row.NormalizedAt() = newer(now, replaced)
			err = out.rows(ctx, o.fact, []schema.Row{o.Row})
		default:
			err = out.add(ctx, o.Table, o.key, o.Row)
		}
		if err != nil {
			return err
		}
	}
	return out.flush(ctx)
}

// outcomes normalizes letters again. Of a refused row the webhook's body is
// looked up in raw_webhooks; where it is not there any more, and for a row of
// raw_webhooks itself, the record's value is taken as it is.
func (r *Replayer) outcomes(ctx context.Context, letters []*Letter) ([]*Outcome, error) {
	bodies, err := r.bodies(ctx, letters)
	if err != nil {
		return nil, err
	}
	outcomes := make([]*Outcome, len(letters))
	for i, l := range letters {
		switch {
		case l.Text("stage") == stageNormalize:
			outcomes[i] = r.normalized(deliveryOf(r.dead, l.Row), l.Text("shop_id"))
		case bodies[l] != nil:
			outcomes[i] = r.normalized(bodies[l].delivery, bodies[l].shop)
		default:
			outcomes[i] = r.record(l)
		}
	}
	return outcomes, nil
}

// deliveryOf returns the webhook as it came, of a row of raw_webhooks or of a
// dead letter of stage normalize.
func deliveryOf(t *schema.Table, row schema.Row) normalize.Delivery {
	text := func(column string) string { return row[t.Index(column)].Text }
	return normalize.Delivery{
		Topic: text("topic"), ShopID: cmp.Or(text("header_shop_id"), text("shop_id")), ShopDomain: text("shop_domain"), MerchantID: text("merchant_id"),
		APIVersion: text("api_version"), WebhookID: text("webhook_id"), Body: []byte(text("body")), ReceivedAt: time.UnixMilli(row[t.Index("received_at")].Int).UTC(),
	}
}

func (r *Replayer) normalized(d normalize.Delivery, shop string) *Outcome {
	it := r.normalize(d, shop)
	if reject := it.result.Reject; reject != nil {
		return &Outcome{Reason: string(reject.Reason), Detail: reject.Detail}
	}
	return &Outcome{Table: it.result.Table, Row: it.result.Row, fact: r.fact(d.Topic), item: it}
}

// record takes the value of a refused record as it is.
func (r *Replayer) record(l *Letter) *Outcome {
	f, table := r.kafkaTable(l.Text("topic"))
	if table == nil {
		return &Outcome{Reason: noContract, Detail: "no contract has the Kafka topic of the refused record"}
	}
	row := make(schema.Row, len(table.Columns))
	if err := schema.NewDecoder(table).Decode(l.Body(), row); err != nil {
		return &Outcome{Reason: undecodable, Detail: "the record is no row of table " + table.Name + ": " + err.Error()}
	}
	o := &Outcome{Table: table, Row: row, fact: f}
	if f == nil {
		o.key = r.normalizer.Normalize(deliveryOf(table, row), r.now()).Key()
	}
	return o
}

// kafkaTable returns the table of a topic in Kafka, and its contract, if it has one.
func (r *Replayer) kafkaTable(topic string) (*fact, *schema.Table) {
	if topic == r.cfg.TopicPrefix+r.raw.Topic {
		return nil, r.raw
	}
	for _, f := range r.facts {
		if topic == r.cfg.TopicPrefix+f.table.Topic {
			return f, f.table
		}
	}
	return nil, nil
}

// bodies finds the deliveries behind refused rows: the one that the row was made
// of, or else the latest that brought the same event to the same contract.
func (r *Replayer) bodies(ctx context.Context, letters []*Letter) (map[*Letter]*rawDelivery, error) {
	wanted := map[string][]*Letter{}
	var events []string
	for _, l := range letters {
		if f, _ := r.kafkaTable(l.Text("topic")); f != nil && l.Text("stage") == stageSink && l.hasEvent() {
			wanted[l.event] = append(wanted[l.event], l)
			events = append(events, l.event)
		}
	}
	if len(events) == 0 {
		return nil, nil
	}
	found := map[*Letter]*rawDelivery{}
	query := "SELECT " + rawColumns + ", toString(event_id), body FROM " + r.table(r.raw.Name) + " WHERE event_id IN @events ORDER BY received_at DESC LIMIT 1 BY event_id, webhook_id, topic"
	err := r.query(ctx, query, []any{named("events", events)}, func(rows driver.Rows) error {
		d := &rawDelivery{}
		var event, body string
		if err := d.scan(rows, &event, &body); err != nil {
			return describe(err)
		}
		d.delivery.Body = []byte(body)
		for _, l := range wanted[event] {
			contract, _ := r.kafkaTable(l.Text("topic"))
			if r.fact(d.delivery.Topic) != contract {
				continue
			}
			if found[l] == nil || d.delivery.WebhookID == l.Text("webhook_id") {
				found[l] = d
			}
		}
		return nil
	})
	return found, err
}

// Arrival says how far what a retry has published has come.
type Arrival struct {
	Stored int64
	// Refused were refused by the sink once more.
	Refused int64
	// OnTheirWay are in Kafka.
	OnTheirWay int64
}

// lookupLetters is how many letters one query looks for.
const lookupLetters = 10_000

// pollInterval is how often the warehouse is asked for what is on its way.
const pollInterval = 200 * time.Millisecond

// Await waits until everything that a retry has published is stored or refused,
// or the patience ends.
func (r *Replayer) Await(ctx context.Context, report *RetryReport, patience time.Duration) (Arrival, error) {
	enough := time.After(patience)
	for {
		a, err := r.arrived(ctx, report)
		if err != nil || a.OnTheirWay == 0 {
			return a, err
		}
		select {
		case <-ctx.Done():
			return a, ctx.Err()
		case <-enough:
			return a, nil
		case <-time.After(pollInterval):
		}
	}
}

func (r *Replayer) arrived(ctx context.Context, report *RetryReport) (Arrival, error) {
	a := Arrival{Refused: -report.refused}
	for ids := range slices.Chunk(report.pending, lookupLetters) {
		counts, err := r.CountLetters(ctx, Filter{IDs: ids, Resolved: true})
		if err != nil {
			return a, err
		}
		for _, c := range counts {
			a.Stored += c.Resolved
		}
		refused, err := r.refusals(ctx, ids)
		if err != nil {
			return a, err
		}
		a.Refused += refused
	}
	left := int64(len(report.pending)) - a.Stored
	a.Refused = min(max(a.Refused, 0), left)
	a.OnTheirWay = left - a.Refused
	return a, nil
}

// refusals counts how often this warehouse's sink has refused rows of the events
// of letters.
func (r *Replayer) refusals(ctx context.Context, ids []string) (n int64, err error) {
	dead := r.table(r.dead.Name)
	query := fmt.Sprintf(`SELECT toInt64(uniqExact(%[1]s)) FROM %[2]s
WHERE stage = 'sink' AND sink = @sink AND event_id IN (SELECT event_id FROM %[2]s WHERE %[1]s IN @ids)`, letterID, dead)
	err = r.query(ctx, query, []any{named("sink", r.cfg.Sink), named("ids", ids)}, func(rows driver.Rows) error { return rows.Scan(&n) })
	return n, err
}
