package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// ErrInUse means that another process uses the data directory.
var ErrInUse = errors.New("in use by another process")

// killedParentPatience is how long a data directory's lock is waited for: the
// child of a process that was killed a moment ago holds it until it has ended.
const killedParentPatience = 2 * time.Second

// fileLock is an advisory lock that the operating system releases when the last
// process that has the file open ends, however it ends.
type fileLock struct {
	file *os.File
}

// lockDirectory takes the lock of a part's directory inside the data directory,
// and creates the directory if need be. Only its owner may enter it.
func lockDirectory(ctx context.Context, cfg Config, dir string) (*fileLock, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create the data directory: %w; set data_dir (DATA_DIR) to a folder that can be written", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // A directory needs the execute bit to be entered.
		return nil, fmt.Errorf("close the data directory to other users: %w", err)
	}
	path := filepath.Join(dir, "lock")
	ctx, cancel := context.WithTimeout(ctx, killedParentPatience)
	defer cancel()
	lock, err := waitForLock(ctx, path)
	if errors.Is(err, ErrInUse) {
		return nil, fmt.Errorf("another connector%s is using %s; stop it, or set data_dir (DATA_DIR) to another folder: %w", holder(path), cfg.DataDir, err)
	}
	return lock, err
}

// waitForLock takes the lock, or returns ErrInUse when the context ends first.
func waitForLock(ctx context.Context, path string) (*fileLock, error) {
	const interval = 50 * time.Millisecond
	for {
		lock, err := tryLock(path)
		if !errors.Is(err, ErrInUse) {
			return lock, err
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(interval):
		}
	}
}

// tryLock takes the lock, or returns ErrInUse at once.
func tryLock(path string) (*fileLock, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) //nolint:gosec // The name is fixed, in the data directory that whoever writes the configuration names.
	if err != nil {
		return nil, fmt.Errorf("open the lock file: %w", err)
	}
	if err := lockFile(file); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	// The number only makes the message better that others get.
	if err := errors.Join(file.Truncate(0), writeAt(file, strconv.Itoa(os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("write the lock file: %w", err), file.Close())
	}
	return &fileLock{file: file}, nil
}

// release gives the lock up, unless a child still has the file open.
func (l *fileLock) release() error {
	return l.file.Close()
}

func writeAt(file *os.File, text string) error {
	_, err := file.WriteAt([]byte(text), 0)
	return err
}

// holder returns the words that name the process holding the lock, if it can be known.
func holder(path string) string {
	text, err := os.ReadFile(path) //nolint:gosec // The name is fixed, in the data directory that whoever writes the configuration names.
	if err != nil || len(text) == 0 {
		return ""
	}
	return fmt.Sprintf(" (process %s)", strings.TrimSpace(string(text)))
}
