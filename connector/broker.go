package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"

	"loyaltyhouse/connector/embedded"
)

// brokerCommand runs the embedded broker alone, so that benchmarks and fault
// tests can measure, kill and restart each part of the pipeline by itself.
func brokerCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "broker DATA_DIR",
		Hidden: true,
		Short:  "Run the embedded broker alone, for benchmarks and fault tests",
		Long: `Runs the embedded broker alone on a data directory, until a signal. When it
answers, it prints its address as kafka.brokers wants it: unix: and the path of
its socket.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg := embedded.DefaultConfig()
			cfg.DataDir = args[0]
			log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
			broker, err := embedded.StartBroker(cmd.Context(), cfg, log)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "unix:"+broker.SocketPath())
			if err == nil {
				<-cmd.Context().Done()
			}
			return errors.Join(err, broker.Close())
		},
	}
}
