package schema_test

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v4"
	"pgregory.net/rapid"

	"loyaltyhouse/schema"
	"loyaltyhouse/schema/schematest"
)

// contractTexts are contracts that are right.
func contractTexts(t testing.TB) [][]byte {
	t.Helper()
	files, err := filepath.Glob("contracts/*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	texts := [][]byte{[]byte(header), []byte(everyType)}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, text)
	}
	return texts
}

func TestJSONSchemaTakesContracts(t *testing.T) {
	jsonSchema := schematest.Compile(t, schema.JSONSchema)
	for _, text := range contractTexts(t) {
		if err := jsonSchema.Check(text); err != nil {
			t.Errorf("%.40q: %v", text, err)
		}
	}
}

// What is wrong within one field, an editor marks; how fields go together only
// Parse tells.
func TestJSONSchemaRefusesMistakes(t *testing.T) {
	together := []string{
		"a key that is no column", "a key that may be missing", "a shop id that is an object",
		"two of one column", "a column of the envelope", "an object read twice", "a nested object read twice",
		"a delta of what may be missing", "a delta of cents", "a sign that is open", "a sign of three values",
	}
	jsonSchema := schematest.Compile(t, schema.JSONSchema)
	for _, test := range mistakes {
		err := jsonSchema.Check(mistaken(test.text))
		if (err == nil) != slices.Contains(together, test.name) {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}

func parse(text []byte) error {
	_, err := schema.Parse("s.yaml", text)
	return err
}

// No editor marks what Parse takes: every key with every probe.
func TestJSONSchemaTakesWhatParseTakes(t *testing.T) {
	jsonSchema := schematest.Compile(t, schema.JSONSchema)
	var document yaml.Node
	if err := yaml.Load([]byte(everyType), &document); err != nil {
		t.Fatal(err)
	}
	for _, place := range schematest.At(&document) {
		for _, probe := range contractProbes {
			place.Try(t, &document, probe, func(text []byte) { jsonSchema.NoStricter(t, text, parse) })
		}
	}
}

func TestJSONSchemaTakesVariationsThatParseTakes(t *testing.T) {
	jsonSchema := schematest.Compile(t, schema.JSONSchema)
	texts := contractTexts(t)
	rapid.Check(t, func(t *rapid.T) {
		text := schematest.Vary(t, rapid.SampledFrom(texts).Draw(t, "contract"), contractProbes)
		jsonSchema.NoStricter(t, text, parse)
	})
}

// contractProbes are values as somebody may write them, right and wrong ones for
// every key.
var contractProbes = []string{
	"~", "{}", "[]", "[x]", `[""]`, "1", "true", "false", `""`, "x", "Mixed Case", "x_cents", "x_at",
	"string", "int64", "object", "upper", "empty", "[{value: A}]", "[{field: a, type: string}]",
}
