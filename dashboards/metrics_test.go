package dashboards_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	promql "github.com/prometheus/prometheus/promql/parser"
)

// A metric is one that the connector exposes.
type metric struct {
	labels    []string
	histogram bool
}

// foreign are metrics that Prometheus itself and the client library expose.
var foreign = []string{"up", "process_resident_memory_bytes", "go_memstats_heap_alloc_bytes", "go_goroutines"}

// exposed reads the connector's sources for the metrics that it makes: calls of
// the client library's constructors with the name written out in their options.
func exposed(t *testing.T) map[string]metric {
	t.Helper()
	metrics := map[string]metric{}
	for _, root := range []string{"../connector", "../sinks"} {
		err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") {
				return err
			}
			file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
			if err != nil {
				return err
			}
			ast.Inspect(file, func(node ast.Node) bool {
				if call, ok := node.(*ast.CallExpr); ok {
					if name, m, ok := constructed(call); ok {
						metrics[name] = m
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(metrics) < 20 {
		t.Fatalf("only %d metrics were found in the sources", len(metrics))
	}
	return metrics
}

// constructed reads prometheus.NewCounterVec(prometheus.CounterOpts{Name: …}, labels)
// and its like, and prometheus.NewDesc(name, help, labels, nil).
func constructed(call *ast.CallExpr) (string, metric, bool) {
	function, ok := call.Fun.(*ast.SelectorExpr)
	if !ok || len(call.Args) == 0 {
		return "", metric{}, false
	}
	if of, ok := function.X.(*ast.Ident); !ok || of.Name != "prometheus" {
		return "", metric{}, false
	}
	m := metric{histogram: strings.HasPrefix(function.Sel.Name, "NewHistogram")}
	var name string
	if function.Sel.Name == "NewDesc" {
		name = text(call.Args[0])
	}
	if options, ok := call.Args[0].(*ast.CompositeLit); ok {
		name = text(value(options, "Name"))
		if constant, ok := value(options, "ConstLabels").(*ast.CompositeLit); ok {
			for _, element := range constant.Elts {
				m.labels = append(m.labels, text(element.(*ast.KeyValueExpr).Key))
			}
		}
	}
	for _, argument := range call.Args[1:] {
		if list, ok := argument.(*ast.CompositeLit); ok {
			for _, element := range list.Elts {
				m.labels = append(m.labels, text(element))
			}
		}
	}
	return name, m, strings.HasPrefix(name, "loyaltyhouse_")
}

func value(literal *ast.CompositeLit, key string) ast.Expr {
	for _, element := range literal.Elts {
		if pair, ok := element.(*ast.KeyValueExpr); ok {
			if name, ok := pair.Key.(*ast.Ident); ok && name.Name == key {
				return pair.Value
			}
		}
	}
	return nil
}

func text(expression ast.Expr) string {
	literal, ok := expression.(*ast.BasicLit)
	if !ok {
		return ""
	}
	value, err := strconv.Unquote(literal.Value)
	if err != nil {
		return ""
	}
	return value
}

// checkExpression parses PromQL as Prometheus does, and looks whether each metric
// is one that is exposed, and each label one that the metric has.
func checkExpression(t *testing.T, where, expression string, metrics map[string]metric) {
	t.Helper()
	// Grafana puts a time here, at least four scrapes long.
	parsed, err := promql.ParseExpr(strings.ReplaceAll(expression, "$__rate_interval", "1m"))
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	promql.Inspect(parsed, func(node promql.Node, path []promql.Node) error {
		selector, ok := node.(*promql.VectorSelector)
		if !ok {
			return nil
		}
		m, known := find(selector.Name, metrics)
		if !known {
			t.Errorf("%s: nothing exposes the metric %s", where, selector.Name)
			return nil
		}
		if slices.Contains(foreign, selector.Name) {
			return nil
		}
		allowed := append(slices.Clone(m.labels), "instance", "job")
		if m.histogram {
			allowed = append(allowed, "le")
		}
		var used []string
		for _, matcher := range selector.LabelMatchers {
			if matcher.Name != model.MetricNameLabel {
				used = append(used, matcher.Name)
			}
		}
		for _, above := range path {
			if aggregate, ok := above.(*promql.AggregateExpr); ok && !aggregate.Without {
				used = append(used, aggregate.Grouping...)
			}
		}
		for _, label := range used {
			if !slices.Contains(allowed, label) {
				t.Errorf("%s: %s has no label %s; it has %v", where, selector.Name, label, allowed)
			}
		}
		return nil
	})
}

// find knows the three series of a histogram.
func find(name string, metrics map[string]metric) (metric, bool) {
	if slices.Contains(foreign, name) {
		return metric{}, true
	}
	m, ok := metrics[name]
	if ok && !m.histogram {
		return m, true
	}
	for _, suffix := range []string{"_bucket", "_sum", "_count"} {
		if base, cut := strings.CutSuffix(name, suffix); cut {
			if m, ok := metrics[base]; ok && m.histogram {
				return m, true
			}
		}
	}
	return metric{}, false
}

func TestExpressionsNameMetricsThatAreExposed(t *testing.T) {
	metrics := exposed(t)
	count := 0
	for uid, d := range decoded(t) {
		for _, p := range d.Panels {
			for _, query := range p.Targets {
				if query.Expr != "" {
					count++
					checkExpression(t, uid+": "+p.Title, query.Expr, metrics)
				}
			}
		}
	}
	if count == 0 {
		t.Error("no dashboard asks Prometheus")
	}
}

// TestPipelineShowsEveryMetric looks for metrics that nobody would see.
func TestPipelineShowsEveryMetric(t *testing.T) {
	shown := string(files(t)["pipeline.json"])
	for name := range exposed(t) {
		if !strings.Contains(shown, name) {
			t.Errorf("no panel shows %s", name)
		}
	}
}
