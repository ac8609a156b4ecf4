package clickhouse_test

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks/clickhouse"
	"loyaltyhouse/sinks/sinktest"
)

const newest = 11

func TestMigrationsUpDownAndUpAgain(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	m := newMigrator(t, cfg)
	defer func() { _ = m.Close() }()
	conn := connect(t)
	tables := func() string {
		return text(t, conn, "count()", "FROM system.tables WHERE database = ? AND name != 'schema_migrations' AND NOT startsWith(name, '.')", cfg.Database)
	}

	if got := m.Newest(); got != newest {
		t.Errorf("the newest version is %d, want %d", got, newest)
	}
	expectStatus(t, m, 0)
	for _, want := range []string{"from 0 to 11", "from 11 to 11"} {
		before, after, err := m.Up(t.Context())
		if got := fmt.Sprintf("from %d to %d", before, after); err != nil || got != want {
			t.Errorf("Up goes %s with error %v, want %s", got, err, want)
		}
	}
	expectStatus(t, m, newest)
	if got, want := tables(), strconv.Itoa(6+len(schema.Views(nil))); got != want {
		t.Errorf("there are %s tables and views, want %s", got, want)
	}
	for range 2 {
		if err := m.Down(); err != nil {
			t.Fatal(err)
		}
	}
	expectStatus(t, m, 0)
	if got := tables(); got != "0" {
		t.Errorf("Down left %s tables and views", got)
	}
	if _, after, err := m.Up(t.Context()); err != nil || after != newest {
		t.Errorf("Up after Down goes to %d with error %v", after, err)
	}
}

func expectStatus(t *testing.T, m *clickhouse.Migrator, want uint) {
	t.Helper()
	if version, dirty, err := m.Status(); err != nil || dirty || version != want {
		t.Errorf("the status is version %d, dirty %v, error %v; want version %d", version, dirty, err, want)
	}
}

func TestMigrationsOfSeveralConnectorsAtOnce(t *testing.T) {
	t.Parallel()
	cfg := newConfig(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			// A connector tries until it succeeds.
			for until := time.Now().Add(30 * time.Second); ; {
				m, err := clickhouse.NewMigrator(context.Background(), cfg)
				if err == nil {
					_, _, err = m.Up(context.Background())
					_ = m.Close()
				}
				if err == nil {
					return
				}
				if time.Now().After(until) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	m := newMigrator(t, cfg)
	defer func() { _ = m.Close() }()
	expectStatus(t, m, newest)
}

// A process that is killed in the middle of a migration leaves a mark. The next
// one begins that migration again, whichever way it goes.
func TestMigrationThatStoppedHalfWay(t *testing.T) {
	t.Parallel()
	stop := func(cfg clickhouse.Config, m *clickhouse.Migrator, version int) {
		t.Helper()
		execute(t, connect(t), fmt.Sprintf("INSERT INTO %s.schema_migrations (version, dirty, sequence) VALUES (%d, 1, %d)", cfg.Database, version, time.Now().UnixNano()))
		if got, dirty, err := m.Status(); int(got) != version || !dirty || err != nil {
			t.Errorf("the status is version %d, dirty %v, error %v; want version %d, dirty", got, dirty, err, version)
		}
	}
	upwards := newMigrated(t)
	up := newMigrator(t, upwards)
	defer func() { _ = up.Close() }()
	for _, version := range []int{1, 2, 4, 5, 6, 7, 8, 9, 10, 11} {
		stop(upwards, up, version)
		if _, _, err := up.Up(t.Context()); err != nil {
			t.Error(err)
		}
		expectStatus(t, up, newest)

		downwards := newWarehouse(t)
		down := newMigrator(t, downwards)
		stop(downwards, down, version)
		if err := down.Down(); err != nil {
			t.Error(err)
		}
		expectStatus(t, down, 0)
		if err := down.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := up.Down(); err != nil {
		t.Error(err)
	}
	expectStatus(t, up, 0)
}

func TestServerIsAway(t *testing.T) {
	cfg := newConfig(t)
	p := newProxy(t)
	cfg.Addresses = []string{p.address}
	p.Break(t)
	if m, err := clickhouse.NewMigrator(t.Context(), cfg); err == nil {
		_ = m.Close()
		t.Error("NewMigrator succeeds without a server")
	} else if !strings.Contains(err.Error(), p.address) {
		t.Errorf("the error does not say where: %v", err)
	}
}

func TestTimeToLiveOfRawWebhooks(t *testing.T) {
	cfg := newConfig(t)
	conn := connect(t)
	up := func(days int) {
		t.Helper()
		cfg.RawWebhooksTTLDays = days
		m := newMigrator(t, cfg)
		defer func() { _ = m.Close() }()
		if _, _, err := m.Up(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	mutations := func() string {
		return text(t, conn, "count()", "FROM system.mutations WHERE database = ?", cfg.Database)
	}
	up(0)
	sink, err := clickhouse.Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close() }()
	if err := sink.Write(t.Context(), sinktest.NewBatch(schema.RawWebhooks(), 0, sinktest.Row(schema.RawWebhooks(), 1))); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		days int
		want string
	}{
		{0, "0"},
		{36500, "toDateTime(received_at) + toIntervalDay(36500)"},
		{36501, "toDateTime(received_at) + toIntervalDay(36501)"},
		{36501, "toDateTime(received_at) + toIntervalDay(36501)"},
		{0, "0"},
		{0, "0"},
	} {
		before, unchanged := mutations(), test.days == cfg.RawWebhooksTTLDays
		up(test.days)
		query := text(t, conn, "create_table_query", "FROM system.tables WHERE database = ? AND name = 'raw_webhooks'", cfg.Database)
		_, ttl, found := strings.Cut(query, " TTL ")
		ttl, _, _ = strings.Cut(ttl, " SETTINGS")
		if !found {
			ttl = "0"
		}
		if ttl != test.want {
			t.Errorf("with %d days the table has TTL %s, want %s", test.days, ttl, test.want)
		}
		if after := mutations(); unchanged && after != before {
			t.Errorf("an unchanged TTL of %d days rewrites the table", test.days)
		}
	}
}

func TestTablesAreThoseOfTheContracts(t *testing.T) {
	cfg := newMigrated(t)
	conn := connect(t)
	for _, table := range sinktest.Tables(t) {
		var want []string
		for _, c := range table.Columns {
			want = append(want, c.Name+", "+c.ClickHouseType())
		}
		got := text(t, conn, "name; type", "FROM system.columns WHERE database = ? AND table = ? ORDER BY position", cfg.Database, table.Name)
		if diff := cmp.Diff(want, strings.Split(got, "\n")); diff != "" {
			t.Errorf("%s has other columns than its contract (-contract +table):\n%s", table.Name, diff)
		}
	}
}

func TestTablesAreStoredAsDesigned(t *testing.T) {
	cfg := newMigrated(t)
	got := text(t, connect(t), "name; engine_full", "FROM system.tables WHERE database = ? AND engine LIKE '%MergeTree' AND name != 'schema_migrations' AND NOT startsWith(name, '.') ORDER BY name", cfg.Database)
	const replacing = "ReplacingMergeTree(normalized_at) PARTITION BY toYYYYMM(updated_at) ORDER BY (shop_id, %s, updated_at, event_id) " +
		"SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192, min_age_to_force_merge_seconds = 3600, min_age_to_force_merge_on_partition_only = 1"
	want := strings.Join([]string{
		"dead_letters, MergeTree PARTITION BY toYYYYMM(received_at) ORDER BY (stage, reason, received_at) SETTINGS non_replicated_deduplication_window = 10000, index_granularity = 8192",
		"fact_customer_changes, " + fmt.Sprintf(replacing, "customer_id"),
		"fact_gift_cards, " + fmt.Sprintf(replacing, "buyer_id"),
		"fact_points, " + fmt.Sprintf(replacing, "buyer_id"),
		"fact_store_credits, " + fmt.Sprintf(replacing, "buyer_id"),
		"raw_webhooks, MergeTree PARTITION BY toYYYYMM(received_at) ORDER BY (shop_id, received_at) SETTINGS non_replicated_deduplication_window = 10000, ttl_only_drop_parts = 1, index_granularity = 8192",
	}, "\n")
	if diff := cmp.Diff(strings.Split(want, "\n"), strings.Split(got, "\n")); diff != "" {
		t.Errorf("other tables than designed (-want +got):\n%s", diff)
	}
}
