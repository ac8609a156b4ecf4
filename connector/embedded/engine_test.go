package embedded_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"loyaltyhouse/connector/embedded"
)

// bring is what a good npm does, as far as the installation can see.
const bring = `
mkdir -p node_modules/@chdb/lib-linux-x64-gnu
: > node_modules/@chdb/lib-linux-x64-gnu/libchdb.so
`

// withNPM puts a shell script in npm's place, and returns the file to which each
// run of it adds a line with its arguments.
func withNPM(t *testing.T, script string) (calls string) {
	t.Helper()
	dir := t.TempDir()
	calls = filepath.Join(dir, "calls")
	content := "#!/bin/sh\necho \"$@\" >> " + calls + "\n" + script
	if err := os.WriteFile(filepath.Join(dir, "npm"), []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/usr/bin:/bin")
	return calls
}

func engineConfig(t *testing.T) embedded.Config {
	t.Helper()
	cfg := testConfig(t.TempDir())
	cfg.EngineDir = t.TempDir()
	return cfg
}

func TestInstallEngineAsksNPMForWhatTheLockFilePins(t *testing.T) {
	calls := withNPM(t, `test -f package.json && test -f package-lock.json || exit 1`+bring)
	cfg := engineConfig(t)
	var progress bytes.Buffer
	library, err := embedded.InstallEngine(t.Context(), cfg, &progress)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(library); err != nil {
		t.Error(err)
	}
	if !strings.Contains(library, "26.7.3-stable.1") {
		t.Errorf("the library is at %s, want its version in the path", library)
	}
	if got := lines(t, calls); len(got) != 1 || !strings.HasPrefix(got[0], "ci --ignore-scripts ") {
		t.Errorf("npm was called with %q, want one npm ci that runs no scripts", got)
	}
	for _, want := range []string{"Fetching ClickHouse 26.7.3 (about ", "done after "} {
		if !strings.Contains(progress.String(), want) {
			t.Errorf("the progress is %q, want %q in it", progress.String(), want)
		}
	}

	again, err := embedded.InstallEngine(t.Context(), cfg, nil)
	if err != nil || again != library {
		t.Errorf("the second time gives %q, %v, want %q", again, err, library)
	}
	if got := lines(t, calls); len(got) != 1 {
		t.Errorf("npm was called %d times, want once", len(got))
	}
}

func TestInstallEngineDownloadsOnceForAll(t *testing.T) {
	calls := withNPM(t, bring)
	cfg := engineConfig(t)
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			if _, err := embedded.InstallEngine(t.Context(), cfg, nil); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := lines(t, calls); len(got) != 1 {
		t.Errorf("npm was called %d times, want once", len(got))
	}
}

func TestInstallEngineStartsAfreshAfterAnInterruption(t *testing.T) {
	withNPM(t, bring+"exec sleep 60\n")
	cfg := engineConfig(t)
	ctx, cancel := context.WithCancelCause(t.Context())
	errInterrupted := errors.New("interrupted")
	done := make(chan error, 1)
	go func() {
		_, err := embedded.InstallEngine(ctx, cfg, nil)
		done <- err
	}()
	eventually(t, "npm writes the library", func() bool { return found(t, cfg.EngineDir, "libchdb.so") })
	cancel(errInterrupted)
	if err := <-done; !errors.Is(err, errInterrupted) {
		t.Errorf("the error is %v, want the interruption", err)
	}

	// What a killed process would leave behind must not count either.
	leftover := filepath.Join(cfg.EngineDir, ".unfinished-1")
	if err := os.Mkdir(leftover, 0o700); err != nil {
		t.Fatal(err)
	}
	calls := withNPM(t, bring)
	if _, err := embedded.InstallEngine(t.Context(), cfg, nil); err != nil {
		t.Fatal(err)
	}
	if got := lines(t, calls); len(got) != 1 {
		t.Errorf("npm was called %d times, want once more", len(got))
	}
	if _, err := os.Stat(leftover); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the unfinished download is still there: %v", err)
	}
}

func TestInstallEngineSaysWhatToDo(t *testing.T) {
	const alternative = "docker compose (config/compose.yaml)"
	t.Run("without npm", func(t *testing.T) {
		t.Setenv("PATH", "")
		_, err := embedded.InstallEngine(t.Context(), engineConfig(t), nil)
		wantWords(t, err, "needs npm", "install Node.js with npm", alternative)
	})
	t.Run("when npm fails", func(t *testing.T) {
		withNPM(t, "echo npm error network unreachable >&2; exit 7")
		_, err := embedded.InstallEngine(t.Context(), engineConfig(t), nil)
		wantWords(t, err, "exit status 7", "npm error network unreachable", "access to its registry", alternative)
	})
	t.Run("when npm brings nothing", func(t *testing.T) {
		withNPM(t, "")
		_, err := embedded.InstallEngine(t.Context(), engineConfig(t), nil)
		wantWords(t, err, "brought no libchdb.so", alternative)
	})
	t.Run("when the engine directory cannot be made", func(t *testing.T) {
		withNPM(t, bring)
		cfg := engineConfig(t)
		cfg.EngineDir = filepath.Join(cfg.EngineDir, "file")
		if err := os.WriteFile(cfg.EngineDir, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := embedded.InstallEngine(t.Context(), cfg, nil)
		wantWords(t, err, "set engine_dir")
	})
}

// The lock files carry the hashes against which npm checks a download, and leave
// it to npm's own settings where to download from.
func TestLockFilesPinHashesAndNoAddresses(t *testing.T) {
	paths, err := filepath.Glob("npm/*/package-lock.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("found no lock files: %v", err)
	}
	for _, path := range paths {
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var lock struct {
			Packages map[string]struct{ Integrity, Resolved string }
		}
		if err := json.Unmarshal(content, &lock); err != nil {
			t.Fatal(err)
		}
		for name, entry := range lock.Packages {
			if name != "" && !strings.HasPrefix(entry.Integrity, "sha512-") {
				t.Errorf("%s: %s has the hash %q, want a SHA-512", path, name, entry.Integrity)
			}
			if entry.Resolved != "" || bytes.Contains(content, []byte("http")) {
				t.Errorf("%s: %s names an address", path, name)
			}
		}
	}
}

func wantWords(t *testing.T, err error, words ...string) {
	t.Helper()
	if err == nil {
		t.Fatal("there is no error")
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("the error is %q, want %q in it", err, word)
		}
	}
}

func lines(t *testing.T, path string) []string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

func found(t *testing.T, dir, name string) bool {
	t.Helper()
	var yes bool
	err := filepath.WalkDir(dir, func(_ string, entry fs.DirEntry, err error) error {
		yes = yes || (err == nil && entry.Name() == name)
		return nil
	})
	return err == nil && yes
}
