package files

import (
	"bytes"
	"fmt"

	"github.com/google/uuid"
	"github.com/klauspost/compress/zstd"
	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/compress/gzip"
	"github.com/parquet-go/parquet-go/compress/uncompressed"
	parquetzstd "github.com/parquet-go/parquet-go/compress/zstd"

	"loyaltyhouse/schema"
)

const (
	// rowGroupRows is what readers divide a file by, and what the writer holds in
	// memory uncompressed.
	rowGroupRows = 100_000
	// dictionaryBytes is the size at which a dictionary costs more than it saves.
	dictionaryBytes = 256 << 10
)

var parquetCodecs = map[string]compress.Codec{
	"none": &uncompressed.Codec{},
	"gzip": &gzip.Codec{Level: gzip.DefaultCompression},
	"zstd": newZstdCodec(),
}

// A zstdCodec keeps its encoders, whose tables are large, where the library's own
// would lose them to the garbage collector and make them anew for small pages.
type zstdCodec struct {
	parquetzstd.Codec
	encoder *zstd.Encoder
}

func newZstdCodec() *zstdCodec {
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.SpeedDefault), zstd.WithZeroFrames(true), zstd.WithEncoderCRC(false))
	if err != nil {
		panic(err) // Only an option can be wrong.
	}
	return &zstdCodec{encoder: encoder}
}

// Encode implements compress.Codec. As many pages as there are processors are
// compressed at once.
func (c *zstdCodec) Encode(dst, src []byte) ([]byte, error) {
	return c.encoder.EncodeAll(src, dst[:0]), nil
}

// A parquetEncoder writes the rows of one table as Parquet files, with the
// encodings and pages that every reader knows.
type parquetEncoder struct {
	columns []schema.Column
	writer  *parquet.GenericWriter[any]
	row     parquet.Row
}

func newParquetEncoder(t *schema.Table, codec compress.Codec) *parquetEncoder {
	order := make([]parquet.SortingColumn, 0, 4)
	for _, i := range sortingKey(t) {
		if i >= 0 {
			order = append(order, parquet.Ascending(t.Columns[i].Name))
		}
	}
	return &parquetEncoder{
		columns: t.Columns,
		writer: parquet.NewGenericWriter[any](nil,
			parquet.NewSchema(t.Name, newRecord(t)),
			parquet.Compression(codec),
			parquet.DataPageVersion(1),
			parquet.MaxRowsPerRowGroup(rowGroupRows),
			parquet.DictionaryMaxBytes(dictionaryBytes),
			parquet.SortingWriterConfig(parquet.SortingColumns(order...)),
			parquet.CreatedBy("loyaltyhouse", "1", "parquet-go"),
		),
	}
}

func (e *parquetEncoder) begin(w *bytes.Buffer) error {
	e.writer.Reset(w)
	return nil
}

func (e *parquetEncoder) add(row schema.Row) error {
	values := e.row[:0]
	for i := range row {
		c, v := &e.columns[i], &row[i]
		switch {
		case c.Array && len(v.List) == 0:
			values = append(values, parquet.NullValue().Level(0, 0, i))
		case c.Array:
			for j := range v.List {
				values = append(values, parquetValue(c.Type, &v.List[j]).Level(min(j, 1), 1, i))
			}
		case c.Nullable && !v.Set:
			values = append(values, parquet.NullValue().Level(0, 0, i))
		case c.Nullable:
			values = append(values, parquetValue(c.Type, v).Level(0, 1, i))
		default:
			values = append(values, parquetValue(c.Type, v).Level(0, 0, i))
		}
	}
	e.row = values
	_, err := e.writer.WriteRows([]parquet.Row{values})
	return err
}

func (e *parquetEncoder) end() error { return e.writer.Close() }

func parquetValue(t schema.Type, v *schema.Value) parquet.Value {
	switch t {
	case schema.Bool:
		return parquet.BooleanValue(v.Int != 0)
	case schema.Int64, schema.Time:
		return parquet.Int64Value(v.Int)
	case schema.Date:
		return parquet.Int32Value(int32(v.Int)) //nolint:gosec // A date lies within schema.MinDate and schema.MaxDate.
	case schema.UUID:
		id := uuid.MustParse(emptyUUID(v.Text))
		return parquet.FixedLenByteArrayValue(id[:])
	default:
		return parquet.ByteArrayValue([]byte(v.Text))
	}
}

// emptyUUID returns the text of a UUID column that a record may lack.
func emptyUUID(text string) string {
	if text == "" {
		return uuid.Nil.String()
	}
	return text
}

// A record is the root of a table's Parquet schema. Unlike a plain
// [parquet.Group] it keeps the order of the columns.
type record struct {
	parquet.Group
	fields []parquet.Field
}

func newRecord(t *schema.Table) record {
	r := record{Group: parquet.Group{}}
	for _, c := range t.Columns {
		node := parquetNode(c)
		r.Group[c.Name] = node
		r.fields = append(r.fields, parquet.Group{c.Name: node}.Fields()[0])
	}
	return r
}

// Fields returns the columns in the table's order.
func (r record) Fields() []parquet.Field { return r.fields }

// parquetNode returns the column's type. A list is never null and holds no nulls.
func parquetNode(c schema.Column) parquet.Node {
	var node parquet.Node
	switch c.Type {
	case schema.String:
		node = parquet.Encoded(parquet.String(), &parquet.RLEDictionary)
	case schema.Bytes:
		node = parquet.Leaf(parquet.ByteArrayType)
	case schema.UUID:
		node = parquet.UUID()
	case schema.Bool:
		node = parquet.Leaf(parquet.BooleanType)
	case schema.Int64:
		node = parquet.Int(64)
	case schema.Time:
		node = parquet.Timestamp(parquet.Millisecond)
	case schema.Date:
		node = parquet.Date()
	default:
		panic(fmt.Sprintf("files: column %s has no type", c.Name))
	}
	switch {
	case c.Array:
		return parquet.List(node)
	case c.Nullable:
		return parquet.Optional(node)
	default:
		return node
	}
}
