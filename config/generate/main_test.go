package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const top = "../.."

// TestSchemasAreWhatIsGenerated fails when somebody has changed a key, what the
// example says of it, or a schema, and not the others.
func TestSchemasAreWhatIsGenerated(t *testing.T) {
	files, err := generate(top)
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 {
		t.Errorf("%d files are generated, want 2", len(files))
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the generator writes; run make schemas", name)
		}
	}
}

// A key that nobody has described is reported, and so is a rule for none.
func TestEveryKeyIsDescribed(t *testing.T) {
	data, err := os.ReadFile(filepath.Join(top, "config/connector.example.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	text := strings.Replace(string(data), "  # The name of this program in the brokers' logs and quotas.\n", "\n", 1)
	rules["kafka.broker"] = filled
	defer delete(rules, "kafka.broker")
	_, err = configuration([]byte(text))
	const want = "config/connector.example.yaml has no comment on kafka.client_id\nthere is a rule for kafka.broker, which is no key"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want\n%s", err, want)
	}
}

// What the example says reaches the schema.
func TestExampleIsRead(t *testing.T) {
	e, err := readExample([]byte(`
# The first.
# In two lines.
a: 1
b: 2 # default: [3]

c: 4 # no default
# The section.
#section:
  # Below.
#  d: 5
sinks:
  - name: x
    kind: {}
    # Rows.
    batch:
      max_rows: 6
  - name: y
    other: {}
    batch: {max_rows: 7}
`))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"a":                           "The first. In two lines.|1|true",
		"b":                           "The first. In two lines.|[3]|true",
		"c":                           "|4|false",
		"section":                     "The section.|map[d:5]|true",
		"section.d":                   "Below.|5|true",
		"sinks.batch":                 "Rows.|map[max_rows:6]|true",
		"sinks.batch.max_rows":        "|6|true",
		"sinks(other).batch.max_rows": "|7|true",
	} {
		s := e.keys[path]
		if got := fmt.Sprintf("%s|%v|%v", s.description, s.value, s.hasDefault); got != want {
			t.Errorf("%s: got %s, want %s", path, got, want)
		}
	}
}
