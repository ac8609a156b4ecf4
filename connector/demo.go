package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/spf13/cobra"

	"loyaltyhouse/connector/simulate"
	"loyaltyhouse/connector/webhook"
	"loyaltyhouse/sinks/clickhouse"
)

func demoCommand(file *string) *cobra.Command {
	cfg := simulate.DefaultConfig()
	cfg.Seed, cfg.Count = 0, 10_000
	var exit bool
	command := &cobra.Command{
		Use:   "demo",
		Short: "Run everything, send simulated webhooks, and compare what was sent with what is stored",
		Long: `Runs the service, sends it signed webhooks of all four topics (resends, late
ones and bad ones among them), prints what arrived and whether sent and stored
reconcile, and stays up until Ctrl-C.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return demo(cmd.Context(), *file, cfg, exit || os.Getenv("DEMO_EXIT") == "1", cmd.OutOrStdout())
		},
	}
	flags := command.Flags()
	flags.Uint64Var(&cfg.Seed, "seed", 0, "which history to play; 0 takes a new one each time")
	flags.IntVar(&cfg.Count, "count", cfg.Count, "distinct events")
	flags.BoolVar(&exit, "exit", false, "end when reconciled, with status 1 if sent and stored differ; also $DEMO_EXIT=1")
	return command
}

// errDiffers ends a demo whose numbers do not reconcile.
var errDiffers = errors.New("sent and stored differ; see the table above")

func demo(ctx context.Context, file string, simulation simulate.Config, exit bool, out io.Writer) error {
	cfg, log, err := load(file)
	if err != nil {
		return err
	}
	cfg.ReloadOnChange = false // The demo compares what it began with.
	s, err := start(ctx, cfg, roles{receive: true, deliver: true}, log)
	if err != nil {
		if ctx.Err() != nil && !exit {
			return nil // Ctrl-C while starting is no failure.
		}
		return err
	}
	finished := make(chan error, 1)
	playing, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		err := s.play(playing, simulation, out)
		if exit {
			stop()
		} else if playing.Err() == nil {
			if err != nil {
				log.LogAttrs(playing, slog.LevelError, "the demo did not reconcile; the service stays up so that you can look", slog.Any("error", err))
			}
			s.printTour(out)
		}
		finished <- err
	}()
	err = s.wait(playing, &configFile{path: file})
	stop()
	played := <-finished
	if !exit && ctx.Err() != nil && errors.Is(played, context.Canceled) {
		played = nil // Ctrl-C in the middle is no failure.
	}
	return errors.Join(played, err)
}

// play sends one history and reconciles.
func (s *service) play(ctx context.Context, simulation simulate.Config, out io.Writer) error {
	if err := s.awaitReady(ctx); err != nil {
		return err
	}
	simulation.End = time.Now().UTC()
	if simulation.Seed == 0 {
		simulation.Seed = uint64(simulation.End.UnixMilli())
	}
	if err := simulation.Validate(); err != nil {
		return err
	}
	secrets, err := s.cfg.Secrets()
	if err != nil {
		return err
	}
	g := simulate.New(simulation)
	sender := simulate.DefaultSenderConfig()
	sender.URL, sender.Secret, sender.Connections = s.url(), []byte(secrets[0]), 64
	if _, err := fmt.Fprintf(out, "\nPlaying SHOPLINE (seed %d) against %s\n", simulation.Seed, sender.URL); err != nil {
		return err
	}
	summary, err := send(ctx, g, simulation.Count, sender, out)
	if err != nil {
		return err
	}
	if err := printSummary(out, g.Expected(), summary); err != nil {
		return err
	}
	sink, _, err := warehouseSink(s.cfg, "")
	if err != nil {
		return err
	}
	warehouse := sink.ClickHouse
	conn, err := clickhouse.Connect(*warehouse)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // Nothing is in flight.
	r := &reconciliation{conn: conn, database: warehouse.Database, generator: g, shops: g.Shops()}
	checks, ok, err := r.await(ctx, 30*time.Second)
	if err != nil {
		return err
	}
	if err := printChecks(out, checks); err != nil {
		return err
	}
	if !ok {
		return errDiffers
	}
	if summary.Violations > 0 {
		return fmt.Errorf("%d webhooks got another answer than a correct receiver gives; see above", summary.Violations)
	}
	if s.cfg.MigrateOnStart { // Else somebody else makes the views.
		// Whoever looks at the dashboards now should see what was sent just now.
		if err := clickhouse.Refresh(ctx, conn, warehouse.Database); err != nil {
			return err
		}
	}
	_, err = fmt.Fprintln(out, "Reconciled: every signed webhook is stored once, and every balance is right.")
	return err
}

// awaitReady returns when every part is ready.
func (s *service) awaitReady(ctx context.Context) error {
	for {
		if ready, _ := s.ready.check(ctx, false); ready {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// url is where this process receives webhooks.
func (s *service) url() string {
	scheme := "http"
	if s.cfg.Receiver.TLSCertFile != "" {
		scheme = "https"
	}
	return scheme + "://" + s.server.Addr() + webhook.Path
}

// printTour says what can be tried while the demo stays up.
func (s *service) printTour(out io.Writer) {
	tour := fmt.Sprintf(`
Still running; Ctrl-C ends it. Meanwhile:
  readiness and metrics   http://%[1]s/readyz  http://%[1]s/metrics
  webhooks                %[2]s
`, s.admin.listener.Addr(), s.url())
	if s.engine != nil {
		tour += fmt.Sprintf(`  points by scene         curl -s 'http://%s/?database=loyalty' --data-binary \
    "SELECT updated_scene, count() AS events, sum(points_delta) AS points FROM points GROUP BY 1 ORDER BY 3 DESC FORMAT PrettyCompact"
`, s.engine.get().HTTPAddr())
	}
	// The tour is a courtesy: there is nobody to tell when it cannot be printed.
	_, _ = io.WriteString(out, tour)
}
