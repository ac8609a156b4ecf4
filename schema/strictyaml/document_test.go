package strictyaml_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"loyaltyhouse/schema/strictyaml"
)

// config has the shapes that a real configuration has.
type config struct {
	Receiver   receiver          `yaml:"receiver"`
	ClickHouse *clickHouse       `yaml:"clickhouse"`
	Sinks      []sink            `yaml:"sinks"`
	Labels     map[string]string `yaml:"labels"`
	Secrets    strictyaml.List   `yaml:"secrets"`
	Free       any               `yaml:"free"`
	Mode       mode              `yaml:"mode"`
	Limits     `yaml:",inline"`
	Hidden     string `yaml:"-"`
	Untagged   string
}

type receiver struct {
	Address     string        `yaml:"address"`
	Port        uint16        `yaml:"port"`
	ReadTimeout time.Duration `yaml:"read_timeout"`
	Strict      bool          `yaml:"strict"`
	Ratio       float64       `yaml:"ratio"`
	Workers     int           `yaml:"workers"`
	Level       int8          `yaml:"level"`
	Password    string        `yaml:"password"`
	Since       time.Time     `yaml:"since"`
}

type clickHouse struct {
	Addresses []string `yaml:"addresses"`
	Database  string   `yaml:"database"`
	Username  string   `yaml:"username"`
}

type sink struct {
	Name       string      `yaml:"name"`
	ClickHouse *clickHouse `yaml:"clickhouse"`
}

type Limits struct {
	MaxRows int `yaml:"max_rows"`
}

// mode brings its own way to be read: a name, or a mapping that is decoded as
// strictly as everything else.
type mode struct {
	Name  string `yaml:"name"`
	Level int    `yaml:"level"`
}

func (m *mode) UnmarshalYAML(node *yaml.Node) error {
	if node.Kind == yaml.ScalarNode {
		if node.Value != "fast" && node.Value != "slow" {
			return errors.New(`must be fast or slow, is "` + node.Value + `"`)
		}
		m.Name = node.Value
		return nil
	}
	type plain mode
	return strictyaml.DecodeNode(node, (*plain)(m))
}

var environment = map[string]string{
	"PORT":   "8080",
	"SECRET": "hunter2",
	"INJECT": "1\nevil: true",
	"NULL":   "null",
	"DIGITS": "0123",
	"YES":    "true",
	"EMPTY":  "",
	"TWO":    "one, two,",
	"MODE":   "fast",
}

func lookup(name string) (string, bool) {
	value, ok := environment[name]
	return value, ok
}

func TestDecode(t *testing.T) {
	const text = `# A comment.
receiver:
  address: 127.0.0.1:8080
  port: ${PORT}
  read_timeout: 1m30s
  strict: ${YES}
  ratio: 1
  level: -5
  password: ${DIGITS}
  since: 2026-01-02T03:04:05Z
clickhouse:
  addresses: [a:9000, "b:9000"]
  username:  ${USERNAME:-reader}
sinks:
  - name: first
    clickhouse: {database: other}
  - name: "${PORT}"
labels: {a.b: "${NULL}", c: "$${PORT} costs $5", d: "${INJECT}", e: "${EMPTY}"}
secrets: ${TWO}
free:
  list: [1, two, "${PORT}"]
  port: ${PORT}
mode: {name: fast, level: 3}
max_rows: 10
untagged: x
`
	got := config{
		Receiver:   receiver{Workers: 4, Ratio: 0.5},
		ClickHouse: &clickHouse{Database: "loyalty", Username: "default"},
	}
	initial := func() clickHouse { return clickHouse{Username: "initial"} }
	err := strictyaml.Decode("c.yaml", []byte(text), &got, strictyaml.Expand(lookup), strictyaml.Defaults(initial))
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		Receiver: receiver{
			Address: "127.0.0.1:8080", Port: 8080, ReadTimeout: 90 * time.Second, Strict: true,
			Ratio: 1, Workers: 4, Level: -5, Password: "0123", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		},
		ClickHouse: &clickHouse{Addresses: []string{"a:9000", "b:9000"}, Database: "loyalty", Username: "reader"},
		Sinks: []sink{
			{Name: "first", ClickHouse: &clickHouse{Database: "other", Username: "initial"}},
			{Name: "8080"},
		},
		Labels:   map[string]string{"a.b": "null", "c": "${PORT} costs $5", "d": "1\nevil: true", "e": ""},
		Secrets:  strictyaml.List{"one", "two"},
		Free:     map[string]any{"list": []any{1, "two", "8080"}, "port": 8080},
		Mode:     mode{Name: "fast", Level: 3},
		Limits:   Limits{MaxRows: 10},
		Untagged: "x",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A section whose keys are all commented out keeps its defaults.
func TestDecodeEmptySection(t *testing.T) {
	got := config{Receiver: receiver{Workers: 4}, ClickHouse: &clickHouse{Database: "loyalty"}}
	want := config{Receiver: receiver{Workers: 4}, ClickHouse: &clickHouse{Database: "loyalty"}}
	if err := strictyaml.Decode("c.yaml", []byte("receiver:\nclickhouse:\n"), &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestDecodeWithoutExpand(t *testing.T) {
	var got struct{ Pattern string }
	if err := strictyaml.Decode("c.yaml", []byte("pattern: ^${x}$$"), &got); err != nil {
		t.Fatal(err)
	}
	if got.Pattern != "^${x}$$" {
		t.Errorf("pattern = %q, want it untouched", got.Pattern)
	}
}

func TestDecodeErrors(t *testing.T) {
	const (
		clickHouseKeys = "addresses, database, username"
		topKeys        = "receiver, clickhouse, sinks, labels, secrets, free, mode, max_rows, untagged"
	)
	tests := []struct {
		name, text string
		want       []string
	}{
		{"unknown key", "clickhouse:\n  address: a", []string{
			`c.yaml:2: unknown key "address" in "clickhouse"; did you mean "addresses"? allowed: ` + clickHouseKeys,
		}},
		{"unknown key at the top", "\nsink: []", []string{
			`c.yaml:2: unknown key "sink" at the top level; did you mean "sinks"? allowed: ` + topKeys,
		}},
		{"unknown key, nothing near", "sinks: [{clickhouse: {zzz: 1}}]", []string{
			`c.yaml:1: unknown key "zzz" in "sinks[0].clickhouse"; allowed: ` + clickHouseKeys,
		}},
		{"hidden key", "hidden: x", []string{`c.yaml:1: unknown key "hidden" at the top level; allowed: ` + topKeys}},
		{"duplicate key", "max_rows: 1\nlabels: {}\nmax_rows: 2", []string{
			`c.yaml:3: duplicate key "max_rows" at the top level; it was first given in line 1`,
		}},
		{"duplicate map key", "labels: {a: x, a: y}", []string{
			`c.yaml:1: duplicate key "a" in "labels"; it was first given in line 1`,
		}},
		{"duration", "receiver:\n  read_timeout: 5 apples", []string{
			`c.yaml:2: receiver.read_timeout: "5 apples" is not a duration; write for example 5s`,
		}},
		{"duration without a unit", "receiver: {read_timeout: 5}", []string{
			`c.yaml:1: receiver.read_timeout: "5" is not a duration; write for example 5s`,
		}},
		{"number in quotes", `max_rows: "5"`, []string{`c.yaml:1: max_rows: "5" is not a whole number; remove the quotes`}},
		{"number out of range", "receiver: {port: 70000, level: 200}", []string{
			`c.yaml:1: receiver.port: "70000" is not a whole number from 0 to 65535`,
			`c.yaml:1: receiver.level: "200" is not a whole number from -128 to 127`,
		}},
		{"yes is not true", "receiver: {strict: yes, ratio: much}", []string{
			`c.yaml:1: receiver.strict: "yes" is not true or false`,
			`c.yaml:1: receiver.ratio: "much" is not a number`,
		}},
		{"time", "receiver: {since: today}", []string{
			`c.yaml:1: receiver.since: parsing time "today" as "2006-01-02T15:04:05Z07:00": cannot parse "today" as "2006"`,
		}},
		{"no value", "max_rows:\nreceiver: {address: ~}\nclickhouse: {addresses: }\nlabels:", []string{
			`c.yaml:1: max_rows: has no value; write a whole number, or remove the key`,
			`c.yaml:2: receiver.address: has no value; write a text, or "" for an empty text, or remove the key`,
			`c.yaml:3: clickhouse.addresses: must be a list; write for example [a, b], or [] for an empty one; it is empty`,
			`c.yaml:4: labels: must be a mapping; write {} for an empty one; it is empty`,
		}},
		{"wrong shapes", "receiver: 5\nsinks: {a: b}\nlabels: [x]\nmax_rows: [1]\nclickhouse: [a]\nuntagged: {}", []string{
			`c.yaml:1: receiver: must be a mapping; allowed keys: address, port, read_timeout, strict, ratio, workers, level, password, since; it is "5"`,
			`c.yaml:2: sinks: must be a list; write for example [a, b], or [] for an empty one; it is a mapping`,
			`c.yaml:3: labels: must be a mapping; write {} for an empty one; it is a list`,
			`c.yaml:4: max_rows: must be a whole number; it is a list`,
			`c.yaml:5: clickhouse: must be a mapping; allowed keys: ` + clickHouseKeys + `; it is a list`,
			`c.yaml:6: untagged: must be a text; it is a mapping`,
		}},
		{"the top level is a list", "- a", []string{`c.yaml:1: must be a mapping; allowed keys: ` + topKeys + `; it is a list`}},
		{"several, in the order of their lines", "zzz: 1\nmax_rows: x\nlabels: {a: 1, a: 2}\nsinks:\n- name: []\n- nome: a", []string{
			`c.yaml:1: unknown key "zzz" at the top level; allowed: ` + topKeys,
			`c.yaml:2: max_rows: "x" is not a whole number`,
			`c.yaml:3: duplicate key "a" in "labels"; it was first given in line 3`,
			`c.yaml:5: sinks[0].name: must be a text; it is a list`,
			`c.yaml:6: unknown key "nome" in "sinks[1]"; did you mean "name"? allowed: name, clickhouse`,
		}},
		{"long values are shortened", "max_rows: " + strings.Repeat("x", 100), []string{
			`c.yaml:1: max_rows: "` + strings.Repeat("x", 40) + `…" is not a whole number`,
		}},
		{"a type's own error", "mode: warp", []string{`c.yaml:1: mode: must be fast or slow, is "warp"`}},
		{"inside a type's own method", "mode:\n  nome: fast\n  level: x", []string{
			`c.yaml:2: unknown key "nome" in "mode"; did you mean "name"? allowed: name, level`,
			`c.yaml:3: mode.level: "x" is not a whole number`,
		}},
		{"list", "secrets: [a, {b: c}, ~]", []string{
			`c.yaml:1: secrets[1]: must be a text; it is a mapping`,
			`c.yaml:1: secrets[2]: has no value; write a text, or "" for an empty text, or remove the key`,
		}},
		{"alias", "labels: &all {a: b}\nfree: *all", []string{
			`c.yaml:1: labels: the anchor &all is not allowed; write the value out where it is needed`,
			`c.yaml:2: free: the alias *all is not allowed; write the value out`,
		}},
		{"merge key", "labels:\n  <<: {a: b}", []string{`c.yaml:2: labels: the merge key << is not allowed; write the keys out`}},
		{"key that is no text", "labels: {[a]: b}", []string{`c.yaml:1: labels: a key must be a plain text`}},
		{"tag", "labels: {a: !!binary aGk=, b: !!str 5}", []string{`c.yaml:1: labels.a: the tag !!binary is not allowed; remove it`}},
		{"empty file", "# nothing\n", []string{`c.yaml:1: is empty; write at least one key`}},
		{"empty document", "---\n", []string{`c.yaml:1: is empty; write at least one key`}},
		{"two documents", "max_rows: 1\n---\nmax_rows: 2\n", []string{
			`c.yaml:2: a second document begins here; a file holds one, so remove the line ---`,
		}},
		{"tab", "receiver:\n\tport: 1", []string{
			`c.yaml:2: is not YAML: found character that cannot start any token while scanning for the next token; indent with spaces, not with tabs`,
		}},
		{"syntax", "max_rows: 1\nsinks: [", []string{`c.yaml:3: is not YAML: did not find expected node content while parsing a flow node`}},
		{"too large", "#" + strings.Repeat("x", strictyaml.MaxSize), []string{`c.yaml: is larger than 1048576 bytes`}},

		{"variable that is not set", "max_rows: ${NOPE}\nlabels: {a: \"${NO} ${WAY}\"}\nsecrets: ${NOT:-}", []string{
			`c.yaml:1: max_rows: the variable NOPE is not set; set it, or write ${NOPE:-default}`,
			`c.yaml:2: labels.a: the variable NO is not set; set it, or write ${NO:-default}`,
			`c.yaml:2: labels.a: the variable WAY is not set; set it, or write ${WAY:-default}`,
		}},
		{"malformed variable", "labels: {a: '${x-y}', b: '${', c: '${}'}", []string{
			`c.yaml:1: labels.a: ${x-y} is not a variable; write ${NAME} or ${NAME:-default}, or $$ for a literal $`,
			`c.yaml:1: labels.b: ${ has no closing }; write $$ for a literal $`,
			`c.yaml:1: labels.c: ${} is not a variable; write ${NAME} or ${NAME:-default}, or $$ for a literal $`,
		}},
		{"a variable's value is never shown", "max_rows: ${SECRET}\nreceiver: {since: \"${SECRET}\", read_timeout: \"${SECRET}\"}\nmode: ${SECRET}", []string{
			`c.yaml:1: max_rows: the value of "${SECRET}" is not a whole number`,
			`c.yaml:2: receiver.since: the value of "${SECRET}" is not a valid Time`,
			`c.yaml:2: receiver.read_timeout: the value of "${SECRET}" is not a duration; write for example 5s`,
			`c.yaml:3: mode: the value of "${SECRET}" is not a valid mode`,
		}},
		{"a quoted variable is a text", `max_rows: "${PORT}"`, []string{
			`c.yaml:1: max_rows: the value of "${PORT}" is not a whole number; remove the quotes`,
		}},
		{"an empty variable is a text", `max_rows: ${EMPTY}`, []string{`c.yaml:1: max_rows: the value of "${EMPTY}" is not a whole number`}},
		{"no variables in keys", "labels: {}\n${PORT}: 1", []string{`c.yaml:2: unknown key "${PORT}" at the top level; allowed: ` + topKeys}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var c config
			err := strictyaml.Decode("c.yaml", []byte(test.text), &c, strictyaml.Expand(lookup))
			if err == nil {
				t.Fatal("no error")
			}
			if diff := cmp.Diff(test.want, strings.Split(err.Error(), "\n")); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestDecodeIntoNothing(t *testing.T) {
	for _, into := range []any{nil, config{}, (*config)(nil)} {
		if err := strictyaml.Decode("c.yaml", []byte("a: 1"), into); err == nil {
			t.Errorf("decoding into %T gave no error", into)
		}
	}
}

func TestExpandLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringMatching(`[ -~\n]{0,20}`).Draw(t, "value")
		lookup := func(string) (string, bool) { return value, true }

		// Whatever a variable holds, it becomes exactly one text.
		var got map[string]string
		if err := strictyaml.Decode("c.yaml", []byte("a: ${V}\nb: \"<${V}>\""), &got, strictyaml.Expand(lookup)); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(map[string]string{"a": value, "b": "<" + value + ">"}, got); diff != "" {
			t.Fatal(diff)
		}

		// Doubling every $ protects any text.
		text, err := yaml.Marshal(map[string]string{"a": strings.ReplaceAll(value, "$", "$$")})
		if err != nil {
			t.Fatal(err)
		}
		clear(got)
		if err := strictyaml.Decode("c.yaml", text, &got, strictyaml.Expand(lookup)); err != nil {
			t.Fatal(err)
		}
		if got["a"] != value {
			t.Fatalf("%q became %q", value, got["a"])
		}
	})
}

// What the yaml package writes, this one reads back.
func TestDecodeRoundTrip(t *testing.T) {
	text := rapid.StringMatching(`[ -~]{0,12}`)
	rapid.Check(t, func(t *rapid.T) {
		want := config{
			Receiver: receiver{
				Address:     text.Draw(t, "address"),
				Port:        rapid.Uint16().Draw(t, "port"),
				ReadTimeout: time.Duration(rapid.Int64().Draw(t, "read_timeout")),
				Strict:      rapid.Bool().Draw(t, "strict"),
				Ratio:       rapid.Float64().Draw(t, "ratio"),
				Workers:     rapid.Int().Draw(t, "workers"),
			},
			ClickHouse: &clickHouse{Addresses: rapid.SliceOf(text).Draw(t, "addresses")},
			Sinks:      []sink{{Name: text.Draw(t, "name")}},
			Labels:     rapid.MapOf(text, text).Draw(t, "labels"),
			Secrets:    strictyaml.List{"a"},
			Mode:       mode{Name: "slow"},
		}
		written, err := yaml.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got config
		if err := strictyaml.Decode("c.yaml", written, &got); err != nil {
			t.Fatalf("%v\n%s", err, written)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestSplitList(t *testing.T) {
	for text, want := range map[string]strictyaml.List{
		"":            {},
		" , ":         {},
		"a":           {"a"},
		" a, b c ,,d": {"a", "b c", "d"},
	} {
		if diff := cmp.Diff(want, strictyaml.SplitList(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

// No file makes Decode panic, and every problem has a place in the file and
// shows no value of a variable.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		"receiver: {port: ${PORT}}", "sinks: [{name: a}]", "a: &a [*a]", "? [a]\n: b", "<<: 1", "mode: ${SECRET}",
		"labels: {a: b, a: c}", "a: 1\n---\nb: 2", "\t", "free: {? {} : x}", "receiver: {since: ${SECRET}}", "secrets: a, b",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		lookup := func(string) (string, bool) { return "s3cr3tv4lue", true }
		doc, err := strictyaml.Parse("c.yaml", data, strictyaml.Expand(lookup))
		if err == nil {
			var c config
			err = doc.Decode(&c)
		}
		if err == nil {
			return
		}
		lines := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 1
		for _, leaf := range leaves(err) {
			e, ok := errors.AsType[*strictyaml.Error](leaf)
			if !ok || e.File != "c.yaml" {
				t.Errorf("the error has no place: %v", leaf)
			} else if e.Line < 0 || e.Line > lines+1 {
				t.Errorf("line %d of %d: %v", e.Line, lines, leaf)
			}
			if strings.Contains(leaf.Error(), "s3cr3tv4lue") && !strings.Contains(string(data), "s3cr3tv4lue") {
				t.Errorf("the error shows a variable's value: %v", leaf)
			}
		}
	})
}

func leaves(err error) []error {
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		return joined.Unwrap()
	}
	return []error{err}
}
