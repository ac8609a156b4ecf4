package embedded

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogFileKeepsOnePreviousFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "clickhouse.log")
	for run := range 2 { // The second run goes on where the first has ended.
		log, err := openLogFile(path, 10)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range []string{"one\n", "two\n", "three\n", "four\n"} {
			if n, err := log.Write([]byte(line)); n != len(line) || err != nil {
				t.Fatalf("run %d: wrote %d bytes, %v", run, n, err)
			}
		}
		if err := log.Close(); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(entries) != 2 {
		t.Fatalf("there are %v, want two files: %v", entries, err)
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || info.Size() > 10 || info.Mode() != 0o600 {
			t.Errorf("%s has %d bytes and mode %v, want at most 10 and 0600: %v", entry.Name(), info.Size(), info.Mode(), err)
		}
	}
	if content, err := os.ReadFile(path); err != nil || !strings.HasSuffix(string(content), "four\n") {
		t.Errorf("the log ends with %q, want its last line: %v", content, err)
	}
}

func TestTailKeepsTheLastLinesThatSaySomething(t *testing.T) {
	var words tail
	for range 1000 {
		if _, err := words.Write([]byte("a line of some length\n")); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := words.Write([]byte("next to last\n0. ? @ 0x000000000f20e4b5\n\nlast\n")); err != nil {
		t.Fatal(err)
	}
	if got, want := words.lines(2), "next to last\nlast"; got != want {
		t.Errorf("the last lines are %q, want %q", got, want)
	}
	if len(words.text) > tailBytes {
		t.Errorf("%d bytes are kept, want at most %d", len(words.text), tailBytes)
	}
}
