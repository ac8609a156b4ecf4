//go:build linux || darwin

package embedded

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/ebitengine/purego"
	"golang.org/x/sys/unix"
)

// lockFile takes the file's lock without waiting.
func lockFile(file *os.File) error {
	err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrInUse
	}
	if err != nil {
		return fmt.Errorf("lock %s: %w", file.Name(), err)
	}
	return nil
}

// ownProcessGroup keeps a terminal's Ctrl-C, which goes to the whole group in
// the foreground, away from the child: it must outlive the parent's last batch.
func ownProcessGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}

// openLibrary loads a shared library.
func openLibrary(path string) (uintptr, error) {
	return purego.Dlopen(path, purego.RTLD_NOW|purego.RTLD_GLOBAL)
}

// registerFunction points the function at the library's symbol.
func registerFunction(function any, library uintptr, symbol string) {
	purego.RegisterLibFunc(function, library, symbol)
}

// freeBytes returns how much can be written to the disk of a directory.
func freeBytes(dir string) (uint64, error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(dir, &stat); err != nil {
		return 0, err
	}
	return stat.Bavail * uint64(stat.Bsize), nil //nolint:gosec // A block's size is positive.
}
