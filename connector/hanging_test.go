//go:build linux

package main

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"loyaltyhouse/connector/simulate"
)

// A gate leads to a server. While it is shut, connections are taken and nothing
// is ever answered.
type gate struct {
	t        *testing.T
	address  string
	upstream string
	passing  sync.WaitGroup

	mu       sync.Mutex
	isShut   bool
	listener net.Listener
	conns    []net.Conn
}

func newGate(t *testing.T, upstream string) *gate {
	t.Helper()
	g := &gate{t: t, upstream: upstream}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g.listener, g.address = listener, listener.Addr().String()
	g.passing.Go(g.accept)
	t.Cleanup(func() {
		_ = g.listener.Close()
		g.open()
		g.passing.Wait()
	})
	return g
}

func (g *gate) shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isShut = true
}

// open lets everything through. What was connected before is cut, for some of it
// has been swallowed.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.isShut = false
	for _, conn := range g.conns {
		_ = conn.Close()
	}
	g.conns = nil
}

func (g *gate) accept() {
	for {
		client, err := g.listener.Accept()
		if err != nil {
			return
		}
		server, err := (&net.Dialer{}).DialContext(g.t.Context(), "tcp", g.upstream)
		if err != nil {
			_ = client.Close()
			continue
		}
		g.mu.Lock()
		g.conns = append(g.conns, client, server)
		g.mu.Unlock()
		g.passing.Go(func() { g.pass(client, server) })
		g.passing.Go(func() { g.pass(server, client) })
	}
}

func (g *gate) pass(from, to net.Conn) {
	_, _ = io.Copy(throughGate{g, to}, from) // It ends when either is closed.
	_, _ = from.Close(), to.Close()
}

// throughGate swallows what is written while the gate is shut.
type throughGate struct {
	*gate
	to net.Conn
}

func (w throughGate) Write(b []byte) (int, error) {
	w.mu.Lock()
	swallow := w.isShut
	w.mu.Unlock()
	if swallow {
		return len(b), nil
	}
	return w.to.Write(b)
}

// Of two sinks in one process first the one hangs and then the other: its
// destination takes connections and never answers. Webhooks are answered as
// before, the rows of the sink beside it arrive as before, the probe says who
// hangs, and buffer_bytes bounds the memory however much is waiting. Back again,
// the sink catches up from its own offset: nothing is lost, and nothing is there
// twice.
func TestHangingSinkCostsTheOthersNothing(t *testing.T) {
	t.Parallel()
	const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	w, service := startWarehouse(t), newSubscriber(t, secret)
	gates := map[string]*gate{"warehouse": newGate(t, w.address), "forward": newGate(t, service.Listener.Addr().String())}
	_, broker := startBroker(t, t.TempDir())
	s := sections{
		broker: broker, clickHouse: gates["warehouse"].address,
		sink: "batch: {max_age: 50ms, max_bytes: 1048576, buffer_bytes: 4194304}, retry: {max_interval: 500ms}",
		second: fmt.Sprintf(`name: forward, http: {url: "http://%s", secrets: %s, timeout: 2s},
  batch: {max_age: 50ms, max_bytes: 1048576, buffer_bytes: 4194304}, retry: {max_interval: 500ms}`, gates["forward"].address, secret),
	}
	receiver, sink := s.startReceiver(t), s.startSink(t)
	lag := func(name string) float64 {
		return sink.metric(fmt.Sprintf(`loyaltyhouse_consumer_lag_records\{[^}]*sink="%s"`, name))
	}
	age := func(name string) (oldest float64) {
		for _, seconds := range sink.series(fmt.Sprintf(`loyaltyhouse_consumer_oldest_undelivered_seconds\{[^}]*sink="%s"`, name)) {
			oldest = max(oldest, seconds)
		}
		return oldest
	}

	const calmly, hanging = 100, 250 // webhooks
	cfg := simulate.DefaultConfig()
	cfg.Seed, cfg.Count, cfg.Customers, cfg.ResendRatio, cfg.BadRatio = 71, calmly+2*hanging, 100, 0, 0
	g := simulate.New(cfg)
	// send sends that many large webhooks. It returns how they were answered, and
	// how long a row has waited for each sink.
	send := func(count int) (simulate.Summary, map[string]float64) {
		t.Helper()
		next := func() (simulate.Delivery, bool) {
			if count--; count < 0 {
				return simulate.Delivery{}, false
			}
			d, more := g.Next()
			d.Body = fmt.Appendf(nil, `%s,"padding":%q}`, bytes.TrimSuffix(d.Body, []byte("}")), strings.Repeat("x", 96<<10))
			return d, more
		}
		sender := senderTo(receiver.ports)
		sender.Rate = 200
		var summary simulate.Summary
		sent := make(chan error, 1)
		go func() {
			var err error
			summary, err = simulate.Send(t.Context(), sender, next, nil)
			sent <- err
		}()
		waited := map[string]float64{}
		for {
			select {
			case err := <-sent:
				if err != nil {
					t.Fatal(err)
				}
				if summary.Retries > 0 || summary.Violations > 0 {
					t.Errorf("webhooks had to be sent again %d times; wrong answers: %v", summary.Retries, summary.FirstViolations)
				}
				return summary, waited
			case <-time.After(100 * time.Millisecond):
				for name := range gates {
					waited[name] = max(waited[name], age(name))
				}
			}
		}
	}

	usual, waitedUsually := send(calmly)
	eventually(t, "both sinks have everything", func() bool { return lag("warehouse") == 0 && lag("forward") == 0 })
	calm := sink.peakMB()
	probe := sink.ports.adminURL("/readyz")
	for _, roles := range []struct{ hangs, other string }{{"forward", "warehouse"}, {"warehouse", "forward"}} {
		gates[roles.hangs].shut()
		answers, waited := send(hanging)
		t.Logf("%s hangs: answers took p50 %s, p99 %s, before %s, %s; rows for %s waited for %.1f s, before %.1f s",
			roles.hangs, answers.P50, answers.P99, usual.P50, usual.P99, roles.other, waited[roles.other], waitedUsually[roles.other])
		// The margins are for what a busy machine does to either.
		if answers.P50 > 5*usual.P50+100*time.Millisecond {
			t.Errorf("while %s hangs, webhooks are answered in %s, before in %s", roles.hangs, answers.P50, usual.P50)
		}
		if waited[roles.other] > 5*waitedUsually[roles.other]+2 {
			t.Errorf("while %s hangs, rows for %s wait for %.1f s, before for %.1f s", roles.hangs, roles.other, waited[roles.other], waitedUsually[roles.other])
		}
		eventually(t, roles.other+" has everything", func() bool { return lag(roles.other) == 0 })
		eventually(t, roles.hangs+" has hardly anything of it", func() bool { return lag(roles.hangs) > hanging })
		eventually(t, "the probe says who hangs, and nothing else", func() bool {
			parts := notReady(t, probe)
			return len(parts) == 1 && parts["sink "+roles.hangs] != ""
		})
		t.Log(notReady(t, probe)["sink "+roles.hangs])
		if status, body := get(t, receiver.ports.adminURL("/readyz/receiver")); status != http.StatusOK {
			t.Errorf("/readyz/receiver answers %d: %s", status, body)
		}
		gates[roles.hangs].open()
		eventually(t, roles.hangs+" has caught up, and every part is ready", func() bool {
			return lag(roles.hangs) == 0 && len(notReady(t, probe)) == 0
		})
	}
	reconciled(t, w.address, g)
	w.storedOnce(broker)
	for _, topic := range []string{"points", "store_credits", "gift_cards", "customer_changes", "raw_webhooks", "dead_letters"} {
		distinct, doubled := service.records("loyalty." + topic)
		if records := recordsAt(t, broker, "loyalty."+topic); distinct != records || doubled > 0 {
			t.Errorf("of the %d records of %s the service has %d, and %d of them more than once", records, topic, distinct, doubled)
		}
	}
	sink.withinMB(calm + deliveringMB(2*4))
}
