//go:build linux

package bench

import (
	"fmt"
	"os"
	"testing"

	"loyaltyhouse/connector/embedded"
)

// roleVariable says in the environment of a child of this program which of the
// programs to compare with it is.
const roleVariable = "LOYALTYHOUSE_BENCH_ROLE"

// programDir is where the connector is built; TestMain makes and removes it.
var programDir string

func TestMain(m *testing.M) {
	embedded.RunChild()
	switch role := os.Getenv(roleVariable); role {
	case "":
		dir, err := os.MkdirTemp("", "loyaltyhouse-bench-")
		if err != nil {
			fatal("bench", err)
		}
		programDir = dir
		code := m.Run()
		_ = os.RemoveAll(dir) // What is left lies in the system's temporary directory.
		os.Exit(code)
	case "bare-receiver":
		fatal(role, bareReceiver())
	case "bare-insert":
		fatal(role, bareInsert())
	default:
		fatal(role, fmt.Errorf("there is no such role"))
	}
}

func fatal(role string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", role, err)
		os.Exit(1)
	}
	os.Exit(0)
}
