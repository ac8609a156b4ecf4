// Command generate writes the Grafana dashboards, so that all of them have one
// look, the same variables and links to each other. Run it with make dashboards.
//
// The types are those of Grafana's foundation SDK, so that an option which
// Grafana does not have does not compile. The SDK's builders are not used: each
// kind of panel has a builder type of its own, and one look for all of them would
// have to be written once per type.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", ".", "the directory to write to")
	flag.Parse()
	if err := write(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// all returns the dashboards in the order of the links between them.
func all() []classic {
	boards := []board{
		pointsByScene(), storeCredits(), giftCards(), customersAndConsent(), customerLedger(), trust(), pipeline(),
	}
	built := make([]classic, len(boards))
	for i, b := range boards {
		built[i] = b.build(boards)
	}
	return built
}

func write(dir string) error {
	for _, d := range all() {
		data, err := encode(d)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, *d.Uid+".json"), data, 0o644); err != nil { //nolint:gosec // Grafana runs as another user, and must read it.
			return err
		}
	}
	return nil
}

// encode leaves < and > in SQL as they are, so that people can read the files.
func encode(d classic) ([]byte, error) {
	// The SDK's types encode themselves, which escapes. So this decodes once more.
	data, err := json.Marshal(d)
	if err != nil {
		return nil, err
	}
	var tree any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&tree); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(tree); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}
