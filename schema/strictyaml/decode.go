package strictyaml

import (
	"cmp"
	"encoding"
	"errors"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// walk goes through a document and a Go value side by side, fills the value in
// and collects every problem on its way.
type walk struct {
	doc      *Document
	problems problems
}

var (
	nodeType     = reflect.TypeFor[yaml.Node]()
	durationType = reflect.TypeFor[time.Duration]()
)

// value decodes node into target, which must be settable.
func (w *walk) value(path string, node *yaml.Node, target reflect.Value) {
	switch {
	case node.Tag == reportedTag:
		return
	case target.Type() == nodeType:
		target.Set(reflect.ValueOf(node).Elem())
		return
	case w.custom(path, node, target):
		return
	}
	switch target.Kind() {
	case reflect.Pointer:
		w.pointer(path, node, target)
	case reflect.Struct:
		w.structure(path, node, target)
	case reflect.Map:
		w.mapping(path, node, target)
	case reflect.Slice:
		w.list(path, node, target)
	case reflect.Interface:
		w.untyped(path, node, target)
	default:
		w.scalar(path, node, target)
	}
}

// custom decodes types that bring a method for it, and reports whether it did.
func (w *walk) custom(path string, node *yaml.Node, target reflect.Value) bool {
	switch method := target.Addr().Interface().(type) {
	case yaml.Unmarshaler:
		if !w.reported(node) {
			w.customError(path, node, target.Type(), method.UnmarshalYAML(node))
		}
	case encoding.TextUnmarshaler:
		if !w.isScalar(path, node, target.Type()) {
			return true
		}
		w.customError(path, node, target.Type(), method.UnmarshalText([]byte(node.Value)))
	default:
		return false
	}
	return true
}

// customError adds the place to the error of an UnmarshalYAML or UnmarshalText
// method. Its text may quote the value, so it is dropped where a variable is
// part of that value.
func (w *walk) customError(path string, node *yaml.Node, t reflect.Type, err error) {
	secret := w.hasExpanded(node)
	for _, leaf := range leaves(err) {
		e, located := errors.AsType[*Error](leaf)
		if !located {
			e = &Error{Line: node.Line, Err: leaf}
		}
		if secret {
			e = &Error{Line: e.Line, Path: e.Path, Err: fmt.Errorf("%s is not a valid %s", w.quote(node), t.Name())}
		}
		if path != "" && e.Path != "" && e.Path[0] != '[' {
			e.Path = "." + e.Path
		}
		w.problems.add(e.Line, path+e.Path, e.Err)
	}
}

func (w *walk) pointer(path string, node *yaml.Node, target reflect.Value) {
	if isNull(node) {
		return
	}
	if target.IsNil() {
		element := w.fresh(target.Type().Elem(), node)
		target.Set(element.Addr())
	}
	w.value(path, node, target.Elem())
}

func (w *walk) structure(path string, node *yaml.Node, target reflect.Value) {
	known := fieldsOf(target.Type())
	if isNull(node) {
		return // A section whose keys are all commented out keeps its defaults.
	}
	if node.Kind != yaml.MappingNode {
		w.wrongKind(path, node, "a mapping; allowed keys: "+known.list())
		return
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Tag == reportedTag {
			continue
		}
		at, ok := known.index[key.Value]
		if !ok {
			w.problems.add(key.Line, path, known.unknown(key.Value))
			continue
		}
		w.value(member(path, key.Value), value, settable(target, at))
	}
}

func (w *walk) mapping(path string, node *yaml.Node, target reflect.Value) {
	if node.Kind != yaml.MappingNode {
		w.wrongKind(path, node, "a mapping; write {} for an empty one")
		return
	}
	t := target.Type()
	if target.IsNil() {
		target.Set(reflect.MakeMapWithSize(t, len(node.Content)/2))
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		if key.Tag == reportedTag {
			continue
		}
		place := member(path, key.Value)
		name, element := reflect.New(t.Key()).Elem(), w.fresh(t.Elem(), value)
		w.value(place, key, name)
		w.value(place, value, element)
		target.SetMapIndex(name, element)
	}
}

func (w *walk) list(path string, node *yaml.Node, target reflect.Value) {
	if node.Kind != yaml.SequenceNode {
		w.wrongKind(path, node, "a list; write for example [a, b], or [] for an empty one")
		return
	}
	items := reflect.MakeSlice(target.Type(), 0, len(node.Content))
	for i, child := range node.Content {
		item := w.fresh(target.Type().Elem(), child)
		w.value(index(path, i), child, item)
		items = reflect.Append(items, item)
	}
	target.Set(items)
}

// untyped decodes into an any; there is nothing about it to be strict about.
func (w *walk) untyped(path string, node *yaml.Node, target reflect.Value) {
	if w.reported(node) {
		return
	}
	var v any
	err := node.Decode(&v)
	switch {
	case err != nil:
		w.problems.add(node.Line, path, fmt.Errorf("%s cannot be decoded", w.quote(node)))
	case v == nil:
		target.SetZero()
	case !reflect.TypeOf(v).AssignableTo(target.Type()):
		w.problems.add(node.Line, path, fmt.Errorf("no value can be given for a Go %s", target.Type()))
	default:
		target.Set(reflect.ValueOf(v))
	}
}

func (w *walk) scalar(path string, node *yaml.Node, target reflect.Value) {
	if !w.isScalar(path, node, target.Type()) {
		return
	}
	ok := false
	switch kind := target.Kind(); {
	case target.Type() == durationType:
		d, err := time.ParseDuration(node.Value)
		target.SetInt(int64(d))
		ok = err == nil
	case kind == reflect.String:
		target.SetString(node.Value)
		ok = true
	case kind == reflect.Bool && node.ShortTag() != "!!bool":
		// YAML 1.1 also took yes and on for true; here they are mistakes.
	default:
		ok = node.Decode(target.Addr().Interface()) == nil
	}
	if ok {
		return
	}
	hint := ""
	if quoted := node.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0; quoted && target.Type() != durationType {
		hint = "; remove the quotes"
	}
	w.problems.add(node.Line, path, fmt.Errorf("%s is not %s%s", w.quote(node), want(target.Type()), hint))
}

// isScalar reports whether node is one value, and complains if it is not.
func (w *walk) isScalar(path string, node *yaml.Node, t reflect.Type) bool {
	switch {
	case isNull(node):
		empty := ""
		if t.Kind() == reflect.String {
			empty = `, or "" for an empty text`
		}
		w.problems.add(node.Line, path, fmt.Errorf("has no value; write %s%s, or remove the key", want(t), empty))
		return false
	case node.Kind != yaml.ScalarNode:
		w.wrongKind(path, node, want(t))
		return false
	}
	return true
}

func (w *walk) wrongKind(path string, node *yaml.Node, wanted string) {
	w.problems.add(node.Line, path, fmt.Errorf("must be %s; it is %s", wanted, w.quote(node)))
}

// quote describes the value of a node for an error. A value that came from a
// variable is never shown, only the text in the file.
func (w *walk) quote(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "a mapping"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(node):
		return "empty"
	}
	if written, ok := w.doc.expanded[node]; ok {
		return fmt.Sprintf("the value of %q", shorten(written))
	}
	return strconv.Quote(shorten(node.Value))
}

// fresh returns a settable new value for node, which is the default for its type
// where one was given.
func (w *walk) fresh(t reflect.Type, node *yaml.Node) reflect.Value {
	v := reflect.New(t).Elem()
	if initial, ok := w.doc.defaults[t]; ok {
		v.Set(initial(keysOf(node)))
	}
	return v
}

// keysOf returns the keys of a mapping.
func keysOf(node *yaml.Node) (keys []string) {
	if node.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(node.Content); i += 2 {
		keys = append(keys, node.Content[i].Value)
	}
	return keys
}

// reported tells whether a problem of node or of anything below it is already
// in the list.
func (w *walk) reported(node *yaml.Node) bool {
	return anyNode(node, func(n *yaml.Node) bool { return n.Tag == reportedTag })
}

func (w *walk) hasExpanded(node *yaml.Node) bool {
	return anyNode(node, func(n *yaml.Node) bool { _, ok := w.doc.expanded[n]; return ok })
}

func anyNode(node *yaml.Node, is func(*yaml.Node) bool) bool {
	if is(node) {
		return true
	}
	for _, child := range node.Content {
		if anyNode(child, is) {
			return true
		}
	}
	return false
}

// want names the values that a type allows, as the end of "… is not".
func want(t reflect.Type) string {
	switch kind := t.Kind(); {
	case t == durationType:
		return "a duration; write for example 5s"
	case t.Implements(reflect.TypeFor[encoding.TextUnmarshaler]()),
		reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]()):
		return "a " + cmp.Or(t.Name(), "value")
	case kind == reflect.String:
		return "a text"
	case kind == reflect.Bool:
		return "true or false"
	case kind == reflect.Float32 || kind == reflect.Float64:
		return "a number"
	case kind == reflect.Int || kind == reflect.Int64:
		return "a whole number"
	case kind == reflect.Uint || kind == reflect.Uint64:
		return "a whole number from 0"
	case strings.HasPrefix(kind.String(), "uint"):
		return fmt.Sprintf("a whole number from 0 to %d", uint64(1)<<t.Bits()-1)
	case strings.HasPrefix(kind.String(), "int"):
		limit := int64(1) << (t.Bits() - 1)
		return fmt.Sprintf("a whole number from %d to %d", -limit, limit-1)
	}
	return "a value for a Go " + t.String()
}
