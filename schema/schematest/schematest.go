// Package schematest compares a JSON Schema with the Go code that reads the same
// files: for tests.
package schematest

import (
	"bytes"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"
)

// A Schema is what editors check a YAML file with.
type Schema struct {
	compiled *jsonschema.Schema
}

// Compile fails the test where data is no JSON Schema.
func Compile(t testing.TB, data []byte) *Schema {
	t.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("schema.json", document); err != nil {
		t.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		t.Fatal(err)
	}
	return &Schema{compiled}
}

// Check returns what is wrong with a YAML file.
func (s *Schema) Check(text []byte) error {
	var document yaml.Node
	if err := yaml.Load(text, &document); err != nil {
		return err
	}
	v, err := value(document.Content[0])
	if err != nil {
		return err
	}
	return s.compiled.Validate(v)
}

// NoStricter reports a text that load takes and the schema refuses.
func (s *Schema) NoStricter(t rapid.TB, text []byte, load func([]byte) error) {
	t.Helper()
	if wrong := s.Check(text); wrong != nil && load(text) == nil {
		t.Errorf("the schema refuses what is right: %v\n%s", wrong, text)
	}
}

// value turns YAML into what JSON knows. A time is a text there.
func value(n *yaml.Node) (any, error) {
	switch n.Kind {
	case yaml.MappingNode:
		object := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			member, err := value(n.Content[i+1])
			if err != nil {
				return nil, err
			}
			object[n.Content[i].Value] = member
		}
		return object, nil
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			member, err := value(item)
			if err != nil {
				return nil, err
			}
			list = append(list, member)
		}
		return list, nil
	default:
		switch n.ShortTag() {
		case "!!null", "!!bool", "!!int", "!!float":
			var v any
			err := n.Decode(&v)
			return v, err
		default:
			return n.Value, nil
		}
	}
}

// Probes are values as somebody may write them, right and wrong ones for every
// type of key.
var Probes = []string{
	"~", "{}", "{x: y}", "{x: ~}", "[]", "[x]", "[~]", `[""]`, "[a, [b]]",
	"0", "1", "-1", "1.0", "1.5", "1e3", "65536", "99999999999", "true", "false", "yes", `"true"`, `"1"`,
	`""`, `" "`, "x", "Mixed Case", "a,b", `","`,
	"5s", "-5s", "+1m30s", ".5h", "5 s", "${VARIABLE}", `"${VARIABLE:-5s}"`, "${VARIABLE:-", "x$${y",
	"host:1", ":1", `"[::1]:1"`, "a:b:c", "/a/b", "a//b", "https://h/p",
}

// At returns the places of a document's keys and items.
func At(document *yaml.Node) []Place { return places(document.Content[0], "", nil) }

// A Place is a key or an item of a document.
type Place struct {
	Path  string
	value **yaml.Node
	drop  func()
}

// Try calls f with the text of a document that is changed by a probe, and undoes
// the change.
func (p Place) Try(t testing.TB, document *yaml.Node, probe string, f func(text []byte)) {
	t.Helper()
	before := *p.value
	defer func() { *p.value = before }()
	*p.value = parse(t, probe)
	text, err := yaml.Dump(document)
	if err != nil {
		t.Fatal(err)
	}
	f(text)
}

func parse(t rapid.TB, probe string) *yaml.Node {
	t.Helper()
	var document yaml.Node
	if err := yaml.Load([]byte("x: "+probe), &document); err != nil {
		t.Fatalf("%q: %v", probe, err)
	}
	return document.Content[0].Content[1]
}

func clone(n *yaml.Node) *yaml.Node {
	copied := *n
	copied.Content = nil
	for _, child := range n.Content {
		copied.Content = append(copied.Content, clone(child))
	}
	return &copied
}

func places(n *yaml.Node, path string, all []Place) []Place {
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			key := n.Content[i].Value
			if path != "" {
				key = path + "." + key
			}
			drop := func() { n.Content = append(n.Content[:i:i], n.Content[i+2:]...) }
			all = append(all, Place{key, &n.Content[i+1], drop})
			all = places(n.Content[i+1], key, all)
		}
	case yaml.SequenceNode:
		for i := range n.Content {
			drop := func() { n.Content = append(n.Content[:i:i], n.Content[i+1:]...) }
			all = append(all, Place{path + "[]", &n.Content[i], drop})
			all = places(n.Content[i], path+"[]", all)
		}
	default:
	}
	return all
}

// Vary drops keys of a document and changes values, to a probe or to what stands
// elsewhere, and returns its text.
func Vary(t *rapid.T, text []byte, probes []string) []byte {
	var document yaml.Node
	if err := yaml.Load(text, &document); err != nil {
		t.Fatal(err)
	}
	for range rapid.IntRange(0, 6).Draw(t, "changes") {
		all := At(&document)
		if len(all) == 0 {
			break
		}
		place := rapid.SampledFrom(all).Draw(t, "place")
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			*place.value = parse(t, rapid.SampledFrom(probes).Draw(t, "probe"))
		case 1:
			// What stands elsewhere, for it may be of the right form.
			*place.value = clone(*rapid.SampledFrom(all).Draw(t, "other").value)
		default:
			place.drop()
		}
	}
	changed, err := yaml.Dump(&document)
	if err != nil {
		t.Fatal(err)
	}
	return changed
}
