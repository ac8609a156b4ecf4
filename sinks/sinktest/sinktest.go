// Package sinktest is one behavior suite that every kind of sink passes,
// against its real destination. A new kind of sink calls [Run] from its tests.
package sinktest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// A Harness makes destinations for one kind of sink.
type Harness struct {
	// New returns a destination that holds the tables of [Tables], all empty.
	New func(t *testing.T) Destination
	// Refused returns a row that the destination refuses although it can be
	// decoded. It is nil for a destination that takes every row.
	Refused func() (*schema.Table, schema.Row)
	// NoNUL says that the destination's texts cannot hold the character U+0000, so
	// that the suite stores none. What becomes of it is for the kind's own tests.
	NoNUL bool
	// AtLeastOnce is for a destination that cannot tell a repeated batch, so that
	// it may store one more than once. Everything else is asked of it, too.
	AtLeastOnce bool
}

// expect compares the number of a table's rows with what was written: more are
// right only where batches were repeated and the destination cannot tell.
func (h Harness) expect(t *testing.T, d Destination, table *schema.Table, want int, after string) {
	t.Helper()
	if n := d.Count(t, table); n < want || n > want && !h.AtLeastOnce {
		t.Errorf("%s holds %d rows after %s, want %d", table.Name, n, after, want)
	}
}

// A Destination is what a sink writes to, in the hands of the test.
type Destination interface {
	// Open returns a sink. Each call stands for another start of one program, so
	// that all sinks of a destination have the same name.
	Open(t *testing.T) sinks.Sink
	// Rows returns what a table holds, in any order.
	Rows(t *testing.T, table *schema.Table) []schema.Row
	// Count returns the number of a table's rows.
	Count(t *testing.T, table *schema.Table) int
	// Break refuses and cuts connections, Stall takes them and answers nothing,
	// until Restore.
	Break(t *testing.T)
	Stall(t *testing.T)
	Restore(t *testing.T)
}

// patience bounds what should happen at once, on the slowest machine.
const patience = 30 * time.Second

// secret is in every text that the suite stores: an error that holds it has
// quoted a value.
const secret = "secret-value"

// Run runs the suite.
func Run(t *testing.T, h Harness) {
	tests := []struct {
		name string
		test func(t *testing.T, h Harness)
	}{
		{"stores every value of every type", storesValues},
		{"stores a batch written again once", storesOnce},
		{"stores another range, partition or topic of the same rows", storesOtherRanges},
		{"stores one row and many", storesAnySize},
		{"names the record that cannot be decoded and stores none", refusesUndecodable},
		{"calls a row that the destination refuses permanent", refusesRow},
		{"fails while the destination is away and goes on afterwards", survivesOutage},
		{"returns when its context ends", obeysContext},
		{"writes concurrently", writesConcurrently},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) { test.test(t, h) })
	}
}

// Tables are those that the suite writes to: what the built-in contracts fill,
// and the connector's own two.
func Tables(t testing.TB) []*schema.Table {
	t.Helper()
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	tables := []*schema.Table{schema.RawWebhooks(), schema.DeadLetters()}
	for _, c := range contracts {
		tables = append(tables, c.FactTable())
	}
	return tables
}

func storesValues(t *testing.T, h Harness) {
	d := h.New(t)
	sink := open(t, d)
	for _, table := range Tables(t) {
		rows := Extremes(table)
		if h.NoNUL {
			dropNUL(table, rows)
		}
		write(t, sink, NewBatch(table, 0, rows...))
		if diff := cmp.Diff(readable(table, rows), readable(table, d.Rows(t, table))); diff != "" {
			t.Errorf("%s holds other rows than were written (-written +held):\n%s", table.Name, diff)
		}
	}
}

func storesOnce(t *testing.T, h Harness) {
	d := h.New(t)
	sink := open(t, d)
	for _, table := range Tables(t) {
		batch := NewBatch(table, 7, rows(table, 100)...)
		write(t, sink, batch)
		write(t, sink, batch)
		write(t, open(t, d), batch)
		h.expect(t, d, table, 100, "a batch of 100 was written three times")
	}
}

func storesOtherRanges(t *testing.T, h Harness) {
	d := h.New(t)
	sink := open(t, d)
	table := schema.RawWebhooks() // The others may collapse equal rows.
	same := rows(table, 10)
	batch := NewBatch(table, 0, same...)
	following := NewBatch(table, 10, same...)
	part := NewBatch(table, 20, same...).Slice(0, 5) // As of a batch that was refused as a whole.
	partition, topic := *batch, *batch
	partition.Partition++
	topic.Topic = "another." + topic.Topic
	for i, b := range []*sinks.Batch{batch, following, &partition, &topic, part} {
		before := d.Count(t, table)
		write(t, sink, b)
		if n := d.Count(t, table) - before; n != len(b.Records) {
			t.Errorf("batch %d of %d rows stored %d", i, len(b.Records), n)
		}
	}
}

func storesAnySize(t *testing.T, h Harness) {
	d := h.New(t)
	sink := open(t, d)
	table := schema.RawWebhooks()
	total := 0
	for _, n := range []int{1, 100_000, 2} {
		write(t, sink, NewBatch(table, int64(total), rowsFrom(table, total, n)...))
		total += n
		if got := d.Count(t, table); got != total {
			t.Fatalf("%s holds %d rows after a batch of %d, want %d", table.Name, got, n, total)
		}
	}
}

func refusesUndecodable(t *testing.T, h Harness) {
	d := h.New(t)
	sink := open(t, d)
	for _, table := range Tables(t) {
		batch := NewBatch(table, 0, rows(table, 5)...)
		good := batch.Records[3].Value
		for name, value := range map[string][]byte{
			"nothing":         nil,
			"not JSON":        []byte(secret),
			"a list":          []byte(`["` + secret + `"]`),
			"cut off":         good[:len(good)-1],
			"without event":   bytes.Replace(good, []byte(`"event_id"`), []byte(`"event"`), 1),
			"not a UUID":      bytes.Replace(good, []byte(`"event_id":"`), []byte(`"event_id":"`+secret), 1),
			"not a time":      bytes.Replace(good, []byte(`"received_at":"`), []byte(`"received_at":"`+secret), 1),
			"null for a text": bytes.Replace(good, []byte(`"shop_id":"`+secret), []byte(`"shop_id":null,"x":"`), 1),
		} {
			batch.Records[3].Value = value
			err := sink.Write(t.Context(), batch)
			permanent, ok := sinks.IsPermanent(err)
			if !ok || permanent.Index != 3 || permanent.Reason != sinks.Undecodable {
				t.Errorf("%s, record 3 is %s: Write returns %v, want a permanent error of index 3 for the reason %s", table.Name, name, err, sinks.Undecodable)
			}
			quotesNothing(t, err)
		}
		batch.Records[3].Value = good
		if n := d.Count(t, table); n != 0 {
			t.Errorf("%s holds %d rows of a batch that could not be decoded", table.Name, n)
		}
		write(t, sink, batch)
		if n := d.Count(t, table); n != 5 {
			t.Errorf("%s holds %d rows after the batch of 5 was mended", table.Name, n)
		}
	}
}

func refusesRow(t *testing.T, h Harness) {
	if h.Refused == nil {
		return
	}
	d := h.New(t)
	sink := open(t, d)
	table, refused := h.Refused()
	all := append(rows(table, 3), refused)
	batch := NewBatch(table, 0, all...)
	err := sink.Write(t.Context(), batch)
	if permanent, ok := sinks.IsPermanent(err); !ok || permanent.Reason != sinks.RowRefused {
		t.Fatalf("Write returns %v, want a permanent error for the reason %s", err, sinks.RowRefused)
	}
	quotesNothing(t, err)
	if n := d.Count(t, table); n != 0 {
		t.Errorf("%d rows of the refused batch are stored", n)
	}
	write(t, sink, batch.Slice(0, 3))
	if n := d.Count(t, table); n != 3 {
		t.Errorf("%d rows are stored, want the 3 beside the refused one", n)
	}
}

func survivesOutage(t *testing.T, h Harness) {
	d := h.New(t)
	sink := open(t, d)
	table := schema.RawWebhooks()
	write(t, sink, NewBatch(table, 0, rows(table, 10)...))

	d.Break(t)
	batch := NewBatch(table, 10, rows(table, 10)...)
	err := sink.Write(t.Context(), batch)
	if _, permanent := sinks.IsPermanent(err); err == nil || permanent {
		t.Errorf("without a destination Write returns %v, want an error that is not permanent", err)
	}
	quotesNothing(t, err)
	if err := sink.Ping(t.Context()); err == nil {
		t.Error("without a destination Ping returns nil")
	}
	d.Restore(t)
	// What is left of the old connections may fail once more.
	eventually(t, func() error { return sink.Write(t.Context(), batch) })
	eventually(t, func() error { return sink.Ping(t.Context()) })
	h.expect(t, d, table, 20, "an outage in the second of two batches of 10")
}

func obeysContext(t *testing.T, h Harness) {
	d := h.New(t)
	sink := open(t, d)
	table := schema.RawWebhooks()
	batch := NewBatch(table, 0, rows(table, 10)...)

	over, cancel := context.WithCancel(t.Context())
	cancel()
	expectAbandoned(t, sink.Write(over, batch))

	for _, connected := range []bool{true, false} {
		t.Run(fmt.Sprintf("connected %v", connected), func(t *testing.T) {
			sink := open(t, d)
			if connected {
				write(t, sink, batch)
			}
			d.Stall(t)
			defer d.Restore(t)
			ctx, cancel := context.WithCancel(t.Context())
			later := time.AfterFunc(50*time.Millisecond, cancel) // Write is stuck by then, or will be.
			defer later.Stop()
			written := make(chan error, 1)
			go func() { written <- sink.Write(ctx, NewBatch(table, 10, rows(table, 10)...)) }()
			select {
			case err := <-written:
				expectAbandoned(t, err)
			case <-time.After(patience):
				t.Fatal("Write goes on after its context has ended")
			}
			asking, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			begin := time.Now()
			_ = sink.Ping(asking) // Some destinations cannot be told from those that answer.
			if took := time.Since(begin); took > 3*time.Second {
				t.Errorf("Ping goes on for %s after its context has ended", took)
			}
		})
	}
}

func expectAbandoned(t *testing.T, err error) {
	t.Helper()
	if _, permanent := sinks.IsPermanent(err); err == nil || permanent {
		t.Errorf("with a context that has ended Write returns %v, want an error that is not permanent", err)
	}
}

func writesConcurrently(t *testing.T, h Harness) {
	d := h.New(t)
	sink := open(t, d)
	const writers, batches, size = 8, 5, 20
	tables := Tables(t)[:3]
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for b := range batches {
				table := tables[(w+b)%len(tables)]
				batch := NewBatch(table, int64(b*size), rowsFrom(table, (w*batches+b)*size, size)...)
				batch.Partition = w
				if err := sink.Write(t.Context(), batch); err != nil {
					t.Errorf("writer %d, batch %d: %v", w, b, err)
				}
			}
		})
	}
	wg.Wait()
	total := 0
	for _, table := range tables {
		total += d.Count(t, table)
	}
	if want := writers * batches * size; total != want {
		t.Errorf("%d rows are stored, want %d", total, want)
	}
}

// NewBatch returns a batch of partition 0 of the table's topic whose first
// offset is given.
func NewBatch(table *schema.Table, first int64, rows ...schema.Row) *sinks.Batch {
	b := &sinks.Batch{Topic: "loyalty." + table.Topic, Table: table}
	for i, row := range rows {
		b.Records = append(b.Records, sinks.Record{Offset: first + int64(i), Value: table.AppendRow(nil, row)})
	}
	return b
}

func open(t *testing.T, d Destination) sinks.Sink {
	t.Helper()
	sink := d.Open(t)
	t.Cleanup(func() {
		if err := sink.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return sink
}

func write(t *testing.T, sink sinks.Sink, b *sinks.Batch) {
	t.Helper()
	if err := sink.Write(t.Context(), b); err != nil {
		t.Fatalf("write %d rows of %s: %v", len(b.Records), b.Table.Name, err)
	}
}

func eventually(t *testing.T, try func() error) {
	t.Helper()
	for until := time.Now().Add(patience); ; {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func quotesNothing(t *testing.T, err error) {
	t.Helper()
	for e := err; e != nil; e = errors.Unwrap(e) {
		if strings.Contains(e.Error(), secret) {
			t.Errorf("an error quotes a value: %v", e)
		}
	}
}

// readable returns the rows as Kafka holds them, in their order.
func readable(table *schema.Table, rows []schema.Row) []string {
	texts := make([]string, len(rows))
	for i, row := range rows {
		texts[i] = string(table.AppendRow(nil, row))
	}
	slices.Sort(texts)
	return texts
}
