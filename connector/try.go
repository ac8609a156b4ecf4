package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/textproto"
	"net/url"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"loyaltyhouse/config"
	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/webhook"
	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

func tryCommand(file *string) *cobra.Command {
	var topic string
	var headers []string
	command := &cobra.Command{
		Use:   "try --topic TOPIC FILE",
		Short: "Show what a webhook's body would become, and what each sink would get of it",
		Long: `Reads a body from a file, or from standard input where that is -, and shows the
row that it would become, or why it would be a dead letter, and then what each sink of
the configuration would get: what its topics, filter and columns make of it. It is what
the receiver and the sinks would do, but for the signature, which is not asked for. It
connects to nothing and stores nothing.

The exit status is 0 where the body becomes a row, and otherwise 1.`,
		Example: `  connector try --topic points body.json
  curl -s https://example.com/body.json | connector try --topic customers/update --header 'X-Shopline-Shop-Id: 1700000000000' -`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, _, err := load(*file)
			if err != nil {
				return err
			}
			t, err := newTrial(cfg, cmd.OutOrStdout())
			if err != nil {
				return err
			}
			header, err := t.headers(topic, headers)
			if err != nil {
				return err
			}
			body, err := readBody(cmd.InOrStdin(), args[0], cfg.Receiver.MaxBodyBytes)
			if err != nil {
				return err
			}
			return t.run(cmd.Context(), webhook.DeliveryOf(header, body, time.Now().UTC()))
		},
	}
	command.Flags().StringVar(&topic, "topic", "", "topic of a contract, as in points, or SHOPLINE's, as in customers/update")
	command.Flags().StringArrayVar(&headers, "header", nil, "a header of the webhook, as in 'X-Shopline-Shop-Id: 1700000000000'; may be given several times")
	return command
}

// A trial shows what becomes of a body.
type trial struct {
	cfg        *config.Config
	contracts  []*schema.Contract
	normalizer *normalize.Normalizer
	out        io.Writer
}

func newTrial(cfg *config.Config, out io.Writer) (*trial, error) {
	contracts, err := cfg.LoadContracts()
	if err != nil {
		return nil, err
	}
	normalizer, err := normalize.New(contracts, cfg.Receiver.OnStoreMismatch == "dead_letter")
	if err != nil {
		return nil, err
	}
	return &trial{cfg: cfg, contracts: contracts, normalizer: normalizer, out: out}, nil
}

// headers returns those of the flags. A topic that no contract has is SHOPLINE's.
func (t *trial) headers(topic string, given []string) (http.Header, error) {
	header, known := http.Header{}, webhook.DeliveryHeaders()
	for _, line := range given {
		name, value, ok := strings.Cut(line, ":")
		name = textproto.CanonicalMIMEHeaderKey(strings.TrimSpace(name))
		if !ok || !slices.Contains(known, name) {
			return nil, fmt.Errorf("--header must be one of %s, a colon and the value; is %q", strings.Join(known, ", "), line)
		}
		header.Set(name, strings.TrimSpace(value))
	}
	const shopline = "X-Shopline-Topic"
	switch {
	case topic == "" && header.Get(shopline) == "":
		return nil, fmt.Errorf("--topic is needed: a topic such as %s, or SHOPLINE's such as %s", t.contracts[0].Topic, t.contracts[0].Webhooks[0])
	case topic == "":
		return header, nil
	}
	header.Set(shopline, topic)
	for _, c := range t.contracts {
		if topic == c.Topic || topic == t.cfg.Kafka.TopicPrefix+c.Topic {
			header.Set(shopline, c.Webhooks[0])
		}
	}
	return header, nil
}

// readBody reads the file, or in where that is -, as far as the receiver would.
func readBody(in io.Reader, file string, most int64) ([]byte, error) {
	if file != "-" {
		f, err := os.Open(file) //nolint:gosec // To show what becomes of the file that is named is what the command is for; it runs with the rights of whoever types it.
		if err != nil {
			return nil, fmt.Errorf("%w; name a file with a body, or - for standard input", err)
		}
		defer f.Close() //nolint:errcheck // It is only read.
		in = f
	}
	body, err := io.ReadAll(io.LimitReader(in, most+1))
	if err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if int64(len(body)) > most {
		return nil, fmt.Errorf("the body has more than receiver.max_body_bytes (%d): it would be answered 413 and not be kept; raise the limit", most)
	}
	return body, nil
}

// run prints what becomes of the delivery. Its error says that it is a reject.
func (t *trial) run(ctx context.Context, d normalize.Delivery) error {
	result := t.normalizer.Normalize(d, d.ReceivedAt)
	records := webhook.NewRecords().Of(d, result)
	var text strings.Builder
	fmt.Fprintf(&text, "Webhook %s, %d bytes, event %s\n", visible(d.Topic), len(d.Body), result.EventID)
	if result.StoreMismatch {
		text.WriteString("The body and the header name different shops; the body's counts, for it is signed.\n")
	}
	if result.Reject != nil {
		t.printReject(&text, result.Reject)
	} else {
		fmt.Fprintf(&text, "\nRow of %s:\n", result.Table.Name)
		printRow(&text, result.Table, result.Row)
	}
	fmt.Fprintf(&text, "\nIn Kafka, with the key %s:\n", visible(string(result.Key())))
	for _, r := range records {
		fmt.Fprintf(&text, "%s%s\n  %s\n", t.cfg.Kafka.TopicPrefix, r.Topic, escapeJSON(r.Value))
	}
	for _, s := range t.cfg.Sinks {
		if err := t.printSink(ctx, &text, s, records[:]); err != nil {
			return err
		}
	}
	if _, err := io.WriteString(t.out, text.String()); err != nil {
		return err
	}
	if result.Reject != nil {
		return errors.New("the body does not become a row, and would be a dead letter")
	}
	return nil
}

func (t *trial) printReject(text *strings.Builder, r *normalize.Reject) {
	fmt.Fprintf(text, "\nNo row: a dead letter, and answered 200 all the same\n  stage   normalize\n  reason  %s\n  detail  %s\n", r.Reason, visible(r.Detail))
	if r.Reason != normalize.UnknownTopic {
		return
	}
	var known []string
	for _, c := range t.contracts {
		known = append(known, c.Topic+" ("+strings.Join(c.Webhooks, ", ")+")")
	}
	fmt.Fprintf(text, "  known   %s\n", strings.Join(known, ", "))
}

// printSink prints what one sink gets of the records.
func (t *trial) printSink(ctx context.Context, text *strings.Builder, c config.Sink, records []webhook.Record) error {
	all := schema.Tables(t.contracts)
	catching := &catcher{}
	selecting, err := sinks.Select(catching, c.SelectConfig, all)
	if err != nil {
		return fmt.Errorf("sink %s: %w", c.Name, err)
	}
	fmt.Fprintf(text, "\nSink %s (%s) gets\n", c.Name, c.Kind())
	for _, r := range records {
		i := slices.IndexFunc(all, func(table *schema.Table) bool { return table.Topic == r.Topic })
		if !slices.Contains(c.Tables(all), all[i]) {
			fmt.Fprintf(text, "  of %s nothing: its topics leave it out\n", r.Topic)
			continue
		}
		catching.batch = nil
		err := selecting.Write(ctx, &sinks.Batch{
			Topic: t.cfg.Kafka.TopicPrefix + r.Topic, Table: all[i], Records: []sinks.Record{{Timestamp: time.Now().UnixMilli(), Value: r.Value}},
		})
		refusal, permanent := sinks.IsPermanent(err)
		switch {
		case permanent:
			fmt.Fprintf(text, "  of %s a dead letter: stage sink, reason %s, %s\n", r.Topic, refusal.Reason, visible(refusal.Err.Error()))
		case err != nil:
			return fmt.Errorf("sink %s: %w", c.Name, err)
		case catching.batch == nil:
			fmt.Fprintf(text, "  of %s nothing: its filter says no\n", r.Topic)
		default:
			got := catching.batch
			fmt.Fprintf(text, "  of %s, in %s, ", r.Topic, placeOf(c, got.Table.Name))
			if value := got.Records[0].Value; string(value) == string(r.Value) {
				fmt.Fprintf(text, "all %d columns\n", len(got.Table.Columns))
			} else {
				fmt.Fprintf(text, "%d of %d columns\n    %s\n", len(got.Table.Columns), len(all[i].Columns), escapeJSON(value))
			}
		}
	}
	return nil
}

// placeOf names where a sink puts the rows of a table, without what may be secret.
func placeOf(c config.Sink, table string) string {
	switch {
	case c.ClickHouse != nil:
		return "table " + c.ClickHouse.Database + "." + table
	case c.Postgres != nil:
		return "table " + c.Postgres.Schema + "." + table
	case c.Files != nil:
		return "a " + c.Files.Format + " file below " + path.Join(c.Files.Prefix, table)
	case c.HTTP != nil:
		host := "the service"
		if u, err := url.Parse(c.HTTP.URL); err == nil {
			host = u.Host
		}
		return "a POST to " + host + " with Loyaltyhouse-Table: " + table
	default:
		return "a line of " + c.Kind()
	}
}

// A catcher is the sink of a trial: it keeps the batch that it is given.
type catcher struct{ batch *sinks.Batch }

var _ sinks.Sink = (*catcher)(nil)

func (c *catcher) Write(_ context.Context, b *sinks.Batch) error {
	c.batch = b
	return nil
}

func (c *catcher) Ping(context.Context) error { return nil }

func (c *catcher) Close() error { return nil }

// printRow prints the columns that hold something, for a person.
func printRow(text *strings.Builder, t *schema.Table, row schema.Row) {
	width, empty := 0, 0
	for i := range t.Columns {
		if _, holds := cell(t.Columns[i], row[i]); holds {
			width = max(width, len(t.Columns[i].Name))
		}
	}
	for i := range t.Columns {
		value, holds := cell(t.Columns[i], row[i])
		if !holds {
			empty++
			continue
		}
		fmt.Fprintf(text, "  %-*s  %s\n", width, t.Columns[i].Name, value)
	}
	if empty > 0 {
		fmt.Fprintf(text, "  and %d columns that are empty\n", empty)
	}
}

// cell returns a value for a person, and false where there is none.
func cell(c schema.Column, v schema.Value) (value string, holds bool) {
	switch {
	case c.Array:
		item := c
		item.Array, item.Nullable = false, false
		parts := make([]string, len(v.List))
		for i := range v.List {
			parts[i], _ = cell(item, v.List[i])
		}
		return "[" + strings.Join(parts, ", ") + "]", len(parts) > 0
	case c.Nullable && !v.Set:
		return "", false
	}
	switch c.Type {
	case schema.Bool:
		return strconv.FormatBool(v.Int != 0), true
	case schema.Int64:
		return strconv.FormatInt(v.Int, 10), true
	case schema.Time:
		return time.UnixMilli(v.Int).UTC().Format("2006-01-02 15:04:05.000 UTC"), true
	case schema.Date:
		return time.Unix(v.Int*24*60*60, 0).UTC().Format(time.DateOnly), true
	default:
		return visible(v.Text), v.Text != ""
	}
}
