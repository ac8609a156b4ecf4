package clickhouse_test

import (
	"strings"
	"testing"

	"github.com/ClickHouse/ch-go/proto"
	driver "github.com/ClickHouse/clickhouse-go/v2"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
	"loyaltyhouse/sinks/sinktest"
)

// sensitive is in every text of the rows that ClickHouse is made to refuse.
const sensitive = "secret-value"

func TestErrorsAreClassifiedByCode(t *testing.T) {
	for _, test := range []struct {
		name      string
		settings  []string // statements that make the write fail
		mend      []string // and that let it succeed
		code      proto.Error
		permanent bool
	}{
		{
			name:     "no table",
			settings: []string{"RENAME TABLE dead_letters TO away"},
			mend:     []string{"RENAME TABLE away TO dead_letters"},
			code:     proto.ErrUnknownTable,
		},
		{
			name:     "no database",
			settings: []string{"RENAME DATABASE {} TO {}_away"},
			mend:     []string{"RENAME DATABASE {}_away TO {}"},
			code:     proto.ErrUnknownDatabase,
		},
		{
			name:     "a column is missing",
			settings: []string{"ALTER TABLE dead_letters RENAME COLUMN detail TO details"},
			mend:     []string{"ALTER TABLE dead_letters RENAME COLUMN details TO detail"},
			code:     proto.ErrNoSuchColumnInTable,
		},
		{
			name:     "a table that is read-only",
			settings: []string{"ALTER TABLE dead_letters MODIFY SETTING table_readonly = 1"},
			mend:     []string{"ALTER TABLE dead_letters RESET SETTING table_readonly"},
			code:     774, // Newer than the list of codes in ch-go.
		},
		{
			name: "too many parts",
			settings: []string{
				"SYSTEM STOP MERGES {}.dead_letters",
				"ALTER TABLE dead_letters MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1",
				"INSERT INTO dead_letters (stage, received_at) VALUES ('x', '2026-02-28')", // The month of the test's rows.
				"ALTER TABLE dead_letters MODIFY SETTING max_delay_to_insert = 0",
			},
			mend: []string{"ALTER TABLE dead_letters RESET SETTING parts_to_throw_insert, parts_to_delay_insert"},
			code: proto.ErrTooManyParts,
		},
		{
			name:     "a constraint",
			settings: []string{"ALTER TABLE dead_letters ADD CONSTRAINT c CHECK detail = ''"},
			mend:     []string{"ALTER TABLE dead_letters DROP CONSTRAINT c"},
			code:     proto.ErrViolatedConstraint, permanent: true,
		},
		{
			name:     "a view that reads texts as numbers",
			settings: []string{"CREATE MATERIALIZED VIEW v ENGINE = Memory AS SELECT toInt64(detail) AS n FROM dead_letters"},
			mend:     []string{"DROP TABLE v SYNC"},
			code:     proto.ErrCannotParseText, // The rows are stored by then.
		},
		{
			name:     "a view that reads texts as addresses",
			settings: []string{"CREATE MATERIALIZED VIEW v ENGINE = Memory AS SELECT toIPv4(detail) AS ip FROM dead_letters"},
			mend:     []string{"DROP TABLE v SYNC"},
			code:     proto.ErrCannotParseIpv4, // The rows are stored by then.
		},
		{
			name:     "a view that divides by zero",
			settings: []string{"CREATE MATERIALIZED VIEW v ENGINE = Memory AS SELECT intDiv(1, toUInt8(length(detail) = 0)) AS n FROM dead_letters"},
			mend:     []string{"DROP TABLE v SYNC"},
			code:     proto.ErrIllegalDivision,
		},
		{
			name:     "a column of another type",
			settings: []string{"ALTER TABLE dead_letters MODIFY COLUMN webhook_id Enum8('' = 0, 'x' = 1)"},
			mend:     []string{"ALTER TABLE dead_letters MODIFY COLUMN webhook_id String"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := newWarehouse(t)
			sink, err := clickhouse.Open("test", cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sink.Close() }()
			table := schema.DeadLetters()
			batch := sinktest.NewBatch(table, 0, sinktest.Row(table, 1), sinktest.Row(table, 2))

			inDatabase(t, cfg.Database, test.settings...)
			err = sink.Write(t.Context(), batch)
			expectCode(t, err, test.code, test.permanent)
			inDatabase(t, cfg.Database, test.mend...)
			if err := sink.Write(t.Context(), batch); err != nil {
				t.Errorf("the same batch fails when the cause is mended: %v", err)
			}
		})
	}
}

// What the sink's own statement cannot provoke on this engine comes from others.
func TestErrorsOfTheServerAreTransient(t *testing.T) {
	cfg := newWarehouse(t)
	sink, err := clickhouse.Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	conn := connect(t)
	insert := "INSERT INTO " + cfg.Database + ".dead_letters (detail, received_at) SELECT "
	for _, test := range []struct {
		statement string
		code      proto.Error
	}{
		{"INSERT INT x", proto.ErrSyntaxError},
		{insert + "toString(number), now64(3) FROM numbers(10000000) SETTINGS max_memory_usage = 1000000", proto.ErrMemoryLimitExceeded},
		{insert + "toString(sleep(0.2)), now64(3) SETTINGS max_execution_time = 0.1", proto.ErrTimeoutExceeded},
		{insert + "'', now64(3) SETTINGS no_such_setting = 1", proto.ErrUnknownSetting},
	} {
		err := conn.Exec(t.Context(), test.statement)
		if err == nil {
			t.Errorf("%s: no error", test.statement)
			continue
		}
		expectCode(t, sink.Verdict(err), test.code, false)
	}
	readonly := driver.Context(t.Context(), driver.WithSettings(driver.Settings{"readonly": 1}))
	expectCode(t, sink.Verdict(conn.Exec(readonly, insert+"'', now64(3)")), proto.ErrReadonly, false)
}

func expectCode(t *testing.T, err error, code proto.Error, permanent bool) {
	t.Helper()
	switch is, ok := sinks.IsPermanent(err); {
	case err == nil:
		t.Fatal("Write returns no error")
	case ok != permanent:
		t.Errorf("permanent is %v, want %v: %v", ok, permanent, err)
	case ok && (is.Reason != sinks.RowRefused || is.Index != -1):
		t.Errorf("the reason is %s, the index %d; want %s and -1", is.Reason, is.Index, sinks.RowRefused)
	}
	if code != 0 && !strings.Contains(err.Error(), code.Error()) {
		t.Errorf("the error does not name %v: %v", code, err)
	}
	if strings.Contains(err.Error(), sensitive) {
		t.Errorf("the error quotes a row: %v", err)
	}
}

// inDatabase runs statements on a connection whose database is the given one;
// {} stands for its name.
func inDatabase(t *testing.T, database string, statements ...string) {
	t.Helper()
	for _, statement := range statements {
		options := &driver.Options{Addr: []string{engine.Addr()}}
		if !strings.HasPrefix(statement, "RENAME DATABASE") {
			options.Auth.Database = database
		}
		conn, err := driver.Open(options)
		if err != nil {
			t.Fatal(err)
		}
		execute(t, conn, strings.ReplaceAll(statement, "{}", database))
		_ = conn.Close()
	}
}
