package httpsink

import "time"

// SetClock replaces the clock of the sink.
func (s *Sink) SetClock(now func() time.Time) { s.now = now }
