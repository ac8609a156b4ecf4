package clickhouse_test

import (
	"fmt"
	"log/slog"
	"maps"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ClickHouse/ch-go/proto"
	driver "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/prometheus/client_golang/prometheus"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
	"loyaltyhouse/sinks/sinktest"
)

// A station is a database, a sink that writes to it, and a batch for it.
type station struct {
	cfg   clickhouse.Config
	conn  driver.Conn // to the engine itself
	table *schema.Table
	sink  *clickhouse.Sink
	batch *sinks.Batch
}

// newStation returns a station whose table stores every row that it is given.
func newStation(t *testing.T, table *schema.Table, rows int, change ...func(*clickhouse.Config)) *station {
	t.Helper()
	s := &station{cfg: newWarehouse(t), conn: connect(t), table: table, batch: numberedBatch(table, 0, rows)}
	s.reopen(t, change...)
	return s
}

// reopen gives the station a sink of a changed configuration.
func (s *station) reopen(t *testing.T, change ...func(*clickhouse.Config)) {
	t.Helper()
	for _, change := range change {
		change(&s.cfg)
	}
	sink, err := clickhouse.Open("test", s.cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = sink.Close() })
	s.sink = sink
}

// through makes the sink reach the engine over the link.
func through(l *link) func(*clickhouse.Config) {
	return func(cfg *clickhouse.Config) { cfg.Addresses = strictyaml.List{l.Listen} }
}

// numberedBatch returns a batch whose rows are told apart by their event ids.
func numberedBatch(table *schema.Table, first, rows int) *sinks.Batch {
	all := make([]schema.Row, rows)
	for i := range all {
		all[i] = sinktest.Row(table, first+i)
	}
	return sinktest.NewBatch(table, int64(first), all...)
}

// expectStored wants so many rows, each of them once.
func (s *station) expectStored(t *testing.T, rows int) {
	t.Helper()
	if got, want := s.stored(t), fmt.Sprintf("%d rows of %d events", rows, rows); got != want {
		t.Errorf("stored are %s, want %s", got, want)
	}
}

func (s *station) stored(t *testing.T) string {
	t.Helper()
	return text(t, s.conn, "count()||' rows of '||uniqExact(event_id)||' events'", "FROM "+s.cfg.Database+"."+s.table.Name)
}

// expectTransient wants an error that is tried again, and that quotes no row.
func expectTransient(t *testing.T, err error) {
	t.Helper()
	if _, permanent := sinks.IsPermanent(err); err == nil || permanent {
		t.Fatalf("Write returns %v, want an error that is not permanent", err)
	}
	if strings.Contains(err.Error(), sensitive) {
		t.Errorf("the error quotes a row: %v", err)
	}
}

// writeUntilStored writes the batch until it succeeds: what is left of
// connections that were cut may fail once more.
func (s *station) writeUntilStored(t *testing.T) {
	t.Helper()
	const patience = time.Minute
	for until := time.Now().Add(patience); ; {
		err := s.sink.Write(t.Context(), s.batch)
		if err == nil {
			return
		}
		expectTransient(t, err)
		if time.Now().After(until) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// Wherever in the conversation the connection is cut, the batch is stored once
// when it is repeated, and whole or not at all before.
func TestConnectionCutAnywhere(t *testing.T) {
	const rows = 2000
	whole := newLink(t)
	s := newStation(t, schema.RawWebhooks(), rows, through(whole))
	s.writeUntilStored(t)
	bytes := whole.up.passed.Load()
	if bytes < 100*rows {
		t.Fatalf("the insert took %d bytes", bytes)
	}
	// In the greeting, in the query, throughout the block and at its end.
	cuts := []int64{1, 100, 600, bytes / 10, bytes / 2, bytes - 1000, bytes - 100, bytes - 20, bytes - 10, bytes - 2, bytes - 1}
	for i, cut := range cuts {
		t.Run(fmt.Sprintf("after %d of %d bytes", cut, bytes), func(t *testing.T) {
			l := newLink(t)
			l.poison(t, fmt.Sprintf(`{"name": "cut", "type": "limit_data", "stream": "upstream", "attributes": {"bytes": %d}}`, cut))
			s.reopen(t, through(l))
			before := (i + 1) * rows
			s.batch = numberedBatch(s.table, before, rows)
			if err := s.sink.Write(t.Context(), s.batch); err == nil && cut > bytes/2 {
				s.expectStored(t, before+rows) // Two connections shared the bytes.
			} else {
				expectTransient(t, err)
				if got := s.stored(t); !strings.HasPrefix(got, fmt.Sprint(before, " ")) && !strings.HasPrefix(got, fmt.Sprint(before+rows, " ")) {
					t.Errorf("stored are %s beside %d others, want all or none", got, before)
				}
			}
			l.heal(t, "cut")
			s.writeUntilStored(t)
			s.expectStored(t, before+rows)
		})
	}
}

func TestConnectionCutBetweenInserts(t *testing.T) {
	l := newLink(t)
	s := newStation(t, schema.RawWebhooks(), 10, through(l))
	s.writeUntilStored(t)

	l.Stop()
	s.batch = numberedBatch(s.table, 10, 10)
	expectTransient(t, s.sink.Write(t.Context(), s.batch))
	s.expectStored(t, 10)
	l.connect(t)
	s.writeUntilStored(t)
	s.expectStored(t, 20)

	l.Stop() // The connection that is idle now is found out to be closed.
	l.connect(t)
	s.batch = numberedBatch(s.table, 20, 10)
	s.writeUntilStored(t)
	s.expectStored(t, 30)
}

// Something on the way that resets connections instead of closing them. The
// engine has no part in it: its embedded form does not survive resets.
func TestConnectionReset(t *testing.T) {
	nobody, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = nobody.Close() }()
	l := newLink(t)
	s := newStation(t, schema.RawWebhooks(), 10, through(l))
	l.lead(t, nobody.Addr().String())
	l.poison(t, `{"name": "reset", "type": "reset_peer", "stream": "upstream"}`)
	expectTransient(t, s.sink.Write(t.Context(), s.batch))
	if err := s.sink.Ping(t.Context()); err == nil {
		t.Error("Ping returns nil")
	}
	l.heal(t, "reset")
	l.lead(t, engine.Addr())
	s.writeUntilStored(t)
	s.expectStored(t, 10)
}

// The insert lands, and nobody hears of it: the repetition stores nothing.
func TestAnswerLostAfterTheInsertLanded(t *testing.T) {
	for name, lose := range map[string]func(t *testing.T, s *station, l *link) error{
		"the connection is cut": func(t *testing.T, s *station, l *link) error {
			written := make(chan error, 1)
			go func() { written <- s.sink.Write(t.Context(), s.batch) }()
			s.awaitStored(t)
			l.Stop()
			err := <-written
			l.connect(t)
			return err
		},
		"the time is over": func(t *testing.T, s *station, _ *link) error {
			err := s.sink.Write(t.Context(), s.batch)
			s.awaitStored(t)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(t)
			s := newStation(t, schema.RawWebhooks(), 1000, through(l), func(cfg *clickhouse.Config) { cfg.WriteTimeout = 2 * time.Second })
			// An empty insert brings the connection up and tells how much comes before the
			// block. Nothing is heard any more once the block is on its way.
			first := numberedBatch(s.table, 1000, 1)
			if err := s.sink.Write(t.Context(), first); err != nil {
				t.Fatal(err)
			}
			l.up.shutAfter(l.up.passed.Load()+20_000, l.down)
			expectTransient(t, lose(t, s, l))
			l.up.shutAfter(0, nil)
			l.down.shut.Store(false)
			s.writeUntilStored(t)
			s.expectStored(t, 1001)
		})
	}
}

// awaitStored waits until the batch is stored beside one other row.
func (s *station) awaitStored(t *testing.T) {
	t.Helper()
	want := fmt.Sprint(len(s.batch.Records)+1, " rows")
	for until := time.Now().Add(time.Minute); !strings.HasPrefix(s.stored(t), want); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("stored are %s, want %s", s.stored(t), want)
		}
	}
}

func TestSlowConnection(t *testing.T) {
	l := newLink(t)
	s := newStation(t, schema.RawWebhooks(), 1000, through(l))
	l.poison(t, `{"name": "far", "type": "latency", "stream": "downstream", "attributes": {"latency": 100}}`)
	l.poison(t, `{"name": "narrow", "type": "bandwidth", "stream": "upstream", "attributes": {"rate": 500}}`)
	if err := s.sink.Write(t.Context(), s.batch); err != nil {
		t.Fatalf("a slow connection is no fault: %v", err)
	}
	s.expectStored(t, 1000)
}

// What takes longer than write_timeout is given up, and stored once when it is
// repeated.
func TestConnectionTooSlow(t *testing.T) {
	t.Parallel()
	for name, toxic := range map[string]string{
		"to send":   `{"name": "slow", "type": "bandwidth", "stream": "upstream", "attributes": {"rate": 20}}`,
		"to answer": `{"name": "slow", "type": "latency", "stream": "downstream", "attributes": {"latency": 60000}}`,
	} {
		t.Run(name, func(t *testing.T) {
			l := newLink(t)
			s := newStation(t, schema.RawWebhooks(), 2000, through(l), func(cfg *clickhouse.Config) { cfg.WriteTimeout = 2 * time.Second })
			s.batch = numberedBatch(s.table, 2000, 1)
			s.writeUntilStored(t) // So that the connection is there.
			s.batch = numberedBatch(s.table, 0, 2000)
			l.poison(t, toxic)
			expectTransient(t, s.sink.Write(t.Context(), s.batch))
			l.replace(t)
			s.writeUntilStored(t)
			s.expectStored(t, 2001)
		})
	}
}

// What the server can refuse for reasons of its own is tried again, and stored
// once when it is mended. The message says what was wrong.
func TestServerErrorsAreMended(t *testing.T) {
	for _, test := range []struct {
		name       string
		harm, mend []string
		code       proto.Error
		says       string
	}{
		{
			name: "the table is read-only",
			harm: []string{"ALTER TABLE dead_letters MODIFY SETTING table_readonly = 1"},
			mend: []string{"ALTER TABLE dead_letters RESET SETTING table_readonly"},
			code: 774, // Newer than the list of codes in ch-go.
			says: "see the server's log",
		},
		{
			name: "too many parts",
			harm: []string{
				"SYSTEM STOP MERGES {}.dead_letters",
				"ALTER TABLE dead_letters MODIFY SETTING parts_to_throw_insert = 1, parts_to_delay_insert = 1, max_delay_to_insert = 0",
				"INSERT INTO dead_letters (stage, event_id, received_at) VALUES ('x', generateUUIDv4(), '2026-02-28')", // The month of the test's rows.
			},
			mend: []string{
				"ALTER TABLE dead_letters RESET SETTING parts_to_throw_insert, parts_to_delay_insert, max_delay_to_insert",
				"SYSTEM START MERGES {}.dead_letters",
				"ALTER TABLE dead_letters DELETE WHERE stage = 'x' SETTINGS mutations_sync = 1",
			},
			code: proto.ErrTooManyParts,
			says: "Merges are processing significantly slower than inserts",
		},
		{
			name: "no space is left on the disk",
			harm: []string{"ALTER TABLE dead_letters MODIFY SETTING min_free_disk_bytes_to_perform_insert = 1000000000000000"},
			mend: []string{"ALTER TABLE dead_letters RESET SETTING min_free_disk_bytes_to_perform_insert"},
			code: proto.ErrNotEnoughSpace,
			says: "free",
		},
		{
			name: "a view takes too much memory",
			// 200 times 16 MiB for each row, at once: more than a machine has, and so never taken.
			harm: []string{"CREATE MATERIALIZED VIEW v ENGINE = Memory AS SELECT cityHash64(toFixedString(concat(shop_id, toString(i)), 16777215)) AS n FROM dead_letters ARRAY JOIN range(200) AS i"},
			mend: []string{"DROP TABLE v SYNC"},
			code: proto.ErrMemoryLimitExceeded,
			says: "memory limit exceeded",
		},
		{
			name: "a column is missing",
			harm: []string{"ALTER TABLE dead_letters DROP COLUMN detail"},
			mend: []string{"ALTER TABLE dead_letters ADD COLUMN detail String"},
			code: proto.ErrNoSuchColumnInTable,
			says: "detail",
		},
		{
			name: "the table was dropped and is made anew",
			harm: []string{"CREATE TABLE model AS dead_letters", "DROP TABLE dead_letters SYNC"},
			mend: []string{"CREATE TABLE dead_letters AS model"},
			code: proto.ErrUnknownTable,
			says: "dead_letters",
		},
		{
			name: "a view's table was dropped",
			harm: []string{
				"CREATE TABLE target (n UInt64) ENGINE = Memory",
				"CREATE MATERIALIZED VIEW v TO target AS SELECT length(detail) AS n FROM dead_letters",
				"DROP TABLE target SYNC",
			},
			mend: []string{"DROP TABLE v SYNC"},
			code: proto.ErrUnknownTable,
			says: "target",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			const rows = 100
			s := newStation(t, schema.DeadLetters(), rows)
			inDatabase(t, s.cfg.Database, test.harm...)
			for range 2 {
				err := s.sink.Write(t.Context(), s.batch)
				expectTransient(t, err)
				expectCode(t, err, test.code, false)
				if !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), engine.Addr()) {
					t.Errorf("the error does not say where it happened, or %q: %v", test.says, err)
				}
			}
			inDatabase(t, s.cfg.Database, test.mend...)
			for range 2 {
				if err := s.sink.Write(t.Context(), s.batch); err != nil {
					t.Fatal(err)
				}
			}
			s.expectStored(t, rows)
		})
	}
}

// A name that breaks the statement is no fault of the rows.
func TestStatementThatCannotBeRead(t *testing.T) {
	s := newStation(t, schema.DeadLetters(), 1)
	odd := *s.table
	odd.Name = "dead`letters"
	s.batch.Table = &odd
	err := s.sink.Write(t.Context(), s.batch)
	expectTransient(t, err)
	expectCode(t, err, proto.ErrSyntaxError, false)
}

// A constraint is asked before anything is stored.
func TestConstraintStoresNothing(t *testing.T) {
	s := newStation(t, schema.DeadLetters(), 10)
	inDatabase(t, s.cfg.Database, "ALTER TABLE dead_letters ADD CONSTRAINT c CHECK event_id != '"+eventIDOf(s.batch, 7)+"'")
	expectCode(t, s.sink.Write(t.Context(), s.batch), proto.ErrViolatedConstraint, true)
	s.expectStored(t, 0)
	for i := range s.batch.Records {
		err := s.sink.Write(t.Context(), s.batch.Slice(i, i+1))
		if _, permanent := sinks.IsPermanent(err); permanent != (i == 7) {
			t.Errorf("row %d: %v", i, err)
		}
	}
	s.expectStored(t, 9)
}

func eventIDOf(b *sinks.Batch, i int) string {
	row := make(schema.Row, len(b.Table.Columns))
	if err := schema.NewDecoder(b.Table).Decode(b.Records[i].Value, row); err != nil {
		panic(err)
	}
	return row[b.Table.Index("event_id")].Text
}

// ClickHouse calls a view when the table's rows are stored already. So it is the
// view's fault and not the row's: the batch is tried again, which stores nothing
// in the table and fills the view when it is mended.
func TestViewThatThrows(t *testing.T) {
	const rows, poison = 10, 7
	s := newStation(t, schema.DeadLetters(), rows)
	inDatabase(t, s.cfg.Database,
		"CREATE TABLE target (event_id UUID, n Int64) ENGINE = MergeTree ORDER BY event_id SETTINGS non_replicated_deduplication_window = 1000",
		"CREATE MATERIALIZED VIEW v TO target AS SELECT event_id, toInt64(if(event_id = '"+eventIDOf(s.batch, poison)+"', 'x', '1')) AS n FROM dead_letters")
	for range 2 {
		err := s.sink.Write(t.Context(), s.batch)
		expectTransient(t, err)
		expectCode(t, err, proto.ErrCannotParseText, false)
		if !strings.Contains(err.Error(), "mend the view or drop it") {
			t.Errorf("the error does not say what to do: %v", err)
		}
		s.expectStored(t, rows)
		s.expectInTarget(t, 0)
	}
	inDatabase(t, s.cfg.Database,
		"DROP TABLE v SYNC",
		"CREATE MATERIALIZED VIEW v TO target AS SELECT event_id, 1 AS n FROM dead_letters")
	for range 2 {
		if err := s.sink.Write(t.Context(), s.batch); err != nil {
			t.Fatal(err)
		}
		s.expectStored(t, rows)
		s.expectInTarget(t, rows)
	}
}

// expectInTarget wants so many rows in the table of a view.
func (s *station) expectInTarget(t *testing.T, rows int) {
	t.Helper()
	if got := text(t, s.conn, "count()", "FROM "+s.cfg.Database+".target"); got != fmt.Sprint(rows) {
		t.Errorf("the view's table has %s rows, want %d", got, rows)
	}
}

// What an administrator may have set for views changes nothing of that, but for
// materialized_views_ignore_errors, which leaves the view without the batch.
func TestViewThatThrowsUnderSettings(t *testing.T) {
	const rows = 10
	for _, test := range []struct {
		settings driver.Settings
		fails    bool
	}{
		{driver.Settings{}, true},
		{driver.Settings{"parallel_view_processing": 1}, true},
		{driver.Settings{"deduplicate_blocks_in_dependent_materialized_views": 0}, true},
		{driver.Settings{"deduplicate_blocks_in_dependent_materialized_views": 1}, true},
		{driver.Settings{"materialized_views_ignore_errors": 1}, false},
	} {
		t.Run(fmt.Sprint(test.settings), func(t *testing.T) {
			s := newStation(t, schema.DeadLetters(), rows)
			inDatabase(t, s.cfg.Database,
				"CREATE TABLE target (detail String) ENGINE = MergeTree ORDER BY detail SETTINGS non_replicated_deduplication_window = 1000",
				"CREATE MATERIALIZED VIEW v TO target AS SELECT toString(toInt64(detail)) AS detail FROM dead_letters")
			insert := func() error {
				settings := driver.Settings{"async_insert": 0, "insert_deduplication_token": "token"}
				maps.Copy(settings, test.settings)
				ctx := driver.Context(t.Context(), driver.WithSettings(settings))
				insert, err := s.conn.PrepareBatch(ctx, "INSERT INTO "+s.cfg.Database+".dead_letters (event_id, detail, received_at)")
				if err != nil {
					return err
				}
				for i := range rows {
					if err := insert.Append(eventIDOf(s.batch, i), "no number", time.Unix(1_700_000_000, 0)); err != nil {
						return err
					}
				}
				return insert.Send()
			}
			for range 2 {
				if err := insert(); (err != nil) != test.fails {
					t.Errorf("the insert returns %v", err)
				}
				s.expectStored(t, rows)
				s.expectInTarget(t, 0)
			}
			inDatabase(t, s.cfg.Database, "DROP TABLE v SYNC", "CREATE MATERIALIZED VIEW v TO target AS SELECT detail FROM dead_letters")
			if err := insert(); err != nil {
				t.Fatal(err)
			}
			s.expectStored(t, rows)
			s.expectInTarget(t, rows)
		})
	}
}

// A view's table without a deduplication window gets a repeated batch again,
// though its source does not.
func TestRepeatedBatchInViews(t *testing.T) {
	for window, want := range map[int]int{0: 20, 1000: 10} {
		s := newStation(t, schema.DeadLetters(), 10)
		inDatabase(t, s.cfg.Database,
			fmt.Sprintf("CREATE TABLE target (event_id UUID) ENGINE = MergeTree ORDER BY event_id SETTINGS non_replicated_deduplication_window = %d", window),
			"CREATE MATERIALIZED VIEW v TO target AS SELECT event_id FROM dead_letters")
		for range 2 {
			if err := s.sink.Write(t.Context(), s.batch); err != nil {
				t.Fatal(err)
			}
		}
		s.expectStored(t, 10)
		s.expectInTarget(t, want)
	}
}

// The parts of an insert, one for each month, become visible one by one. When
// the server is killed meanwhile, the batch that is repeated stores those that
// are missing: by its token, and, for the part whose token ClickHouse has
// remembered just before it would have shown it, because it is looked for.
func TestServerKilledAmidTheMonths(t *testing.T) {
	t.Parallel()
	const months = 400
	server := newServer(t)
	server.start(t)
	m := newMigrator(t, server.config())
	if _, _, err := m.Up(t.Context()); err != nil {
		t.Fatal(err)
	}
	_ = m.Close()
	table := schema.RawWebhooks()
	rows := make([]schema.Row, months)
	for i := range rows {
		rows[i] = sinktest.Row(table, i)
		rows[i][table.Index("received_at")] = schema.IntValue(time.Date(1980, time.Month(1+i), 1, 0, 0, 0, 0, time.UTC).UnixMilli())
	}

	amid := false
	for attempt := 0; attempt < 10 && !amid; attempt++ {
		batch := sinktest.NewBatch(table, int64(attempt*months), rows...)
		execute(t, server.conn, "TRUNCATE TABLE loyalty.raw_webhooks SYNC")
		written := make(chan error, 1)
		sink := server.sink
		go func() { written <- sink.Write(t.Context(), batch) }()
		for visible := uint64(0); visible == 0; {
			err := server.conn.QueryRow(t.Context(), "SELECT count() FROM system.parts WHERE database = 'loyalty' AND table = 'raw_webhooks' AND active").Scan(&visible)
			if err != nil {
				t.Fatal(err)
			}
		}
		server.kill(t)
		failed := <-written

		server.start(t)
		stored := func() (rows, events uint64) {
			if err := server.conn.QueryRow(t.Context(), "SELECT count(), uniqExact(event_id) FROM loyalty.raw_webhooks").Scan(&rows, &events); err != nil {
				t.Fatal(err)
			}
			return rows, events
		}
		before, _ := stored()
		if failed != nil {
			expectTransient(t, failed)
			amid = before < months
		}
		batch.Since = time.Now() // It may have been written before.
		if err := server.sink.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		repeated, _ := stored()
		metrics, err := sinks.NewRetryMetrics(prometheus.NewRegistry())
		if err != nil {
			t.Fatal(err)
		}
		retrying := sinks.Retry(server.sink, "test", sinks.DefaultRetryConfig(), metrics, slog.New(slog.DiscardHandler), time.Now)
		if err := retrying.Write(t.Context(), batch); err != nil {
			t.Fatal(err)
		}
		after, events := stored()
		t.Logf("%d of %d months were stored when the server was killed, %d when the batch was repeated, and %d when it was looked for", before, months, repeated, after)
		if repeated < months-1 {
			t.Errorf("the repeated batch stored %d months, want all but at most one", repeated)
		}
		if after != months || events != months {
			t.Errorf("%d rows of %d events are stored, want %d", after, events, months)
		}
	}
	if !amid {
		t.Error("the server was never killed between two months")
	}
}

// A server is an engine that a test may kill.
type server struct {
	cfg  embedded.Config
	now  *embedded.ClickHouse
	sink *clickhouse.Sink
	conn driver.Conn
}

func newServer(t *testing.T) *server {
	t.Helper()
	s := &server{cfg: embedded.DefaultConfig()}
	s.cfg.DataDir = t.TempDir()
	s.cfg.ClickHouse.NativePort, s.cfg.ClickHouse.HTTPPort = 0, 0
	t.Cleanup(func() {
		if s.now != nil {
			s.kill(t)
		}
	})
	return s
}

func (s *server) config() clickhouse.Config {
	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = strictyaml.List{s.now.Addr()}
	return cfg
}

func (s *server) start(t *testing.T) {
	t.Helper()
	var err error
	if s.now, err = embedded.StartClickHouse(t.Context(), s.cfg, slog.New(slog.DiscardHandler), os.Stderr); err != nil {
		t.Fatal(err)
	}
	if s.sink, err = clickhouse.Open("test", s.config()); err != nil {
		t.Fatal(err)
	}
	if s.conn, err = clickhouse.Connect(s.config()); err != nil {
		t.Fatal(err)
	}
}

func (s *server) kill(t *testing.T) {
	t.Helper()
	if err := s.now.Kill(); err != nil {
		t.Error(err)
	}
	_, _ = s.sink.Close(), s.conn.Close()
}
