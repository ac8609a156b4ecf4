package httpsink

import "time"

// SetClock replaces the clock of the sink.
func (s *Sink) SetClock(now func() time.Time) { s.now = now }

// RetryAfter reads the header of that name.
var RetryAfter = retryAfter
