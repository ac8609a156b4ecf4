package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/cobra"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/schema"
)

func serveCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "serve",
		Short: "Run everything in one process: receiver, sinks and, where configured, the embedded Kafka and ClickHouse",
		Args:  cobra.NoArgs,
		RunE:  serviceRun(file, roles{receive: true, deliver: true}),
	}
}

func receiveCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "receive",
		Short: "Run the receiver alone: webhooks into Kafka",
		Long: `Runs the receiver alone: it verifies webhooks and keeps them in Kafka. Any
number of them may run behind a load balancer; probe /readyz/receiver.`,
		Args: cobra.NoArgs,
		RunE: serviceRun(file, roles{receive: true}),
	}
}

func sinkCommand(file *string) *cobra.Command {
	return &cobra.Command{
		Use:   "sink",
		Short: "Run the sinks alone: Kafka into ClickHouse, files, PostgreSQL or other services",
		Long: `Runs the sinks alone: they deliver what is in Kafka. Any number of them may
run, up to the number of partitions; they share the partitions out.`,
		Args: cobra.NoArgs,
		RunE: serviceRun(file, roles{deliver: true}),
	}
}

func serviceRun(file *string, r roles) func(*cobra.Command, []string) error {
	return func(cmd *cobra.Command, _ []string) error {
		cfg, log, err := load(*file)
		if err != nil {
			return err
		}
		if cfg.Embedded != nil && r != (roles{receive: true, deliver: true}) {
			return fmt.Errorf("%s: the embedded Kafka and ClickHouse live inside one process, which is what connector serve is for; to scale apart, remove the section embedded and name servers", *file)
		}
		hangup := make(chan os.Signal, 1)
		signal.Notify(hangup, syscall.SIGHUP)
		defer signal.Stop(hangup)
		return serve(cmd.Context(), cfg, &configFile{path: *file, hangup: hangup}, r, log)
	}
}

func configCommand(file *string) *cobra.Command {
	command := &cobra.Command{Use: "config", Short: "Work with the configuration"}
	var connect bool
	var timeout time.Duration
	check := &cobra.Command{
		Use:   "check",
		Short: "Read the configuration and the contracts, and report everything that is wrong",
		Long: `Reads the configuration, the files that it names and the contracts, and
reports everything that is wrong with file and line. It connects to nothing.

With --connect it then asks every broker, looks at the topics and at the user's
rights, and checks each sink with the tables that it takes. Nothing is changed. The
embedded Kafka and ClickHouse are those of the running service, or are started for
as long as it takes. The exit status is 1 where something failed.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := checkConfig(cmd, *file)
			if err != nil || !connect {
				return err
			}
			return checkConnections(cmd, cfg, timeout)
		},
	}
	check.Flags().BoolVar(&connect, "connect", false, "reach Kafka and every sink, and look at topics, tables and rights")
	check.Flags().DurationVar(&timeout, "timeout", defaultProbeTimeout, "how long each part may take to answer, with --connect")
	command.AddCommand(check, schemaCommand())
	return command
}

// defaultProbeTimeout is how long each part may take to answer.
const defaultProbeTimeout = 10 * time.Second

// checkConfig reads everything that the configuration names, and connects to nothing.
func checkConfig(cmd *cobra.Command, file string) (*config.Config, error) {
	cfg, log, err := load(file)
	if err != nil {
		return nil, err
	}
	contracts, err := cfg.LoadContracts()
	if err != nil {
		return nil, err
	}
	if _, err := normalize.New(contracts, false); err != nil {
		return nil, err
	}
	// These read the certificates and password files, and connect to nothing.
	client, err := kafka.NewClient(cfg.Kafka, kafka.Options{})
	if err != nil {
		return nil, err
	}
	client.Close()
	if cert, key := cfg.Receiver.TLSCertFile, cfg.Receiver.TLSKeyFile; cert != "" {
		if _, err := tls.LoadX509KeyPair(cert, key); err != nil {
			return nil, fmt.Errorf("receiver: TLS certificate %s with key %s: %w", cert, key, err)
		}
	}
	for _, s := range cfg.Sinks {
		sink, err := openDestination(s, schema.Tables(contracts), log)
		if err != nil {
			return nil, err
		}
		if err := sink.Close(); err != nil {
			return nil, err
		}
	}
	secrets, err := cfg.Secrets()
	if err != nil {
		return nil, err
	}
	_, err = fmt.Fprintf(cmd.OutOrStdout(), "%s is valid: %d app secrets, %d contracts, %d sinks\n", file, len(secrets), len(contracts), len(cfg.Sinks))
	return cfg, err
}

// checkConnections reaches what the configuration names, and prints what it finds.
func checkConnections(cmd *cobra.Command, cfg *config.Config, timeout time.Duration) (err error) {
	if timeout <= 0 {
		return fmt.Errorf("--timeout must be above 0, is %s", timeout)
	}
	e, err := openExamination(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	printer := newFindingPrinter(cmd.OutOrStdout(), false)
	if err := examine(cmd.Context(), e.connections(), timeout, printer.print); err != nil {
		return err
	}
	return printer.end(broken)
}

// healthcheckCommand is for containers, whose image has no other HTTP client.
func healthcheckCommand() *cobra.Command {
	var url string
	command := &cobra.Command{
		Use:   "healthcheck",
		Short: "Ask a probe; exit with 0 when it answers 200",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, cancel := context.WithTimeout(cmd.Context(), 3*time.Second)
			defer cancel()
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
			if err != nil {
				return err
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return err
			}
			defer resp.Body.Close() //nolint:errcheck // The answer is read by then, and closing it loses nothing.
			body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
			if err != nil {
				return err
			}
			if resp.StatusCode != http.StatusOK {
				return fmt.Errorf("%s answered %s: %s", url, resp.Status, body)
			}
			return nil
		},
	}
	command.Flags().StringVar(&url, "url", "http://127.0.0.1:9090/healthz", "the probe to ask")
	return command
}

func versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version, the commit and the Go release",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			_, err := fmt.Fprintf(cmd.OutOrStdout(), "connector %s %s %s/%s\n", version(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// release is set by the linker: -X main.release=v1.2.3.
var release = "dev"

// version is the release, and the commit where Go has recorded it.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return release
	}
	for _, setting := range info.Settings {
		if setting.Key == "vcs.revision" && len(setting.Value) >= 12 {
			return release + "-" + setting.Value[:12]
		}
	}
	return release
}

func buildInfo() prometheus.Collector {
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name:        "loyaltyhouse_build_info",
		Help:        "Always 1; the labels name the build.",
		ConstLabels: prometheus.Labels{"version": version(), "go": runtime.Version()},
	}, func() float64 { return 1 })
}
