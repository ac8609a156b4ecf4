package files_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"go.uber.org/goleak"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/schema"
)

var (
	// engine is the ClickHouse that reads what the sinks write.
	engine driver.Conn
	// userFiles is the one directory whose files it reads.
	userFiles string
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	if runWriter() {
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) int {
	dir, err := os.MkdirTemp("", "loyaltyhouse-test-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = os.RemoveAll(dir) }()
	cfg := embedded.DefaultConfig()
	cfg.DataDir = dir
	cfg.ClickHouse.NativePort, cfg.ClickHouse.HTTPPort = 0, 0
	server, err := embedded.StartClickHouse(context.Background(), cfg, slog.New(slog.DiscardHandler), os.Stderr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	userFiles = filepath.Join(dir, "clickhouse", "data", "user_files")
	engine, err = clickhouse.Open(&clickhouse.Options{Addr: []string{server.Addr()}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	for _, err := range []error{engine.Close(), server.Close(context.Background()), goleak.Find()} {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// source is a table function of files, with the columns of the table.
type source struct {
	function string // with %s for the structure
	table    *schema.Table
}

func (s source) String() string {
	columns := make([]string, len(s.table.Columns))
	for i, c := range s.table.Columns {
		columns[i] = "`" + c.Name + "` " + strings.ReplaceAll(c.ClickHouseType(), "LowCardinality(String)", "String")
	}
	return fmt.Sprintf(s.function, strings.ReplaceAll(strings.Join(columns, ", "), "'", "\\'"))
}

func count(t testing.TB, from string) int {
	t.Helper()
	var n uint64
	if err := engine.QueryRow(context.Background(), "SELECT count() FROM "+from).Scan(&n); err != nil {
		t.Fatalf("%s: %v", from, err)
	}
	return int(n)
}

func rows(t testing.TB, s source) []schema.Row {
	t.Helper()
	columns := make([]string, len(s.table.Columns))
	for i, c := range s.table.Columns {
		columns[i] = selected(c)
	}
	answer, err := engine.Query(context.Background(), fmt.Sprintf("SELECT %s FROM %s", strings.Join(columns, ", "), s))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = answer.Close() }()
	var all []schema.Row
	for answer.Next() {
		row := make(schema.Row, len(s.table.Columns))
		cells := make([]any, len(row))
		for i := range cells {
			cells[i] = &cell{s.table.Columns[i], &row[i]}
		}
		if err := answer.Scan(cells...); err != nil {
			t.Fatal(err)
		}
		all = append(all, row)
	}
	if err := answer.Err(); err != nil {
		t.Fatal(err)
	}
	return all
}

// text returns the answer of a query with one column, a row on a line.
func text(t testing.TB, query string) string {
	t.Helper()
	answer, err := engine.Query(context.Background(), query)
	if err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	defer func() { _ = answer.Close() }()
	var lines []string
	for answer.Next() {
		var line string
		if err := answer.Scan(&line); err != nil {
			t.Fatalf("%s: %v", query, err)
		}
		lines = append(lines, line)
	}
	if err := answer.Err(); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return strings.Join(lines, "\n")
}

// selected asks for a column as String or Int64, or a list of them.
func selected(c schema.Column) string {
	convert := "toString(%s)"
	switch c.Type {
	case schema.Bool, schema.Int64:
		convert = "toInt64(%s)"
	case schema.Time:
		convert = "toUnixTimestamp64Milli(%s)"
	case schema.Date:
		convert = "toInt64(toInt32(%s))"
	default:
	}
	name := "`" + c.Name + "`"
	if c.Array {
		return "arrayMap(x -> " + fmt.Sprintf(convert, "x") + ", " + name + ")"
	}
	return fmt.Sprintf(convert, name)
}

// A cell reads one value of an answer.
type cell struct {
	column schema.Column
	value  *schema.Value
}

// Scan implements sql.Scanner.
func (c *cell) Scan(source any) error {
	switch source := source.(type) {
	case nil:
	case string:
		*c.value = schema.BytesValue([]byte(source))
	case int64:
		*c.value = schema.IntValue(source)
	case *int64:
		if source != nil {
			*c.value = schema.IntValue(*source)
		}
	case []string:
		for _, s := range source {
			c.value.List = append(c.value.List, schema.BytesValue([]byte(s)))
		}
	case []int64:
		for _, n := range source {
			c.value.List = append(c.value.List, schema.IntValue(n))
		}
	default:
		return fmt.Errorf("column %s comes as %T", c.column.Name, source)
	}
	return nil
}
