package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/replay"
	"loyaltyhouse/sinks/clickhouse"
)

func replayCommand(file *string) *cobra.Command {
	var from, to, topic, sink string
	options := replay.Options{}
	command := &cobra.Command{
		Use:   "replay --from TIME",
		Short: "Normalize stored webhooks again, and bring the warehouse in line with the contracts",
		Long: `Reads the deliveries of raw_webhooks that were received from --from on and
before --to, normalizes them with the present contracts, compares the rows with
those that are stored, and publishes to Kafka only what differs: rows that are
missing or have other values, and retractions of rows that the contracts now
place elsewhere or reject. So it can be stopped and run again.

Restart receivers and sinks with the corrected contracts first.`,
		Example: `  connector replay --from -24h --dry-run
  connector replay --from 2026-01-01 --to 2026-02-01 --topic points`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now().UTC()
			in := replay.Range{To: now}
			var err error
			if in.From, err = parseMoment("--from", from, now); err != nil {
				return err
			}
			if to != "" {
				if in.To, err = parseMoment("--to", to, now); err != nil {
					return err
				}
			}
			if !in.From.Before(in.To) {
				return fmt.Errorf("--from must be before --to, is %s and %s", in.From.Format(time.RFC3339), in.To.Format(time.RFC3339))
			}
			s, err := openReplay(cmd.Context(), *file, sink, !options.DryRun)
			if err != nil {
				return err
			}
			err = s.replay(cmd, in, topic, options)
			return errors.Join(err, s.close())
		},
	}
	flags := command.Flags()
	flags.StringVar(&from, "from", "", "first time of receipt: RFC 3339, a date, or back from now such as -24h or -7d")
	flags.StringVar(&to, "to", "", "end of the times of receipt, which is left out; now if it is not set")
	flags.StringVar(&topic, "topic", "", "only the deliveries of one contract, by its topic or webhook")
	flags.BoolVar(&options.DryRun, "dry-run", false, "publish nothing, say what would change")
	flags.IntVar(&options.Examples, "examples", 5, "how many events that change are told one by one")
	flags.BoolVar(&options.Values, "values", false, "tell the examples' values too; they are personal data")
	flags.StringVar(&sink, "sink", "", "whose warehouse is compared; the first ClickHouse sink if it is not set")
	if err := command.MarkFlagRequired("from"); err != nil {
		panic(err) // The flag is there.
	}
	return command
}

// parseMoment reads a time as RFC 3339, a date in UTC, or a span back from now.
func parseMoment(flag, text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now, nil
	}
	if back, ok := strings.CutPrefix(text, "-"); ok {
		if days, ok := strings.CutSuffix(back, "d"); ok {
			if n, err := strconv.ParseUint(days, 10, 16); err == nil {
				return now.AddDate(0, 0, -int(n)), nil
			}
		}
		if span, err := time.ParseDuration(back); err == nil && span >= 0 {
			return now.Add(-span), nil
		}
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if at, err := time.Parse(layout, text); err == nil {
			return at.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%s must be a time such as 2026-01-31T08:00:00Z, a date such as 2026-01-31, or back from now such as -24h or -7d, is %q", flag, text)
}

// A replaySession is one warehouse, opened for one command.
type replaySession struct {
	*replay.Replayer
	// delivering tells that somebody brings what is published into the warehouse.
	delivering bool
	closers
}

// openReplay opens the warehouse of the named ClickHouse sink, or of the first,
// and Kafka where the command publishes. The embedded parts are those of the
// running service, or are started for the command.
func openReplay(ctx context.Context, file, sinkName string, publish bool) (_ *replaySession, err error) {
	cfg, log, err := load(file)
	if err != nil {
		return nil, err
	}
	sink, others, err := warehouseSink(cfg, sinkName)
	if err != nil {
		return nil, err
	}
	contracts, err := cfg.LoadContracts()
	if err != nil {
		return nil, err
	}
	normalizer, err := normalize.New(contracts, cfg.Receiver.OnStoreMismatch == "dead_letter")
	if err != nil {
		return nil, err
	}
	s := &replaySession{delivering: true}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close())
		}
	}()
	if err := s.borrowEmbedded(ctx, cfg, log); err != nil {
		return nil, err
	}
	conn, err := clickhouse.Connect(*sink.ClickHouse)
	if err != nil {
		return nil, err
	}
	s.closers = append(s.closers, conn.Close)
	var publisher replay.Publisher
	if publish {
		// Where no service runs the embedded broker, it is started for the command:
		// what is published then waits for the service.
		producer, opened, err := openProducer(ctx, cfg, contracts, !s.delivering, log)
		if err != nil {
			return nil, err
		}
		s.closers = append(s.closers, opened...)
		publisher = producer
	}
	s.Replayer, err = replay.Open(ctx, replay.Config{
		Database: sink.ClickHouse.Database, Sink: sink.Name, OtherSinks: others, TopicPrefix: cfg.Kafka.TopicPrefix,
	}, conn, contracts, normalizer, publisher, time.Now)
	return s, err
}

// warehouseSink finds a ClickHouse sink, and the names of the other sinks.
func warehouseSink(cfg *config.Config, name string) (found config.Sink, others []string, err error) {
	var known []string
	for _, s := range cfg.Sinks {
		if s.ClickHouse != nil {
			known = append(known, s.Name)
		}
	}
	if len(known) == 0 {
		return found, nil, errors.New("the configuration has no ClickHouse sink, so that there is no warehouse to look at")
	}
	if name == "" {
		name = known[0]
	}
	if !slices.Contains(known, name) {
		return found, nil, fmt.Errorf("--sink: there is no ClickHouse sink %q; there is %s", name, strings.Join(known, ", "))
	}
	for _, s := range cfg.Sinks {
		if s.Name == name {
			found = s
		} else {
			others = append(others, s.Name)
		}
	}
	return found, others, nil
}

// borrowEmbedded points to the embedded broker of the running service, which has
// the embedded ClickHouse too, or starts that for the command.
func (s *replaySession) borrowEmbedded(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	if cfg.Embedded == nil {
		return nil
	}
	address, err := embedded.RunningBroker(*cfg.Embedded)
	if err != nil {
		return err
	}
	if s.delivering = address != ""; s.delivering {
		cfg.Kafka.Brokers = []string{address}
		return nil
	}
	giveBack, err := borrowEngine(ctx, cfg, log)
	if err == nil {
		s.closers = append(s.closers, giveBack)
	}
	return err
}

func (s *replaySession) replay(cmd *cobra.Command, in replay.Range, topic string, o replay.Options) (err error) {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	if topic != "" {
		if in.Topic, err = s.ContractTopic(topic); err != nil {
			return fmt.Errorf("--topic: %w", err)
		}
	}
	count, err := s.Count(ctx, in)
	if err != nil {
		if ctx.Err() == nil {
			return err
		}
		_, err = fmt.Fprintln(out, "Stopped before anything was done.")
		return err
	}
	bar := progressBar(int(count), cmd.ErrOrStderr(), "replaying webhooks", "webhooks")
	o.Progress = func(n int) { _ = bar.Add(n) } // A terminal that cannot be drawn on is no reason to stop.
	report, err := s.Replay(ctx, in, o)
	if err == nil {
		_ = bar.Finish()
	} else {
		_ = bar.Exit()
	}
	if printErr := printReport(out, in, report, o.DryRun); printErr != nil {
		return errors.Join(err, printErr)
	}
	if err != nil {
		_, printErr := fmt.Fprintf(out, "Stopped: what was received before %s is done. Go on with --from %[1]s, or run the same again: it does only what is left.\n", report.Through.Format(time.RFC3339Nano))
		if ctx.Err() != nil {
			err = nil // Ctrl-C is no failure.
		}
		return errors.Join(err, printErr)
	}
	if report.Published > 0 && !s.delivering {
		_, err = fmt.Fprintln(out, "The service is not running. The records are stored when it next runs.")
	}
	return err
}

func printReport(out io.Writer, in replay.Range, r *replay.Report, dryRun bool) error {
	changes := []replay.Change{replay.Unchanged, replay.New, replay.Changed, replay.Moved, replay.Withdrawn, replay.Unreadable}
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	var text strings.Builder
	text.WriteString("topic\tdeliveries\tevents\t")
	for _, c := range changes {
		text.WriteString(string(c) + "\t")
	}
	text.WriteString("\n")
	for _, t := range r.Topics {
		if t.Deliveries == 0 && (t.Topic == "" || in.Topic != "") {
			continue
		}
		name := t.Topic
		if name == "" {
			name = "(no contract)"
		}
		fmt.Fprintf(&text, "%s\t%d\t%d\t", name, t.Deliveries, t.Events)
		for _, c := range changes {
			fmt.Fprintf(&text, "%d\t", t.Changes[c])
		}
		text.WriteString("\n")
	}
	if _, err := io.WriteString(w, text.String()); err != nil {
		return err
	}
	if err := w.Flush(); err != nil {
		return err
	}
	text.Reset()
	for _, t := range r.Topics {
		printCounts(&text, t.Topic+": events whose row has another value in", t.Columns)
		printCounts(&text, t.Topic+": rows that become dead letters", t.Withdrawn)
		what := t.Topic
		if what == "" {
			what = "no contract"
		}
		printCounts(&text, what+": cannot be read, as before", t.Unreadable)
	}
	for _, e := range r.Examples {
		fmt.Fprintf(&text, "%s %s of %s%s\n", e.Change, e.EventID, e.Topic, exampleText(e))
	}
	if dryRun {
		text.WriteString("Dry run: nothing was published.\n")
	} else {
		fmt.Fprintf(&text, "Published %d records.\n", r.Published)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// printCounts prints what is counted by names, the most frequent first.
func printCounts[K ~string](text *strings.Builder, what string, counts map[K]int64) {
	if len(counts) == 0 {
		return
	}
	names := slices.Sorted(maps.Keys(counts))
	slices.SortStableFunc(names, func(a, b K) int { return int(counts[b] - counts[a]) })
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%s %d", name, counts[name])
	}
	fmt.Fprintf(text, "%s: %s\n", what, strings.Join(parts, ", "))
}

func exampleText(e replay.Example) string {
	if e.Reason != "" {
		return ": " + visible(e.Reason)
	}
	var parts []string
	for _, c := range e.Columns {
		part := c.Name
		if c.Before != c.After {
			part += " " + visible(c.Before) + " -> " + visible(c.After)
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return ""
	}
	return ": " + strings.Join(parts, ", ")
}
