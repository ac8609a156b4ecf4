package sinks

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"

	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
)

// SelectConfig says what a sink takes. Left empty, it takes everything.
type SelectConfig struct {
	// Topics are names without the prefix, as in points; none means all.
	Topics  strictyaml.List `yaml:"topics"`
	Columns ColumnsConfig   `yaml:"columns"`
	// Filter is an expression over the row's columns, under their own names, that
	// is true for the rows to take: github.com/expr-lang/expr.
	Filter string `yaml:"filter"`
}

// ColumnsConfig says which columns a sink gets, and their names. The columns of
// [Identity] always stay.
type ColumnsConfig struct {
	// Include leaves out every other column, Exclude leaves out these.
	Include strictyaml.List `yaml:"include"`
	Exclude strictyaml.List `yaml:"exclude"`
	// Rename has the new name of each column that gets one.
	Rename map[string]string `yaml:"rename"`
}

// Identity returns the columns that every sink gets under their own names,
// where a table has them: the event that a row is of, and what tells which of
// several rows of one event counts.
func Identity() []string { return []string{"event_id", "normalized_at", "retracted"} }

// newName is what a column can be called in every kind of destination. A point
// is for lists that belong together, as in addresses.city.
var newName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)?$`)

// Tables returns those of the tables that the sink takes.
func (c SelectConfig) Tables(tables []*schema.Table) []*schema.Table {
	if len(c.Topics) == 0 {
		return tables
	}
	var taken []*schema.Table
	for _, t := range tables {
		if slices.Contains(c.Topics, t.Topic) {
			taken = append(taken, t)
		}
	}
	return taken
}

// Validate reports what cannot work with these tables, which are all that there
// are. Each error begins with the key.
func (c SelectConfig) Validate(tables []*schema.Table) error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	topics := make([]string, len(tables))
	for i, t := range tables {
		topics[i] = t.Topic
	}
	for i, topic := range c.Topics {
		if !slices.Contains(topics, topic) {
			wrong("topics[%d]: there is no topic %q; %s", i, topic, meant(topic, "the topics are", topics))
		}
	}
	taken := c.Tables(tables)
	c.Columns.validate(taken, wrong)
	if c.Filter != "" {
		errs = append(errs, c.validateFilter(taken))
	}
	return errors.Join(errs...)
}

// validateFilter reports each problem once, with the topics that have it.
func (c SelectConfig) validateFilter(tables []*schema.Table) error {
	var fit []string
	var problems []error
	topics := map[string][]string{} // by problem
	for _, t := range tables {
		_, err := compile(c.Filter, t)
		if err == nil {
			fit = append(fit, t.Topic)
			continue
		}
		if topics[err.Error()] == nil {
			problems = append(problems, err)
		}
		topics[err.Error()] = append(topics[err.Error()], t.Topic)
	}
	var errs []error
	for _, problem := range problems {
		with := topics[problem.Error()]
		switch {
		case len(with) == len(tables):
			errs = append(errs, fmt.Errorf("filter: %w", problem))
		case len(fit) == 0:
			errs = append(errs, fmt.Errorf("filter: for %s: %w", strings.Join(with, ", "), problem))
		default:
			errs = append(errs, fmt.Errorf("filter: for %s: %w; a filter must fit every topic of its sink, and this one fits topics: [%s]",
				strings.Join(with, ", "), problem, strings.Join(fit, ", ")))
		}
	}
	return errors.Join(errs...)
}

func (c ColumnsConfig) validate(tables []*schema.Table, wrong func(string, ...any)) {
	if len(c.Include) > 0 && len(c.Exclude) > 0 {
		wrong("columns.exclude: include and exclude rule each other out; set one of them")
	}
	var all []string
	for _, t := range tables {
		for _, column := range t.Columns {
			if !slices.Contains(all, column.Name) {
				all = append(all, column.Name)
			}
		}
	}
	known := func(path, name string) bool {
		if slices.Contains(all, name) {
			return true
		}
		wrong("%s: no topic of this sink has a column %q; %s", path, name, meant(name, "the columns are", all))
		return false
	}
	for i, name := range c.Include {
		known(fmt.Sprintf("columns.include[%d]", i), name)
	}
	for i, name := range c.Exclude {
		path := fmt.Sprintf("columns.exclude[%d]", i)
		if known(path, name) && slices.Contains(Identity(), name) {
			wrong("%s: %s always stays, for it tells events apart, or which row of an event counts", path, name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Rename)) {
		path := "columns.rename." + name
		switch to := c.Rename[name]; {
		case !known(path, name):
		case slices.Contains(Identity(), name):
			wrong("%s: %s keeps its name, for sinks find events by it", path, name)
		case !newName.MatchString(to):
			wrong("%s: the new name must be letters, digits and _, and begin with a letter, is %q", path, to)
		case !c.keepsName(name):
			wrong("%s: %s is left out by include or exclude, and so cannot have another name", path, name)
		default:
			c.validateNew(path, name, tables, wrong)
		}
	}
}

// validateNew reports where a column's new name is that of another one.
func (c ColumnsConfig) validateNew(path, name string, tables []*schema.Table, wrong func(string, ...any)) {
	for _, t := range tables {
		kept := c.keeps(t)
		at := slices.IndexFunc(kept, func(column schema.Column) bool { return column.Name == name })
		if at < 0 {
			continue
		}
		renamed := c.renamed(kept)
		for i := range renamed {
			if i != at && alike(renamed[i], renamed[at]) {
				wrong("%s: in the topic %s, %s is called %q, too; choose another name, or leave one of them out", path, t.Topic, kept[i].Name, renamed[i].Name)
				return
			}
		}
	}
}

// alike reports whether two columns would have the same key in a record: bytes
// that are no text stand under a longer one.
func alike(a, b schema.Column) bool {
	return a.Name == b.Name || a.Type == schema.Bytes && b.Name == a.Name+schema.Base64Suffix ||
		b.Type == schema.Bytes && a.Name == b.Name+schema.Base64Suffix
}

func (c ColumnsConfig) keepsName(name string) bool {
	switch {
	case slices.Contains(Identity(), name):
		return true
	case len(c.Include) > 0:
		return slices.Contains(c.Include, name)
	default:
		return !slices.Contains(c.Exclude, name)
	}
}

// keeps returns the columns of the table that stay, under their own names.
func (c ColumnsConfig) keeps(t *schema.Table) []schema.Column {
	var kept []schema.Column
	for _, column := range t.Columns {
		if c.keepsName(column.Name) {
			kept = append(kept, column)
		}
	}
	return kept
}

// renamed returns the columns under their new names.
func (c ColumnsConfig) renamed(columns []schema.Column) []schema.Column {
	renamed := slices.Clone(columns)
	for i := range renamed {
		if to, ok := c.Rename[renamed[i].Name]; ok {
			renamed[i].Name = to
		}
	}
	return renamed
}

// keyOf returns the table's key, of the columns that stay and under their new
// names. The event is always in it, where there is a key at all.
func (c ColumnsConfig) keyOf(t *schema.Table) (key []string) {
	for _, name := range t.Key {
		if c.keepsName(name) {
			key = append(key, cmp.Or(c.Rename[name], name))
		}
	}
	return key
}

// identityOf returns the table's columns that tell its events apart.
func identityOf(t *schema.Table) []schema.Column {
	var identity []schema.Column
	for _, column := range t.Columns {
		if column.Type == schema.UUID {
			identity = append(identity, column)
		}
	}
	return identity
}

// meant says what may have been meant by a name that there is not.
func meant(name, intro string, allowed []string) string {
	if near := strictyaml.Nearest(name, allowed); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return intro + " " + strings.Join(allowed, ", ")
}
