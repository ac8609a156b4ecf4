package embedded

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// The broker must not come to the end of its disk: it would leave half an entry
// behind, and lose after a crash what it has appended since. Below produceRoom
// it takes no records, and below commitRoom no offsets either, in bytes.
const (
	produceRoom = 16 << 20
	commitRoom  = 4 << 20
)

// keepRoom has the cluster refuse writes while the disk of a directory is
// nearly full. Both answers are of the kind that clients try again.
func keepRoom(ctx context.Context, cluster *kfake.Cluster, dir string, log *slog.Logger) {
	var full atomic.Bool
	below := func(room uint64) bool {
		free, err := freeBytes(dir)
		return err == nil && free < room // Without an answer the write itself will tell.
	}
	cluster.Fault(
		kfake.Fault{Keys: []kmsg.Key{kmsg.Produce}, Err: kerr.KafkaStorageError, Count: -1, When: func(kmsg.Request) bool {
			is := below(produceRoom)
			if was := full.Swap(is); is && !was {
				log.ErrorContext(ctx, "the disk of the embedded broker is nearly full: nothing is published until there is more room",
					slog.String("directory", dir), slog.Int("bytes_needed", produceRoom))
			} else if was && !is {
				log.InfoContext(ctx, "the disk of the embedded broker has room again", slog.String("directory", dir))
			}
			return is
		}},
		kfake.Fault{Keys: []kmsg.Key{kmsg.OffsetCommit}, Err: kerr.CoordinatorNotAvailable, Count: -1, When: func(kmsg.Request) bool {
			return below(commitRoom)
		}},
	)
}

// Room returns how many bytes are left on the disk of the data directory, which
// exists.
func Room(cfg Config) (uint64, error) {
	free, err := freeBytes(cfg.DataDir)
	if err != nil {
		return 0, fmt.Errorf("look at the disk of the data directory: %w", err)
	}
	return free, nil
}
