package embedded

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"unsafe"
)

const (
	// childVariable marks the child's environment, childCommand its arguments.
	childVariable = "LOYALTYHOUSE_EMBEDDED_CHILD"
	childCommand  = "embedded-clickhouse"

	// lifelineDescriptor is the child's end of a pipe that nobody writes to. It
	// ends when the parent does, also when the parent is killed.
	lifelineDescriptor = 3
)

// RunChild runs the engine and ends the process if this process was started as
// the engine's child. Otherwise it returns at once. Call it before anything else
// in main, and in the TestMain of tests that start ClickHouse.
func RunChild() {
	if !isChild() {
		return
	}
	if len(os.Args) < 3 || os.Args[1] != childCommand {
		fmt.Fprintf(os.Stderr, "%s is set, but the arguments are not those of an engine's child\n", childVariable)
		os.Exit(2)
	}
	// The parent alone decides when the engine ends. Service managers send
	// SIGTERM to every process of a service at once.
	signal.Ignore(os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go endWithParent(os.NewFile(lifelineDescriptor, "lifeline"))
	if err := runEngine(os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// isChild reports whether this process was started as the engine's child.
func isChild() bool {
	return os.Getenv(childVariable) != ""
}

// endWithParent kills this process when the pipe ends. The tables are as safe
// then as after any crash.
func endWithParent(lifeline io.Reader) {
	_, _ = io.Copy(io.Discard, lifeline)
	self, err := os.FindProcess(os.Getpid())
	if err == nil {
		err = self.Kill()
	}
	if err != nil {
		os.Exit(1)
	}
}

// engineResult is the beginning of local_result_v2 in the engine's chdb.h.
type engineResult struct {
	_       uintptr // buf
	_       uintptr // len
	_       uintptr // vec
	_       float64 // elapsed
	_       uint64  // rows_read
	_       uint64  // bytes_read
	message *byte
}

// runEngine loads the library and runs it with the arguments of `clickhouse
// local` until its last query ends.
func runEngine(library string, arguments []string) error {
	runtime.LockOSThread()
	handle, err := openLibrary(library)
	if err != nil {
		return fmt.Errorf("load the engine: %w; delete the directory of %s, and it will be fetched again", err, library)
	}
	var query func(argc int32, argv **byte) *engineResult
	registerFunction(&query, handle, "query_stable_v2")

	argv := make([]*byte, 0, len(arguments)+2)
	for _, argument := range append([]string{"clickhouse"}, arguments...) {
		argv = append(argv, &append([]byte(argument), 0)[0])
	}
	argc := int32(len(argv)) //nolint:gosec // They are the few arguments that this package passes itself.
	argv = append(argv, nil)
	var pinner runtime.Pinner
	defer pinner.Unpin()
	for _, argument := range argv[:argc] {
		pinner.Pin(argument)
	}
	pinner.Pin(&argv[0])

	result := query(argc, &argv[0])
	if result == nil || result.message == nil {
		return nil
	}
	return errors.New(goString(result.message))
}

// goString copies a C string.
func goString(text *byte) string {
	var b strings.Builder
	for p := unsafe.Pointer(text); *(*byte)(p) != 0; p = unsafe.Add(p, 1) { //nolint:gosec // The engine ends its messages with a zero byte.
		b.WriteByte(*(*byte)(p))
	}
	return b.String()
}
