package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v5"
	kafkago "github.com/segmentio/kafka-go"
)

const (
	heartbeatInterval = time.Second
	sessionTimeout    = 10 * time.Second
	rebalanceTimeout  = 15 * time.Second
	joinGroupBackoff  = time.Second

	// leaveTimeout bounds how long a member that stops waits for the group. A
	// member that could not leave is forgotten after sessionTimeout.
	leaveTimeout = 3 * time.Second

	// steady is how long a generation lasts for its failure to be a new one, and
	// not one more of a series that calls for longer and longer pauses.
	steady = time.Minute

	// partitionWatch is how often a member looks whether a topic has grown.
	partitionWatch = 5 * time.Second
)

// HandleFunc handles one partition until ctx ends, which it does when the
// generation ends: then it must return soon, within the rebalance timeout of
// 15 s. It may still commit, with a context of its own.
//
// After an error the member leaves the group, and joins it again after a pause, so
// that the partition is handed out again from what was committed, and nothing that
// is still on its way from the old member is taken; whether to log it is for
// the function to decide. After nil the partition rests until the next generation.
type HandleFunc func(ctx context.Context, p *Partition) error

// Consume joins the consumer group and runs handle in one goroutine for each
// assigned partition and generation. All of them have returned before the next
// generation is joined and before Consume returns. Consume goes on until ctx
// ends, and then leaves the group and returns nil; it returns an error only
// when its arguments cannot be used.
func (c *Client) Consume(ctx context.Context, group string, topics []string, start StartOffset, handle HandleFunc) error {
	if err := start.Validate(); err != nil {
		return fmt.Errorf("consumer group %s: start offset %w", group, err)
	}
	// Its own connections, so that they can be cut without harm to others.
	connections := newConnections(c.connections.dialer, c.connections.tls)
	defer connections.close()
	m := &member{
		client: c,
		group:  group,
		topics: topics,
		start:  start,
		handle: handle,
		logger: c.logger.With(slog.String("group", group)),
		retry:  newRetry(time.Second, 30*time.Second),
	}
	config := kafkago.ConsumerGroupConfig{
		ID:      group,
		Brokers: c.addresses,
		Dialer: &kafkago.Dialer{
			ClientID:      c.config.ClientID,
			DialFunc:      connections.dial,
			Timeout:       dialTimeout,
			SASLMechanism: c.mechanism,
		},
		Topics:            topics,
		GroupBalancers:    []kafkago.GroupBalancer{kafkago.RoundRobinGroupBalancer{}},
		HeartbeatInterval: heartbeatInterval,
		SessionTimeout:    sessionTimeout,
		RebalanceTimeout:  rebalanceTimeout,
		JoinGroupBackoff:  joinGroupBackoff,
		Logger:            kafkago.LoggerFunc(m.debug),
		ErrorLogger:       kafkago.LoggerFunc(m.debug), // What it reports comes back from Next too.
	}
	for ctx.Err() == nil {
		consumerGroup, err := kafkago.NewConsumerGroup(config)
		if err != nil {
			return fmt.Errorf("consumer group %s: %w", group, err)
		}
		m.run(ctx, consumerGroup)
		hurry := connections.cut
		if ctx.Err() != nil {
			hurry = connections.close
		}
		late := time.AfterFunc(leaveTimeout, hurry)
		if err := consumerGroup.Close(); err != nil {
			m.logger.WarnContext(ctx, "could not leave the consumer group", slog.Any("error", err))
		}
		late.Stop()
		m.anchors.Wait()
	}
	return nil
}

// member is this process in one consumer group.
type member struct {
	client *Client
	group  string
	topics []string
	start  StartOffset
	handle HandleFunc
	logger *slog.Logger

	retry   *backoff.ExponentialBackOff // Between generations that ended with an error.
	anchors sync.WaitGroup
}

// run goes from generation to generation, until ctx ends or a handler fails.
func (m *member) run(ctx context.Context, consumerGroup *kafkago.ConsumerGroup) {
	joined := true
	for {
		generation, err := consumerGroup.Next(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// kafka-go pauses and tries again by itself.
			m.client.metrics.groupErrors.WithLabelValues(m.group).Inc()
			if joined {
				m.logger.WarnContext(ctx, "cannot join the consumer group; trying again until it works", slog.Any("error", err))
			}
			joined = false
			continue
		}
		joined = true
		m.client.metrics.rebalances.WithLabelValues(m.group).Inc()
		if !m.consume(ctx, generation) {
			return
		}
	}
}

// consume handles one generation, until it ends, ctx does, or a handler fails.
// It reports whether to stay in the group.
func (m *member) consume(ctx context.Context, generation *kafkago.Generation) (stay bool) {
	// The handlers' context ends with the generation, with ctx, or when one of
	// them failed.
	parent, begun := ctx, time.Now()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	failed := false // read after handled
	handled := make(chan struct{})
	m.anchors.Add(1)
	// kafka-go joins the next generation when a function that it has started
	// returns. So there is only one, which waits for all handlers.
	generation.Start(func(generationCtx context.Context) {
		defer m.anchors.Done()
		m.await(ctx, generationCtx)
		cancel()
		<-handled
		if failed || parent.Err() != nil {
			// Stay in the generation until the group is left, rather than to join
			// another one.
			<-generationCtx.Done()
		}
	})

	var handlers sync.WaitGroup
	partitions, err := m.assigned(ctx, generation)
	failed = err != nil
	if err != nil && ctx.Err() == nil {
		m.logger.WarnContext(ctx, "cannot read the committed offsets; trying again", slog.Any("error", err))
		m.client.dropIdle(err)
		pause(ctx, m.retry.NextBackOff())
		cancel()
	}
	var once sync.Once
	for _, partition := range partitions {
		handlers.Go(func() {
			if err := m.handle(ctx, partition); err != nil && ctx.Err() == nil {
				once.Do(func() {
					failed = true
					if time.Since(begun) > steady {
						m.retry.Reset()
					}
					pause(ctx, m.retry.NextBackOff())
					cancel()
				})
			}
		})
	}
	<-ctx.Done()
	handlers.Wait()
	if !failed {
		m.retry.Reset()
	}
	close(handled)
	return !failed
}

// await returns when the generation has ended, when ctx has, or when a topic
// has other partitions than at the beginning. kafka-go could watch that too,
// but ends generations in a tight loop while a topic is missing.
func (m *member) await(ctx, generationCtx context.Context) {
	watch := time.NewTicker(partitionWatch)
	defer watch.Stop()
	before, beforeErr := m.client.describe(ctx, m.topics)
	for {
		select {
		case <-generationCtx.Done():
			return
		case <-ctx.Done():
			return
		case <-watch.C:
		}
		now, err := m.client.describe(ctx, m.topics)
		if err != nil {
			continue
		}
		if beforeErr != nil {
			before, beforeErr = now, nil
		}
		for _, topic := range m.topics {
			if before.partitions[topic] != now.partitions[topic] {
				m.logger.InfoContext(ctx, "the number of partitions has changed", slog.String("topic", topic),
					slog.Int("before", before.partitions[topic]), slog.Int("now", now.partitions[topic]))
				return
			}
		}
	}
}

// assigned returns the partitions of this member, with what is committed.
func (m *member) assigned(ctx context.Context, generation *kafkago.Generation) ([]*Partition, error) {
	request := &kafkago.OffsetFetchRequest{GroupID: m.group, Topics: make(map[string][]int)}
	for topic, assignments := range generation.Assignments {
		for _, assignment := range assignments {
			request.Topics[topic] = append(request.Topics[topic], assignment.ID)
		}
	}
	if len(request.Topics) == 0 {
		return nil, nil // An empty request would ask for all topics.
	}
	response, err := m.client.kafka.OffsetFetch(ctx, request)
	if err == nil {
		err = response.Error
	}
	if err != nil {
		return nil, fmt.Errorf("fetch the offsets of the group: %w", err)
	}

	var partitions []*Partition
	for topic, ids := range request.Topics {
		committed := make(map[int]kafkago.OffsetFetchPartition, len(ids))
		for _, fetched := range response.Topics[topic] {
			committed[fetched.Partition] = fetched
		}
		for _, id := range ids {
			fetched, ok := committed[id]
			if !ok {
				return nil, fmt.Errorf("fetch the offsets of the group: no answer for partition %d of topic %s", id, topic)
			}
			if fetched.Error != nil {
				return nil, fmt.Errorf("fetch the offset of partition %d of topic %s: %w", id, topic, fetched.Error)
			}
			partition := &Partition{
				Topic:      topic,
				ID:         id,
				Generation: int(generation.ID),
				Committed:  fetched.CommittedOffset,
				Metadata:   fetched.Metadata,
				client:     m.client,
				group:      m.group,
				member:     generation.MemberID,
				logger:     m.logger.With(slog.String("topic", topic), slog.Int("partition", id)),
			}
			if err := m.begin(ctx, partition); err != nil {
				return nil, err
			}
			partitions = append(partitions, partition)
		}
	}
	return partitions, nil
}

// begin finds where to begin in a partition without a committed offset.
func (m *member) begin(ctx context.Context, partition *Partition) error {
	if partition.Committed >= 0 {
		return nil
	}
	first, end, err := partition.bounds(ctx)
	if err != nil {
		return err
	}
	partition.Committed, partition.Metadata = first, ""
	if m.start == StartEarliest {
		return nil
	}
	partition.Committed = end
	if at, ok := m.start.time(); ok {
		if partition.Committed, err = partition.offsetAt(ctx, at, end); err != nil {
			return err
		}
	}
	// Without a commit, a member that stops before its first one would skip
	// what is published until the next member begins.
	return partition.Commit(ctx, partition.Committed, "")
}

// debug takes kafka-go's own log, which says nothing of records.
func (m *member) debug(format string, args ...any) {
	if ctx := context.Background(); m.logger.Enabled(ctx, slog.LevelDebug) {
		m.logger.DebugContext(ctx, "kafka-go", slog.String("detail", fmt.Sprintf(format, args...)))
	}
}

// Commit sets next as the offset from which the group goes on in the partition,
// with metadata for whoever does so (brokers allow 4096 bytes). It retries what
// a broker says is transient, and connections that cannot be opened, until ctx
// ends. It returns ErrFenced when the generation has passed: then nothing was
// committed.
//
// After any other error the offset may have been committed, or may be yet: a
// request whose answer was lost can arrive late, and is taken for as long as the
// generation lasts. So the handler must return the error, which ends the
// generation.
func (p *Partition) Commit(ctx context.Context, next int64, metadata string) error {
	retry := newRetry(25*time.Millisecond, time.Second)
	for {
		err := p.commit(ctx, next, metadata)
		switch {
		case err == nil:
			return nil
		case isFenced(err):
			return fmt.Errorf("commit offset %d of partition %d of topic %s: %w: %w", next, p.ID, p.Topic, ErrFenced, err)
		}
		p.client.dropIdle(err)
		if !isTransient(err) || !isUnsent(err) || ctx.Err() != nil || !pause(ctx, retry.NextBackOff()) {
			return fmt.Errorf("commit offset %d of partition %d of topic %s: %w", next, p.ID, p.Topic, markTransient(err))
		}
	}
}

// isUnsent reports whether the error of a request says that no broker can be
// about to carry it out: one has answered, or none was reached.
func isUnsent(err error) bool {
	var code kafkago.Error
	var network *net.OpError
	return errors.As(err, &code) || errors.As(err, &network) && network.Op == "dial"
}

func (p *Partition) commit(ctx context.Context, next int64, metadata string) error {
	response, err := p.client.kafka.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{
		GroupID:      p.group,
		GenerationID: p.Generation,
		MemberID:     p.member,
		Topics:       map[string][]kafkago.OffsetCommit{p.Topic: {{Partition: p.ID, Offset: next, Metadata: metadata}}},
	})
	if err != nil {
		return err
	}
	for _, committed := range response.Topics[p.Topic] {
		if committed.Partition == p.ID {
			return committed.Error
		}
	}
	return errors.New("the broker did not say whether the offset was committed")
}
