//go:build linux

package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// diskVariable tells this binary to mount a small disk at that directory, and
// then to become the program that its arguments name.
const diskVariable = "LOYALTYHOUSE_TEST_DISK"

// diskBytes is enough for the tests, and so little that it is full at once.
const diskBytes = 64 << 20

// A smallDisk is a file system with little room, which can be filled up: what is
// written then fails as it does on every disk that is full. It is a tmpfs that
// only the processes started on it see, and that is gone with them.
//
// Where a process may not have namespaces of its own, as in a container without
// privileges, it is /dev/shm, which has 64 MiB there: its tests do not run in
// parallel.
type smallDisk struct {
	t          *testing.T
	dir        string
	namespaces uintptr // 0 for /dev/shm
	inside     string  // the directory as this process sees it
}

// newSmallDisk says at which directory the disk is to be.
func newSmallDisk(t *testing.T, dir string) *smallDisk {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	d := &smallDisk{t: t, dir: dir, inside: dir}
	var tried error
	for _, d.namespaces = range []uintptr{syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS, syscall.CLONE_NEWNS} {
		said, err := d.command().CombinedOutput()
		if err == nil {
			return d
		}
		tried = errors.Join(tried, fmt.Errorf("%w: %s", err, said))
	}
	d.namespaces = 0
	var shared unix.Statfs_t
	if err := unix.Statfs("/dev/shm", &shared); err != nil || shared.Blocks*uint64(shared.Bsize) > 2*diskBytes {
		t.Fatalf("no small disk can be had, for /dev/shm is large and namespaces are not allowed; run the tests as root, or allow user namespaces: %v", tried)
	}
	shm, err := os.MkdirTemp("/dev/shm", "loyaltyhouse-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(shm) }) // It is gone with the container at the latest.
	if err := errors.Join(os.Remove(dir), os.Symlink(shm, dir)); err != nil {
		t.Fatal(err)
	}
	return d
}

// start runs the program on the disk. One disk has one process and its children.
func (d *smallDisk) start(args ...string) *child {
	d.t.Helper()
	program, err := buildProgram()
	if err != nil {
		d.t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	if d.namespaces != 0 {
		cmd = d.command(append([]string{program}, args...)...)
	}
	c := runChild(d.t, args, cmd)
	if d.namespaces != 0 {
		d.inside = fmt.Sprintf("/proc/%d/root%s", c.PID(), d.dir)
	}
	d.t.Cleanup(d.free)
	return c
}

// command returns a command that mounts the disk and then becomes another; if
// there is none it just ends.
func (d *smallDisk) command(args ...string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], args...)
	cmd.Env = append(os.Environ(), diskVariable+"="+d.dir)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: d.namespaces}
	if d.namespaces&syscall.CLONE_NEWUSER != 0 {
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	return cmd
}

// runOnSmallDisk is what the child does. It returns in every other process.
func runOnSmallDisk() {
	dir := os.Getenv(diskVariable)
	if dir == "" {
		return
	}
	err := errors.Join(
		unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""), // What follows is seen here alone.
		unix.Mount("tmpfs", dir, "tmpfs", unix.MS_NOSUID|unix.MS_NODEV, "mode=0700,size="+strconv.Itoa(diskBytes)),
		os.Unsetenv(diskVariable),
	)
	if err == nil && len(os.Args) > 1 {
		err = unix.Exec(os.Args[1], os.Args[1:], os.Environ())
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "a small disk at %s: %v\n", dir, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// fill takes all the room that is left, to the last byte, as quickly as a disk
// writes: the programs on it keep a reserve for what they are writing meanwhile.
func (d *smallDisk) fill() {
	d.t.Helper()
	file, err := os.OpenFile(filepath.Join(d.inside, "ballast"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		d.t.Fatal(err)
	}
	defer file.Close()
	for piece := make([]byte, 1<<20); len(piece) > 0; {
		time.Sleep(10 * time.Millisecond)
		if _, err := file.Write(piece); errors.Is(err, syscall.ENOSPC) {
			piece = piece[:len(piece)/2]
		} else if err != nil {
			d.t.Fatal(err)
		}
	}
}

// free gives the room back.
func (d *smallDisk) free() {
	if err := os.Remove(filepath.Join(d.inside, "ballast")); err != nil && !errors.Is(err, os.ErrNotExist) {
		d.t.Error(err)
	}
}
