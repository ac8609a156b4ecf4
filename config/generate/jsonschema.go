package main

import (
	"bytes"
	"encoding/json"
)

// A node is one JSON Schema of draft 7, which every YAML language server reads.
// Keywords about one type say nothing about values of another, so that one node can
// hold those of several types.
type node struct {
	Schema      string   `json:"$schema,omitempty"`
	Comment     string   `json:"$comment,omitempty"`
	Ref         string   `json:"$ref,omitempty"` // In draft 7 nothing beside it counts.
	Description string   `json:"description,omitempty"`
	Type        types    `json:"type,omitempty"`
	Default     any      `json:"default,omitempty"`
	Examples    []any    `json:"examples,omitempty"`
	Enum        []string `json:"enum,omitempty"`
	Const       any      `json:"const,omitempty"`

	Pattern   string `json:"pattern,omitempty"`
	MinLength int    `json:"minLength,omitempty"`
	MaxLength *int   `json:"maxLength,omitempty"`
	Minimum   *int64 `json:"minimum,omitempty"`
	Maximum   *int64 `json:"maximum,omitempty"`

	Items    *node `json:"items,omitempty"`
	MinItems int   `json:"minItems,omitempty"`
	MaxItems *int  `json:"maxItems,omitempty"`

	Properties           properties `json:"properties,omitempty"`
	Required             []string   `json:"required,omitempty"`
	AdditionalProperties any        `json:"additionalProperties,omitempty"` // false or a *node
	PropertyNames        *node      `json:"propertyNames,omitempty"`

	AllOf []*node `json:"allOf,omitempty"`
	AnyOf []*node `json:"anyOf,omitempty"`
	OneOf []*node `json:"oneOf,omitempty"`
	Not   *node   `json:"not,omitempty"`
	If    *node   `json:"if,omitempty"`
	Then  *node   `json:"then,omitempty"`
	Else  *node   `json:"else,omitempty"`

	// These are what editors show where Pattern does not match, and where a key is
	// missing. They are keywords of theirs, which other readers pass over.
	PatternErrorMessage string `json:"patternErrorMessage,omitempty"`
	ErrorMessage        string `json:"errorMessage,omitempty"`

	Definitions properties `json:"definitions,omitempty"`
}

const draft7 = "http://json-schema.org/draft-07/schema#"

// as makes a schema of what a definition says. What is said beside it counts too.
// It also keeps the type out of the key's own schema: an editor that completes a
// section would write all keys with a type and a default into it.
func as(definition string) *node {
	return &node{AnyOf: []*node{{Ref: "#/definitions/" + definition}}}
}

// text takes any single value: 12 is a text, also without quotes. Were this said by
// a list of types, editors would propose true.
func text() *node {
	return &node{
		If: &node{Type: types{"object", "array", "null"}}, Then: &node{Type: types{"string"}},
	}
}

// types are the types of values that a schema takes.
type types []string

// MarshalJSON writes a single type as a text, as people do.
func (t types) MarshalJSON() ([]byte, error) {
	if len(t) == 1 {
		return json.Marshal(t[0])
	}
	return json.Marshal([]string(t))
}

// properties are schemas by key, in the order in which they are to be read.
type properties []property

type property struct {
	key string
	of  *node
}

func (p properties) find(key string) *node {
	for _, each := range p {
		if each.key == key {
			return each.of
		}
	}
	return nil
}

// MarshalJSON keeps the order.
func (p properties) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	for i, each := range p {
		b.WriteByte("{,"[min(i, 1)])
		for _, part := range []any{each.key, each.of} {
			text, err := encode(part)
			if err != nil {
				return nil, err
			}
			b.Write(bytes.TrimSpace(text))
			if part == any(each.key) {
				b.WriteByte(':')
			}
		}
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

// encode leaves < and > as they are, so that people can read the files.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}
