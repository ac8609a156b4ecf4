//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
)

// A cost is what an answer took.
type cost struct {
	wall, cpu time.Duration
	memory    int64 // bytes, at most
	rows      uint64
	refused   string // why there is no answer
}

// A finding is a question and its cost.
type finding struct {
	question
	cost
}

// measure asks each question once to have its data in memory and then so many
// times, and prints the medians, the slowest first. It returns how many cost more
// than they may.
func (w *warehouse) measure(ctx context.Context, out io.Writer, questions []question, runs int) (tooDear int, err error) {
	var findings []finding
	fmt.Fprintf(os.Stderr, "asking %d questions\n", len(questions))
	for _, q := range questions {
		var costs []cost
		for range runs + 1 {
			c, err := w.ask(ctx, q.sql)
			if err != nil {
				return 0, fmt.Errorf("%s, %s: %w", q.of, q.name, err)
			}
			costs = append(costs, c)
			if c.refused != "" || c.wall > 10*maxWall {
				break // It will not become better.
			}
		}
		findings = append(findings, finding{q, median(costs)})
	}
	slices.SortStableFunc(findings, func(a, b finding) int { return cmp.Compare(b.wall, a.wall) })
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "of\tname\trange\tms\tCPU s\tMiB\trows read\tverdict") //nolint:errcheck // Flush tells.
	for _, f := range findings {
		verdict := f.verdict()
		if f.limited && verdict != "ok" {
			tooDear++
		}
		fmt.Fprintf(table, "%s\t%s\t%s\t%d\t%.2f\t%d\t%d\t%s\n", f.of, f.name, f.span, f.wall.Milliseconds(), f.cpu.Seconds(), f.memory>>20, f.rows, verdict) //nolint:errcheck // Flush tells.
	}
	return tooDear, table.Flush()
}

func (f *finding) verdict() string {
	over := "over"
	if !f.limited {
		over = "(over)"
	}
	switch {
	case f.refused != "":
		return over + ": " + f.refused
	case f.memory > maxMemory:
		return over + ": memory"
	case f.prompt && f.wall > maxWall:
		return over + ": time"
	}
	return "ok"
}

// median returns the median of each measure, the first time left out.
func median(costs []cost) cost {
	if len(costs) > 1 {
		costs = costs[1:]
	}
	m := costs[len(costs)-1]
	middle := func(of func(cost) int64) int64 {
		var values []int64
		for _, c := range costs {
			values = append(values, of(c))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	m.wall = time.Duration(middle(func(c cost) int64 { return int64(c.wall) }))
	m.cpu = time.Duration(middle(func(c cost) int64 { return int64(c.cpu) }))
	m.memory = middle(func(c cost) int64 { return c.memory })
	return m
}

// ask runs queries one after the other, within the limits that the dashboards
// have, and reads their answers.
func (w *warehouse) ask(ctx context.Context, sql []string) (total cost, err error) {
	for _, s := range sql {
		c, err := w.askOne(ctx, s)
		if err != nil {
			return total, err
		}
		total.wall += c.wall
		total.cpu += c.cpu
		total.memory = max(total.memory, c.memory)
		total.rows += c.rows
		total.refused = c.refused
	}
	return total, nil
}

func (w *warehouse) askOne(ctx context.Context, sql string) (c cost, err error) {
	ctx = clickhouse.Context(ctx,
		clickhouse.WithSettings(clickhouse.Settings{"readonly": 1, "max_threads": threads, "max_memory_usage": maxMemory}),
		clickhouse.WithProgress(func(p *clickhouse.Progress) { c.rows += p.Rows }),
		clickhouse.WithProfileEvents(func(events []clickhouse.ProfileEvent) {
			for _, e := range events {
				switch e.Name {
				case "OSCPUVirtualTimeMicroseconds":
					c.cpu += time.Duration(e.Value) * time.Microsecond
				case "MemoryTrackerPeakUsage":
					c.memory = max(c.memory, e.Value)
				}
			}
		}))
	begin := time.Now()
	rows, err := w.conn.Query(ctx, sql)
	if err == nil {
		for rows.Next() {
		}
		err = errors.Join(rows.Err(), rows.Close())
	}
	c.wall = time.Since(begin)
	if exception, ok := errors.AsType[*clickhouse.Exception](err); ok && proto.Error(exception.Code) == proto.ErrMemoryLimitExceeded {
		c.refused = "memory"
		return c, nil
	}
	return c, err
}
