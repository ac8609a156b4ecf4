package kafka

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"

	kafkago "github.com/segmentio/kafka-go"
)

// maxMessageBytes is the topic's setting that bounds a batch of records.
const maxMessageBytes = "max.message.bytes"

// warnOfSmallTopics logs each topic that takes smaller batches than the
// configuration counts on: a large webhook would be refused again and again. A
// topic whose settings may not be read is passed over.
func (c *Client) warnOfSmallTopics(ctx context.Context, topics []string) error {
	request := &kafkago.DescribeConfigsRequest{}
	for _, topic := range topics {
		request.Resources = append(request.Resources, kafkago.DescribeConfigRequestResource{
			ResourceType: kafkago.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{maxMessageBytes},
		})
	}
	response, err := c.kafka.DescribeConfigs(ctx, request)
	if err != nil {
		return fmt.Errorf("read the settings of topics: %w", markTransient(err))
	}
	for _, resource := range response.Resources {
		if resource.Error != nil {
			c.logger.DebugContext(ctx, "the settings of a topic cannot be read", slog.String("topic", resource.ResourceName), slog.Any("error", resource.Error))
			continue
		}
		for _, entry := range resource.ConfigEntries {
			limit, err := strconv.Atoi(entry.ConfigValue)
			if entry.ConfigName == maxMessageBytes && err == nil && limit < c.config.Topics.MaxMessageBytes {
				c.logger.WarnContext(ctx, "a topic takes smaller messages than topics.max_message_bytes: large webhooks will be answered 503; raise the topic's max.message.bytes",
					slog.String("topic", resource.ResourceName), slog.Int("max_message_bytes", limit), slog.Int("wanted", c.config.Topics.MaxMessageBytes))
			}
		}
	}
	return nil
}
