package config_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"loyaltyhouse/config"
	"loyaltyhouse/schema"
	"loyaltyhouse/schema/schematest"
)

// glob returns the files of several patterns.
func glob(t *testing.T, patterns ...string) (files []string) {
	t.Helper()
	for _, pattern := range patterns {
		found, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	return files
}

func TestSchemaTakesEveryConfiguration(t *testing.T) {
	jsonSchema := schematest.Compile(t, config.JSONSchema)
	for _, file := range glob(t, "*.yaml", "examples/*.yaml") {
		if err := jsonSchema.Check([]byte(read(t, file))); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	if err := jsonSchema.Check([]byte(exampleText(t))); err != nil {
		t.Error(err)
	}
}

// Every file tells editors where its schema is.
func TestFilesNameTheirSchema(t *testing.T) {
	for _, of := range []struct {
		schema, pattern string
	}{
		{"connector.schema.json", "*.yaml"},
		{"../connector.schema.json", "examples/*.yaml"},
		{"contract.schema.json", "../schema/contracts/*.yaml"},
	} {
		for _, file := range glob(t, of.pattern) {
			if !strings.HasPrefix(read(t, file), "# yaml-language-server: $schema="+of.schema+"\n") {
				t.Errorf("the first line of %s does not name %s", file, of.schema)
			}
			read(t, filepath.Join(filepath.Dir(file), of.schema))
		}
	}
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// What the pages show is the beginning of a configuration, a sink's keys or a contract.
func TestSchemasTakeThePages(t *testing.T) {
	configurations, contracts := schematest.Compile(t, config.JSONSchema), schematest.Compile(t, schema.JSONSchema)
	var top struct {
		Properties map[string]any `json:"properties"`
	}
	if err := json.Unmarshal(config.JSONSchema, &top); err != nil {
		t.Fatal(err)
	}
	blocks := 0
	for _, page := range append(pages(t), glob(t, "../docs/sinks/*.md")...) {
		for _, match := range yamlBlock.FindAllStringSubmatch(read(t, page), -1) {
			blocks++
			text, jsonSchema := match[1], configurations
			var keys map[string]any
			if err := yaml.Load([]byte(text), &keys); err != nil {
				t.Errorf("%s: %v", page, err)
				continue
			}
			switch {
			case keys["fields"] != nil:
				jsonSchema = contracts
			case slices.ContainsFunc(slices.Collect(maps.Keys(keys)), func(key string) bool { return top.Properties[key] == nil }):
				text = "sinks:\n  - name: look\n    stdout: {}\n    " + strings.ReplaceAll(text, "\n", "\n    ") + "\nreceiver: {secrets: x}\n"
			default:
				if keys["sinks"] == nil {
					text += "sinks: [{name: look, stdout: {}}]\n"
				}
				if keys["receiver"] == nil {
					text += "receiver: {secrets: x}\n"
				}
			}
			if err := jsonSchema.Check([]byte(text)); err != nil {
				t.Errorf("%s: %v\n%s", page, err, match[1])
			}
		}
	}
	if blocks == 0 {
		t.Error("the pages have no block of YAML")
	}
}

// An editor marks what the connector refuses.
func TestSchemaRefusesMistakes(t *testing.T) {
	const receiver = "receiver: {secrets: x}\n"
	const right = receiver + "sinks: [{name: a, stdout: {}}]\n"
	sink := func(keys string) string { return receiver + "sinks: [{name: a, " + keys + "}]\n" }
	tests := map[string]string{
		"an unknown section":              right + "sink: []\n",
		"an unknown key":                  "receiver: {secrets: x, max_body: 1}\nsinks: [{name: a, stdout: {}}]\n",
		"an unknown key of a sink":        sink("stdout: {}, topic: [points]"),
		"an unknown key of a kind":        sink("clickhouse: {address: 'a:1'}"),
		"an unknown key below":            right + "kafka: {tls: {enabled: true, ca: x}}\n",
		"no receiver":                     "sinks: [{name: a, stdout: {}}]\n",
		"an empty receiver":               "receiver:\nsinks: [{name: a, stdout: {}}]\n",
		"no secrets":                      "receiver: {address: ':1'}\nsinks: [{name: a, stdout: {}}]\n",
		"an empty list of secrets":        "receiver: {secrets: []}\nsinks: [{name: a, stdout: {}}]\n",
		"an empty secret":                 "receiver: {secrets: ['']}\nsinks: [{name: a, stdout: {}}]\n",
		"secrets of commas":               "receiver: {secrets: ','}\nsinks: [{name: a, stdout: {}}]\n",
		"no sinks":                        receiver,
		"an empty list of sinks":          receiver + "sinks: []\n",
		"a sink that is nothing":          receiver + "sinks: [~]\n",
		"a sink without a name":           receiver + "sinks: [{stdout: {}}]\n",
		"a bad name":                      receiver + "sinks: [{name: My sink, stdout: {}}]\n",
		"a sink without a kind":           sink("topics: [points]"),
		"a sink of two kinds":             sink("stdout: {}, clickhouse: {}"),
		"files without a place":           sink("files: {format: parquet}"),
		"files of nothing":                sink("files: ~"),
		"files of two places":             sink("files: {local: {directory: /a}, gcs: {bucket: b}}"),
		"a bucket without a region":       sink("files: {s3: {bucket: b}}"),
		"a relative directory":            sink("files: {local: {directory: a}}"),
		"a partition by month":            sink("files: {local: {directory: /a}, partition_by: [month]}"),
		"a partition by month as a text":  sink("files: {local: {directory: /a}, partition_by: 'day, month'}"),
		"a schema of PostgreSQL's own":    sink("postgres: {schema: pg_a}"),
		"http without an address":         sink("http: {secrets: x}"),
		"http without secrets":            sink("http: {url: 'https://a'}"),
		"an address of another scheme":    sink("http: {url: 'ftp://a', secrets_file: /a}"),
		"a header's value that is a list": sink("http: {url: 'https://a', secrets_file: /a, headers: {a: [b]}}"),
		"a start in words":                sink("stdout: {}, start: yesterday"),
		"a start without an offset":       sink("stdout: {}, start: '2026-01-31T00:00:00'"),
		"a filter that is a list":         sink("stdout: {}, filter: [a]"),
		"a new name with a blank":         sink("stdout: {}, columns: {rename: {buyer_id: the buyer}}"),
		"a batch of nothing":              sink("stdout: {}, batch: {max_rows: 0}"),
		"an enum's unknown value":         right + "log: {format: xml}\n",
		"an unknown level":                right + "log: {level: loud}\n",
		"a number of many":                right + "kafka: {topics: {partitions: many}}\n",
		"half a partition":                right + "kafka: {topics: {partitions: 1.5}}\n",
		"a number in quotes":              right + "kafka: {topics: {partitions: '3'}}\n",
		"no partitions":                   right + "kafka: {topics: {partitions: 0}}\n",
		"a body beyond the limit":         "receiver: {secrets: x, max_body_bytes: 16777217}\nsinks: [{name: a, stdout: {}}]\n",
		"a yes":                           right + "migrate_on_start: yes\n",
		"a duration without a unit":       right + "shutdown_timeout: 30\n",
		"a duration in days":              right + "shutdown_timeout: 1d\n",
		"a key without a value":           right + "shutdown_timeout:\n",
		"an address without a port":       right + "admin: {address: '9090'}\n",
		"a broker without a port":         right + "kafka: {brokers: [a]}\n",
		"no broker":                       right + "kafka: {brokers: []}\n",
		"contracts that are a text":       right + "contracts: a.yaml\n",
		"a list for a section":            right + "kafka: []\n",
	}
	jsonSchema := schematest.Compile(t, config.JSONSchema)
	for name, text := range tests {
		if _, err := parse(text); err == nil {
			t.Errorf("%s: the loader takes it", name)
		}
		if err := jsonSchema.Check([]byte(text)); err == nil {
			t.Errorf("%s: the schema takes it", name)
		}
	}
	if err := jsonSchema.Check([]byte(right)); err != nil {
		t.Error(err)
	}
}

// No editor marks what the loader takes: every key of the example with every
// probe, and with what is just beyond the schema's bounds.
func TestSchemaTakesWhatTheLoaderTakes(t *testing.T) {
	jsonSchema := schematest.Compile(t, config.JSONSchema)
	bounds := bounds(t)
	seen := map[string]bool{}
	for _, document := range parts(t) {
		for _, place := range schematest.At(document) {
			if seen[place.Path] {
				continue
			}
			seen[place.Path] = true
			for _, probe := range slices.Concat(schematest.Probes, bounds[place.Path]) {
				place.Try(t, document, probe, func(text []byte) { jsonSchema.NoStricter(t, text, loads) })
			}
		}
	}
	for path := range bounds {
		if !seen[path] {
			t.Errorf("no document has %s", path)
		}
	}
}

func TestSchemaTakesVariationsThatTheLoaderTakes(t *testing.T) {
	jsonSchema := schematest.Compile(t, config.JSONSchema)
	var texts [][]byte
	for _, document := range parts(t) {
		text, err := yaml.Dump(document)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	texts = append(texts, []byte(read(t, "compose.yaml")), []byte(read(t, "embedded.yaml")))
	rapid.Check(t, func(t *rapid.T) {
		text := schematest.Vary(t, rapid.SampledFrom(texts).Draw(t, "configuration"), schematest.Probes)
		jsonSchema.NoStricter(t, text, loads)
	})
}

func loads(text []byte) error {
	_, err := config.Parse("connector.yaml", text, everyVariable)
	return err
}

// parts returns the example as documents of one section or one sink each, which are
// read faster.
func parts(t *testing.T) (documents []*yaml.Node) {
	t.Helper()
	text := withDefault.ReplaceAllString(exampleText(t), "$1 $2")
	var whole struct {
		Sections map[string]yaml.Node `yaml:",inline"`
	}
	if err := yaml.Load([]byte(text), &whole); err != nil {
		t.Fatal(err)
	}
	add := func(key string, section any) {
		sections := map[string]any{
			"receiver": map[string]string{"secrets": "x"},
			"sinks":    []any{map[string]any{"name": "a", "clickhouse": map[string]any{}}},
		}
		sections[key] = section
		var document yaml.Node
		if err := document.Encode(sections); err != nil {
			t.Fatal(err)
		}
		documents = append(documents, &yaml.Node{Kind: yaml.DocumentNode, Content: []*yaml.Node{&document}})
	}
	for _, key := range slices.Sorted(maps.Keys(whole.Sections)) {
		section := whole.Sections[key]
		if key != "sinks" {
			add(key, &section)
			continue
		}
		for _, sink := range section.Content {
			add(key, []*yaml.Node{sink})
		}
	}
	return documents
}

// A described is what the schema says about one key.
type described struct {
	Minimum    *int64               `json:"minimum"`
	Maximum    *int64               `json:"maximum"`
	Enum       []string             `json:"enum"`
	AnyOf      []described          `json:"anyOf"`
	Items      *described           `json:"items"`
	Properties map[string]described `json:"properties"`
}

// keys returns what the schema says, by path.
func (d described) keys(path string, all map[string]described) {
	all[path] = d
	for key, of := range d.Properties {
		of.keys(strings.TrimPrefix(path+"."+key, "."), all)
	}
	if d.Items != nil {
		d.Items.keys(path+"[]", all)
	}
}

func describedKeys(t *testing.T) map[string]described {
	t.Helper()
	var root described
	if err := json.Unmarshal(config.JSONSchema, &root); err != nil {
		t.Fatal(err)
	}
	all := map[string]described{}
	root.keys("", all)
	return all
}

// bounds returns the numbers just beyond those that the schema takes, by path.
func bounds(t *testing.T) map[string][]string {
	t.Helper()
	beyond := map[string][]string{}
	for path, key := range describedKeys(t) {
		if key.Minimum != nil {
			beyond[path] = append(beyond[path], fmt.Sprint(*key.Minimum-1))
		}
		if key.Maximum != nil {
			beyond[path] = append(beyond[path], fmt.Sprint(*key.Maximum+1))
		}
	}
	return beyond
}

// Where the schema lists values, they are those that the loader's error names.
func TestSchemaListsTheLoadersValues(t *testing.T) {
	refusal := regexp.MustCompile(`must be (?:one of )?(.*), is "unheard-of"`)
	separator := regexp.MustCompile(`, | or | `)
	known := describedKeys(t)
	compared := 0
	for _, document := range parts(t) {
		for _, place := range schematest.At(document) {
			key := known[place.Path]
			if len(key.AnyOf) == 0 || key.AnyOf[0].Enum == nil || strings.HasSuffix(place.Path, "[]") {
				continue
			}
			place.Try(t, document, "unheard-of", func(text []byte) {
				err := loads(text)
				match := refusal.FindStringSubmatch(fmt.Sprint(err))
				if match == nil {
					t.Errorf("%s: the error lists no values: %v", place.Path, err)
					return
				}
				compared++
				listed, _, _ := strings.Cut(strings.Trim(match[1], "[]"), " or a time")
				want := separator.Split(listed, -1)
				have := slices.DeleteFunc(slices.Clone(key.AnyOf[0].Enum), func(value string) bool { return value == "" })
				slices.Sort(want)
				slices.Sort(have)
				if !slices.Equal(want, have) {
					t.Errorf("%s: the schema lists %q and the loader %q", place.Path, have, want)
				}
			})
		}
	}
	if compared == 0 {
		t.Error("no list of values was compared")
	}
}
