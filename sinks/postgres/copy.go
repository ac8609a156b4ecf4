package postgres

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// copyHeader begins what COPY reads in its binary format: a signature, flags, and
// the length of an extension that there is none of.
//
// Source: https://www.postgresql.org/docs/current/sql-copy.html, "Binary Format".
const copyHeader = "PGCOPY\n\xff\r\n\x00" + "\x00\x00\x00\x00" + "\x00\x00\x00\x00"

// PostgreSQL counts times and dates from 2000-01-01.
const (
	epochMillis = 946_684_800_000
	epochDays   = 10_957
)

// keptBuffer is how large a buffer may be that is kept for the next batch.
const keptBuffer = 16 << 20

// An encoder turns the batches of one table into what COPY reads. It is reused,
// for it holds a large buffer.
type encoder struct {
	table   *table
	decoder *schema.Decoder
	row     schema.Row
	buffer  []byte
}

func newEncoder(t *table) *encoder {
	return &encoder{table: t, decoder: schema.NewDecoder(t.contract), row: make(schema.Row, len(t.contract.Columns))}
}

// encode returns the whole batch, which is valid until the next call.
func (e *encoder) encode(b *sinks.Batch) ([]byte, error) {
	if cap(e.buffer) > keptBuffer {
		e.buffer = nil
	}
	data := append(e.buffer[:0], copyHeader...)
	columns := e.table.contract.Columns
	for i := range b.Records {
		record := &b.Records[i]
		if err := e.decoder.Decode(record.Value, e.row); err != nil {
			return nil, sinks.Permanent(sinks.Undecodable, i, err)
		}
		data = binary.BigEndian.AppendUint16(data, uint16(len(e.table.staged))) //nolint:gosec // A table has at most 1,600 columns.
		for k := range columns {
			v := &e.row[k]
			if hasNUL(&columns[k], v) {
				if e.table.keyed() {
					return nil, sinks.Permanent(sinks.RowRefused, i, fmt.Errorf("column %s of table %s: a text of PostgreSQL cannot hold the character U+0000", columns[k].Name, e.table.contract.Name))
				}
				replaceNUL(&columns[k], v)
			}
			data = appendField(data, &columns[k], v)
		}
		if e.table.keyed() {
			data = appendInt64(data, record.Offset)
			continue
		}
		data = appendText(data, b.Topic)
		data = appendInt64(data, int64(b.Partition))
		data = appendInt64(data, record.Offset)
		data = appendInt64(data, record.Timestamp)
	}
	data = binary.BigEndian.AppendUint16(data, 0xffff)
	e.buffer = data
	return data, nil
}

// hasNUL reports whether the value has a character that PostgreSQL's text cannot
// hold.
func hasNUL(c *schema.Column, v *schema.Value) bool {
	if c.Type != schema.String {
		return false
	}
	for i := range v.List {
		if strings.IndexByte(v.List[i].Text, 0) >= 0 {
			return true
		}
	}
	return strings.IndexByte(v.Text, 0) >= 0
}

// replaceNUL puts U+FFFD for it, as for bytes that are not UTF-8. A row that
// every one of counts has a body, byte for byte, that tells what was there.
func replaceNUL(c *schema.Column, v *schema.Value) {
	if c.Array {
		for i := range v.List {
			v.List[i].Text = strings.ReplaceAll(v.List[i].Text, "\x00", "\uFFFD")
		}
		return
	}
	v.Text = strings.ReplaceAll(v.Text, "\x00", "\uFFFD")
}

func appendField(data []byte, c *schema.Column, v *schema.Value) []byte {
	switch {
	case c.Array:
		return appendArray(data, c.Type, v.List)
	case c.Nullable && !v.Set:
		return append(data, 0xff, 0xff, 0xff, 0xff)
	default:
		return appendScalar(data, c.Type, v)
	}
}

// appendScalar appends the value behind its length.
func appendScalar(data []byte, t schema.Type, v *schema.Value) []byte {
	switch t {
	case schema.UUID:
		id, _ := uuid.Parse(v.Text) // The decoder has validated it; one that is missing is the nil UUID.
		return append(append(data, 0, 0, 0, 16), id[:]...)
	case schema.Bool:
		return append(data, 0, 0, 0, 1, byte(v.Int&1))
	case schema.Int64:
		return appendInt64(data, v.Int)
	case schema.Time:
		return appendInt64(data, (v.Int-epochMillis)*1000)
	case schema.Date:
		data = append(data, 0, 0, 0, 4)
		return binary.BigEndian.AppendUint32(data, uint32(v.Int-epochDays)) //nolint:gosec // The decoder allows 1900 to 2299.
	default:
		return appendText(data, v.Text)
	}
}

func appendInt64(data []byte, n int64) []byte {
	data = append(data, 0, 0, 0, 8)
	return binary.BigEndian.AppendUint64(data, uint64(n)) //nolint:gosec // Two's complement is what is meant.
}

func appendText(data []byte, text string) []byte {
	data = binary.BigEndian.AppendUint32(data, uint32(len(text))) //nolint:gosec // A Kafka record is shorter.
	return append(data, text...)
}

// appendArray appends a list as an array of one dimension, which begins at 1, or
// of none where it is empty.
func appendArray(data []byte, t schema.Type, list []schema.Value) []byte {
	start := len(data)
	data = append(data, 0, 0, 0, 0) // The length is filled in when it is known.
	dimensions := uint32(min(len(list), 1))
	data = binary.BigEndian.AppendUint32(data, dimensions)
	data = append(data, 0, 0, 0, 0) // No element is null.
	data = binary.BigEndian.AppendUint32(data, elementOID(t))
	if dimensions == 1 {
		data = binary.BigEndian.AppendUint32(data, uint32(len(list))) //nolint:gosec // A Kafka record is shorter.
		data = binary.BigEndian.AppendUint32(data, 1)
	}
	for i := range list {
		data = appendScalar(data, t, &list[i])
	}
	binary.BigEndian.PutUint32(data[start:], uint32(len(data)-start-4)) //nolint:gosec // A Kafka record is shorter.
	return data
}

func elementOID(t schema.Type) uint32 {
	switch t {
	case schema.UUID:
		return pgtype.UUIDOID
	case schema.Bool:
		return pgtype.BoolOID
	case schema.Int64:
		return pgtype.Int8OID
	case schema.Time:
		return pgtype.TimestamptzOID
	case schema.Date:
		return pgtype.DateOID
	case schema.Bytes:
		return pgtype.ByteaOID
	default:
		return pgtype.TextOID
	}
}
