package simulate

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"
)

// SenderConfig says where deliveries go, and how fast.
type SenderConfig struct {
	// URL is the receiver's address, http or https.
	URL string `yaml:"url"`
	// Secret is the app secret that bodies are signed with.
	Secret []byte `yaml:"-"`
	// Rate is the number of deliveries per second; 0 is as fast as answers come.
	Rate float64 `yaml:"rate"`
	// Connections is how many requests are under way at once. Each connection has
	// its own customers, and sends their deliveries one after the other.
	Connections int `yaml:"connections"`
	// Timeout is how long one attempt may take. SHOPLINE waits 5 s.
	Timeout time.Duration `yaml:"timeout"`
	// Retry says what happens to a delivery that is not accepted.
	Retry Retry `yaml:"retry"`
	// RootCAs are the authorities trusted for https; nil is the system's.
	RootCAs *x509.CertPool `yaml:"-"`
}

// Retry says how a delivery is repeated that got no answer, 429 or 5xx. An
// answer's Retry-After is honoured, up to Longest; without one the waits double
// from First to Longest. SHOPLINE's own schedule takes 48 hours.
type Retry struct {
	First   time.Duration `yaml:"first"`
	Longest time.Duration `yaml:"longest"`
	// Attempts is after how many attempts a delivery is given up; 0 is never.
	Attempts int `yaml:"attempts"`
}

// DefaultSenderConfig returns the settings for a receiver on this machine. The
// secret is left to the caller.
func DefaultSenderConfig() SenderConfig {
	return SenderConfig{
		URL:         "http://127.0.0.1:8080/webhooks/shopline",
		Connections: 16,
		Timeout:     5 * time.Second,
		Retry:       Retry{First: 50 * time.Millisecond, Longest: 5 * time.Second},
	}
}

// Validate reports the first setting that nothing can be sent with.
func (c SenderConfig) Validate() error {
	u, err := url.Parse(c.URL)
	switch {
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		return errors.New("url: must be an http or https address such as http://127.0.0.1:8080/webhooks/shopline")
	case len(c.Secret) == 0:
		return errors.New("secret: must be the receiver's app secret, is empty")
	case math.IsNaN(c.Rate) || c.Rate < 0:
		return fmt.Errorf("rate: must not be negative, is %v", c.Rate)
	case c.Connections < 1:
		return fmt.Errorf("connections: must be at least 1, is %d", c.Connections)
	case c.Timeout <= 0:
		return fmt.Errorf("timeout: must be positive, is %s", c.Timeout)
	case c.Retry.First <= 0:
		return fmt.Errorf("retry.first: must be positive, is %s", c.Retry.First)
	case c.Retry.Longest < c.Retry.First:
		return fmt.Errorf("retry.longest: must be at least retry.first (%s), is %s", c.Retry.First, c.Retry.Longest)
	case c.Retry.Attempts < 0:
		return fmt.Errorf("retry.attempts: must not be negative, is %d", c.Retry.Attempts)
	}
	return nil
}

// Outcome is what became of one delivery.
type Outcome struct {
	Delivery Delivery
	// Status is the last answer's; 0 if there was no answer.
	Status   int
	Attempts int
	// Latency is how long the last attempt took.
	Latency time.Duration
}

// Send signs and posts what next returns, until next returns false or ctx ends.
// Deliveries of one customer are sent in the order in which next returns them,
// each after the answer to the one before it; retries keep that order.
//
// next is called from one goroutine. observe, unless nil, is called once for
// every delivery that is settled, never twice at a time. Both must return soon.
//
// The error is nil when everything has been settled, also when answers were
// wrong, which the summary tells; it wraps the context's error when ctx ended
// first. All goroutines have ended when Send returns.
func Send(ctx context.Context, cfg SenderConfig, next func() (Delivery, bool), observe func(Outcome)) (Summary, error) {
	if err := cfg.Validate(); err != nil {
		return Summary{}, fmt.Errorf("simulate: %w", err)
	}
	s := newSender(cfg, observe)
	defer s.client.CloseIdleConnections()

	begin := time.Now()
	var wg sync.WaitGroup
	for i := range s.lanes {
		wg.Go(func() { s.drain(ctx, &s.lanes[i]) })
	}
	taken, all := s.dispatch(ctx, next)
	for i := range s.lanes {
		close(s.lanes[i].queue)
	}
	wg.Wait()

	summary := summarize(s.lanes, taken, time.Since(begin))
	if !all || summary.Unsettled > 0 {
		return summary, fmt.Errorf("simulate: sending ended with %d deliveries not settled: %w", summary.Unsettled, context.Cause(ctx))
	}
	return summary, nil
}

// longestAnswer bounds what is read of an answer's body, in bytes.
const longestAnswer = 64 << 10

// laneDepth is how many deliveries wait for each connection, so that one slow
// answer does not hold up the others at once.
const laneDepth = 64

// sender is the state of one call of Send.
type sender struct {
	cfg    SenderConfig
	client *http.Client
	lanes  []lane

	observing sync.Mutex
	observe   func(Outcome)
}

// lane is the queue of one connection and what has been counted there.
type lane struct {
	queue  chan Delivery
	record record
}

func newSender(cfg SenderConfig, observe func(Outcome)) *sender {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	s := &sender{
		cfg: cfg,
		client: &http.Client{
			Transport: &http.Transport{
				Protocols:           protocols,
				TLSClientConfig:     &tls.Config{RootCAs: cfg.RootCAs, MinVersion: tls.VersionTLS12},
				MaxConnsPerHost:     cfg.Connections,
				MaxIdleConns:        cfg.Connections,
				MaxIdleConnsPerHost: cfg.Connections,
				IdleConnTimeout:     time.Minute,
				DisableCompression:  true,
			},
			// A redirect is an answer like any other: not 200.
			CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
			Timeout:       cfg.Timeout,
		},
		lanes:   make([]lane, cfg.Connections),
		observe: observe,
	}
	for i := range s.lanes {
		s.lanes[i] = lane{queue: make(chan Delivery, laneDepth), record: newRecord()}
	}
	return s
}

// dispatch hands each delivery to its customer's lane, at the configured rate,
// and returns how many it took from next, and whether those are all.
func (s *sender) dispatch(ctx context.Context, next func() (Delivery, bool)) (taken int64, all bool) {
	begin := time.Now()
	for ctx.Err() == nil {
		d, ok := next()
		if !ok {
			return taken, true
		}
		taken++
		if s.cfg.Rate > 0 {
			due := begin.Add(time.Duration(float64(taken-1) / s.cfg.Rate * float64(time.Second)))
			// Timers are too coarse to pace every request of a high rate: those that are
			// due within a millisecond go together.
			if wait := time.Until(due); wait > time.Millisecond && pause(ctx, wait) != nil {
				return taken, false
			}
		}
		i := uint(d.Customer) % uint(len(s.lanes))
		select {
		case s.lanes[i].queue <- d:
		case <-ctx.Done():
			return taken, false
		}
	}
	return taken, false
}

// drain settles the deliveries of one lane, one after the other.
func (s *sender) drain(ctx context.Context, l *lane) {
	for d := range l.queue {
		if ctx.Err() != nil {
			return
		}
		outcome, settled := s.settle(ctx, d, &l.record)
		if !settled {
			return
		}
		l.record.settle(&outcome)
		if s.observe != nil {
			s.observing.Lock()
			s.observe(outcome)
			s.observing.Unlock()
		}
	}
}

// settle posts a delivery until it has a final answer. It returns false when ctx
// ends first.
func (s *sender) settle(ctx context.Context, d Delivery, r *record) (Outcome, bool) {
	outcome := Outcome{Delivery: d}
	backoff := s.cfg.Retry.First
	for {
		outcome.Attempts++
		begin := time.Now()
		status, after, err := s.post(ctx, &d)
		outcome.Latency = time.Since(begin)
		outcome.Status = status
		if err != nil {
			if ctx.Err() != nil {
				return outcome, false
			}
			r.unanswered(err)
		} else {
			r.answered(status, outcome.Latency)
		}
		if err == nil && !retryable(status) || outcome.Attempts == s.cfg.Retry.Attempts {
			return outcome, true
		}
		r.retries++
		wait := backoff
		if after >= 0 {
			wait = min(after, s.cfg.Retry.Longest)
		}
		backoff = min(2*backoff, s.cfg.Retry.Longest)
		if pause(ctx, wait) != nil {
			return outcome, false
		}
	}
}

// post makes one attempt. It returns the answer's status and its Retry-After,
// which is negative where there is none.
func (s *sender) post(ctx context.Context, d *Delivery) (status int, after time.Duration, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.cfg.URL, bytes.NewReader(d.Body))
	if err != nil {
		return 0, -1, fmt.Errorf("make the request: %w", err)
	}
	request.Header = d.Header(s.cfg.Secret)
	response, err := s.client.Do(request)
	if err != nil {
		return 0, -1, fmt.Errorf("post: %w", err)
	}
	defer response.Body.Close() //nolint:errcheck // What was read of the answer is all that is needed.
	// The connection can be used again only when the answer has been read. One that
	// is too long, or breaks off, costs the connection but keeps its status.
	if _, err := io.CopyN(io.Discard, response.Body, longestAnswer); err != nil && ctx.Err() != nil {
		return 0, -1, fmt.Errorf("read the answer: %w", err)
	}
	return response.StatusCode, retryAfter(response.Header.Get("Retry-After"), time.Now()), nil
}

// retryable returns whether SHOPLINE's resend can change the answer. SHOPLINE
// resends after other statuses too, but a receiver that means it never accepts.
func retryable(status int) bool {
	return status == http.StatusTooManyRequests || status >= http.StatusInternalServerError
}

// retryAfter reads the header as RFC 9110 has it, seconds or a date, and returns
// a negative duration where it is neither.
func retryAfter(value string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(value, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(value); err == nil {
		return max(0, at.Sub(now))
	}
	return -1
}

// pause waits, and returns the context's error if it ends first.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
