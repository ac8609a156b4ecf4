package embedded

import (
	"strings"
	"testing"
)

func TestEngineForAnotherPlatformSaysWhatToDo(t *testing.T) {
	for _, platform := range []struct{ goos, goarch string }{{"windows", "amd64"}, {"linux", "riscv64"}, {"plan9", "386"}} {
		_, err := engineFor(platform.goos, platform.goarch)
		if err == nil {
			t.Fatalf("%v has an engine", platform)
		}
		for _, want := range []string{platform.goos + "/" + platform.goarch, "config/compose.yaml", "clickhouse.addresses"} {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("the error is %q, want %q in it", err, want)
			}
		}
	}
}
