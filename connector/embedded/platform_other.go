//go:build !linux && !darwin

package embedded

import (
	"errors"
	"os"
	"runtime"
	"syscall"
)

// The embedded default does not run here. These functions let the program be
// built all the same, for use with servers.

func lockFile(*os.File) error { return unsupported(runtime.GOOS, runtime.GOARCH) }

func ownProcessGroup() *syscall.SysProcAttr { return nil }

func openLibrary(string) (uintptr, error) { return 0, unsupported(runtime.GOOS, runtime.GOARCH) }

func registerFunction(any, uintptr, string) {}

func freeBytes(string) (uint64, error) { return 0, errors.ErrUnsupported }
