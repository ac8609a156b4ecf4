package files_test

import (
	"context"
	"encoding/hex"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/files"
	"loyaltyhouse/sinks/sinktest"
)

func TestNamesOfFiles(t *testing.T) {
	table := points(t)
	row := func(shop string, at time.Time) schema.Row {
		row := sinktest.Row(table, 1)
		row[table.Index("shop_id")] = schema.TextValue(shop)
		row[table.Index("updated_at")] = schema.IntValue(at.UnixMilli())
		return row
	}
	midnight := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	batch := sinktest.NewBatch(table, 41,
		row("5f8a", midnight), row("5f8a", midnight.Add(-time.Millisecond)),
		row("../../etc", midnight), row("", midnight), row("5F8A", midnight),
		row("5f8a", time.UnixMilli(-1)))
	batch.Partition = 3
	for i := range batch.Records {
		batch.Records[i].Timestamp = midnight.UnixMilli() + int64(i)
	}
	for _, test := range []struct {
		name   string
		change func(*files.Config)
		want   []string
	}{
		{"by default", func(*files.Config) {}, []string{
			"lake/fact_points/day=1969-12-31/shop=5f8a/loyalty.points-3-000000000041-000000000046-1772323200000.parquet",
			"lake/fact_points/day=2026-02-28/shop=5f8a/loyalty.points-3-000000000041-000000000046-1772323200000.parquet",
			"lake/fact_points/day=2026-03-01/shop=%2E.%2F..%2Fetc/loyalty.points-3-000000000041-000000000046-1772323200000.parquet",
			"lake/fact_points/day=2026-03-01/shop=5%468%41/loyalty.points-3-000000000041-000000000046-1772323200000.parquet",
			"lake/fact_points/day=2026-03-01/shop=5f8a/loyalty.points-3-000000000041-000000000046-1772323200000.parquet",
			"lake/fact_points/day=2026-03-01/shop=__HIVE_DEFAULT_PARTITION__/loyalty.points-3-000000000041-000000000046-1772323200000.parquet",
		}},
		{"by day", func(c *files.Config) { c.PartitionBy = []string{"day"}; c.Format = "ndjson"; c.Prefix = "" }, []string{
			"fact_points/day=1969-12-31/loyalty.points-3-000000000041-000000000046-1772323200000.ndjson.zst",
			"fact_points/day=2026-02-28/loyalty.points-3-000000000041-000000000046-1772323200000.ndjson.zst",
			"fact_points/day=2026-03-01/loyalty.points-3-000000000041-000000000046-1772323200000.ndjson.zst",
		}},
		{"together", func(c *files.Config) { c.PartitionBy = nil; c.Format, c.Compression = "ndjson", "gzip" }, []string{
			"lake/fact_points/loyalty.points-3-000000000041-000000000046-1772323200000.ndjson.gz",
		}},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := newLocal(t)
			test.change(&cfg)
			write(t, cfg, batch)
			if diff := cmp.Diff(test.want, filesIn(t, cfg.Local.Directory)); diff != "" {
				t.Errorf("the files have other names (-want +got):\n%s", diff)
			}
		})
	}
}

// Two batches never share a name, unless they are the same.
func TestNamesTellBatchesApart(t *testing.T) {
	base := sinks.Batch{Topic: "loyalty.points", Partition: 1, Records: []sinks.Record{{Offset: 5, Timestamp: 7}, {Offset: 6}}}
	seen := map[string]string{}
	for name, change := range map[string]func(*sinks.Batch){
		"itself":     func(*sinks.Batch) {},
		"topic":      func(b *sinks.Batch) { b.Topic = "loyalty.points-1" },
		"partition":  func(b *sinks.Batch) { b.Partition = 0 },
		"last":       func(b *sinks.Batch) { b.Records = b.Records[:1] },
		"first":      func(b *sinks.Batch) { b.Records = b.Records[1:] },
		"made anew":  func(b *sinks.Batch) { b.Records = []sinks.Record{{Offset: 5, Timestamp: 8}, {Offset: 6}} },
		"mended":     func(b *sinks.Batch) { b.Mend = 1 },
		"mended two": func(b *sinks.Batch) { b.Mend = 2 },
	} {
		b := base
		change(&b)
		file := files.FileName(&b, ".parquet")
		if other, taken := seen[file]; taken {
			t.Errorf("%s and %s are both named %s", name, other, file)
		}
		seen[file] = name
	}
}

// A table without the usual columns goes by the Kafka record's time, and into
// no shop's directory.
func TestTableWithoutTimeAndShop(t *testing.T) {
	cfg := newLocal(t)
	table := &schema.Table{Topic: "x", Name: "chosen", Columns: []schema.Column{
		{Name: "event_id", Type: schema.UUID},
		{Name: "updated_at", Type: schema.Time, Nullable: true},
	}}
	batch := sinktest.NewBatch(table, 0, sinktest.Row(table, 1))
	batch.Records[0].Timestamp = time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC).UnixMilli()
	write(t, cfg, batch)
	got := filesIn(t, cfg.Local.Directory)
	if want := "lake/chosen/day=2026-05-06/loyalty.x-0-000000000000-000000000000-1778051289000.parquet"; len(got) != 1 || got[0] != want {
		t.Errorf("the files are %v, want %s", got, want)
	}
}

// A batch over too many days and shops is told before anything is published.
func TestBatchOverTooManyFiles(t *testing.T) {
	cfg := newLocal(t)
	cfg.MaxFilesPerBatch = 19
	table := points(t)
	sink := open(t, cfg)
	defer func() { _ = sink.Close() }()
	err := sink.Write(t.Context(), sinktest.NewBatch(table, 0, spread(table, 40)...))
	if _, permanent := sinks.IsPermanent(err); permanent || err == nil || !strings.Contains(err.Error(), "max_files_per_batch") {
		t.Errorf("Write returns %v, want an error that is not permanent and names max_files_per_batch", err)
	}
	if got := filesIn(t, cfg.Local.Directory); len(got) > 0 {
		t.Errorf("files are published: %v", got)
	}
	cfg.MaxFilesPerBatch = 20
	write(t, cfg, sinktest.NewBatch(table, 0, spread(table, 40)...))
}

func FuzzEscapeShop(f *testing.F) {
	for _, shop := range []string{
		"", ".", "..", "../..", "/", "a/b", `a\b`, "5f8a0c", "5F8A", "積分", "\x00", "%2e%2e", "con", "a=b", "~", "_x",
		"__HIVE_DEFAULT_PARTITION__", strings.Repeat("長", 1000), strings.Repeat("a", 161), strings.Repeat("a", 157) + "é", "\xff",
	} {
		f.Add(shop, "other")
	}
	f.Fuzz(func(t *testing.T, shop, other string) {
		name := files.EscapeShop(shop)
		if name == "" || len("shop="+name) > 255 {
			t.Errorf("a name has %d bytes", len(name))
		}
		if strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEF0123456789-._%~") != "" && shop != "" {
			t.Errorf("the name %q holds more than letters, digits and -._%%~", name)
		}
		within := path.Join("lake/fact_points", "shop="+name, "file")
		if !filepath.IsLocal(within) || path.Dir(path.Dir(within)) != "lake/fact_points" {
			t.Errorf("the name %q leads out of its directory", name)
		}
		if !strings.Contains(name, "~") && shop != "" {
			if back, err := url.PathUnescape(name); err != nil || back != shop {
				t.Errorf("the name %q does not lead back to %q", name, shop)
			}
		}
		// Also on a file system that ignores case.
		if shop != other && strings.EqualFold(name, files.EscapeShop(other)) {
			t.Errorf("the shops %s and %s share the name %s", hex.EncodeToString([]byte(shop)), hex.EncodeToString([]byte(other)), name)
		}
	})
}

func BenchmarkWrite(b *testing.B) {
	const n = 10_000
	for _, format := range []string{"parquet", "ndjson"} {
		b.Run(format, func(b *testing.B) {
			cfg := newLocal(b)
			cfg.Format = format
			table := points(b)
			batch := sinktest.NewBatch(table, 0, spread(table, n)...)
			sink := open(b, cfg)
			defer func() { _ = sink.Close() }()
			b.ReportAllocs()
			for b.Loop() {
				if err := sink.Write(context.Background(), batch); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}
