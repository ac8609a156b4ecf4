package schema

import (
	"bytes"
	"encoding/base64"
	"errors"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// timeLayout is RFC 3339 in UTC with exactly the milliseconds that DateTime64(3) keeps.
const timeLayout = "2006-01-02T15:04:05.000Z"

// Base64Suffix ends the key of a [Bytes] column whose bytes a JSON string cannot hold.
const Base64Suffix = "_base64"

// AppendRow appends the row as one flat JSON object whose keys are the
// table's columns, so that any Kafka consumer can read it: times as RFC 3339
// in UTC, dates as YYYY-MM-DD, NULL as null. A [Bytes] column stands under its
// own name when it is readable UTF-8 text, else as standard base64 under its
// name followed by "_base64". A sparse column that is empty is left out.
func (t *Table) AppendRow(dst []byte, row Row) []byte {
	for i := range t.Columns {
		c, v := &t.Columns[i], &row[i]
		if c.Sparse && c.isEmpty(v) {
			continue
		}
		if i == 0 {
			dst = append(dst, '{', '"')
		} else {
			dst = append(dst, ',', '"')
		}
		dst = append(dst, c.Name...)
		if c.Type == Bytes && !isReadable(v.Text) {
			dst = append(dst, Base64Suffix+`":"`...)
			dst = base64.StdEncoding.AppendEncode(dst, []byte(v.Text))
			dst = append(dst, '"')
			continue
		}
		dst = append(dst, '"', ':')
		switch {
		case c.Array:
			dst = append(dst, '[')
			for j := range v.List {
				if j > 0 {
					dst = append(dst, ',')
				}
				dst = appendValue(dst, c.Type, &v.List[j])
			}
			dst = append(dst, ']')
		case c.Nullable && !v.Set:
			dst = append(dst, "null"...)
		default:
			dst = appendValue(dst, c.Type, v)
		}
	}
	return append(dst, '}')
}

func appendValue(dst []byte, t Type, v *Value) []byte {
	switch t {
	case Bool:
		return strconv.AppendBool(dst, v.Int != 0)
	case Int64:
		return strconv.AppendInt(dst, v.Int, 10)
	case Time:
		dst = append(dst, '"')
		dst = time.UnixMilli(v.Int).UTC().AppendFormat(dst, timeLayout)
		return append(dst, '"')
	case Date:
		dst = append(dst, '"')
		dst = time.Unix(v.Int*86400, 0).UTC().AppendFormat(dst, time.DateOnly)
		return append(dst, '"')
	default:
		// The text is valid UTF-8 here, so that quoting cannot fail.
		dst, _ = jsontext.AppendQuote(dst, v.Text)
		return dst
	}
}

// isReadable reports whether text is UTF-8 without control characters other
// than white space: what a JSON string holds without growing manifold.
func isReadable(text string) bool {
	for i := range len(text) {
		if c := text[i]; c < ' ' && c != '\n' && c != '\r' && c != '\t' {
			return false
		}
	}
	return utf8.ValidString(text)
}

// A DecodeError says which column of a record's value could not be read. Its
// message never repeats the value.
type DecodeError struct {
	Column string
	Reason string
}

// Error implements error.
func (e *DecodeError) Error() string {
	if e.Column == "" {
		return e.Reason
	}
	return "column " + e.Column + ": " + e.Reason
}

// A Decoder reads the rows of one table from the JSON of [Table.AppendRow].
// It is not safe for concurrent use.
type Decoder struct {
	table  *Table
	quoted [][]byte // each column's name as a JSON string
	base64 [][]byte // the same with Base64Suffix; nil where the column is not Bytes
	input  bytes.Buffer
	json   *jsontext.Decoder
	text   []byte
}

// NewDecoder returns a decoder of the table's rows.
func NewDecoder(t *Table) *Decoder {
	d := &Decoder{table: t, json: jsontext.NewDecoder(bytes.NewReader(nil))}
	for _, c := range t.Columns {
		d.quoted = append(d.quoted, []byte(strconv.Quote(c.Name)))
		var alternative []byte
		if c.Type == Bytes {
			alternative = []byte(strconv.Quote(c.Name + Base64Suffix))
		}
		d.base64 = append(d.base64, alternative)
	}
	return d
}

// Decode reads one record's value into row, which must have one value for
// each column. Columns may stand in any order; one that is missing is empty,
// of one that comes twice the last counts, and a key that is no column is
// passed over, so that two versions of a contract can share a topic. event_id
// must be there. Every error is a *[DecodeError]: reading the same bytes again
// fails again.
func (d *Decoder) Decode(value []byte, row Row) error {
	row.Reset()
	d.input.Reset()
	d.input.Write(value)
	d.json.Reset(&d.input, jsontext.AllowDuplicateNames(true))
	if start, err := d.json.ReadToken(); err != nil || start.Kind() != '{' {
		return &DecodeError{Reason: "the value is not a JSON object"}
	}
	hint, hasEvent := 0, false
	for d.json.PeekKind() == '"' {
		name, err := d.json.ReadValue()
		if err != nil {
			return &DecodeError{Reason: "the value is not valid JSON"}
		}
		i, isBase64 := d.column(d.plain(name), hint)
		raw, err := d.json.ReadValue()
		if err != nil {
			return &DecodeError{Reason: "the value is not valid JSON"}
		}
		if i < 0 {
			continue
		}
		hint = i + 1
		c := &d.table.Columns[i]
		if c.Type == UUID {
			hasEvent = true
		}
		row[i] = Value{List: row[i].List[:0]}
		if err := d.value(c, raw, isBase64, &row[i]); err != nil {
			return &DecodeError{Column: c.Name, Reason: err.Error()}
		}
	}
	if end, err := d.json.ReadToken(); err != nil || end.Kind() != '}' {
		return &DecodeError{Reason: "the value is not valid JSON"}
	}
	if d.json.PeekKind() != 0 {
		return &DecodeError{Reason: "something follows the JSON object"}
	}
	if !hasEvent {
		return &DecodeError{Column: "event_id", Reason: "is missing"}
	}
	return nil
}

// plain returns a quoted name without escapes, which a column's name needs none of.
func (d *Decoder) plain(name jsontext.Value) []byte {
	if bytes.IndexByte(name, '\\') < 0 {
		return name
	}
	// The decoder has validated the name, so that neither of these can fail.
	d.text, _ = jsontext.AppendUnquote(d.text[:0], name)
	plain, _ := jsontext.AppendQuote(nil, d.text)
	return plain
}

// column finds a quoted name, first where it stands when the keys come in the
// table's order.
func (d *Decoder) column(name []byte, hint int) (i int, isBase64 bool) {
	n := len(d.quoted)
	for k := range n {
		i := (hint + k) % n
		if bytes.Equal(name, d.quoted[i]) {
			return i, false
		}
		if d.base64[i] != nil && bytes.Equal(name, d.base64[i]) {
			return i, true
		}
	}
	return -1, false
}

func (d *Decoder) value(c *Column, raw jsontext.Value, isBase64 bool, v *Value) error {
	switch {
	case isBase64:
		text, err := d.string(raw)
		if err != nil {
			return err
		}
		data, err := base64.StdEncoding.DecodeString(text)
		if err != nil {
			return errors.New("is not base64")
		}
		v.Text, v.Set = string(data), true
		return nil
	case c.Array:
		return d.list(c, raw, v)
	case raw.Kind() == 'n':
		if !c.Nullable {
			return errors.New("is null")
		}
		return nil
	default:
		v.Set = true
		return d.scalar(c.Type, raw, v)
	}
}

func (d *Decoder) list(c *Column, raw jsontext.Value, v *Value) error {
	if raw.Kind() != '[' {
		return errors.New("is not a list")
	}
	if len(raw) == 2 {
		return nil
	}
	elements := jsontext.NewDecoder(bytes.NewReader(raw))
	if _, err := elements.ReadToken(); err != nil {
		return errors.New("is not a list")
	}
	for elements.PeekKind() != ']' {
		element, err := elements.ReadValue()
		if err != nil {
			return errors.New("is not a list")
		}
		value := Value{Set: true}
		if err := d.scalar(c.Type, element, &value); err != nil {
			return err
		}
		v.List = append(v.List, value)
	}
	return nil
}

func (d *Decoder) scalar(t Type, raw jsontext.Value, v *Value) error {
	if t == Bool {
		switch raw.Kind() {
		case 't':
			v.Int = 1
		case 'f':
			v.Int = 0
		default:
			return errors.New("is not true or false")
		}
		return nil
	}
	if t == Int64 {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		if err != nil {
			return errors.New("is not a 64-bit integer")
		}
		v.Int = n
		return nil
	}
	text, err := d.string(raw)
	if err != nil {
		return err
	}
	switch t {
	case UUID:
		if len(text) != 36 || uuid.Validate(text) != nil {
			return errors.New("is not a UUID")
		}
		v.Text = text
	case Time:
		at, err := time.Parse(time.RFC3339, text)
		if err != nil {
			return errors.New("is not a time as RFC 3339")
		}
		v.Int = at.UnixMilli()
		if v.Int < MinTime || v.Int > MaxTime {
			return errors.New("is outside 1900 to 2299")
		}
	case Date:
		at, err := time.Parse(time.DateOnly, text)
		if err != nil {
			return errors.New("is not a date as YYYY-MM-DD")
		}
		v.Int = at.Unix() / 86400
		if v.Int < MinDate || v.Int > MaxDate {
			return errors.New("is outside 1900 to 2299")
		}
	default:
		v.Text = text
	}
	return nil
}

func (d *Decoder) string(raw jsontext.Value) (string, error) {
	if raw.Kind() != '"' {
		return "", errors.New("is not a string")
	}
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1]), nil
	}
	text, err := jsontext.AppendUnquote(d.text[:0], raw)
	if err != nil {
		return "", errors.New("is not a JSON string")
	}
	d.text = text
	return string(text), nil
}
