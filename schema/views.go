package schema

import (
	"slices"
	"strings"
)

// Views returns the views that the migrations create, each with its name and Doc
// and without a topic. A view that has the columns of one of the tables has them
// here too; of a view that computes its own none are listed.
func Views(tables []*Table) []*Table {
	all := make([]*Table, len(views))
	for i, v := range views {
		all[i] = &Table{Name: v.name, Doc: v.doc}
		for _, t := range tables {
			if t.Name == v.base() {
				all[i].Columns = slices.DeleteFunc(slices.Clone(t.Columns), func(c Column) bool { return c.Name == "retracted" })
			}
		}
	}
	return all
}

// base returns the table whose columns the view has, or "" where it computes its own.
func (v *view) base() string {
	rest, found := strings.CutPrefix(v.columns, "all of `")
	if !found {
		return ""
	}
	name, _, _ := strings.Cut(rest, "`")
	return name
}
