package main

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"loyaltyhouse/schema"
)

// contract makes the schema of a contract: the keys are those of the Go types, and
// what they mean and allow is said here, as schema.Contract's Validate has it.
func contract() (*node, error) {
	root, err := described(reflect.TypeFor[schema.Contract](), contractKeys)
	if err != nil {
		return nil, err
	}
	root.Schema = draft7
	root.Required = []string{"topic", "webhooks", "table", "key", "fields"}
	root.Properties.find("topic").Not = &node{Enum: []string{schema.RawWebhooks().Topic, schema.DeadLetters().Topic}}
	root.Properties.find("table").Not = &node{Enum: []string{schema.RawWebhooks().Name, schema.DeadLetters().Name}}

	value, err := described(reflect.TypeFor[schema.EnumValue](), valueKeys)
	if err != nil {
		return nil, err
	}
	value.Required = []string{"value"}
	field, err := described(reflect.TypeFor[schema.Field](), fieldKeys)
	if err != nil {
		return nil, err
	}
	field.Required = []string{"type"}
	field.Properties.find("type").Enum = names(schema.FieldTypes())
	for _, t := range schema.FieldTypes() {
		field.AllOf = append(field.AllOf, when("type", string(t), fieldOf(t)))
	}
	field.AllOf = append(field.AllOf, foldedValues("upper", "^[^a-z]*$"), foldedValues("lower", "^[^A-Z]*$"))

	// A delta stands beside the body's own fields.
	inObject := slices.DeleteFunc(schema.FieldTypes(), func(t schema.FieldType) bool { return t == schema.FieldDelta })
	inList := []schema.FieldType{schema.FieldString, schema.FieldEnum, schema.FieldBool}
	root.Definitions = properties{
		{"field", field},
		{"member", &node{AllOf: []*node{
			{Ref: "#/definitions/field"},
			{Properties: properties{{"type", &node{Enum: names(inObject)}}}},
		}}},
		{"item", &node{AllOf: []*node{
			{Ref: "#/definitions/field"},
			{Properties: properties{
				{"type", &node{Enum: names(inList)}}, {"required", &node{Const: false}}, {"nullable", &node{Const: false}},
			}},
		}}},
		{"value", value},
		{"text", text()},
		{"filled", filledText()},
	}
	return root, nil
}

func names(all []schema.FieldType) []string {
	texts := make([]string, len(all))
	for i, t := range all {
		texts[i] = string(t)
	}
	return texts
}

const (
	name        = "^[a-z][a-z0-9_]*$"
	nameMessage = "must be lower-case letters, digits and _"
)

func nameText() *node {
	n := as("text")
	n.Pattern, n.PatternErrorMessage = name, nameMessage
	return n
}

func filledText() *node {
	n := text()
	n.MinLength = 1
	return n
}

// key is what there is to say about one key of a contract.
type key struct {
	description string
	node        node // which is copied, for a type can be in several places
}

var (
	contractKeys = map[string]key{
		"topic":    {"The Kafka topic, without the configured prefix.", *nameText()},
		"webhooks": {"The values of X-Shopline-Topic that bring these bodies, in any case.", node{Type: types{"array"}, MinItems: 1, Items: &node{Ref: "#/definitions/filled"}}},
		"table":    {"The ClickHouse table, in the sink's database.", *nameText()},
		"doc":      {"One sentence, which becomes the table's comment in ClickHouse.", *as("text")},
		"shop_id":  {"The member of the body that holds the shop's id. Left out, the header X-Shopline-Shop-Id counts.", *as("text")},
		"key":      {"The column of the customer's id: that of a required string. It keeps one customer's events in order.", *as("filled")},
		"fields":   {"What is read from the body, in the order of the table's columns.", node{Type: types{"array"}, MinItems: 1, Items: &node{Ref: "#/definitions/field"}}},
	}

	valueKeys = map[string]key{
		"value":   {"The value, in the case in which it is stored.", *as("filled")},
		"aliases": {"Other spellings of it, in the same case. They are stored as the value.", node{Type: types{"array"}, Items: &node{Ref: "#/definitions/filled"}}},
		"doc":     {"What the value means.", *as("text")},
	}

	fieldKeys = map[string]key{
		"field":      {"The member of the body. A delta has none.", *as("text")},
		"column":     {"The column. Left out, it has the member's name. Inside an object the object's column and _ come before it, inside a list of objects the list's and a point.", *as("text")},
		"type":       {"How the member is read and stored; docs/configuration.md has what each type takes.", node{Type: types{"string"}}},
		"doc":        {"One sentence, which becomes the column's comment in ClickHouse.", *as("text")},
		"required":   {"true: a body without it, or with null or an empty text, becomes a dead letter.", node{Type: types{"boolean"}}},
		"nullable":   {"true: NULL is stored where the member is absent, null or an empty text.", node{Type: types{"boolean"}}},
		"expiry":     {"true: 0 and times beyond 2299 mean never, and are stored as NULL. For epoch_ms.", node{Type: types{"boolean"}}},
		"case":       {"How the values are stored: upper, lower, or as they come. For an enum.", node{Enum: []string{"", "upper", "lower"}}},
		"values":     {"The known values. Others are kept, unless closed. For an enum.", node{Type: types{"array"}, Items: &node{Ref: "#/definitions/value"}}},
		"closed":     {"true: a body with another value becomes a dead letter. For an enum.", node{Type: types{"boolean"}}},
		"value":      {"The column of the amount: that of a required int64 or cents. For a delta.", *as("text")},
		"sign":       {"The column that says INCREASE or DECREASE: that of a required, closed enum of the two. For a delta.", *as("text")},
		"on_invalid": {"What a member that cannot be read does: reject makes the body a dead letter, empty stores NULL.", node{Enum: []string{"", "reject", "empty"}}},
		"fields":     {"The members of an object, or of each object in a list.", node{Type: types{"array"}, Items: &node{Ref: "#/definitions/member"}}},
	}
)

// described makes the schema of a struct, all of whose keys are described.
func described(t reflect.Type, keys map[string]key) (*node, error) {
	n := &node{Type: types{"object"}, AdditionalProperties: false}
	var problems []error
	for field := range t.Fields() {
		tag := field.Tag.Get("yaml")
		k, ok := keys[tag]
		if !ok {
			problems = append(problems, fmt.Errorf("%s of a contract is not described", tag))
		}
		k.node.Description = k.description
		n.Properties = append(n.Properties, property{tag, &k.node})
	}
	if len(n.Properties) != len(keys) {
		problems = append(problems, fmt.Errorf("what is described of %s has other keys", t))
	}
	return n, errors.Join(problems...)
}

// keysOfTypes are the keys that only fields of some types can have.
var keysOfTypes = []struct {
	key   string
	empty node // what it is where it does not count
	types []schema.FieldType
}{
	{"required", node{Const: false}, []schema.FieldType{schema.FieldString, schema.FieldInt64, schema.FieldCents, schema.FieldMoney, schema.FieldEpochMS, schema.FieldISO8601, schema.FieldYYYYMMDD, schema.FieldEnum}},
	{"nullable", node{Const: false}, []schema.FieldType{schema.FieldBool, schema.FieldInt64, schema.FieldCents, schema.FieldMoney, schema.FieldEpochMS, schema.FieldISO8601, schema.FieldYYYYMMDD}},
	{"expiry", node{Const: false}, []schema.FieldType{schema.FieldEpochMS}},
	{"case", node{Const: ""}, []schema.FieldType{schema.FieldEnum}},
	{"values", node{MaxItems: new(0)}, []schema.FieldType{schema.FieldEnum}},
	{"closed", node{Const: false}, []schema.FieldType{schema.FieldEnum}},
	{"value", node{Const: ""}, []schema.FieldType{schema.FieldDelta}},
	{"sign", node{Const: ""}, []schema.FieldType{schema.FieldDelta}},
	{"fields", node{MaxItems: new(0)}, []schema.FieldType{schema.FieldObject, schema.FieldObjects}},
}

// fieldOf is what holds for fields of one type.
func fieldOf(t schema.FieldType) *node {
	n := &node{}
	mayBe := func(key string) bool {
		for _, k := range keysOfTypes {
			if k.key == key {
				return slices.Contains(k.types, t)
			}
		}
		return true
	}
	for _, k := range keysOfTypes {
		if !mayBe(k.key) {
			n.Properties = append(n.Properties, property{k.key, &k.empty})
		}
	}
	nullable := is("nullable", true)
	if mayBe("expiry") {
		nullable = &node{AnyOf: []*node{nullable, is("expiry", true)}}
	}
	if mayBe("required") && mayBe("nullable") {
		n.OneOf = []*node{is("required", true), nullable} // There is no empty value.
	}
	n.AllOf = append(n.AllOf, when("on_invalid", "empty", nullable))
	switch t {
	case schema.FieldDelta:
		n.Required = []string{"column", "value", "sign"}
		n.Properties = append(n.Properties, property{"field", &node{Const: ""}},
			property{"column", &node{Pattern: name, PatternErrorMessage: nameMessage}},
			property{"value", &node{MinLength: 1}}, property{"sign", &node{MinLength: 1}})
		return n
	case schema.FieldObject:
		n.Required = []string{"fields"}
		n.Properties = append(n.Properties, property{"fields", &node{MinItems: 1}})
	case schema.FieldObjects:
		n.Required = []string{"fields"}
		n.Properties = append(n.Properties, property{"fields", &node{MinItems: 1, Items: &node{Ref: "#/definitions/item"}}})
	case schema.FieldEnum:
		n.AllOf = append(n.AllOf, when("closed", true, &node{
			Required: []string{"values"}, Properties: properties{{"values", &node{MinItems: 1}}},
		}))
	default:
	}
	form := &node{Pattern: name, PatternErrorMessage: nameMessage}
	switch t {
	case schema.FieldCents, schema.FieldMoney:
		form = &node{Pattern: "^[a-z][a-z0-9_]*_cents$", PatternErrorMessage: "money is stored in cents, so that the column's name must end in _cents"}
	case schema.FieldEpochMS, schema.FieldISO8601:
		form = &node{Pattern: "^[a-z][a-z0-9_]*_at$", PatternErrorMessage: "the name of a time's column must end in _at"}
	default:
	}
	n.Required = append(n.Required, "field")
	n.Properties = append(n.Properties, property{"field", &node{MinLength: 1}})
	n.AllOf = append(n.AllOf, &node{
		If:   &node{Required: []string{"column"}, Properties: properties{{"column", &node{MinLength: 1}}}},
		Then: &node{Properties: properties{{"column", form}}},
		Else: &node{Properties: properties{{"field", form}}},
	})
	return n
}

// foldedValues has an enum's values be as they are stored.
func foldedValues(how, form string) *node {
	folded := &node{Pattern: form, PatternErrorMessage: "must be in " + how + " case, as it is stored"}
	value := &node{Properties: properties{{"value", folded}, {"aliases", &node{Items: folded}}}}
	return when("case", how, &node{Properties: properties{{"values", &node{Items: value}}}})
}

func is(key string, value any) *node {
	return &node{Required: []string{key}, Properties: properties{{key, &node{Const: value}}}}
}

func when(key string, value any, then *node) *node {
	return &node{If: is(key, value), Then: then}
}
