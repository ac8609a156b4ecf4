package sinks

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/types"
	"github.com/expr-lang/expr/vm"

	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
)

// What a filter may cost: parts of the expression, and elements of lists and
// bytes of texts that it makes for one row.
const (
	maxFilterNodes  = 1000
	maxFilterMemory = 1 << 20
)

// refusedInFilters are what could make a filter choose otherwise when a batch
// is written again, or take no end of time.
var refusedInFilters = map[string]string{
	"now":     "a batch that is written again must hold the same rows; compare received_at with a date, as in received_at > date(\"2026-01-01\")",
	"keys":    "the order of its result is random",
	"values":  "the order of its result is random",
	"toPairs": "the order of its result is random",
	"$env":    "name the columns themselves",
	"..":      "write the bounds, as in points_delta >= 1 && points_delta <= 10",
}

// A filter is an expression that has been compiled for one table.
type filter struct {
	program *vm.Program
	columns []schema.Column // that the expression names
}

// compile returns the filter, or an error that tells the place in the
// expression, as line and column from 1.
func compile(expression string, t *schema.Table) (*filter, error) {
	limits := conf.CreateNew()
	limits.MaxNodes = maxFilterNodes
	tree, err := parser.ParseWithConfig(expression, limits)
	if err != nil {
		return nil, placed(err, expression, t)
	}
	seen := &seen{source: tree.Source, names: map[string]bool{}}
	ast.Walk(&tree.Node, seen)
	if seen.refused != nil {
		return nil, placed(seen.refused, expression, t)
	}
	program, err := expr.Compile(expression, expr.Env(typesOf(t)), expr.AsBool(), expr.MaxNodes(maxFilterNodes))
	if err != nil {
		return nil, placed(err, expression, t)
	}
	f := &filter{program: program}
	for _, c := range t.Columns {
		first, _, _ := strings.Cut(c.Name, ".")
		if seen.names[first] {
			f.columns = append(f.columns, c)
		}
	}
	return f, nil
}

// seen are the names in an expression, and the first thing that is refused.
type seen struct {
	source  file.Source
	names   map[string]bool
	refused error
}

// Visit implements [ast.Visitor].
func (s *seen) Visit(node *ast.Node) {
	name := ""
	switch n := (*node).(type) {
	case *ast.IdentifierNode:
		s.names[n.Value] = true
		if n.Value == "$env" {
			name = n.Value
		}
	case *ast.BuiltinNode:
		name = n.Name
		s.try(n)
	case *ast.BinaryNode:
		name = n.Operator
	}
	if why, is := refusedInFilters[name]; is {
		s.refuse(*node, fmt.Sprintf("%s cannot be used: %s", name, why))
	}
}

// try calls a function of nothing but texts, as in date("2026-02-30"), which
// would fail for every row otherwise.
func (s *seen) try(n *ast.BuiltinNode) {
	for _, argument := range n.Arguments {
		if _, ok := argument.(*ast.StringNode); !ok {
			return
		}
	}
	if len(n.Arguments) == 0 {
		return
	}
	if _, err := expr.Eval(n.String(), nil); err != nil {
		message := err.Error()
		if failed, ok := errors.AsType[*file.Error](err); ok {
			message = failed.Message
		}
		s.refuse(n, message)
	}
}

// refuse notes the first thing that cannot be in a filter.
func (s *seen) refuse(node ast.Node, message string) {
	if s.refused == nil {
		s.refused = (&file.Error{Location: node.Location(), Message: message}).Bind(s.source)
	}
}

// placed returns an error of the compiler in one line, with what may have been
// meant.
func placed(err error, expression string, t *schema.Table) error {
	at, ok := errors.AsType[*file.Error](err)
	if !ok {
		return fmt.Errorf("%w; a filter is true or false", err)
	}
	hint := ""
	if name := nameAt(expression, at.From); name != "" && at.Prev == nil {
		var names []string
		for _, c := range t.Columns {
			names = append(names, c.Name)
		}
		if !slices.Contains(names, name) {
			hint = strictyaml.Nearest(name, names)
		}
	}
	if hint != "" {
		hint = fmt.Sprintf("; did you mean %q?", hint)
	}
	return fmt.Errorf("%d:%d: %s%s", at.Line, at.Column+1, at.Message, hint)
}

// nameAt returns the name that begins at a rune of the expression.
func nameAt(expression string, from int) string {
	runes := []rune(expression)
	if from < 0 || from > len(runes) {
		return ""
	}
	name := runes[from:]
	if end := slices.IndexFunc(name, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }); end >= 0 {
		name = name[:end]
	}
	return string(name)
}

// typesOf returns the types of the columns' values in expressions. A column
// that may be NULL is a pointer for the checks, and its value or nil in a row.
func typesOf(t *schema.Table) types.Map {
	all := types.Map{}
	for _, c := range t.Columns {
		first, member, nested := strings.Cut(c.Name, ".")
		if !nested {
			all[c.Name] = typeOf(c)
			continue
		}
		inner, ok := all[first].(types.Map)
		if !ok {
			inner = types.Map{}
			all[first] = inner
		}
		inner[member] = typeOf(c)
	}
	return all
}

func typeOf(c schema.Column) types.Type {
	switch c.Type {
	case schema.Bool:
		return shapeOf[bool](c)
	case schema.Int64:
		return shapeOf[int64](c)
	case schema.Time, schema.Date:
		return shapeOf[time.Time](c)
	default:
		return shapeOf[string](c)
	}
}

func shapeOf[T any](c schema.Column) types.Type {
	switch {
	case c.Array:
		return types.TypeOf([]T{})
	case c.Nullable:
		return types.TypeOf((*T)(nil))
	default:
		return types.TypeOf(*new(T))
	}
}

// A filterRun tests rows, one at a time.
type filterRun struct {
	program *vm.Program
	machine vm.VM
	row     map[string]any
	cells   []filterCell
}

// A filterCell is where the expression finds one column of a row.
type filterCell struct {
	column schema.Column
	index  int // in the row
	name   string
	in     map[string]any
}

// run prepares for rows of a table that has at least the filter's columns.
func (f *filter) run(t *schema.Table) *filterRun {
	r := &filterRun{program: f.program, machine: vm.VM{MemoryBudget: maxFilterMemory}, row: map[string]any{}}
	for _, c := range f.columns {
		cell := filterCell{column: c, index: t.Index(c.Name), name: c.Name, in: r.row}
		if first, member, nested := strings.Cut(c.Name, "."); nested {
			inner, ok := r.row[first].(map[string]any)
			if !ok {
				inner = map[string]any{}
				r.row[first] = inner
			}
			cell.name, cell.in = member, inner
		}
		r.cells = append(r.cells, cell)
	}
	return r
}

// takes reports whether the filter is true for the row. Its error has the place
// in the expression alone, for the message of what failed can quote a value.
func (r *filterRun) takes(row schema.Row) (bool, error) {
	for i := range r.cells {
		cell := &r.cells[i]
		cell.in[cell.name] = valueOf(&cell.column, &row[cell.index])
	}
	result, err := r.machine.Run(r.program, r.row)
	if err != nil {
		place := ""
		if at, ok := errors.AsType[*file.Error](err); ok {
			place = fmt.Sprintf(" at %d:%d", at.Line, at.Column+1)
		}
		return false, fmt.Errorf("the filter cannot be told for this row%s; where a column may be NULL, give it a value, as in (points_balance ?? 0) > 100", place)
	}
	takes, ok := result.(bool)
	if !ok {
		return false, errors.New("the filter is neither true nor false for this row")
	}
	return takes, nil
}

func valueOf(c *schema.Column, v *schema.Value) any {
	switch c.Type {
	case schema.Bool:
		return shaped(c, v, func(v *schema.Value) bool { return v.Int != 0 })
	case schema.Int64:
		return shaped(c, v, func(v *schema.Value) int64 { return v.Int })
	case schema.Time:
		return shaped(c, v, func(v *schema.Value) time.Time { return time.UnixMilli(v.Int).UTC() })
	case schema.Date:
		return shaped(c, v, func(v *schema.Value) time.Time { return time.Unix(v.Int*24*60*60, 0).UTC() })
	default:
		return shaped(c, v, func(v *schema.Value) string { return v.Text })
	}
}

// shaped returns the value, nil for NULL, or the list of values.
func shaped[T any](c *schema.Column, v *schema.Value, scalar func(*schema.Value) T) any {
	switch {
	case c.Array:
		list := make([]T, len(v.List))
		for i := range v.List {
			list[i] = scalar(&v.List[i])
		}
		return list
	case c.Nullable && !v.Set:
		return nil
	case c.Nullable:
		return new(scalar(v))
	default:
		return scalar(v)
	}
}
