package deliver

import (
	"fmt"
	"testing"
	"time"

	"loyaltyhouse/connector/kafka"
)

func TestBatchIsDue(t *testing.T) {
	cfg := BatchConfig{MaxRows: 3, MaxBytes: 100, MaxAge: time.Second, BufferBytes: 100}
	begin := time.Unix(1_800_000_000, 0)
	type added struct {
		bytes int
		after time.Duration
	}
	for _, test := range []struct {
		name  string
		added []added
		at    time.Duration // since begin
		due   bool
		full  bool
	}{
		{name: "empty, however old", at: time.Hour},
		{name: "one row", added: []added{{10, 0}}},
		{name: "one row, not yet old", added: []added{{10, 0}}, at: 999 * time.Millisecond},
		{name: "one row, old", added: []added{{10, 0}}, at: time.Second, due: true},
		{name: "the first row's age counts", added: []added{{10, 0}, {10, 999 * time.Millisecond}}, at: time.Second, due: true},
		{name: "the age begins with the first row", added: []added{{10, time.Minute}}, at: time.Minute + 500*time.Millisecond},
		{name: "the clock was set back", added: []added{{10, time.Hour}}, at: 0, due: true},
		{name: "rows below the bound", added: []added{{10, 0}, {10, 0}}},
		{name: "rows at the bound", added: []added{{10, 0}, {10, 0}, {10, 0}}, due: true, full: true},
		{name: "bytes below the bound", added: []added{{50, 0}, {49, 0}}},
		{name: "bytes at the bound", added: []added{{50, 0}, {50, 0}}, due: true, full: true},
		{name: "one row beyond the bound", added: []added{{1000, 0}}, due: true, full: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			b := batcher{cfg: cfg}
			// What was in the batch before counts no more.
			b.add(kafka.Record{Value: make([]byte, 99)}, begin.Add(-time.Hour))
			b.reset()
			for _, a := range test.added {
				b.add(kafka.Record{Value: make([]byte, a.bytes)}, begin.Add(a.after))
			}
			if got := b.due(begin.Add(test.at)); got != test.due {
				t.Errorf("due is %v, want %v", got, test.due)
			}
			if got := b.full(); got != test.full {
				t.Errorf("full is %v, want %v", got, test.full)
			}
		})
	}
}

func TestBatchConfigValidate(t *testing.T) {
	if err := DefaultBatchConfig().Validate(); err != nil {
		t.Error(err)
	}
	err := BatchConfig{MaxBytes: -1, BufferBytes: -2}.Validate()
	want := `max_rows: must be at least 1, is 0
max_bytes: must be at least 1, is -1
max_age: must be above 0, is 0s
buffer_bytes: must be at least max_bytes (-1), is -2`
	if got := fmt.Sprint(err); got != want {
		t.Errorf("Validate says\n%s\nwant\n%s", got, want)
	}
}
