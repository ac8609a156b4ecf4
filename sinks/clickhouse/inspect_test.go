package clickhouse_test

import (
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/sinktest"
)

// long is an age at which no token is trusted.
const long = time.Hour

// Every table's rows can be told apart, also those with NULL in their identity.
func TestInspectFindsWhatIsStored(t *testing.T) {
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	tables := []*schema.Table{schema.RawWebhooks(), schema.DeadLetters()}
	for _, c := range contracts {
		tables = append(tables, c.FactTable())
	}
	for _, table := range tables {
		t.Run(table.Name, func(t *testing.T) {
			s := newStation(t, table, 20)
			found := s.inspect(t, s.batch)
			if len(found.Missing) != 20 || found.Surplus > 0 {
				t.Errorf("of an empty table Inspect finds %+v", found)
			}
			if err := s.sink.Write(t.Context(), s.batch.Slice(5, 15)); err != nil {
				t.Fatal(err)
			}
			found = s.inspect(t, s.batch)
			if want := []int{0, 1, 2, 3, 4, 15, 16, 17, 18, 19}; !slices.Equal(found.Missing, want) || found.Surplus > 0 {
				t.Errorf("of a half-filled table Inspect finds %+v, want %v missing", found, want)
			}
			if err := s.sink.Write(t.Context(), s.batch); err != nil {
				t.Fatal(err)
			}
			found = s.inspect(t, s.batch)
			if len(found.Missing) > 0 || found.Surplus != 10 {
				t.Errorf("of a table with doubled rows Inspect finds %+v, want a surplus of 10", found)
			}
		})
	}
}

// A range that may have been written long ago and holds a record that is no row
// was never written: nothing of it is there, and the record has to be named.
func TestInspectNamesTheRecordThatIsNoRow(t *testing.T) {
	s := newStation(t, schema.RawWebhooks(), 3)
	s.batch.Records[1].Value = []byte("no row")
	s.batch.Since = time.Now().Add(-long)
	metrics, err := sinks.NewRetryMetrics(prometheus.NewRegistry())
	if err != nil {
		t.Fatal(err)
	}
	retrying := sinks.Retry(s.sink, "test", sinks.DefaultRetryConfig(), metrics, slog.New(slog.DiscardHandler), time.Now)
	err = retrying.Write(t.Context(), s.batch)
	if permanent, ok := sinks.IsPermanent(err); !ok || permanent.Index != 1 || permanent.Reason != sinks.Undecodable {
		t.Errorf("Write returns %v, want that record 1 is no row", err)
	}
}

func (s *station) inspect(t *testing.T, b *sinks.Batch) sinks.Findings {
	t.Helper()
	found, err := s.sink.Inspect(t.Context(), b, long)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// A row that a resend has replaced in a merge is not missing; one that is newer
// than what is stored is.
func TestInspectKnowsMerges(t *testing.T) {
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	table := contracts[0].FactTable()
	s := newStation(t, table, 1)
	first, resend := sinktest.Row(table, 0), sinktest.Row(table, 0)
	version := table.Index("normalized_at")
	resend[version].Int += 1000
	resend[table.Index("webhook_id")] = schema.TextValue("resend")
	old, latest := sinktest.NewBatch(table, 0, first), sinktest.NewBatch(table, 1, resend)

	if err := s.sink.Write(t.Context(), old); err != nil {
		t.Fatal(err)
	}
	if found := s.inspect(t, latest); len(found.Missing) != 1 {
		t.Errorf("of a resend that is not stored Inspect finds %+v", found)
	}
	if err := s.sink.Write(t.Context(), latest); err != nil {
		t.Fatal(err)
	}
	inDatabase(t, s.cfg.Database, "OPTIMIZE TABLE "+table.Name+" FINAL")
	s.expectStored(t, 1)
	for _, b := range []*sinks.Batch{old, latest} {
		if found := s.inspect(t, b); len(found.Missing) > 0 || found.Surplus > 0 {
			t.Errorf("after the merge Inspect finds %+v", found)
		}
	}
}

// The table is not read while the token can be trusted: soon after the first
// write, by a server that has been up since.
func TestInspectTrustsTheToken(t *testing.T) {
	s := newStation(t, schema.RawWebhooks(), 3)
	if found, err := s.sink.Inspect(t.Context(), s.batch, 0); err != nil || len(found.Missing) != 3 && text(t, s.conn, "uptime() <= 60", "") == "true" {
		t.Errorf("a server that has just been started finds %+v, %v", found, err)
	}
	s.sink.SetSurely(-time.Hour)
	if found, err := s.sink.Inspect(t.Context(), s.batch, 0); err != nil || len(found.Missing) > 0 {
		t.Errorf("a server that has been up since finds %+v, %v", found, err)
	}
	if found, err := s.sink.Inspect(t.Context(), s.batch, long); err != nil || len(found.Missing) != 3 {
		t.Errorf("of a batch of long ago it finds %+v, %v", found, err)
	}
}

// Rows are not written where a repeated insert would store them twice.
func TestTableWithoutDeduplicationIsRefused(t *testing.T) {
	for _, settings := range []string{"", " SETTINGS non_replicated_deduplication_window = 10"} {
		s := newStation(t, schema.RawWebhooks(), 3)
		inDatabase(t, s.cfg.Database,
			"CREATE TABLE other AS raw_webhooks ENGINE = MergeTree ORDER BY received_at"+settings)
		inDatabase(t, s.cfg.Database, "DROP TABLE raw_webhooks SYNC", "RENAME TABLE other TO raw_webhooks")
		err := s.sink.Write(t.Context(), s.batch)
		expectTransient(t, err)
		remedy := "ALTER TABLE " + s.cfg.Database + ".raw_webhooks MODIFY SETTING non_replicated_deduplication_window = 10000"
		if !strings.Contains(err.Error(), remedy) {
			t.Errorf("the error does not say how to mend it: %v", err)
		}
		inDatabase(t, s.cfg.Database, strings.ReplaceAll(remedy, s.cfg.Database+".", ""))
		if err := s.sink.Write(t.Context(), s.batch); err != nil {
			t.Fatal(err)
		}
		s.expectStored(t, 3)
	}
}

// Two deliveries of one event in one batch are two rows, as they are two records,
// and one in the view, also before any merge.
func TestResendsInOneBatchAreRowsOfTheirOwn(t *testing.T) {
	contracts, err := schema.Builtin()
	if err != nil {
		t.Fatal(err)
	}
	table := contracts[slices.IndexFunc(contracts, func(c *schema.Contract) bool { return c.Topic == "points" })].FactTable()
	s := newStation(t, table, 1)
	inDatabase(t, s.cfg.Database, "SYSTEM STOP MERGES "+s.cfg.Database+"."+table.Name)
	first, resend := sinktest.Row(table, 0), sinktest.Row(table, 0)
	resend[table.Index("normalized_at")].Int += 1000
	resend[table.Index("webhook_id")] = schema.TextValue("resend")
	b := sinktest.NewBatch(table, 0, first, resend, first)
	if err := s.sink.Write(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	if got := s.stored(t); got != "3 rows of 1 events" {
		t.Errorf("stored are %s", got)
	}
	if got := text(t, s.conn, "count()||' '||any(webhook_id)", "FROM "+s.cfg.Database+".points"); got != "1 resend" {
		t.Errorf("the view has %s, want the resend alone", got)
	}
	if found := s.inspect(t, b); len(found.Missing) > 0 || found.Surplus > 0 {
		t.Errorf("Inspect finds %+v", found)
	}
}
