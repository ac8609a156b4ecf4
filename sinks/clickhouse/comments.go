package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/schema"
)

// Comment writes the docs of the tables, of their columns and of the views that
// the migrations create into ClickHouse as comments, where analysts see them. It
// alters only what differs, so that a start which changes nothing alters nothing.
// What is not there, and what has no doc, is passed over. A table that the server
// refuses to alter does not keep the others from their comments; the error names
// each. The data does not depend on comments: delivery can begin in spite of it.
func (m *Migrator) Comment(ctx context.Context, tables []*schema.Table) error {
	ctx, cancel := context.WithTimeout(ctx, m.cfg.WriteTimeout)
	defer cancel()
	conn, err := Connect(m.cfg)
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // Nothing is in flight.
	var refused []error
	for _, d := range documents(tables) {
		present, err := readComments(ctx, conn, m.cfg.Database, d.name)
		if err != nil {
			return errors.Join(append(refused, fmt.Errorf("clickhouse: comments of %s.%s: %w", m.cfg.Database, d.name, err))...)
		}
		changes := d.changes(present)
		if len(changes) == 0 {
			continue
		}
		if err := conn.Exec(ctx, fmt.Sprintf("ALTER TABLE `%s`.`%s` %s", m.cfg.Database, d.name, strings.Join(changes, ", "))); err != nil {
			refused = append(refused, fmt.Errorf("clickhouse: comments of %s.%s: %w", m.cfg.Database, d.name, err))
		}
	}
	return errors.Join(refused...)
}

// A document is what a table or view and its columns mean.
type document struct {
	name, doc string
	columns   []schema.ViewColumn
}

func documents(tables []*schema.Table) []document {
	var all []document
	for _, t := range tables {
		d := document{name: t.Name, doc: t.Doc}
		for _, c := range t.Columns {
			d.columns = append(d.columns, schema.ViewColumn{Name: c.Name, Doc: c.Doc})
		}
		all = append(all, d)
	}
	for _, v := range schema.Views(tables) {
		d := document{name: v.Name, doc: v.Doc, columns: v.Columns}
		if v.Cached() {
			d.columns = nil // The migration has their comments: a refresh forgets what an ALTER wrote.
		}
		all = append(all, d)
	}
	return all
}

// readComments returns the comments of a table's columns by their names, and that
// of the table itself under the empty name. It is empty where there is no table.
func readComments(ctx context.Context, conn driver.Conn, database, table string) (map[string]string, error) {
	rows, err := conn.Query(ctx, `SELECT '', comment FROM system.tables WHERE database = ? AND name = ?
UNION ALL
SELECT name, comment FROM system.columns WHERE database = ? AND table = ?`, database, table, database, table)
	if err != nil {
		return nil, err
	}
	defer rows.Close() //nolint:errcheck // Err tells what went wrong.
	comments := map[string]string{}
	for rows.Next() {
		var name, comment string
		if err := rows.Scan(&name, &comment); err != nil {
			return nil, err
		}
		comments[name] = comment
	}
	return comments, rows.Err()
}

// changes returns the parts of the ALTER that gives a table its docs. The columns
// may be gone by then, hence IF EXISTS.
func (d *document) changes(present map[string]string) []string {
	differs := func(name, doc string) bool {
		comment, exists := present[name]
		return exists && doc != "" && doc != comment
	}
	var changes []string
	for _, c := range d.columns {
		if differs(c.Name, c.Doc) {
			changes = append(changes, "COMMENT COLUMN IF EXISTS `"+c.Name+"` "+quote(c.Doc))
		}
	}
	if differs("", d.doc) {
		changes = append(changes, "MODIFY COMMENT "+quote(d.doc))
	}
	return changes
}

var quoting = strings.NewReplacer(`\`, `\\`, `'`, `\'`)

// quote returns a text as ClickHouse's string literal.
func quote(text string) string { return "'" + quoting.Replace(text) + "'" }
