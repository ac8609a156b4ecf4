package config

import _ "embed"

//go:generate go run ./generate

// JSONSchema is the schema by which editors complete and check the file. It
// describes what one key takes; what depends on several keys, on files or on the
// contracts only [Load] tells.
//
//go:embed connector.schema.json
var JSONSchema []byte
