package postgres

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"loyaltyhouse/schema"
)

// oldestVersion is what the statements need, as server_version_num has it.
const oldestVersion = 120_000

// byHand is what to do about something that is not made by itself.
const byHand = "and migrate_on_start is off; make it, or set migrate_on_start to true for one start"

// Check implements [loyaltyhouse/sinks.Checker].
func (s *Sink) Check(ctx context.Context, tables []*schema.Table, prepares bool) error {
	var wrong []error
	err := s.transact(ctx, func(tx pgx.Tx) (err error) {
		wrong, err = s.check(ctx, tx, tables, prepares)
		return err
	})
	if err != nil {
		return err
	}
	return errors.Join(wrong...)
}

// check collects what is wrong; err is that it could not be found out.
func (s *Sink) check(ctx context.Context, tx pgx.Tx, tables []*schema.Table, prepares bool) (wrong []error, err error) {
	report := func(format string, args ...any) {
		wrong = append(wrong, fmt.Errorf("postgres "+s.at+": "+format, args...))
	}
	var version int
	var readOnly, encoding, role, database string
	var mayStage, mayCreate bool
	if err := tx.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, current_setting('transaction_read_only'),
	current_setting('server_encoding'), quote_ident(current_user), quote_ident(current_database()),
	has_database_privilege(current_database(), 'TEMP'), has_database_privilege(current_database(), 'CREATE')`).Scan(
		&version, &readOnly, &encoding, &role, &database, &mayStage, &mayCreate); err != nil {
		return nil, s.describe(err)
	}
	if version < oldestVersion {
		report("the server has version %d; it must be PostgreSQL %d or later", version/10_000, oldestVersion/10_000)
	}
	if readOnly != "off" {
		report("%w", errReadOnly)
	}
	if encoding != "UTF8" {
		report("the database is encoded in %s, and could not hold every text; make one with: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	if !mayStage {
		report("the role may not make temporary tables; run: GRANT TEMPORARY ON DATABASE %s TO %s", database, role)
	}

	schemaName := quoted(s.cfg.Schema)
	var mayUse, mayAdd bool
	err = tx.QueryRow(ctx, "SELECT has_schema_privilege(oid, 'USAGE'), has_schema_privilege(oid, 'CREATE') FROM pg_catalog.pg_namespace WHERE nspname = $1", s.cfg.Schema).Scan(&mayUse, &mayAdd)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		switch {
		case !prepares:
			report("the schema %s is missing, "+byHand, schemaName)
		case !mayCreate:
			report("the schema %s is missing, and the role may not make it; run: CREATE SCHEMA %s AUTHORIZATION %s", schemaName, schemaName, role)
		}
		mayAdd = true // The schema will be its own.
	case err != nil:
		return nil, s.describe(err)
	case !mayUse:
		report("the role may not use the schema; run: GRANT USAGE ON SCHEMA %s TO %s", schemaName, role)
	}
	for _, contract := range tables {
		t, err := s.table(contract)
		if err != nil {
			wrong = append(wrong, err)
			continue
		}
		found, err := readRelation(ctx, tx, s.cfg.Schema, contract.Name)
		if err != nil {
			return nil, s.describe(err)
		}
		if found == nil {
			switch {
			case !prepares:
				report("the table %s is missing, "+byHand, t.target)
			case !mayAdd:
				report("the table %s is missing, and the role may not make it; run: GRANT CREATE ON SCHEMA %s TO %s", t.target, schemaName, role)
			}
			continue
		}
		wrong = append(wrong, t.differences(found)...)
		for _, c := range t.missing(found) {
			switch {
			case !prepares:
				report("column %s of table %s is missing; run: ALTER TABLE %s ADD COLUMN %s", c.name, t.target, t.target, c.definition())
			case !found.owned:
				report("column %s of table %s is missing, and only the table's owner can add it; run: ALTER TABLE %s ADD COLUMN %s", c.name, t.target, t.target, c.definition())
			}
		}
		if rights := t.withheld(found); len(rights) > 0 {
			report("the role may not write to table %s; run: GRANT %s ON %s TO %s", t.target, strings.Join(rights, ", "), t.target, role)
		}
	}
	return wrong, nil
}

// withheld returns the rights that writing needs and the role has not got.
func (t *table) withheld(r *relation) (rights []string) {
	if !r.mayInsert {
		rights = append(rights, "INSERT")
	}
	if !r.maySelect {
		rights = append(rights, "SELECT")
	}
	if !r.mayUpdate && t.keyed() {
		rights = append(rights, "UPDATE")
	}
	return rights
}

// Server returns the server's version and its clock.
func (s *Sink) Server(ctx context.Context) (version string, clock time.Time, err error) {
	if err := s.pool.QueryRow(ctx, "SELECT current_setting('server_version'), clock_timestamp()").Scan(&version, &clock); err != nil {
		return "", time.Time{}, s.describe(err)
	}
	return version, clock, nil
}
