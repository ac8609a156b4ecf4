//go:build linux && postgres

package postgres_test

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"

	"loyaltyhouse/connector/harness"
)

// A link is the network between a sink and the server. The bytes of both
// directions are counted and can be dropped; toxics make it slow or cut it.
type link struct {
	*toxiproxy.Proxy
	up, down *gate
}

// registerGate lets toxiproxy make gates, and silences it.
var registerGate = sync.OnceFunc(func() {
	zerolog.SetGlobalLevel(zerolog.Disabled)
	toxics.Register("gate", new(gate))
})

func newLink(t *testing.T) *link {
	t.Helper()
	registerGate()
	l := &link{}
	listen, err := harness.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	l.build(t, listen)
	t.Cleanup(func() { l.Stop() })
	return l
}

func (l *link) build(t *testing.T, listen string) {
	t.Helper()
	api := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), zerolog.Nop())
	l.Proxy = toxiproxy.NewProxy(api, t.Name(), listen, server.Addr())
	l.up, _ = l.poison(t, `{"name": "up", "type": "gate", "stream": "upstream"}`).(*gate)
	l.down, _ = l.poison(t, `{"name": "down", "type": "gate", "stream": "downstream"}`).(*gate)
	l.connect(t)
}

// replace cuts the connections and goes on without toxics, and without waiting
// for what they hold up.
func (l *link) replace(t *testing.T) {
	t.Helper()
	l.Stop()
	l.build(t, l.Listen)
}

// connect lets connections through again that Stop has cut.
func (l *link) connect(t *testing.T) {
	t.Helper()
	if err := l.Start(); err != nil {
		t.Fatal(err)
	}
}

// port is where the sink connects to.
func (l *link) port(t *testing.T) int {
	t.Helper()
	_, text, err := net.SplitHostPort(l.Listen)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// poison adds a toxic, by toxiproxy's description in JSON.
func (l *link) poison(t *testing.T, description string) toxics.Toxic {
	t.Helper()
	added, err := l.Toxics.AddToxicJson(strings.NewReader(description))
	if err != nil {
		t.Fatalf("%s: %v", description, err)
	}
	return added.Toxic
}

// heal removes a toxic.
func (l *link) heal(t *testing.T, name string) {
	t.Helper()
	if err := l.Toxics.RemoveToxic(t.Context(), name); err != nil {
		t.Fatal(err)
	}
}

// A gate counts the bytes of one direction that pass it, and drops them while it
// is shut.
type gate struct {
	passed atomic.Int64
	shut   atomic.Bool
	limit  atomic.Int64 // When so many have passed, the other gate is shut.
	other  atomic.Pointer[gate]
}

// shutAfter shuts the other gate when so many bytes have passed this one.
func (g *gate) shutAfter(bytes int64, other *gate) {
	g.limit.Store(bytes)
	g.other.Store(other)
}

// Pipe implements toxics.Toxic.
func (g *gate) Pipe(stub *toxics.ToxicStub) {
	for {
		select {
		case <-stub.Interrupt:
			return
		case chunk := <-stub.Input:
			switch {
			case chunk == nil:
				stub.Close()
				return
			case g.shut.Load():
				continue
			}
			if passed := g.passed.Add(int64(len(chunk.Data))); passed > g.limit.Load() {
				if other := g.other.Load(); other != nil {
					other.shut.Store(true)
				}
			}
			stub.Output <- chunk
		}
	}
}
