package dashboards

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// What one query may take. A dashboard asks with a dozen at once.
const (
	maxRows        = 20_000
	maxOptions     = 1_000
	maxAnnotations = 200
	maxResultBytes = 32 << 20
	maxMemoryBytes = 2 << 30
	maxQueryTime   = 20 * time.Second
	maxAnswerTime  = 25 * time.Second // of all queries of a panel, with the wait for their turn
	maxQueries     = 4                // at once
	maxWaiting     = 64
)

// A Warehouse runs queries. It is a driver.Conn.
type Warehouse interface {
	Query(ctx context.Context, query string, args ...any) (driver.Rows, error)
}

// A problem is an answer that tells a person what is wrong. It never has a
// value of a row.
type problem struct {
	status  int
	Reason  string `json:"error"`
	Message string `json:"message"`
}

func (p *problem) Error() string { return p.Reason + ": " + p.Message }

// A runner bounds the queries that are under way.
type runner struct {
	slots   chan struct{}
	waiting atomic.Int32
}

func newRunner() *runner { return &runner{slots: make(chan struct{}, maxQueries)} }

// run runs a query that can only read, within limits of time, memory and size.
func (r *runner) run(ctx context.Context, w Warehouse, sql string, most int) (*frame, error) {
	if err := r.acquire(ctx); err != nil {
		return nil, err
	}
	defer func() { <-r.slots }()
	ctx = clickhouse.Context(ctx, clickhouse.WithSettings(clickhouse.Settings{
		// The server takes the settings of one query together, so that this one does
		// not forbid the others. It forbids SETTINGS in the query itself.
		"readonly":             1,
		"max_execution_time":   int(maxQueryTime.Seconds()),
		"max_memory_usage":     maxMemoryBytes,
		"max_result_rows":      most + 1,
		"max_result_bytes":     maxResultBytes,
		"result_overflow_mode": "break",
	}))
	rows, err := w.Query(ctx, sql)
	if err != nil {
		return nil, describe(err)
	}
	f, err := readFrame(rows, most)
	// Of rows that were left unread, closing says that the query was ended.
	if closeErr := rows.Close(); err == nil && !f.Truncated {
		err = closeErr
	}
	if err != nil {
		return nil, describe(err)
	}
	return f, nil
}

func (r *runner) acquire(ctx context.Context) error {
	defer r.waiting.Add(-1)
	if r.waiting.Add(1) > maxWaiting {
		return busy()
	}
	select {
	case r.slots <- struct{}{}:
		return nil
	case <-ctx.Done():
		return busy()
	}
}

func busy() error {
	return &problem{http.StatusServiceUnavailable, "busy", "Too many panels are being read at once. Wait a moment, then refresh."}
}

// describe says what ClickHouse's error means for a person at a panel. Its text
// is left out, for it can quote a row.
func describe(err error) error {
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	switch {
	case !ok && errors.Is(err, context.DeadlineExceeded):
		return tooLong()
	case !ok && errors.Is(err, context.Canceled):
		return &problem{http.StatusServiceUnavailable, "canceled", "The query was ended before it was answered."}
	case !ok:
		return &problem{http.StatusServiceUnavailable, "unreachable", "ClickHouse does not answer. See the parts that are not ready at /readyz."}
	}
	code := proto.Error(exception.Code)
	switch code {
	case proto.ErrTimeoutExceeded, proto.ErrTooSlow:
		return tooLong()
	case proto.ErrMemoryLimitExceeded:
		return &problem{http.StatusUnprocessableEntity, "too_much_memory", fmt.Sprintf("The query needs more than %d GiB of memory. Choose a shorter time range.", maxMemoryBytes>>30)}
	case proto.ErrUnknownTable, proto.ErrUnknownDatabase, proto.ErrUnknownIdentifier, proto.ErrNoSuchColumnInTable:
		return &problem{http.StatusBadGateway, "unknown_table", "The warehouse lacks a table, view or column that this panel reads: " + code.Error() + ". Migrations create them when the connector starts, or with: connector migrate up"}
	case proto.ErrAccessDenied, proto.ErrAuthenticationFailed, proto.ErrWrongPassword, proto.ErrRequiredPassword:
		return &problem{http.StatusBadGateway, "not_allowed", "ClickHouse does not let the sink's user read this: " + code.Error()}
	}
	return &problem{http.StatusBadGateway, "query_failed", fmt.Sprintf("ClickHouse refused the query: %s (code %d).", code.Error(), exception.Code)}
}

func tooLong() error {
	return &problem{http.StatusUnprocessableEntity, "too_long", fmt.Sprintf("The query took longer than %s. Choose a shorter time range.", maxQueryTime)}
}
