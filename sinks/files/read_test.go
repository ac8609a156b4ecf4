package files_test

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/apache/arrow-go/v18/arrow"
	"github.com/apache/arrow-go/v18/arrow/array"
	"github.com/apache/arrow-go/v18/arrow/memory"
	"github.com/apache/arrow-go/v18/parquet/file"
	"github.com/apache/arrow-go/v18/parquet/pqarrow"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/parquet-go/parquet-go"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/files"
	"loyaltyhouse/sinks/sinktest"
)

func write(t testing.TB, cfg files.Config, batches ...*sinks.Batch) {
	t.Helper()
	sink := open(t, cfg)
	for _, b := range batches {
		if err := sink.Write(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Close(); err != nil {
		t.Fatal(err)
	}
}

// A file describes itself: the engine finds the contract's types in it.
func TestEngineFindsTheTypesOfTheContract(t *testing.T) {
	cfg := newLocal(t)
	for _, table := range sinktest.Tables(t) {
		write(t, cfg, sinktest.NewBatch(table, 0, sinktest.Row(table, 2)))
		var types, want []string
		for _, c := range table.Columns {
			types = append(types, fmt.Sprintf("'%s ' || toTypeName(`%s`)", c.Name, c.Name))
			want = append(want, c.Name+" "+strings.ReplaceAll(c.ClickHouseType(), "LowCardinality(String)", "String"))
		}
		got := text(t, "SELECT arrayJoin(["+strings.Join(types, ", ")+"]) FROM file('"+
			filepath.Join(cfg.Local.Directory, cfg.Prefix, table.Name, "**", "*.parquet")+"') SETTINGS schema_inference_make_columns_nullable = 'auto'")
		if diff := cmp.Diff(strings.Join(want, "\n"), got); diff != "" {
			t.Errorf("%s has other types than its contract (-contract +file):\n%s", table.Name, diff)
		}
	}
}

// The directories are columns by which the engine passes over files.
func TestEngineReadsThePartitions(t *testing.T) {
	for _, format := range []string{"parquet", "ndjson"} {
		t.Run(format, func(t *testing.T) {
			cfg := newLocal(t)
			cfg.Format = format
			table := points(t)
			write(t, cfg, sinktest.NewBatch(table, 0, spread(table, 40)...))
			const query = "SELECT toString(day) || ' ' || shop || ' ' || shop_id || ' ' || toString(count()) || ' ' || toString(uniqExact(_path)) FROM file('%s') " +
				"WHERE day = '2026-03-02' AND shop = 'shop-3' GROUP BY day, shop, shop_id"
			got := text(t, fmt.Sprintf(query, filepath.Join(cfg.Local.Directory, cfg.Prefix, table.Name, "**", "*."+format+"*")))
			if want := "2026-03-02 shop-3 shop-3 2 1"; got != want {
				t.Errorf("the engine reads %q, want %q", got, want)
			}
		})
	}
}

func TestEveryFormatAndCompressionHoldsEveryValue(t *testing.T) {
	for _, format := range []string{"parquet", "ndjson"} {
		for _, compression := range []string{"none", "gzip", "zstd"} {
			t.Run(format+" "+compression, func(t *testing.T) {
				cfg := newLocal(t)
				cfg.Format, cfg.Compression = format, compression
				for _, table := range sinktest.Tables(t) {
					written := []schema.Row{sinktest.Row(table, 1), sinktest.Row(table, 2), sinktest.Row(table, 5)}
					write(t, cfg, sinktest.NewBatch(table, 0, written...))
					name, pattern := "Parquet", "*.parquet"
					if format == "ndjson" {
						name, pattern = "JSONEachRow", "*.ndjson*"
					}
					read := rows(t, source{localFunction(cfg, table.Name, pattern, name), table})
					if diff := cmp.Diff(lines(table, written), lines(table, read)); diff != "" {
						t.Errorf("%s (-written +read):\n%s", table.Name, diff)
					}
				}
			})
		}
	}
}

// An Arrow reader, which shares no code with the writer, reads the same values.
func TestArrowReadsEveryValue(t *testing.T) {
	cfg := newLocal(t)
	cfg.PartitionBy = nil
	for _, table := range sinktest.Tables(t) {
		written := sinktest.Extremes(table)
		write(t, cfg, sinktest.NewBatch(table, 0, written...))
		var read []schema.Row
		for _, content := range contents(t, cfg, table) {
			read = append(read, arrowRows(t, table, content)...)
		}
		if diff := cmp.Diff(lines(table, written), lines(table, read)); diff != "" {
			t.Errorf("%s (-written +read):\n%s", table.Name, diff)
		}
	}
}

func arrowRows(t *testing.T, table *schema.Table, content []byte) []schema.Row {
	t.Helper()
	reader, err := file.NewParquetReader(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = reader.Close() }()
	arrowReader, err := pqarrow.NewFileReader(reader, pqarrow.ArrowReadProperties{}, memory.DefaultAllocator)
	if err != nil {
		t.Fatal(err)
	}
	read, err := arrowReader.ReadTable(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer read.Release()
	all := make([]schema.Row, read.NumRows())
	for i := range all {
		all[i] = make(schema.Row, len(table.Columns))
	}
	for i, c := range table.Columns {
		column := read.Column(i)
		if column.Name() != c.Name {
			t.Fatalf("column %d is %s, want %s", i, column.Name(), c.Name)
		}
		n := 0
		for _, chunk := range column.Data().Chunks() {
			for j := range chunk.Len() {
				all[n][i] = arrowValue(t, c, chunk, j)
				n++
			}
		}
	}
	return all
}

func arrowValue(t *testing.T, c schema.Column, values arrow.Array, i int) schema.Value {
	t.Helper()
	if values.IsNull(i) {
		return schema.Value{}
	}
	switch values := values.(type) {
	case *array.List:
		v := schema.Value{Set: true}
		from, to := values.ValueOffsets(i)
		c.Array = false
		for j := from; j < to; j++ {
			v.List = append(v.List, arrowValue(t, c, values.ListValues(), int(j)))
		}
		return v
	case *array.String:
		return schema.TextValue(values.Value(i))
	case *array.Binary:
		return schema.BytesValue(values.Value(i))
	case *array.FixedSizeBinary:
		return schema.TextValue(uuid.UUID(values.Value(i)).String())
	case array.ExtensionArray: // Of UUIDs.
		return arrowValue(t, c, values.Storage(), i)
	case *array.Boolean:
		if values.Value(i) {
			return schema.IntValue(1)
		}
		return schema.IntValue(0)
	case *array.Int64:
		return schema.IntValue(values.Value(i))
	case *array.Timestamp:
		if zone := values.DataType().(*arrow.TimestampType); zone.TimeZone != "UTC" || zone.Unit != arrow.Millisecond {
			t.Errorf("column %s is a %s", c.Name, zone)
		}
		return schema.IntValue(int64(values.Value(i)))
	case *array.Date32:
		return schema.IntValue(int64(values.Value(i)))
	default:
		t.Fatalf("column %s comes as %T", c.Name, values)
		return schema.Value{}
	}
}

// Within a file rows are sorted as in the tables of ClickHouse, and the file says so.
func TestFilesAreSorted(t *testing.T) {
	cfg := newLocal(t)
	cfg.PartitionBy = nil
	for _, table := range sinktest.Tables(t) {
		shuffled := spread(table, 50)
		slices.Reverse(shuffled[10:40])
		write(t, cfg, sinktest.NewBatch(table, 0, shuffled...))
		key := map[string]string{
			"raw_webhooks":          "shop_id, received_at, event_id",
			"dead_letters":          "shop_id, received_at, event_id",
			"fact_customer_changes": "shop_id, customer_id, updated_at, event_id",
		}[table.Name]
		if key == "" {
			key = "shop_id, buyer_id, updated_at, event_id"
		}
		for _, content := range contents(t, cfg, table) {
			f, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
			if err != nil {
				t.Fatal(err)
			}
			var told []string
			for _, c := range f.RowGroups()[0].SortingColumns() {
				told = append(told, c.Path()[0])
			}
			if got := strings.Join(told, ", "); got != key {
				t.Errorf("%s: the file is sorted by %s, want %s", table.Name, got, key)
			}
			got := arrowRows(t, table, content)
			if !slices.IsSortedFunc(got, func(a, b schema.Row) int {
				for name := range strings.SplitSeq(key, ", ") {
					i := table.Index(name)
					if order := strings.Compare(fmt.Sprintf("%s%020d", a[i].Text, a[i].Int), fmt.Sprintf("%s%020d", b[i].Text, b[i].Int)); order != 0 {
						return order
					}
				}
				return 0
			}) {
				t.Errorf("%s: the rows are not sorted by %s", table.Name, key)
			}
		}
	}
}

// contents returns the table's files.
func contents(t testing.TB, cfg files.Config, table *schema.Table) [][]byte {
	t.Helper()
	dir := filepath.Join(cfg.Local.Directory, cfg.Prefix, table.Name)
	var all [][]byte
	for _, name := range filesIn(t, dir) {
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, content)
	}
	return all
}

func points(t testing.TB) *schema.Table {
	t.Helper()
	for _, table := range sinktest.Tables(t) {
		if table.Name == "fact_points" {
			return table
		}
	}
	t.Fatal("there is no table fact_points")
	return nil
}

// spread returns rows of five shops and four days.
func spread(table *schema.Table, n int) []schema.Row {
	all := make([]schema.Row, n)
	for i := range all {
		all[i] = sinktest.Row(table, i)
		all[i][table.Index("shop_id")] = schema.TextValue(fmt.Sprintf("shop-%d", i%5))
		for _, name := range []string{"updated_at", "received_at"} {
			if j := table.Index(name); j >= 0 {
				all[i][j].Int += int64(i%4) * 24 * 60 * 60 * 1000
			}
		}
	}
	return all
}

// lines returns the rows as Kafka holds them, sorted.
func lines(table *schema.Table, rows []schema.Row) []string {
	all := make([]string, len(rows))
	for i, row := range rows {
		all[i] = string(table.AppendRow(nil, row))
	}
	slices.Sort(all)
	return all
}
