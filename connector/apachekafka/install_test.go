//go:build linux

package apachekafka

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// The version that the tests run on is the one that docker compose runs, and the
// one that the documents name.
func TestVersionIsOneVersion(t *testing.T) {
	version, err := pinnedVersion()
	if err != nil {
		t.Fatal(err)
	}
	for file, pattern := range map[string]string{
		"../../docker-compose.yml": `apache/kafka:(\S+)`,
		"../../docs/kafka.md":      `Apache Kafka (\d+\.\d+\.\d+)`,
	} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(pattern).FindAllSubmatch(text, -1)
		if len(found) == 0 {
			t.Errorf("%s names no version", file)
		}
		for _, match := range found {
			if string(match[1]) != version {
				t.Errorf("%s names %s, pom.xml %s", file, match[1], version)
			}
		}
	}
}

// fakePrograms makes a directory with scripts the only one on the PATH.
func fakePrograms(t *testing.T, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
	t.Setenv("JAVA_HOME", "")
	t.Setenv("XDG_CACHE_HOME", filepath.Join(dir, "cache"))
}

const java17 = `echo 'openjdk version "17.0.15" 2025-04-15' >&2`

// What is missing is told with what to do.
func TestMissingPrograms(t *testing.T) {
	for name, test := range map[string]struct {
		scripts map[string]string
		want    []string
	}{
		"no Java":       {nil, []string{"java is not on the PATH", "install Java 17", "docker compose up kafka"}},
		"an old Java":   {map[string]string{"java": `echo 'openjdk version "11.0.2" 2019-01-15' >&2`}, []string{"Java 11", "too old", "JAVA_HOME"}},
		"an older Java": {map[string]string{"java": `echo 'java version "1.8.0_402"' >&2`}, []string{"Java 8", "too old"}},
		"another thing": {map[string]string{"java": `echo coffee`}, []string{"does not tell its version"}},
		"a broken Java": {map[string]string{"java": `exit 3`}, []string{"exit status 3", "install Java 17"}},
		"no Maven":      {map[string]string{"java": java17}, []string{"mvn is not on the PATH", "install Maven"}},
		"no network":    {map[string]string{"java": java17, "mvn": "echo Could not resolve; exit 1"}, []string{"mvn failed", "Could not resolve"}},
	} {
		t.Run(name, func(t *testing.T) {
			fakePrograms(t, test.scripts)
			_, err := findInstall(t.Context(), slog.New(slog.DiscardHandler))
			if err == nil {
				t.Fatal("Kafka was found")
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q is not in: %v", want, err)
				}
			}
		})
	}
}

// Kafka is fetched once, and what was interrupted does not count.
func TestFetchedOnce(t *testing.T) {
	fakePrograms(t, map[string]string{
		"java": java17,
		// It makes the directory of its last argument, and the calls can be counted.
		"mvn": `for last; do :; done; /bin/mkdir -p "${last#*=}" && echo jar > "${last#*=}/kafka.jar"; echo called >> "$XDG_CACHE_HOME/calls"`,
	})
	cache := os.Getenv("XDG_CACHE_HOME")
	if err := os.MkdirAll(filepath.Join(cache, "loyaltyhouse", "kafka", ".unfinished-1", "jars"), 0o700); err != nil {
		t.Fatal(err)
	}
	results := make(chan error)
	for range 4 {
		go func() {
			found, err := findInstall(context.WithoutCancel(t.Context()), slog.New(slog.DiscardHandler))
			if err == nil {
				_, err = os.Stat(filepath.Join(found.jars, "kafka.jar"))
			}
			results <- err
		}()
	}
	for range 4 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
	before, err := os.ReadFile(filepath.Join(cache, "calls"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := findInstall(t.Context(), slog.New(slog.DiscardHandler)); err != nil {
		t.Error(err)
	}
	if after, err := os.ReadFile(filepath.Join(cache, "calls")); err != nil || !bytes.Equal(after, before) {
		t.Errorf("it was fetched again: %s, %v", after, err)
	}
}

// Values with line breaks, as certificates have, are one value for Java.
func TestProperties(t *testing.T) {
	got := string(properties(map[string]string{"b": "line\nline\n", "a": `back\slash`}))
	if want := fmt.Sprintln(`a=back\\slash`) + fmt.Sprintln(`b=line\nline\n`); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
