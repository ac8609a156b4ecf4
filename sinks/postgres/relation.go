package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// A relation is a table or view as the server has it.
type relation struct {
	kind        string // r, p, v and others, as in pg_class.relkind
	persistence string // p, or u for one that a crash empties
	owned       bool   // by the role, or by one that it is a member of
	comment     string
	mayInsert   bool
	maySelect   bool
	mayUpdate   bool
	columns     []attribute
	keys        [][]string // the columns of each unique index that ON CONFLICT can use
}

// An attribute is a column as the server has it.
type attribute struct {
	name, typ string
	notNull   bool
	generated bool // by an expression
	filled    bool // by a default or an identity
	comment   string
}

// readRelation returns nil where there is no relation of that name.
func readRelation(ctx context.Context, tx pgx.Tx, schemaName, name string) (*relation, error) {
	r := &relation{}
	var oid uint32
	err := tx.QueryRow(ctx, `SELECT c.oid, c.relkind::text, c.relpersistence::text, pg_has_role(c.relowner, 'USAGE'),
	coalesce(obj_description(c.oid, 'pg_class'), ''),
	has_table_privilege(c.oid, 'INSERT'), has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'UPDATE')
FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = $1 AND c.relname = $2`, schemaName, name).Scan(
		&oid, &r.kind, &r.persistence, &r.owned, &r.comment, &r.mayInsert, &r.maySelect, &r.mayUpdate)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	rows, err := tx.Query(ctx, `SELECT a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
	a.attgenerated <> '', a.atthasdef OR a.attidentity <> '', coalesce(col_description(a.attrelid, a.attnum), '')
FROM pg_catalog.pg_attribute a WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum`, oid)
	if err != nil {
		return nil, err
	}
	r.columns, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (a attribute, err error) {
		return a, row.Scan(&a.name, &a.typ, &a.notNull, &a.generated, &a.filled, &a.comment)
	})
	if err != nil {
		return nil, err
	}
	rows, err = tx.Query(ctx, `SELECT array(SELECT a.attname::text FROM pg_catalog.pg_attribute a
	WHERE a.attrelid = i.indrelid AND a.attnum = ANY ((i.indkey::int2[])[0:i.indnkeyatts - 1]))
FROM pg_catalog.pg_index i
WHERE i.indrelid = $1 AND i.indisunique AND i.indisvalid AND i.indimmediate AND i.indpred IS NULL AND i.indexprs IS NULL`, oid)
	if err != nil {
		return nil, err
	}
	r.keys, err = pgx.CollectRows(rows, pgx.RowTo[[]string])
	return r, err
}

func (r *relation) column(name string) *attribute {
	for i := range r.columns {
		if r.columns[i].name == name {
			return &r.columns[i]
		}
	}
	return nil
}

func (r *relation) hasKey(key []string) bool {
	return slices.ContainsFunc(r.keys, func(unique []string) bool {
		return len(unique) == len(key) && !slices.ContainsFunc(key, func(name string) bool { return !slices.Contains(unique, name) })
	})
}

// missing returns the columns of the contract that the relation has not got.
func (t *table) missing(r *relation) (columns []column) {
	for _, c := range t.columns {
		if r.column(c.name) == nil {
			columns = append(columns, c)
		}
	}
	return columns
}

// differences returns why batches would not be written to the table that is
// there, or not exactly, and what to do. Columns that can be added are none.
func (t *table) differences(r *relation) (all []error) {
	differs := func(format string, args ...any) {
		all = append(all, fmt.Errorf("postgres: table "+t.target+": "+format, args...))
	}
	alter := "run: ALTER TABLE " + t.target
	if r.kind != "r" && r.kind != "p" {
		differs("it is no table; give it another name, or choose another schema")
		return all
	}
	if r.persistence == "u" {
		differs("it is unlogged, so that a crash empties it; %s SET LOGGED", alter)
	}
	contracted := map[string]bool{}
	for _, c := range t.columns {
		contracted[c.name] = true
		a := r.column(c.name)
		switch {
		case a == nil && slices.Contains(t.key, c.name):
			differs("the column %s of its key is missing; give the table another name, and it is made anew", c.name)
		case a == nil:
		case !compatible(a.typ, c.typ):
			differs("column %s has the type %s instead of %s; %s ALTER COLUMN %s TYPE %s", c.name, a.typ, c.typ, alter, quoted(c.name), c.typ)
		case a.generated:
			differs("column %s is generated, and cannot be written to; %s ALTER COLUMN %s DROP EXPRESSION", c.name, alter, quoted(c.name))
		case a.notNull && c.nullable:
			differs("column %s is NOT NULL, but a row may have none; %s ALTER COLUMN %s DROP NOT NULL", c.name, alter, quoted(c.name))
		}
	}
	for _, a := range r.columns {
		if a.notNull && !a.filled && !contracted[a.name] {
			differs("column %s is NOT NULL without a default, and no contract fills it; %s ALTER COLUMN %s DROP NOT NULL", a.name, alter, quoted(a.name))
		}
	}
	if !r.hasKey(t.key) {
		differs("it has no unique index on exactly (%s), by which a repeated row is told; %s ADD PRIMARY KEY (%s)", strings.Join(t.key, ", "), alter, quotedAll("", t.key))
	}
	return all
}

// compatible reports whether a column's type holds what the contract's does. Of
// times a higher precision does.
func compatible(has, wanted string) bool {
	if rest, isTime := strings.CutPrefix(wanted, "timestamp(3) with time zone"); isTime {
		return has == "timestamp with time zone"+rest ||
			slices.ContainsFunc([]string{"3", "4", "5", "6"}, func(precision string) bool { return has == "timestamp("+precision+") with time zone"+rest })
	}
	return has == wanted
}
