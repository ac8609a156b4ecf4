// Package strictyaml reads a YAML file into Go values and accepts nothing that
// it does not understand: an unknown or repeated key, a wrong type, a second
// document, an alias or an undefined variable is an error that names the file
// and the line and says what is allowed. All problems of a file are reported
// at once, in the order of their lines.
//
// A file is read in three steps, of which Decode does the first two:
//
//	doc, err := strictyaml.Parse("connector.yaml", data, strictyaml.Expand(os.LookupEnv))
//	err = doc.Decode(&config)
//	err = doc.Locate(config.Validate())
//
// Struct fields are named by their yaml tags. Values that the destination
// already holds are defaults: what the file does not mention stays as it is.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// MaxSize is the largest file, in bytes, that Parse reads.
const MaxSize = 1 << 20

// An Option changes how a document is read.
type Option func(*Document)

// Expand replaces ${NAME} and ${NAME:-default} in scalar values by what lookup
// returns; the default also replaces an empty value, and $$ stands for one $.
// Keys are never expanded and a value can never add structure. A plain scalar
// takes its type from the expanded text, so that "port: ${PORT}" can fill an
// integer; a quoted one stays a string. Between [ ] or { } YAML itself requires
// the quotes. Without this option a $ has no meaning.
func Expand(lookup func(name string) (value string, ok bool)) Option {
	return func(d *Document) { d.lookup = lookup }
}

// Defaults makes every T that decoding has to create, as the element of a list
// or a map or behind a nil pointer, begin as initial() instead of as zero.
func Defaults[T any](initial func() T) Option {
	return DefaultsByKeys(func([]string) T { return initial() })
}

// DefaultsByKeys is Defaults where they depend on which keys the mapping has.
func DefaultsByKeys[T any](initial func(keys []string) T) Option {
	return func(d *Document) {
		d.defaults[reflect.TypeFor[T]()] = func(keys []string) reflect.Value { return reflect.ValueOf(initial(keys)) }
	}
}

// Document is one parsed YAML file.
type Document struct {
	file     string
	root     *yaml.Node
	lookup   func(string) (string, bool)
	defaults map[reflect.Type]func(keys []string) reflect.Value

	// expanded holds the text, as written in the file, of every scalar that a
	// variable changed, so that an error can quote it instead of a secret.
	expanded map[*yaml.Node]string
	problems problems
}

// Decode reads the one YAML document in data into the value that into points
// to. The file name is used in errors only.
func Decode(file string, data []byte, into any, options ...Option) error {
	doc, err := Parse(file, data, options...)
	if err != nil {
		return err
	}
	return doc.Decode(into)
}

// Parse reads data, which must hold exactly one YAML document of at most
// MaxSize bytes. It reports what makes the text unreadable; whatever is wrong
// inside a readable text is reported by Document.Decode, all at once.
func Parse(file string, data []byte, options ...Option) (*Document, error) {
	d := &Document{
		file:     file,
		defaults: make(map[reflect.Type]func(keys []string) reflect.Value),
		expanded: make(map[*yaml.Node]string),
	}
	for _, option := range options {
		option(d)
	}
	if len(data) > MaxSize {
		return nil, d.fail(0, "is larger than %d bytes", MaxSize)
	}

	loader, err := yaml.NewLoader(bytes.NewReader(data))
	if err != nil {
		return nil, d.fail(0, "cannot be read: %w", err)
	}
	var first, second yaml.Node
	if err := loader.Load(&first); errors.Is(err, io.EOF) {
		return nil, d.fail(1, "is empty; write at least one key")
	} else if err != nil {
		return nil, d.syntaxError(data, err)
	}
	if err := loader.Load(&second); err == nil {
		return nil, d.fail(second.Line, "a second document begins here; a file holds one, so remove the line ---")
	} else if !errors.Is(err, io.EOF) {
		return nil, d.syntaxError(data, err)
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 || isNull(first.Content[0]) {
		return nil, d.fail(1, "is empty; write at least one key")
	}
	d.root = first.Content[0]
	d.prepare("", d.root)
	return d, nil
}

// Decode stores the document in the value that into points to. When it returns
// an error, which joins one *Error for each problem, that value is filled in
// part.
func (d *Document) Decode(into any) error {
	target := reflect.ValueOf(into)
	if target.Kind() != reflect.Pointer || target.IsNil() {
		return fmt.Errorf("strictyaml: cannot decode into %T: not a pointer to a value", into)
	}
	w := walk{doc: d}
	w.problems = append(w.problems, d.problems...)
	w.value("", d.root, target.Elem())
	return w.problems.join(d.file)
}

// DecodeNode is for UnmarshalYAML methods: it decodes node as strictly as
// Document.Decode does, where yaml's own Node.Decode would let unknown keys
// pass. Its errors have no file; the Decode that called the method adds it.
func DecodeNode(node *yaml.Node, into any) error {
	return (&Document{root: node}).Decode(into)
}

// prepare checks what does not depend on the destination's type, and expands
// variables. Nodes that it complains about are marked, so that decoding does
// not complain about them again.
func (d *Document) prepare(path string, node *yaml.Node) {
	switch {
	case node.Kind == yaml.AliasNode:
		d.refuse(path, node, "the alias *%s is not allowed; write the value out", node.Value)
		return
	case node.Anchor != "":
		d.report(path, node, "the anchor &%s is not allowed; write the value out where it is needed", node.Anchor)
	}
	if node.Style&yaml.TaggedStyle != 0 && !coreTags[node.ShortTag()] {
		d.refuse(path, node, "the tag %s is not allowed; remove it", shorten(node.Tag))
		return
	}
	switch node.Kind {
	case yaml.ScalarNode:
		d.expand(path, node)
	case yaml.SequenceNode:
		for i, item := range node.Content {
			d.prepare(index(path, i), item)
		}
	case yaml.MappingNode:
		d.prepareMapping(path, node)
	}
}

func (d *Document) prepareMapping(path string, node *yaml.Node) {
	firstLine := make(map[string]int, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode:
			d.refuse(path, key, "a key must be a plain text")
		case key.ShortTag() == "!!merge":
			d.refuse(path, key, "the merge key << is not allowed; write the keys out")
		case firstLine[key.Value] != 0:
			d.problems.add(key.Line, path, &keyError{
				key:    key.Value,
				before: "duplicate key",
				after:  fmt.Sprintf("; it was first given in line %d", firstLine[key.Value]),
			})
			key.Tag = reportedTag
		default:
			firstLine[key.Value] = key.Line
		}
		if key.Anchor != "" {
			d.report(path, key, "the anchor &%s is not allowed; write the value out where it is needed", key.Anchor)
		}
		d.prepare(member(path, key.Value), value)
	}
}

// refuse reports a problem and marks the node as reported.
func (d *Document) refuse(path string, node *yaml.Node, format string, args ...any) {
	d.report(path, node, format, args...)
	node.Tag = reportedTag
}

func (d *Document) report(path string, node *yaml.Node, format string, args ...any) {
	d.problems.add(node.Line, path, fmt.Errorf(format, args...))
}

// fail returns the error of a document that could not be read at all.
func (d *Document) fail(line int, format string, args ...any) error {
	return &Error{File: d.file, Line: line, Err: fmt.Errorf(format, args...)}
}

// syntaxError turns an error of the YAML parser into one with file and line.
func (d *Document) syntaxError(data []byte, err error) error {
	var load *yaml.LoadError
	if !errors.As(err, &load) {
		return d.fail(0, "is not YAML: %w", err)
	}
	context, hint := "", ""
	if load.ContextMsg != "" {
		context = " " + load.ContextMsg
	}
	if indentedByTab(data, load.Mark.Line) {
		hint = "; indent with spaces, not with tabs"
	}
	return d.fail(load.Mark.Line, "is not YAML: %s%s%s", load.Message, context, hint)
}

func indentedByTab(data []byte, line int) bool {
	for range line - 1 {
		_, rest, found := bytes.Cut(data, []byte("\n"))
		if !found {
			return false
		}
		data = rest
	}
	text := strings.TrimLeft(string(data[:min(len(data), 256)]), " ")
	return strings.HasPrefix(text, "\t")
}

// reportedTag marks a node whose problem is already in the list.
const reportedTag = "!strictyaml/reported"

// coreTags are the explicit tags that a file may write.
var coreTags = map[string]bool{
	"!!str": true, "!!int": true, "!!float": true, "!!bool": true,
	"!!null": true, "!!map": true, "!!seq": true,
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}
