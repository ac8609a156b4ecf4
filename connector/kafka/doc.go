// Package kafka publishes to Kafka and consumes from it, so that nothing that
// was acknowledged is lost and nothing that was not handled is committed.
//
// A [Client] holds the connections. Its [Producer] answers a caller only after
// all in-sync replicas have a message. [Client.Consume] joins a consumer group
// and hands each assigned [Partition] to a function, which fetches records and
// commits offsets at its own pace; a commit of a generation that has passed is
// refused with [ErrFenced], so that two members never own one partition.
//
// The package is built on github.com/segmentio/kafka-go, on its Client,
// Transport and ConsumerGroup. Its Writer and Reader are not used: the Writer
// waits before it sends, and a Reader may rewind the offset of another member
// when it commits after a rebalance.
//
// No key and no value ever appears in a log line, a metric or an error.
package kafka
