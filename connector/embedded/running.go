package embedded

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// addressFile is where a running broker writes how it can be reached.
const addressFile = "address"

// RunningBroker returns the address of the broker that another process runs on
// the data directory, in the form of kafka.brokers: "unix:" and the socket's
// path, or host:port. It is empty when nobody runs one. The error is ErrInUse
// when somebody has the directory, but does not answer yet, or any more.
func RunningBroker(cfg Config) (address string, err error) {
	dir, err := filepath.Abs(filepath.Join(cfg.DataDir, "broker"))
	if err != nil {
		return "", fmt.Errorf("find the data directory: %w", err)
	}
	path := filepath.Join(dir, "lock")
	if _, err := os.Stat(path); errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	// The lock tells whether somebody is there: a killed broker leaves its file.
	lock, err := tryLock(path)
	if err == nil {
		return "", lock.release()
	}
	if !errors.Is(err, ErrInUse) {
		return "", err
	}
	text, err := os.ReadFile(filepath.Join(dir, addressFile)) //nolint:gosec // The name is fixed, in the data directory that whoever writes the configuration names.
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("another connector%s is starting or ending on %s; try again: %w", holder(path), cfg.DataDir, ErrInUse)
	}
	if err != nil {
		return "", fmt.Errorf("read the address of the running broker: %w", err)
	}
	return strings.TrimSpace(string(text)), nil
}

// publishAddress writes the address for [RunningBroker], at one go.
func (b *Broker) publishAddress() error {
	address := b.address.String()
	if b.address.Network() == "unix" {
		address = "unix:" + address
	}
	err := os.WriteFile(b.published+".new", []byte(address+"\n"), 0o600)
	if err == nil {
		err = os.Rename(b.published+".new", b.published)
	}
	if err != nil {
		return fmt.Errorf("write the broker's address: %w; data_dir (DATA_DIR) must be a folder that can be written", err)
	}
	return nil
}

func (b *Broker) unpublishAddress() error {
	if err := os.Remove(b.published); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the broker's address: %w", err)
	}
	return nil
}
