package schema_test

import (
	"slices"
	"testing"

	"loyaltyhouse/schema"
)

// A view of a fact table has its columns with their docs, but retracted.
func TestViewsHaveTheColumnsOfTheirTable(t *testing.T) {
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	tables := map[string]*schema.Table{}
	var all []*schema.Table
	for _, c := range contracts {
		all = append(all, c.FactTable())
		tables[c.Table] = c.FactTable()
	}
	views := map[string]schema.View{}
	for _, v := range schema.Views(all) {
		if v.Doc == "" {
			t.Errorf("view %s has no doc", v.Name)
		}
		views[v.Name] = v
	}
	for view, table := range map[string]string{
		"points": "fact_points", "store_credits": "fact_store_credits", "gift_cards": "fact_gift_cards",
		"customer_changes": "fact_customer_changes", "customers": "fact_customer_changes",
	} {
		var want []string
		for _, c := range tables[table].Columns[:len(tables[table].Columns)-1] {
			want = append(want, c.Name+" "+c.ClickHouseType()+" "+c.Doc)
		}
		var have []string
		for _, c := range views[view].Columns {
			have = append(have, c.Name+" "+c.Type+" "+c.Doc)
		}
		if !slices.Equal(have, want) {
			t.Errorf("view %s has other columns than %s without retracted: %v", view, table, have)
		}
	}
	for _, v := range views {
		for _, c := range v.Columns {
			if c.Doc == "" {
				t.Errorf("view %s: column %s has no doc", v.Name, c.Name)
			}
		}
		if len(v.Columns) == 0 {
			t.Errorf("view %s has no columns", v.Name)
		}
	}
}
