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

func TestMain(m *testing.M) {
	embedded.RunChild()
	switch role := os.Getenv(roleVariable); role {
	case "":
		os.Exit(m.Run())
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
