package replay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

const pointsWebhook = "app_memberSystem_points/challenged"

// earned is a body of a customer who earned points, and has a balance then.
func earned(buyer string, value, balance int, scene string, minute int) normalize.Delivery {
	at := time.Date(2026, 1, 31, 23, 0, 0, 0, time.UTC).Add(time.Duration(minute) * time.Minute).UnixMilli()
	return normalize.Delivery{
		Topic: pointsWebhook, ShopID: "s1", WebhookID: fmt.Sprint("w", minute),
		Body: fmt.Appendf(nil, `{"buyer_id":%q,"member":"m-%[1]s","update_type":"INCREASE","updated_scene":%[4]q,"updated_value":%[2]d,"points_balance":%[3]d,"updated_at":%[5]d,"changed_at":%[6]d,"store_id":"s1"}`,
			buyer, value, balance, scene, at, at+40*24*3600_000),
	}
}

// everything is a range with all that the clock of a test can bring.
var everything = Range{From: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), To: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}

func (w *warehouse) replay(r *Replayer, in Range, o Options) *Report {
	w.t.Helper()
	report, err := r.Replay(w.t.Context(), in, o)
	if err != nil {
		w.t.Fatal(err)
	}
	return report
}

// changes prints what a report says of points.
func changes(report *Report) string {
	for _, t := range report.Topics {
		if t.Topic == "points" {
			return fmt.Sprintf("%d of %d: %s; %s; withdrawn %s; unreadable %s", t.Events, t.Deliveries, printed(t.Changes), printed(t.Columns), printed(t.Withdrawn), printed(t.Unreadable))
		}
	}
	return "no points"
}

func printed[K comparable](counts map[K]int64) string {
	return strings.TrimPrefix(fmt.Sprint(counts), "map")
}

const (
	facts    = "SELECT buyer_id, updated_scene, points_delta, points_balance, toUnixTimestamp(updated_at) FROM points ORDER BY ALL"
	balances = "SELECT buyer_id, points_balance FROM points_balances ORDER BY ALL"
)

// After a replay the views hold what they would hold, had the corrected contract
// been there from the beginning; a dry run changes nothing; and a second replay
// has nothing to do.
func TestReplayUnderACorrectedContract(t *testing.T) {
	deliveries := []normalize.Delivery{
		earned("zaphod", 10, 10, "LOGIN_SUCCESS", 0),
		earned("zaphod", 5, 15, "SHARE_FB", 1),
		earned("zaphod", 1, 16, "LOGIN_SUCCESS", 90), // in another month
		earned("arthur", 7, 7, "LOGIN_SUCCESS", 2),
	}
	resend := deliveries[1]
	resend.WebhookID = "another subscription"
	deliveries = append(deliveries, resend)
	right := points(t)
	tests := []struct {
		name              string
		before, after     *schema.Contract
		report, published string
	}{
		{
			"nothing is corrected", right, right,
			"4 of 5: [unchanged:4]; []; withdrawn []; unreadable []", "[]",
		},
		{
			"a member that was read by another name", points(t, "field: points_balance", "field: balance_after\n    column: points_balance"), right,
			"4 of 5: [changed:4]; [points_balance:4]; withdrawn []; unreadable []", "[points:4]",
		},
		{
			"a customer that was another member", points(t, "field: buyer_id\n", "field: member\n    column: buyer_id\n"), right,
			"4 of 5: [moved:4]; [buyer_id:4]; withdrawn []; unreadable []", "[points:8]",
		},
		{
			"a time that was another member", points(t, "field: updated_at", "field: changed_at\n    column: updated_at"), right,
			"4 of 5: [moved:4]; [updated_at:4]; withdrawn []; unreadable []", "[points:8]",
		},
		{
			"a field that is stricter", right, points(t, "      - {value: SHARE_FB, doc: The customer shared on Facebook}\n", "",
				"field: updated_scene\n    type: enum\n    case: upper\n", "field: updated_scene\n    type: enum\n    case: upper\n    closed: true\n"),
			"4 of 5: [unchanged:3 withdrawn:1]; []; withdrawn [invalid_value:1]; unreadable []", "[dead_letters:1 points:1]",
		},
		{
			"a field that is less strict", points(t, "field: updated_scene\n    type: enum\n    case: upper\n", "field: updated_scene\n    type: enum\n    case: upper\n    closed: true\n",
				"      - {value: SHARE_FB, doc: The customer shared on Facebook}\n", ""), right,
			"4 of 5: [new:1 unchanged:3]; []; withdrawn []; unreadable []", "[points:1]",
		},
		{
			"a field that nobody sends", right, points(t, "field: points_balance", "field: required_one\n    column: points_balance", "    nullable: true\n    doc: The customer's points", "    required: true\n    doc: The customer's points"),
			"4 of 5: [withdrawn:4]; []; withdrawn [missing_field:4]; unreadable []", "[dead_letters:4 points:4]",
		},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			want := newWarehouse(t, right)
			want.receive(test.after, deliveries...)
			w := newWarehouse(t, right)
			w.receive(test.before, deliveries...)
			r := w.replayer(false, test.after)

			before := w.ask(facts)
			dry := w.replay(r, everything, Options{DryRun: true})
			if got := w.takePublished(); got != "[]" || w.ask(facts) != before {
				t.Errorf("a dry run published %s", got)
			}
			report := w.replay(r, everything, Options{})
			if got := changes(report); got != test.report || changes(dry) != got {
				t.Errorf("the report is\n%s, and of the dry run\n%s, want\n%s", got, changes(dry), test.report)
			}
			if got := w.takePublished(); got != test.published {
				t.Errorf("it published %s, want %s", got, test.published)
			}
			for _, query := range []string{facts, balances, "SELECT count(), uniqExact(event_id) FROM points"} {
				if diff := cmp.Diff(want.ask(query), w.ask(query)); diff != "" {
					t.Errorf("%s (-as if it had been right from the beginning +after the replay):\n%s", query, diff)
				}
			}
			again := w.replay(r, everything, Options{})
			if got := w.takePublished(); got != "[]" || again.Published != 0 {
				t.Errorf("a second replay published %s", got)
			}
			// And back: what was retracted can come again.
			w.replay(w.replayer(false, test.before), everything, Options{})
			if diff := cmp.Diff(before, w.ask(facts)); diff != "" {
				t.Errorf("replayed under the former contract (-before +after):\n%s", diff)
			}
		})
	}
}

// A customer's latest state is right when a replay moves or withdraws the latest.
func TestReplayOfCustomers(t *testing.T) {
	update := func(id, note, at string) normalize.Delivery {
		return normalize.Delivery{
			Topic: "customers/update", ShopID: "s1", WebhookID: id + at,
			Body: fmt.Appendf(nil, `{"id":%q,"note":%q,"verified_email":%q,"updated_at":"2026-01-01T00:00:%s+08:00","addresses":[{"city":"Taipei","default":true},{"city":""}],"tags":"a, b","birthday":"19900625"}`, id, note, note, at),
		}
	}
	lenient := edited(t, "customer_changes", "  - field: verified_email\n    type: bool\n    nullable: true\n", "  - field: verified_email\n    type: bool\n    nullable: true\n    on_invalid: empty\n")
	strict := edited(t, "customer_changes")
	w := newWarehouse(t, strict)
	w.receive(lenient, update("c1", "true", "01"), update("c1", "no bool", "02"), update("c2", "no bool", "03"), update("c3", "false", "04"))
	if got := w.ask("SELECT customer_id, note FROM customers ORDER BY 1"); got != "c1\tno bool\nc2\tno bool\nc3\tfalse" {
		t.Fatalf("before, the customers are\n%s", got)
	}
	w.replay(w.replayer(false, strict), everything, Options{})
	if got := w.ask("SELECT customer_id, note, addresses.city FROM customers ORDER BY 1"); got != "c1\ttrue\t['Taipei','']\nc3\tfalse\t['Taipei','']" {
		t.Errorf("after, the customers are\n%s", got)
	}
	if got := w.takePublished(); got != "[customer_changes:2 dead_letters:2]" {
		t.Errorf("it published %s", got)
	}
	w.replay(w.replayer(false, strict), everything, Options{})
	if got := w.takePublished(); got != "[]" {
		t.Errorf("a second replay published %s", got)
	}
}

// The range and the topic bound what is read, and a resend within it is one
// event, whichever chunk it falls into.
func TestRange(t *testing.T) {
	w := newWarehouse(t, points(t))
	first, last := earned("a", 1, 1, "LOGIN_SUCCESS", 1), earned("b", 1, 1, "LOGIN_SUCCESS", 2)
	at := func(d normalize.Delivery, second int) normalize.Delivery {
		d.ReceivedAt = time.Date(2026, 2, 1, 0, 0, second, 0, time.UTC)
		return d
	}
	other := at(first, 30)
	other.Topic = "orders/edited"
	shouted := at(earned("c", 1, 1, "LOGIN_SUCCESS", 3), 40)
	shouted.Topic = strings.ToUpper(pointsWebhook)
	w.receive(points(t, pointsWebhook, "something/else"), at(first, 10), at(last, 20), at(first, 25), other, shouted, at(last, 50))
	r := w.replayer(false, points(t), edited(t, "gift_cards"))
	seconds := func(from, to int) Range {
		return Range{From: at(first, from).ReceivedAt, To: at(first, to).ReceivedAt}
	}
	tests := []struct {
		in         Range
		topic      string
		count      int64
		report     string
		unreadable int64
	}{
		{seconds(0, 60), "", 6, "3 of 5: [new:3]; []; withdrawn []; unreadable []", 1},
		{seconds(0, 60), "points", 5, "3 of 5: [new:3]; []; withdrawn []; unreadable []", 0},
		{seconds(0, 60), "gift_cards", 0, "0 of 0: []; []; withdrawn []; unreadable []", 0},
		{seconds(10, 20), "", 1, "1 of 1: [new:1]; []; withdrawn []; unreadable []", 0},
		{seconds(11, 26), "", 2, "2 of 2: [new:2]; []; withdrawn []; unreadable []", 0},
	}
	for _, test := range tests {
		in := test.in
		in.Topic = test.topic
		for _, size := range []int{chunkDeliveries, 1, 2} {
			r.chunk = size
			if n, err := r.Count(t.Context(), in); n != test.count || err != nil {
				t.Errorf("%v has %d deliveries, error %v; want %d", in, n, err, test.count)
			}
			progress := int64(0)
			report := w.replay(r, in, Options{DryRun: true, Progress: func(n int) { progress += int64(n) }})
			if got := changes(report); got != test.report {
				t.Errorf("%v in chunks of %d: %s, want %s", in, size, got, test.report)
			}
			if n := report.Topics[len(report.Topics)-1].Unreadable[normalize.UnknownTopic]; n != test.unreadable {
				t.Errorf("%v: %d deliveries without a contract, want %d", in, n, test.unreadable)
			}
			if progress != test.count || !report.Through.Equal(in.To) {
				t.Errorf("%v: it came through %d deliveries until %s", in, progress, report.Through)
			}
		}
	}
	for name, want := range map[string]string{"points": "points", "loyalty.points": "points", strings.ToUpper(pointsWebhook): "points"} {
		if got, err := r.ContractTopic(name); got != want || err != nil {
			t.Errorf("ContractTopic(%q) is %q, error %v", name, got, err)
		}
	}
	if _, err := r.ContractTopic("orders/edited"); err == nil || !strings.Contains(err.Error(), "points, gift_cards") {
		t.Errorf("the error of an unknown topic is %v", err)
	}
}

// A body that somebody captured and sent again with another shop's header is a
// row of that shop; a replay leaves it there, for better or worse.
func TestReplayLeavesOtherShopsAlone(t *testing.T) {
	w := newWarehouse(t, points(t))
	noShop := points(t, "shop_id: store_id\n", "")
	mine := earned("a", 1, 1, "LOGIN_SUCCESS", 1)
	forged := mine
	forged.ShopID, forged.WebhookID = "victim", "forged"
	again := forged
	again.ShopID = "victim too"
	w.receive(noShop, mine, forged, again)
	const shops = "SELECT shop_id, buyer_id FROM points ORDER BY ALL"
	w.replay(w.replayer(false, noShop), everything, Options{})
	if got := w.ask(shops); got != "s1\ta\nvictim\ta\nvictim too\ta" {
		t.Errorf("the points are\n%s", got)
	}
	other := points(t, "shop_id: store_id\n", "", "field: buyer_id\n", "field: member\n    column: buyer_id\n")
	w.replay(w.replayer(false, other), everything, Options{})
	if got := w.ask(shops); got != "s1\tm-a\nvictim\tm-a\nvictim too\tm-a" {
		t.Errorf("after a move the points are\n%s", got)
	}
	// When the shop is read from the signed body, the forged rows are found out.
	for _, size := range []int{chunkDeliveries, 1} {
		r := w.replayer(false, points(t))
		r.chunk = size
		w.replay(r, everything, Options{})
		if got := w.ask(shops); got != "s1\ta" {
			t.Errorf("with the body's shop the points are\n%s", got)
		}
	}
}

// With on_store_mismatch: dead_letter a body of another shop than its header's
// stays a reject: the header is kept for that.
func TestReplayKnowsTheHeaderOfTheShop(t *testing.T) {
	w := newWarehouse(t, points(t))
	d := earned("a", 1, 1, "LOGIN_SUCCESS", 1)
	d.ShopID = "another"
	w.receive(points(t), d)
	for _, strict := range []bool{false, true, true, false} {
		w.replay(w.replayer(strict, points(t)), everything, Options{})
		want := "1"
		if strict {
			want = "0"
		}
		if got := w.ask("SELECT count() FROM points"); got != want {
			t.Errorf("with strictness %v there are %s rows, want %s", strict, got, want)
		}
	}
	if got := w.ask("SELECT reason, shop_id, header_shop_id FROM dead_letters"); got != "store_mismatch\ts1\tanother" {
		t.Errorf("the dead letters are\n%s", got)
	}
}

// A replay that is stopped, or whose Kafka is away, tells how far it came, and
// the next does the rest.
func TestReplayThatIsStopped(t *testing.T) {
	w := newWarehouse(t, points(t))
	var deliveries []normalize.Delivery
	for n := range 5 {
		deliveries = append(deliveries, earned("a", 1, n, "LOGIN_SUCCESS", n))
	}
	w.receive(points(t, "field: buyer_id\n", "field: member\n    column: buyer_id\n"), deliveries...)
	r := w.replayer(false, points(t))
	r.chunk = 2
	ctx, cancel := context.WithCancel(t.Context())
	report, err := r.Replay(ctx, everything, Options{Progress: func(int) { cancel() }})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("a replay that is stopped ends with %v", err)
	}
	if report.Published != 4 || report.Through.Before(everything.From) || !report.Through.Before(w.clock) {
		t.Errorf("it published %d records and came through %s", report.Published, report.Through)
	}
	r.publisher = away{}
	if _, err := r.Replay(t.Context(), everything, Options{}); !errors.Is(err, errAway) {
		t.Errorf("without Kafka it ends with %v", err)
	}
	r.publisher = w
	w.replay(r, everything, Options{})
	if got := w.ask("SELECT buyer_id, count() FROM points GROUP BY 1"); got != "a\t5" {
		t.Errorf("after it was run again the points are %s", got)
	}
}

var errAway = errors.New("kafka is away")

type away struct{}

func (away) Publish(context.Context, ...kafka.Message) error { return errAway }

// Rows that are still on their way are not seen as stored. The next replay finds
// what they leave behind.
func TestReplayHealsWhatWasOnItsWay(t *testing.T) {
	w := newWarehouse(t, points(t))
	old := points(t, "field: buyer_id\n", "field: member\n    column: buyer_id\n")
	w.receive(old, earned("a", 1, 1, "LOGIN_SUCCESS", 1))
	late := w.ask("SELECT * EXCEPT (retracted) FROM fact_points FORMAT JSONEachRow SETTINGS date_time_output_format = 'iso' --")
	w.execute("TRUNCATE TABLE fact_points")
	w.replay(w.replayer(false, points(t)), everything, Options{})
	w.store(kafka.Message{Topic: "loyalty.points", Value: []byte(late)})
	if got := w.ask("SELECT count() FROM points"); got != "2" {
		t.Fatalf("the late row makes %s rows", got)
	}
	w.replay(w.replayer(false, points(t)), everything, Options{})
	if got := w.ask("SELECT buyer_id FROM points"); got != "a" {
		t.Errorf("after the second replay the points are %q", got)
	}
}

// Examples name columns, and values only where they were asked for.
func TestExamples(t *testing.T) {
	w := newWarehouse(t, points(t))
	w.receive(points(t, "field: points_balance", "field: balance_after\n    column: points_balance"),
		earned("zaphod", 1, 42, "LOGIN_SUCCESS", 1), earned("zaphod", 1, 43, "LOGIN_SUCCESS", 2), earned("zaphod", 1, 44, "LOGIN_SUCCESS", 3))
	r := w.replayer(false, points(t))
	silent := w.replay(r, everything, Options{DryRun: true, Examples: 2})
	if len(silent.Examples) != 2 || strings.Contains(fmt.Sprint(silent.Examples), "42") || silent.Examples[0].Columns[0] != (ColumnChange{Name: "points_balance"}) {
		t.Errorf("without values the examples are %v", silent.Examples)
	}
	told := w.replay(r, everything, Options{DryRun: true, Examples: 1, Values: true})
	if len(told.Examples) != 1 || told.Examples[0].Columns[0] != (ColumnChange{"points_balance", "null", "42"}) {
		t.Errorf("with values the examples are %v", told.Examples)
	}
}

// What is wrong with a warehouse is said at once, with what to do.
func TestOpenErrors(t *testing.T) {
	tests := map[string]struct{ statement, want string }{
		"no tables":             {"DROP TABLE raw_webhooks", "raw_webhooks: run connector migrate up"},
		"an older version":      {"ALTER TABLE dead_letters DROP COLUMN header_shop_id", "dead_letters has no column header_shop_id: run connector migrate up"},
		"an own table":          {"ALTER TABLE fact_points DROP COLUMN retracted", "ADD COLUMN `retracted` Bool"},
		"a table of other kind": {"CREATE OR REPLACE TABLE fact_points AS fact_points ENGINE = MergeTree ORDER BY event_id", "needs ReplacingMergeTree(normalized_at)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWarehouse(t, points(t))
			for _, view := range []string{"points", "points_balances"} {
				w.execute("DROP VIEW " + view)
			}
			w.execute(test.statement)
			_, err := Open(t.Context(), Config{Database: w.database}, w.conn, []*schema.Contract{points(t)}, nil, w, w.now)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("the error is %v, want one with %q", err, test.want)
			}
		})
	}
	// A contract whose table is still to be made has nothing stored.
	w := newWarehouse(t, points(t))
	w.receive(points(t), earned("a", 1, 1, "LOGIN_SUCCESS", 1))
	w.execute("DROP TABLE fact_points")
	w.held = true
	w.replay(w.replayer(false, points(t)), everything, Options{})
	if got := w.takePublished(); got != "[points:1]" {
		t.Errorf("without a table it published %s", got)
	}
}
