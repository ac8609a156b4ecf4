package files_test

import (
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/sinktest"
)

// A directory that may not be written to is told by Write, Ping and Check, and
// the batch is stored when it may.
func TestWriteWithoutPermission(t *testing.T) {
	cfg := newLocal(t)
	for dir := cfg.Local.Directory; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // Another user is to read it.
			t.Fatal(err)
		}
	}
	if err := os.Chmod(cfg.Local.Directory, 0o555); err != nil { //nolint:gosec // Another user is to read it.
		t.Fatal(err)
	}
	batch := sinktest.NewBatch(points(t), 0, sinktest.Row(points(t), 1))
	// Nothing is forbidden to root: for the file system this thread is nobody.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const nobody = 65534
	if os.Getuid() == 0 {
		if err := unix.Setfsuid(nobody); err != nil {
			t.Fatal(err)
		}
	}
	sink := open(t, cfg)
	defer func() { _ = sink.Close() }()
	writeErr, pingErr, checkErr := sink.Write(t.Context(), batch), sink.Ping(t.Context()), sink.Check(t.Context(), nil, false)
	if os.Getuid() == 0 {
		if err := unix.Setfsuid(0); err != nil {
			t.Fatal(err)
		}
	}
	for what, err := range map[string]error{"Write": writeErr, "Ping": pingErr, "Check": checkErr} {
		if _, permanent := sinks.IsPermanent(err); permanent || !errors.Is(err, syscall.EACCES) {
			t.Errorf("%s returns %v, want %v", what, err, syscall.EACCES)
		}
	}
	if err := os.Chmod(cfg.Local.Directory, 0o755); err != nil { //nolint:gosec // Another user is to read it.
		t.Fatal(err)
	}
	write(t, cfg, batch)
}
