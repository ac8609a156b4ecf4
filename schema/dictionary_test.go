package schema_test

import (
	"flag"
	"os"
	"testing"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
)

var update = flag.Bool("update", false, "write docs/data-dictionary.md anew")

const dictionaryFile = "../docs/data-dictionary.md"

func TestDictionaryIsThatOfTheContracts(t *testing.T) {
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	want := schema.Dictionary(contracts)
	if *update {
		if err := os.WriteFile(dictionaryFile, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(dictionaryFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(have)); diff != "" {
		t.Errorf("docs/data-dictionary.md differs from the contracts (- contracts, + file); run: go test ./schema -run Dictionary -update\n%s", diff)
	}
}
