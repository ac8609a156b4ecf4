package embedded

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
)

const (
	// socketPathBytes is how long a unix socket's path may be on every system
	// (macOS allows 104 bytes with the zero at the end).
	socketPathBytes = 103

	// retentionInterval is how often partitions are cut to their limit.
	retentionInterval = 30 * time.Second

	// offsetRetentionMinutes is a hundred years. The broker counts the time in
	// nanoseconds, and would take three hundred for a negative number.
	offsetRetentionMinutes = 100 * 365 * 24 * 60
)

// Broker is a Kafka broker of one node in this process. What it acknowledges
// has been synced to disk.
type Broker struct {
	cluster   *kfake.Cluster
	address   net.Addr
	lock      *fileLock
	socketDir string // temporary directory of the socket, if it needed one
	published string // file that names the address

	stopRetention context.CancelFunc
	retention     sync.WaitGroup
	closeOnce     sync.Once
	closeErr      error
}

// StartBroker starts the broker on the data directory. Options are for tests
// that need TLS or SASL. The broker outlives the context; [Broker.Close] ends it.
func StartBroker(ctx context.Context, cfg Config, log *slog.Logger, options ...kfake.Opt) (*Broker, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(filepath.Join(cfg.DataDir, "broker"))
	if err != nil {
		return nil, fmt.Errorf("find the data directory: %w", err)
	}
	lock, err := lockDirectory(ctx, cfg, dir)
	if err != nil {
		return nil, err
	}
	b := &Broker{lock: lock, published: filepath.Join(dir, addressFile)}
	// A killed broker has left its address behind.
	if err := b.unpublishAddress(); err != nil {
		return nil, errors.Join(err, lock.release())
	}
	if err := b.start(ctx, cfg.Broker, dir, log, options); err != nil {
		return nil, errors.Join(err, b.removeSocketDir(), lock.release())
	}
	return b, nil
}

// Dial connects to the broker, whatever the address. It is what kafka-go's
// Transport.Dial and Dialer.DialFunc want.
func (b *Broker) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, b.address.Network(), b.address.String())
}

// Addr returns the broker's TCP address, or a name that stands for it where a
// client insists on one although it uses [Broker.Dial].
func (b *Broker) Addr() string {
	if b.address.Network() == "unix" {
		return "embedded:9092"
	}
	return b.address.String()
}

// SocketPath returns the path of the broker's unix socket, or nothing if it
// listens at a TCP port.
func (b *Broker) SocketPath() string {
	if b.address.Network() != "unix" {
		return ""
	}
	return b.address.String()
}

// Cluster gives tests the means to inject faults.
func (b *Broker) Cluster() *kfake.Cluster {
	return b.cluster
}

// Close ends the broker. It may be called again.
func (b *Broker) Close() error {
	b.closeOnce.Do(func() {
		b.stopRetention()
		b.retention.Wait()
		unpublished := b.unpublishAddress()
		b.cluster.Close()
		b.closeErr = errors.Join(unpublished, b.removeSocketDir(), b.lock.release())
	})
	return b.closeErr
}

func (b *Broker) start(ctx context.Context, cfg BrokerConfig, dir string, log *slog.Logger, options []kfake.Opt) error {
	listen, err := b.listener(ctx, cfg, dir)
	if err != nil {
		return err
	}
	b.cluster, err = kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.ClusterID("loyaltyhouse"),
		kfake.DataDir(filepath.Join(dir, "data")),
		kfake.SyncWrites(),
		kfake.ListenFn(listen),
		kfake.WithLogger(brokerLog{log}),
		kfake.GroupMinSessionTimeout(time.Second),
		kfake.BrokerConfigs(map[string]string{
			"message.max.bytes": strconv.Itoa(maxMessageBytes),
			// A partition that time empties begins again at offset 0 after a
			// restart; the limit in bytes always leaves its last batch.
			"log.retention.ms":          "-1",
			"log.retention.bytes":       strconv.FormatInt(cfg.MaxPartitionBytes, 10),
			"offsets.retention.minutes": strconv.Itoa(offsetRetentionMinutes),
		}),
	}, options...)...)
	if err != nil {
		return fmt.Errorf("start the embedded broker on %s: %w", dir, err)
	}
	if err := b.publishAddress(); err != nil {
		b.cluster.Close()
		return err
	}
	keepRoom(context.WithoutCancel(ctx), b.cluster, dir, log)

	ctx, b.stopRetention = context.WithCancel(context.WithoutCancel(ctx))
	b.retention.Go(func() { b.applyRetention(ctx) })
	log.InfoContext(ctx, "embedded broker is ready", slog.String("address", b.address.String()))
	return nil
}

// listener returns the function through which the broker listens, at the
// configured TCP address or at its socket. The address it is given is not used.
func (b *Broker) listener(ctx context.Context, cfg BrokerConfig, dir string) (func(string, string) (net.Listener, error), error) {
	network, address := "tcp", cfg.Listen
	if address == "" {
		path, err := b.prepareSocket(dir)
		if err != nil {
			return nil, err
		}
		network, address = "unix", path
	}
	return func(string, string) (net.Listener, error) {
		listener, err := new(net.ListenConfig).Listen(ctx, network, address)
		if err != nil {
			return nil, fmt.Errorf("listen at %s: %w; check broker.listen", address, err)
		}
		b.address = listener.Addr()
		if cfg.Advertise != "" {
			return advertised{Listener: listener, address: cfg.Advertise}, nil
		}
		return listener, nil
	}, nil
}

// advertised is a listener by whose address the broker tells its clients another.
type advertised struct {
	net.Listener
	address string
}

// Addr implements net.Listener.
func (a advertised) Addr() net.Addr { return advertisedAddress(a.address) }

type advertisedAddress string

func (advertisedAddress) Network() string  { return "tcp" }
func (a advertisedAddress) String() string { return string(a) }

// prepareSocket returns a path for the socket in a directory that only its owner
// may enter, and removes what a killed broker left there.
func (b *Broker) prepareSocket(dir string) (string, error) {
	const name = "kafka.sock"
	dir = filepath.Join(dir, "socket")
	if len(filepath.Join(dir, name)) > socketPathBytes {
		temporary, err := os.MkdirTemp("", "loyaltyhouse-")
		if err != nil {
			return "", fmt.Errorf("create a directory for the broker's socket: %w", err)
		}
		b.socketDir = temporary
		dir = temporary
	}
	path := filepath.Join(dir, name)
	if len(path) > socketPathBytes {
		return "", fmt.Errorf("the path of the broker's socket, %s, is longer than %d bytes: set data_dir (DATA_DIR) or TMPDIR to a folder with a shorter path", path, socketPathBytes)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("create a directory for the broker's socket: %w", err)
	}
	if err := os.Chmod(dir, 0o700); err != nil { //nolint:gosec // A directory needs the execute bit to be entered.
		return "", fmt.Errorf("close the broker's socket to other users: %w", err)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("remove the socket of an earlier broker: %w", err)
	}
	return path, nil
}

func (b *Broker) removeSocketDir() error {
	if b.socketDir == "" {
		return nil
	}
	if err := os.RemoveAll(b.socketDir); err != nil {
		return fmt.Errorf("remove the broker's socket: %w", err)
	}
	return nil
}

// applyRetention keeps the partitions within their limit. The broker's own timer
// serves only topics that have limits of their own.
func (b *Broker) applyRetention(ctx context.Context) {
	ticker := time.NewTicker(retentionInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			b.cluster.ApplyRetention()
		}
	}
}

// brokerLog passes the broker's warnings on. Its lesser messages tell of single
// requests.
type brokerLog struct {
	log *slog.Logger
}

// Logf implements kfake.Logger.
func (l brokerLog) Logf(level kfake.LogLevel, format string, args ...any) {
	severity := slog.LevelWarn
	switch level {
	case kfake.LogLevelError:
		severity = slog.LevelError
	case kfake.LogLevelWarn:
	default:
		return
	}
	l.log.Log(context.Background(), severity, "embedded broker", slog.String("detail", fmt.Sprintf(format, args...)))
}
