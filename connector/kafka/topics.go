package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"time"

	kafkago "github.com/segmentio/kafka-go"
)

// EnsureTopics creates those of the topics that are missing, if the
// configuration allows that, and waits until each partition has a leader. It
// leaves topics alone that exist. It retries until ctx ends while no broker
// answers. Names are full ones, with their prefix.
func (c *Client) EnsureTopics(ctx context.Context, topics []string) error {
	for _, topic := range topics {
		if len(topic) > 249 || !legalTopic.MatchString(topic) {
			return fmt.Errorf("topic %q: Kafka allows at most 249 letters, digits, '.', '_' and '-'", topic)
		}
	}
	c.mu.Lock()
	c.topics = slices.Clone(topics)
	c.mu.Unlock()

	retry := newRetry(50*time.Millisecond, time.Second)
	for {
		err := c.ensureTopics(ctx, topics)
		if err == nil {
			err = c.warnOfSmallTopics(ctx, topics)
		}
		if err == nil || !errors.Is(err, ErrUnavailable) {
			return err
		}
		c.dropIdle(err)
		if !pause(ctx, retry.NextBackOff()) {
			return fmt.Errorf("%w: %w", err, context.Cause(ctx))
		}
	}
}

// ensureTopics is one attempt. Its error is ErrUnavailable where another may
// help.
func (c *Client) ensureTopics(ctx context.Context, topics []string) error {
	state, err := c.describe(ctx, topics)
	if err != nil {
		return err
	}
	if len(state.missing) > 0 {
		if !c.config.Topics.Create {
			return fmt.Errorf("%w; create them, or set topics.create to true", state.unready())
		}
		return c.createTopics(ctx, state.missing)
	}
	if err := state.unready(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// createTopics returns nil only when the topics are known to have leaders.
func (c *Client) createTopics(ctx context.Context, topics []string) error {
	request := &kafkago.CreateTopicsRequest{}
	for _, topic := range topics {
		request.Topics = append(request.Topics, kafkago.TopicConfig{
			Topic:             topic,
			NumPartitions:     c.config.Topics.Partitions,
			ReplicationFactor: c.config.Topics.ReplicationFactor,
			ConfigEntries:     c.config.Topics.entries(),
		})
	}
	response, err := c.kafka.CreateTopics(ctx, request)
	if err != nil {
		return fmt.Errorf("create topics: %w", markTransient(err))
	}
	for _, topic := range topics {
		err := response.Errors[topic]
		switch {
		case err == nil:
			c.logger.InfoContext(ctx, "created a Kafka topic", slog.String("topic", topic),
				slog.Int("partitions", c.config.Topics.Partitions),
				slog.Int("replication_factor", c.config.Topics.ReplicationFactor))
		case errors.Is(err, kafkago.TopicAlreadyExists): // Another process was faster.
		default:
			return fmt.Errorf("create topic %s: %w%s", topic, markTransient(err), adviceOnCreate(err))
		}
	}
	state, err := c.describe(ctx, topics)
	if err != nil {
		return err
	}
	if err := state.unready(); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

func adviceOnCreate(err error) string {
	switch {
	case errors.Is(err, kafkago.InvalidReplicationFactor):
		return "; topics.replication_factor must not exceed the number of brokers"
	case errors.Is(err, kafkago.TopicAuthorizationFailed), errors.Is(err, kafkago.ClusterAuthorizationFailed):
		return "; allow this user to create topics, or create them and set topics.create to false"
	case errors.Is(err, kafkago.InvalidConfiguration), errors.Is(err, kafkago.PolicyViolation):
		return "; the brokers refuse what topics says, such as topics.max_message_bytes or topics.retention_ms"
	}
	return ""
}

// entries are a new topic's settings, by the names of Kafka's documentation:
// https://kafka.apache.org/documentation/#topicconfigs.
func (t TopicConfig) entries() []kafkago.ConfigEntry {
	entries := []kafkago.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: maxMessageBytes, ConfigValue: strconv.Itoa(t.MaxMessageBytes)},
	}
	optional := func(name string, value int64) {
		if value != 0 {
			entries = append(entries, kafkago.ConfigEntry{ConfigName: name, ConfigValue: strconv.FormatInt(value, 10)})
		}
	}
	optional("min.insync.replicas", int64(t.MinInSyncReplicas))
	optional("retention.ms", t.RetentionMillis)
	optional("retention.bytes", t.RetentionBytes)
	return entries
}
