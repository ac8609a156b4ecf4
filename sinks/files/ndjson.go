package files

import (
	"bytes"
	"compress/gzip"
	"io"

	"github.com/klauspost/compress/zstd"

	"loyaltyhouse/schema"
)

// An ndjsonEncoder writes each row as a line of JSON, as it is in Kafka.
type ndjsonEncoder struct {
	table  *schema.Table
	wrap   func(io.Writer) (io.WriteCloser, error)
	writer io.WriteCloser
	line   []byte
}

var ndjsonCodecs = map[string]func(io.Writer) (io.WriteCloser, error){
	"none": func(w io.Writer) (io.WriteCloser, error) { return unclosed{w}, nil },
	"gzip": func(w io.Writer) (io.WriteCloser, error) { return gzip.NewWriter(w), nil },
	"zstd": func(w io.Writer) (io.WriteCloser, error) {
		return zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithLowerEncoderMem(true))
	},
}

func (e *ndjsonEncoder) begin(w *bytes.Buffer) (err error) {
	e.writer, err = e.wrap(w)
	return err
}

func (e *ndjsonEncoder) add(row schema.Row) error {
	e.line = append(e.table.AppendRow(e.line[:0], row), '\n')
	_, err := e.writer.Write(e.line)
	return err
}

func (e *ndjsonEncoder) end() error { return e.writer.Close() }

// unclosed is a writer with nothing to close.
type unclosed struct{ io.Writer }

// Close implements io.Closer.
func (unclosed) Close() error { return nil }
