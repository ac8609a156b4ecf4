package deliver

import (
	"encoding/json"

	"loyaltyhouse/connector/kafka"
)

// intentVersion is the version of an intent's form.
const intentVersion = 1

// An intent says which range is about to be written. It is committed as the
// metadata of the offset that has not moved yet, so that whoever takes the
// partition over can form the very same batch, which then has the same token
// (invariant 4). The commit fails for a member whose generation has passed,
// which keeps a process that wakes up late from writing.
type intent struct {
	Version int   `json:"v"`
	First   int64 `json:"first"`
	Last    int64 `json:"last"`
	Records int   `json:"records"`
}

func intentOf(records []kafka.Record) intent {
	return intent{Version: intentVersion, First: records[0].Offset, Last: records[len(records)-1].Offset, Records: len(records)}
}

// String returns the metadata.
func (i intent) String() string {
	text, err := json.Marshal(i)
	if err != nil {
		panic(err) // Four numbers can be written.
	}
	return string(text)
}

// parseIntent returns the intent in the metadata of an offset. There is none
// where the batch before was finished, or where somebody has set the offset
// by hand.
func parseIntent(metadata string) (intent, bool) {
	var i intent
	if json.Unmarshal([]byte(metadata), &i) != nil {
		return intent{}, false
	}
	return i, i.Version == intentVersion && i.Records > 0 && i.First <= i.Last
}
