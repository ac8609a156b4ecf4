package schema

import _ "embed"

// JSONSchema is the schema by which editors complete and check a contract. It
// describes each field by itself; how fields go together only [Parse] tells.
//
//go:embed contracts/contract.schema.json
var JSONSchema []byte
