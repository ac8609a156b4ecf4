// Command generate writes the JSON Schemas of the configuration and of contracts,
// by which editors complete and check them. Run it with make schemas.
//
// The keys are those of the Go types, and what is said of them stands in the
// configuration's example, which is written for people, so that there is one text
// of each. The schemas never refuse what the loaders take, which tests hold; the
// loaders refuse more.
package main

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	top := flag.String("top", "..", "the top of the repository")
	flag.Parse()
	if err := write(*top); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func write(top string) error {
	files, err := generate(top)
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(filepath.Join(top, name), data, 0o644); err != nil { //nolint:gosec // A schema is committed and holds no secret, and has the mode that git gives to other files.
			return err
		}
	}
	return nil
}

// generate returns the files by their names below the top of the repository.
func generate(top string) (map[string][]byte, error) {
	example, err := os.ReadFile(filepath.Join(top, "config/connector.example.yaml")) //nolint:gosec // The name is fixed; top is the repository in which a developer runs the generator.
	if err != nil {
		return nil, err
	}
	connector, err := configuration(example)
	if err != nil {
		return nil, err
	}
	contract, err := contract()
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	for name, n := range map[string]*node{
		"config/connector.schema.json":          connector,
		"schema/contracts/contract.schema.json": contract,
	} {
		if files[name], err = encode(n); err != nil {
			return nil, err
		}
	}
	return files, nil
}
