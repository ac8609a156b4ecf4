package normalize

import (
	"bytes"
	"math"

	"github.com/go-json-experiment/json/jsontext"

	"loyaltyhouse/schema"
)

// A decoder reads one body at a time into a row.
type decoder struct {
	input  bytes.Reader
	json   *jsontext.Decoder
	text   []byte // scratch for strings with escapes
	row    schema.Row
	shopID string
	reject *Reject // the first
}

func newDecoder() *decoder {
	return &decoder{json: jsontext.NewDecoder(bytes.NewReader(nil))}
}

// run reads the whole body, also behind the first reject, so that the shop and
// the customer of a rejected body are known.
func (d *decoder) run(p *plan, body []byte, row schema.Row) *Reject {
	d.row, d.shopID, d.reject = row, "", nil
	d.input.Reset(body)
	// EventID has seen that the body is valid and repeats no name.
	d.json.Reset(&d.input, jsontext.AllowDuplicateNames(true))
	defer func() {
		d.row = nil
		d.input.Reset(nil)
	}()
	if d.json.PeekKind() != '{' {
		return rejectf(InvalidJSON, "the body is not a JSON object")
	}
	if err := d.object(&p.body, false); err != nil {
		return rejectf(InvalidJSON, "the body is not valid JSON")
	}
	for _, c := range p.required {
		if !row[c.column].Set {
			d.keep(rejectf(MissingField, "field %s is missing or empty", c.field.Field))
		}
	}
	if d.reject == nil {
		for i := range p.deltas {
			d.delta(&p.deltas[i])
		}
	}
	return d.reject
}

func (d *decoder) keep(r *Reject) {
	if d.reject == nil {
		d.reject = r
	}
}

// object reads the members of the object that comes next. An error means that
// the JSON itself is broken. In a list each object adds one value to each of
// its columns.
func (d *decoder) object(o *object, inList bool) error {
	if _, err := d.json.ReadToken(); err != nil {
		return err
	}
	if inList {
		for i := range o.members {
			for _, c := range o.members[i].cells {
				d.row[c.column].List = append(d.row[c.column].List, schema.Value{Set: true})
			}
		}
	}
	hint := 0
	for d.json.PeekKind() != '}' {
		name, err := d.json.ReadValue()
		if err != nil {
			return err
		}
		if bytes.IndexByte(name, '\\') >= 0 {
			// The canonical form has no escapes but the needed ones; the same event
			// must give the same row.
			name = quote(d.unquote(name))
		}
		i := o.find(name, hint)
		if i < 0 {
			if err := d.json.SkipValue(); err != nil {
				return err
			}
			continue
		}
		hint = i + 1
		m := &o.members[i]
		if m.nested != nil {
			err = d.nested(m)
		} else {
			err = d.value(m, inList)
		}
		if err != nil {
			return err
		}
	}
	_, err := d.json.ReadToken()
	return err
}

// maxElements bounds a list, so that a row stays of the size of its body.
const maxElements = 1000

// nested reads an object or a list of objects; null and "" are empty ones.
func (d *decoder) nested(m *member) error {
	kind := d.json.PeekKind()
	switch {
	case kind == '{' && !m.list:
		return d.object(m.nested, false)
	case kind == '[' && m.list:
		if _, err := d.json.ReadToken(); err != nil {
			return err
		}
		for n := 0; d.json.PeekKind() == '{' && n < maxElements; n++ {
			if err := d.object(m.nested, true); err != nil {
				return err
			}
		}
		if d.json.PeekKind() == '{' {
			d.keep(rejectf(OutOfRange, "field %s has more than %d elements", m.name(), maxElements))
		}
		for d.json.PeekKind() != ']' {
			d.keep(rejectf(InvalidType, "field %s has an element that is not an object", m.name()))
			if err := d.json.SkipValue(); err != nil {
				return err
			}
		}
		_, err := d.json.ReadToken()
		return err
	}
	raw, err := d.json.ReadValue()
	if err != nil {
		return err
	}
	if raw.Kind() != 'n' && string(raw) != `""` {
		d.keep(rejectf(InvalidType, "field %s is not the object or list of its contract", m.name()))
	}
	return nil
}

// name returns the member's name for a reject.
func (m *member) name() string { return string(m.quoted[1 : len(m.quoted)-1]) }

// value reads a plain value into the columns that it fills.
func (d *decoder) value(m *member, inList bool) error {
	raw, err := d.json.ReadValue()
	if err != nil {
		return err
	}
	if m.shopID {
		var shop schema.Value
		if r := d.string(raw, &shop); r != nil {
			d.keep(r.of(m.name()))
		}
		d.shopID = shop.Text
	}
	for _, c := range m.cells {
		v := &d.row[c.column]
		if inList {
			v = &v.List[len(v.List)-1]
		}
		r := d.cell(c.field, raw, v)
		switch {
		case r == nil:
		case c.field.OnInvalid == "empty":
			*v = schema.Value{}
		default:
			*v = schema.Value{}
			d.keep(r.of(m.name()))
		}
	}
	return nil
}

// delta gives an amount the sign of its enum. Sources send the absolute
// value; should one come with a sign of its own, the sign is dropped.
func (d *decoder) delta(x *delta) {
	amount := d.row[x.amount].Int
	decrease := d.row[x.sign].Text == schema.Decrease
	switch {
	case amount == math.MinInt64 && !decrease:
		d.keep(rejectf(OutOfRange, "field %s is beyond 64 bits as an increase", x.field.Field))
		return
	case (amount > 0) == decrease:
		amount = -amount
	}
	d.row[x.column] = schema.IntValue(amount)
}
