package embedded

import (
	"context"
	"crypto/rand"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// ClickHouse is a running engine: a child process that ends, at the latest,
// when this process does.
type ClickHouse struct {
	cfg       ClickHouseConfig
	log       *slog.Logger
	child     *exec.Cmd
	lock      *fileLock
	logFile   *logFile
	lifeline  *os.File // the child kills itself when this is closed
	lastWords *tail
	keepAlive string // id of the query whose end ends the engine
	client    *http.Client

	stopping atomic.Bool
	done     chan struct{}
	err      error // read after done
}

// StartClickHouse starts the engine on the data directory, fetching it first if
// need be (see [InstallEngine]), and returns when it answers queries. The engine
// outlives the context; [ClickHouse.Close] ends it.
func StartClickHouse(ctx context.Context, cfg Config, log *slog.Logger, progress io.Writer) (*ClickHouse, error) {
	if isChild() {
		return nil, errors.New("the engine's child was asked to start an engine: call embedded.RunChild first thing in main, and in TestMain")
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	library, err := InstallEngine(ctx, cfg, progress)
	if err != nil {
		return nil, err
	}
	// A port that was free a moment ago can be taken when the engine wants it.
	attempts := 1
	if cfg.ClickHouse.NativePort == 0 || cfg.ClickHouse.HTTPPort == 0 {
		attempts = 3
	}
	for {
		c, err := startEngine(ctx, cfg, library, log)
		attempts--
		if err == nil || errors.Is(err, ErrInUse) || attempts == 0 || ctx.Err() != nil {
			return c, err
		}
	}
}

// Addr returns the address of the native protocol.
func (c *ClickHouse) Addr() string {
	return net.JoinHostPort(c.cfg.Host, strconv.Itoa(c.cfg.NativePort))
}

// HTTPAddr returns the address of the HTTP interface.
func (c *ClickHouse) HTTPAddr() string {
	return net.JoinHostPort(c.cfg.Host, strconv.Itoa(c.cfg.HTTPPort))
}

// Done is closed when the engine has ended, whatever the reason.
func (c *ClickHouse) Done() <-chan struct{} {
	return c.done
}

// Err returns nil while the engine runs and after Close, and otherwise why it
// ended, with its last words.
func (c *ClickHouse) Err() error {
	select {
	case <-c.done:
		return c.err
	default:
		return nil
	}
}

// Close ends the engine in order, and kills it when the context or the stop
// timeout ends before. Its tables survive both. It may be called again.
func (c *ClickHouse) Close(ctx context.Context) error {
	c.stopping.Store(true)
	ctx, cancel := context.WithTimeout(ctx, c.cfg.StopTimeout)
	defer cancel()
	// That the query cannot be ended shows in the engine not ending.
	_, _ = c.query(ctx, fmt.Sprintf("KILL QUERY WHERE query_id = '%s' ASYNC", c.keepAlive))
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
	}
	c.log.WarnContext(ctx, "embedded ClickHouse did not stop in time and is killed")
	return c.Kill()
}

// Kill ends the engine at once, as a crash would.
func (c *ClickHouse) Kill() error {
	if err := c.child.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("kill the embedded ClickHouse: %w", err)
	}
	<-c.done
	return nil
}

// startEngine takes the data directory's lock, starts the child and waits until
// it answers.
func startEngine(ctx context.Context, cfg Config, library string, log *slog.Logger) (*ClickHouse, error) {
	dir, err := filepath.Abs(filepath.Join(cfg.DataDir, "clickhouse"))
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	lock, err := lockDirectory(ctx, cfg, dir)
	if err != nil {
		return nil, err
	}
	c := &ClickHouse{
		cfg:       cfg.ClickHouse,
		log:       log,
		lock:      lock,
		lastWords: &tail{},
		keepAlive: "embedded-" + rand.Text(),
		client:    &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
		done:      make(chan struct{}),
	}
	if err := c.spawn(ctx, dir, library); err != nil {
		return nil, errors.Join(err, c.release())
	}
	started := time.Now()
	go c.wait()
	if err := c.waitUntilReady(ctx); err != nil {
		c.stopping.Store(true)
		return nil, errors.Join(err, c.Kill())
	}
	log.InfoContext(ctx, "embedded ClickHouse is ready",
		slog.String("native", c.Addr()), slog.String("http", c.HTTPAddr()), slog.Duration("after", time.Since(started)))
	return c, nil
}

// spawn starts the child. What it has opened, release closes.
func (c *ClickHouse) spawn(ctx context.Context, dir, library string) error {
	if err := claimPort(ctx, c.cfg.Host, &c.cfg.NativePort, "native protocol", "native_port"); err != nil {
		return err
	}
	if err := claimPort(ctx, c.cfg.Host, &c.cfg.HTTPPort, "HTTP interface", "http_port"); err != nil {
		return err
	}
	settingsPath := filepath.Join(dir, "config.xml")
	if err := writeSettings(settingsPath, dir, c.cfg); err != nil {
		return err
	}
	executable, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's file, which is the engine's too: %w", err)
	}
	c.logFile, err = openLogFile(filepath.Join(filepath.Dir(dir), "clickhouse.log"), logFileBytes)
	if err != nil {
		return err
	}
	childLifeline, lifeline, err := os.Pipe()
	if err != nil {
		return fmt.Errorf("connect the engine to this process: %w", err)
	}
	c.lifeline = lifeline

	// The context does not end the child: Close does, after the last batch.
	c.child = exec.CommandContext(context.WithoutCancel(ctx), executable, //nolint:gosec // No shell is involved; the program is the one that is running, and the arguments come from this package.
		childCommand, library,
		"--config-file", settingsPath,
		"--query_id", c.keepAlive,
		"--implicit_select", "0", // As in a server, "1+1" is not a query.
		"--query", "SYSTEM START LISTEN TCP; SYSTEM START LISTEN HTTP; "+
			"SELECT sleepEachRow(0.25) FROM system.numbers SETTINGS max_block_size = 1 FORMAT Null")
	c.child.Dir = dir
	c.child.Env = childEnvironment()
	// The child holds the lock too, and so keeps a successor of a killed parent
	// away until it has ended itself.
	c.child.ExtraFiles = []*os.File{childLifeline, c.lock.file}
	output := io.MultiWriter(c.logFile, c.lastWords)
	c.child.Stdout = output
	c.child.Stderr = output
	c.child.WaitDelay = time.Second
	c.child.SysProcAttr = ownProcessGroup()
	err = c.child.Start()
	_ = childLifeline.Close() // The child has its own.
	if err != nil {
		return fmt.Errorf("start the engine: %w", err)
	}
	return nil
}

// release closes the files that this process has open for the child.
func (c *ClickHouse) release() error {
	var errs []error
	if c.lifeline != nil {
		errs = append(errs, c.lifeline.Close())
	}
	if c.logFile != nil {
		errs = append(errs, c.logFile.Close())
	}
	return errors.Join(append(errs, c.lock.release())...)
}

// claimPort makes sure that the port can be listened at, and chooses one if it is 0.
func claimPort(ctx context.Context, host string, port *int, purpose, setting string) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(*port)))
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("port %d of %s, for the embedded ClickHouse's %s, is in use by another program: stop that program, or set clickhouse.%s to a free port: %w", *port, host, purpose, setting, err)
	}
	if err != nil {
		return fmt.Errorf("listen at port %d of %s for the embedded ClickHouse's %s: %w; check clickhouse.host and clickhouse.%s", *port, host, purpose, err, setting)
	}
	if address, ok := listener.Addr().(*net.TCPAddr); ok {
		*port = address.Port
	}
	return listener.Close()
}

// settings is the part of ClickHouse's configuration file that is not left as
// it is. The limits are those for a machine that has other work to do.
type settings struct {
	XMLName           xml.Name `xml:"clickhouse"`
	Comment           string   `xml:",comment"`
	Path              string   `xml:"path"`
	UserFilesPath     string   `xml:"user_files_path"`
	ListenHost        string   `xml:"listen_host"`
	NativePort        int      `xml:"tcp_port"`
	HTTPPort          int      `xml:"http_port"`
	LogLevel          string   `xml:"logger>console_log_level"`
	LogToConsole      bool     `xml:"logger>console"`
	MaxMemory         int64    `xml:"max_server_memory_usage"`
	MaxMemoryRatio    float64  `xml:"max_server_memory_usage_to_ram_ratio"`
	MarkCacheBytes    int64    `xml:"mark_cache_size"`
	PrimaryCacheBytes int64    `xml:"primary_index_cache_size"`
	KeepFreeBytes     int64    `xml:"storage_configuration>disks>default>keep_free_space_bytes"`
	SendCrashReports  bool     `xml:"send_crash_reports>enabled"`
}

func writeSettings(path, dir string, cfg ClickHouseConfig) error {
	const cacheBytes = 256 << 20
	// An INSERT or a merge that meets the end of the disk can be answered as stored
	// with a file of its part left empty. One that would come near the end is refused.
	const keepFreeBytes = 16 << 20
	content, err := xml.MarshalIndent(settings{
		Comment:           " Written anew at each start. ",
		Path:              filepath.Join(dir, "data"),
		UserFilesPath:     filepath.Join(dir, "data", "user_files"),
		ListenHost:        cfg.Host,
		NativePort:        cfg.NativePort,
		HTTPPort:          cfg.HTTPPort,
		LogLevel:          cfg.LogLevel,
		LogToConsole:      true,
		MaxMemory:         cfg.MaxMemoryBytes,
		MaxMemoryRatio:    0.5,
		MarkCacheBytes:    cacheBytes,
		PrimaryCacheBytes: cacheBytes,
		KeepFreeBytes:     keepFreeBytes,
	}, "", "  ")
	if err != nil {
		return fmt.Errorf("compose the engine's settings: %w", err)
	}
	if err := os.WriteFile(path, append(content, '\n'), 0o600); err != nil {
		return fmt.Errorf("write the engine's settings: %w", err)
	}
	return nil
}

// childEnvironment passes on what a C library may need, and no secrets.
func childEnvironment() []string {
	environment := []string{
		childVariable + "=1",
		"TZ=UTC",
		"GORACE=atexit_sleep_ms=0", // Otherwise each exit takes a second under the race detector.
	}
	for _, name := range []string{"PATH", "HOME", "TMPDIR", "LANG", "LD_LIBRARY_PATH"} {
		if value, ok := os.LookupEnv(name); ok {
			environment = append(environment, name+"="+value)
		}
	}
	return environment
}

// wait waits for the child's end.
func (c *ClickHouse) wait() {
	defer close(c.done)
	_ = c.child.Wait() // The process state says more.
	err := c.release()
	if !c.stopping.Load() {
		err = errors.Join(fmt.Errorf("the embedded ClickHouse ended by itself (%v); its last words, of which %s may have more: %s",
			c.child.ProcessState, c.logFile.path, c.lastWords.lines(5)), err)
	}
	c.err = err
}

// waitUntilReady returns when the engine runs its last query, and so listens at
// both ports. That the answer is this very engine's shows in the query's id.
func (c *ClickHouse) waitUntilReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, c.cfg.StartTimeout,
		fmt.Errorf("no answer within %v; see %s, or raise clickhouse.start_timeout", c.cfg.StartTimeout, c.logFile.path))
	defer cancel()
	question := fmt.Sprintf("SELECT count() FROM system.processes WHERE query_id = '%s' AND query LIKE 'SELECT%%'", c.keepAlive)
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		if answer, err := c.query(ctx, question); err == nil && strings.TrimSpace(answer) == "1" {
			return nil
		}
		select {
		case <-ticker.C:
		case <-c.done:
			return c.err
		case <-ctx.Done():
			return fmt.Errorf("wait for the embedded ClickHouse: %w", context.Cause(ctx))
		}
	}
}

// query sends a statement through HTTP and returns the answer's text.
func (c *ClickHouse) query(ctx context.Context, statement string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+c.HTTPAddr()+"/", strings.NewReader(statement))
	if err != nil {
		return "", err
	}
	response, err := c.client.Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	const answerBytes = 1 << 10
	answer, err := io.ReadAll(io.LimitReader(response.Body, answerBytes))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("ClickHouse answers %s", response.Status)
	}
	return string(answer), nil
}
