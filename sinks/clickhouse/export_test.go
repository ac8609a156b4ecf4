package clickhouse

// Describe is what a sink makes of an error.
func (s *Sink) Describe(err error) error { return s.describe(err) }
