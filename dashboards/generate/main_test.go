package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
)

// TestDashboardsAreWhatIsGenerated fails when somebody has changed a file or the
// generator, and not the other.
func TestDashboardsAreWhatIsGenerated(t *testing.T) {
	var generated []string
	for _, d := range all() {
		name := *d.Uid + ".json"
		generated = append(generated, name)
		want, err := encode(d)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("..", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("dashboards/%s is not what the generator writes; run make dashboards", name)
		}
	}
	files, err := filepath.Glob("../*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.Contains(generated, filepath.Base(file)) {
			t.Errorf("%s is not written by the generator", file)
		}
	}
}

// TestGrafanaReadsWhatIsGenerated decodes the files with Grafana's own schema,
// which refuses what it does not know.
func TestGrafanaReadsWhatIsGenerated(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	for _, want := range all() {
		data, err := encode(want)
		if err != nil {
			t.Fatal(err)
		}
		var got classic
		// The error is never nil: without a problem it is an empty list.
		var problems cog.BuildErrors
		if err := got.UnmarshalJSONStrict(data); !errors.As(err, &problems) {
			t.Fatal(err)
		}
		for _, problem := range problems {
			t.Errorf("%s: %v", *want.Uid, problem)
		}
	}
}
