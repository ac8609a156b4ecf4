package clickhouse_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks/clickhouse"
)

// problems returns what Check says, a line for each thing.
func problems(t *testing.T, cfg clickhouse.Config, prepares bool, tables ...*schema.Table) []string {
	t.Helper()
	if tables == nil {
		contracts, err := schema.Builtin()
		if err != nil {
			t.Fatal(err)
		}
		tables = schema.Tables(contracts)
	}
	sink, err := clickhouse.Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	if err := sink.Check(t.Context(), tables, prepares); err != nil {
		return strings.Split(err.Error(), "\n")
	}
	return nil
}

// expectProblems compares what Check says, without the server's address in front.
func expectProblems(t *testing.T, cfg clickhouse.Config, got []string, want ...string) {
	t.Helper()
	for i := range got {
		got[i] = strings.ReplaceAll(strings.TrimPrefix(got[i], "clickhouse "+engine.Addr()+": "), cfg.Database, "DB")
	}
	if !slices.Equal(got, want) {
		t.Errorf("Check says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// The embedded engine has one user, who has every right to tables and none to make
// other users: so a right that is missing is told of here with one of those.
func TestCheckOfRights(t *testing.T) {
	sink, err := clickhouse.Open("test", newConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	if err := sink.Need(t.Context(), "CREATE DATABASE, CREATE TABLE, INSERT", "`a`.*"); err != nil {
		t.Errorf("a right that is there: %v", err)
	}
	want := "clickhouse " + engine.Addr() + ": the user has not all of the rights that it needs; run: GRANT CREATE USER ON *.* TO default"
	if err := sink.Need(t.Context(), "CREATE USER", "*.*"); err == nil || err.Error() != want {
		t.Errorf("a right that is missing: %v, want %s", err, want)
	}
}

func TestCheckOfAWarehouse(t *testing.T) {
	cfg := newWarehouse(t)
	for _, prepares := range []bool{true, false} {
		expectProblems(t, cfg, problems(t, cfg, prepares))
	}
	conn := connect(t)
	for _, table := range []string{"fact_points", "raw_webhooks"} {
		if rows := text(t, conn, "count()", "FROM "+cfg.Database+"."+table); rows != "0" {
			t.Errorf("Check has left %s rows in %s", rows, table)
		}
	}
}

// What the migrations make may be missing where they are run, and is left to them.
func TestCheckBeforeTheMigrations(t *testing.T) {
	cfg := newConfig(t)
	expectProblems(t, cfg, problems(t, cfg, true))
	if databases := text(t, connect(t), "count()", "FROM system.databases WHERE name = '"+cfg.Database+"'"); databases != "0" {
		t.Error("Check has made the database")
	}
	want := []string{"the database `DB` is missing, and migrate_on_start is off; run connector migrate up"}
	for _, table := range []string{"fact_customer_changes", "fact_gift_cards", "fact_points", "fact_store_credits", "raw_webhooks", "dead_letters"} {
		want = append(want, "table `DB`.`"+table+"` is missing, and migrate_on_start is off; run connector migrate up")
	}
	expectProblems(t, cfg, problems(t, cfg, false), want...)
}

func TestCheckOfTheMigrations(t *testing.T) {
	cfg := newWarehouse(t)
	conn := connect(t)
	set := func(version, dirty int) {
		execute(t, conn, fmt.Sprintf("INSERT INTO %s.schema_migrations SELECT %d, %d, max(sequence) + 1 FROM %[1]s.schema_migrations", cfg.Database, version, dirty))
	}
	newest := int(newestOf(t, cfg))
	off := fmt.Sprintf("the tables of database `DB` have version %%d of %d, and migrate_on_start is off; run connector migrate up", newest)
	newer := fmt.Sprintf("the tables of database `DB` have version %d, and this program knows %d; use the newer program", newest+1, newest)

	set(3, 0)
	expectProblems(t, cfg, problems(t, cfg, true))
	expectProblems(t, cfg, problems(t, cfg, false), fmt.Sprintf(off, 3))
	set(newest, 1)
	expectProblems(t, cfg, problems(t, cfg, true))
	expectProblems(t, cfg, problems(t, cfg, false), fmt.Sprintf(off, newest))
	set(newest+1, 0)
	expectProblems(t, cfg, problems(t, cfg, true), newer)
	expectProblems(t, cfg, problems(t, cfg, false), newer)
}

func newestOf(t *testing.T, cfg clickhouse.Config) uint {
	t.Helper()
	m := newMigrator(t, cfg)
	defer func() { _ = m.Close() }()
	return m.Newest()
}

// Everything that is wrong is told at once, each with what to do.
func TestCheckOfTables(t *testing.T) {
	cfg := newMigrated(t)
	db := cfg.Database
	own := schema.Table{Topic: "tiers", Name: "fact_tiers", Columns: schema.RawWebhooks().Columns}
	builtin, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	tables := append(schema.Tables(builtin), &own)
	execute(t, connect(t),
		"ALTER TABLE "+db+".fact_points DROP COLUMN points_balance, MODIFY COLUMN points_expires_at Nullable(DateTime)",
		"ALTER TABLE "+db+".fact_points MODIFY COLUMN updated_scene String, MODIFY COLUMN points_delta Nullable(Int64)", // They take all the same.
		"ALTER TABLE "+db+".fact_points RENAME COLUMN webhook_id TO other, ADD COLUMN webhook_id String ALIAS other",
		"ALTER TABLE "+db+".raw_webhooks MODIFY SETTING non_replicated_deduplication_window = 0",
		"DROP TABLE "+db+".dead_letters",
		"CREATE TABLE "+db+".dead_letters AS "+db+".raw_webhooks ENGINE = Memory",
		"DROP TABLE "+db+".fact_gift_cards",
		"CREATE VIEW "+db+".fact_gift_cards AS SELECT 1 AS event_id",
		"DROP TABLE "+db+".fact_store_credits",
	)
	got := problems(t, cfg, true, tables...)
	// Of the columns of dead_letters it is enough to see that they are missed.
	got = slices.DeleteFunc(got, func(line string) bool {
		return strings.Contains(line, "dead_letters") && strings.Contains(line, "ADD COLUMN") && !strings.Contains(line, "column stage")
	})
	expectProblems(t, cfg, got,
		"`DB`.`fact_gift_cards` is a view; give it another name, for a table of that name is written to",
		"column webhook_id of table `DB`.`fact_points` is ALIAS and takes no values; give it another name",
		"column points_balance of table `DB`.`fact_points` is missing; run: ALTER TABLE `DB`.`fact_points` ADD COLUMN `points_balance` Nullable(Int64)",
		"column points_expires_at of table `DB`.`fact_points` has the type Nullable(DateTime); run: ALTER TABLE `DB`.`fact_points` MODIFY COLUMN `points_expires_at` Nullable(DateTime64(3, 'UTC'))",
		"table `DB`.`fact_store_credits` is missing although the migrations have run; bring it back from a backup, or make it as the file in schema/migrations does",
		"clickhouse: table DB.raw_webhooks would store a repeated insert twice, for its deduplication window is 0 and must be at least 1000; run: ALTER TABLE DB.raw_webhooks MODIFY SETTING non_replicated_deduplication_window = 10000",
		"table `DB`.`dead_letters` has the engine Memory, which would store a repeated insert twice; make it a ReplacingMergeTree or a MergeTree",
		"column stage of table `DB`.`dead_letters` is missing; run: ALTER TABLE `DB`.`dead_letters` ADD COLUMN `stage` LowCardinality(String)",
		"table `DB`.`fact_tiers` is missing; make it as docs/configuration.md shows: with all columns of its contract, as a ReplacingMergeTree(normalized_at) with the setting non_replicated_deduplication_window = 10000",
	)
}

// What no column tells shows when an insert begins.
func TestCheckTriesAnInsert(t *testing.T) {
	cfg := newWarehouse(t)
	execute(t, connect(t), "ALTER TABLE "+cfg.Database+".fact_points MODIFY SETTING table_readonly = 1")
	got := problems(t, cfg, true)
	if len(got) != 1 || !strings.HasPrefix(got[0], "insert into table "+cfg.Database+".fact_points: clickhouse "+engine.Addr()+": ") || !strings.Contains(got[0], "(774)") {
		t.Errorf("Check says %q of a table that is read-only", got)
	}
}

// Every address is looked at, and each that fails says what to do.
func TestCheckOfEveryAddress(t *testing.T) {
	cfg := newWarehouse(t)
	mute, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0") // It takes connections and says nothing.
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	locked := newEngine(t)
	cfg.Addresses = strictyaml.List{"127.0.0.1:1", locked, mute.Addr().String()}
	cfg.DialTimeout, cfg.WriteTimeout = 300*time.Millisecond, 3*time.Second
	cfg.Password = "swordfish"
	got := problems(t, cfg, true)
	advice := "; start the server, or correct addresses: the native port is customarily 9000, and with TLS, which needs tls.enabled, 9440"
	if len(got) != 3 || !strings.HasPrefix(got[0], "clickhouse 127.0.0.1:1: ") || !strings.HasSuffix(got[0], advice) ||
		got[1] != "clickhouse "+locked+": AUTHENTICATION_FAILED (516); set username and password, or password_file, to those of a user of this server" ||
		!strings.HasPrefix(got[2], "clickhouse "+mute.Addr().String()+": ") || !strings.HasSuffix(got[2], advice) {
		t.Errorf("Check says\n%s", strings.Join(got, "\n"))
	}
	if strings.Contains(strings.Join(got, "\n"), cfg.Password) {
		t.Error("Check quotes the password")
	}
}

// newEngine starts an engine for a test that it may not survive: a client whose
// password is wrong leaves in its first moment.
func newEngine(t *testing.T) (address string) {
	t.Helper()
	cfg := embedded.DefaultConfig()
	cfg.DataDir = t.TempDir()
	cfg.ClickHouse.NativePort, cfg.ClickHouse.HTTPPort = 0, 0
	own, err := embedded.StartClickHouse(t.Context(), cfg, slog.New(slog.DiscardHandler), os.Stderr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = own.Close(context.Background()) }) // It may have ended by itself.
	return own.Addr()
}

func TestCheckOfTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, "warehouse.example")
	other, _ := writeCertificate(t, t.TempDir(), "warehouse.example")
	plain, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close()
	go func() {
		conn, err := plain.Accept()
		if err == nil {
			_, _ = conn.Write([]byte("HTTP/1.0 400 Bad Request\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	for name, test := range map[string]struct{ address, authority, want string }{
		"another authority": {newTLSServer(t, cert, key, 0), other, "set tls.ca_file to the authority of the server's certificate"},
		"no TLS":            {plain.Addr().String(), cert, "the port does not speak TLS: use the server's TLS port, customarily 9440, or set tls.enabled to false"},
	} {
		cfg := clickhouse.DefaultConfig()
		cfg.Addresses = strictyaml.List{test.address}
		cfg.TLS = clienttls.Config{Enabled: true, CAFile: test.authority, ServerName: "warehouse.example"}
		if got := problems(t, cfg, true); len(got) != 1 || !strings.Contains(got[0], test.want) {
			t.Errorf("%s: Check says %q", name, got)
		}
	}
}

func TestServerAndDisks(t *testing.T) {
	sink, err := clickhouse.Open("test", newConfig(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	version, clock, err := sink.Server(t.Context())
	if err != nil || !strings.HasPrefix(version, "2") || time.Since(clock).Abs() > time.Minute {
		t.Errorf("Server returns %q, %s, %v", version, clock, err)
	}
	disks, err := sink.Disks(t.Context())
	if err != nil || len(disks) != 1 || disks[0].Free == 0 || disks[0].Free > disks[0].Total {
		t.Errorf("Disks returns %v, %v", disks, err)
	}
}
