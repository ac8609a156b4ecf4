package postgres

import (
	"errors"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"

	"loyaltyhouse/sinks"
)

// errReadOnly is what a standby, or a server that is told not to be written to, is.
var errReadOnly = errors.New("the server is read-only, as a standby is; name the primary, or all hosts with target_session_attrs=read-write in url")

// A sqlState is PostgreSQL's code of an error. Its first two characters are the
// class.
//
// Source: https://www.postgresql.org/docs/current/errcodes-appendix.html.
type sqlState string

// Error implements error.
func (s sqlState) Error() string { return "SQLSTATE " + string(s) }

func (s sqlState) class() string { return string(s[:min(2, len(s))]) }

// programLimit is, of an INSERT, a value that is too long for an index.
const programLimit sqlState = "54000"

// syntaxError quotes the statement, which a trigger may have made of values.
const syntaxError sqlState = "42601"

// refusesRow reports whether the code of an error in COPY or INSERT blames a
// value, so that another try of the same rows must fail again. Every other code,
// an unknown one too, is tried again: a missing table, a wrong password or a full
// disk can be mended without touching the data.
func (s sqlState) refusesRow() bool {
	return s.class() == "22" || s.class() == "23" || s == programLimit
}

// blamesServer reports whether the error's message speaks of the server or of
// the tables, and so can be repeated in a log.
func (s sqlState) blamesServer() bool {
	switch s.class() {
	case "08", // connection
		"25", // transaction, such as a read-only one
		"28", // authorization
		"3D", // database
		"3F", // schema
		"40", // rolled back, such as after a deadlock
		"42", // privileges, tables and columns
		"53", // resources
		"55", // state of an object
		"57": // operator
		return s != syntaxError
	default:
		return false
	}
}

// describe classifies an error by its code, never by its text, and keeps the text
// only where it cannot quote a row. It is for what is no row's fault.
func (s *Sink) describe(err error) error {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("postgres %s: %w", s.at, err)
	}
	code := sqlState(answer.Code)
	if code.blamesServer() {
		return fmt.Errorf("postgres %s: %w: %.500s", s.at, code, answer.Message)
	}
	return fmt.Errorf("postgres %s: %w; see the server's log, for the message may quote a row", s.at, code)
}

// refused returns the error of a batch that was sent, which is permanent where
// the server refuses a row. Nothing of the batch is stored then, for it is one
// transaction; and what was stored before is not sent to the table again.
func (s *Sink) refused(t *table, err error) error {
	answer, ok := errors.AsType[*pgconn.PgError](err)
	if !ok || !sqlState(answer.Code).refusesRow() {
		return s.describe(err)
	}
	where := []string{"table " + t.contract.Name}
	if answer.TableName != "" {
		where[0] = "table " + answer.TableName
	}
	if answer.ColumnName != "" {
		where = append(where, "column "+answer.ColumnName)
	}
	if answer.ConstraintName != "" {
		where = append(where, "constraint "+answer.ConstraintName)
	}
	return sinks.Permanent(sinks.RowRefused, -1, fmt.Errorf("%s: %w", strings.Join(where, ", "), sqlState(answer.Code)))
}
