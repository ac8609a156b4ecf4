package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/connector/normalize"
	"loyaltyhouse/connector/replay"
	"loyaltyhouse/sinks/clickhouse"
)

const (
	// wrongClock is how far another clock may be away.
	wrongClock = 5 * time.Second
	// Dead letters and gaps are looked for so far back.
	recentLetters = 24 * time.Hour
	recentGaps    = 7 * 24 * time.Hour
)

// A server is a sink's destination that has a version and a clock.
type server interface {
	Server(ctx context.Context) (version string, clock time.Time, err error)
}

// A disked sink's destination tells of its disks.
type disked interface {
	Disks(ctx context.Context) ([]clickhouse.Disk, error)
}

// examineSink looks at a sink's destination, and in a warehouse at what it holds.
func (e *examination) examineSink(ctx context.Context, s examinedSink, now func() time.Time) []finding {
	all := s.check(ctx, e.cfg.MigrateOnStart)
	if kind, able := s.kind.(server); able {
		before := now()
		version, clock, err := kind.Server(ctx)
		if err != nil {
			return all // The check has told why.
		}
		all = append(all, finef("version of sink "+s.cfg.Name, "%s %s", s.cfg.Kind(), version), judgeClock("clock of sink "+s.cfg.Name, clock, before, now()))
	}
	if kind, able := s.kind.(disked); able {
		disks, err := kind.Disks(ctx)
		all = append(all, s.judgeDisks(disks, err)...)
	}
	if s.cfg.ClickHouse != nil {
		all = append(all, e.examineWarehouse(ctx, s, now())...)
	}
	return all
}

// judgeClock compares a clock that was read between two times of this machine.
func judgeClock(part string, clock, before, after time.Time) finding {
	var away time.Duration
	switch {
	case clock.Before(before):
		away = clock.Sub(before)
	case clock.After(after):
		away = clock.Sub(after)
	}
	switch {
	case away.Abs() <= wrongClock:
		return finef(part, "as this machine's, within %s", max(away.Abs(), after.Sub(before)).Round(time.Millisecond))
	case away > 0:
		return foundf(part, doubtful, "%s ahead of this machine's; set both by NTP", away.Round(time.Second))
	default:
		return foundf(part, doubtful, "%s behind this machine's; set both by NTP", away.Abs().Round(time.Second))
	}
}

// judgeDisks tells of the disks, which the sink's user may not have the right to
// look at: it can write without.
func (s *examinedSink) judgeDisks(disks []clickhouse.Disk, err error) (all []finding) {
	part := "disk of sink " + s.cfg.Name
	if errors.Is(err, proto.ErrAccessDenied) {
		return []finding{finef(part, "unknown, for the sink's user may not look at it; to see it: GRANT SELECT ON system.disks TO %s", s.cfg.ClickHouse.Username)}
	}
	if err != nil {
		return found(part, broken, err)
	}
	for _, d := range disks {
		all = append(all, judgeRoom(part, d.Name, d.Free, "make room, or drop old partitions; a full disk stops the delivery and not the receiver"))
	}
	return all
}

// examineWarehouse counts dead letters and gaps.
func (e *examination) examineWarehouse(ctx context.Context, s examinedSink, now time.Time) []finding {
	letters, gaps := "dead letters of sink "+s.cfg.Name, "gaps of sink "+s.cfg.Name
	conn, err := clickhouse.Connect(*s.cfg.ClickHouse)
	if err != nil {
		return found(letters, broken, err)
	}
	defer conn.Close() //nolint:errcheck // Nothing is in flight.
	var tables, views uint64
	if err := conn.QueryRow(ctx, "SELECT countIf(name IN ('dead_letters', 'raw_webhooks')), countIf(name = 'reconciliation_cached') FROM system.tables WHERE database = ?", s.cfg.ClickHouse.Database).Scan(&tables, &views); err != nil {
		return found(letters, broken, err)
	}
	var all []finding
	if tables == 2 {
		all = append(all, e.countLetters(ctx, s, conn, letters, now))
	} else {
		all = append(all, finef(letters, "none: there are no tables yet"))
	}
	if views == 0 {
		return append(all, finef(gaps, "none: there are no views yet"))
	}
	return append(all, countGaps(ctx, conn, s.cfg.ClickHouse.Database, gaps, now))
}

func (e *examination) countLetters(ctx context.Context, s examinedSink, conn driver.Conn, part string, now time.Time) finding {
	normalizer, err := normalize.New(e.contracts, e.cfg.Receiver.OnStoreMismatch == "dead_letter")
	if err != nil {
		return foundf(part, broken, "%w", err)
	}
	replayer, err := replay.Open(ctx, replay.Config{
		Database: s.cfg.ClickHouse.Database, Sink: s.cfg.Name, TopicPrefix: e.cfg.Kafka.TopicPrefix,
	}, conn, e.contracts, normalizer, nil, time.Now)
	var counts []replay.LetterCount
	if err == nil {
		counts, err = replayer.CountLetters(ctx, replay.Filter{Since: now.Add(-recentLetters), Resolved: true})
	}
	if err != nil {
		return foundf(part, broken, "%w", err)
	}
	var open, resolved int64
	var reasons []string
	for _, c := range counts {
		open, resolved = open+c.Open, resolved+c.Resolved
		if c.Open > 0 {
			reasons = append(reasons, fmt.Sprintf("%s %d", c.Reason, c.Open))
		}
	}
	if open == 0 {
		return finef(part, "none open of the last 24 hours, %d resolved", resolved)
	}
	return foundf(part, doubtful, "%d open of the last 24 hours: %s; connector deadletters list --sink %s --since -24h shows them, and docs/dead-letters.md how they become rows",
		open, strings.Join(reasons, ", "), s.cfg.Name)
}

// countGaps reads what the refreshed view has, for the view itself reads all of
// history.
func countGaps(ctx context.Context, conn driver.Conn, database, part string, now time.Time) finding {
	var gaps uint64
	var ledgers []string
	var refreshed time.Time
	err := conn.QueryRow(ctx, "SELECT sum(gaps), arraySort(groupUniqArrayIf(toString(ledger), gaps > 0)), max(refreshed_at) FROM `"+database+"`.reconciliation_cached WHERE day >= ?",
		now.Add(-recentGaps).UTC().Format(time.DateOnly)).Scan(&gaps, &ledgers, &refreshed)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return foundf(part, doubtful, "not counted in time; give it more with --timeout")
	case err != nil:
		return foundf(part, broken, "%w; see the server's log", err)
	case gaps == 0:
		return finef(part, "none of the last 7 days")
	default:
		return foundf(part, doubtful, "%d of the last 7 days, in %s, as of %s; see which events are missing in the views points_gaps, store_credit_gaps and gift_card_gaps, and whether raw_webhooks or SHOPLINE has them",
			gaps, strings.Join(ledgers, ", "), refreshed.UTC().Format(time.RFC3339))
	}
}
