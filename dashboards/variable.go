package dashboards

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// A VariableType says where the values of a variable come from.
type VariableType string

// The types that a dashboard may use.
const (
	// QueryVariable has the values that its SQL returns.
	QueryVariable VariableType = "query"
	// CustomVariable has the values of a list in the file.
	CustomVariable VariableType = "custom"
	// IntervalVariable has intervals of a list in the file.
	IntervalVariable VariableType = "interval"
	// TextVariable has what a person types.
	TextVariable VariableType = "textbox"
	// ConstantVariable has one value, from the file.
	ConstantVariable VariableType = "constant"
	// SourceVariable chooses a data source. It has no value here.
	SourceVariable VariableType = "datasource"
)

// A Variable is something that a person chooses above a dashboard.
type Variable struct {
	Name  string
	Type  VariableType
	Label string
	// SQL is the query of a QueryVariable.
	SQL string
	// Multi variables can have several values at once.
	Multi bool
	// IncludeAll offers All beside the values.
	IncludeAll bool
	// AllValue, if set, stands for All in a query as it is.
	AllValue string
	// Options are the values in the file, of types that have them there.
	Options []Option
	// Default is the value to begin with.
	Default Value

	filter *regexp.Regexp // of the options of a QueryVariable
	sort   int
}

// An Option is one value that can be chosen.
type Option struct {
	Text  string `json:"text"`
	Value string `json:"value"`
}

// Values are the values of a dashboard's variables by name. A variable that is
// missing has its default.
type Values map[string]Value

// A Value is what is chosen of a variable: All, or a number of texts.
type Value struct {
	// All tells that all options are chosen.
	All bool
	// Texts are the values. With All they are all options, and need to be there
	// only where a query names the variable outside $__conditionalAll.
	Texts []string
}

// All is the choice of all options.
func All(options ...string) Value { return Value{All: true, Texts: options} }

// Pick is a choice of some values, of one as a rule.
func Pick(texts ...string) Value { return Value{Texts: texts} }

// What a person can hand in of one variable.
const (
	maxTexts     = 500
	maxTextBytes = 1000
)

// allText is how Grafana writes All.
const allText = "$__all"

type variableJSON struct {
	Name       string          `json:"name"`
	Label      string          `json:"label"`
	Type       VariableType    `json:"type"`
	Query      json.RawMessage `json:"query"`
	Datasource sourceJSON      `json:"datasource"`
	Multi      bool            `json:"multi"`
	IncludeAll bool            `json:"includeAll"`
	AllValue   string          `json:"allValue"`
	Regex      string          `json:"regex"`
	Sort       int             `json:"sort"`
	Options    []struct {
		Text  texts `json:"text"`
		Value texts `json:"value"`
	} `json:"options"`
	Current struct {
		Value texts `json:"value"`
	} `json:"current"`
}

// texts are one string or a list of them.
type texts []string

func (t *texts) UnmarshalJSON(data []byte) error {
	var one string
	if err := json.Unmarshal(data, &one); err == nil {
		*t = texts{one}
		return nil
	}
	return json.Unmarshal(data, (*[]string)(t))
}

var variableName = regexp.MustCompile(`^[A-Za-z]\w*$`)

func (in *variableJSON) variable() (*Variable, error) {
	v := &Variable{
		Name: in.Name, Type: in.Type, Label: in.Label,
		Multi: in.Multi, IncludeAll: in.IncludeAll, AllValue: in.AllValue, sort: in.Sort,
	}
	if !variableName.MatchString(v.Name) {
		return nil, fmt.Errorf("a variable needs a name of letters, digits and _, has %q", v.Name)
	}
	if v.Label == "" {
		v.Label = v.Name
	}
	if err := in.readQuery(v); err != nil {
		return nil, fmt.Errorf("variable %s: %w", v.Name, err)
	}
	switch current := in.Current.Value; {
	case slices.Equal(current, texts{allText}):
		v.Default = All()
	case len(current) > 0:
		v.Default = Pick(current...)
	case v.IncludeAll:
		v.Default = All()
	case len(v.Options) > 0:
		v.Default = Pick(v.Options[0].Value)
	}
	if err := v.check(v.Default); err != nil {
		return nil, fmt.Errorf("variable %s: its current value: %w", v.Name, err)
	}
	return v, nil
}

// readQuery reads the key query, whose meaning depends on the type, and the
// options.
func (in *variableJSON) readQuery(v *Variable) error {
	var text string
	if v.Type != QueryVariable && len(in.Query) > 0 {
		if err := json.Unmarshal(in.Query, &text); err != nil {
			return fmt.Errorf("query: %w", err)
		}
	}
	switch v.Type {
	case QueryVariable:
		if in.Datasource.Type != clickHouseType {
			return fmt.Errorf("its values come from the data source %q; only those of ClickHouse can be read", in.Datasource.Type)
		}
		var query struct {
			RawSQL string `json:"rawSql"`
		}
		if err := json.Unmarshal(in.Query, &query); err != nil || query.RawSQL == "" {
			return errors.New("query.rawSql is missing")
		}
		v.SQL = query.RawSQL
		if in.Regex != "" {
			var err error
			if v.filter, err = regexp.Compile(strings.Trim(in.Regex, "/")); err != nil {
				return fmt.Errorf("regex: %w", err)
			}
		}
	case CustomVariable, IntervalVariable:
		for _, item := range splitList(text) {
			option := Option{Text: item, Value: item}
			if name, value, ok := strings.Cut(item, " : "); ok {
				option = Option{Text: strings.TrimSpace(name), Value: strings.TrimSpace(value)}
			}
			v.Options = append(v.Options, option)
		}
		if len(v.Options) == 0 {
			return errors.New("query has no value")
		}
	case ConstantVariable:
		v.Options = []Option{{Text: text, Value: text}}
		v.Default = Pick(text)
	case TextVariable:
		v.Default = Pick(text)
	case SourceVariable:
	default:
		return fmt.Errorf("its type %q is not one that can be shown", v.Type)
	}
	return nil
}

// splitList splits at commas; a comma that belongs to a value has a backslash
// before it.
func splitList(text string) []string {
	var items []string
	for item := range strings.SplitSeq(strings.ReplaceAll(text, `\,`, "\x00"), ",") {
		if item = strings.TrimSpace(strings.ReplaceAll(item, "\x00", ",")); item != "" {
			items = append(items, item)
		}
	}
	return items
}

// closed tells that every value is in the file, so that nothing from outside
// can reach a query.
func (v *Variable) closed() bool {
	return v.Type == CustomVariable || v.Type == IntervalVariable || v.Type == ConstantVariable
}

// check reports why the value cannot be one of this variable.
func (v *Variable) check(value Value) error {
	if value.All && !v.IncludeAll {
		return errors.New("All is not offered")
	}
	if !value.All && len(value.Texts) > 1 && !v.Multi {
		return errors.New("it takes one value")
	}
	if len(value.Texts) > maxTexts {
		return fmt.Errorf("it takes at most %d values", maxTexts)
	}
	for _, text := range value.Texts {
		switch {
		case len(text) > maxTextBytes:
			return fmt.Errorf("a value may have at most %d bytes", maxTextBytes)
		case !utf8.ValidString(text) || strings.ContainsRune(text, 0):
			return errors.New("a value must be text")
		case v.closed() && !slices.ContainsFunc(v.Options, func(o Option) bool { return o.Value == text }):
			return errors.New("a value is not one of the options")
		}
	}
	return nil
}

// value returns the value of v that is chosen, or its default.
func (v *Variable) value(chosen Values) (Value, error) {
	value, ok := chosen[v.Name]
	if !ok {
		value = v.Default
	}
	if err := v.check(value); err != nil {
		return Value{}, fmt.Errorf("variable %s: %w", v.Name, err)
	}
	if value.All && v.closed() {
		for _, o := range v.Options {
			value.Texts = append(value.Texts, o.Value)
		}
	}
	return value, nil
}
