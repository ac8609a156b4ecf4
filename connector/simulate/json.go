package simulate

import (
	"bytes"
	"slices"
	"strconv"
	"time"
)

// numberStyle is how a body writes its integers. All are met in the wild.
type numberStyle uint8

const (
	plainNumbers    numberStyle = iota // 1000
	quotedNumbers                      // "1000"
	decimalNumbers                     // 1000.0
	exponentNumbers                    // 1e3, where the number ends in three zeros
)

// jsonBody appends one JSON object to a buffer that is used again for the next
// body.
type jsonBody struct {
	buf   []byte
	style numberStyle
}

// begin starts a new body.
func (b *jsonBody) begin(style numberStyle) {
	b.buf = append(b.buf[:0], '{')
	b.style = style
}

// end closes the body and returns a copy of it.
func (b *jsonBody) end() []byte {
	b.buf = append(b.buf, '}')
	return bytes.Clone(b.buf)
}

func (b *jsonBody) openObject(name string) { b.key(name); b.buf = append(b.buf, '{') }
func (b *jsonBody) closeObject()           { b.buf = append(b.buf, '}') }
func (b *jsonBody) openArray(name string)  { b.key(name); b.buf = append(b.buf, '[') }
func (b *jsonBody) closeArray()            { b.buf = append(b.buf, ']') }

// openElement opens an object that is an element of an array.
func (b *jsonBody) openElement() { b.comma(); b.buf = append(b.buf, '{') }

func (b *jsonBody) text(name, value string) {
	b.key(name)
	b.buf = appendQuoted(b.buf, value)
}

func (b *jsonBody) boolean(name string, value bool) {
	b.key(name)
	b.buf = strconv.AppendBool(b.buf, value)
}

// raw writes a value that is JSON already.
func (b *jsonBody) raw(name, value string) {
	b.key(name)
	b.buf = append(b.buf, value...)
}

func (b *jsonBody) integer(name string, value int64) {
	b.key(name)
	switch {
	case b.style == quotedNumbers:
		b.buf = append(b.buf, '"')
		b.buf = strconv.AppendInt(b.buf, value, 10)
		b.buf = append(b.buf, '"')
	case b.style == decimalNumbers:
		b.buf = strconv.AppendInt(b.buf, value, 10)
		b.buf = append(b.buf, ".0"...)
	case b.style == exponentNumbers && value != 0 && value%1000 == 0:
		b.buf = strconv.AppendInt(b.buf, value/1000, 10)
		b.buf = append(b.buf, "e3"...)
	default:
		b.buf = strconv.AppendInt(b.buf, value, 10)
	}
}

// shoplineZone is the offset that SHOPLINE's own times have.
var shoplineZone = time.FixedZone("", 8*60*60)

// instant writes a time of whole seconds since 1970 in ISO 8601.
func (b *jsonBody) instant(name string, seconds int64) {
	b.key(name)
	b.buf = append(b.buf, '"')
	b.buf = time.Unix(seconds, 0).In(shoplineZone).AppendFormat(b.buf, time.RFC3339)
	b.buf = append(b.buf, '"')
}

func (b *jsonBody) key(name string) {
	b.comma()
	b.buf = append(b.buf, '"')
	b.buf = append(b.buf, name...)
	b.buf = append(b.buf, '"', ':')
}

// comma separates a member or an element from the one before it, if there is one.
func (b *jsonBody) comma() {
	if last := b.buf[len(b.buf)-1]; last != '{' && last != '[' {
		b.buf = append(b.buf, ',')
	}
}

// appendQuoted appends a string of the catalogue, which holds valid UTF-8 and no
// control character but the line feed.
func appendQuoted(buf []byte, value string) []byte {
	buf = append(buf, '"')
	for i := range len(value) {
		switch c := value[i]; c {
		case '"', '\\':
			buf = append(buf, '\\', c)
		case '\n':
			buf = append(buf, '\\', 'n')
		default:
			buf = append(buf, c)
		}
	}
	return append(buf, '"')
}

// rearranged returns the same JSON object in other bytes: its members in reverse
// order, with white space between them.
func rearranged(body []byte) []byte {
	members := splitMembers(body)
	out := make([]byte, 0, len(body)+4*len(members)+4)
	out = append(out, "{\n"...)
	for i, member := range slices.Backward(members) {
		out = append(out, "  "...)
		out = append(out, member...)
		if i > 0 {
			out = append(out, ',')
		}
		out = append(out, '\n')
	}
	return append(out, '}')
}

// splitMembers returns the members of an object that this package wrote, so it
// has no white space outside of strings and at least one member.
func splitMembers(body []byte) [][]byte {
	var members [][]byte
	depth, start, quoted := 0, 1, false
	for i := 0; i < len(body); i++ {
		switch c := body[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			depth++
		case c == '}' || c == ']':
			depth--
		case c == ',' && depth == 1:
			members = append(members, body[start:i])
			start = i + 1
		}
	}
	return append(members, body[start:len(body)-1])
}
