//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/harness"
)

// A warehouse is the embedded ClickHouse, started again on the same directory
// and ports.
type warehouse struct {
	cfg     embedded.Config
	journal *journal
	conn    driver.Conn // past the proxies

	watches sync.WaitGroup

	mu      sync.Mutex
	current *embedded.ClickHouse
	told    *bool // whether the current one was told to end; guarded by mu
	deaths  int   // that the engine's log tells of
}

func startWarehouse(ctx context.Context, dir string, j *journal) (*warehouse, error) {
	w := &warehouse{cfg: embedded.DefaultConfig(), journal: j}
	w.cfg.DataDir = dir
	for _, port := range []*int{&w.cfg.ClickHouse.NativePort, &w.cfg.ClickHouse.HTTPPort} {
		address, err := harness.FreeAddress(ctx)
		if err != nil {
			return nil, err
		}
		_, text, err := net.SplitHostPort(address)
		if err != nil {
			return nil, err
		}
		if *port, err = strconv.Atoi(text); err != nil {
			return nil, err
		}
	}
	w.cfg.ClickHouse.LogLevel = "warning"
	var err error
	if w.conn, err = clickhouse.Open(&clickhouse.Options{Addr: []string{w.address()}}); err != nil {
		return nil, err
	}
	return w, w.start(ctx)
}

func (w *warehouse) address() string {
	return net.JoinHostPort(w.cfg.ClickHouse.Host, strconv.Itoa(w.cfg.ClickHouse.NativePort))
}

// start starts the engine, unless it runs.
func (w *warehouse) start(ctx context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current != nil {
		select {
		case <-w.current.Done():
		default:
			return nil
		}
	}
	engine, err := embedded.StartClickHouse(ctx, w.cfg, slog.New(slog.DiscardHandler), os.Stderr)
	if err != nil {
		return err
	}
	told := new(bool)
	w.current, w.told = engine, told
	w.watches.Go(func() {
		<-engine.Done()
		w.mu.Lock()
		ended := *told
		w.mu.Unlock()
		if !ended {
			w.mourn(context.WithoutCancel(ctx), engine.Err())
		}
	})
	return nil
}

// mourn starts the engine again after it has ended by itself. The embedded
// engine, unlike a server, does so when a connection is reset in its first
// moment: the service starts it again then, and so does this. Any other reason
// makes the run fail.
func (w *warehouse) mourn(ctx context.Context, cause error) {
	reset, err := w.diedOfReset()
	if err != nil || !reset {
		w.journal.found("ClickHouse ended by itself: %v", errors.Join(cause, err))
	} else {
		w.journal.note("the embedded ClickHouse ended because a connection was reset; starting it again")
	}
	if err := w.start(ctx); err != nil {
		w.journal.found("ClickHouse could not be started again: %v", err)
	}
}

// diedOfReset reads in the engine's log whether its latest death was caused by
// the network.
func (w *warehouse) diedOfReset() (bool, error) {
	log, err := os.ReadFile(filepath.Join(w.cfg.DataDir, "clickhouse.log"))
	if err != nil {
		return false, err
	}
	const words = "Terminate called for uncaught exception"
	w.mu.Lock()
	defer w.mu.Unlock()
	deaths := bytes.Count(log, []byte(words))
	if deaths <= w.deaths {
		return false, nil
	}
	w.deaths = deaths
	rest := log[bytes.LastIndex(log, []byte(words)):]
	return bytes.Contains(rest[:min(len(rest), 1000)], []byte("(NETWORK_ERROR)")), nil
}

// tell returns the engine, after noting that it is going to be told to end.
func (w *warehouse) tell() *embedded.ClickHouse {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.current != nil {
		*w.told = true
	}
	return w.current
}

func (w *warehouse) kill() error {
	if engine := w.tell(); engine != nil {
		return engine.Kill()
	}
	return nil
}

func (w *warehouse) terminate() error {
	if engine := w.tell(); engine != nil {
		return engine.Close(context.Background())
	}
	return nil
}

func (w *warehouse) close() error {
	err := errors.Join(w.conn.Close(), w.terminate())
	w.watches.Wait()
	return err
}

func (w *warehouse) target() *target {
	return &target{
		place: place{name: "clickhouse", group: "clickhouse", class: clickHouseClass},
		kill:  w.kill, terminate: w.terminate, start: w.start,
	}
}

// keepEveryRow has ClickHouse never merge the parts of a table, also after a
// restart: a merge would collapse the rows that were stored twice before they
// can be counted. It does not mind the many parts that this leads to.
func (w *warehouse) keepEveryRow(ctx context.Context, tables []string) error {
	for _, table := range tables {
		if err := w.conn.Exec(ctx, "ALTER TABLE "+table+" MODIFY SETTING "+
			"max_bytes_to_merge_at_max_space_in_pool = 1, max_bytes_to_merge_at_min_space_in_pool = 1, "+
			"parts_to_delay_insert = 1000000, parts_to_throw_insert = 1000000, max_parts_in_total = 1000000"); err != nil {
			return fmt.Errorf("keep ClickHouse from merging %s: %w", table, err)
		}
	}
	return nil
}

// merged tells how many parts of a table are the result of a merge. A part that
// was inserted is one block; its level says nothing.
func (w *warehouse) merged(ctx context.Context, database, table string) (n int64, err error) {
	return w.number(ctx, "SELECT toInt64(count()) FROM system.parts WHERE database = ? AND table = ? AND min_block_number != max_block_number", database, table)
}

// number returns the only cell of a query, which must be an Int64.
func (w *warehouse) number(ctx context.Context, query string, args ...any) (n int64, err error) {
	err = w.conn.QueryRow(ctx, query, args...).Scan(&n)
	return n, err
}

// list writes the rows of a query as lines with tabs between the columns, which
// must be strings.
func (w *warehouse) list(ctx context.Context, out io.Writer, query string, args ...any) (err error) {
	rows, err := w.conn.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	cells := make([]string, len(rows.Columns()))
	into := make([]any, len(cells))
	for i := range cells {
		into[i] = &cells[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, strings.Join(cells, "\t")); err != nil {
			return err
		}
	}
	return rows.Err()
}
