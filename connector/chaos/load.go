//go:build linux

package main

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/google/uuid"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/simulate"
)

// secret signs the webhooks of a run.
const secret = "chaos-secret"

// A load plays SHOPLINE until its time is over, and remembers what was
// acknowledged.
type load struct {
	generator *simulate.Generator
	sender    simulate.SenderConfig
	until     time.Time

	mu           sync.Mutex
	acknowledged []acknowledgement
	refused      int64
	latest       time.Time // when something was answered for good
}

// An acknowledgement says that a delivery was answered 200: its event must be
// in the table.
type acknowledgement struct {
	event uuid.UUID
	table string // one of a few constants
}

func newLoad(o options, address string) *load {
	cfg := simulate.DefaultConfig()
	cfg.Seed = o.seed
	// More than can be sent, for Stop ends the history.
	cfg.Count = int(o.rate*o.time.Seconds()*1.05) + 1000
	cfg.Customers = max(50, min(2000, cfg.Count/20))
	cfg.Span = o.span
	cfg.End = time.Now().UTC().Truncate(time.Second)
	sender := simulate.DefaultSenderConfig()
	sender.URL = "http://" + address + "/webhooks/shopline"
	sender.Secret = []byte(secret)
	sender.Rate = o.rate
	sender.Connections = 128
	// Shorter than SHOPLINE's: what has to be sent again shall be so in time.
	sender.Retry = simulate.Retry{First: 100 * time.Millisecond, Longest: 2 * time.Second}
	return &load{generator: simulate.New(cfg), sender: sender, until: time.Now().Add(o.time), latest: time.Now()}
}

// send returns when everything is settled: deliveries are sent again until they
// are answered.
func (l *load) send(ctx context.Context) (simulate.Summary, error) {
	next := func() (simulate.Delivery, bool) {
		if time.Now().After(l.until) {
			l.generator.Stop()
		}
		return l.generator.Next()
	}
	return simulate.Send(ctx, l.sender, next, l.observe)
}

func (l *load) observe(o simulate.Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.latest = time.Now()
	if o.Status != http.StatusOK {
		l.refused++
		return
	}
	id, _ := normalize.EventID(o.Delivery.Body)
	l.acknowledged = append(l.acknowledged, acknowledgement{event: id, table: o.Delivery.Table})
}

// progress tells how many deliveries are settled, and when the latest one was.
func (l *load) progress() (settled int64, latest time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.acknowledged)) + l.refused, l.latest
}
