package replay

import (
	"slices"
	"strings"
	"time"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

// A Report says what a replay found and did.
type Report struct {
	// Through is the time up to which deliveries have been worked on.
	Through time.Time
	// Topics are in the order of the contracts; the last, which has no name,
	// counts deliveries that no contract reads.
	Topics   []*TopicReport
	Examples []Example
	// Published is how many records Kafka has acknowledged.
	Published int64

	facts []*fact
}

// A TopicReport counts one contract's deliveries and events.
type TopicReport struct {
	Topic      string
	Deliveries int64
	// Events are the distinct ones among the deliveries.
	Events  int64
	Changes map[Change]int64
	// Columns counts the events whose row has another value there.
	Columns map[string]int64
	// Withdrawn and Unreadable count, by reason, the events that the contract
	// rejects: those that have had a row until now, and those that never had.
	Withdrawn, Unreadable map[normalize.Reason]int64
}

// An Example is one event that changes.
type Example struct {
	EventID, Topic string
	Change         Change
	Columns        []ColumnChange
	// Reason is why the contract rejects the event, where it does.
	Reason string
}

// A ColumnChange is one column that changes. Before and After are the values in
// JSON, where they were asked for.
type ColumnChange struct{ Name, Before, After string }

func newReport(in Range, facts []*fact) *Report {
	r := &Report{Through: in.From, facts: facts}
	for _, f := range facts {
		r.Topics = append(r.Topics, newTopicReport(f.table.Topic))
	}
	r.Topics = append(r.Topics, newTopicReport(""))
	return r
}

func newTopicReport(topic string) *TopicReport {
	return &TopicReport{
		Topic: topic, Changes: map[Change]int64{}, Columns: map[string]int64{},
		Withdrawn: map[normalize.Reason]int64{}, Unreadable: map[normalize.Reason]int64{},
	}
}

// of returns the report of a contract, or of the deliveries without one.
func (r *Report) of(f *fact) *TopicReport {
	if i := slices.Index(r.facts, f); i >= 0 {
		return r.Topics[i]
	}
	return r.Topics[len(r.Topics)-1]
}

func (t *TopicReport) count(result normalize.Result, d decision) {
	t.Events++
	t.Changes[d.change]++
	switch d.change {
	case Withdrawn:
		t.Withdrawn[result.Reject.Reason]++
	case Unreadable:
		t.Unreadable[result.Reject.Reason]++
	case Changed, Moved:
		for _, i := range d.columns {
			t.Columns[result.Table.Columns[i].Name]++
		}
	default:
	}
}

func (r *Report) example(o Options, f *fact, it *item, d decision) {
	if len(r.Examples) >= o.Examples || d.change == Unchanged || d.change == Unreadable {
		return
	}
	e := Example{EventID: it.result.EventID.String(), Topic: f.table.Topic, Change: d.change}
	if it.result.Reject != nil {
		e.Reason = it.result.Reject.Error()
	}
	for _, i := range d.columns {
		c := ColumnChange{Name: f.table.Columns[i].Name}
		if o.Values {
			c.Before, c.After = f.text(i, d.before), f.text(i, it.result.Row)
		}
		e.Columns = append(e.Columns, c)
	}
	r.Examples = append(r.Examples, e)
}

// text returns one cell in JSON.
func (f *fact) text(column int, row schema.Row) string {
	one := schema.Table{Columns: f.table.Columns[column : column+1]}
	_, value, _ := strings.Cut(string(one.AppendRow(nil, row[column:column+1])), ":")
	return strings.TrimSuffix(value, "}")
}
