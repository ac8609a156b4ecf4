package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

var (
	// ErrClosed is returned after Close.
	ErrClosed = errors.New("closed")

	// ErrQueueFull is returned at once when too much waits to be sent. The
	// caller should ask its own caller to come back later.
	ErrQueueFull = errors.New("too many messages wait to be sent")

	// ErrUnavailable marks an error that passes by itself: a broker that does
	// not answer, a partition without a leader, too few in-sync replicas.
	ErrUnavailable = errors.New("kafka is not available")

	// ErrNoTopic is returned by Fetch where the topic or the partition does not
	// exist: it was deleted, or a broker that has just started does not know it yet.
	ErrNoTopic = errors.New("the topic or the partition does not exist")

	// ErrFenced is returned for a commit whose generation has passed: another
	// member may own the partition. The caller must drop what it holds.
	ErrFenced = errors.New("the consumer group has moved on to another generation")
)

// Reason says why messages were not acknowledged. The set is bounded, so that
// it can label a metric.
type Reason string

// Reasons of a PublishError.
const (
	ReasonClosed            Reason = "closed"
	ReasonQueueFull         Reason = "queue_full"
	ReasonDeadline          Reason = "deadline"
	ReasonCanceled          Reason = "canceled"
	ReasonTooLarge          Reason = "too_large"
	ReasonUnauthorized      Reason = "unauthorized"
	ReasonNotEnoughReplicas Reason = "not_enough_replicas"
	ReasonUnknownTopic      Reason = "unknown_topic"
	ReasonUnavailable       Reason = "unavailable"
	ReasonRefused           Reason = "refused"
)

// PublishError says which topic did not acknowledge, and why. None of its
// reasons means that the message was not stored: it may have been.
type PublishError struct {
	Topic  string
	Reason Reason
	Err    error
}

func (e *PublishError) Error() string {
	return fmt.Sprintf("publish to topic %s: %v", e.Topic, e.Err)
}

func (e *PublishError) Unwrap() error { return e.Err }

// newPublishError gives err its reason, and marks it as ErrUnavailable where it
// passes by itself.
func newPublishError(topic string, err error) *PublishError {
	return &PublishError{Topic: topic, Reason: reasonOf(err), Err: markTransient(err)}
}

func reasonOf(err error) Reason {
	var code kafkago.Error
	switch {
	case errors.Is(err, ErrClosed):
		return ReasonClosed
	case errors.Is(err, ErrQueueFull):
		return ReasonQueueFull
	case errors.As(err, &code):
		return reasonOfCode(code)
	case errors.Is(err, protocol.ErrNoTopic), errors.Is(err, protocol.ErrNoPartition):
		return ReasonUnknownTopic
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonDeadline
	case errors.Is(err, context.Canceled):
		return ReasonCanceled
	}
	return ReasonUnavailable
}

func reasonOfCode(code kafkago.Error) Reason {
	switch code {
	case kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge, kafkago.InvalidMessageSize:
		return ReasonTooLarge
	case kafkago.NotEnoughReplicas, kafkago.NotEnoughReplicasAfterAppend:
		return ReasonNotEnoughReplicas
	case kafkago.UnknownTopicOrPartition, kafkago.UnknownTopicID:
		return ReasonUnknownTopic
	case kafkago.TopicAuthorizationFailed, kafkago.ClusterAuthorizationFailed, kafkago.SASLAuthenticationFailed:
		return ReasonUnauthorized
	case kafkago.RequestTimedOut:
		return ReasonDeadline
	}
	if isTransient(code) {
		return ReasonUnavailable
	}
	return ReasonRefused
}

// isTransient reports whether trying again may help. Kafka's own codes say so
// themselves; whatever is no answer of a broker is a matter of the network.
func isTransient(err error) bool {
	if code, ok := errors.AsType[kafkago.Error](err); ok {
		return code.Temporary() || code == kafkago.BrokerNotAvailable
	}
	var untrusted *tls.CertificateVerificationError
	return !errors.As(err, &untrusted) && !errors.Is(err, ErrClosed) && !errors.Is(err, ErrQueueFull)
}

// markTransient makes a transient error an ErrUnavailable.
func markTransient(err error) error {
	if err != nil && isTransient(err) && !errors.Is(err, ErrUnavailable) {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return err
}

// blamesRecord reports whether a broker refused a whole batch for what one of
// its records may have caused.
func blamesRecord(err error) bool {
	var code kafkago.Error
	if !errors.As(err, &code) {
		return false
	}
	switch code {
	case kafkago.MessageSizeTooLarge, kafkago.RecordListTooLarge, kafkago.InvalidMessageSize,
		kafkago.InvalidTimestamp, kafkago.InvalidRecord, kafkago.PolicyViolation:
		return true
	}
	return false
}

// isFenced reports whether a commit came from a generation that has passed.
// With RebalanceInProgress the next generation is being formed: the member has
// to join again, and finds there what is committed.
func isFenced(err error) bool {
	return errors.Is(err, kafkago.IllegalGeneration) ||
		errors.Is(err, kafkago.UnknownMemberId) ||
		errors.Is(err, kafkago.RebalanceInProgress) ||
		errors.Is(err, kafkago.FencedInstanceID)
}
