//go:build linux && postgres

package postgres_test

import (
	"errors"
	"strings"
	"testing"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/postgres"
	"loyaltyhouse/sinks/sinktest"
)

func TestErrorsAreClassifiedByCode(t *testing.T) {
	for name, test := range map[string]struct {
		statements []string // that make the write fail; {} stands for the role
		mend       []string // that let it succeed
		want       string   // what the error says
		permanent  bool
	}{
		"no table": {
			[]string{"ALTER TABLE loyalty.dead_letters RENAME TO away"},
			[]string{"ALTER TABLE loyalty.away RENAME TO dead_letters"},
			`SQLSTATE 42P01: relation "loyalty.dead_letters" does not exist`, false,
		},
		"no schema": {
			[]string{"ALTER SCHEMA loyalty RENAME TO away"}, []string{"ALTER SCHEMA away RENAME TO loyalty"}, "SQLSTATE 42P01", false,
		},
		"a column is missing": {
			[]string{"ALTER TABLE loyalty.dead_letters RENAME detail TO details"},
			[]string{"ALTER TABLE loyalty.dead_letters RENAME details TO detail"},
			`SQLSTATE 42703: column "detail" of relation "dead_letters" does not exist`, false,
		},
		"a column of another type": {
			[]string{"ALTER TABLE loyalty.dead_letters ALTER detail DROP DEFAULT, ALTER detail TYPE int USING 0"},
			[]string{"ALTER TABLE loyalty.dead_letters ALTER detail TYPE text USING ''"},
			"SQLSTATE 42804", false,
		},
		"no key": {
			[]string{"ALTER TABLE loyalty.dead_letters DROP CONSTRAINT dead_letters_pkey"},
			[]string{"ALTER TABLE loyalty.dead_letters ADD PRIMARY KEY (_topic, _partition, _offset, _timestamp)"},
			"SQLSTATE 42P10", false,
		},
		"no right to insert": {
			[]string{"ALTER TABLE loyalty.dead_letters OWNER TO postgres", "GRANT SELECT ON loyalty.dead_letters TO {}"},
			[]string{"GRANT INSERT ON loyalty.dead_letters TO {}"},
			"SQLSTATE 42501: permission denied for table dead_letters", false,
		},
		"read-only": {
			[]string{"ALTER ROLE {} SET default_transaction_read_only = on"},
			[]string{"ALTER ROLE {} RESET default_transaction_read_only"},
			"SQLSTATE 25006", false,
		},
		"no room for what is copied": {
			[]string{"ALTER ROLE {} CONNECTION LIMIT 0"},
			[]string{"ALTER ROLE {} CONNECTION LIMIT -1"},
			`SQLSTATE 53300: too many connections for role`, false,
		},
		"a wrong password": {
			[]string{"ALTER ROLE {} PASSWORD 'another'"}, []string{"ALTER ROLE {} PASSWORD 'secret'"}, "SQLSTATE 28P01: password authentication failed", false,
		},
		"a trigger that raises": {
			[]string{
				"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'not %', NEW.detail; END $$",
				"CREATE TRIGGER refuse BEFORE INSERT ON loyalty.dead_letters FOR EACH ROW EXECUTE FUNCTION refuse()",
			},
			[]string{"DROP TRIGGER refuse ON loyalty.dead_letters"},
			"SQLSTATE P0001; see the server's log", false,
		},
		"a trigger that quotes a value as SQL": {
			[]string{
				"CREATE FUNCTION run() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN EXECUTE NEW.detail; RETURN NEW; END $$",
				"CREATE TRIGGER run BEFORE INSERT ON loyalty.dead_letters FOR EACH ROW EXECUTE FUNCTION run()",
			},
			[]string{"DROP TRIGGER run ON loyalty.dead_letters"},
			"SQLSTATE 42601; see the server's log", false,
		},
		"a check": {
			[]string{"ALTER TABLE loyalty.dead_letters ADD CONSTRAINT mine CHECK (detail = '')"},
			[]string{"ALTER TABLE loyalty.dead_letters DROP CONSTRAINT mine"},
			"row_refused: table dead_letters, constraint mine: SQLSTATE 23514", true,
		},
		"a check when all is done": {
			[]string{
				"CREATE TABLE loyalty.other (id text PRIMARY KEY)",
				"ALTER TABLE loyalty.dead_letters ADD CONSTRAINT known FOREIGN KEY (detail) REFERENCES loyalty.other DEFERRABLE INITIALLY DEFERRED",
			},
			[]string{"ALTER TABLE loyalty.dead_letters DROP CONSTRAINT known"},
			"row_refused: table dead_letters, constraint known: SQLSTATE 23503", true,
		},
		"a unique index": {
			[]string{"CREATE UNIQUE INDEX alike ON loyalty.dead_letters (left(detail, 1))"},
			[]string{"DROP INDEX loyalty.alike"},
			"row_refused: table dead_letters, constraint alike: SQLSTATE 23505", true,
		},
		"not null": {
			[]string{"ALTER TABLE loyalty.dead_letters ALTER kafka_offset SET NOT NULL"},
			[]string{"ALTER TABLE loyalty.dead_letters ALTER kafka_offset DROP NOT NULL"},
			"row_refused: table dead_letters, column kafka_offset: SQLSTATE 23502", true,
		},
		"too short": {
			[]string{"ALTER TABLE loyalty.dead_letters ALTER detail TYPE varchar(5)"},
			[]string{"ALTER TABLE loyalty.dead_letters ALTER detail TYPE text"},
			"row_refused: table dead_letters: SQLSTATE 22001", true,
		},
		"a computed column": {
			[]string{"ALTER TABLE loyalty.dead_letters ADD n int GENERATED ALWAYS AS (detail::int) STORED"},
			[]string{"ALTER TABLE loyalty.dead_letters DROP n"},
			"row_refused: table dead_letters: SQLSTATE 22P02", true,
		},
		"too long for an index": {
			[]string{"CREATE INDEX long ON loyalty.dead_letters ((detail || (SELECT_SEED())))"},
			[]string{"DROP INDEX loyalty.long"},
			"row_refused: table dead_letters, constraint long: SQLSTATE 54000", true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newWarehouse(t, schema.DeadLetters())
			conn := connect(t, cfg)
			table := schema.DeadLetters()
			rows := []schema.Row{sinktest.Row(table, 1), sinktest.Row(table, 2)}
			rows[0][table.Index("kafka_offset")] = schema.Value{}
			batch := sinktest.NewBatch(table, 0, rows...)
			for _, statement := range test.statements {
				if strings.Contains(statement, "SELECT_SEED") {
					// 32 hexadecimal digits, 200 times other ones, do not get smaller.
					execute(t, conn, `CREATE FUNCTION seed() RETURNS text IMMUTABLE LANGUAGE sql AS $$ SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) n $$`)
					statement = strings.ReplaceAll(statement, "(SELECT_SEED())", "public.seed()")
				}
				execute(t, conn, strings.ReplaceAll(statement, "{}", cfg.Username))
			}
			sink := openSink(t, cfg)
			err := sink.Write(t.Context(), batch)
			refusal, permanent := sinks.IsPermanent(err)
			switch {
			case err == nil:
				t.Fatal("Write returns no error")
			case permanent != test.permanent || !strings.Contains(err.Error(), test.want):
				t.Errorf("permanent is %v, want %v: %v; want %s", permanent, test.permanent, err, test.want)
			case permanent && (refusal.Reason != sinks.RowRefused || refusal.Index != -1):
				t.Errorf("the reason is %s, the index %d", refusal.Reason, refusal.Index)
			}
			for cause := err; cause != nil; cause = errors.Unwrap(cause) {
				if strings.Contains(cause.Error(), sensitive) || strings.Contains(cause.Error(), "'secret'") {
					t.Errorf("the error quotes a value: %v", cause)
				}
			}
			for _, statement := range test.mend {
				execute(t, conn, strings.ReplaceAll(statement, "{}", cfg.Username))
			}
			write(t, openSink(t, cfg), batch)
			writeUntilStored(t, sink, batch)
			expect(t, conn, "SELECT count(*) FROM loyalty.dead_letters", "2")
		})
	}
}

// Where rows are stored already, a constraint that was added since does not make
// dead letters of them.
func TestStoredRowsAreNotRefusedLater(t *testing.T) {
	cfg := newWarehouse(t)
	sink, conn := openSink(t, cfg), connect(t, cfg)
	for _, table := range []*schema.Table{schema.DeadLetters(), factTable(t, "points")} {
		batch := numbered(table, 0, 5)
		write(t, sink, batch)
		execute(t, conn, "ALTER TABLE loyalty."+table.Name+" ADD CONSTRAINT later CHECK (shop_id = '') NOT VALID")
		write(t, sink, batch)
		if _, permanent := sinks.IsPermanent(sink.Write(t.Context(), numbered(table, 5, 1))); !permanent {
			t.Error("the constraint does not refuse a new row")
		}
	}
}

// Of a batch that is narrowed, the rows beside the refused one are stored, over
// the same connection.
func TestRefusedRowIsFoundByHalving(t *testing.T) {
	cfg := newWarehouse(t)
	cfg.MaxConnections = 1
	table := factTable(t, "points")
	sink, conn := openSink(t, cfg), connect(t, cfg)
	execute(t, conn, "ALTER TABLE loyalty.fact_points ADD CONSTRAINT mine CHECK (updated_value <> 37)")
	refused := 0
	var deliver func(b *sinks.Batch)
	deliver = func(b *sinks.Batch) {
		err := sink.Write(t.Context(), b)
		_, permanent := sinks.IsPermanent(err)
		switch n := len(b.Records); {
		case err == nil:
		case !permanent:
			t.Fatal(err)
		case n == 1:
			refused++
		default:
			deliver(b.Slice(0, n/2))
			deliver(b.Slice(n/2, n))
		}
	}
	deliver(numbered(table, 0, 100))
	if refused != 1 {
		t.Errorf("%d rows are refused", refused)
	}
	expectStored(t, conn, table, 99)
	// The other connection is that of the sink which has prepared the tables.
	expect(t, conn, "SELECT count(*) FROM pg_stat_activity WHERE usename = '"+cfg.Username+"'", "2")
}

func TestPing(t *testing.T) {
	cfg := newConfig(t)
	conn := connect(t, cfg)
	if err := openSink(t, cfg).Ping(t.Context()); err != nil {
		t.Error(err)
	}
	execute(t, conn, "ALTER ROLE "+cfg.Username+" SET default_transaction_read_only = on")
	sink := openSink(t, cfg)
	if err := sink.Ping(t.Context()); !strings.Contains(says(err), "the server is read-only") {
		t.Errorf("of a read-only server Ping returns %v", err)
	}
	execute(t, conn, "ALTER ROLE "+cfg.Username+" RESET default_transaction_read_only")
	if err := sink.Ping(t.Context()); err != nil {
		t.Errorf("the sink stays with a session that is read-only: %v", err)
	}
	for name, change := range map[string]func(*postgres.Config){
		"SQLSTATE 28P01": func(c *postgres.Config) { c.Password = "wrong-secret" },
		"SQLSTATE 3D000": func(c *postgres.Config) { c.Database = "absent" },
		"refused":        func(c *postgres.Config) { c.Port = 1 },
	} {
		changed := cfg
		change(&changed)
		if err := openSink(t, changed).Ping(t.Context()); !strings.Contains(says(err), name) || strings.Contains(says(err), "secret") {
			t.Errorf("want %s, Ping returns %v", name, err)
		}
	}
}
