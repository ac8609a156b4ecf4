package schema_test

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
)

var update = flag.Bool("update", false, "write docs/data-dictionary.md anew")

const dictionaryFile = "../docs/data-dictionary.md"

func TestDictionaryIsThatOfTheContracts(t *testing.T) {
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	want := schema.Dictionary(contracts)
	if *update {
		if err := os.WriteFile(dictionaryFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(dictionaryFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("docs/data-dictionary.md differs from the contracts (- contracts, + file); run: go test ./schema -run Dictionary -update\n%s", diff)
	}
}

// Each view of the migrations is described, with every column that it computes.
func TestDictionaryListsTheViewsOfTheMigrations(t *testing.T) {
	var sql string
	for _, file := range []string{"migrations/0003_views.up.sql", "migrations/0004_retractions.up.sql"} {
		text, err := schema.Migrations.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sql += string(text)
	}
	described := regexp.MustCompile("(?m)^\\| `(\\w+)` \\| (.+?) \\| .+ \\|$")
	_, section, _ := strings.Cut(string(schema.Dictionary(nil)), "\n## Views\n")
	section, _, _ = strings.Cut(section, "\n## ")
	var want, have []string
	columns := map[string]string{}
	for _, row := range described.FindAllStringSubmatch(section, -1) {
		have = append(have, row[1])
		columns[row[1]] = row[2]
	}
	for _, created := range regexp.MustCompile(`(?s)CREATE (?:OR REPLACE )?VIEW (\w+) AS\s+(?:WITH\s.*?)?SELECT\s(.*?)\sFROM\b`).FindAllStringSubmatch(sql, -1) {
		name, selected := created[1], strings.TrimSpace(created[2])
		if !slices.Contains(want, name) {
			want = append(want, name) // A later migration may say it anew.
		}
		if selected == "*" || selected == "* EXCEPT (retracted)" {
			continue
		}
		var computed []string
		for line := range strings.Lines(selected) {
			fields := strings.Fields(strings.TrimSuffix(strings.TrimSpace(line), ","))
			if len(fields) > 0 {
				computed = append(computed, "`"+fields[len(fields)-1]+"`")
			}
		}
		if listed := strings.Join(computed, ", "); listed != columns[name] {
			t.Errorf("view %s: the dictionary lists the columns %s, the migration selects %s", name, columns[name], listed)
		}
	}
	if !slices.Equal(want, have) {
		t.Errorf("the migrations create the views %v, the dictionary lists %v", want, have)
	}
}
