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
	UID        string  `json:"uid"`
	Title      string  `json:"title"`
	Panels     []panel `json:"panels"`
	Templating struct {
		List []variable `json:"list"`
	} `json:"templating"`
}

type variable struct {
	Name  string `json:"name"`
	Query struct {
		RawSQL string `json:"rawSql"`
	} `json:"query"`
}

type panel struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	Title       string `json:"title"`
	Description string `json:"description"`
	GridPos     struct {
		X, Y, W, H int
	} `json:"gridPos"`
	Targets []struct {
		RawSQL string `json:"rawSql"`
		Expr   string `json:"expr"`
	} `json:"targets"`
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
			if other, taken := uids[d.Title]; taken || d.Title == "" {
				t.Errorf("the title %q is empty or that of %s", d.Title, other)
			}
			uids[d.Title] = name
			checkSources(t, tree, sources)
			checkPanels(t, d.Panels)
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
	taken := map[[2]int]string{}
	for _, p := range panels {
		if other, ok := ids[p.ID]; ok {
			t.Errorf("%q has the id of %q", p.Title, other)
		}
		ids[p.ID] = p.Title
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("%q is wider than the grid", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				cell := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
				if other, ok := taken[cell]; ok && other != p.Title {
					t.Fatalf("%q lies over %q", p.Title, other)
				}
				taken[cell] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Title == "" || p.Description == "" || len(p.Targets) == 0 {
			t.Errorf("panel %d %q needs a title, a description and a query", p.ID, p.Title)
		}
		for _, target := range p.Targets {
			if target.RawSQL == "" && target.Expr == "" {
				t.Errorf("%q has an empty query", p.Title)
			}
		}
	}
}

// variableUse matches $name and ${name:format}; names that begin with two
// underscores are Grafana's own.
var variableUse = regexp.MustCompile(`\$\{?([A-Za-z]\w*)`)

// checkVariables looks for variables that a query uses and nothing defines, and
// for values that reach the SQL unquoted.
func checkVariables(t *testing.T, d dashboard) {
	t.Helper()
	var defined []string
	for _, v := range d.Templating.List {
		defined = append(defined, v.Name)
	}
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			for _, use := range variableUse.FindAllStringSubmatch(target.RawSQL+target.Expr, -1) {
				if !slices.Contains(defined, use[1]) {
					t.Errorf("%q uses the variable %s, which is not defined", p.Title, use[1])
				}
			}
			// $__conditionalAll reads its last argument itself; it does not reach the SQL.
			sql := regexp.MustCompile(`, \$\w+\)`).ReplaceAllString(target.RawSQL, ")")
			for _, use := range regexp.MustCompile(`\$(\{\w+\}|[A-Za-z]\w*)`).FindAllString(sql, -1) {
				t.Errorf("%q puts %s into its SQL unquoted; write ${name:sqlstring}", p.Title, use)
			}
		}
	}
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
