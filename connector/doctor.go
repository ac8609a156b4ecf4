package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/spf13/cobra"

	"loyaltyhouse/connector/embedded"
)

func doctorCommand(file *string) *cobra.Command {
	var admin string
	var asJSON bool
	var timeout time.Duration
	command := &cobra.Command{
		Use:   "doctor",
		Short: "Show on one screen how everything is, and what to do about each problem",
		Long: `Looks at the running service, Kafka, every sink, clocks, disks, how far each sink
is behind, when the last webhooks came, the dead letters of the last 24 hours and the
gaps of the last 7 days, and says for each problem what to do about it. Nothing is
changed. The embedded Kafka and ClickHouse are those of the running service, or are
started for as long as it takes.

The exit status is 1 where something needs attention.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if timeout <= 0 {
				return fmt.Errorf("--timeout must be above 0, is %s", timeout)
			}
			cfg, _, err := load(*file)
			if err != nil {
				return err
			}
			e, err := openExamination(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, e.close()) }()
			if admin == "" {
				admin = adminURL(cfg.Admin.Address)
			}
			printer := newFindingPrinter(cmd.OutOrStdout(), asJSON)
			if err := examine(cmd.Context(), e.health(*file, admin, time.Now), timeout, printer.print); err != nil {
				return err
			}
			return printer.end(doubtful, broken)
		},
	}
	flags := command.Flags()
	flags.StringVar(&admin, "admin", "", "address of the service's admin port, as in http://127.0.0.1:9090; that of the configuration if it is not set")
	flags.BoolVar(&asJSON, "json", false, "print JSON")
	flags.DurationVar(&timeout, "timeout", defaultProbeTimeout, "how long each part may take to answer")
	return command
}

// health are the probes of a connector at work.
func (e *examination) health(file, admin string, now func() time.Time) []probe {
	probes := []probe{
		{subject: "connector", run: func(context.Context) []finding {
			return []finding{finef("connector", "version %s, %s, configuration %s", version(), runtime.Version(), file)}
		}},
		{subject: "service", run: func(ctx context.Context) []finding { return examineService(ctx, admin) }},
		{subject: "kafka", run: func(ctx context.Context) []finding { return e.examineKafka(ctx, now()) }},
	}
	for _, s := range e.sinks {
		probes = append(probes, probe{subject: s.part(), run: func(ctx context.Context) []finding { return e.examineSink(ctx, s, now) }})
	}
	if e.cfg.Embedded != nil {
		probes = append(probes, probe{subject: "data directory", run: func(context.Context) []finding {
			free, err := embedded.Room(*e.cfg.Embedded)
			if err != nil {
				return found("data directory", broken, err)
			}
			return []finding{judgeRoom("data directory", e.cfg.Embedded.DataDir, free, "make room, or set embedded.data_dir to a larger disk")}
		}})
	}
	return probes
}

// lowRoom is the room on a disk below which somebody should see to it.
const lowRoom = 1 << 30

func judgeRoom(part, name string, free uint64, advice string) finding {
	f := finef(part, "%s: %s free", name, bytesText(free))
	if free < lowRoom {
		f.State, f.Advice = doubtful, advice
	}
	return f
}

func bytesText(n uint64) string {
	const unit = 1024
	value, name := float64(n), "B"
	for _, next := range []string{"KiB", "MiB", "GiB", "TiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, next
	}
	return fmt.Sprintf("%.4g %s", value, name)
}

// age is a time back from now, for a person.
func age(now, at time.Time) string {
	switch d := now.Sub(at); {
	case d < 0:
		return "now"
	case d < 2*time.Minute:
		return fmt.Sprintf("%ds ago", int(d.Seconds()))
	case d < 2*time.Hour:
		return fmt.Sprintf("%dm ago", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%d days ago", int(d.Hours()/24))
	}
}
