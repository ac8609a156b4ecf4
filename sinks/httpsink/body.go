package httpsink

import (
	"encoding/json"
	"fmt"
	"time"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
)

// encode returns the batch as the body of a request. The rows are encoded anew,
// so that they have the table's columns and nothing else, and a line each. The
// same batch gives the same bytes.
func (s *Sink) encode(b *sinks.Batch) ([]byte, error) {
	size := 512
	for i := range b.Records {
		size += len(b.Records[i].Value) + 1
	}
	body := make([]byte, 0, size)
	separator, end := byte('\n'), "\n"
	if s.cfg.Format == FormatJSON {
		separator, end = ',', "]}"
		body = appendHead(body, b)
	}
	decoder, row := schema.NewDecoder(b.Table), make(schema.Row, len(b.Table.Columns))
	for i, r := range b.Records {
		if err := decoder.Decode(r.Value, row); err != nil {
			return nil, sinks.Permanent(sinks.Undecodable, i, err)
		}
		if i > 0 {
			body = append(body, separator)
		}
		body = b.Table.AppendRow(body, row)
	}
	return append(body, end...), nil
}

// appendHead appends a payload as Standard Webhooks describes it, up to the
// rows, with what the receiver may want to know of where they come from.
func appendHead(dst []byte, b *sinks.Batch) []byte {
	text := func(s string) []byte {
		quoted, err := json.Marshal(s)
		if err != nil {
			panic(err) // Every string can be written.
		}
		return quoted
	}
	return fmt.Appendf(dst, `{"type":%s,"timestamp":"%s","table":%s,"source":{"topic":%s,"partition":%d,"first_offset":%d,"last_offset":%d},"data":[`,
		text(b.Table.Topic), time.UnixMilli(b.Records[0].Timestamp).UTC().Format("2006-01-02T15:04:05.000Z"),
		text(b.Table.Name), text(b.Topic), b.Partition, b.First(), b.Last())
}
