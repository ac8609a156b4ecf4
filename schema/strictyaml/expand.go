package strictyaml

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

var variableName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// expand replaces the variables in one scalar. What is looked up becomes the
// text of this scalar and is never parsed as YAML.
func (d *Document) expand(path string, node *yaml.Node) {
	if d.lookup == nil || !strings.Contains(node.Value, "$") {
		return
	}
	text, errs := expandText(node.Value, d.lookup)
	if len(errs) > 0 {
		for _, err := range errs {
			d.problems.add(node.Line, path, err)
		}
		node.Tag = reportedTag
		return
	}
	d.expanded[node] = node.Value
	node.Value = text
	if node.Style == 0 {
		node.Tag = plainTag(text)
	}
}

// plainTag resolves the type of an expanded plain scalar. An empty or null-like
// value stays a text: a variable cannot take a key away.
func plainTag(text string) string {
	resolved := yaml.Node{Kind: yaml.ScalarNode, Value: text}
	var v any
	if text == "" || resolved.Decode(&v) != nil {
		return "!!str"
	}
	switch v.(type) {
	case bool:
		return "!!bool"
	case int, int64, uint64:
		return "!!int"
	case float64:
		return "!!float"
	}
	return "!!str"
}

// expandText replaces ${NAME}, ${NAME:-default} and $$. Every other $ stays.
func expandText(text string, lookup func(string) (string, bool)) (string, []error) {
	var b strings.Builder
	var errs []error
	for {
		before, after, found := strings.Cut(text, "$")
		b.WriteString(before)
		if !found {
			return b.String(), errs
		}
		switch {
		case strings.HasPrefix(after, "$"):
			b.WriteByte('$')
			text = after[1:]
		case strings.HasPrefix(after, "{"):
			inside, rest, closed := strings.Cut(after[1:], "}")
			if !closed {
				return "", append(errs, errors.New("${ has no closing }; write $$ for a literal $"))
			}
			value, err := variable(inside, lookup)
			if err != nil {
				errs = append(errs, err)
			}
			b.WriteString(value)
			text = rest
		default:
			b.WriteByte('$')
			text = after
		}
	}
}

func variable(inside string, lookup func(string) (string, bool)) (string, error) {
	name, fallback, hasFallback := strings.Cut(inside, ":-")
	if !variableName.MatchString(name) {
		return "", fmt.Errorf("${%s} is not a variable; write ${NAME} or ${NAME:-default}, or $$ for a literal $", shorten(inside))
	}
	value, ok := lookup(name)
	switch {
	case hasFallback && value == "":
		return fallback, nil
	case !ok:
		return "", fmt.Errorf("the variable %s is not set; set it, or write ${%s:-default}", name, name)
	}
	return value, nil
}
