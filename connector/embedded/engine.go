package embedded

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/term"
)

// packages holds an npm package with its lock file per platform.
//
//go:embed npm/*/package.json npm/*/package-lock.json
var packages embed.FS

const (
	engineLibrary = "libchdb.so"

	// withoutEngine says how to go on where the engine cannot be had.
	withoutEngine = "start servers with docker compose (config/compose.yaml), or point clickhouse.addresses at a server that runs already"

	// downloadMegabytes and diskMegabytes are about what the engine takes.
	downloadMegabytes = 175
	diskMegabytes     = 550
)

// enginePackage is the npm package that holds the engine for one platform.
type enginePackage struct {
	files   fs.FS  // package.json and package-lock.json
	name    string // such as @chdb/lib-linux-x64-gnu
	version string // such as 26.7.3-stable.1
}

// InstallEngine fetches the engine with npm unless the engine directory has it
// already, and returns the path of its library. Npm checks the download against
// the hash in the lock file. An installation that was interrupted leaves nothing
// that counts as one, and a second process waits for the first one's.
//
// Progress, which may be nil, receives one line that is updated in place if it
// is a terminal, and otherwise a line every few seconds.
func InstallEngine(ctx context.Context, cfg Config, progress io.Writer) (string, error) {
	engine, err := engineFor(runtime.GOOS, runtime.GOARCH)
	if err != nil {
		return "", err
	}
	root, err := engineRoot(cfg)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(root, fmt.Sprintf("clickhouse-%s-%s-%s", engine.version, runtime.GOOS, runtime.GOARCH))
	library := engine.library(dir)
	if exists(library) {
		return library, nil
	}

	npm, err := exec.LookPath("npm")
	if err != nil {
		return "", fmt.Errorf("the embedded ClickHouse %s is not in %s yet, and fetching it needs npm, which is not on the PATH: install Node.js with npm and try again; or %s", engine.version, root, withoutEngine)
	}
	if err := os.MkdirAll(root, 0o700); err != nil {
		return "", fmt.Errorf("create the engine directory: %w; set engine_dir to a folder that can be written", err)
	}
	lock, err := waitForLock(ctx, filepath.Join(root, "install.lock"))
	if errors.Is(err, ErrInUse) {
		return "", fmt.Errorf("wait for another process to fetch ClickHouse into %s: %w", root, context.Cause(ctx))
	}
	if err != nil {
		return "", err
	}
	if !exists(library) {
		err = engine.install(ctx, npm, root, dir, progress)
	}
	if err := errors.Join(err, lock.release()); err != nil {
		return "", err
	}
	return library, nil
}

// engineFor finds the platform's package.
func engineFor(goos, goarch string) (enginePackage, error) {
	files, err := fs.Sub(packages, path.Join("npm", goos+"-"+goarch))
	if err != nil {
		return enginePackage{}, err
	}
	content, err := fs.ReadFile(files, "package-lock.json")
	if errors.Is(err, fs.ErrNotExist) {
		return enginePackage{}, unsupported(goos, goarch)
	}
	if err != nil {
		return enginePackage{}, fmt.Errorf("read the engine's package-lock.json: %w", err)
	}
	var lock struct {
		Packages map[string]struct {
			Version string `json:"version"`
		} `json:"packages"`
	}
	if err := json.Unmarshal(content, &lock); err != nil {
		return enginePackage{}, fmt.Errorf("read the engine's package-lock.json: %w", err)
	}
	for place, locked := range lock.Packages {
		if name, ok := strings.CutPrefix(place, "node_modules/"); ok {
			return enginePackage{files: files, name: name, version: locked.Version}, nil
		}
	}
	return enginePackage{}, errors.New("the engine's package-lock.json names no package")
}

func unsupported(goos, goarch string) error {
	return fmt.Errorf("the embedded default does not run on %s/%s: %s", goos, goarch, withoutEngine)
}

func engineRoot(cfg Config) (string, error) {
	if cfg.EngineDir != "" {
		return filepath.Abs(cfg.EngineDir)
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find a place for the engine: %w; set engine_dir", err)
	}
	return filepath.Join(cache, "loyaltyhouse"), nil
}

// library returns the path of the engine's library inside an installation.
func (p enginePackage) library(dir string) string {
	return filepath.Join(dir, "node_modules", filepath.FromSlash(p.name), engineLibrary)
}

// install runs npm beside the final directory, and renames when all is there.
// The caller holds the lock of root.
func (p enginePackage) install(ctx context.Context, npm, root, dir string, progress io.Writer) error {
	const unfinished = ".unfinished-"
	leftovers, err := filepath.Glob(filepath.Join(root, unfinished+"*"))
	if err != nil {
		return fmt.Errorf("look for unfinished downloads: %w", err)
	}
	for _, leftover := range append(leftovers, dir) {
		if err := os.RemoveAll(leftover); err != nil {
			return fmt.Errorf("remove an unfinished download: %w", err)
		}
	}
	work, err := os.MkdirTemp(root, unfinished)
	if err != nil {
		return fmt.Errorf("create a directory for the download: %w", err)
	}
	defer func() { _ = os.RemoveAll(work) }() // What stays is removed by the next installation.
	if err := os.CopyFS(work, p.files); err != nil {
		return fmt.Errorf("write the engine's package files: %w", err)
	}

	release, _, _ := strings.Cut(p.version, "-")
	title := fmt.Sprintf("Fetching ClickHouse %s (about %d MB, once; %d MB on disk)", release, downloadMegabytes, diskMegabytes)
	if err := whileReporting(progress, title, func() error { return p.runNPM(ctx, npm, work) }); err != nil {
		return err
	}
	if !exists(p.library(work)) {
		return fmt.Errorf("npm ended well, but brought no %s in %s %s; please report this; meanwhile %s", engineLibrary, p.name, p.version, withoutEngine)
	}
	if err := os.Rename(work, dir); err != nil {
		return fmt.Errorf("move the engine to its place: %w", err)
	}
	return nil
}

func (p enginePackage) runNPM(ctx context.Context, npm, dir string) error {
	var words tail
	command := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--no-progress", "--loglevel=error")
	command.Dir = dir
	command.Stdout = &words
	command.Stderr = &words
	command.WaitDelay = time.Second
	err := command.Run()
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return fmt.Errorf("fetch ClickHouse: %w", context.Cause(ctx))
	default:
		return fmt.Errorf("fetch ClickHouse: npm ci (%s) failed: %w; check npm's access to its registry, that its version is at least 7, and that %d MB are free; its last words:\n%s\nTo go on without: %s",
			p.name, err, diskMegabytes, words.lines(12), withoutEngine)
	}
}

// whileReporting runs the work and reports how long it has been going on.
func whileReporting(progress io.Writer, title string, work func() error) error {
	if progress == nil {
		return work()
	}
	interval, before, after := 5*time.Second, "", "\n"
	if file, ok := progress.(*os.File); ok && term.IsTerminal(int(file.Fd())) {
		interval, before, after = time.Second, "\r", ""
	}
	start := time.Now()
	report := func(state string) {
		_, _ = fmt.Fprintf(progress, "%s%s … %s%s", before, title, state, after) // Progress is a courtesy.
	}
	report("0s")

	done := make(chan error, 1)
	go func() { done <- work() }()
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			report(time.Since(start).Round(time.Second).String())
		case err := <-done:
			state := "done after " + time.Since(start).Round(time.Second).String()
			if err != nil {
				state = "failed after " + time.Since(start).Round(time.Second).String()
			}
			after = "\n"
			report(state)
			return err
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}
