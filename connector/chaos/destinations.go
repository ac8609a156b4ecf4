//go:build linux

package main

import (
	"context"

	"loyaltyhouse/schema"
)

// A destination is where a sink beside the warehouse's stores the same records.
type destination interface {
	// sink is the sink's name.
	sink() string
	// expected selects a key and the event of each row that there must be of a
	// table's records, from the scratch database. Rows that share a key are counted.
	expected(t *schema.Table) string
	// collect puts the key and the event of each row that there is of a table into
	// the scratch database's table stored.
	collect(ctx context.Context, w *warehouse, t *schema.Table) error
}

// A destinationComparison tells how a table differs at a destination from what
// is to be expected.
type destinationComparison struct {
	sink, table   string
	records, rows int64 // rows that there must be, and that there are
	lost, doubled int64 // of records without a row, and rows without a record
	missing       int64 // distinct events that were acknowledged and cannot be found
}

// compareDestination compares one table of one destination.
func (c *comparing) compareDestination(ctx context.Context, at destination, t *schema.Table) (destinationComparison, error) {
	r := destinationComparison{sink: at.sink(), table: t.Name}
	if err := at.collect(ctx, c.warehouse, t); err != nil {
		return r, err
	}
	if err := c.conn.Exec(ctx, `INSERT INTO `+scratch+`.delivered
		SELECT ?, ?, key, any(event_id), sum(record), sum(row)
		FROM (
			SELECT key, event_id, toInt64(1) AS record, toInt64(0) AS row FROM (`+at.expected(t)+`)
			UNION ALL
			SELECT key, event_id, 0, 1 FROM `+scratch+`.stored WHERE sink = ? AND table = ?
		) GROUP BY key`, r.sink, r.table, r.sink, r.table); err != nil {
		return r, err
	}
	of := scratch + ".delivered WHERE sink = '" + r.sink + "' AND table = '" + r.table + "'"
	for _, q := range []struct {
		into  *int64
		query string
	}{
		{&r.records, "SELECT sum(records) FROM " + of},
		{&r.rows, "SELECT sum(rows) FROM " + of},
		{&r.lost, "SELECT sum(greatest(records - rows, 0)) FROM " + of},
		{&r.doubled, "SELECT sum(greatest(rows - records, 0)) FROM " + of},
		{&r.missing, "SELECT toInt64(uniqExact(event_id)) FROM " + asked(t.Name) + " AND event_id NOT IN (SELECT event_id FROM " + of + " AND rows > 0)"},
	} {
		var err error
		if *q.into, err = c.number(ctx, q.query); err != nil {
			return r, err
		}
	}
	return r, nil
}
