package schema

import (
	"embed"
	"fmt"
	"io/fs"

	"loyaltyhouse/schema/strictyaml"
)

//go:embed contracts/*.yaml
var contracts embed.FS

// Migrations holds golang-migrate's files for the tables and views, in the
// folder "migrations".
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Parse reads one contract. File is what errors name, as in
// "points.yaml:12: …"; they report everything that is wrong at once.
func Parse(file string, data []byte) (*Contract, error) {
	var c Contract
	doc, err := strictyaml.Parse(file, data)
	if err != nil {
		return nil, err
	}
	if err := doc.Decode(&c); err != nil {
		return nil, err
	}
	if err := doc.Locate(c.Validate()); err != nil {
		return nil, err
	}
	return &c, nil
}

// Builtin returns the contracts of SHOPLINE's four loyalty webhooks.
func Builtin() ([]*Contract, error) { return ParseFS(contracts, "contracts/*.yaml") }

// ParseFS reads every contract whose file matches the pattern, in the order of
// the files' names.
func ParseFS(fsys fs.FS, pattern string) ([]*Contract, error) {
	files, err := fs.Glob(fsys, pattern)
	if err != nil {
		return nil, fmt.Errorf("contracts: %w", err)
	}
	var all []*Contract
	for _, file := range files {
		data, err := fs.ReadFile(fsys, file)
		if err != nil {
			return nil, fmt.Errorf("contract: %w", err)
		}
		c, err := Parse(file, data)
		if err != nil {
			return nil, err
		}
		all = append(all, c)
	}
	return all, nil
}
