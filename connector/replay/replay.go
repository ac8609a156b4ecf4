// Package replay brings the warehouse in line with the present contracts. It
// normalizes deliveries of raw_webhooks and dead letters again, compares what
// comes out with what is stored, and publishes to Kafka only what differs. So it
// can be stopped anywhere and run again: a second run finds nothing to do.
//
// It writes nothing into the warehouse itself. What it publishes takes the way
// of every row: through Kafka, and through the sinks.
package replay

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

// A Publisher keeps messages durably.
type Publisher interface {
	// Publish returns nil only when every message is held by all in-sync replicas.
	Publish(ctx context.Context, messages ...kafka.Message) error
}

// Config says which warehouse is compared, and where rows are published.
type Config struct {
	// Database of the warehouse, and Sink, the name of the sink that fills it.
	Database, Sink string
	// OtherSinks are the names of the other configured sinks. What they refused is
	// missing in their warehouse and not in this one.
	OtherSinks []string
	// TopicPrefix begins the names of the topics in Kafka.
	TopicPrefix string
}

// A Replayer compares one warehouse with the contracts.
type Replayer struct {
	cfg        Config
	conn       driver.Conn
	normalizer *normalize.Normalizer
	publisher  Publisher
	now        func() time.Time
	facts      []*fact // in the order of the contracts
	raw, dead  *schema.Table
	chunk      int // deliveries or letters that are held at once
}

// Open looks the warehouse's tables up. It is an error when a table lacks what a
// replay needs, and no error when a contract's table is not there at all: then
// nothing of it is stored.
func Open(ctx context.Context, cfg Config, conn driver.Conn, contracts []*schema.Contract, n *normalize.Normalizer, p Publisher, now func() time.Time) (*Replayer, error) {
	r := &Replayer{cfg: cfg, conn: conn, normalizer: n, publisher: p, now: now, raw: schema.RawWebhooks(), dead: schema.DeadLetters(), chunk: chunkDeliveries}
	for _, c := range contracts {
		r.facts = append(r.facts, newFact(c))
	}
	return r, r.inspect(ctx)
}

// A Range is what is replayed: the deliveries received from From on and before
// To, of one contract or, where Topic is empty, of all.
type Range struct {
	From, To time.Time
	// Topic is a contract's topic without prefix.
	Topic string
}

// Options say what a replay does with what differs.
type Options struct {
	// DryRun publishes nothing.
	DryRun bool
	// Examples is how many events that change are told in full, Values whether
	// with the values that change: they are personal data.
	Examples int
	Values   bool
	// Progress is called with the number of deliveries that have been worked on.
	Progress func(deliveries int)
}

// What is held at once, besides the stored rows of the same events.
const (
	chunkDeliveries = 20_000
	chunkBytes      = 32 << 20
)

// Replay normalizes the range's deliveries again. After an error the report
// tells what was done until then.
func (r *Replayer) Replay(ctx context.Context, in Range, o Options) (*Report, error) {
	report := newReport(in, r.facts)
	for begin := in.From; begin.Before(in.To); {
		end, err := r.windowEnd(ctx, in, begin)
		if err != nil {
			return report, err
		}
		var chunk []rawDelivery
		bytes := 0
		flush := func() error {
			if len(chunk) == 0 {
				return nil
			}
			if err := r.replayChunk(ctx, chunk, o, report); err != nil {
				return err
			}
			report.Through = chunk[len(chunk)-1].delivery.ReceivedAt
			if o.Progress != nil {
				o.Progress(len(chunk))
			}
			chunk, bytes = chunk[:0], 0
			return nil
		}
		err = r.deliveries(ctx, in, begin, end, func(d rawDelivery) error {
			chunk, bytes = append(chunk, d), bytes+len(d.delivery.Body)
			if len(chunk) < r.chunk && bytes < chunkBytes {
				return nil
			}
			return flush()
		})
		if err == nil {
			err = flush()
		}
		if err != nil {
			return report, err
		}
		report.Through, begin = end, end
	}
	return report, nil
}

// An item is one event as the contracts read it now.
type item struct {
	delivery normalize.Delivery // the last that brought it
	result   normalize.Result
	// shops are those under which the receiver knew the event: a row of the same
	// event in another shop is somebody else's, as that of a captured body with a
	// forged shop header.
	shops []string
}

// owns reports whether a stored row is a version of this event's row.
func (it *item) owns(row schema.Row) bool {
	shop := row[schema.ShopID].Text
	return shop == it.result.ShopID || slices.Contains(it.shops, shop) ||
		row[schema.WebhookID].Text == it.delivery.WebhookID && row[schema.ReceivedAt].Int == it.delivery.ReceivedAt.UnixMilli()
}

// normalize makes an item of a delivery that the receiver knew under a shop.
func (r *Replayer) normalize(d normalize.Delivery, shop string) *item {
	return &item{delivery: d, result: r.normalizer.Normalize(d, r.now()), shops: []string{shop}}
}

// fact returns the table of the contract that reads a webhook, or nil.
func (r *Replayer) fact(webhook string) *fact {
	topic := r.normalizer.Topic(webhook)
	for _, f := range r.facts {
		if f.table.Topic == topic {
			return f
		}
	}
	return nil
}

func (r *Replayer) replayChunk(ctx context.Context, chunk []rawDelivery, o Options, report *Report) error {
	type identity struct {
		fact        *fact
		event, shop string
	}
	items := map[identity]*item{}
	var order []identity
	for _, d := range chunk {
		f := r.fact(d.delivery.Topic)
		report.of(f).Deliveries++
		if d.superseded {
			continue
		}
		it := r.normalize(d.delivery, d.shop)
		id := identity{f, it.result.EventID.String(), it.result.ShopID}
		if earlier := items[id]; earlier == nil {
			order = append(order, id)
		} else {
			it.shops = append(it.shops, earlier.shops...)
		}
		items[id] = it
	}

	stored := map[*fact]map[string][]schema.Row{}
	for _, f := range r.facts {
		events := map[string]bool{}
		for _, id := range order {
			if id.fact == f {
				events[id.event] = true
			}
		}
		var err error
		if stored[f], err = r.stored(ctx, f, slices.Collect(maps.Keys(events))); err != nil {
			return err
		}
	}

	out := r.newOutbox(o.DryRun)
	now := r.now().UnixMilli()
	for _, id := range order {
		it := items[id]
		if id.fact == nil {
			report.of(nil).count(it.result, decision{change: Unreadable})
			continue
		}
		d := id.fact.decide(now, it, stored[id.fact][id.event])
		report.of(id.fact).count(it.result, d)
		report.example(o, id.fact, it, d)
		if err := out.rows(ctx, id.fact, d.publish); err != nil {
			return err
		}
		if d.change == Withdrawn {
			if err := out.add(ctx, r.dead, it.result.Key(), normalize.DeadLetter(it.delivery, it.result)); err != nil {
				return err
			}
		}
	}
	err := out.flush(ctx)
	report.Published += out.published
	return err
}

// An outbox publishes rows in batches.
type outbox struct {
	r         *Replayer
	dryRun    bool
	messages  []kafka.Message
	bytes     int
	published int64
}

// A batch is far below what the producer queues.
const (
	outboxMessages = 1000
	outboxBytes    = 4 << 20
	// publishTimeout is for one batch, so that a command does not wait for a
	// broker for ever.
	publishTimeout = 30 * time.Second
)

func (r *Replayer) newOutbox(dryRun bool) *outbox { return &outbox{r: r, dryRun: dryRun} }

func (o *outbox) rows(ctx context.Context, f *fact, rows []schema.Row) error {
	for _, row := range rows {
		key := normalize.Key(row[schema.ShopID].Text, row[f.customer].Text)
		if err := o.add(ctx, f.table, key, row); err != nil {
			return err
		}
	}
	return nil
}

func (o *outbox) add(ctx context.Context, t *schema.Table, key []byte, row schema.Row) error {
	if o.dryRun {
		return nil
	}
	value := t.AppendRow(nil, row)
	o.messages = append(o.messages, kafka.Message{Topic: o.r.cfg.TopicPrefix + t.Topic, Key: key, Value: value})
	o.bytes += len(value)
	if len(o.messages) < outboxMessages && o.bytes < outboxBytes {
		return nil
	}
	return o.flush(ctx)
}

func (o *outbox) flush(ctx context.Context) error {
	if len(o.messages) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, publishTimeout)
	defer cancel()
	if err := o.r.publisher.Publish(ctx, o.messages...); err != nil {
		return err
	}
	o.published += int64(len(o.messages))
	o.messages, o.bytes = nil, 0
	return nil
}

// ContractTopic returns the topic of the contract that a person names by it, or
// by a webhook.
func (r *Replayer) ContractTopic(name string) (string, error) {
	var known []string
	for _, f := range r.facts {
		if name == f.table.Topic || name == r.cfg.TopicPrefix+f.table.Topic {
			return f.table.Topic, nil
		}
		known = append(known, f.table.Topic)
	}
	if f := r.fact(name); f != nil {
		return f.table.Topic, nil
	}
	return "", fmt.Errorf("no contract has the topic or webhook %q; the topics are %s", name, strings.Join(known, ", "))
}

// errNoWarehouse is what a database without the connector's tables means.
var errNoWarehouse = errors.New("run connector migrate up")
