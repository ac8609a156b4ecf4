package config_test

import (
	"testing"

	"go.yaml.in/yaml/v4"

	"loyaltyhouse/config"
	"loyaltyhouse/schema/schematest"
)

func TestProbe(t *testing.T) {
	schema := schematest.Compile(t, config.JSONSchema)
	text := withDefault.ReplaceAllString(exampleText(t), "$1 $2")
	var document yaml.Node
	if err := yaml.Load([]byte(text), &document); err != nil {
		t.Fatal(err)
	}
	lax := map[string][]string{}
	n := 0
	for _, place := range schematest.At(&document) {
		for _, probe := range schematest.Probes {
			place.Try(t, probe, func() {
				n++
				changed, err := yaml.Dump(&document)
				if err != nil {
					t.Fatal(err)
				}
				_, err = config.Parse("c.yaml", changed, everyVariable)
				wrong := schema.Check(changed)
				switch {
				case err == nil && wrong != nil:
					t.Errorf("%s: %s is refused: %v", place.Path, probe, wrong)
				case err != nil && wrong == nil:
					lax[place.Path] = append(lax[place.Path], probe)
				}
			})
		}
	}
	for p, l := range lax {
		t.Logf("%s: %q", p, l)
	}
	t.Log(n)
}
