package clickhouse

import "time"

// Describe is what a sink makes of an error.
func (s *Sink) Describe(err error) error { return s.describe(err) }

// SetSurely replaces how much longer than a batch's age a server must have been up.
func (s *Sink) SetSurely(d time.Duration) { s.surely = d }
