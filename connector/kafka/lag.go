package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// Lag is how far a consumer group is behind in one topic.
type Lag struct {
	Topic string
	// Begun tells that the group has committed an offset in the topic.
	Begun bool
	// Records are not committed yet. Where nothing is, they are all that the log
	// holds.
	Records int64
	// Oldest is the time of the oldest of them, zero without one.
	Oldest time.Time
	// Lost records were deleted from the log before they were committed.
	Lost int64
}

// Lags returns how far the group is behind in each of the topics, which exist.
func (c *Client) Lags(ctx context.Context, group string, topics []string) ([]Lag, error) {
	logs, err := c.logs(ctx, topics)
	if err != nil {
		return nil, err
	}
	request := &kafkago.OffsetFetchRequest{GroupID: group, Topics: map[string][]int{}}
	for topic, partitions := range logs {
		for _, p := range partitions {
			request.Topics[topic] = append(request.Topics[topic], p.Partition)
		}
	}
	response, err := c.fetchOffsets(ctx, request)
	if errors.Is(err, kafkago.GroupAuthorizationFailed) {
		return nil, fmt.Errorf("%w; allow the user Read on group %s", err, group)
	}
	if err != nil {
		return nil, fmt.Errorf("read the offsets of group %s: %w", group, markTransient(err))
	}
	lags := make([]Lag, len(topics))
	for i, topic := range topics {
		lags[i].Topic = topic
		committed := map[int]int64{}
		for _, p := range response.Topics[topic] {
			if p.Error != nil {
				return nil, fmt.Errorf("read the offset of group %s in partition %d of topic %s: %w", group, p.Partition, topic, p.Error)
			}
			committed[p.Partition] = p.CommittedOffset
		}
		for _, p := range logs[topic] {
			from, begun := committed[p.Partition]
			if begun = begun && from >= 0; !begun {
				from = p.FirstOffset
			}
			if err := c.addLag(ctx, &lags[i], topic, p, from, begun); err != nil {
				return nil, err
			}
		}
	}
	return lags, nil
}

// fetchOffsets asks again while the group's coordinator is being found: a cluster
// that never had a group makes the topic for their offsets first.
func (c *Client) fetchOffsets(ctx context.Context, request *kafkago.OffsetFetchRequest) (*kafkago.OffsetFetchResponse, error) {
	retry := newRetry(50*time.Millisecond, time.Second)
	for {
		response, err := c.kafka.OffsetFetch(ctx, request)
		if err == nil {
			err = response.Error
		}
		switch {
		case errors.Is(err, kafkago.GroupIdNotFound):
			return &kafkago.OffsetFetchResponse{}, nil // A group that nobody has joined has committed nothing.
		case errors.Is(err, kafkago.NotCoordinatorForGroup), errors.Is(err, kafkago.GroupCoordinatorNotAvailable), errors.Is(err, kafkago.GroupLoadInProgress):
			if pause(ctx, retry.NextBackOff()) {
				continue
			}
		}
		return response, err
	}
}

// addLag adds one partition, in which the group goes on at from.
func (c *Client) addLag(ctx context.Context, lag *Lag, topic string, p kafkago.PartitionOffsets, from int64, begun bool) error {
	lag.Begun = lag.Begun || begun
	lag.Lost += max(p.FirstOffset-from, 0)
	from = max(from, p.FirstOffset)
	if from >= p.LastOffset {
		return nil
	}
	lag.Records += p.LastOffset - from
	at, err := c.timestampOf(ctx, topic, p.Partition, from)
	if err == nil && !at.IsZero() && (lag.Oldest.IsZero() || at.Before(lag.Oldest)) {
		lag.Oldest = at
	}
	return err
}

// Latest returns the time of the latest record of each topic that has one. Topics
// that do not exist have none.
func (c *Client) Latest(ctx context.Context, topics []string) (map[string]time.Time, error) {
	logs, err := c.logs(ctx, topics)
	if err != nil {
		return nil, err
	}
	latest := map[string]time.Time{}
	for topic, partitions := range logs {
		for _, p := range partitions {
			if p.LastOffset <= p.FirstOffset {
				continue
			}
			at, err := c.timestampOf(ctx, topic, p.Partition, p.LastOffset-1)
			if err != nil {
				return nil, err
			}
			if at.After(latest[topic]) {
				latest[topic] = at
			}
		}
	}
	return latest, nil
}

// timestampOf returns the zero time for a record that is not in the log.
func (c *Client) timestampOf(ctx context.Context, topic string, partition int, offset int64) (time.Time, error) {
	millis, err := (&Partition{Topic: topic, ID: partition, client: c}).TimestampBefore(ctx, offset+1)
	if errors.Is(err, ErrGone) || err == nil && millis == 0 {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return time.UnixMilli(millis).UTC(), nil
}

// logs returns the bounds of every partition of those topics that exist.
func (c *Client) logs(ctx context.Context, topics []string) (map[string][]kafkago.PartitionOffsets, error) {
	state, err := c.describe(ctx, topics)
	if err != nil {
		return nil, err
	}
	request := &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{}}
	for topic, partitions := range state.partitions {
		for p := range partitions {
			request.Topics[topic] = append(request.Topics[topic], kafkago.FirstOffsetOf(p), kafkago.LastOffsetOf(p))
		}
	}
	if len(request.Topics) == 0 {
		return nil, nil
	}
	response, err := c.kafka.ListOffsets(ctx, request)
	if err != nil {
		return nil, fmt.Errorf("list the offsets of topics: %w", markTransient(err))
	}
	for topic, partitions := range response.Topics {
		for _, p := range partitions {
			if p.Error != nil {
				return nil, fmt.Errorf("list the offsets of partition %d of topic %s: %w", p.Partition, topic, p.Error)
			}
		}
	}
	return response.Topics, nil
}
