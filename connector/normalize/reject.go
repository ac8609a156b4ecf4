package normalize

import "fmt"

// A Reason says why a body could not become a row. The set is bounded, so
// that it can label a metric.
type Reason string

// The reasons. Of several the one that is found first counts: members are read
// in the body's order, and what is missing is known at its end.
const (
	UnknownTopic  Reason = "unknown_topic"  // no contract names this X-Shopline-Topic
	InvalidJSON   Reason = "invalid_json"   // not JSON, not an object, or a name twice in one object
	MissingField  Reason = "missing_field"  // a required field is absent, null or empty
	InvalidType   Reason = "invalid_type"   // a field is of another type than its contract's
	InvalidValue  Reason = "invalid_value"  // a field is of the right type but cannot be read, or is no value of a closed enum
	OutOfRange    Reason = "out_of_range"   // a number or time beyond what may be stored
	StoreMismatch Reason = "store_mismatch" // store_id and X-Shopline-Shop-Id differ, and the configuration is strict
)

// Reasons lists every reason.
func Reasons() []Reason {
	return []Reason{UnknownTopic, InvalidJSON, MissingField, InvalidType, InvalidValue, OutOfRange, StoreMismatch}
}

// A Reject is the answer to a body that cannot become a row. Its text names
// the field and never repeats a value, for bodies hold personal data.
type Reject struct {
	Reason Reason
	Detail string
}

// Error implements error.
func (r *Reject) Error() string { return string(r.Reason) + ": " + r.Detail }

func rejectf(reason Reason, format string, args ...any) *Reject {
	return &Reject{Reason: reason, Detail: fmt.Sprintf(format, args...)}
}
