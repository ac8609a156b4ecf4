package kafka

import (
	"context"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// StartOffset says where a group begins in a partition for which it has not
// committed any offset: at one of the values below, or at a time as RFC 3339, with
// the first record that is not older. Where there is none yet, as for a time that
// is still to come, it begins with what comes next.
type StartOffset string

// Values of StartOffset.
const (
	StartEarliest StartOffset = "earliest"
	StartLatest   StartOffset = "latest"
)

// Validate says what a StartOffset may be.
func (s StartOffset) Validate() error {
	if _, ok := s.time(); !ok && s != StartEarliest && s != StartLatest {
		return fmt.Errorf("must be %s, %s or a time such as 2026-01-31T00:00:00Z, is %q", StartEarliest, StartLatest, string(s))
	}
	return nil
}

func (s StartOffset) time() (time.Time, bool) {
	at, err := time.Parse(time.RFC3339, string(s))
	return at, err == nil
}

// offsetAt returns the offset of the first record that is not older than at, or
// end where there is none.
func (p *Partition) offsetAt(ctx context.Context, at time.Time, end int64) (int64, error) {
	response, err := p.client.kafka.ListOffsets(ctx, &kafkago.ListOffsetsRequest{
		Topics: map[string][]kafkago.OffsetRequest{p.Topic: {kafkago.TimeOffsetOf(p.ID, at)}},
	})
	if err != nil {
		return 0, fmt.Errorf("find the offset of %s in partition %d of topic %s: %w", at.Format(time.RFC3339), p.ID, p.Topic, err)
	}
	for _, listed := range response.Topics[p.Topic] {
		if listed.Partition != p.ID {
			continue
		}
		if listed.Error != nil {
			return 0, fmt.Errorf("find the offset of %s in partition %d of topic %s: %w", at.Format(time.RFC3339), p.ID, p.Topic, listed.Error)
		}
		for offset := range listed.Offsets {
			if offset >= 0 {
				return offset, nil
			}
		}
	}
	return end, nil
}
