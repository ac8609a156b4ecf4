//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks/clickhouse"
)

// forever is longer than anything takes here.
const forever = 24 * time.Hour

// A warehouse is the embedded ClickHouse, with the tables and views of the
// migrations.
type warehouse struct {
	engine *embedded.ClickHouse
	cfg    clickhouse.Config
	conn   driver.Conn
	until  time.Time // when the last event was received
}

func openWarehouse(ctx context.Context, dir string, log *slog.Logger) (_ *warehouse, err error) {
	cfg := embedded.DefaultConfig()
	cfg.DataDir = dir
	cfg.ClickHouse.NativePort, cfg.ClickHouse.HTTPPort = 0, 0
	w := &warehouse{cfg: clickhouse.DefaultConfig()}
	if w.engine, err = embedded.StartClickHouse(ctx, cfg, log, os.Stderr); err != nil {
		return nil, err
	}
	w.cfg.Addresses = []string{w.engine.Addr()}
	w.cfg.WriteTimeout, w.cfg.RefreshInterval = forever, forever // Nothing is refreshed behind the measurement's back.
	if w.conn, err = clickhouse.Connect(w.cfg); err != nil {
		return nil, errors.Join(err, w.engine.Close(context.WithoutCancel(ctx)))
	}
	if err := migrate(ctx, w.cfg); err != nil {
		return nil, errors.Join(err, w.close(context.WithoutCancel(ctx)))
	}
	return w, nil
}

func (w *warehouse) close(ctx context.Context) error {
	return errors.Join(w.conn.Close(), w.engine.Close(ctx))
}

func migrate(ctx context.Context, cfg clickhouse.Config) error {
	m, err := clickhouse.NewMigrator(ctx, cfg)
	if err != nil {
		return err
	}
	_, _, err = m.Up(ctx)
	return errors.Join(err, m.Close())
}

func (w *warehouse) exec(ctx context.Context, statements ...string) error {
	for _, s := range statements {
		if err := w.conn.Exec(ctx, s); err != nil {
			return fmt.Errorf("%.80s: %w", s, err)
		}
	}
	return nil
}

// refresh computes the views anew that hold what another one said, where that has
// not been done, and keeps them as they are.
func (w *warehouse) refresh(ctx context.Context) error {
	if err := w.exec(ctx, "SYSTEM STOP VIEWS"); err != nil {
		return err
	}
	if done, err := w.refreshed(ctx); err != nil || done {
		return err
	}
	begin := time.Now()
	err := errors.Join(w.exec(ctx, "SYSTEM START VIEWS"), clickhouse.Refresh(ctx, w.conn, w.cfg.Database), w.exec(ctx, "SYSTEM STOP VIEWS"))
	fmt.Fprintf(os.Stderr, "refreshed the views named *_cached in %s\n", time.Since(begin).Round(time.Second))
	return err
}

// refreshed tells whether all of these views hold something. One that a migration
// has made anew does not.
func (w *warehouse) refreshed(ctx context.Context) (bool, error) {
	for _, v := range schema.Views(nil) {
		if !v.Cached() {
			continue
		}
		var rows uint64
		if err := w.conn.QueryRow(ctx, "SELECT count() FROM "+w.cfg.Database+"."+v.Name).Scan(&rows); err != nil || rows == 0 {
			return false, err
		}
	}
	return true, nil
}

// describe says what is asked: the rows of each table, their size, and the parts.
func (w *warehouse) describe(ctx context.Context, out io.Writer) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "table\trows\tGiB\tparts\tof this month\t") //nolint:errcheck // Flush tells.
	for _, t := range tables(nil) {
		var rows, parts, current uint64
		var bytes float64
		err := w.conn.QueryRow(ctx, `SELECT sum(rows), sum(bytes_on_disk) / 1024 / 1024 / 1024, count(), countIf(partition = toString(toYYYYMM(?)))
FROM system.parts WHERE active AND database = ? AND table = ?`, w.until, w.cfg.Database, t.Name).Scan(&rows, &bytes, &parts, &current)
		if err != nil {
			return err
		}
		fmt.Fprintf(table, "%s\t%d\t%.2f\t%d\t%d\t\n", t.Name, rows, bytes, parts, current) //nolint:errcheck // Flush tells.
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := fmt.Fprintln(out)
	return err
}

// tables are all tables that webhooks end in.
func tables(facts []*schema.Table) []*schema.Table {
	if facts == nil {
		contracts, err := schema.Builtin()
		if err != nil {
			panic(err) // They are part of the program, and tested.
		}
		for _, c := range contracts {
			facts = append(facts, c.FactTable())
		}
	}
	return append(facts, schema.RawWebhooks(), schema.DeadLetters())
}
