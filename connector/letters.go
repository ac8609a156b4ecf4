package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"
	"unicode/utf8"

	"golang.org/x/term"

	"loyaltyhouse/connector/replay"
	"loyaltyhouse/schema"
)

// letterSummary is the line under a list.
func letterSummary(counts []replay.LetterCount, shown int64) string {
	var open, resolved int64
	var parts []string
	for _, c := range counts {
		open, resolved = open+c.Open, resolved+c.Resolved
		parts = append(parts, fmt.Sprintf("%s %d", visible(c.Reason), c.Open+c.Resolved))
	}
	if len(parts) == 0 {
		return "No dead letters.\n"
	}
	text := fmt.Sprintf("%d open", open)
	if resolved > 0 {
		text += fmt.Sprintf(", %d resolved", resolved)
	}
	text += ": " + strings.Join(parts, ", ")
	if more := open + resolved - shown; more > 0 {
		text += fmt.Sprintf(". %d more are not shown; raise --limit", more)
	}
	return text + ".\n"
}

func letterState(l *replay.Letter) string {
	if l.Stored {
		return "resolved"
	}
	return "open"
}

// letterJSON is a letter as one line of JSON, whose keys are those of the table,
// and id and state.
func letterJSON(l *replay.Letter, body bool) []byte {
	table, row := schema.DeadLetters(), l.Row
	if !body {
		i := table.Index("body")
		table.Columns, row = slices.Delete(table.Columns, i, i+1), slices.Delete(slices.Clone(row), i, i+1)
	}
	line := fmt.Appendf(nil, `{"id":%q,"state":%q,`, l.ID, letterState(l))
	line = append(line, table.AppendRow(nil, row)[1:]...)
	return append(escapeJSON(line), '\n')
}

func printRaw(out io.Writer, body []byte) error {
	if isTerminal(out) && visible(string(body)) != string(body) {
		return errors.New("the body has bytes that could do anything to a terminal; send the output into a file")
	}
	_, err := out.Write(body)
	return err
}

func isTerminal(out io.Writer) bool {
	f, ok := out.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

func printLetter(out io.Writer, l *replay.Letter, o *replay.Outcome) error {
	var text strings.Builder
	w := tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)
	line := func(name, value string) {
		if value != "" {
			_, _ = fmt.Fprintf(w, "%s\t%s\n", name, visible(value)) // Into memory.
		}
	}
	line("id", l.ID)
	line("state", letterState(l))
	for i, c := range schema.DeadLetters().Columns {
		switch v := l.Row[i]; {
		case c.Type == schema.Bytes:
		case c.Type == schema.Time:
			line(c.Name, time.UnixMilli(v.Int).UTC().Format(time.RFC3339Nano))
		case c.Type == schema.Int64 && v.Set:
			line(c.Name, fmt.Sprint(v.Int))
		default:
			line(c.Name, v.Text)
		}
	}
	if err := w.Flush(); err != nil {
		return err
	}
	body := l.Body()
	shown, form := readable(body)
	fmt.Fprintf(&text, "\nbody, %d bytes%s:\n%s\n", len(body), form, shown)
	switch {
	case o.Row != nil:
		row, _ := readable(o.Table.AppendRow(nil, o.Row))
		fmt.Fprintf(&text, "\nnow a row of %s:\n%s\n", o.Table.Name, row)
	default:
		fmt.Fprintf(&text, "\nnow still no row: %s: %s\n", visible(o.Reason), visible(o.Detail))
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// readable returns bytes for a person: JSON indented, text as it is, and
// everything else in base64.
func readable(body []byte) (text, form string) {
	var indented bytes.Buffer
	switch {
	case !utf8.Valid(body):
		return base64.StdEncoding.EncodeToString(body), ", not text, here in base64"
	case json.Indent(&indented, body, "", "  ") == nil:
		return string(escapeJSON(indented.Bytes())), ""
	default:
		return visibleLines(string(body)), ""
	}
}

func arrivalText(a replay.Arrival, delivering bool) string {
	text := fmt.Sprintf("stored %d", a.Stored)
	if a.Refused > 0 {
		text += fmt.Sprintf(", refused by the sink once more %d", a.Refused)
	}
	if a.OnTheirWay > 0 {
		text += fmt.Sprintf(", on their way %d: they are in Kafka, and run the same again to see them stored", a.OnTheirWay)
	}
	if !delivering {
		text = fmt.Sprintf("The service is not running. The %d rows are in Kafka, and are stored when it next runs.", a.OnTheirWay)
	}
	return text + "\n"
}
