package dashboards_test

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/template"
	"time"

	"github.com/prometheus/common/model"
	promql "github.com/prometheus/prometheus/promql/parser"
)

// severities are the values of the label severity.
var severities = []string{"critical", "warning", "info"}

// ruleGroups is Prometheus' format for rules, as far as the files use it. Its
// own reader would bring Kubernetes' client along; the expressions are read by
// its own parser.
type ruleGroups struct {
	Groups []ruleGroup `yaml:"groups"`
}

type ruleGroup struct {
	Name  string `yaml:"name"`
	Rules []rule `yaml:"rules"`
}

type rule struct {
	Alert       string            `yaml:"alert"`
	Expr        string            `yaml:"expr"`
	For         string            `yaml:"for"`
	Labels      map[string]string `yaml:"labels"`
	Annotations map[string]string `yaml:"annotations"`
}

func TestPrometheusRules(t *testing.T) {
	metrics := exposed(t)
	page := read(t, "../docs/dashboards.md")
	names := map[string]bool{}
	for _, file := range ruleFiles(t) {
		var rules ruleGroups
		decode(t, file, &rules)
		for _, group := range rules.Groups {
			if names["group "+group.Name] || group.Name == "" {
				t.Errorf("two groups are called %q", group.Name)
			}
			names["group "+group.Name] = true
			for _, r := range group.Rules {
				if names[r.Alert] || !regexp.MustCompile(`^[A-Z][A-Za-z]+$`).MatchString(r.Alert) {
					t.Errorf("two rules are called %q, or it is no name", r.Alert)
				}
				names[r.Alert] = true
				if _, err := model.ParseDuration(r.For); r.For != "" && err != nil {
					t.Errorf("%s: %v", r.Alert, err)
				}
				checkExpression(t, r.Alert, r.Expr, metrics)
				checkAlert(t, r.Alert, r.Labels, r.Annotations)
				checkDashboard(t, r.Alert, strings.TrimPrefix(r.Annotations["dashboard"], "/d/"))
				checkRuleLabels(t, r)
				if !strings.Contains(page, "`"+r.Alert+"`") {
					t.Errorf("docs/dashboards.md does not tell of the alert %s", r.Alert)
				}
			}
		}
	}
}

// checkRuleLabels looks for labels in the texts that the expression does not keep.
func checkRuleLabels(t *testing.T, r rule) {
	t.Helper()
	var kept []string
	parsed, err := promql.ParseExpr(r.Expr)
	if err != nil {
		return // checkExpression has told.
	}
	if strings.HasPrefix(r.Expr, "up") {
		kept = []string{"instance", "job"}
	}
	promql.Inspect(parsed, func(node promql.Node, _ []promql.Node) error {
		if aggregate, ok := node.(*promql.AggregateExpr); ok && len(kept) == 0 {
			kept = aggregate.Grouping
		}
		return nil
	})
	for _, use := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(r.Annotations["summary"]+r.Annotations["description"], -1) {
		if !slices.Contains(kept, use[1]) {
			t.Errorf("%s names the label %s; its expression keeps %v", r.Alert, use[1], kept)
		}
	}
}

// ruleFiles returns the files that the configuration of Prometheus names, and
// makes sure that docker compose mounts them there.
func ruleFiles(t *testing.T) []string {
	t.Helper()
	const mounts = "      - ./dashboards/prometheus.yml:/etc/prometheus/prometheus.yml:ro\n      - ./dashboards/alerts:/etc/prometheus/alerts:ro\n"
	if !strings.Contains(read(t, "../docker-compose.yml"), mounts) {
		t.Errorf("docker-compose.yml does not mount what prometheus.yml reads:\n%s", mounts)
	}
	if !strings.Contains(read(t, "prometheus.yml"), "rule_files:\n  - alerts/*.yml\n") {
		t.Error("prometheus.yml does not read the rules")
	}
	names, err := filepath.Glob("alerts/*.yml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	return names
}

// alerting is Grafana's provisioning format for alert rules.
type alerting struct {
	APIVersion int          `yaml:"apiVersion"`
	Groups     []alertGroup `yaml:"groups"`
}

type alertGroup struct {
	OrgID    int           `yaml:"orgId"`
	Name     string        `yaml:"name"`
	Folder   string        `yaml:"folder"`
	Interval time.Duration `yaml:"interval"`
	Rules    []alertRule   `yaml:"rules"`
}

type alertRule struct {
	UID          string            `yaml:"uid"`
	Title        string            `yaml:"title"`
	Condition    string            `yaml:"condition"`
	For          time.Duration     `yaml:"for"`
	NoDataState  string            `yaml:"noDataState"`
	ExecErrState string            `yaml:"execErrState"`
	DashboardUID string            `yaml:"dashboardUid"`
	Labels       map[string]string `yaml:"labels"`
	Annotations  map[string]string `yaml:"annotations"`
	Data         []alertQuery      `yaml:"data"`
}

type alertQuery struct {
	RefID             string         `yaml:"refId"`
	DatasourceUID     string         `yaml:"datasourceUid"`
	RelativeTimeRange map[string]int `yaml:"relativeTimeRange"`
	Model             map[string]any `yaml:"model"`
}

func TestGrafanaRules(t *testing.T) {
	sources := provisioned(t)
	page := read(t, "../docs/dashboards.md")
	var folders providers
	decode(t, "provisioning/dashboards/dashboards.yaml", &folders)
	names, err := filepath.Glob("provisioning/alerting/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no rules: %v", err)
	}
	uids := map[string]bool{}
	for _, name := range names {
		var a alerting
		decode(t, name, &a)
		for _, group := range a.Groups {
			if group.Folder != folders.Providers[0].Folder || group.Interval <= 0 {
				t.Errorf("the group %s is in the folder %q, not that of the dashboards, or has no interval", group.Name, group.Folder)
			}
			for _, rule := range group.Rules {
				if uids[rule.UID] || !regexp.MustCompile(`^[a-zA-Z0-9_-]{1,40}$`).MatchString(rule.UID) {
					t.Errorf("the uid %q is taken, or none for Grafana", rule.UID)
				}
				uids[rule.UID] = true
				checkAlert(t, rule.Title, rule.Labels, rule.Annotations)
				checkDashboard(t, rule.Title, rule.DashboardUID)
				checkAlertQueries(t, rule, sources)
				if !strings.Contains(page, rule.Title) {
					t.Errorf("docs/dashboards.md does not tell of the alert %q", rule.Title)
				}
			}
		}
	}
}

// checkAlertQueries wants a query that names its rows, and a threshold over it.
func checkAlertQueries(t *testing.T, rule alertRule, sources map[string]datasource) {
	t.Helper()
	if rule.NoDataState != "OK" || rule.ExecErrState != "Error" {
		t.Errorf("%q: no row must be no alert, and an error must be seen", rule.Title)
	}
	refs := map[string]map[string]any{}
	for _, query := range rule.Data {
		refs[query.RefID] = query.Model
		if query.Model["refId"] != query.RefID {
			t.Errorf("%q: %q is another in its model", rule.Title, query.RefID)
		}
		if query.DatasourceUID == "__expr__" {
			if _, ok := refs[query.Model["expression"].(string)]; !ok || query.Model["type"] != "threshold" {
				t.Errorf("%q: %q is no threshold over a query before it", rule.Title, query.RefID)
			}
			continue
		}
		if _, ok := sources[query.DatasourceUID]; !ok || query.Model["rawSql"] == "" {
			t.Errorf("%q: %q does not ask a provisioned data source", rule.Title, query.RefID)
		}
	}
	if _, ok := refs[rule.Condition]; !ok {
		t.Errorf("%q: the condition %q is none of its queries", rule.Title, rule.Condition)
	}
	for _, use := range regexp.MustCompile(`\$labels\.(\w+)`).FindAllStringSubmatch(rule.Annotations["summary"]+rule.Annotations["description"], -1) {
		if !regexp.MustCompile(`\b` + use[1] + `\b`).MatchString(refs["rows"]["rawSql"].(string)) {
			t.Errorf("%q names the label %s, which its query does not give", rule.Title, use[1])
		}
	}
}

func checkAlert(t *testing.T, name string, labels, annotations map[string]string) {
	t.Helper()
	if !slices.Contains(severities, labels["severity"]) {
		t.Errorf("%q has the severity %q, want one of %v", name, labels["severity"], severities)
	}
	if annotations["summary"] == "" || !strings.HasSuffix(annotations["description"], ".") {
		t.Errorf("%q needs a summary, and a description that says what to do, in whole sentences", name)
	}
	// As Prometheus and Grafana begin each text.
	const variables = "{{$labels := .Labels}}{{$value := .Value}}{{$values := .Values}}"
	functions := template.FuncMap{"humanize": func(any) string { return "" }, "humanizeDuration": func(any) string { return "" }}
	for key, annotation := range annotations {
		if _, err := template.New(key).Funcs(functions).Parse(variables + annotation); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func checkDashboard(t *testing.T, alert, uid string) {
	t.Helper()
	if _, err := os.Stat(uid + ".json"); err != nil {
		t.Errorf("%q leads to the dashboard %q, which does not exist", alert, uid)
	}
}
