package schema

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// A Contract says how the bodies of one webhook become the rows of one fact
// table. It is data: one YAML file, read by [Parse].
type Contract struct {
	// Topic is the Kafka topic's name without the configured prefix.
	Topic string `yaml:"topic"`
	// Webhooks are the values of X-Shopline-Topic that bring this contract's
	// bodies, matched without regard to case.
	Webhooks []string `yaml:"webhooks"`
	// Table is the ClickHouse table.
	Table string `yaml:"table"`
	// Doc is one sentence for the data dictionary and ClickHouse's comment.
	Doc string `yaml:"doc"`
	// ShopID names the body's member that holds the shop's id; empty where the
	// body has none and the header X-Shopline-Shop-Id has to do.
	ShopID string `yaml:"shop_id"`
	// Key names the column of the customer's id. Together with the shop it is
	// the key in Kafka, which keeps one customer's events in order.
	Key string `yaml:"key"`
	// Fields are read from the body, in the order of the table's columns.
	Fields []Field `yaml:"fields"`
}

// A Field reads one member of a JSON object into one column, or a nested
// object into several. Two fields may read the same member.
type Field struct {
	// Field is the member's name; a delta has none.
	Field string `yaml:"field"`
	// Column is the column's name. Where it is empty the member's name serves.
	// Inside an object the object's column and "_" come before it, inside a
	// list of objects the list's column and ".".
	Column string    `yaml:"column"`
	Type   FieldType `yaml:"type"`
	Doc    string    `yaml:"doc"`
	// Required fields must be present and neither null nor empty text.
	Required bool `yaml:"required"`
	// Nullable columns store NULL where the member is absent, null or empty text.
	Nullable bool `yaml:"nullable"`
	// Expiry lets an epoch_ms be empty or 0 and lie beyond 2299, which all mean
	// "never" and are stored as NULL.
	Expiry bool `yaml:"expiry"`
	// Case is "upper" or "lower": how an enum is stored. Empty keeps it as it came.
	Case string `yaml:"case"`
	// Values are an enum's known values. Others are kept, unless Closed.
	Values []EnumValue `yaml:"values"`
	// Closed refuses an enum's other values.
	Closed bool `yaml:"closed"`
	// Value and Sign name the columns that a delta is made of: an amount, and an
	// enum which is INCREASE or DECREASE.
	Value string `yaml:"value"`
	Sign  string `yaml:"sign"`
	// OnInvalid is what a member that cannot be read does: "reject" (the
	// default) the body, or is read as "empty", which stores NULL.
	OnInvalid string `yaml:"on_invalid"`
	// Fields are the members of an object, or of each object in a list.
	Fields []Field `yaml:"fields"`
}

// An EnumValue is one known value of an enum, in the case in which it is stored.
type EnumValue struct {
	Value string `yaml:"value"`
	// Aliases are other spellings of it, in the same case.
	Aliases []string `yaml:"aliases"`
	Doc     string   `yaml:"doc"`
}

// A FieldType is how a member of the body is read.
type FieldType string

// The types of a field.
const (
	FieldString   FieldType = "string"   // text; a number keeps its digits as text
	FieldBool     FieldType = "bool"     // true, false, or the same as text
	FieldInt64    FieldType = "int64"    // an integer as number (also 1000.0, 1e3) or as text
	FieldCents    FieldType = "cents"    // an int64 in 1/100 of the currency's unit
	FieldMoney    FieldType = "money"    // an exact decimal in the currency's unit, stored as cents
	FieldEpochMS  FieldType = "epoch_ms" // milliseconds since 1970, between 2000 and 2100
	FieldISO8601  FieldType = "iso8601"  // date, time and offset
	FieldYYYYMMDD FieldType = "yyyymmdd" // a date in eight digits
	FieldEnum     FieldType = "enum"     // text with few distinct values
	FieldList     FieldType = "list"     // texts with commas between them, or a list of texts
	FieldObject   FieldType = "object"   // a nested object, flattened into columns
	FieldObjects  FieldType = "objects"  // a list of objects, stored as one array per member
	FieldDelta    FieldType = "delta"    // an amount with the sign of an enum
)

// fieldTypes says what each type is stored as, and is the list of what is allowed.
var fieldTypes = []struct {
	name   FieldType
	stored Type
}{
	{FieldString, String},
	{FieldBool, Bool},
	{FieldInt64, Int64},
	{FieldCents, Int64},
	{FieldMoney, Int64},
	{FieldEpochMS, Time},
	{FieldISO8601, Time},
	{FieldYYYYMMDD, Date},
	{FieldEnum, String},
	{FieldList, String},
	{FieldObject, 0},
	{FieldObjects, 0},
	{FieldDelta, Int64},
}

// FieldTypes returns every type.
func FieldTypes() []FieldType {
	all := make([]FieldType, len(fieldTypes))
	for i, known := range fieldTypes {
		all[i] = known.name
	}
	return all
}

func (t FieldType) stored() (Type, bool) {
	for _, known := range fieldTypes {
		if known.name == t {
			return known.stored, true
		}
	}
	return 0, false
}

// Increase and Decrease are the two values of the enum that signs a delta.
const (
	Increase = "INCREASE"
	Decrease = "DECREASE"
)

// FactTable returns the table that the contract's rows fill: the envelope's
// columns, the fields' columns in their order, normalized_at and retracted. Its
// key is the sorting key of the built-in contracts' tables.
func (c *Contract) FactTable() *Table {
	t := &Table{Topic: c.Topic, Name: c.Table, Doc: c.Doc, Columns: slices.Clone(envelope)}
	for i := range c.Fields {
		t.Columns = c.Fields[i].appendColumns(t.Columns, "", false)
	}
	t.Columns = append(t.Columns, closing...)
	for _, name := range []string{"event_id", "shop_id", c.Key, "updated_at"} {
		if t.Index(name) >= 0 {
			t.Key = append(t.Key, name)
		}
	}
	return t
}

// ColumnName returns the name of the field's column, or of the part that its
// members' columns begin with.
func (f *Field) ColumnName() string {
	if f.Column != "" {
		return f.Column
	}
	return f.Field
}

func (f *Field) appendColumns(columns []Column, prefix string, array bool) []Column {
	name := prefix + f.ColumnName()
	switch f.Type {
	case FieldObject, FieldObjects:
		separator := "_"
		if f.Type == FieldObjects {
			separator = "."
		}
		for i := range f.Fields {
			columns = f.Fields[i].appendColumns(columns, name+separator, array || f.Type == FieldObjects)
		}
		return columns
	default:
		stored, _ := f.Type.stored()
		return append(columns, Column{
			Name: name, Type: stored, Doc: f.Doc,
			Nullable:       f.Nullable || f.Expiry,
			Array:          array || f.Type == FieldList,
			LowCardinality: f.Type == FieldEnum,
		})
	}
}

var nameForm = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)

// Validate reports everything that is wrong with the contract. Each error
// begins with the path of what is wrong, as in `fields[3].type: …`.
func (c *Contract) Validate() error {
	var errs []error
	wrong := func(path, format string, args ...any) {
		errs = append(errs, fmt.Errorf(path+": "+format, args...))
	}
	if !nameForm.MatchString(c.Topic) {
		wrong("topic", "must be lower-case letters, digits and _, is %q", c.Topic)
	}
	if !nameForm.MatchString(c.Table) {
		wrong("table", "must be lower-case letters, digits and _, is %q", c.Table)
	}
	for _, system := range []*Table{RawWebhooks(), DeadLetters()} {
		if c.Topic == system.Topic {
			wrong("topic", "%q is kept for the connector itself; choose another name", c.Topic)
		}
		if c.Table == system.Name {
			wrong("table", "%q is kept for the connector itself; choose another name", c.Table)
		}
	}
	if len(c.Webhooks) == 0 || slices.Contains(c.Webhooks, "") {
		wrong("webhooks", "must name at least one value of X-Shopline-Topic, as in customers/update")
	}
	if len(c.Fields) == 0 {
		wrong("fields", "must list at least one field")
	}
	for i := range c.Fields {
		c.Fields[i].validate(fmt.Sprintf("fields[%d]", i), false, wrong)
		if f := &c.Fields[i]; f.isNested() && f.Field == c.ShopID {
			wrong("shop_id", "%q is read as an object, and an id is text", c.ShopID)
		}
	}
	validateMembers("fields", c.Fields, wrong)
	if len(errs) > 0 {
		return errors.Join(errs...)
	}

	t := c.FactTable()
	seen := map[string]bool{}
	for _, column := range t.Columns {
		if seen[column.Name] {
			wrong("fields", "two of them fill the column %q", column.Name)
		}
		seen[column.Name] = true
	}
	if i := slices.IndexFunc(c.Fields, func(f Field) bool { return f.ColumnName() == c.Key }); i < 0 {
		wrong("key", "must be the column of a field, is %q", c.Key)
	} else if f := &c.Fields[i]; f.Type != FieldString || !f.Required {
		wrong("key", "the field of column %q must have type string and be required", c.Key)
	}
	for i := range c.Fields {
		if c.Fields[i].Type == FieldDelta {
			c.validateDelta(fmt.Sprintf("fields[%d]", i), &c.Fields[i], wrong)
		}
	}
	return errors.Join(errs...)
}

type wrongFunc func(path, format string, args ...any)

// validateMembers refuses a second field for a member that is an object. A
// plain member may be read into any number of columns.
func validateMembers(path string, fields []Field, wrong wrongFunc) {
	for i := range fields {
		same := func(f Field) bool { return f.Field == fields[i].Field }
		if first := slices.IndexFunc(fields[:i], same); first >= 0 && (fields[i].isNested() || fields[first].isNested()) {
			wrong(fmt.Sprintf("%s[%d].field", path, i), "%q is read by %s[%d] already; an object can be read only once", fields[i].Field, path, first)
		}
	}
}

func (f *Field) isNested() bool { return f.Type == FieldObject || f.Type == FieldObjects }

func (f *Field) validate(path string, inList bool, wrong wrongFunc) {
	if _, known := f.Type.stored(); !known {
		var allowed []string
		for _, t := range FieldTypes() {
			allowed = append(allowed, string(t))
		}
		wrong(path+".type", "%q is no type; allowed: %s", f.Type, strings.Join(allowed, ", "))
		return
	}
	if (f.Type == FieldDelta) != (f.Field == "") {
		wrong(path+".field", "must name a member of the body, except for a delta, which has none")
	}
	column := f.ColumnName()
	if !nameForm.MatchString(column) {
		wrong(path+".column", "must be lower-case letters, digits and _, is %q", column)
	}
	only := func(set bool, key string, types ...FieldType) {
		if set && !slices.Contains(types, f.Type) {
			wrong(path+"."+key, "does not go with type %s", f.Type)
		}
	}
	only(f.Required, "required", FieldString, FieldInt64, FieldCents, FieldMoney, FieldEpochMS, FieldISO8601, FieldYYYYMMDD, FieldEnum)
	only(f.Nullable, "nullable", FieldBool, FieldInt64, FieldCents, FieldMoney, FieldEpochMS, FieldISO8601, FieldYYYYMMDD)
	only(f.Expiry, "expiry", FieldEpochMS)
	only(f.Case != "", "case", FieldEnum)
	only(len(f.Values) > 0, "values", FieldEnum)
	only(f.Closed, "closed", FieldEnum)
	only(f.Value != "", "value", FieldDelta)
	only(f.Sign != "", "sign", FieldDelta)
	only(len(f.Fields) > 0, "fields", FieldObject, FieldObjects)

	nullable := f.Nullable || f.Expiry
	switch f.Type {
	case FieldCents, FieldMoney:
		if !strings.HasSuffix(column, "_cents") {
			wrong(path+".column", "money is stored in cents, so that the name must end in _cents, is %q", column)
		}
	case FieldEpochMS, FieldISO8601:
		if !strings.HasSuffix(column, "_at") {
			wrong(path+".column", "the name of a time must end in _at, is %q", column)
		}
	}
	if f.Required && nullable {
		wrong(path+".required", "a required field cannot be nullable or an expiry as well")
	}
	if inList && (f.Required || nullable || (f.Type != FieldString && f.Type != FieldEnum && f.Type != FieldBool)) {
		wrong(path, "a member of a list of objects must be a string, enum or bool, neither nullable nor required")
	}
	if stored, _ := f.Type.stored(); !inList && !f.Required && !nullable && (stored == Int64 || stored == Time || stored == Date) && f.Type != FieldDelta {
		wrong(path, "must be required or nullable, for there is no empty value of type %s", f.Type)
	}
	if f.Case != "" && f.Case != "upper" && f.Case != "lower" {
		wrong(path+".case", "must be upper or lower, is %q", f.Case)
	}
	if f.Closed && len(f.Values) == 0 {
		wrong(path+".closed", "needs the list of values")
	}
	f.validateValues(path, wrong)
	switch f.OnInvalid {
	case "", "reject":
	case "empty":
		if !nullable {
			wrong(path+".on_invalid", "empty needs nullable: true")
		}
	default:
		wrong(path+".on_invalid", "must be reject or empty, is %q", f.OnInvalid)
	}
	if f.isNested() && len(f.Fields) == 0 {
		wrong(path+".fields", "must list at least one field")
	}
	validateMembers(path+".fields", f.Fields, wrong)
	for i := range f.Fields {
		member := fmt.Sprintf("%s.fields[%d]", path, i)
		if f.Fields[i].Type == FieldDelta {
			wrong(member+".type", "a delta must stand beside the body's own fields")
			continue
		}
		f.Fields[i].validate(member, inList || f.Type == FieldObjects, wrong)
	}
}

func (f *Field) validateValues(path string, wrong wrongFunc) {
	seen := map[string]bool{}
	for i, v := range f.Values {
		for _, text := range append([]string{v.Value}, v.Aliases...) {
			at := fmt.Sprintf("%s.values[%d]", path, i)
			switch {
			case text == "":
				wrong(at, "a value or alias is empty")
			case f.Fold(text) != text:
				wrong(at, "%q must be in %s case, as it is stored", text, f.Case)
			case seen[text]:
				wrong(at, "%q is listed twice", text)
			}
			seen[text] = true
		}
	}
}

func (c *Contract) validateDelta(path string, f *Field, wrong wrongFunc) {
	find := func(column string) *Field {
		for i := range c.Fields {
			if c.Fields[i].ColumnName() == column && c.Fields[i].Type != FieldDelta {
				return &c.Fields[i]
			}
		}
		return nil
	}
	if amount := find(f.Value); amount == nil || (amount.Type != FieldInt64 && amount.Type != FieldCents) || !amount.Required {
		wrong(path+".value", "must be the column of a required field of type int64 or cents, is %q", f.Value)
	} else if amount.Type == FieldCents && !strings.HasSuffix(f.Column, "_cents") {
		wrong(path+".column", "money is stored in cents, so that the name must end in _cents, is %q", f.Column)
	}
	sign := find(f.Sign)
	if sign == nil || sign.Type != FieldEnum || !sign.Required || !sign.Closed || !signs(sign.Values) {
		wrong(path+".sign", "must be the column of a required, closed enum of %s and %s, is %q", Increase, Decrease, f.Sign)
	}
}

func signs(values []EnumValue) bool {
	has := func(value string) bool {
		return slices.ContainsFunc(values, func(v EnumValue) bool { return v.Value == value })
	}
	return len(values) == 2 && has(Increase) && has(Decrease)
}

// Fold returns text in the case in which the enum is stored.
func (f *Field) Fold(text string) string {
	switch f.Case {
	case "upper":
		return strings.ToUpper(text)
	case "lower":
		return strings.ToLower(text)
	default:
		return text
	}
}
