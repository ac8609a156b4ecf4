package clickhouse

import "github.com/ClickHouse/ch-go/proto"

// rowRefused reports whether ClickHouse's error code blames a value in the
// data, so that another try of the same rows must fail again. Every other
// code, an unknown one too, is tried again: a missing table, a wrong password
// or a full disk can be mended without touching the data.
//
// Source: ClickHouse's src/Common/ErrorCodes.cpp.
func rowRefused(code proto.Error) bool {
	switch code {
	case proto.ErrCannotParseText,
		proto.ErrCannotParseInputAssertionFailed,
		proto.ErrCannotParseDate,
		proto.ErrCannotParseDatetime,
		proto.ErrCannotParseNumber,
		proto.ErrCannotParseUUID,
		proto.ErrArgumentOutOfBound,
		proto.ErrIncorrectData,
		proto.ErrTooLargeStringSize,
		proto.ErrSizesOfArraysDontMatch,
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
