package dashboards_test

import (
	"encoding/xml"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Grafana's user may read what the dashboards and the alerts ask for, and the page on
// a Grafana of one's own says so.
func TestGrafanaMayReadWhatIsAsked(t *testing.T) {
	var users struct {
		Grants []string `xml:"users>grafana>grants>query"`
	}
	if err := xml.Unmarshal([]byte(read(t, "../config/clickhouse-users.xml")), &users); err != nil {
		t.Fatal(err)
	}
	var granted []string
	for _, grant := range users.Grants {
		granted = append(granted, strings.TrimPrefix(grant, "GRANT SELECT ON "))
		if page := strings.Join(strings.Fields(read(t, "../docs/dashboards.md")), " "); !strings.Contains(page, "`"+grant+"`") {
			t.Errorf("docs/dashboards.md does not tell of the right %q", grant)
		}
	}
	asked := map[string]bool{}
	for _, sql := range allSQL(t) {
		for _, table := range regexp.MustCompile(`\b(loyalty|system)\.(\w+)`).FindAllStringSubmatch(sql, -1) {
			asked[table[1]+"."+table[2]] = true
		}
	}
	for _, table := range slices.Sorted(maps.Keys(asked)) {
		database, _, _ := strings.Cut(table, ".")
		if !slices.Contains(granted, table) && !slices.Contains(granted, database+".*") {
			t.Errorf("clickhouse-users.xml does not let Grafana read %s", table)
		}
	}
	if len(asked) < 10 {
		t.Errorf("only %v are asked for", asked)
	}
}

// allSQL is what dashboards and alerts ask the warehouse.
func allSQL(t *testing.T) (all []string) {
	t.Helper()
	for _, d := range decoded(t) {
		for _, p := range d.Panels {
			for _, query := range p.Targets {
				all = append(all, query.RawSQL)
			}
		}
		for _, a := range d.Annotations.List {
			all = append(all, a.Target.RawSQL)
		}
		for _, v := range d.Templating.List {
			all = append(all, v.sql())
		}
	}
	names, err := filepath.Glob("provisioning/alerting/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		var a alerting
		decode(t, name, &a)
		for _, group := range a.Groups {
			for _, rule := range group.Rules {
				for _, query := range rule.Data {
					if sql, ok := query.Model["rawSql"].(string); ok {
						all = append(all, sql)
					}
				}
			}
		}
	}
	return all
}
