// Package sinks holds what every kind of sink has in common: the batch that it
// is given, the interface that it implements, and which of its errors a retry
// can mend. Each kind of sink is a package below this one.
package sinks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"loyaltyhouse/schema"
)

// A Sink writes batches to one destination. Implementations are safe for
// concurrent use.
type Sink interface {
	// Write stores every record of the batch, or none that a repeated Write of
	// the same batch would store again (invariant 4). It returns nil only when
	// all are durable. An error that [Permanent] made says that the batch will
	// never be accepted as it is, and that nothing of it is stored; after any other
	// error it is tried again.
	// Errors never quote a record's values.
	Write(ctx context.Context, b *Batch) error
	// Ping reports whether the destination can be written to now.
	Ping(ctx context.Context) error
	// Close releases what the sink holds; no other call follows.
	Close() error
}

// A Preparer is a [Sink] whose destination has to be made ready, such as with
// tables.
type Preparer interface {
	// Prepare creates what is missing for batches of these tables. It can be
	// repeated, and several processes may call it at once.
	Prepare(ctx context.Context, tables []*schema.Table) error
}

// A Checker is a [Sink] that can say beforehand why batches would not be written.
type Checker interface {
	// Check reports, without changing anything that stays, all that would keep
	// batches of these tables from being written: what cannot be reached, what is
	// not allowed, tables and columns that are missing or have another type. What
	// [Preparer] makes may be missing where it prepares before the first batch, if
	// it has the right to make it. Each error says what to do.
	Check(ctx context.Context, tables []*schema.Table, prepares bool) error
}

// An Inspector is a [Sink] that can look for a batch's rows. It is asked after
// a batch has been repeated, for a destination may have lost what it was
// doing when it crashed, or have forgotten a token.
type Inspector interface {
	// Inspect looks for the rows of the batch, whose first write began so long
	// ago. A sink that can be sure without looking finds nothing wrong. What finds
	// nothing missing is not written again, so that a batch which Write would refuse
	// gets the same permanent error here.
	Inspect(ctx context.Context, b *Batch, age time.Duration) (Findings, error)
}

// Findings are what an [Inspector] finds wrong.
type Findings struct {
	// Missing are the positions in the batch of rows that are not stored.
	Missing []int
	// Surplus is how many rows are stored beyond one for each record.
	Surplus int
}

// A Batch is a contiguous range of one Kafka partition.
type Batch struct {
	Topic     string // the Kafka topic's full name
	Partition int
	Table     *schema.Table
	Records   []Record // at least one, in the order of their offsets
	// Since is when the batch may have been written first, by this process or
	// another. It is zero for a batch that is new.
	Since time.Time
	// Mend counts how often rows of the batch's range had to be written again that
	// were missing after all. It is 0 for a whole batch.
	Mend int
}

// A Record is one Kafka record: a row as [schema.Table.AppendRow] wrote it.
type Record struct {
	Offset int64
	// Timestamp is the record's own, in milliseconds since 1970.
	Timestamp int64
	Value     []byte
}

// First and Last are the offsets of the batch's first and last record.
func (b *Batch) First() int64 { return b.Records[0].Offset }

// Last is the offset of the batch's last record.
func (b *Batch) Last() int64 { return b.Records[len(b.Records)-1].Offset }

// Slice returns the batch of the records from i up to, but not including, j.
func (b *Batch) Slice(i, j int) *Batch {
	part := *b
	part.Records = b.Records[i:j]
	return &part
}

// Token names the batch's range. The same records of the same partition have
// the same token, however often they are read (invariant 4). The first record's
// timestamp tells them from those of a topic that was deleted and made anew.
func (b *Batch) Token() string {
	token := fmt.Sprintf("%s/%d/%d-%d@%d", b.Topic, b.Partition, b.First(), b.Last(), b.Records[0].Timestamp)
	if b.Mend > 0 {
		token += fmt.Sprintf("+%d/%d", b.Mend, len(b.Records))
	}
	return token
}

// pick returns the batch of the records at these positions.
func (b *Batch) pick(positions []int, mend int) *Batch {
	part := *b
	part.Records, part.Mend = make([]Record, len(positions)), mend
	for i, k := range positions {
		part.Records[i] = b.Records[k]
	}
	return &part
}

// A PermanentError says that a batch holds a record which will never be
// accepted.
type PermanentError struct {
	// Reason is from a bounded set, fit for a metric's label.
	Reason string
	// Index is the offending record's position in the batch, or -1 where the
	// destination does not tell.
	Index int
	Err   error
}

// Reasons of permanent errors.
const (
	Undecodable  = "undecodable"   // the record's value is not a row of its table
	RowRefused   = "row_refused"   // the destination refuses the row
	FilterFailed = "filter_failed" // the sink's filter can be neither true nor false for the row
)

// Permanent marks err as one that no retry can mend.
func Permanent(reason string, index int, err error) error {
	return &PermanentError{Reason: reason, Index: index, Err: err}
}

// Error implements error.
func (e *PermanentError) Error() string { return e.Reason + ": " + e.Err.Error() }

// Unwrap returns the cause.
func (e *PermanentError) Unwrap() error { return e.Err }

// IsPermanent returns the permanent error in err's tree, if there is one.
func IsPermanent(err error) (*PermanentError, bool) {
	var permanent *PermanentError
	ok := errors.As(err, &permanent)
	return permanent, ok
}
