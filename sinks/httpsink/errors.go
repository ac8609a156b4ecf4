package httpsink

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"loyaltyhouse/sinks"
)

// An answer is an error of a status that does not say that the batch is stored.
// Another try may mend it.
type answer struct {
	host   string
	status int
	hint   string
	after  time.Duration
}

var _ sinks.Delayed = (*answer)(nil)

// Error implements error.
func (a *answer) Error() string {
	text := fmt.Sprintf("http %s: the answer is %d %s", a.host, a.status, http.StatusText(a.status))
	if a.hint != "" {
		text += "; " + a.hint
	}
	return text
}

// RetryAfter implements [sinks.Delayed]: what the answer asks for, or 0.
func (a *answer) RetryAfter() time.Duration { return a.after }

// judge returns the error of an answer: nil for every 2xx.
func (s *Sink) judge(b *sinks.Batch, response *http.Response) error {
	if response.StatusCode >= 200 && response.StatusCode <= 299 {
		return nil
	}
	a := &answer{
		host: s.host, status: response.StatusCode, hint: hint(response.StatusCode),
		after: retryAfter(response.Header.Get("Retry-After"), s.now()),
	}
	switch response.StatusCode {
	case http.StatusRequestEntityTooLarge:
		// Fewer rows may not be too large, whatever becomes of one that is alone.
		if len(b.Records) > 1 || s.cfg.Refused == RefusedDeadLetter {
			return sinks.Permanent(sinks.RowRefused, -1, a)
		}
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		if s.cfg.Refused == RefusedDeadLetter {
			return sinks.Permanent(sinks.RowRefused, -1, a)
		}
	}
	return a
}

// hint says what to do about a status.
func hint(status int) string {
	switch {
	case status >= 300 && status <= 399:
		return "redirects are not followed, for a signed request belongs to one address; set url to where it leads"
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		return "compare the secrets and the headers with the service's, and its clock with this one"
	case status == http.StatusNotFound || status == http.StatusMethodNotAllowed || status == http.StatusGone:
		return "set url to an address that takes a POST"
	case status == http.StatusRequestEntityTooLarge:
		return "make batch.max_rows or batch.max_bytes smaller, or the service's limit larger"
	case status == http.StatusBadRequest || status == http.StatusUnprocessableEntity:
		return "the service does not want these rows; its own log should say why"
	default:
		return ""
	}
}

// retryAfter reads the header of that name: seconds, or a date.
func retryAfter(header string, now time.Time) time.Duration {
	if seconds, err := strconv.ParseUint(header, 10, 31); err == nil {
		return time.Duration(seconds) * time.Second
	}
	if at, err := http.ParseTime(header); err == nil {
		return max(0, at.Sub(now))
	}
	return 0
}

// away returns the error of a request without an answer. It leaves out the
// address, which can hold a secret.
func (s *Sink) away(err error) error {
	if around, ok := errors.AsType[*url.Error](err); ok {
		err = around.Err
	}
	return fmt.Errorf("http %s: %w", s.host, err)
}
