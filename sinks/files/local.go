package files

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

const (
	// unfinished is where files are until they are whole: on the same file system,
	// but in no directory of a table, and under names that no pattern for files of
	// a format matches.
	unfinished       = ".unfinished"
	unfinishedSuffix = ".tmp"
	// leftAfter is when an unfinished file is surely nobody's.
	leftAfter = 24 * time.Hour

	directoryMode = 0o750
	fileMode      = 0o640
)

// A localStore is a directory. Only [localStore.prepare] creates it, so that
// files do not go to the wrong disk while its own is not mounted. Nothing in it
// leads out of it, also not a symbolic link.
type localStore struct {
	directory string
}

// put writes the file elsewhere, has it on the disk, moves it in place, and has
// that on the disk.
func (s *localStore) put(ctx context.Context, key string, content []byte) error {
	return s.within(ctx, func(root *os.Root) error {
		temporary, err := s.write(root, content)
		if err != nil {
			return err
		}
		if err = root.MkdirAll(path.Dir(key), directoryMode); err == nil {
			if err = ctx.Err(); err == nil {
				err = root.Rename(temporary, key)
			}
		}
		if err != nil {
			return errors.Join(err, root.Remove(temporary))
		}
		for directory := path.Dir(key); ; directory = path.Dir(directory) {
			// Also those that were there: who made them may have been killed since.
			if err := syncDirectory(root, directory); err != nil || directory == "." {
				return err
			}
		}
	})
}

// write returns the name of a new file in the directory for unfinished ones.
func (s *localStore) write(root *os.Root, content []byte) (name string, err error) {
	if err := root.Mkdir(unfinished, directoryMode); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", err
	}
	name = path.Join(unfinished, rand.Text()+unfinishedSuffix)
	f, err := root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, fileMode)
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return "", errors.Join(err, root.Remove(name))
	}
	return name, nil
}

func syncDirectory(root *os.Root, name string) error {
	d, err := root.Open(name)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func (s *localStore) ping(ctx context.Context) error { return s.probe(ctx, "", false) }

// probe writes and removes an unfinished file. Where prepare will make the
// directory, it looks whether that is possible.
func (s *localStore) probe(ctx context.Context, _ string, prepares bool) error {
	if _, err := os.Stat(s.directory); prepares && errors.Is(err, fs.ErrNotExist) {
		return s.canPrepare()
	}
	return s.within(ctx, func(root *os.Root) error {
		name, err := s.write(root, []byte("probe"))
		if err != nil {
			return err
		}
		return root.Remove(name)
	})
}

// canPrepare makes and removes a directory in the nearest one that is there.
func (s *localStore) canPrepare() error {
	above := filepath.Dir(s.directory)
	for {
		if _, err := os.Stat(above); !errors.Is(err, fs.ErrNotExist) || above == filepath.Dir(above) {
			break
		}
		above = filepath.Dir(above)
	}
	made, err := os.MkdirTemp(above, "loyaltyhouse-")
	if err == nil {
		err = os.Remove(made)
	}
	if err != nil {
		return fmt.Errorf("%w; create the directory, or give this user the right to write to %s", s.describe(err), above)
	}
	return nil
}

// prepare creates the directory, and removes unfinished files of processes that
// were killed.
func (s *localStore) prepare() error {
	if err := os.MkdirAll(s.directory, directoryMode); err != nil {
		return s.describe(err)
	}
	return s.within(context.Background(), func(root *os.Root) error {
		found, err := fs.ReadDir(root.FS(), unfinished)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, entry := range found {
			info, err := entry.Info()
			if err == nil && strings.HasSuffix(entry.Name(), unfinishedSuffix) && time.Since(info.ModTime()) > leftAfter {
				err = root.Remove(path.Join(unfinished, entry.Name()))
			}
			if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
		return nil
	})
}

func (s *localStore) close() error { return nil }

// within opens the directory anew each time, for it may have been mounted or
// replaced meanwhile.
func (s *localStore) within(ctx context.Context, do func(*os.Root) error) error {
	if err := ctx.Err(); err != nil {
		return s.describe(err)
	}
	root, err := os.OpenRoot(s.directory)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("files %s: the directory is not there: mount its disk, or create it", s.directory)
	}
	if err != nil {
		return s.describe(err)
	}
	if err := errors.Join(do(root), root.Close()); err != nil {
		return s.describe(err)
	}
	return nil
}

func (s *localStore) describe(err error) error {
	return fmt.Errorf("files %s: %w", s.directory, withoutKey(err))
}
