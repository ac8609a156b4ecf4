package deliver

import (
	"encoding/json"
	"fmt"
	"hash/fnv"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// bookmarkVersion is the version of a bookmark's form.
const bookmarkVersion = 1

// A bookmark is committed as the metadata of the group's offset in a partition.
// It tells whoever takes the partition over whether the log is still the one
// that the offset was committed for, and which range was about to be written.
type bookmark struct {
	Version int `json:"v"`
	// Before is the timestamp of the record before the offset, in milliseconds
	// since 1970, or 0 where none was delivered. A topic that was made anew has
	// another record there.
	Before int64 `json:"before,omitempty"`

	intent
}

// An intent is the range that is about to be written, at the offset that has
// not moved yet. Whoever takes the partition over forms the very same batch,
// which then has the same token (invariant 4). Its commit fails for a member
// whose generation has passed, which keeps a process that wakes up late from
// writing.
type intent struct {
	First   int64 `json:"first,omitempty"`
	Last    int64 `json:"last,omitempty"`
	Records int   `json:"records,omitempty"` // 0 stands for no intent
	// Table and Shape are what the rows are written to and as.
	Table string `json:"table,omitempty"`
	Shape string `json:"shape,omitempty"`
	// At is when, in milliseconds since 1970.
	At int64 `json:"at,omitempty"`
}

// String returns the metadata.
func (b bookmark) String() string {
	b.Version = bookmarkVersion
	text, err := json.Marshal(b)
	if err != nil {
		panic(err) // Numbers and plain texts can be written.
	}
	return string(text)
}

// parseBookmark returns the bookmark in the metadata of an offset, or an empty
// one where there is none, as when somebody has set the offset by hand.
func parseBookmark(metadata string) bookmark {
	var b bookmark
	if json.Unmarshal([]byte(metadata), &b) != nil || b.Version != bookmarkVersion {
		return bookmark{}
	}
	if b.Records < 1 || b.First > b.Last {
		b.intent = intent{}
	}
	return b
}

// sameRange reports whether the batch is the one that the intent announced.
func (i intent) sameRange(b *sinks.Batch) bool {
	return len(b.Records) == i.Records && b.First() == i.First && b.Last() == i.Last
}

// shapeOf returns a short fingerprint of the table's columns and their types.
func shapeOf(t *schema.Table) string {
	h := fnv.New32a()
	for _, c := range t.Columns {
		_, _ = fmt.Fprintf(h, "%s %s\n", c.Name, c.ClickHouseType()) // A hash takes everything.
	}
	return fmt.Sprintf("%08x", h.Sum32())
}
