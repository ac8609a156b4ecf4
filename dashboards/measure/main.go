//go:build linux

// Command measure asks every dashboard and every view of a large warehouse, and
// prints what each costs, the dearest first. Run it with: make measure.
//
// It starts the embedded ClickHouse on a directory of its own, fills it once, and
// fails where a panel takes longer than a person should wait, or more memory than a
// query may have.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"time"

	"loyaltyhouse/connector/embedded"
)

// What a panel may cost with the time range it begins with, once its data is in
// memory, on two processors.
const (
	maxWall   = time.Second
	maxMemory = 2 << 30
	threads   = 2
)

func main() {
	embedded.RunChild()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var o options
	flag.StringVar(&o.dir, "dir", ".data/measure", "the directory of the warehouse, which is filled once")
	flag.IntVar(&o.points, "points", 20_000_000, "the events of points to fill the warehouse with; the other tables follow in proportion")
	flag.IntVar(&o.runs, "runs", 5, "how often each panel is asked after the first time; the median counts")
	flag.StringVar(&o.only, "only", "", "a part of the name of a dashboard, panel or view: ask these alone")
	flag.BoolVar(&o.views, "views", true, "ask the views too")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
}

type options struct {
	dir    string
	points int
	runs   int
	only   string
	views  bool
}

func run(ctx context.Context, o options) (err error) {
	if o.points < 1 || o.runs < 1 {
		return errors.New("points and runs must be at least 1")
	}
	w, err := openWarehouse(ctx, o.dir, slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close(context.WithoutCancel(ctx))) }()
	if err := w.fill(ctx, o.points); err != nil {
		return fmt.Errorf("fill the warehouse: %w", err)
	}
	if err := w.refresh(ctx); err != nil {
		return err
	}
	if err := w.describe(ctx, os.Stdout); err != nil {
		return err
	}
	panels, err := w.panels(ctx)
	if err != nil {
		return err
	}
	tooDear, err := w.measure(ctx, os.Stdout, containing(panels, o.only), o.runs)
	if err != nil || !o.views {
		return errors.Join(err, verdict(tooDear))
	}
	fmt.Println()
	_, err = w.measure(ctx, os.Stdout, containing(views(w.until), o.only), 1)
	return errors.Join(err, verdict(tooDear))
}

func verdict(tooDear int) error {
	if tooDear == 0 {
		return nil
	}
	return fmt.Errorf("%d of them cost more than they may", tooDear)
}
