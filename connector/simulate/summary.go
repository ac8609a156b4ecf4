package simulate

import (
	"fmt"
	"net/http"
	"time"
)

// mostViolations bounds the descriptions that a Summary carries.
const mostViolations = 10

// Summary is what came of one call of Send.
type Summary struct {
	// Sent counts the deliveries that got a final answer, or were given up. Accepted
	// are those answered 200, Refused those answered 401.
	Sent, Accepted, Refused int64
	// Unsettled counts the deliveries that were taken but not settled when the
	// context ended. Any of them may have been stored.
	Unsettled int64
	// ByStatus counts all answers, those that led to a retry too.
	ByStatus map[int]int64
	// Unanswered counts the attempts that failed without an answer. Each may have
	// been stored all the same, and then its retry is one more row in raw_webhooks.
	Unanswered int64
	Retries    int64
	// LastFailure is the error of an attempt without an answer; nil if none failed.
	LastFailure error
	// P50, P99 and Max are latencies of single answers, from request to answer.
	P50, P99, Max time.Duration
	Duration      time.Duration
	// Violations counts the deliveries whose last answer was not the one that a
	// correct receiver gives: 401 for a bad signature, 200 for everything else.
	Violations int64
	// FirstViolations describes some of them, without their bodies.
	FirstViolations []string
}

// record is what one lane counts.
type record struct {
	sent, accepted, refused     int64
	unansweredAttempts, retries int64
	violations                  int64
	statuses                    map[int]int64
	latencies                   latencies
	lastFailure                 error
	firstViolations             []string
}

func newRecord() record { return record{statuses: make(map[int]int64)} }

func (r *record) answered(status int, latency time.Duration) {
	r.statuses[status]++
	r.latencies.observe(latency)
}

func (r *record) unanswered(err error) {
	r.unansweredAttempts++
	r.lastFailure = err
}

// settle counts the final answer to a delivery.
func (r *record) settle(o *Outcome) {
	r.sent++
	switch o.Status {
	case http.StatusOK:
		r.accepted++
	case http.StatusUnauthorized:
		r.refused++
	}
	want := http.StatusOK
	if o.Delivery.Kind == KindBadSignature {
		want = http.StatusUnauthorized
	}
	if o.Status == want {
		return
	}
	r.violations++
	if len(r.firstViolations) < mostViolations {
		got := fmt.Sprintf("answered %d", o.Status)
		if o.Status == 0 {
			got = "not answered"
		}
		r.firstViolations = append(r.firstViolations, fmt.Sprintf("%s %s of topic %s, webhook id %s: %s after %d attempts, want %d",
			o.Delivery.Kind, o.Delivery.Flaw, o.Delivery.Topic, o.Delivery.WebhookID, got, o.Attempts, want))
	}
}

func summarize(lanes []lane, taken int64, duration time.Duration) Summary {
	s := Summary{ByStatus: make(map[int]int64), Duration: duration}
	var all latencies
	for i := range lanes {
		r := &lanes[i].record
		s.Sent += r.sent
		s.Accepted += r.accepted
		s.Refused += r.refused
		s.Unanswered += r.unansweredAttempts
		s.Retries += r.retries
		s.Violations += r.violations
		for status, n := range r.statuses {
			s.ByStatus[status] += n
		}
		if r.lastFailure != nil {
			s.LastFailure = r.lastFailure
		}
		room := mostViolations - len(s.FirstViolations)
		s.FirstViolations = append(s.FirstViolations, r.firstViolations[:min(room, len(r.firstViolations))]...)
		all.merge(&r.latencies)
	}
	s.Unsettled = taken - s.Sent
	s.P50, s.P99, s.Max = all.percentile(0.50), all.percentile(0.99), all.max
	return s
}
