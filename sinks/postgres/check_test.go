//go:build linux && postgres

package postgres_test

import (
	"strings"
	"testing"
	"time"

	"loyaltyhouse/sinks/postgres"
	"loyaltyhouse/sinks/sinktest"
)

func TestCheckOfAnEmptyDatabase(t *testing.T) {
	cfg := newConfig(t)
	sink, conn := openSink(t, cfg), connect(t, cfg)
	if err := sink.Check(t.Context(), sinktest.Tables(t), true); err != nil {
		t.Errorf("a role that may make everything: %v", err)
	}
	expect(t, conn, "SELECT count(*) FROM pg_namespace WHERE nspname = 'loyalty'", "0")
}

// What Prepare would make is told where it is not called.
func TestCheckWithoutPrepare(t *testing.T) {
	cfg := newConfig(t)
	sink, conn := openSink(t, cfg), connect(t, cfg)
	const off = ", and migrate_on_start is off; make it, or set migrate_on_start to true for one start"
	expectAll := func(want ...string) {
		t.Helper()
		got := says(sink.Check(t.Context(), sinktest.Tables(t), false))
		for _, line := range want {
			if !strings.Contains(got, line) {
				t.Errorf("Check returns\n%s\nwant %s", got, line)
			}
		}
	}
	expectAll(`the schema "loyalty" is missing`+off, `the table "loyalty"."fact_points" is missing`+off)
	if err := sink.Prepare(t.Context(), sinktest.Tables(t)); err != nil {
		t.Fatal(err)
	}
	if err := sink.Check(t.Context(), sinktest.Tables(t), false); err != nil {
		t.Errorf("after Prepare: %v", err)
	}
	execute(t, conn, "ALTER TABLE loyalty.fact_points DROP points_balance CASCADE")
	expectAll(`column points_balance of table "loyalty"."fact_points" is missing; run: ALTER TABLE "loyalty"."fact_points" ADD COLUMN "points_balance" bigint`)
}

// Each thing that is wrong is told with the statement that mends it, and all at
// once.
func TestCheckSaysWhatToDo(t *testing.T) {
	for name, test := range map[string]struct {
		statements []string // {} stands for the role and the database
		want       []string
	}{
		"no right to make the schema": {
			[]string{"ALTER DATABASE {} OWNER TO postgres"},
			[]string{`the schema "loyalty" is missing, and the role may not make it; run: CREATE SCHEMA "loyalty" AUTHORIZATION {}`},
		},
		"no right to make tables": {
			[]string{"CREATE SCHEMA loyalty", "GRANT USAGE ON SCHEMA loyalty TO {}"},
			[]string{
				`the table "loyalty"."raw_webhooks" is missing, and the role may not make it; run: GRANT CREATE ON SCHEMA "loyalty" TO {}`,
				`the table "loyalty"."fact_points" is missing`,
			},
		},
		"no right to use the schema": {
			[]string{"CREATE SCHEMA loyalty"}, []string{`run: GRANT USAGE ON SCHEMA "loyalty" TO {}`},
		},
		"no temporary tables": {
			[]string{"ALTER DATABASE {} OWNER TO postgres", "REVOKE TEMPORARY ON DATABASE {} FROM PUBLIC, {}", "CREATE SCHEMA loyalty AUTHORIZATION {}"},
			[]string{"run: GRANT TEMPORARY ON DATABASE {} TO {}"},
		},
		"read-only": {
			[]string{"ALTER ROLE {} SET default_transaction_read_only = on"}, []string{"the server is read-only"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := newConfig(t)
			conn := connect(t, cfg)
			for _, statement := range test.statements {
				execute(t, conn, strings.ReplaceAll(statement, "{}", cfg.Username))
			}
			err := openSink(t, cfg).Check(t.Context(), sinktest.Tables(t), true)
			for _, want := range test.want {
				if want = strings.ReplaceAll(want, "{}", cfg.Username); !strings.Contains(says(err), want) {
					t.Errorf("Check returns %v, want %s", err, want)
				}
			}
		})
	}
}

func TestCheckOfTablesOfSomebodyElse(t *testing.T) {
	cfg := newWarehouse(t)
	conn := connect(t, cfg)
	execute(t, conn, "DROP VIEW loyalty.points", "ALTER TABLE loyalty.fact_points OWNER TO postgres", "ALTER TABLE loyalty.fact_points DROP points_balance",
		"ALTER TABLE loyalty.raw_webhooks OWNER TO postgres", "GRANT SELECT ON loyalty.raw_webhooks TO "+cfg.Username)
	got := says(openSink(t, cfg).Check(t.Context(), sinktest.Tables(t), true))
	for _, want := range []string{
		`run: ALTER TABLE "loyalty"."fact_points" ADD COLUMN "points_balance" bigint`,
		`run: GRANT INSERT, SELECT, UPDATE ON "loyalty"."fact_points" TO ` + cfg.Username,
		`run: GRANT INSERT ON "loyalty"."raw_webhooks" TO ` + cfg.Username,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("Check returns\n%s\nwant %s", got, want)
		}
	}
}

func TestCheckOfAnotherEncoding(t *testing.T) {
	cfg := newConfig(t, "ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	sink := openSink(t, cfg)
	if err := sink.Check(t.Context(), sinktest.Tables(t), true); !strings.Contains(says(err), "the database is encoded in LATIN1") {
		t.Errorf("Check returns %v", err)
	}
}

func TestServer(t *testing.T) {
	version, clock, err := openSink(t, newConfig(t)).Server(t.Context())
	if err != nil || version == "" || time.Since(clock).Abs() > time.Minute {
		t.Errorf("Server returns %q, %s, %v", version, clock, err)
	}
}

func TestCheckOfAServerThatIsAway(t *testing.T) {
	cfg := postgres.DefaultConfig()
	cfg.Port = 1
	if err := openSink(t, cfg).Check(t.Context(), sinktest.Tables(t), true); !strings.Contains(says(err), "postgres 127.0.0.1:1/loyalty: ") {
		t.Errorf("Check returns %v", err)
	}
}
