package strictyaml

import (
	"cmp"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Error is one problem of a file. It reads "file:line: path: what is wrong".
type Error struct {
	// File is the name given to Parse.
	File string
	// Line counts from 1; 0 means the file as a whole.
	Line int
	// Path is the place in the document, such as sinks[1].name. It is empty
	// for the top level, and where the text of Err begins with it.
	Path string
	// Err says what is wrong and what is allowed.
	Err error
}

// Error returns the problem in one line of the form "file:line: path: text".
func (e *Error) Error() string {
	var b strings.Builder
	if e.File != "" {
		b.WriteString(e.File)
		if e.Line > 0 {
			b.WriteString(":" + strconv.Itoa(e.Line))
		}
		b.WriteString(": ")
	}
	var key *keyError
	switch {
	case errors.As(e.Err, &key):
		b.WriteString(key.in(e.Path))
	case e.Path != "":
		b.WriteString(e.Path + ": " + e.Err.Error())
	default:
		b.WriteString(e.Err.Error())
	}
	return b.String()
}

// Unwrap returns what is wrong, without the place.
func (e *Error) Unwrap() error { return e.Err }

// Locate adds file and line to an error of a Validate method, whose text begins
// with the path of a field, such as "clickhouse.batch.max_rows: must be …".
// Errors joined by errors.Join are located one by one and come back in the
// order of their lines. Where the document lacks the field, the line is that of
// the nearest enclosing key it has. Locate(nil) is nil.
func (d *Document) Locate(err error) error {
	var located problems
	for _, leaf := range leaves(err) {
		if e, ok := errors.AsType[*Error](leaf); ok {
			located = append(located, e)
			continue
		}
		path, _ := splitPath(leaf.Error())
		located = append(located, &Error{File: d.file, Line: d.line(path), Err: leaf})
	}
	return located.join(d.file)
}

// At returns an error about the field at path, with file and line found as by
// Locate.
func (d *Document) At(path, format string, args ...any) error {
	return &Error{File: d.file, Line: d.line(path), Path: path, Err: fmt.Errorf(format, args...)}
}

// Under puts prefix before the field path of every error joined in err, so that
// the Validate method of a whole can report the errors of its parts:
// Under("clickhouse", "batch.max_rows: must …") begins "clickhouse.batch.max_rows".
// Under(prefix, nil) is nil.
func Under(prefix string, err error) error {
	var joined []error
	for _, leaf := range leaves(err) {
		separator := ": "
		if path, _ := splitPath(leaf.Error()); strings.HasPrefix(path, "[") {
			separator = ""
		} else if path != "" {
			separator = "."
		}
		joined = append(joined, fmt.Errorf("%s%s%w", prefix, separator, leaf))
	}
	return errors.Join(joined...)
}

// line returns the line of the node at path or of its nearest ancestor.
func (d *Document) line(path string) int {
	node, line := d.root, d.root.Line
	for path != "" && node != nil {
		var child *yaml.Node
		childLine := 0
		switch node.Kind {
		case yaml.MappingNode:
			child, childLine, path = findMember(node, strings.TrimPrefix(path, "."))
		case yaml.SequenceNode:
			child, path = findItem(node, path)
			if child != nil {
				childLine = child.Line
			}
		}
		if child == nil {
			break
		}
		node, line = child, childLine
	}
	return line
}

// findMember returns the value and the line of the longest key that path begins
// with, and the rest of the path; a key may itself contain a dot.
func findMember(mapping *yaml.Node, path string) (value *yaml.Node, line int, rest string) {
	longest := -1
	for i := 0; i+1 < len(mapping.Content); i += 2 {
		key := mapping.Content[i]
		after, found := strings.CutPrefix(path, key.Value)
		if !found || len(key.Value) <= longest || after != "" && after[0] != '.' && after[0] != '[' {
			continue
		}
		longest = len(key.Value)
		value, line, rest = mapping.Content[i+1], key.Line, after
	}
	return value, line, rest
}

func findItem(sequence *yaml.Node, path string) (item *yaml.Node, rest string) {
	number, rest, found := strings.Cut(strings.TrimPrefix(path, "["), "]")
	i, err := strconv.Atoi(number)
	if !found || err != nil || i < 0 || i >= len(sequence.Content) {
		return nil, ""
	}
	return sequence.Content[i], rest
}

var pathPrefix = regexp.MustCompile(`^((?:\w[\w-]*|\[\d+\])(?:\.\w[\w-]*|\[\d+\])*): `)

// splitPath separates the field path at the beginning of an error's text.
func splitPath(text string) (path, rest string) {
	match := pathPrefix.FindStringSubmatch(text)
	if match == nil {
		return "", text
	}
	return match[1], text[len(match[0]):]
}

// leaves returns the errors that errors.Join put together in err.
func leaves(err error) []error {
	if err == nil {
		return nil
	}
	// Only the outermost error can be split without losing the text around a join.
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || err.Error() != errors.Join(joined.Unwrap()...).Error() {
		return []error{err}
	}
	var all []error
	for _, e := range joined.Unwrap() {
		all = append(all, leaves(e)...)
	}
	return all
}

// problems collects errors until they are all reported together.
type problems []*Error

func (p *problems) add(line int, path string, err error) {
	*p = append(*p, &Error{Line: line, Path: path, Err: err})
}

// join returns the problems in the order of their lines, as problems of file.
func (p problems) join(file string) error {
	sorted := slices.Clone(p)
	slices.SortStableFunc(sorted, func(a, b *Error) int { return a.Line - b.Line })
	errs := make([]error, len(sorted))
	for i, e := range sorted {
		e.File = cmp.Or(e.File, file)
		errs[i] = e
	}
	return errors.Join(errs...)
}

// keyError is a problem of a key, which its text names together with the
// mapping it is in.
type keyError struct {
	key           string
	before, after string
}

func (e *keyError) Error() string { return e.in("") }

func (e *keyError) in(path string) string {
	place := "at the top level"
	if path != "" {
		place = "in " + strconv.Quote(path)
	}
	return fmt.Sprintf("%s %q %s%s", e.before, shorten(e.key), place, e.after)
}

// shorten bounds the length of what an error quotes from the file.
func shorten(text string) string {
	const limit = 40
	runes := 0
	for i := range text {
		if runes == limit {
			return text[:i] + "…"
		}
		runes++
	}
	return text
}

func member(path, key string) string {
	if path == "" {
		return shorten(key)
	}
	return path + "." + shorten(key)
}

func index(path string, i int) string { return fmt.Sprintf("%s[%d]", path, i) }
