package main

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"loyaltyhouse/config"
	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
)

// configuration makes the schema of the configuration: the keys are those of the
// Go types, what is said of them is in the example, and what they allow in rules.
func configuration(exampleText []byte) (*node, error) {
	e, err := readExample(exampleText)
	if err != nil {
		return nil, fmt.Errorf("the example: %w", err)
	}
	contracts, err := schema.Builtin()
	if err != nil {
		return nil, err
	}
	w := walk{example: e, described: map[string]string{}, unused: map[string]bool{}}
	for path := range rules {
		w.unused[path] = true
	}
	root, err := w.object("", reflect.TypeFor[config.Config]())
	if err != nil {
		return nil, err
	}
	w.apply("", root)
	for path := range w.unused {
		w.problems = append(w.problems, fmt.Errorf("there is a rule for %s, which is no key", path))
	}
	if len(w.problems) > 0 {
		return nil, errors.Join(w.problems...)
	}
	root.Schema = draft7
	root.Type = types{"object"}
	root.Definitions = definitions(schema.Tables(contracts))
	w.kinds(root.Properties.find("sinks").Items)
	return root, nil
}

// definitions are the types of values, and what editors propose for topics and
// columns. Contracts of one's own have others.
func definitions(tables []*schema.Table) properties {
	topic, column := text(), text()
	for _, t := range tables {
		topic.Examples = append(topic.Examples, t.Topic)
		for _, c := range t.Columns {
			if !slices.Contains(column.Examples, any(c.Name)) {
				column.Examples = append(column.Examples, c.Name)
			}
		}
	}
	return properties{
		{"text", text()},
		{"list", &node{
			Comment: "A list of texts, or one text with commas.",
			If:      &node{Type: types{"object", "null"}}, Then: &node{Type: types{"array"}},
		}},
		{"boolean", &node{
			Type: types{"boolean", "string"}, Pattern: variable, PatternErrorMessage: "must be true or false, without quotes",
		}},
		{"integer", &node{
			Type: types{"integer", "string"}, Pattern: variable, PatternErrorMessage: "must be a whole number, without quotes",
		}},
		{"duration", &node{
			Type: types{"string"}, Pattern: orVariable(`\+?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+`),
			PatternErrorMessage: "must be a duration with a unit, as in 250ms, 5s, 1m or 1h",
		}},
		{"topic", topic},
		{"column", column},
	}
}

// A walk goes through the types of the configuration.
type walk struct {
	example   *example
	described map[string]string // by field of a type, for types that are in several places
	unused    map[string]bool   // rules
	problems  []error
}

// value makes the schema of the values that the type t takes at path.
func (w *walk) value(path string, t reflect.Type) (*node, error) {
	switch {
	case t == reflect.TypeFor[time.Duration]():
		return as("duration"), nil
	case t == reflect.TypeFor[slog.Level]():
		return as("text"), nil
	case t == reflect.TypeFor[strictyaml.List]():
		list := as("list")
		list.Items = text()
		return list, nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return w.value(path, t.Elem())
	case reflect.Struct:
		return w.object(path, t)
	case reflect.Slice:
		items, err := w.value(path, t.Elem())
		return &node{Type: types{"array"}, Items: items}, err
	case reflect.Map:
		return &node{Type: types{"object"}, AdditionalProperties: as("text")}, nil
	case reflect.Bool:
		return as("boolean"), nil
	case reflect.Int, reflect.Int64:
		return as("integer"), nil
	case reflect.String:
		return as("text"), nil
	default:
		return nil, fmt.Errorf("%s: no schema for a Go %s", path, t)
	}
}

// object makes the schema of a struct. An empty section has its defaults.
func (w *walk) object(path string, t reflect.Type) (*node, error) {
	n := &node{Type: types{"object", "null"}, AdditionalProperties: false}
	for field := range t.Fields() {
		tag := field.Tag.Get("yaml")
		switch tag {
		case "-":
			continue
		case ",inline":
			inner, err := w.object(path, field.Type)
			if err != nil {
				return nil, err
			}
			n.Properties = append(n.Properties, inner.Properties...)
			continue
		}
		key := strings.TrimPrefix(path+"."+tag, ".")
		of, err := w.value(key, field.Type)
		if err != nil {
			return nil, err
		}
		w.describe(of, key, t.String()+"."+field.Name)
		n.Properties = append(n.Properties, property{tag, of})
	}
	return n, nil
}

// describe adds what the example says of a key, and the key's rule.
func (w *walk) describe(n *node, path, field string) {
	s := w.example.keys[path]
	s.description = cmp.Or(s.description, w.described[field])
	if s.description == "" {
		w.problems = append(w.problems, fmt.Errorf("config/connector.example.yaml has no comment on %s", path))
	}
	w.described[field] = s.description
	n.Description = s.description
	w.apply(path, n)
	switch {
	case n.Properties != nil, n.Items != nil && n.Items.Properties != nil:
	case s.hasDefault:
		n.Default = s.value
		if shown := shown(s.value); shown != "" {
			n.Description += " Default: " + shown + "."
		}
	case !slices.Contains(n.Examples, s.value):
		n.Examples = append(n.Examples, s.value)
	}
}

// shown is a default as a sentence has it. One that is empty goes without saying.
func shown(value any) string {
	switch value := value.(type) {
	case []any:
		texts := make([]string, len(value))
		for i := range value {
			texts[i] = shown(value[i])
		}
		return strings.Join(texts, ", ")
	case map[string]any:
		return ""
	default:
		return fmt.Sprint(value)
	}
}

func (w *walk) apply(path string, n *node) {
	if rule := rules[path]; rule != nil {
		rule(n)
		delete(w.unused, path)
	}
}

// kinds has a sink be of exactly one kind, which are its pointers. Each has the
// defaults of a batch that the example shows with it.
func (w *walk) kinds(sink *node) {
	var kinds []string
	for field := range reflect.TypeFor[config.Sink]().Fields() {
		if field.Type.Kind() == reflect.Pointer {
			kinds = append(kinds, field.Tag.Get("yaml"))
		}
	}
	for _, kind := range kinds {
		one := &node{Required: []string{kind}, ErrorMessage: "a sink has exactly one kind of " + strings.Join(kinds, ", ")}
		batch := &node{}
		for _, p := range sink.Properties.find("batch").Properties {
			s, ok := w.example.keys[kindSection(kind)+"batch."+p.key]
			if ok && s.value != p.of.Default {
				batch.Properties = append(batch.Properties, property{p.key, &node{Default: s.value}})
				p.of.Description = fmt.Sprintf("%s; for %s %s.", strings.TrimSuffix(p.of.Description, "."), kind, shown(s.value))
			}
		}
		if batch.Properties != nil {
			one.Properties = properties{{"batch", batch}}
		}
		sink.OneOf = append(sink.OneOf, one)
	}
}
