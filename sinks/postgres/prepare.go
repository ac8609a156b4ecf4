package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"

	"loyaltyhouse/schema"
)

// preparing is the advisory lock of whoever makes tables: several processes start
// at once. Its value is "loyalty" in ASCII.
const preparing int64 = 0x6c6f79616c7479

// Prepare implements [loyaltyhouse/sinks.Preparer]. It makes the schema, tables
// and views that are missing, adds columns that a newer contract has, and writes the
// docs as comments. All of that happens or nothing. Where nothing is missing
// it needs no right to make anything.
func (s *Sink) Prepare(ctx context.Context, tables []*schema.Table) error {
	return s.transact(ctx, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", preparing); err != nil {
			return s.describe(err)
		}
		var exists bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)", s.cfg.Schema).Scan(&exists); err != nil {
			return s.describe(err)
		}
		if !exists {
			if _, err := tx.Exec(ctx, "CREATE SCHEMA "+quoted(s.cfg.Schema)); err != nil {
				return fmt.Errorf("schema %s: %w", s.cfg.Schema, s.describe(err))
			}
		}
		var wrong []error
		for _, contract := range tables {
			t, err := s.table(contract)
			if err != nil {
				wrong = append(wrong, err)
				continue
			}
			differences, err := s.prepare(ctx, tx, t)
			if err != nil {
				return fmt.Errorf("table %s: %w", contract.Name, err)
			}
			wrong = append(wrong, differences...)
		}
		return errors.Join(wrong...)
	})
}

// transact runs f in a transaction that ends within write_timeout, and undoes it
// where f returns an error.
func (s *Sink) transact(ctx context.Context, f func(tx pgx.Tx) error) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.WriteTimeout)
	defer cancel()
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		return s.describe(err)
	}
	defer tx.Rollback(ctx) //nolint:errcheck // After Commit there is nothing to undo; otherwise the server does it without being told.
	if _, err := tx.Exec(ctx, fmt.Sprintf("SET LOCAL statement_timeout = %d", s.cfg.WriteTimeout.Milliseconds())); err != nil {
		return s.describe(err)
	}
	if err := f(tx); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return s.describe(err)
	}
	return nil
}

// prepare makes one table what its contract says, or returns in what it differs.
func (s *Sink) prepare(ctx context.Context, tx pgx.Tx, t *table) (differences []error, err error) {
	found, err := readRelation(ctx, tx, s.cfg.Schema, t.contract.Name)
	if err != nil {
		return nil, s.describe(err)
	}
	var statements []string
	if found == nil {
		statements = t.create()
	} else if differences = t.differences(found); len(differences) > 0 {
		return differences, nil
	} else {
		for _, c := range t.missing(found) {
			statements = append(statements, "ALTER TABLE "+t.target+" ADD COLUMN IF NOT EXISTS "+c.definition())
		}
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return nil, s.describe(err)
		}
	}
	if len(statements) > 0 {
		if found, err = readRelation(ctx, tx, s.cfg.Schema, t.contract.Name); err != nil {
			return nil, s.describe(err)
		}
	}
	statements = t.comments(found)
	if t.view != "" {
		view, err := readRelation(ctx, tx, s.cfg.Schema, t.view)
		if err != nil {
			return nil, s.describe(err)
		}
		if view != nil && view.kind != "v" {
			return []error{fmt.Errorf("postgres: %s.%s is no view; give it another name, and the view of table %s is made there", s.cfg.Schema, t.view, t.target)}, nil
		}
		statements = append(statements, t.showLive(s.cfg.Schema, found, view)...)
	}
	for _, statement := range statements {
		if _, err := tx.Exec(ctx, statement); err != nil {
			return nil, s.describe(err)
		}
	}
	return nil, nil
}

// create returns the statements that make the table, and an index by which an
// application finds a customer's events.
func (t *table) create() []string {
	var lines []string
	for _, c := range t.columns {
		lines = append(lines, "\t"+c.definition())
	}
	lines = append(lines, "\tPRIMARY KEY ("+quotedAll("", t.key)+")")
	statements := []string{"CREATE TABLE " + t.target + " (\n" + strings.Join(lines, ",\n") + "\n)"}
	if t.keyed() && len(t.key) > 1 {
		statements = append(statements, "CREATE INDEX ON "+t.target+" ("+quotedAll("", t.key[1:])+")")
	}
	return statements
}

// comments returns the statements that write the docs which differ. Only the
// owner may: of a table that somebody else made the comments are theirs.
func (t *table) comments(r *relation) (statements []string) {
	if !r.owned {
		return nil
	}
	if t.contract.Doc != "" && t.contract.Doc != r.comment {
		statements = append(statements, "COMMENT ON TABLE "+t.target+" IS "+literal(t.contract.Doc))
	}
	for _, c := range t.columns {
		if a := r.column(c.name); a != nil && c.doc != "" && c.doc != a.comment {
			statements = append(statements, "COMMENT ON COLUMN "+t.target+"."+quoted(c.name)+" IS "+literal(c.doc))
		}
	}
	return statements
}

// showLive returns the statements that make the view of the rows which were not
// taken back, or add columns to it. They keep the order of the table, where a new
// one is the last: a view can be replaced only by one that goes on as it did.
func (t *table) showLive(schemaName string, r, view *relation) (statements []string) {
	var names []string
	complete := view != nil
	for _, a := range r.columns {
		contracted := slices.ContainsFunc(t.columns, func(c column) bool { return c.name == a.name })
		if !contracted || a.name == retracted {
			continue
		}
		names = append(names, a.name)
		complete = complete && view.column(a.name) != nil
	}
	if complete || view != nil && !view.owned {
		return nil
	}
	name := pgx.Identifier{schemaName, t.view}.Sanitize()
	doc := t.contract.Doc + " Without the rows that a replay took back."
	return []string{
		"CREATE OR REPLACE VIEW " + name + " AS SELECT " + quotedAll("", names) + " FROM " + t.target + " WHERE NOT " + quoted(retracted),
		"COMMENT ON VIEW " + name + " IS " + literal(strings.TrimSpace(doc)),
	}
}

// literal returns a text as SQL has it, whatever standard_conforming_strings is.
func literal(text string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(text) + "'"
}
