//go:build linux

package apachekafka

import (
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/xml"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

//go:embed pom.xml
var pom []byte

// leastJava is the oldest Java that Kafka's brokers run on.
const leastJava = 17

// withoutKafka says how to go on where Kafka cannot be started here.
const withoutKafka = "or start the brokers of docker-compose.yml: docker compose up kafka"

// install is what is needed to run Kafka.
type install struct {
	java string // the program
	jars string // the directory of the class path
}

// findInstall finds Java, and fetches Kafka with Maven unless the cache
// directory has it already. Concurrent calls, also of other processes, may
// fetch it twice; the first to be done wins.
func findInstall(ctx context.Context, log *slog.Logger) (install, error) {
	java, err := findJava(ctx)
	if err != nil {
		return install{}, err
	}
	version, err := pinnedVersion()
	if err != nil {
		return install{}, err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return install{}, fmt.Errorf("find a place for Kafka: %w; set XDG_CACHE_HOME", err)
	}
	root := filepath.Join(cache, "loyaltyhouse", "kafka")
	// Another pom.xml is another directory.
	jars := filepath.Join(root, fmt.Sprintf("%s-%x", version, sha256.Sum256(pom))[:len(version)+9])
	if _, err := os.Stat(jars); err == nil {
		return install{java: java, jars: jars}, nil
	}
	log.LogAttrs(ctx, slog.LevelInfo, "fetching Apache Kafka with Maven (about 45 MB, once)", slog.String("version", version), slog.String("directory", jars))
	if err := fetch(ctx, root, jars); err != nil {
		return install{}, fmt.Errorf("fetch Apache Kafka %s: %w", version, err)
	}
	return install{java: java, jars: jars}, nil
}

// command runs one of Kafka's classes.
func (i install) command(ctx context.Context, options []string, class string, args ...string) *exec.Cmd {
	args = append(append(options, "-cp", filepath.Join(i.jars, "*"), class), args...)
	return exec.CommandContext(ctx, i.java, args...) //nolint:gosec // No shell is involved; the program is what findJava found, and the arguments come from this package.
}

// fetch has Maven copy the jars into a directory beside the final one, which is
// renamed when all are there.
func fetch(ctx context.Context, root, jars string) error {
	mvn, err := exec.LookPath("mvn")
	if err != nil {
		return fmt.Errorf("the program mvn is not on the PATH: install Maven and try again; %s", withoutKafka)
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return err
	}
	work, err := os.MkdirTemp(root, ".unfinished-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(work) }() // It is only in the way.
	if err := os.WriteFile(filepath.Join(work, "pom.xml"), pom, 0o600); err != nil {
		return err
	}
	unfinished := filepath.Join(work, "jars")
	command := exec.CommandContext(ctx, mvn, "-q", "-B", "dependency:copy-dependencies", "-DincludeScope=runtime", "-DoutputDirectory="+unfinished) //nolint:gosec // No shell is involved, and the one argument that varies is a directory that MkdirTemp has just made.
	command.Dir = work
	command.WaitDelay = time.Second
	if words, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("mvn failed: %w; check Maven's access to its repository, and that its version is at least 3.6.3; its last words:\n%s", err, lastLines(words, 12))
	}
	err = os.Rename(unfinished, jars)
	if errors.Is(err, fs.ErrExist) {
		return nil // Another process was faster.
	}
	return err
}

// pinnedVersion is the version of Kafka that pom.xml names.
func pinnedVersion() (string, error) {
	var project struct {
		Dependencies []struct {
			Group   string `xml:"groupId"`
			Version string `xml:"version"`
		} `xml:"dependencies>dependency"`
	}
	if err := xml.Unmarshal(pom, &project); err != nil {
		return "", fmt.Errorf("read pom.xml: %w", err)
	}
	for _, dependency := range project.Dependencies {
		if dependency.Group == "org.apache.kafka" {
			return dependency.Version, nil
		}
	}
	return "", errors.New("pom.xml does not name Kafka")
}

// javaVersion is in the first line that java -version prints; up to Java 8 it
// began with "1.".
var javaVersion = regexp.MustCompile(`version "(?:1\.)?(\d+)`)

// findJava finds a Java that is new enough, first where JAVA_HOME says.
func findJava(ctx context.Context) (string, error) {
	advice := fmt.Sprintf("install Java %d or newer, or set JAVA_HOME to it; %s", leastJava, withoutKafka)
	java := filepath.Join(os.Getenv("JAVA_HOME"), "bin", "java")
	if os.Getenv("JAVA_HOME") == "" {
		var err error
		if java, err = exec.LookPath("java"); err != nil {
			return "", fmt.Errorf("the program java is not on the PATH: %s", advice)
		}
	}
	printed, err := exec.CommandContext(ctx, java, "-version").CombinedOutput() //nolint:gosec // No shell is involved; JAVA_HOME or PATH is how whoever runs this chooses the Java, with the same rights.
	if err != nil {
		return "", fmt.Errorf("%s -version: %w: %s", java, err, advice)
	}
	found := javaVersion.FindSubmatch(printed)
	if found == nil {
		return "", fmt.Errorf("%s -version does not tell its version: %s", java, advice)
	}
	if version, err := strconv.Atoi(string(found[1])); err != nil || version < leastJava {
		return "", fmt.Errorf("%s is Java %s, which is too old for Kafka: %s", java, found[1], advice)
	}
	return java, nil
}

// lastLines is the end of what a program printed, without Java's stack traces.
func lastLines(text []byte, count int) string {
	lines := strings.Split(string(bytes.TrimSpace(text)), "\n")
	lines = slices.DeleteFunc(lines, func(line string) bool { return strings.HasPrefix(line, "\tat ") })
	return strings.Join(lines[max(0, len(lines)-count):], "\n")
}
