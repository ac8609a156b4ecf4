// Package httpsink is the sink that posts batches as JSON to another service,
// signed as Standard Webhooks describes it.
package httpsink

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/sync/semaphore"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

const (
	// mostAnswer is how much of an answer's body is read, and drainTime how long
	// that may take: only to use the connection again.
	mostAnswer = 4 << 10
	drainTime  = time.Second

	dialTimeout = 10 * time.Second
)

// A Sink posts to one address.
type Sink struct {
	name     string
	cfg      Config
	keys     [][]byte
	url      *url.URL
	host     string // of the URL, for errors
	client   *http.Client
	dialer   *net.Dialer
	security *tls.Config // nil for http
	requests *semaphore.Weighted
	now      func() time.Time
}

var (
	_ sinks.Sink    = (*Sink)(nil)
	_ sinks.Checker = (*Sink)(nil)
)

// Open returns a sink. It connects when it first writes. The name is part of
// the id by which the receiver knows a batch.
func Open(name string, cfg Config) (*Sink, error) {
	address, err := url.Parse(cfg.URL)
	if err != nil {
		return nil, fmt.Errorf("http url: is not an address")
	}
	keys, err := cfg.keys()
	if err != nil {
		return nil, err
	}
	security, err := cfg.TLS.Load()
	if err != nil {
		return nil, fmt.Errorf("http tls.%w", err)
	}
	s := &Sink{
		name: name, cfg: cfg, keys: keys, url: address, host: address.Host,
		dialer: &net.Dialer{Timeout: dialTimeout}, requests: semaphore.NewWeighted(int64(cfg.MaxRequests)), now: time.Now,
	}
	if address.Scheme == "https" {
		if s.security = security; s.security == nil {
			s.security = &tls.Config{MinVersion: tls.VersionTLS12}
		}
	}
	s.client = &http.Client{
		Transport: &http.Transport{
			// No proxy: where rows go must not depend on an environment variable.
			DialContext:            s.dialer.DialContext,
			TLSClientConfig:        s.security,
			TLSHandshakeTimeout:    dialTimeout,
			ForceAttemptHTTP2:      true,
			MaxConnsPerHost:        cfg.MaxRequests,
			MaxIdleConnsPerHost:    cfg.MaxRequests,
			IdleConnTimeout:        time.Minute,
			MaxResponseHeaderBytes: 64 << 10,
			DisableCompression:     true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return s, nil
}

// Write posts the batch in one request. Its id is made of the batch's range, so
// that the receiver can tell a batch that is posted again (invariant 4).
func (s *Sink) Write(ctx context.Context, b *sinks.Batch) error {
	if err := s.requests.Acquire(ctx, 1); err != nil {
		return fmt.Errorf("http %s: waiting for other requests: %w", s.host, err)
	}
	defer s.requests.Release(1)
	body, err := s.encode(b)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Timeout)
	defer cancel()
	request, err := s.request(ctx, b, body)
	if err != nil {
		return err
	}
	response, err := s.client.Do(request)
	if err != nil {
		return s.away(err)
	}
	// The status has told everything; what follows it must not hold the batch up.
	drained := time.AfterFunc(drainTime, cancel)
	defer drained.Stop()
	_, _ = io.CopyN(io.Discard, response.Body, mostAnswer)
	_ = response.Body.Close()
	return s.judge(b, response)
}

func (s *Sink) request(ctx context.Context, b *sinks.Batch, body []byte) (*http.Request, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url.String(), bytes.NewReader(body))
	if err != nil {
		return nil, s.away(err)
	}
	for name, value := range s.cfg.Headers {
		request.Header.Set(name, value)
	}
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "loyaltyhouse")
	}
	contentType := "application/json"
	if s.cfg.Format == FormatNDJSON {
		contentType = "application/x-ndjson"
	}
	id := messageID(s.name, b)
	timestamp, signature := sign(s.keys, id, s.now(), body)
	for name, value := range map[string]string{
		"Content-Type":       contentType,
		"Loyaltyhouse-Table": b.Table.Name,
		"Webhook-Id":         id,
		"Webhook-Timestamp":  timestamp,
		"Webhook-Signature":  signature,
	} {
		request.Header.Set(name, value)
	}
	return request, nil
}

// Ping reports whether the service can be connected to, with TLS where the
// address is https. It sends no request.
func (s *Sink) Ping(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	address := s.url.Host
	if s.url.Port() == "" {
		address = net.JoinHostPort(s.url.Hostname(), s.url.Scheme) // The port's name.
	}
	var conn net.Conn
	var err error
	if s.security != nil {
		conn, err = (&tls.Dialer{NetDialer: s.dialer, Config: s.security}).DialContext(ctx, "tcp", address)
	} else {
		conn, err = s.dialer.DialContext(ctx, "tcp", address)
	}
	if err != nil {
		return s.away(err)
	}
	_ = conn.Close()
	return nil
}

// Check is Ping: whether the service takes rows and knows the secrets could only
// be found out by a request, which a service may take for one that counts.
func (s *Sink) Check(ctx context.Context, _ []*schema.Table, _ bool) error { return s.Ping(ctx) }

// Close closes the connections.
func (s *Sink) Close() error {
	s.client.CloseIdleConnections()
	return nil
}
