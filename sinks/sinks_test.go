package sinks_test

import (
	"errors"
	"fmt"
	"testing"

	"go.uber.org/goleak"

	"loyaltyhouse/sinks"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func batch(offsets ...int64) *sinks.Batch {
	b := &sinks.Batch{Topic: "loyalty.points", Partition: 2}
	for _, offset := range offsets {
		b.Records = append(b.Records, sinks.Record{Offset: offset, Timestamp: 1000 + offset})
	}
	return b
}

func TestTokenNamesTheRange(t *testing.T) {
	b := batch(10, 11, 15)
	for _, test := range []struct {
		batch *sinks.Batch
		want  string
	}{
		{b, "loyalty.points/2/10-15@1010"},
		{b.Slice(0, 2), "loyalty.points/2/10-11@1010"},
		{b.Slice(2, 3), "loyalty.points/2/15-15@1015"},
	} {
		if got := test.batch.Token(); got != test.want {
			t.Errorf("the token is %s, want %s", got, test.want)
		}
	}
	if len(b.Records) != 3 {
		t.Error("Slice has changed the batch")
	}
}

func TestPermanentErrors(t *testing.T) {
	cause := errors.New("the cause")
	err := fmt.Errorf("around: %w", sinks.Permanent(sinks.RowRefused, 3, cause))
	permanent, ok := sinks.IsPermanent(err)
	if !ok || permanent.Reason != sinks.RowRefused || permanent.Index != 3 || !errors.Is(err, cause) {
		t.Errorf("of %v IsPermanent returns %v, %v", err, permanent, ok)
	}
	if want := "around: row_refused: the cause"; err.Error() != want {
		t.Errorf("the error reads %q, want %q", err, want)
	}
	for _, err := range []error{nil, cause} {
		if _, ok := sinks.IsPermanent(err); ok {
			t.Errorf("%v is called permanent", err)
		}
	}
}
