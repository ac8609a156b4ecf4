package main

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// An example is what the configuration's example says about each key. Its tests
// hold that it has every key, with the default of the code.
type example struct {
	lines []string
	keys  map[string]said // by path
}

// said is what the example says about one key.
type said struct {
	description string
	value       any // the default, or where there is none what one could write
	hasDefault  bool
}

// commentedOut matches a line of the section that the example leaves out.
var commentedOut = regexp.MustCompile(`(?m)^#((?:  )*[a-z_]+:)`)

func readExample(data []byte) (*example, error) {
	text := commentedOut.ReplaceAllString(string(data), "$1")
	var document yaml.Node
	if err := yaml.Load([]byte(text), &document); err != nil {
		return nil, err
	}
	e := &example{lines: strings.Split(text, "\n"), keys: map[string]said{}}
	return e, e.read(document.Content[0], "")
}

// kindSection begins the path of what the example says about a key of the sinks
// of one kind.
func kindSection(kind string) string { return "sinks(" + kind + ")." }

// read takes in what a mapping, or each mapping of a list, has. The first that is
// said of a key counts.
func (e *example) read(n *yaml.Node, path string) error {
	switch n.Kind {
	case yaml.SequenceNode:
		for _, item := range n.Content {
			if err := e.read(item, path); err != nil {
				return err
			}
			if path != "sinks." {
				continue
			}
			// Defaults of a batch depend on the kind, which comes second in an item.
			if err := e.read(item, kindSection(item.Content[2].Value)); err != nil {
				return err
			}
		}
	case yaml.MappingNode:
		var before string
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := n.Content[i], n.Content[i+1]
			s, err := e.of(key, value)
			if err != nil {
				return err
			}
			// A comment is about all keys below it, up to the next comment.
			if s.description == "" && i > 0 && n.Content[i-2].Line == key.Line-1 {
				s.description = before
			}
			before = s.description
			if known, ok := e.keys[path+key.Value]; ok {
				s.value, s.hasDefault = known.value, known.hasDefault
				s.description = cmp.Or(known.description, s.description)
			}
			e.keys[path+key.Value] = s
			if err := e.read(value, path+key.Value+"."); err != nil {
				return err
			}
		}
	default:
	}
	return nil
}

// otherwise matches the end of a line that shows something else than the default.
var otherwise = regexp.MustCompile(` # (?:default: (.*)|no default)$`)

func (e *example) of(key, value *yaml.Node) (said, error) {
	s := said{description: e.above(key.Line), hasDefault: true}
	if match := otherwise.FindStringSubmatch(e.lines[key.Line-1]); match != nil {
		s.hasDefault = match[1] != ""
		if s.hasDefault {
			var written yaml.Node
			if err := yaml.Load([]byte(match[1]), &written); err != nil {
				return s, fmt.Errorf("line %d: %w", key.Line, err)
			}
			value = written.Content[0]
		}
	}
	err := value.Decode(&s.value)
	return s, err
}

// above returns the comment that ends above a line, as one text.
func (e *example) above(line int) string {
	var comment []string
	for i := line - 2; i >= 0; i-- {
		text, found := strings.CutPrefix(strings.TrimSpace(e.lines[i]), "#")
		if !found {
			break
		}
		comment = append(comment, strings.TrimSpace(text))
	}
	slices.Reverse(comment)
	return strings.Join(comment, " ")
}
