package normalize

import (
	"bytes"

	"github.com/go-json-experiment/json/jsontext"

	"loyaltyhouse/schema"
)

// A plan is a contract made ready for the hot path: for each object of the
// body a list of its members, in the contract's order. There are no maps and
// no reflection.
type plan struct {
	contract *schema.Contract
	table    *schema.Table
	key      int // the column of the customer's id
	body     object
	required []cell
	deltas   []delta
}

// An object says what to do with the members of one JSON object.
type object struct {
	members []member
}

// A member is one name of an object. Its value fills columns, or is an object
// or a list of objects with members of their own.
type member struct {
	quoted []byte // the name as a JSON string
	cells  []cell
	nested *object
	list   bool
	shopID bool
}

// A cell is one column and how it is read.
type cell struct {
	column int
	field  *schema.Field
}

// A delta is computed when all members are read.
type delta struct {
	column, amount, sign int
	field                *schema.Field // of the amount
}

func compile(c *schema.Contract) *plan {
	p := &plan{contract: c, table: c.FactTable()}
	p.key = p.table.Index(c.Key)
	column := schema.ReceivedAt + 1
	p.compileObject(&p.body, c.Fields, &column)
	for i := range c.Fields {
		if f := &c.Fields[i]; f.Type == schema.FieldDelta {
			d := delta{column: p.table.Index(f.Column), amount: p.table.Index(f.Value), sign: p.table.Index(f.Sign)}
			for _, r := range p.required {
				if r.column == d.amount {
					d.field = r.field
				}
			}
			p.deltas = append(p.deltas, d)
		}
	}
	if c.ShopID != "" {
		p.body.member(c.ShopID).shopID = true
	}
	return p
}

func (p *plan) compileObject(o *object, fields []schema.Field, column *int) {
	for i := range fields {
		f := &fields[i]
		switch f.Type {
		case schema.FieldObject, schema.FieldObjects:
			m := o.member(f.Field)
			m.nested, m.list = &object{}, f.Type == schema.FieldObjects
			p.compileObject(m.nested, f.Fields, column)
		case schema.FieldDelta:
			*column++
		default:
			c := cell{column: *column, field: f}
			m := o.member(f.Field)
			m.cells = append(m.cells, c)
			if f.Required {
				p.required = append(p.required, c)
			}
			*column++
		}
	}
}

// member returns the named member, adding it when it is new. The pointer is
// good until the next call.
func (o *object) member(name string) *member {
	quoted := quote(name)
	for i := range o.members {
		if bytes.Equal(o.members[i].quoted, quoted) {
			return &o.members[i]
		}
	}
	o.members = append(o.members, member{quoted: quoted})
	return &o.members[len(o.members)-1]
}

// quote returns a name as the JSON string that has no escape but the needed
// ones. A contract is UTF-8, so that this cannot fail.
func quote[T ~string | ~[]byte](name T) []byte {
	quoted, _ := jsontext.AppendQuote(nil, name)
	return quoted
}

// find looks for a quoted name, first at hint: where it stands when the body's
// members come in the contract's order.
func (o *object) find(quoted []byte, hint int) int {
	for k := range o.members {
		i := hint + k
		if i >= len(o.members) {
			i -= len(o.members)
		}
		if bytes.Equal(quoted, o.members[i].quoted) {
			return i
		}
	}
	return -1
}
