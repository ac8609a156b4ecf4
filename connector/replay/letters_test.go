package replay

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

// lettersOf returns the letters of a filter, each as "reason state".
func (w *warehouse) lettersOf(r *Replayer, f Filter) (ids, texts []string) {
	w.t.Helper()
	err := r.Letters(w.t.Context(), f, 0, true, func(l *Letter) error {
		state := "open"
		if l.Stored {
			state = "resolved"
		}
		ids, texts = append(ids, l.ID), append(texts, l.Text("reason")+" "+state)
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return ids, texts
}

func (w *warehouse) expectLetters(r *Replayer, f Filter, want ...string) {
	w.t.Helper()
	_, got := w.lettersOf(r, f)
	if !slices.Equal(got, want) {
		w.t.Errorf("the letters of %+v are %q, want %q", f, got, want)
	}
	counts, err := r.CountLetters(w.t.Context(), f)
	if err != nil {
		w.t.Fatal(err)
	}
	var n int64
	for _, c := range counts {
		n += c.Open + c.Resolved
	}
	if n != int64(len(want)) {
		w.t.Errorf("%d letters of %+v are counted, want %d", n, f, len(want))
	}
}

func (w *warehouse) retry(r *Replayer, f Filter, want string) *RetryReport {
	w.t.Helper()
	report, err := r.Retry(w.t.Context(), f, false)
	if err != nil {
		w.t.Fatal(err)
	}
	got := fmt.Sprintf("%d selected, %d stored, %d published, rejected %s", report.Selected, report.AlreadyStored, report.Published, printed(report.Rejected))
	if got != want {
		w.t.Errorf("the retry of %+v: %s, want %s", f, got, want)
	}
	return report
}

// await expects how far a retry has come at last.
func (w *warehouse) await(r *Replayer, report *RetryReport, want Arrival) {
	w.t.Helper()
	patience := time.Minute
	if want.OnTheirWay > 0 {
		patience = time.Second
	}
	got, err := r.Await(w.t.Context(), report, patience)
	if err != nil || got != want {
		w.t.Errorf("it has come to %+v, error %v; want %+v", got, err, want)
	}
}

// refuse does what a sink does with a record that it refuses.
func (w *warehouse) refuse(sink, topic, reason string, offset int64, value []byte) {
	w.t.Helper()
	table := schema.DeadLetters()
	row := make(schema.Row, len(table.Columns))
	set := func(column string, v schema.Value) { row[table.Index(column)] = v }
	set("stage", schema.TextValue("sink"))
	set("reason", schema.TextValue(reason))
	set("topic", schema.TextValue(prefix+topic))
	set("received_at", schema.IntValue(w.now().UnixMilli()))
	set("body", schema.BytesValue(value))
	set("event_id", schema.TextValue(uuid.Nil.String()))
	set("sink", schema.TextValue(sink))
	set("kafka_partition", schema.IntValue(0))
	set("kafka_offset", schema.IntValue(offset))
	refused := w.tables[prefix+topic]
	decoded := make(schema.Row, len(refused.Columns))
	if schema.NewDecoder(refused).Decode(value, decoded) == nil {
		for _, column := range []string{"event_id", "shop_id", "webhook_id", "received_at"} {
			set(column, decoded[refused.Index(column)])
		}
	}
	w.store(kafka.Message{Topic: prefix + "dead_letters", Value: table.AppendRow(nil, row)})
}

// values returns the records that the receiver makes of a delivery.
func (w *warehouse) values(c *schema.Contract, d normalize.Delivery) (fact, raw []byte) {
	w.t.Helper()
	n, err := normalize.New([]*schema.Contract{c}, false)
	if err != nil {
		w.t.Fatal(err)
	}
	d.ReceivedAt = w.now()
	r := n.Normalize(d, d.ReceivedAt)
	if r.Reject != nil {
		w.t.Fatal(r.Reject)
	}
	return r.Table.AppendRow(nil, r.Row), schema.RawWebhooks().AppendRow(nil, normalize.RawWebhook(d, r))
}

// A body that the corrected contract can read is retried once, however often
// that is done; what cannot be read stays open, with the reason.
func TestRetryOfBodies(t *testing.T) {
	w := newWarehouse(t, points(t))
	broken := earned("b", 1, 1, "LOGIN_SUCCESS", 2)
	broken.Body = []byte("{\"buyer_id\":\"\xff\x00\"}")
	w.receive(points(t, "field: updated_value", "field: value_changed\n    column: updated_value"), earned("a", 10, 10, "LOGIN_SUCCESS", 1), broken)
	before := w.replayer(false, points(t, "field: updated_value", "field: value_changed\n    column: updated_value"))
	w.expectLetters(before, Filter{}, "invalid_json open", "missing_field open")
	w.retry(before, Filter{}, "2 selected, 0 stored, 0 published, rejected [invalid_json:1 missing_field:1]")

	r := w.replayer(false, points(t))
	dry, err := r.Retry(t.Context(), Filter{}, true)
	if err != nil || dry.Published != 1 || w.takePublished() != "[]" {
		t.Errorf("a dry run: %+v, error %v", dry, err)
	}
	// While it is on its way it can be retried again.
	w.held = true
	report := w.retry(r, Filter{}, "2 selected, 0 stored, 1 published, rejected [invalid_json:1]")
	w.await(r, report, Arrival{OnTheirWay: 1})
	w.retry(r, Filter{}, "2 selected, 0 stored, 1 published, rejected [invalid_json:1]")
	w.store(w.published...)
	w.held = false
	w.await(r, report, Arrival{Stored: 1})
	if got := w.ask("SELECT count(), any(buyer_id), sum(points_delta) FROM points"); got != "1\ta\t10" {
		t.Errorf("retried twice, the points are %s", got)
	}
	if got := w.ask("SELECT points_balance FROM points_balances"); got != "10" {
		t.Errorf("the balance is %s", got)
	}
	w.expectLetters(r, Filter{}, "invalid_json open")
	w.expectLetters(r, Filter{Resolved: true}, "invalid_json open", "missing_field resolved")
	ids, _ := w.lettersOf(r, Filter{Resolved: true})
	w.takePublished()
	w.retry(r, Filter{IDs: ids, Resolved: true}, "2 selected, 1 stored, 0 published, rejected [invalid_json:1]")
	if got := w.takePublished(); got != "[]" {
		t.Errorf("what is stored was published again: %s", got)
	}

	// The bytes are those of the body, and the contract's answer is told.
	for i, want := range []struct{ body, reason, row string }{{string(broken.Body), "invalid_json", ""}, {string(earned("a", 10, 10, "LOGIN_SUCCESS", 1).Body), "", "a"}} {
		if err := r.Letters(t.Context(), Filter{IDs: ids[i : i+1], Resolved: true}, 0, true, func(l *Letter) error {
			if string(l.Body()) != want.body {
				t.Errorf("the body is %q, want %q", l.Body(), want.body)
			}
			o, err := r.Explain(t.Context(), l)
			if err != nil {
				return err
			}
			if o.Reason != want.reason || (o.Row != nil) != (want.row != "") || o.Row != nil && o.Row[o.Table.Index("buyer_id")].Text != want.row {
				t.Errorf("the contract makes of it %+v, want %+v", o, want)
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	// A replay finds the same.
	w.replay(r, everything, Options{})
	if got := w.takePublished(); got != "[]" {
		t.Errorf("after the retry a replay published %s", got)
	}
	// When the event is taken back, the letter is open again.
	w.replay(before, everything, Options{})
	w.expectLetters(before, Filter{}, "invalid_json open", "missing_field open")
}

// A row that the sink refused is made anew of the webhook's body, or published
// as it was where the body is not there any more.
func TestRetryOfRefusedRows(t *testing.T) {
	w := newWarehouse(t, points(t))
	c := points(t)
	withBody, raw := w.values(points(t, "field: points_balance", "field: balance_after\n    column: points_balance"), earned("a", 1, 1, "LOGIN_SUCCESS", 1))
	w.store(kafka.Message{Topic: "loyalty.raw_webhooks", Value: raw})
	alone, _ := w.values(c, earned("b", 2, 2, "LOGIN_SUCCESS", 2))
	_, refusedRaw := w.values(c, earned("c", 3, 3, "LOGIN_SUCCESS", 3))
	readableID, _ := w.values(c, earned("d", 4, 4, "LOGIN_SUCCESS", 4))
	w.refuse("clickhouse", "points", "row_refused", 1, withBody)
	w.refuse("clickhouse", "points", "row_refused", 2, alone)
	w.refuse("clickhouse", "raw_webhooks", "row_refused", 3, refusedRaw)
	w.refuse("clickhouse", "points", "undecodable", 4, []byte("no row"))
	w.refuse("clickhouse", "points", "undecodable", 5, []byte(strings.Replace(string(readableID), `"points_delta":4`, `"points_delta":"four"`, 1)))
	w.refuse("other", "points", "row_refused", 1, alone) // Of another warehouse.
	r := w.replayer(false, c)
	w.expectLetters(r, Filter{Stage: "sink"}, "undecodable open", "undecodable open", "row_refused open", "row_refused open", "row_refused open")

	report := w.retry(r, Filter{Stage: "sink"}, "5 selected, 0 stored, 3 published, rejected [undecodable:2]")
	w.await(r, report, Arrival{Stored: 3})
	if got := w.takePublished(); got != "[points:2 raw_webhooks:1]" {
		t.Errorf("it published %s", got)
	}
	// The row was made anew, with the corrected contract; normalized_at is new.
	if got := w.ask("SELECT buyer_id, points_balance, normalized_at > received_at FROM points ORDER BY ALL"); got != "a\t1\t1\nb\t2\t1" {
		t.Errorf("the points are\n%s", got)
	}
	if got := w.ask("SELECT position(body, 'm-c') > 0 FROM raw_webhooks WHERE body LIKE '%m-c%'"); got != "1" {
		t.Errorf("the delivery is stored as %q", got)
	}
	w.expectLetters(r, Filter{Resolved: true, Reasons: []string{"row_refused"}}, "row_refused resolved", "row_refused resolved", "row_refused resolved")
	w.retry(r, Filter{Stage: "sink"}, "2 selected, 0 stored, 0 published, rejected [undecodable:2]")

	// What comes to be stored another way resolves a letter too.
	w.store(kafka.Message{Topic: "loyalty.points", Value: readableID})
	w.expectLetters(r, Filter{Stage: "sink"}, "undecodable open")
}

// A row that the sink refuses once more is told apart from one on its way.
func TestRetryThatIsRefusedAgain(t *testing.T) {
	w := newWarehouse(t, points(t))
	value, _ := w.values(points(t), earned("a", 1, 1, "LOGIN_SUCCESS", 1))
	w.refuse("clickhouse", "points", "row_refused", 1, value)
	r := w.replayer(false, points(t))
	w.held = true
	report := w.retry(r, Filter{}, "1 selected, 0 stored, 1 published, rejected []")
	w.await(r, report, Arrival{OnTheirWay: 1})
	w.refuse("clickhouse", "points", "row_refused", 2, value)
	w.await(r, report, Arrival{Refused: 1})
}

// A dead letter that was published twice, as when a process dies in between, is
// one; a record of a topic that was made anew is another.
func TestLettersThatWerePublishedTwice(t *testing.T) {
	w := newWarehouse(t, points(t))
	c := points(t)
	bad := earned("a", 1, 1, "LOGIN_SUCCESS", 1)
	bad.Body, bad.ReceivedAt = []byte("no JSON"), w.now()
	w.receive(c, bad, bad)
	value, _ := w.values(c, earned("b", 1, 1, "LOGIN_SUCCESS", 2))
	anew, _ := w.values(c, earned("c", 1, 1, "LOGIN_SUCCESS", 3))
	w.refuse("clickhouse", "points", "undecodable", 7, []byte("no row"))
	w.refuse("clickhouse", "points", "undecodable", 7, []byte("no row"))
	w.refuse("clickhouse", "points", "row_refused", 8, value)
	w.refuse("clickhouse", "points", "row_refused", 8, value)
	w.refuse("clickhouse", "points", "row_refused", 8, anew)
	r := w.replayer(false, c)
	w.expectLetters(r, Filter{}, "undecodable open", "row_refused open", "row_refused open", "invalid_json open")
	w.retry(r, Filter{}, "4 selected, 0 stored, 2 published, rejected [invalid_json:1 undecodable:1]")
	// A resend of a body that cannot be read is a letter of its own.
	bad.ReceivedAt = w.now()
	w.receive(c, bad)
	w.expectLetters(r, Filter{Stage: "normalize"}, "invalid_json open", "invalid_json open")
}

func TestFilters(t *testing.T) {
	w := newWarehouse(t, points(t))
	c := points(t)
	letter := func(topic, shop, body string, hour int) normalize.Delivery {
		return normalize.Delivery{Topic: topic, ShopID: shop, Body: []byte(body), ReceivedAt: time.Date(2026, 5, 1, hour, 0, 0, 0, time.UTC)}
	}
	w.receive(c,
		letter(pointsWebhook, "s1", "no JSON", 1),
		letter(strings.ToUpper(pointsWebhook), "s2", "{}", 2),
		letter("orders/edited", "s1", "{}", 3),
		letter("it's", `s\'1`, "{}", 4),
	)
	w.refuse("clickhouse", "points", "undecodable", 5, []byte("no row")) // in March
	r := w.replayer(false, c)
	hour := func(n int) time.Time { return time.Date(2026, 5, 1, n, 0, 0, 0, time.UTC) }
	tests := []struct {
		filter Filter
		want   []string
	}{
		{Filter{}, []string{"unknown_topic open", "unknown_topic open", "missing_field open", "invalid_json open", "undecodable open"}},
		{Filter{Reasons: []string{"missing_field", "undecodable"}}, []string{"missing_field open", "undecodable open"}},
		{Filter{Stage: "sink"}, []string{"undecodable open"}},
		{Filter{Topic: "points"}, []string{"missing_field open", "invalid_json open", "undecodable open"}},
		{Filter{Topic: pointsWebhook}, []string{"missing_field open", "invalid_json open"}},
		{Filter{Topic: "loyalty.points"}, []string{"undecodable open"}},
		{Filter{Topic: "it's"}, []string{"unknown_topic open"}},
		{Filter{Shop: "s1"}, []string{"unknown_topic open", "invalid_json open"}},
		{Filter{Shop: `s\'1`}, []string{"unknown_topic open"}},
		{Filter{Since: hour(2), Until: hour(4)}, []string{"unknown_topic open", "missing_field open"}},
		{Filter{Since: hour(2), Shop: "s2", Reasons: []string{"invalid_json"}}, nil},
		// Whoever writes SQL into a filter finds nothing.
		{Filter{Shop: "s1' OR '1' = '1"}, nil},
		{Filter{Shop: `\' OR 1 = 1 --`}, nil},
		{Filter{Topic: "x') OR ('1' = '1"}, nil},
		{Filter{Stage: "sink' OR 1 OR '"}, nil},
		{Filter{Reasons: []string{"') OR 1 = 1 OR reason IN ('"}}, nil},
		{Filter{IDs: []string{"') OR 1 = 1 OR id IN ('", "@shop", "?", "{x:String}"}}, nil},
	}
	for _, test := range tests {
		w.expectLetters(r, test.filter, test.want...)
	}
	ids, _ := w.lettersOf(r, Filter{})
	for i, id := range ids {
		w.expectLetters(r, Filter{IDs: []string{strings.ToUpper(id)}}, tests[0].want[i])
		if len(id) != 16 {
			t.Errorf("the id %q is not of 16 digits", id)
		}
	}
	var limited []string
	if err := r.Letters(t.Context(), Filter{}, 2, false, func(l *Letter) error {
		limited = append(limited, l.ID+string(l.Body()))
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ids[:2], limited); diff != "" {
		t.Errorf("two letters without bodies (-want +got):\n%s", diff)
	}
}

// Retries work in chunks, and so do their look-ups.
func TestRetryInChunks(t *testing.T) {
	w := newWarehouse(t, points(t))
	var deliveries []normalize.Delivery
	for n := range 7 {
		deliveries = append(deliveries, earned("a", 1, n, "LOGIN_SUCCESS", n))
	}
	w.receive(points(t, "field: updated_value", "field: value_changed\n    column: updated_value"), deliveries...)
	r := w.replayer(false, points(t))
	r.chunk = 3
	report := w.retry(r, Filter{}, "7 selected, 0 stored, 7 published, rejected []")
	w.await(r, report, Arrival{Stored: 7})
	if got := w.ask("SELECT points_balance FROM points_balances"); got != "6" {
		t.Errorf("the balance is %s", got)
	}
}
