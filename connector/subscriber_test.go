package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// A subscriber is the service that an http sink posts to. It does what the sink's
// page asks of one: it verifies the signature, here with the reference library,
// and takes each message once.
type subscriber struct {
	*httptest.Server
	webhook *standardwebhooks.Webhook

	mu       sync.Mutex
	seen     map[string]bool
	offsets  map[string]map[int64]int  // of the records, by topic and partition, and how often they came
	rows     map[string][]forwardedRow // by table, but for the raw webhooks
	mistakes []string
}

func newSubscriber(t *testing.T, secret string) *subscriber {
	t.Helper()
	webhook, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	s := &subscriber{webhook: webhook, seen: map[string]bool{}, offsets: map[string]map[int64]int{}, rows: map[string][]forwardedRow{}}
	s.Server = httptest.NewServer(s)
	t.Cleanup(func() {
		s.Close()
		for _, mistake := range s.mistakes {
			t.Error(mistake)
		}
	})
	return s
}

func (s *subscriber) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // The sender has given up.
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.take(r.Header, body); err != nil {
		s.mistakes = append(s.mistakes, err.Error())
		http.Error(w, err.Error(), http.StatusBadRequest)
	}
}

func (s *subscriber) take(header http.Header, body []byte) error {
	if err := s.webhook.Verify(body, header); err != nil {
		return fmt.Errorf("verify: %w", err)
	}
	id := header.Get("webhook-id")
	if s.seen[id] {
		return nil
	}
	var message struct {
		Table  string
		Source struct {
			Topic       string
			Partition   int
			FirstOffset int64 `json:"first_offset"`
			LastOffset  int64 `json:"last_offset"`
		}
		Data []forwardedRow
	}
	if err := json.Unmarshal(body, &message); err != nil {
		return fmt.Errorf("message %s: %w", id, err)
	}
	s.seen[id] = true
	where := fmt.Sprintf("%s/%d", message.Source.Topic, message.Source.Partition)
	if s.offsets[where] == nil {
		s.offsets[where] = map[int64]int{}
	}
	for offset := message.Source.FirstOffset; offset <= message.Source.LastOffset; offset++ {
		s.offsets[where][offset]++
	}
	if message.Table != "raw_webhooks" {
		s.rows[message.Table] = append(s.rows[message.Table], message.Data...)
	}
	return nil
}

// records tells how many distinct records of a topic have come, and how many of
// them more than once.
func (s *subscriber) records(topic string) (distinct, doubled int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for partition := range partitions {
		for _, times := range s.offsets[fmt.Sprintf("%s/%d", topic, partition)] {
			distinct++
			if times > 1 {
				doubled++
			}
		}
	}
	return distinct, doubled
}

// of returns the rows of a table so far.
func (s *subscriber) of(table string) []forwardedRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.rows[table])
}

// A forwardedRow is a row as the http sink posts it.
type forwardedRow map[string]json.RawMessage
