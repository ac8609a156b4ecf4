package main

import (
	"os"
	"testing"
)

// The binary brings the schemas that are in the repository.
func TestConfigSchema(t *testing.T) {
	for _, test := range []struct {
		args []string
		file string
	}{
		{[]string{"config", "schema"}, "../config/connector.schema.json"},
		{[]string{"config", "schema", "--contract"}, "../schema/contracts/contract.schema.json"},
	} {
		want, err := os.ReadFile(test.file)
		if err != nil {
			t.Fatal(err)
		}
		if status, printed := connector(t, test.args...); status != 0 || printed != string(want) {
			t.Errorf("%v: exit status %d, and %d bytes; want those of %s", test.args, status, len(printed), test.file)
		}
	}
}
