package config_test

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// pages are what a reader may follow word for word.
func pages(t *testing.T) []string {
	t.Helper()
	files := []string{"../README.md"}
	for _, pattern := range []string{"../docs/*.md", "../docs/adr/*.md", "../docs/sinks/*.md"} {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

// Links without a scheme lead to files, and those with a # to headings.
func TestLinksResolve(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, page := range pages(t) {
		for _, match := range link.FindAllStringSubmatch(read(t, page), -1) {
			if strings.Contains(match[1], "://") {
				continue
			}
			name, heading, _ := strings.Cut(match[1], "#")
			target := page
			if name != "" {
				target = filepath.Join(filepath.Dir(page), name)
			}
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", page, match[1], err)
				continue
			}
			if heading != "" && !slices.Contains(headings(read(t, target)), heading) {
				t.Errorf("%s links to %s, which has no heading #%s", page, target, heading)
			}
		}
	}
}

// headings returns the anchors of a page's headings.
func headings(text string) (anchors []string) {
	drop := regexp.MustCompile("[^a-z0-9 _-]")
	for _, match := range regexp.MustCompile(`(?m)^#+ (.+)$`).FindAllStringSubmatch(text, -1) {
		anchor := drop.ReplaceAllString(strings.ToLower(match[1]), "")
		anchors = append(anchors, strings.ReplaceAll(anchor, " ", "-"))
	}
	return anchors
}

// The page about a new kind of sink shows the code as it is.
func TestNewKindQuotesTheCode(t *testing.T) {
	blocks := regexp.MustCompile("(?s)```go\n// (\\S+)\n(.*?)```").FindAllStringSubmatch(read(t, "../docs/sinks/a-new-kind.md"), -1)
	if len(blocks) == 0 {
		t.Fatal("the page shows no code")
	}
	for _, block := range blocks {
		if !strings.Contains(read(t, filepath.Join("..", block[1])), block[2]) {
			t.Errorf("%s does not hold\n%s", block[1], block[2])
		}
	}
}

func TestNamedMakeTargetsExist(t *testing.T) {
	makefile := read(t, "../Makefile")
	named := regexp.MustCompile("(?m)(?:`|^ {4})(?:[A-Z_]+=\\S+ )*make ([a-z-]+)")
	for _, page := range pages(t) {
		for _, match := range named.FindAllStringSubmatch(read(t, page), -1) {
			if !regexp.MustCompile(`(?m)^` + match[1] + `:`).MatchString(makefile) {
				t.Errorf("%s names make %s, which the Makefile does not have", page, match[1])
			}
		}
	}
}

// A path in code style that begins with one of the repository's folders exists.
func TestNamedFilesExist(t *testing.T) {
	named := regexp.MustCompile("(?:`|[^.]\\./|[ =])((?:config|connector|dashboards|docs|schema|sinks)/[A-Za-z0-9_./-]*[A-Za-z0-9])")
	for _, page := range pages(t) {
		for _, match := range named.FindAllStringSubmatch(read(t, page), -1) {
			if match[1] == "config/tier_changes.yaml" {
				continue // The worked example has the reader write it.
			}
			if _, err := os.Stat(filepath.Join("..", match[1])); err != nil {
				t.Errorf("%s names %s: %v", page, match[1], err)
			}
		}
	}
}

// The worked example of a topic of one's own does what the page says.
func TestContractExampleWorks(t *testing.T) {
	_, text, _ := strings.Cut(read(t, "../docs/configuration.md"), "## A topic of your own")
	blocks := func(language string) (found []string) {
		for _, match := range regexp.MustCompile("(?s)```"+language+"\n(.*?)```").FindAllStringSubmatch(text, -1) {
			found = append(found, match[1])
		}
		return found
	}
	contract, err := schema.Parse("docs/configuration.md", []byte(blocks("yaml")[0]))
	if err != nil {
		t.Fatal(err)
	}
	normalizer, err := normalize.New([]*schema.Contract{contract}, false)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)
	body := blocks("json")[0]
	result := normalizer.Normalize(normalize.Delivery{Topic: contract.Webhooks[0], Body: []byte(body), ReceivedAt: now}, now)
	if result.Reject != nil {
		t.Fatal(result.Reject)
	}
	var have, want bytes.Buffer
	if err := json.Indent(&have, result.Table.AppendRow(nil, result.Row), "", "  "); err != nil {
		t.Fatal(err)
	}
	if err := json.Indent(&want, []byte(blocks("json")[1]), "", "  "); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.TrimSpace(want.String()), have.String()); diff != "" {
		t.Errorf("the page's row (-) and the row of its body (+) differ:\n%s", diff)
	}

	var columns []string
	for _, c := range contract.FactTable().Columns {
		name := c.Name
		if strings.Contains(name, ".") {
			name = "`" + name + "`"
		}
		columns = append(columns, "    "+name+" "+c.ClickHouseType())
	}
	_, definition, _ := strings.Cut(blocks("sql")[0], "(\n")
	definition, _, _ = strings.Cut(definition, "\n)\n")
	if diff := cmp.Diff(strings.Join(columns, ",\n"), definition); diff != "" {
		t.Errorf("the contract's columns (-) and the page's CREATE TABLE (+) differ:\n%s", diff)
	}
}

// docs/operation.md describes every metric and every reason of a dead letter.
func TestOperationNamesMetricsAndReasons(t *testing.T) {
	page := read(t, "../docs/operation.md")
	metric := regexp.MustCompile(`"(loyaltyhouse_[a-z_]+)"`)
	for file, text := range goFiles(t) {
		for _, match := range metric.FindAllStringSubmatch(text, -1) {
			if !strings.Contains(page, "`"+match[1]+"`") {
				t.Errorf("docs/operation.md lacks the metric %s of %s", match[1], file)
			}
		}
	}
	reasons := []string{sinks.Undecodable, sinks.RowRefused, sinks.FilterFailed}
	for _, r := range normalize.Reasons() {
		reasons = append(reasons, string(r))
	}
	for _, r := range reasons {
		if !strings.Contains(page, "| `"+r+"` |") {
			t.Errorf("docs/operation.md lacks the reason %s", r)
		}
	}
}

// The messages in the table of troubles are those of the code: what stands
// between two … is somewhere in it.
func TestTroubleshootingQuotesTheCode(t *testing.T) {
	_, section, found := strings.Cut(read(t, "../docs/operation.md"), "## Troubleshooting")
	if !found {
		t.Fatal("docs/operation.md has no section Troubleshooting")
	}
	files := goFiles(t)
	rows := regexp.MustCompile("(?m)^\\| `([^`]+)` \\|").FindAllStringSubmatch(section, -1)
	if len(rows) == 0 {
		t.Fatal("the section Troubleshooting has no table of messages")
	}
	for _, row := range rows {
		for fragment := range strings.SplitSeq(row[1], "…") {
			fragment = strings.TrimSpace(fragment)
			known := fragment == ""
			for _, text := range files {
				known = known || strings.Contains(text, fragment)
			}
			if !known {
				t.Errorf("docs/operation.md quotes a message that no code has: %q", fragment)
			}
		}
	}
}

// goFiles returns the texts of all Go files that are not tests.
func goFiles(t *testing.T) map[string]string {
	t.Helper()
	files := map[string]string{}
	for _, folder := range []string{"../config", "../connector", "../schema", "../sinks"} {
		err := filepath.WalkDir(folder, func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go") {
				files[path] = read(t, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}
