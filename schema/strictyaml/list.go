package strictyaml

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// List is a list of texts that a file may give as a YAML list or as one text
// with commas, so that a single variable can fill it: "secrets: ${SECRETS}".
// Of a text with commas, blanks around the items and empty items are dropped.
type List []string

// UnmarshalYAML reads either form.
func (l *List) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind != yaml.ScalarNode || isNull(node) {
		return DecodeNode(node, (*[]string)(l))
	}
	*l = SplitList(node.Value)
	return nil
}

// SplitList splits a text at its commas as a List does.
func SplitList(text string) List {
	list := List{}
	for item := range strings.SplitSeq(text, ",") {
		if item = strings.TrimSpace(item); item != "" {
			list = append(list, item)
		}
	}
	return list
}
