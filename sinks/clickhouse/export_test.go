package clickhouse

import (
	"context"
	"errors"
	"time"
)

// Verdict is what a sink makes of the error of an insert.
func (s *Sink) Verdict(err error) error { return s.verdict(err) }

// SetSurely replaces how much longer than a batch's age a server must have been up.
func (s *Sink) SetSurely(d time.Duration) { s.surely = d }

// Need is what a check says of rights that the user has not got.
func (s *Sink) Need(ctx context.Context, rights, on string) error {
	c := &checking{Sink: s}
	err := c.need(ctx, rights, on)
	return errors.Join(append(c.wrong, err)...)
}
