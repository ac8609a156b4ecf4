package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/simulate"
)

// A simulation is what the flags of simulate say.
type simulation struct {
	generator simulate.Config
	sender    simulate.SenderConfig
	to        string // http or kafka
	history   string // the span; empty for an even mixture
	end       string
	secret    string
	caFile    string
}

func simulateCommand(file *string) *cobra.Command {
	s := simulation{generator: simulate.DefaultConfig(), sender: simulate.DefaultSenderConfig()}
	command := &cobra.Command{
		Use:   "simulate",
		Short: "Play SHOPLINE: send webhooks of customers who earn and spend",
		Long: `Plays SHOPLINE: customers register, earn and spend points, store credits and
gift cards, so that every balance is consistent. Resends, copies of a second
subscription, late arrivals, bodies that can never become a row and wrong
signatures are among the webhooks. The same flags send the same bytes.

By default events of all kinds are evenly mixed, to show as much as possible.
With --history they are those of a loyalty programme as it goes on: with
seasons and campaigns, members who save up, redeem, reach levels and leave,
gift cards that are given at Christmas and used later or never, refunds, and
consents that change. A history ends with the last full hour; name its --end to
play the same one again. It has shops of its own: any change of --seed, --count,
--customers, --shops, --end, the span or the shares makes another history.

Webhooks are signed with --secret, or with the first app secret of the
configuration file, and posted to --url. With --to kafka they take a short cut:
they are normalized here and published to the Kafka of the configuration, as the
receiver does it, and received when they were sent. That is fast, and the
warehouse gets a past that is as old as the history.`,
		Example: `  connector simulate --count 100000 --rate 500
  connector simulate --url https://hooks.example.com/webhooks/shopline --secret "$SHOPLINE_APP_SECRETS"
  connector simulate --history 365d --to kafka
  connector simulate --history 365d --to kafka --count 1000000 --end 2026-01-01T00:00:00Z
  connector simulate --history 90d --count 20000 --resends 0.2 --late 0.2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := s.complete(cmd.Flags().Changed, time.Now()); err != nil {
				return err
			}
			if s.to == "kafka" {
				return s.publish(cmd, *file)
			}
			return s.post(cmd, *file)
		},
	}
	flags := command.Flags()
	g, history := &s.generator, simulate.DefaultHistoryConfig()
	flags.StringVar(&s.history, "history", "", "play a programme over this span, such as 365d or 2160h")
	flags.StringVar(&s.to, "to", "http", "http: signed webhooks to --url; kafka: straight into the Kafka of the configuration")
	flags.Uint64Var(&g.Seed, "seed", g.Seed, "which history to play")
	flags.IntVar(&g.Count, "count", g.Count, fmt.Sprintf("distinct events; resends and bad ones come in addition; %d with --history", history.Count))
	flags.IntVar(&g.Customers, "customers", g.Customers, "customers; with --history one for 40 events")
	flags.IntVar(&g.Shops, "shops", g.Shops, "shops")
	flags.DurationVar(&g.Span, "span", g.Span, "time that an even mixture covers")
	flags.StringVar(&s.end, "end", g.End.Format(time.RFC3339), "when the history ends: a time as RFC 3339, or now; the last full hour with --history")
	flags.Float64Var(&g.ResendRatio, "resends", g.ResendRatio, fmt.Sprintf("share of events that are sent more than once; %v with --history", history.ResendRatio))
	flags.Float64Var(&g.OutOfOrderRatio, "late", g.OutOfOrderRatio, fmt.Sprintf("share of events that come after later ones; %v with --history", history.OutOfOrderRatio))
	flags.Float64Var(&g.BadRatio, "bad", g.BadRatio, fmt.Sprintf("webhooks per event that cannot become a row; %v with --history", history.BadRatio))
	flags.StringVar(&s.sender.URL, "url", s.sender.URL, "the receiver")
	flags.Float64Var(&s.sender.Rate, "rate", s.sender.Rate, "webhooks per second; 0 is as fast as they are answered")
	flags.IntVar(&s.sender.Connections, "connections", s.sender.Connections, "requests under way at once")
	flags.StringVar(&s.secret, "secret", "", "app secret to sign with")
	flags.StringVar(&s.caFile, "ca-file", "", "certificate authorities to trust for https, in PEM form")
	command.MarkFlagsMutuallyExclusive("history", "span")
	return command
}

// complete reads the flags that are text, and fills in what a history has where
// a flag is not set.
func (s *simulation) complete(changed func(flag string) bool, now time.Time) (err error) {
	switch s.to {
	case "http":
	case "kafka":
		for _, name := range []string{"url", "rate", "connections", "secret", "ca-file"} {
			if changed(name) {
				return fmt.Errorf("--%s is for --to http: into Kafka nothing is posted", name)
			}
		}
	default:
		return fmt.Errorf("--to must be http or kafka, is %q", s.to)
	}
	g := &s.generator
	if g.End, err = parseEnd(s.end, now); err != nil {
		return err
	}
	if !changed("history") {
		return g.Validate()
	}
	history := simulate.DefaultHistoryConfig()
	g.History = true
	if g.Span, err = parseSpan(s.history); err != nil {
		return err
	}
	if !changed("end") {
		g.End = now.UTC().Truncate(time.Hour)
	}
	if !changed("count") {
		g.Count = history.Count
	}
	if !changed("customers") {
		g.Customers = simulate.HistoryCustomers(g.Count)
	}
	if !changed("resends") {
		g.ResendRatio = history.ResendRatio
	}
	if !changed("late") {
		g.OutOfOrderRatio = history.OutOfOrderRatio
	}
	if !changed("bad") {
		g.BadRatio = history.BadRatio
	}
	return g.Validate()
}

// post sends the webhooks to a receiver.
func (s *simulation) post(cmd *cobra.Command, file string) (err error) {
	if s.sender.Secret, err = signingSecret(s.secret, file); err != nil {
		return err
	}
	if s.sender.RootCAs, err = authorities(s.caFile); err != nil {
		return err
	}
	if err := s.announce(cmd.OutOrStdout()); err != nil {
		return err
	}
	g := simulate.New(s.generator)
	summary, err := send(cmd.Context(), g, s.generator.Count, s.sender, cmd.ErrOrStderr())
	if printErr := printSummary(cmd.OutOrStdout(), g.Expected(), summary); printErr != nil {
		return printErr
	}
	if err == nil && summary.Violations > 0 {
		err = fmt.Errorf("%d webhooks got another answer than a correct receiver gives; see above", summary.Violations)
	}
	return err
}

// publish brings the webhooks straight into Kafka.
func (s *simulation) publish(cmd *cobra.Command, file string) error {
	cfg, log, err := load(file)
	if err != nil {
		return err
	}
	if err := s.announce(cmd.OutOrStdout()); err != nil {
		return err
	}
	l, err := openLoader(cmd.Context(), cfg, log)
	if err != nil {
		return err
	}
	err = l.play(cmd.Context(), simulate.New(s.generator), s.generator.Count, cmd.OutOrStdout(), cmd.ErrOrStderr())
	return errors.Join(err, l.close())
}

// announce says how to play the same history again.
func (s *simulation) announce(out io.Writer) error {
	g := &s.generator
	if !g.History {
		return nil
	}
	_, err := fmt.Fprintf(out, "a history of %d events of %d customers in %d shops over %s; the same again: --seed %d --end %s\n",
		g.Count, g.Customers, g.Shops, s.history, g.Seed, g.End.Format(time.RFC3339Nano))
	return err
}

// parseSpan reads days, such as 365d, or a duration of Go's, such as 2160h.
func parseSpan(text string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil && n > 0 {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	if span, err := time.ParseDuration(text); err == nil && span > 0 {
		return span, nil
	}
	return 0, fmt.Errorf("--history must be a span such as 365d or 2160h, is %q", text)
}

func parseEnd(text string, now time.Time) (time.Time, error) {
	if text == "now" {
		return now.UTC().Truncate(time.Millisecond), nil
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
	pem, err := os.ReadFile(file) //nolint:gosec // To read the certificate that the flag names is what the flag is for; the command runs with the rights of whoever types it.
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
	_, err := fmt.Fprintf(out, `sent %d webhooks in %s: %d events, %d resends, %d out of order, %d that cannot become a row, %d with a bad signature
answers: %d accepted (200), %d refused (401), %d sent again after another answer; p50 %s, p99 %s
`,
		s.Sent, s.Duration.Round(time.Millisecond), eventsOf(e), e.Resends, e.OutOfOrder, e.BadDeliveries, e.Unsigned,
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
