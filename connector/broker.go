package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"

	"github.com/spf13/cobra"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"loyaltyhouse/connector/embedded"
)

// brokerCommand runs the embedded broker alone, so that benchmarks and fault
// tests can measure, kill and restart each part of the pipeline by itself.
func brokerCommand() *cobra.Command {
	cfg := embedded.DefaultConfig()
	command := &cobra.Command{
		Use:    "broker DATA_DIR",
		Hidden: true,
		Short:  "Run the embedded broker alone, for benchmarks and fault tests",
		Long: `Runs the embedded broker alone on a data directory, until a signal. When it
answers, it prints its address as kafka.brokers wants it: unix: and the path of
its socket, or host and port with --listen.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.DataDir = args[0]
			log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
			broker, err := embedded.StartBroker(cmd.Context(), cfg, log)
			if err != nil {
				return err
			}
			shortenRebalances(broker.Cluster())
			address := broker.Addr()
			if path := broker.SocketPath(); path != "" {
				address = "unix:" + path
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), address)
			if err == nil {
				<-cmd.Context().Done()
			}
			return errors.Join(err, broker.Close())
		},
	}
	flags := command.Flags()
	flags.StringVar(&cfg.Broker.Listen, "listen", "", "loopback host:port to listen at instead of a unix socket; port 0 takes a free one")
	flags.StringVar(&cfg.Broker.Advertise, "advertise", "", "host:port that clients are told to use instead, as that of a proxy")
	return command
}

// shortenRebalances has the broker wait for the members of a group for at most
// 6 s. It begins to wait anew with each member that joins, so that two members
// which give up and come again every 20 s could keep the group from ever having
// a generation, if it waited for the 15 s that they allow.
func shortenRebalances(cluster *kfake.Cluster) {
	const most = 6_000
	cluster.ControlKey(int16(kmsg.JoinGroup), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if join, ok := request.(*kmsg.JoinGroupRequest); ok {
			join.RebalanceTimeoutMillis = min(join.RebalanceTimeoutMillis, most)
		}
		return nil, nil, false
	})
}
