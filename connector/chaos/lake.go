//go:build linux

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"loyaltyhouse/schema"
)

// A lake is a directory of Parquet files, which ClickHouse can read.
type lake struct{ directory string }

func (l lake) sink() string { return lakeSink }

// recordKey tells a record's row: what the row and the record have in common.
const recordKey = "concat(toString(event_id), ' ', webhook_id, ' ', toString(received_ms), ' ', toString(normalized_ms))"

// expected has a row for each record.
func (l lake) expected(t *schema.Table) string {
	return "SELECT " + recordKey + " AS key, event_id FROM " + scratch + ".records WHERE table = '" + t.Name + "'"
}

func (l lake) collect(ctx context.Context, w *warehouse, t *schema.Table) error {
	names, err := l.files(t.Name)
	if err != nil || len(names) == 0 {
		return err // ClickHouse takes a pattern that nothing matches for a mistake.
	}
	normalized := "0"
	if t.Index("normalized_at") >= 0 {
		normalized = "toUnixTimestamp64Milli(normalized_at)"
	}
	return w.conn.Exec(ctx, `INSERT INTO `+scratch+`.stored SELECT ?, ?, `+recordKey+`, event_id FROM (
		SELECT event_id, webhook_id, toUnixTimestamp64Milli(received_at) AS received_ms, toInt64(`+normalized+`) AS normalized_ms
		FROM file('`+filepath.Join(l.directory, t.Name, "**", "*.parquet")+`', 'Parquet'))`, l.sink(), t.Name)
}

// files returns the names of a table's files, each once: a batch has a file of one
// name in each of its directories. The empty table stands for all.
func (l lake) files(table string) (names []string, err error) {
	err = filepath.WalkDir(filepath.Join(l.directory, table), func(_ string, entry fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // No row of this table has come.
		}
		if err == nil && entry.Type().IsRegular() && strings.HasSuffix(entry.Name(), ".parquet") {
			names = append(names, entry.Name())
		}
		return err
	})
	slices.Sort(names)
	return slices.Compact(names), err
}

// fileName is how the files sink names the file of a batch: topic, partition,
// first and last offset, and the first record's time.
var fileName = regexp.MustCompile(`^(.+)-(\d+)-(\d{12})-(\d{12})-\d+\.parquet$`)

// A batchName is what the name of a batch's files says.
type batchName struct {
	topic       string
	partition   int
	first, last int64
}

func parseFileName(name string) (batchName, error) {
	parts := fileName.FindStringSubmatch(name)
	if parts == nil {
		return batchName{}, fmt.Errorf("%s is not how the files sink names a file", name)
	}
	partition, err := strconv.Atoi(parts[2])
	if err != nil {
		return batchName{}, fmt.Errorf("%s: %w", name, err)
	}
	b := batchName{topic: parts[1], partition: partition}
	for i, into := range []*int64{&b.first, &b.last} {
		if *into, err = strconv.ParseInt(parts[3+i], 10, 64); err != nil {
			return batchName{}, fmt.Errorf("%s: %w", name, err)
		}
	}
	return b, nil
}

// covered tells, from the names of files alone, how many of the records' offsets
// are in the range of no batch, and how many in those of several, or beyond the
// records' end.
func covered(names []string, spans []span) (gaps, overlaps int64, err error) {
	batches := make([]batchName, len(names))
	for i, name := range names {
		if batches[i], err = parseFileName(name); err != nil {
			return 0, 0, err
		}
	}
	slices.SortFunc(batches, func(a, b batchName) int { return cmp.Compare(a.first, b.first) })
	for _, s := range spans {
		next := s.begin // what is before it is covered
		for _, b := range batches {
			if b.topic != s.topic || b.partition != s.partition {
				continue
			}
			gaps += max(0, b.first-next)
			overlaps += max(0, min(next, b.last+1)-b.first) + max(0, b.last+1-max(s.end, b.first))
			next = max(next, b.last+1)
		}
		gaps += max(0, s.end-next)
	}
	return gaps, overlaps, nil
}
