package normalize

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"loyaltyhouse/schema"
)

// An epoch in milliseconds must lie between these two, so that a value in
// seconds is never stored as 1970.
var (
	minEpoch = time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
	maxEpoch = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC).UnixMilli()
)

// A problem is a reject that does not know its field's name yet.
type problem struct {
	reason Reason
	what   string
}

func (p *problem) of(field string) *Reject {
	return rejectf(p.reason, "field %s %s", field, p.what)
}

// cell reads one plain value. It leaves the value unset where the member is
// empty, that is null or "".
func (d *decoder) cell(f *schema.Field, raw jsontext.Value, v *schema.Value) *problem {
	if raw.Kind() == 'n' || string(raw) == `""` {
		return nil
	}
	switch f.Type {
	case schema.FieldString:
		return d.string(raw, v)
	case schema.FieldBool:
		return d.bool(raw, v)
	case schema.FieldInt64, schema.FieldCents:
		return d.integer(raw, 0, v)
	case schema.FieldMoney:
		return d.integer(raw, 2, v)
	case schema.FieldEpochMS:
		return d.epoch(f, raw, v)
	case schema.FieldISO8601:
		return d.iso8601(raw, v)
	case schema.FieldYYYYMMDD:
		return d.date(raw, v)
	case schema.FieldEnum:
		return d.enum(f, raw, v)
	case schema.FieldList:
		return d.list(raw, v)
	default:
		panic("normalize: a contract that was not validated has a field of type " + string(f.Type))
	}
}

// string reads text. A number keeps its digits: ids reach 26 of them.
func (d *decoder) string(raw jsontext.Value, v *schema.Value) *problem {
	switch raw.Kind() {
	case '"':
		v.Text = d.unquote(raw)
	case '0':
		v.Text = string(raw)
	case 'n':
		return nil
	default:
		return &problem{InvalidType, "is not text"}
	}
	v.Set = v.Text != ""
	return nil
}

func (d *decoder) unquote(raw jsontext.Value) string {
	if bytes.IndexByte(raw, '\\') < 0 {
		return string(raw[1 : len(raw)-1])
	}
	// The decoder has validated the string, so that this cannot fail.
	d.text, _ = jsontext.AppendUnquote(d.text[:0], raw)
	return string(d.text)
}

func (d *decoder) bool(raw jsontext.Value, v *schema.Value) *problem {
	switch strings.ToLower(string(bytes.Trim(raw, `"`))) {
	case "true", "1":
		*v = schema.IntValue(1)
	case "false", "0":
		*v = schema.IntValue(0)
	default:
		return &problem{InvalidType, "is neither true nor false"}
	}
	return nil
}

// number returns the text of a number, which may stand in quotes.
func (d *decoder) number(raw jsontext.Value) ([]byte, *problem) {
	switch raw.Kind() {
	case '0':
		return raw, nil
	case '"':
		return bytes.TrimSpace([]byte(d.unquote(raw))), nil
	default:
		return nil, &problem{InvalidType, "is not a number"}
	}
}

func (d *decoder) integer(raw jsontext.Value, scale int, v *schema.Value) *problem {
	text, p := d.number(raw)
	if p != nil {
		return p
	}
	n, err := parseDecimal(text, scale)
	if err != nil {
		return decimalProblem(err)
	}
	*v = schema.IntValue(n)
	return nil
}

func decimalProblem(err error) *problem {
	switch {
	case errors.Is(err, errFraction):
		return &problem{InvalidValue, "has a fraction that cannot be stored exactly"}
	case errors.Is(err, errTooBig), errors.Is(err, errTooSmall):
		return &problem{OutOfRange, "is beyond 64 bits"}
	default:
		return &problem{InvalidType, "is not a number"}
	}
}

func (d *decoder) epoch(f *schema.Field, raw jsontext.Value, v *schema.Value) *problem {
	text, p := d.number(raw)
	if p != nil {
		return p
	}
	ms, err := parseDecimal(text, 0)
	switch {
	case f.Expiry && (errors.Is(err, errTooBig) || err == nil && (ms == 0 || ms > schema.MaxTime)):
		return nil // It never expires.
	case err != nil:
		return decimalProblem(err)
	case ms < minEpoch, ms >= maxEpoch && !f.Expiry:
		return &problem{OutOfRange, "is no time between 2000 and 2100 in milliseconds since 1970"}
	}
	*v = schema.IntValue(ms)
	return nil
}

// iso8601 reads a date and time with an offset; what is below a millisecond is cut off.
func (d *decoder) iso8601(raw jsontext.Value, v *schema.Value) *problem {
	if raw.Kind() != '"' {
		return &problem{InvalidType, "is not text with a date and time"}
	}
	text := d.unquote(raw)
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		at, err = time.Parse("2006-01-02T15:04:05Z0700", text)
	}
	if err != nil {
		return &problem{InvalidValue, "is not a date and time with an offset, as in 2022-12-16T11:06:11+08:00"}
	}
	ms := at.UnixMilli()
	if ms < schema.MinTime || ms > schema.MaxTime {
		return &problem{OutOfRange, "is not between 1900 and 2299"}
	}
	*v = schema.IntValue(ms)
	return nil
}

// date reads eight digits, as text or number; all zeros are empty.
func (d *decoder) date(raw jsontext.Value, v *schema.Value) *problem {
	text, p := d.number(raw)
	if p != nil {
		return &problem{InvalidType, "is not a date in eight digits"}
	}
	if len(bytes.Trim(text, "0")) == 0 {
		return nil
	}
	at, err := time.Parse("20060102", string(text))
	if err != nil {
		return &problem{InvalidValue, "is not a date in eight digits, as in 19900625"}
	}
	days := at.Unix() / 86400
	if days < schema.MinDate || days > schema.MaxDate {
		return &problem{OutOfRange, "is not between 1900 and 2299"}
	}
	*v = schema.IntValue(days)
	return nil
}

func (d *decoder) enum(f *schema.Field, raw jsontext.Value, v *schema.Value) *problem {
	if p := d.string(raw, v); p != nil {
		return p
	}
	v.Text = f.Fold(strings.TrimSpace(v.Text))
	v.Set = v.Text != ""
	for i := range f.Values {
		known := &f.Values[i]
		if v.Text == known.Value {
			v.Text = known.Value // One string for all rows.
			return nil
		}
		if slices.Contains(known.Aliases, v.Text) {
			v.Text = known.Value
			return nil
		}
	}
	if f.Closed && v.Set {
		return &problem{InvalidValue, "is none of the values of its contract"}
	}
	return nil
}

// list reads texts with commas between them, or a JSON list of texts. Spaces
// around a text and empty texts are dropped.
func (d *decoder) list(raw jsontext.Value, v *schema.Value) *problem {
	tooMany := false
	add := func(text string) {
		text = strings.TrimSpace(text)
		switch {
		case text == "":
		case len(v.List) == maxElements:
			tooMany = true
		default:
			v.List = append(v.List, schema.Value{Text: text, Set: true})
		}
	}
	limit := func() *problem {
		if tooMany {
			return &problem{OutOfRange, "has more elements than a list may have"}
		}
		return nil
	}
	if raw.Kind() != '[' {
		var all schema.Value
		if p := d.string(raw, &all); p != nil {
			return p
		}
		for text := range strings.SplitSeq(all.Text, ",") {
			add(text)
		}
		return limit()
	}
	elements := jsontext.NewDecoder(bytes.NewReader(raw))
	if _, err := elements.ReadToken(); err != nil {
		return &problem{InvalidType, "is not a list"}
	}
	for elements.PeekKind() != ']' {
		element, err := elements.ReadValue()
		if err != nil {
			return &problem{InvalidType, "is not a list"}
		}
		var text schema.Value
		if p := d.string(element, &text); p != nil {
			return p
		}
		add(text.Text)
	}
	return limit()
}
