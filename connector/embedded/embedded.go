// Package embedded runs what Loyaltyhouse needs around it, for a first look,
// development, tests and CI on one machine: the real ClickHouse in a child
// process, and a broker that speaks Kafka's protocol, in this process, behind a
// unix socket. Production uses servers of both through the same code.
//
// The engine is the library of the npm package @chdb/lib-*, pinned with its
// hash by npm/<GOOS>-<GOARCH>/package-lock.json and fetched on first use. To
// take a newer one, or to add a platform, edit the package.json there and run
//
//	npm install --package-lock-only --ignore-scripts --omit-lockfile-registry-resolved
//
// A program that starts ClickHouse calls [RunChild] first thing in main, and
// its tests do so first thing in TestMain, because the child is the same binary.
//
// Neither part asks who is calling. The socket lies in a directory that only
// its owner may enter, and TCP ports are opened on loopback addresses only; but
// every program on this machine that may connect to ClickHouse's ports can read
// and write its tables, and files with the rights of the user who started it.
package embedded

import (
	"context"
	"errors"
	"io"
	"log/slog"
)

// Embedded is a running ClickHouse and a running broker.
type Embedded struct {
	ClickHouse *ClickHouse
	Broker     *Broker
}

// Start starts both on one data directory, and returns when both answer.
// Progress, which may be nil, receives a line about the engine's download when
// there is one; see [InstallEngine].
func Start(ctx context.Context, cfg Config, log *slog.Logger, progress io.Writer) (*Embedded, error) {
	broker, err := StartBroker(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	clickHouse, err := StartClickHouse(ctx, cfg, log, progress)
	if err != nil {
		return nil, errors.Join(err, broker.Close())
	}
	return &Embedded{ClickHouse: clickHouse, Broker: broker}, nil
}

// Close stops both. ClickHouse is given until the context ends, and no longer
// than its stop timeout; see [ClickHouse.Close].
func (e *Embedded) Close(ctx context.Context) error {
	return errors.Join(e.Broker.Close(), e.ClickHouse.Close(ctx))
}
