package postgres

import (
	"fmt"
	"hash/fnv"
	"slices"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"

	"loyaltyhouse/schema"
)

// version and retracted are the columns of a table with a key that say which of
// several rows of one event counts, and that it was taken back.
const (
	version   = "normalized_at"
	retracted = "retracted"
)

// longestName is how many bytes of a name PostgreSQL keeps.
const longestName = 63

// A column is one of a PostgreSQL table.
type column struct {
	name, typ string
	nullable  bool
	empty     string // the default, which rows of an older contract get; none where it is empty
	doc       string
}

// origin are the columns of a table whose every row counts: they tell which Kafka
// record a row is of, so that a batch which is written again is stored once.
// The record's timestamp tells it from one at the same offset of a topic that was
// deleted and made anew.
var origin = []column{
	{name: "_topic", typ: "text", doc: "The Kafka topic that the row comes from."},
	{name: "_partition", typ: "bigint", doc: "The partition of that topic."},
	{name: "_offset", typ: "bigint", doc: "The record's offset in the partition."},
	{name: "_timestamp", typ: "bigint", doc: "The record's timestamp, in milliseconds since 1970."},
}

// arrival orders the staged rows of one batch.
var arrival = column{name: "_offset", typ: "bigint"}

// A table is one of the contracts' tables as PostgreSQL has it.
type table struct {
	contract *schema.Table
	columns  []column // of the table
	staged   []column // of the table that a batch is copied into first
	key      []string // of the primary key
	target   string   // the quoted name
	view     string   // the name of the view on it; none where every row counts

	begin, copy, merge string // statements of a batch
	encoders           sync.Pool
}

// newTable reports a table that cannot be kept in PostgreSQL, or not exactly.
func newTable(schemaName string, contract *schema.Table) (*table, error) {
	t := &table{contract: contract, target: pgx.Identifier{schemaName, contract.Name}.Sanitize()}
	for _, c := range contract.Columns {
		t.columns = append(t.columns, newColumn(c))
	}
	for _, name := range contract.Key {
		if i := contract.Index(name); i >= 0 && !contract.Columns[i].Nullable && !contract.Columns[i].Array {
			t.key = append(t.key, name)
		}
	}
	if t.keyed() {
		t.staged = append(slices.Clone(t.columns), arrival)
		t.view = contract.Topic
		if t.view == contract.Name {
			t.view += "_live"
		}
		for _, name := range []string{version, retracted} {
			if contract.Index(name) < 0 {
				return nil, fmt.Errorf("postgres: table %s: without the column %s it cannot be told which of an event's rows counts; include it under this name", contract.Name, name)
			}
		}
	} else {
		for _, c := range origin {
			t.key = append(t.key, c.name)
		}
		t.columns = append(t.columns, origin...)
		t.staged = t.columns
	}
	names := map[string]bool{}
	for _, c := range t.staged {
		if names[c.name] || len(c.name) > longestName {
			return nil, fmt.Errorf("postgres: table %s: the column name %q is taken or longer than %d bytes; rename it", contract.Name, c.name, longestName)
		}
		names[c.name] = true
	}
	if len(contract.Name) > longestName {
		return nil, fmt.Errorf("postgres: the table name %q is longer than %d bytes; rename it", contract.Name, longestName)
	}
	t.prepareStatements()
	t.encoders.New = func() any { return newEncoder(t) }
	return t, nil
}

// keyed reports whether of several rows of one event one counts.
func (t *table) keyed() bool { return len(t.contract.Key) > 0 }

func newColumn(c schema.Column) column {
	made := column{name: c.Name, nullable: c.Nullable, doc: c.Doc}
	switch c.Type {
	case schema.String:
		made.typ, made.empty = "text", "''"
	case schema.Bytes:
		made.typ, made.empty = "bytea", "''"
	case schema.UUID:
		made.typ, made.empty = "uuid", "'00000000-0000-0000-0000-000000000000'"
	case schema.Bool:
		made.typ, made.empty = "boolean", "false"
	case schema.Int64:
		made.typ, made.empty = "bigint", "0"
	case schema.Time:
		made.typ, made.empty = "timestamp(3) with time zone", "'1970-01-01 00:00:00+00'"
	case schema.Date:
		made.typ, made.empty = "date", "'1970-01-01'"
	default:
		panic(fmt.Sprintf("postgres: column %s has no type", c.Name))
	}
	if c.Array {
		made.typ, made.empty, made.nullable = made.typ+"[]", "'{}'", false
	}
	if made.nullable {
		made.empty = ""
	}
	return made
}

// definition returns the column as CREATE TABLE and ADD COLUMN have it.
func (c column) definition() string {
	text := quoted(c.name) + " " + c.typ
	if !c.nullable {
		text += " NOT NULL"
	}
	if c.empty != "" {
		text += " DEFAULT " + c.empty
	}
	return text
}

// prepareStatements writes the statements of a batch. It is copied into a
// temporary table, which a session makes when it first needs it and which is empty
// again when the transaction ends. From there goes to the table what is not
// there yet.
//
// The rows of several transactions are taken in the order of the key, so that none
// waits for another that waits for it.
func (t *table) prepareStatements() {
	var staged, names, updates []string
	shape := fnv.New64a()
	for _, c := range t.staged {
		staged = append(staged, quoted(c.name)+" "+c.typ)
		_, _ = fmt.Fprintln(shape, c.name, c.typ) // A hash takes everything.
	}
	for _, c := range t.columns {
		names = append(names, quoted(c.name))
		if !slices.Contains(t.key, c.name) {
			updates = append(updates, quoted(c.name)+" = excluded."+quoted(c.name))
		}
	}
	// The name tells the contract's shape: a pooler may hand on another's session.
	stage := fmt.Sprintf("pg_temp.stage_%016x", shape.Sum64())
	t.begin = fmt.Sprintf("CREATE TEMPORARY TABLE IF NOT EXISTS %s (%s) ON COMMIT DELETE ROWS", stage, strings.Join(staged, ", "))
	t.copy = fmt.Sprintf("COPY %s FROM STDIN (FORMAT binary)", stage)

	key, columns := quotedAll("", t.key), strings.Join(names, ", ")
	var same []string
	for _, name := range t.key {
		same = append(same, "stored."+quoted(name)+" = staged."+quoted(name))
	}
	if !t.keyed() {
		t.merge = fmt.Sprintf(`INSERT INTO %[1]s (%[2]s)
SELECT %[2]s FROM %[3]s AS staged
WHERE NOT EXISTS (SELECT FROM %[1]s AS stored WHERE %[4]s)
ORDER BY %[5]s
ON CONFLICT (%[5]s) DO NOTHING`, t.target, columns, stage, strings.Join(same, " AND "), key)
		return
	}
	t.merge = fmt.Sprintf(`INSERT INTO %[1]s AS stored (%[2]s)
SELECT %[2]s FROM (SELECT DISTINCT ON (%[5]s) * FROM %[3]s ORDER BY %[5]s, %[6]s DESC, %[7]s) AS staged
WHERE NOT EXISTS (SELECT FROM %[1]s AS stored WHERE %[4]s AND stored.%[6]s >= staged.%[6]s)
ORDER BY %[5]s
ON CONFLICT (%[5]s) DO UPDATE SET %[8]s WHERE excluded.%[6]s > stored.%[6]s`,
		t.target, columns, stage, strings.Join(same, " AND "), key, quoted(version), quoted(arrival.name), strings.Join(updates, ", "))
}

func quoted(name string) string { return pgx.Identifier{name}.Sanitize() }

func quotedAll(before string, names []string) string {
	all := make([]string, len(names))
	for i, name := range names {
		all[i] = before + quoted(name)
	}
	return strings.Join(all, ", ")
}
