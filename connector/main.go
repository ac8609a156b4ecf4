package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/gin-gonic/gin"
	"github.com/spf13/cobra"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/embedded"
)

func main() {
	embedded.RunChild()
	gin.SetMode(gin.ReleaseMode)
	os.Exit(run())
}

// run returns the exit status: 0 when the work is done or was ended by a
// signal, 1 after an error.
func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	// After the first signal a second one ends the process at once.
	context.AfterFunc(ctx, stop)
	if err := rootCommand().ExecuteContext(ctx); err != nil {
		fmt.Fprintf(os.Stderr, "connector: %v\n", err)
		return 1
	}
	return 0
}

func rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "connector",
		Short: "SHOPLINE's loyalty webhooks, exactly once in ClickHouse",
		Long: `connector receives SHOPLINE's signed loyalty webhooks (points, store credits,
gift cards, customer updates), keeps each in Kafka before it answers, and writes
them as flat rows into ClickHouse.

A first look, with everything embedded:    connector demo
The service, with everything embedded:     connector serve
In production, scaled apart:               connector receive --config FILE
                                           connector sink --config FILE`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Version:       version(),
	}
	file := root.PersistentFlags().StringP("config", "c", defaultConfigFile(),
		"configuration file; $CONFIG if it is set")
	root.AddCommand(
		serveCommand(file),
		receiveCommand(file),
		sinkCommand(file),
		migrateCommand(file),
		deadLettersCommand(file),
		replayCommand(file),
		simulateCommand(file),
		demoCommand(file),
		brokerCommand(),
		configCommand(file),
		tryCommand(file),
		doctorCommand(file),
		healthcheckCommand(),
		versionCommand(),
	)
	return root
}

func defaultConfigFile() string {
	if file := os.Getenv("CONFIG"); file != "" {
		return file
	}
	return "config/embedded.yaml"
}

// load reads the configuration and makes the logger that it asks for.
func load(file string) (*config.Config, *slog.Logger, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return nil, nil, err
	}
	options := &slog.HandlerOptions{Level: cfg.Log.Level}
	if cfg.Log.Format == "json" {
		return cfg, slog.New(slog.NewJSONHandler(os.Stderr, options)), nil
	}
	return cfg, slog.New(slog.NewTextHandler(os.Stderr, options)), nil
}
