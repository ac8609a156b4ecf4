package dashboards_test

import (
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"loyaltyhouse/dashboards"
	"loyaltyhouse/schema/strictyaml"
)

type dashboard struct {
	UID         string  `json:"uid"`
	Title       string  `json:"title"`
	Description string  `json:"description"`
	Panels      []panel `json:"panels"`
	Templating  struct {
		List []variable `json:"list"`
	} `json:"templating"`
	Annotations struct {
		List []struct {
			Name   string `json:"name"`
			Target target `json:"target"`
		} `json:"list"`
	} `json:"annotations"`
	Links []struct {
		Title       string `json:"title"`
		URL         string `json:"url"`
		KeepTime    bool   `json:"keepTime"`
		IncludeVars bool   `json:"includeVars"`
	} `json:"links"`
}

type variable struct {
	Name string `json:"name"`
	Type string `json:"type"`
	// Query is a string where no data source is asked.
	Query json.RawMessage `json:"query"`
}

// sql returns the variable's query, empty where there is none.
func (v variable) sql() string {
	var query target
	if v.Type != "query" || json.Unmarshal(v.Query, &query) != nil {
		return ""
	}
	return query.RawSQL
}

type panel struct {
	ID          int               `json:"id"`
	Type        string            `json:"type"`
	Title       string            `json:"title"`
	Description string            `json:"description"`
	Datasource  map[string]string `json:"datasource"`
	GridPos     struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Targets         []target `json:"targets"`
	Transformations []any    `json:"transformations"`
	FieldConfig     struct {
		Defaults struct {
			Unit        string   `json:"unit"`
			Decimals    *float64 `json:"decimals"`
			NoValue     string   `json:"noValue"`
			DisplayName string   `json:"displayName"`
		} `json:"defaults"`
		Overrides []struct {
			Matcher struct {
				ID      string `json:"id"`
				Options string `json:"options"`
			} `json:"matcher"`
		} `json:"overrides"`
	} `json:"fieldConfig"`
	Options struct {
		Content       string `json:"content"`
		ReduceOptions struct {
			Fields string `json:"fields"`
		} `json:"reduceOptions"`
	} `json:"options"`
}

type target struct {
	RefID      string            `json:"refId"`
	Datasource map[string]string `json:"datasource"`
	Format     any               `json:"format"`
	RawSQL     string            `json:"rawSql"`
	Expr       string            `json:"expr"`
	// Legend names the series of Expr, and Instant asks for the present alone.
	Legend  string `json:"legendFormat"`
	Instant bool   `json:"instant"`
}

// datasources is Grafana's provisioning format for data sources.
type datasources struct {
	APIVersion  int          `yaml:"apiVersion"`
	Datasources []datasource `yaml:"datasources"`
}

type datasource struct {
	Name           string            `yaml:"name"`
	UID            string            `yaml:"uid"`
	Type           string            `yaml:"type"`
	Access         string            `yaml:"access"`
	URL            string            `yaml:"url"`
	IsDefault      bool              `yaml:"isDefault"`
	Editable       bool              `yaml:"editable"`
	JSONData       map[string]any    `yaml:"jsonData"`
	SecureJSONData map[string]string `yaml:"secureJsonData"`
}

// providers is Grafana's provisioning format for dashboards.
type providers struct {
	APIVersion int        `yaml:"apiVersion"`
	Providers  []provider `yaml:"providers"`
}

type provider struct {
	Name            string            `yaml:"name"`
	Folder          string            `yaml:"folder"`
	Type            string            `yaml:"type"`
	DisableDeletion bool              `yaml:"disableDeletion"`
	AllowUIUpdates  bool              `yaml:"allowUiUpdates"`
	Options         map[string]string `yaml:"options"`
}

func TestDatasources(t *testing.T) {
	for uid, source := range provisioned(t) {
		if uid == "" || source.Name == "" {
			t.Errorf("a data source lacks its uid or name: %+v", source)
		}
		for key, secret := range source.SecureJSONData {
			if !regexp.MustCompile(`^\$[A-Z_]+$`).MatchString(secret) {
				t.Errorf("%s: %s must come from the environment, as $NAME", uid, key)
			}
		}
	}
}

func TestProvidersReadMountedDirectory(t *testing.T) {
	var p providers
	decode(t, "provisioning/dashboards/dashboards.yaml", &p)
	compose := read(t, "../docker-compose.yml")
	for _, provider := range p.Providers {
		if mount := "- ./dashboards:" + provider.Options["path"] + ":ro\n"; !strings.Contains(compose, mount) {
			t.Errorf("docker-compose.yml does not mount the dashboards where the provider %q reads them: %s", provider.Name, mount)
		}
	}
}

func TestDashboards(t *testing.T) {
	sources := provisioned(t)
	uids := map[string]string{}
	for name, data := range files(t) {
		t.Run(name, func(t *testing.T) {
			var d dashboard
			var tree any
			if err := json.Unmarshal(data, &d); err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(data, &tree); err != nil {
				t.Fatal(err)
			}
			if d.UID+".json" != name {
				t.Errorf("the uid is %q; it must be the name of the file, which links depend on", d.UID)
			}
			if other, taken := uids[d.Title]; taken || d.Title == "" || d.Description == "" {
				t.Errorf("the title %q is empty or that of %s, or there is no description", d.Title, other)
			}
			uids[d.Title] = name
			checkSources(t, tree, sources)
			checkPanels(t, d.Panels)
			checkQueries(t, d)
			checkVariables(t, d)
		})
	}
}

// checkSources looks for data sources anywhere in the dashboard.
func checkSources(t *testing.T, tree any, sources map[string]datasource) {
	t.Helper()
	switch node := tree.(type) {
	case []any:
		for _, item := range node {
			checkSources(t, item, sources)
		}
	case map[string]any:
		for key, value := range node {
			if key != "datasource" {
				checkSources(t, value, sources)
				continue
			}
			ref, _ := value.(map[string]any)
			uid, _ := ref["uid"].(string)
			if source, ok := sources[uid]; !ok || ref["type"] != source.Type {
				t.Errorf("the data source %v is not a provisioned one", value)
			}
		}
	}
}

func checkPanels(t *testing.T, panels []panel) {
	t.Helper()
	if len(panels) == 0 {
		t.Error("there is no panel")
	}
	ids := map[int]string{}
	titles := map[string]bool{}
	taken := map[[2]int]string{}
	for _, p := range panels {
		if other, ok := ids[p.ID]; ok || p.ID == 0 {
			t.Errorf("%q has the id of %q", p.Title, other)
		}
		ids[p.ID] = p.Title
		if titles[p.Title] {
			t.Errorf("two panels are called %q", p.Title)
		}
		titles[p.Title] = true
		if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
			t.Errorf("%q is wider than the grid, or has no size", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, ok := taken[cell]; ok {
					t.Fatalf("%q lies over %q", p.Title, other)
				}
				taken[cell] = p.Title
			}
		}
		checkPanel(t, p)
	}
}

// kinds are the panels that the pages of the connector can draw, too.
var kinds = []string{"stat", "timeseries", "barchart", "piechart", "table", "gauge", "bargauge", "text"}

func checkPanel(t *testing.T, p panel) {
	t.Helper()
	if !slices.Contains(kinds, p.Type) {
		t.Errorf("%q is a %s, which is none of %v", p.Title, p.Type, kinds)
	}
	if p.Title == "" || !strings.HasSuffix(p.Description, ".") {
		t.Errorf("panel %d %q needs a title, and a description in whole sentences", p.ID, p.Title)
	}
	if len(p.Transformations) > 0 {
		t.Errorf("%q transforms what its query gives; let the query give it", p.Title)
	}
	if p.Type == "text" {
		if len(p.Targets) > 0 || p.Options.Content == "" {
			t.Errorf("%q is a text and needs words, and no query", p.Title)
		}
		return
	}
	field := p.FieldConfig.Defaults
	if field.Unit == "" || field.Decimals == nil || field.NoValue == "" {
		t.Errorf("%q needs a unit, decimals, and what stands where there is no value", p.Title)
	}
	if len(p.Targets) == 0 {
		t.Errorf("%q asks for nothing", p.Title)
	}
	refs := map[string]bool{}
	for _, query := range p.Targets {
		if refs[query.RefID] || query.RefID == "" {
			t.Errorf("%q has two queries called %q", p.Title, query.RefID)
		}
		refs[query.RefID] = true
		if query.Datasource["uid"] != p.Datasource["uid"] {
			t.Errorf("%q asks several data sources", p.Title)
		}
		if (query.RawSQL == "") == (query.Expr == "") {
			t.Errorf("%q needs one query, SQL or PromQL", p.Title)
		}
		if query.RawSQL != "" && (p.Type == "timeseries") != (query.Format == 0.0) {
			t.Errorf("%q is a %s and asks for format %v; 0 is for time series and 1 for all others", p.Title, p.Type, query.Format)
		}
	}
}

// checkQueries compares the SQL with what the panel makes of its columns.
func checkQueries(t *testing.T, d dashboard) {
	t.Helper()
	for _, p := range d.Panels {
		for _, query := range p.Targets {
			if query.RawSQL == "" {
				continue
			}
			has := func(column string) bool {
				return regexp.MustCompile(`(?m)(AS |^ +|, )("` + regexp.QuoteMeta(column) + `"|` + regexp.QuoteMeta(column) + `)(,|$)`).MatchString(query.RawSQL)
			}
			for _, o := range p.FieldConfig.Overrides {
				if o.Matcher.ID == "byRegexp" && o.Matcher.Options == "/.*/" {
					continue
				}
				if o.Matcher.ID != "byName" || !has(o.Matcher.Options) {
					t.Errorf("%q changes the look of the column %q, which its query does not give", p.Title, o.Matcher.Options)
				}
			}
			if column, ok := strings.CutPrefix(p.Options.ReduceOptions.Fields, "/^"); ok && !has(strings.TrimSuffix(column, "$/")) {
				t.Errorf("%q shows the column %q, which its query does not give", p.Title, column)
			}
			if label := strings.TrimSuffix(strings.TrimPrefix(p.FieldConfig.Defaults.DisplayName, "${__field.labels."), "}"); label != "" && !has(label) {
				t.Errorf("%q names its series by the column %q, which its query does not give", p.Title, label)
			}
			for _, limit := range regexp.MustCompile(`(?m)^LIMIT (\d?)(\d{3})$`).FindAllStringSubmatch(query.RawSQL, -1) {
				if most := strings.TrimPrefix(limit[1]+","+limit[2], ","); !strings.Contains(p.Description, " "+most+" ") && !strings.Contains(p.Description, " "+most+".") {
					t.Errorf("%q shows at most %s rows and does not say so", p.Title, most)
				}
			}
			if p.Type == "timeseries" && !has("time") {
				t.Errorf("%q has no column time", p.Title)
			}
			if !regexp.MustCompile(`(?s)__timeFilter|__fromTime|_cached|buyer_id = |customer_id = |freshness`).MatchString(query.RawSQL) {
				t.Errorf("%q reads all history from a live view", p.Title)
			}
		}
	}
}

// variableUse matches $name and ${name:format}; names that begin with two
// underscores are Grafana's own.
var variableUse = regexp.MustCompile(`\$\{?([A-Za-z]\w*)`)

// checkVariables looks for variables that a query uses and nothing defines, for
// those that nothing uses, and for values that reach the SQL unquoted.
func checkVariables(t *testing.T, d dashboard) {
	t.Helper()
	queries := map[string]string{}
	for _, p := range d.Panels {
		for _, query := range p.Targets {
			queries[p.Title+" "+query.RefID] = query.RawSQL + query.Expr
		}
	}
	for _, a := range d.Annotations.List {
		if a.Target.RawSQL == "" {
			t.Errorf("the annotation %q asks for nothing", a.Name)
		}
		queries["annotation "+a.Name] = a.Target.RawSQL
	}
	used := map[string]bool{}
	var defined []string
	for _, v := range d.Templating.List {
		defined = append(defined, v.Name)
		if v.Type == "query" && v.sql() == "" {
			t.Errorf("the variable %s asks for nothing", v.Name)
		}
		queries["variable "+v.Name] = v.sql()
	}
	for name, query := range queries {
		for _, use := range variableUse.FindAllStringSubmatch(query, -1) {
			used[use[1]] = true
			if !slices.Contains(defined, use[1]) {
				t.Errorf("%q uses the variable %s, which is not defined", name, use[1])
			}
		}
		// $__conditionalAll reads its last argument itself; it does not reach the SQL.
		sql := regexp.MustCompile(`, \$\w+\)`).ReplaceAllString(query, ")")
		for _, use := range regexp.MustCompile(`\$(\{\w+\}|[A-Za-z]\w*)`).FindAllString(sql, -1) {
			t.Errorf("%q puts %s into its SQL unquoted; write ${name:sqlstring}", name, use)
		}
	}
	for _, name := range defined {
		if !used[name] {
			t.Errorf("nothing uses the variable %s", name)
		}
	}
}

// TestLinks follows the links between dashboards, and those in tables.
func TestLinks(t *testing.T) {
	all := decoded(t)
	for uid, d := range all {
		linked := map[string]bool{}
		for _, link := range d.Links {
			linked[strings.TrimPrefix(link.URL, "/d/")] = true
			if !link.KeepTime || !link.IncludeVars {
				t.Errorf("%s: the link to %q loses the time or the variables", uid, link.Title)
			}
		}
		for other := range all {
			if other != uid && !linked[other] {
				t.Errorf("%s has no link to %s", uid, other)
			}
		}
		for path, query := range dashboardPaths(string(files(t)[uid+".json"])) {
			to, ok := all[path]
			if !ok {
				t.Errorf("%s links to /d/%s, which is no dashboard", uid, path)
				continue
			}
			for _, use := range regexp.MustCompile(`var-(\w+)=`).FindAllStringSubmatch(query, -1) {
				if !slices.ContainsFunc(to.Templating.List, func(v variable) bool { return v.Name == use[1] }) {
					t.Errorf("%s sets the variable %s of %s, which it has not", uid, use[1], path)
				}
			}
		}
	}
}

// dashboardPaths returns the uids that a text leads to, each with its query.
func dashboardPaths(text string) map[string]string {
	paths := map[string]string{}
	for _, found := range regexp.MustCompile(`/d/([\w-]+)(\?[^"\s]*)?`).FindAllStringSubmatch(text, -1) {
		paths[found[1]] += found[2]
	}
	return paths
}

// TestDocumentation looks for dashboards that docs/dashboards.md does not explain.
func TestDocumentation(t *testing.T) {
	page := read(t, "../docs/dashboards.md")
	for uid, d := range decoded(t) {
		if !strings.Contains(page, "`"+uid+"`") || !strings.Contains(page, d.Title) {
			t.Errorf("docs/dashboards.md does not tell of %s, %q", uid, d.Title)
		}
	}
}

// decoded returns the dashboards by uid.
func decoded(t *testing.T) map[string]dashboard {
	t.Helper()
	all := map[string]dashboard{}
	for name, data := range files(t) {
		var d dashboard
		if err := json.Unmarshal(data, &d); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[d.UID] = d
	}
	return all
}

// files returns the embedded dashboards by name.
func files(t *testing.T) map[string][]byte {
	t.Helper()
	names, err := fs.Glob(dashboards.Files, "*.json")
	if err != nil || len(names) == 0 {
		t.Fatalf("no dashboards: %v", err)
	}
	all := make(map[string][]byte, len(names))
	for _, name := range names {
		data, err := dashboards.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		all[name] = data
	}
	return all
}

// provisioned returns the data sources of all provisioning files by uid.
func provisioned(t *testing.T) map[string]datasource {
	t.Helper()
	names, err := filepath.Glob("provisioning/datasources/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no data sources: %v", err)
	}
	all := map[string]datasource{}
	for _, name := range names {
		var d datasources
		decode(t, name, &d)
		for _, source := range d.Datasources {
			all[source.UID] = source
		}
	}
	return all
}

func decode(t *testing.T, name string, into any) {
	t.Helper()
	if err := strictyaml.Decode(name, []byte(read(t, name)), into); err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}
