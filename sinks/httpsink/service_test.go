package httpsink_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"

	"loyaltyhouse/connector/harness"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/httpsink"
	"loyaltyhouse/sinks/sinktest"
)

const (
	oldSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	newSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// A service receives batches as its operator should: it verifies the
// signature with the reference library, and stores a message id once.
type service struct {
	table  func(*schema.Table) *schema.Table // what a table is called and like at the service
	secret string
	open   func(t *testing.T, url string) sinks.Sink

	address string
	server  *http.Server
	served  sync.WaitGroup

	mu       sync.Mutex
	seen     map[string]bool
	rows     map[string][]json.RawMessage // by table
	requests []*http.Request
	bodies   [][]byte
	stalled  chan struct{}                                         // nil, or closed when the service answers again
	answer   func(w http.ResponseWriter, rows int) (answered bool) // nil, or what it answers first
}

func newService(t *testing.T) *service {
	t.Helper()
	address, err := harness.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := &service{
		secret: newSecret, address: address, seen: map[string]bool{}, rows: map[string][]json.RawMessage{},
		table: func(table *schema.Table) *schema.Table { return table },
	}
	s.open = func(t *testing.T, url string) sinks.Sink { return openSink(t, url, nil) }
	s.start(t)
	t.Cleanup(func() {
		_ = s.server.Close()
		s.served.Wait()
	})
	return s
}

func openSink(t testing.TB, url string, change func(*httpsink.Config)) *httpsink.Sink {
	t.Helper()
	cfg := httpsink.DefaultConfig()
	cfg.URL, cfg.Secrets = url, []string{newSecret}
	if change != nil {
		change(&cfg)
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	sink, err := httpsink.Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

func (s *service) start(t *testing.T) {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", s.address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: s} //nolint:gosec // The tests are its only clients.
	s.server = server
	s.served.Go(func() { _ = server.Serve(listener) })
}

func (s *service) url() string { return "http://" + s.address + "/loyalty?token=secret-token" }

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	stalled := s.stalled
	s.mu.Unlock()
	if stalled != nil {
		select {
		case <-stalled:
		case <-r.Context().Done():
		}
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests, s.bodies = append(s.requests, r), append(s.bodies, body)
	webhook, err := standardwebhooks.NewWebhook(s.secret)
	if err != nil || webhook.Verify(body, r.Header) != nil {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	table, rows, err := read(r, body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	id := r.Header.Get("webhook-id")
	if s.seen[id] {
		w.WriteHeader(http.StatusOK)
		return
	}
	if s.answer != nil && s.answer(w, len(rows)) {
		return
	}
	s.seen[id] = true
	s.rows[table] = append(s.rows[table], rows...)
	w.WriteHeader(http.StatusAccepted)
}

// read returns the rows of a body, and their table.
func read(r *http.Request, body []byte) (table string, rows []json.RawMessage, err error) {
	if r.Header.Get("Content-Type") == "application/x-ndjson" {
		for line := range bytes.Lines(body) {
			if line[len(line)-1] != '\n' || !json.Valid(line) {
				return "", nil, io.ErrUnexpectedEOF
			}
			rows = append(rows, line)
		}
		return r.Header.Get("Loyaltyhouse-Table"), rows, nil
	}
	var payload struct {
		Table string
		Data  []json.RawMessage
	}
	err = json.Unmarshal(body, &payload)
	return payload.Table, payload.Data, err
}

func (s *service) Open(t *testing.T) sinks.Sink {
	t.Helper()
	return s.open(t, s.url())
}

func (s *service) Rows(t *testing.T, table *schema.Table) []schema.Row {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	decoder := schema.NewDecoder(s.table(table))
	var rows []schema.Row
	for _, stored := range s.rows[table.Name] {
		row := make(schema.Row, len(table.Columns))
		if err := decoder.Decode(stored, row); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return rows
}

func (s *service) Count(_ *testing.T, table *schema.Table) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.rows[table.Name])
}

func (s *service) Break(*testing.T) {
	_ = s.server.Close()
	s.served.Wait()
}

func (s *service) Stall(*testing.T) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stalled = make(chan struct{})
}

func (s *service) Restore(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	stalled := s.stalled
	s.stalled = nil
	s.mu.Unlock()
	if stalled != nil {
		close(stalled)
		return
	}
	s.start(t)
}

// answering makes the service answer this to the next requests.
func (s *service) answering(answer func(w http.ResponseWriter, rows int) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// knows changes the secret by which the service verifies.
func (s *service) knows(secret string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.secret = secret
}

func (s *service) asked() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.requests)
}

func (s *service) last() (*http.Request, []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[len(s.requests)-1], s.bodies[len(s.bodies)-1]
}

var _ sinktest.Destination = (*service)(nil)
