// Package stdout is the sink that prints rows on the standard output, for
// looking at them. It delivers at least once: what is printed cannot be taken
// back, and so a batch that is written again is printed again.
package stdout

import (
	"context"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// A Sink prints rows.
type Sink struct {
	cfg Config
	out io.Writer
	// turn is taken by whoever prints. Printing cannot be interrupted, and may
	// outlast its Write.
	turn chan struct{}
	// cut tells that the last line was not printed to its end. Whoever has the turn
	// may use it.
	cut bool

	mu     sync.Mutex
	failed error // of the last batch
}

var _ sinks.Sink = (*Sink)(nil)

// closeWait is how long Close waits for a reader that has stopped reading.
const closeWait = time.Second

// Open returns a sink that prints on the standard output. When its reader is
// gone, as after "| head", the program ends like any other in a pipe.
func Open(_ string, cfg Config) (*Sink, error) { return New(cfg, os.Stdout), nil }

// New returns a sink that prints on out.
func New(cfg Config, out io.Writer) *Sink {
	return &Sink{cfg: cfg, out: out, turn: make(chan struct{}, 1)}
}

// Write prints the batch, or nothing where a record is no row. It returns when
// its context ends, though the reader may still get the rows.
func (s *Sink) Write(ctx context.Context, b *sinks.Batch) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("stdout: %w", err)
	}
	text, err := s.print(b)
	if err != nil {
		return err
	}
	select {
	case s.turn <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("stdout: nobody reads: %w", ctx.Err())
	}
	printed := make(chan error, 1)
	go func() {
		defer func() { <-s.turn }() // Close waits for it.
		printed <- s.put(text)
	}()
	select {
	case err := <-printed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("stdout: nobody reads: %w", ctx.Err())
	}
}

// Ping returns the error of the last batch.
func (s *Sink) Ping(context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed
}

// Close waits a moment for what is being printed.
func (s *Sink) Close() error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-time.After(closeWait):
		return fmt.Errorf("stdout: nobody reads, and a line may have been cut off")
	}
}

// put prints whole lines, also after one that was cut off.
func (s *Sink) put(text []byte) error {
	if s.cut {
		text = append([]byte{'\n'}, text...)
	}
	n, err := s.out.Write(text)
	if n > 0 {
		s.cut = text[n-1] != '\n'
	}
	if err != nil {
		err = fmt.Errorf("stdout: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failed = err
	return err
}

// print returns the batch as text. The rows are encoded anew, so that each is
// one line, with the table's columns and nothing else.
func (s *Sink) print(b *sinks.Batch) ([]byte, error) {
	decoder, row := schema.NewDecoder(b.Table), make(schema.Row, len(b.Table.Columns))
	var text []byte
	for i, r := range b.Records {
		if err := decoder.Decode(r.Value, row); err != nil {
			return nil, sinks.Permanent(sinks.Undecodable, i, err)
		}
		if s.cfg.Format == FormatText {
			text = appendText(text, b, r.Offset, row)
		} else {
			text = appendLine(text, b, r.Offset, row)
		}
	}
	return text, nil
}

// appendLine appends the row as one JSON object that says where it comes from.
func appendLine(dst []byte, b *sinks.Batch, offset int64, row schema.Row) []byte {
	dst = fmt.Appendf(dst, `{"table":%q,"topic":%q,"partition":%d,"offset":%d,"row":`, b.Table.Name, b.Topic, b.Partition, offset)
	dst = b.Table.AppendRow(dst, row)
	return append(dst, '}', '\n')
}

// appendText appends a line about the row, one for each column that tells
// something, and an empty one.
func appendText(dst []byte, b *sinks.Batch, offset int64, row schema.Row) []byte {
	dst = fmt.Appendf(dst, "%s  %s/%d offset %d\n", b.Table.Name, b.Topic, b.Partition, offset)
	width := 0
	for _, c := range b.Table.Columns {
		width = max(width, len(c.Name))
	}
	for i, c := range b.Table.Columns {
		value := text(c, row[i])
		if value == "" {
			continue
		}
		dst = fmt.Appendf(dst, "  %-*s  %s\n", width, c.Name, value)
	}
	return append(dst, '\n')
}

// text returns a value for a person, in one line. An empty text, an empty list
// and NULL are nothing.
func text(c schema.Column, v schema.Value) string {
	if c.Array {
		all := make([]string, len(v.List))
		c.Array, c.Nullable = false, false
		for i := range v.List {
			all[i] = text(c, v.List[i])
		}
		return strings.Join(all, ", ")
	}
	if c.Nullable && !v.Set {
		return ""
	}
	switch c.Type {
	case schema.Bool:
		return strconv.FormatBool(v.Int != 0)
	case schema.Int64:
		return strconv.FormatInt(v.Int, 10)
	case schema.Time:
		return time.UnixMilli(v.Int).UTC().Format("2006-01-02 15:04:05.000")
	case schema.Date:
		return time.Unix(v.Int*24*60*60, 0).UTC().Format(time.DateOnly)
	default:
		return printable(v.Text)
	}
}

// printable returns the text, quoted where it could do something to a terminal.
func printable(s string) string {
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if utf8.ValidString(s) && strings.IndexFunc(s, odd) < 0 {
		return s
	}
	return strconv.Quote(s)
}
