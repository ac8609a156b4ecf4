//go:build linux

// Package postgrestest runs a PostgreSQL server of its own for tests and
// benchmarks, from the programs that Debian's package postgresql installs. What it
// runs can be killed and started again.
package postgrestest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"loyaltyhouse/connector/harness"
)

// Superuser is the role that a new server has, and its only database's name.
const Superuser = "postgres"

// startTimeout bounds a start, on the slowest machine.
const startTimeout = time.Minute

// A Server is one PostgreSQL server. Its methods are not for concurrent use.
type Server struct {
	// Port is where it listens on 127.0.0.1, also after another start.
	Port int
	// Password is the superuser's.
	Password string

	dir        string
	programs   string // the directory of PostgreSQL's programs
	settings   []string
	credential *syscall.Credential // nil where the server runs as this user
	process    *os.Process
	done       chan struct{} // closed when the process has ended
}

// Start makes a server in the directory and starts it. Settings are as in
// fsync=off. The server refuses to run as root, so that root starts it as the
// user postgres, who gets the directory and must be able to reach it.
func Start(ctx context.Context, dir string, settings ...string) (*Server, error) {
	programs, err := findPrograms()
	if err != nil {
		return nil, err
	}
	s := &Server{dir: dir, programs: programs, settings: settings, Password: rand.Text()}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	if os.Getuid() == 0 {
		if s.credential, err = unprivileged(); err != nil {
			return nil, err
		}
	}
	if err := s.Own(dir); err != nil {
		return nil, err
	}
	if s.Port, err = harness.FreePort(ctx); err != nil {
		return nil, err
	}
	if err := s.initialize(ctx); err != nil {
		return nil, err
	}
	return s, s.Restart(ctx)
}

// findPrograms returns where the newest server's programs are.
func findPrograms() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", fmt.Errorf("postgres: %w", err)
	}
	version := func(path string) int {
		n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path)))) // What is no number is taken last.
		return n
	}
	if len(found) > 0 {
		return filepath.Dir(slices.MaxFunc(found, func(a, b string) int { return version(a) - version(b) })), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errors.New("postgres: there is no server on this machine, neither under /usr/lib/postgresql nor in PATH; run: apt-get install postgresql")
}

func unprivileged() (*syscall.Credential, error) {
	account, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("postgres: a server cannot run as root: %w; run: apt-get install postgresql", err)
	}
	uid, err := strconv.ParseUint(account.Uid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("postgres: user %s: %w", account.Username, err)
	}
	gid, err := strconv.ParseUint(account.Gid, 10, 32)
	if err != nil {
		return nil, fmt.Errorf("postgres: user %s: %w", account.Username, err)
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

// Own gives a file to the user that the server runs as.
func (s *Server) Own(path string) error {
	if s.credential == nil {
		return nil
	}
	if err := os.Chown(path, int(s.credential.Uid), int(s.credential.Gid)); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	return nil
}

// DataDir is where the server's files are.
func (s *Server) DataDir() string { return filepath.Join(s.dir, "data") }

func (s *Server) initialize(ctx context.Context) error {
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte(s.Password), 0o600); err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	if err := s.Own(secret); err != nil {
		return err
	}
	initdb := s.command(ctx, "initdb", "--pgdata="+s.DataDir(), "--username="+Superuser, "--pwfile="+secret,
		"--auth=scram-sha-256", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
	if said, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("postgres: initdb: %w; can the user of the server reach %s?\n%s", err, s.dir, said)
	}
	return nil
}

func (s *Server) command(ctx context.Context, program string, arguments ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.programs, program), arguments...) //nolint:gosec // No shell is involved; the programs are those of the Debian package, found at a fixed path, and the arguments come from this package.
	cmd.Dir = s.dir
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C.UTF-8"}
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.credential}
	return cmd
}

// Restart starts a server that has been closed or killed, on the same port with
// the same data.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if err := s.run(ctx); err != nil {
			return err
		}
		err := s.await(ctx)
		if err == nil || ctx.Err() != nil || !s.ended() {
			return err
		}
		// The processes of a server that was killed may hold its memory a little longer.
		time.Sleep(100 * time.Millisecond)
	}
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "server.log") }

// run starts the process, which outlives the context but not this program.
func (s *Server) run(ctx context.Context) error {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	arguments := []string{"-D", s.DataDir()}
	for _, setting := range slices.Concat([]string{
		"listen_addresses=127.0.0.1", "port=" + strconv.Itoa(s.Port), "unix_socket_directories=", "max_connections=60",
	}, s.settings) {
		arguments = append(arguments, "-c", setting)
	}
	cmd := s.command(context.WithoutCancel(ctx), "postgres", arguments...)
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr.Pdeathsig = syscall.SIGQUIT
	cmd.SysProcAttr.Setpgid = true // Ctrl-C is for this program.
	started, done := make(chan error, 1), make(chan struct{})
	go func() {
		defer close(done)
		// The kernel takes the end of the thread that started the child for the end
		// of the parent, so that this thread stays until the child has ended.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // How a server ends that was told to is of no interest; one that ends by itself has said why.
		}
	}()
	err = <-started
	_ = log.Close() // The process has its own.
	if err != nil {
		return fmt.Errorf("postgres: %w", err)
	}
	s.process, s.done = cmd.Process, done
	return nil
}

// await returns when the server lets its superuser in.
func (s *Server) await(ctx context.Context) error {
	for {
		conn, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-s.done:
			words, _ := os.ReadFile(s.logFile()) // Without it there is nothing to tell.
			return fmt.Errorf("postgres: the server ended when it was started; the end of %s:\n%s", s.logFile(), words[max(0, len(words)-2000):])
		case <-ctx.Done():
			return fmt.Errorf("postgres: wait for the server: %w; see %s", err, s.logFile())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// URL is the address for the superuser.
func (s *Server) URL() string {
	return fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=prefer", Superuser, s.Password, s.Addr(), Superuser)
}

// Addr is where the server listens.
func (s *Server) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(s.Port)) }

func (s *Server) ended() bool {
	select {
	case <-s.done:
		return true
	default:
		return false
	}
}

// Close ends the server in order. It cuts its connections.
func (s *Server) Close() error {
	const fast = syscall.SIGINT // "Fast shutdown": no waiting for clients.
	if err := s.process.Signal(fast); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("postgres: %w", err)
	}
	select {
	case <-s.done:
		return nil
	case <-time.After(startTimeout):
		return errors.Join(errors.New("postgres: the server does not end"), s.Kill())
	}
}

// Kill ends all of the server's processes at once, as a crash does.
func (s *Server) Kill() error {
	children, err := s.children()
	if err != nil {
		return err
	}
	for _, pid := range append([]int{s.process.Pid}, children...) {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("postgres: kill %d: %w", pid, err)
		}
	}
	<-s.done
	return nil
}

// Pause stops all of the server's processes until Resume: it then takes
// connections and answers nothing.
func (s *Server) Pause() error { return s.signal(syscall.SIGSTOP) }

// Resume ends what Pause began.
func (s *Server) Resume() error { return s.signal(syscall.SIGCONT) }

func (s *Server) signal(signal syscall.Signal) error {
	children, err := s.children()
	if err != nil {
		return err
	}
	for _, pid := range append([]int{s.process.Pid}, children...) {
		if err := syscall.Kill(pid, signal); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("postgres: signal %d: %w", pid, err)
		}
	}
	return nil
}

// children returns the processes that the server has started.
func (s *Server) children() (pids []int, err error) {
	pid := strconv.Itoa(s.process.Pid)
	listed, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children")) //nolint:gosec // The path is in /proc, and pid is the number of a process that this package has started.
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil // It has ended.
	}
	if err != nil {
		return nil, fmt.Errorf("postgres: %w", err)
	}
	for field := range strings.FieldsSeq(string(listed)) {
		child, err := strconv.Atoi(field)
		if err != nil {
			return nil, fmt.Errorf("postgres: processes of the server: %w", err)
		}
		pids = append(pids, child)
	}
	return pids, nil
}
