package normalize

import (
	"bytes"
	"crypto/sha256"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// EventID returns the identity of the event that a signed body tells of: the
// first 128 bits of the SHA-256 of the body's canonical form, and of nothing
// else, so that a resend, another subscription's copy and a later replay all
// have the same id (invariant 3).
//
// The canonical form is RFC 8785, except that a number without fraction and
// exponent keeps all its digits where RFC 8785 would round it to a double: two
// events whose integers differ, as ids do, are not taken for one. A body that is not JSON, or repeats a name
// within an object, has no canonical form; its bytes are hashed as they are
// and valid is false.
func EventID(body []byte) (id uuid.UUID, valid bool) {
	canonical := jsontext.Value(bytes.Clone(body))
	if err := canonical.Canonicalize(jsontext.CanonicalizeRawInts(false)); err == nil {
		body, valid = canonical, true
	}
	sum := sha256.Sum256(body)
	copy(id[:], sum[:])
	return id, valid
}
