package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/simulate"
)

func simulateCommand(file *string) *cobra.Command {
	generator, sender := simulate.DefaultConfig(), simulate.DefaultSenderConfig()
	var secret, caFile, end string
	command := &cobra.Command{
		Use:   "simulate",
		Short: "Play SHOPLINE: send signed webhooks of customers who earn and spend",
		Long: `Plays SHOPLINE: customers register, earn and spend points, store credits and
gift cards, so that every balance is consistent. Resends, copies of a second
subscription, late arrivals, bodies that can never become a row and wrong
signatures are among the webhooks. The same --seed sends the same bytes.

Bodies are signed with --secret, or with the first app secret of the
configuration file.`,
		Example: `  connector simulate --count 100000 --rate 500
  connector simulate --url https://hooks.example.com/webhooks/shopline --secret "$SHOPLINE_APP_SECRETS"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if generator.End, err = parseEnd(end); err != nil {
				return err
			}
			if sender.Secret, err = signingSecret(secret, *file); err != nil {
				return err
			}
			if sender.RootCAs, err = authorities(caFile); err != nil {
				return err
			}
			if err := generator.Validate(); err != nil {
				return err
			}
			g := simulate.New(generator)
			summary, err := send(cmd.Context(), g, generator.Count, sender, cmd.ErrOrStderr())
			if printErr := printSummary(cmd.OutOrStdout(), g.Expected(), summary); printErr != nil {
				return printErr
			}
			if err == nil && summary.Violations > 0 {
				err = fmt.Errorf("%d webhooks got another answer than a correct receiver gives; see above", summary.Violations)
			}
			return err
		},
	}
	flags := command.Flags()
	flags.Uint64Var(&generator.Seed, "seed", generator.Seed, "which history to play")
	flags.IntVar(&generator.Count, "count", generator.Count, "distinct events; resends and bad ones come in addition")
	flags.IntVar(&generator.Customers, "customers", generator.Customers, "customers")
	flags.IntVar(&generator.Shops, "shops", generator.Shops, "shops")
	flags.DurationVar(&generator.Span, "span", generator.Span, "time that the history covers")
	flags.StringVar(&end, "end", generator.End.Format(time.RFC3339), "when the history ends: a time as RFC 3339, or now")
	flags.Float64Var(&generator.ResendRatio, "resends", generator.ResendRatio, "share of events that are sent more than once")
	flags.Float64Var(&generator.OutOfOrderRatio, "late", generator.OutOfOrderRatio, "share of events that come after later ones")
	flags.Float64Var(&generator.BadRatio, "bad", generator.BadRatio, "webhooks per event that cannot become a row")
	flags.StringVar(&sender.URL, "url", sender.URL, "the receiver")
	flags.Float64Var(&sender.Rate, "rate", sender.Rate, "webhooks per second; 0 is as fast as they are answered")
	flags.IntVar(&sender.Connections, "connections", sender.Connections, "requests under way at once")
	flags.StringVar(&secret, "secret", "", "app secret to sign with")
	flags.StringVar(&caFile, "ca-file", "", "certificate authorities to trust for https, in PEM form")
	return command
}

func parseEnd(text string) (time.Time, error) {
	if text == "now" {
		return time.Now().UTC().Truncate(time.Millisecond), nil
	}
	end, err := time.Parse(time.RFC3339, text)
	if err != nil {
		return end, fmt.Errorf("--end must be now or a time such as 2026-01-01T00:00:00Z, is %q", text)
	}
	return end, nil
}

func signingSecret(secret, file string) ([]byte, error) {
	if secret != "" {
		return []byte(secret), nil
	}
	cfg, err := config.Load(file)
	if err != nil {
		return nil, fmt.Errorf("no --secret, and no configuration to take one from: %w", err)
	}
	secrets, err := cfg.Secrets()
	if err != nil {
		return nil, err
	}
	return []byte(secrets[0]), nil
}

func authorities(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := os.ReadFile(file) //nolint:gosec // The file that the user names.
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca-file: %s holds no certificate in PEM form", file)
	}
	return pool, nil
}

// send plays the generator's history with a progress bar, which counts events.
func send(ctx context.Context, g *simulate.Generator, events int, cfg simulate.SenderConfig, out io.Writer) (simulate.Summary, error) {
	bar := progressBar(events, out, "sending webhooks", "events")
	summary, err := simulate.Send(ctx, cfg, g.Next, func(o simulate.Outcome) {
		if o.Delivery.Kind == simulate.KindEvent {
			_ = bar.Add(1) // A terminal that cannot be drawn on is no reason to stop.
		}
	})
	if err == nil {
		_ = bar.Finish()
	} else {
		_ = bar.Exit()
	}
	return summary, err
}

// progressBar draws how many of a number of units are done.
func progressBar(units int, out io.Writer, what, unit string) *progressbar.ProgressBar {
	interval := 200 * time.Millisecond
	if !isTerminal(out) {
		interval = 5 * time.Second // Into a log, draw seldom.
	}
	return progressbar.NewOptions(units,
		progressbar.OptionSetWriter(out),
		progressbar.OptionSetDescription(what),
		progressbar.OptionShowCount(), progressbar.OptionShowIts(), progressbar.OptionSetItsString(unit),
		progressbar.OptionSetWidth(24), progressbar.OptionThrottle(interval),
		progressbar.OptionOnCompletion(func() { _, _ = fmt.Fprintln(out) }),
	)
}

func printSummary(out io.Writer, e simulate.Expected, s simulate.Summary) error {
	var events int64
	for _, n := range e.Facts {
		events += n
	}
	_, err := fmt.Fprintf(out, `sent %d webhooks in %s: %d events, %d resends, %d out of order, %d that cannot become a row, %d with a bad signature
answers: %d accepted (200), %d refused (401), %d sent again after another answer; p50 %s, p99 %s
`,
		s.Sent, s.Duration.Round(time.Millisecond), events, e.Resends, e.OutOfOrder, e.BadDeliveries, e.Unsigned,
		s.Accepted, s.Refused, s.Retries, s.P50.Round(10*time.Microsecond), s.P99.Round(10*time.Microsecond))
	for _, v := range s.FirstViolations {
		_, printErr := fmt.Fprintln(out, "wrong answer:", v)
		err = errors.Join(err, printErr)
	}
	if s.LastFailure != nil {
		_, printErr := fmt.Fprintf(out, "%d attempts got no answer, the last because of: %v\n", s.Unanswered, s.LastFailure)
		err = errors.Join(err, printErr)
	}
	return err
}
