package clickhouse

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/ClickHouse/clickhouse-go/v2"

	"loyaltyhouse/sinks"
)

// constraintName finds the name of a violated constraint in ClickHouse's message.
// The rest of it, with the row's values, is left out.
var constraintName = regexp.MustCompile("^Constraint `([A-Za-z0-9_]+)` for table ")

// describe says where an error happened, with ClickHouse's text only where that
// cannot quote a row.
func (s *Sink) describe(err error) error {
	at := strings.Join(s.cfg.Addresses, ", ")
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	if !ok {
		return fmt.Errorf("clickhouse %s: %w", at, err)
	}
	code := proto.Error(exception.Code)
	if blamesServer(code) {
		return fmt.Errorf("clickhouse %s: %w: %.500s", at, code, exception.Message)
	}
	return fmt.Errorf("clickhouse %s: %w; see the server's log, for the message may quote a row", at, code)
}

// verdict describes the error of rows that were sent. Whether it is permanent is
// told by ClickHouse's code, never by its text. What is asked or prepared can
// fail with the same codes, and says nothing of the rows.
func (s *Sink) verdict(err error) error {
	exception, ok := errors.AsType[*clickhouse.Exception](err)
	if !ok {
		return s.describe(err)
	}
	code := proto.Error(exception.Code)
	switch {
	case code == proto.ErrViolatedConstraint:
		name := constraintName.FindStringSubmatch(exception.Message)
		if name == nil {
			return sinks.Permanent(sinks.RowRefused, -1, code)
		}
		return sinks.Permanent(sinks.RowRefused, -1, fmt.Errorf("constraint %s: %w", name[1], code))
	case rowRefused(code):
		return sinks.Permanent(sinks.RowRefused, -1, code)
	default:
		return s.describe(err)
	}
}

// rowRefused reports whether ClickHouse's error code blames a value in the
// data, so that another try of the same rows must fail again: a constraint, or an
// expression of a column that cannot take a value. A materialized view fails with
// the same codes; see [Sink.refused]. Every other code,
// an unknown one too, is tried again: a missing table, a wrong password or a
// full disk can be mended without touching the data.
//
// Source: ClickHouse's src/Common/ErrorCodes.cpp.
func rowRefused(code proto.Error) bool {
	switch code {
	case proto.ErrCannotParseText,
		proto.ErrCannotParseEscapeSequence,
		proto.ErrCannotParseQuotedString,
		proto.ErrCannotParseInputAssertionFailed,
		proto.ErrCannotParseDate,
		proto.ErrCannotParseDatetime,
		proto.ErrCannotParseNumber,
		proto.ErrCannotParseUUID,
		proto.ErrCannotParseDomainValueFromString,
		proto.ErrCannotParseBool,
		proto.ErrCannotParseIpv4,
		proto.ErrCannotParseIpv6,
		proto.ErrUnexpectedDataAfterParsedValue,
		proto.ErrArgumentOutOfBound,
		proto.ErrIncorrectData,
		proto.ErrTooLargeStringSize,
		proto.ErrSizesOfArraysDontMatch,
		proto.ErrSizesOfNestedColumnsAreInconsistent,
		proto.ErrFunctionThrowIfValueIsNonZero,
		proto.ErrDecimalOverflow,
		proto.ErrValueIsOutOfRangeOfDataType,
		proto.ErrCannotInsertNullInOrdinaryColumn,
		proto.ErrViolatedConstraint,
		proto.ErrUnknownElementOfEnum:
		return true
	default:
		return false
	}
}

// blamesServer reports whether the error's message speaks of the server or of
// the tables, and so can be repeated in a log.
func blamesServer(code proto.Error) bool {
	switch code {
	case proto.ErrNoSuchColumnInTable,
		proto.ErrUnknownIdentifier,
		proto.ErrUnknownTable,
		proto.ErrSyntaxError,
		proto.ErrUnknownDatabase,
		proto.ErrUnknownSetting,
		proto.ErrTimeoutExceeded,
		proto.ErrReadonly,
		proto.ErrUnknownUser,
		proto.ErrWrongPassword,
		proto.ErrRequiredPassword,
		proto.ErrIPAddressNotAllowed,
		proto.ErrQuotaExceeded,
		proto.ErrTooManySimultaneousQueries,
		proto.ErrTableIsDropped,
		proto.ErrNoZookeeper,
		proto.ErrAborted,
		proto.ErrMemoryLimitExceeded,
		proto.ErrTableIsReadOnly,
		proto.ErrNotEnoughSpace,
		proto.ErrTooManyParts,
		proto.ErrQueryWasCancelled,
		proto.ErrAccessDenied,
		proto.ErrAuthenticationFailed,
		proto.ErrKeeperException:
		return true
	default:
		return false
	}
}
