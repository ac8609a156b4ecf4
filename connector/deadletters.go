package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"loyaltyhouse/connector/replay"
)

func deadLettersCommand(file *string) *cobra.Command {
	command := &cobra.Command{
		Use:     "deadletters",
		Aliases: []string{"dead-letters"},
		Short:   "List, show, export or retry what could not become a row",
		Long: `Works on the dead letters of a warehouse: signed webhooks that could not become
a row, and rows that a sink refused. A dead letter is open until its event is
stored; its row in dead_letters stays as the record of what happened.`,
	}
	var sink string
	command.PersistentFlags().StringVar(&sink, "sink", "", "whose warehouse it is; the first ClickHouse sink if it is not set")
	command.AddCommand(
		listCommand(file, &sink),
		showCommand(file, &sink),
		exportCommand(file, &sink),
		retryCommand(file, &sink),
	)
	return command
}

// letterFlags are the flags that select dead letters.
type letterFlags struct {
	filter       replay.Filter
	since, until string
}

func (f *letterFlags) add(command *cobra.Command) {
	flags := command.Flags()
	flags.StringArrayVar(&f.filter.Reasons, "reason", nil, "reason, such as missing_field; may be given several times")
	flags.StringVar(&f.filter.Stage, "stage", "", "stage: normalize or sink")
	flags.StringVar(&f.filter.Topic, "topic", "", "topic of a contract, webhook, or topic in Kafka")
	flags.StringVar(&f.filter.Shop, "shop", "", "shop id")
	flags.StringVar(&f.since, "since", "", "first time of receipt: RFC 3339, a date, or back from now such as -24h or -7d")
	flags.StringVar(&f.until, "until", "", "end of the times of receipt, which is left out")
}

// parse checks the flags, and the ids that stand beside them.
func (f *letterFlags) parse(ids []string) (err error) {
	now := time.Now().UTC()
	if f.since != "" {
		if f.filter.Since, err = parseMoment("--since", f.since, now); err != nil {
			return err
		}
	}
	if f.until != "" {
		if f.filter.Until, err = parseMoment("--until", f.until, now); err != nil {
			return err
		}
	}
	if s := f.filter.Stage; s != "" && s != "normalize" && s != "sink" {
		return fmt.Errorf("--stage must be normalize or sink, is %q", s)
	}
	f.filter.IDs, err = letterIDs(ids)
	return err
}

var letterIDForm = regexp.MustCompile(`^[0-9a-f]{16}$`)

func letterIDs(ids []string) ([]string, error) {
	var all []string
	for _, id := range ids {
		id = strings.ToLower(id)
		if !letterIDForm.MatchString(id) {
			return nil, fmt.Errorf("%q is no id of a dead letter: connector deadletters list shows them, 16 hexadecimal digits each", id)
		}
		if !slices.Contains(all, id) {
			all = append(all, id)
		}
	}
	return all, nil
}

// withLetters opens the warehouse for one command.
func withLetters(ctx context.Context, file, sink string, publish bool, use func(*replaySession) error) error {
	s, err := openReplay(ctx, file, sink, publish)
	if err != nil {
		return err
	}
	return errors.Join(use(s), s.close())
}

func listCommand(file, sink *string) *cobra.Command {
	var selection letterFlags
	var limit int
	var format string
	command := &cobra.Command{
		Use:   "list",
		Short: "List dead letters, the newest first, without their bodies",
		Long: `Lists the open dead letters, the newest first, without their bodies; with --all
also those whose event is stored by now. With --format json each line is one
JSON object.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := selection.parse(nil); err != nil {
				return err
			}
			if format != "table" && format != "json" {
				return fmt.Errorf("--format must be table or json, is %q", format)
			}
			return withLetters(cmd.Context(), *file, *sink, false, func(s *replaySession) error {
				return listLetters(cmd, s, selection.filter, limit, format == "json")
			})
		},
	}
	selection.add(command)
	command.Flags().BoolVar(&selection.filter.Resolved, "all", false, "resolved ones too")
	command.Flags().IntVar(&limit, "limit", 50, "how many at most; 0 for all")
	command.Flags().StringVar(&format, "format", "table", "table or json")
	return command
}

func listLetters(cmd *cobra.Command, s *replaySession, filter replay.Filter, limit int, asJSON bool) error {
	counts, err := s.CountLetters(cmd.Context(), filter)
	if err != nil {
		return err
	}
	out := cmd.OutOrStdout()
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	var shown int64
	err = s.Letters(cmd.Context(), filter, limit, false, func(l *replay.Letter) error {
		shown++
		if asJSON {
			_, err := out.Write(letterJSON(l, false))
			return err
		}
		if shown == 1 {
			if _, err := fmt.Fprintln(w, "ID\tRECEIVED AT\tSTAGE\tREASON\tTOPIC\tSHOP\tSTATE\tDETAIL"); err != nil {
				return err
			}
		}
		_, err := fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", l.ID, l.ReceivedAt().Format("2006-01-02T15:04:05.000Z"), shorten(l.Text("stage"), 10), shorten(l.Text("reason"), 20),
			shorten(l.Text("topic"), 48), shorten(l.Text("shop_id"), 24), letterState(l), shorten(l.Text("detail"), 100))
		return err
	})
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return err
	}
	if asJSON {
		out = cmd.ErrOrStderr() // Beside the objects it would be none.
	}
	_, err = io.WriteString(out, letterSummary(counts, shown))
	return err
}

func showCommand(file, sink *string) *cobra.Command {
	var raw bool
	command := &cobra.Command{
		Use:   "show ID...",
		Short: "Show all of some dead letters, and what the present contracts make of them",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := letterIDs(args)
			if err != nil {
				return err
			}
			if raw && len(ids) > 1 {
				return errors.New("--raw prints one body byte for byte; name one dead letter")
			}
			return withLetters(cmd.Context(), *file, *sink, false, func(s *replaySession) error {
				return showLetters(cmd, s, ids, raw)
			})
		},
	}
	command.Flags().BoolVar(&raw, "raw", false, "print the body alone, byte for byte")
	return command
}

func showLetters(cmd *cobra.Command, s *replaySession, ids []string, raw bool) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	if err := mustExist(ctx, s, ids); err != nil {
		return err
	}
	for i, id := range ids {
		var letter *replay.Letter
		if err := s.Letters(ctx, replay.Filter{IDs: []string{id}, Resolved: true}, 1, true, func(l *replay.Letter) error { letter = l; return nil }); err != nil {
			return err
		}
		if raw {
			return printRaw(out, letter.Body())
		}
		outcome, err := s.Explain(ctx, letter)
		if err != nil {
			return err
		}
		if i > 0 {
			if _, err := fmt.Fprintln(out); err != nil {
				return err
			}
		}
		if err := printLetter(out, letter, outcome); err != nil {
			return err
		}
	}
	return nil
}

// mustExist reports ids that no dead letter has.
func mustExist(ctx context.Context, s *replaySession, ids []string) error {
	missing := map[string]bool{}
	for _, id := range ids {
		missing[id] = true
	}
	err := s.Letters(ctx, replay.Filter{IDs: ids, Resolved: true}, 0, false, func(l *replay.Letter) error { delete(missing, l.ID); return nil })
	if err != nil {
		return err
	}
	for _, id := range ids {
		if missing[id] {
			return fmt.Errorf("no dead letter has the id %s; connector deadletters list --all shows them", id)
		}
	}
	return nil
}

func exportCommand(file, sink *string) *cobra.Command {
	var selection letterFlags
	var name string
	command := &cobra.Command{
		Use:   "export",
		Short: "Write dead letters with their bodies, one JSON object a line",
		Long: `Writes the open dead letters, with --all also the resolved ones, with their
bodies, which hold personal data: one JSON object a line. A body that is no
readable text stands in base64 under body_base64.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := selection.parse(nil); err != nil {
				return err
			}
			return withLetters(cmd.Context(), *file, *sink, false, func(s *replaySession) error {
				return exportLetters(cmd, s, selection.filter, name)
			})
		},
	}
	selection.add(command)
	command.Flags().BoolVar(&selection.filter.Resolved, "all", false, "resolved ones too")
	command.Flags().StringVarP(&name, "out", "o", "", "a new file, which only its owner may read; standard output if it is not set")
	return command
}

func exportLetters(cmd *cobra.Command, s *replaySession, filter replay.Filter, name string) (err error) {
	out := cmd.OutOrStdout()
	if name != "" {
		file, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // To write to the file that the flag names is what the flag is for, and O_EXCL replaces none; the command runs with the rights of whoever types it.
		if errors.Is(err, os.ErrExist) {
			return fmt.Errorf("%s is there already and is not overwritten; name another file", name)
		}
		if err != nil {
			return err
		}
		defer func() { err = errors.Join(err, file.Close()) }()
		out = file
	}
	n := 0
	err = s.Letters(cmd.Context(), filter, 0, true, func(l *replay.Letter) error {
		n++
		_, err := out.Write(letterJSON(l, true))
		return err
	})
	if err == nil && name != "" {
		_, err = fmt.Fprintf(cmd.OutOrStdout(), "%d dead letters are in %s\n", n, name)
	}
	return err
}

func retryCommand(file, sink *string) *cobra.Command {
	var selection letterFlags
	var allOpen, dryRun bool
	var wait time.Duration
	command := &cobra.Command{
		Use:   "retry [ID...]",
		Short: "Publish what the present contracts make of dead letters",
		Long: `Normalizes dead letters again with the present contracts and publishes the rows
that come out. Of a row that a sink refused, the webhook's body is taken from
raw_webhooks; where it is not there any more, the row is published as it was.
Events that are stored already are passed over, so that it may be run again.

It exits with 0 when all selected ones are stored or on their way, and with 1
when some still cannot become a row.`,
		Example: `  connector deadletters retry 0f3a5b7c9d1e2f40
  connector deadletters retry --reason invalid_value --since -7d --dry-run
  connector deadletters retry --all-open`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := selection.parse(args); err != nil {
				return err
			}
			if err := checkSelection(selection.filter, allOpen); err != nil {
				return err
			}
			// Named ones that are resolved are said to be so.
			selection.filter.Resolved = len(selection.filter.IDs) > 0
			return withLetters(cmd.Context(), *file, *sink, !dryRun, func(s *replaySession) error {
				return retryLetters(cmd, s, selection.filter, dryRun, wait)
			})
		},
	}
	selection.add(command)
	command.Flags().BoolVar(&allOpen, "all-open", false, "all that are open")
	command.Flags().BoolVar(&dryRun, "dry-run", false, "publish nothing, say what would come of it")
	command.Flags().DurationVar(&wait, "wait", 30*time.Second, "how long to wait until the rows are stored")
	return command
}

// checkSelection keeps a forgotten filter from retrying everything.
func checkSelection(f replay.Filter, allOpen bool) error {
	filtered := len(f.Reasons) > 0 || f.Stage != "" || f.Topic != "" || f.Shop != "" || !f.Since.IsZero() || !f.Until.IsZero()
	switch {
	case allOpen && (filtered || len(f.IDs) > 0):
		return errors.New("--all-open goes with neither ids nor filters")
	case !allOpen && !filtered && len(f.IDs) == 0:
		return errors.New("say which: ids, a filter such as --reason missing_field, or --all-open")
	}
	return nil
}

func retryLetters(cmd *cobra.Command, s *replaySession, filter replay.Filter, dryRun bool, wait time.Duration) error {
	ctx, out := cmd.Context(), cmd.OutOrStdout()
	if err := mustExist(ctx, s, filter.IDs); len(filter.IDs) > 0 && err != nil {
		return err
	}
	report, err := s.Retry(ctx, filter, dryRun)
	if err != nil {
		return err
	}
	var rejected int64
	for _, n := range report.Rejected {
		rejected += n
	}
	var text strings.Builder
	published := "published"
	if dryRun {
		published = "would be published"
	}
	fmt.Fprintf(&text, "selected %d: %d stored already, %d %s, %d still rejected\n", report.Selected, report.AlreadyStored, report.Published, published, rejected)
	printCounts(&text, "still rejected", report.Rejected)
	for _, e := range report.Examples {
		fmt.Fprintf(&text, "  %s\n", visible(e))
	}
	if dryRun {
		text.WriteString("Dry run: nothing was published.\n")
	}
	if _, err := io.WriteString(out, text.String()); err != nil {
		return err
	}
	arrival := replay.Arrival{OnTheirWay: report.Published}
	if !dryRun && report.Published > 0 {
		if s.delivering {
			if arrival, err = s.Await(ctx, report, wait); err != nil {
				return err
			}
		}
		if _, err := io.WriteString(out, arrivalText(arrival, s.delivering)); err != nil {
			return err
		}
	}
	if rejected+arrival.Refused > 0 {
		return fmt.Errorf("%d dead letters still cannot become a row: correct the contract, or leave them", rejected+arrival.Refused)
	}
	return nil
}
