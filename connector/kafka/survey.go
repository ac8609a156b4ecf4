package kafka

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/apiversions"
	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/metadata"
	"github.com/segmentio/kafka-go/protocol/saslauthenticate"
	"github.com/segmentio/kafka-go/protocol/saslhandshake"
)

// A Survey is what the brokers say now of themselves and of some topics.
type Survey struct {
	// Brokers are the configured ones and then those that they name.
	Brokers []BrokerState
	Topics  []TopicReport
}

// BrokerState is whether one broker answers to this user.
type BrokerState struct {
	Address string
	// Err says why it does not, and what to do.
	Err error
	// Fetch is the newest version of Kafka's Fetch request that the broker knows.
	Fetch int
}

// A TopicReport is what there is of a topic.
type TopicReport struct {
	Name    string
	Missing bool
	// Partitions is how many there are; Replicas and InSync are those of the
	// partition that has fewest.
	Partitions, Replicas, InSync int
	// Problems are what keeps records from being published or read.
	Problems []error
	// Remarks are differences from the configuration that it works with.
	Remarks []error
}

// Survey asks every broker and describes the topics. It changes nothing. Its error
// says that no broker has told of the topics; then Brokers says why.
func (c *Client) Survey(ctx context.Context, topics []string) (*Survey, error) {
	s := &Survey{}
	answer := c.askBrokers(ctx, s, c.addresses, topics)
	if answer == nil {
		return s, errors.New("no broker tells of the topics")
	}
	var named []string
	for _, b := range answer.Brokers {
		if address := net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))); !slices.Contains(c.addresses, address) {
			named = append(named, address)
		}
	}
	if c.oneWay {
		named = nil
	}
	known := len(s.Brokers)
	c.askBrokers(ctx, s, named, topics)
	for i := range s.Brokers[known:] {
		if b := &s.Brokers[known+i]; b.Err != nil {
			b.Err = fmt.Errorf("%w; the other brokers name it by this address, which advertised.listeners of that broker sets", b.Err)
		}
	}
	for _, t := range answer.Topics {
		s.Topics = append(s.Topics, c.judge(ctx, t, answer))
	}
	return s, c.judgeSettings(ctx, s.Topics)
}

// askBrokers adds what brokers answer, and returns the first answer.
func (c *Client) askBrokers(ctx context.Context, s *Survey, addresses, topics []string) (first *metadata.Response) {
	states, answers := make([]BrokerState, len(addresses)), make([]*metadata.Response, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() {
			states[i] = BrokerState{Address: address}
			if c.oneWay {
				states[i].Address = c.config.Brokers[0]
			}
			answers[i], states[i].Err = c.ask(ctx, address, topics, &states[i])
			if states[i].Err != nil {
				states[i].Err = fmt.Errorf("broker %s: %w", states[i].Address, c.advise(states[i].Err))
			}
		})
	}
	asking.Wait()
	s.Brokers = append(s.Brokers, states...)
	for _, answer := range answers {
		if answer != nil {
			return answer
		}
	}
	return nil
}

// ask asks one broker for what kafka-go's client does not tell: whether this very
// broker answers, what there is now, and the user's rights.
func (c *Client) ask(ctx context.Context, address string, topics []string, state *BrokerState) (answer *metadata.Response, err error) {
	err = c.talk(ctx, address, state, func(conn *protocol.Conn) error {
		reply, err := conn.RoundTrip(&metadata.Request{TopicNames: topics, IncludeTopicAuthorizedOperations: true})
		if err == nil {
			answer = reply.(*metadata.Response)
		}
		return err
	})
	return answer, err
}

// talk opens a connection of its own to a broker, past the transport, which would
// choose the broker itself and answer from what it knows.
func (c *Client) talk(ctx context.Context, address string, state *BrokerState, what func(*protocol.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	dialing, stop := context.WithTimeout(ctx, dialTimeout)
	defer stop()
	raw, err := c.connections.dial(dialing, "tcp", address)
	if err != nil {
		return err
	}
	defer raw.Close()                                          //nolint:errcheck // Nothing is in flight.
	defer context.AfterFunc(ctx, func() { _ = raw.Close() })() // A broker that says nothing is not waited for.
	conn := protocol.NewConn(raw, c.config.ClientID)
	conn.SetVersions(map[protocol.ApiKey]int16{
		protocol.SaslHandshake: 1, protocol.SaslAuthenticate: 1, protocol.Metadata: 8, protocol.CreateTopics: 2,
	})
	reply, err := conn.RoundTrip(&apiversions.Request{})
	if err != nil {
		return whyEnded(ctx, err)
	}
	for _, key := range reply.(*apiversions.Response).ApiKeys {
		if protocol.ApiKey(key.ApiKey) == protocol.Fetch {
			state.Fetch = int(key.MaxVersion)
		}
	}
	if err := c.authenticate(ctx, conn); err != nil {
		return whyEnded(ctx, err)
	}
	return whyEnded(ctx, what(conn))
}

// whyEnded returns the end of ctx where that has cut the connection.
func whyEnded(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
	return err
}

func (c *Client) authenticate(ctx context.Context, conn *protocol.Conn) error {
	if c.mechanism == nil {
		return nil
	}
	reply, err := conn.RoundTrip(&saslhandshake.Request{Mechanism: c.mechanism.Name()})
	if err != nil {
		return err
	}
	if code := reply.(*saslhandshake.Response).ErrorCode; code != 0 {
		return kafkago.Error(code)
	}
	session, message, err := c.mechanism.Start(ctx)
	for done := false; err == nil && !done; {
		if reply, err = conn.RoundTrip(&saslauthenticate.Request{AuthBytes: message}); err != nil {
			break
		}
		response := reply.(*saslauthenticate.Response)
		if response.ErrorCode != 0 {
			return kafkago.Error(response.ErrorCode)
		}
		done, message, err = session.Next(ctx, response.AuthBytes)
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return kafkago.SASLAuthenticationFailed // Some brokers say so by hanging up.
	}
	return err
}

// advise says what to do about a broker that does not answer.
func (c *Client) advise(err error) error {
	_, plain := errors.AsType[tls.RecordHeaderError](err)
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	switch {
	case errors.Is(err, kafkago.SASLAuthenticationFailed):
		return fmt.Errorf("%w; set kafka.sasl.username and password, or password_file, to those of a user of the brokers", err)
	case errors.Is(err, kafkago.UnsupportedSASLMechanism):
		return fmt.Errorf("%w; set kafka.sasl.mechanism to one that the brokers have in sasl.enabled.mechanisms", err)
	case untrusted:
		return fmt.Errorf("%w; set kafka.tls.ca_file to the authority of the broker's certificate, and kafka.tls.server_name where the certificate has another name", err)
	case plain:
		return fmt.Errorf("%w; the port does not speak TLS: use the broker's TLS listener, or set kafka.tls.enabled to false", err)
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fmt.Errorf("%w; the broker hangs up: its listener may want TLS or SASL, which kafka.tls and kafka.sasl set", err)
	default:
		return fmt.Errorf("%w; start the broker, or correct kafka.brokers", err)
	}
}

// Operations of Kafka's access control lists, as bits of what a broker tells:
// org.apache.kafka.common.acl.AclOperation.
const (
	mayRead  = 1 << 3
	mayWrite = 1 << 4
	// unknownRights is told by a broker without access control lists.
	unknownRights = -1 << 31
)

// judge looks at one topic.
func (c *Client) judge(ctx context.Context, t metadata.ResponseTopic, cluster *metadata.Response) TopicReport {
	r := TopicReport{Name: t.Name, Partitions: len(t.Partitions)}
	problem := func(format string, args ...any) { r.Problems = append(r.Problems, fmt.Errorf(format, args...)) }
	remark := func(format string, args ...any) { r.Remarks = append(r.Remarks, fmt.Errorf(format, args...)) }
	want := c.config.Topics
	switch code := kafkago.Error(t.ErrorCode); code {
	case 0:
	case kafkago.UnknownTopicOrPartition:
		r.Missing = true
		if err := c.mayCreate(ctx, t.Name, cluster); err != nil {
			r.Problems = append(r.Problems, err)
		}
		return r
	case kafkago.TopicAuthorizationFailed:
		problem("the user may not see topic %s; allow it Describe, Read and Write on topic %s", t.Name, t.Name)
		return r
	default:
		problem("topic %s: %w; see the brokers' logs", t.Name, code)
		return r
	}
	leaderless := 0
	for i, p := range t.Partitions {
		if p.LeaderID < 0 {
			leaderless++
		}
		if i == 0 || len(p.ReplicaNodes) < r.Replicas {
			r.Replicas = len(p.ReplicaNodes)
		}
		if i == 0 || len(p.IsrNodes) < r.InSync {
			r.InSync = len(p.IsrNodes)
		}
	}
	if leaderless > 0 {
		problem("topic %s has %d partitions without a leader; bring back the brokers that hold them", t.Name, leaderless)
	}
	if rights := t.TopicAuthorizedOperations; rights != unknownRights {
		if rights&mayWrite == 0 {
			problem("the user may not publish to topic %s; allow it Write on it", t.Name)
		}
		if rights&mayRead == 0 {
			problem("the user may not read topic %s; allow it Read on it", t.Name)
		}
	}
	if r.Partitions < want.Partitions {
		remark("topic %s has %d partitions, and kafka.topics.partitions is %d; add some with kafka-topics --alter --partitions %d, or correct the configuration", t.Name, r.Partitions, want.Partitions, want.Partitions)
	}
	if r.Replicas < want.ReplicationFactor {
		remark("topic %s has %d replicas, and kafka.topics.replication_factor is %d; add some with kafka-reassign-partitions, or correct the configuration", t.Name, r.Replicas, want.ReplicationFactor)
	}
	if r.InSync < r.Replicas && leaderless == 0 {
		remark("topic %s has partitions with %d of %d replicas in sync; see which broker is away or slow", t.Name, r.InSync, r.Replicas)
	}
	return r
}

// mayCreate asks the controller whether it would create a missing topic, and
// returns why it would not and what to do.
func (c *Client) mayCreate(ctx context.Context, topic string, cluster *metadata.Response) error {
	want := c.config.Topics
	switch {
	case !want.Create:
		return fmt.Errorf("topic %s does not exist; create it, or set kafka.topics.create to true", topic)
	case len(cluster.Brokers) > 0 && want.ReplicationFactor > len(cluster.Brokers):
		return fmt.Errorf("topic %s does not exist, and cannot be created with %d replicas on %d brokers; kafka.topics.replication_factor must not exceed their number", topic, want.ReplicationFactor, len(cluster.Brokers))
	}
	request := createtopics.RequestTopic{Name: topic, NumPartitions: int32(want.Partitions), ReplicationFactor: int16(want.ReplicationFactor)} //nolint:gosec // Kafka's protocol has no wider numbers, and this request only asks: one that does not fit gets a wrong answer and creates nothing.
	for _, entry := range want.entries() {
		request.Configs = append(request.Configs, createtopics.RequestConfig{Name: entry.ConfigName, Value: entry.ConfigValue})
	}
	var refusal error
	err := c.talk(ctx, controllerOf(cluster), &BrokerState{}, func(conn *protocol.Conn) error {
		reply, err := conn.RoundTrip(&createtopics.Request{Topics: []createtopics.RequestTopic{request}, TimeoutMs: 5000, ValidateOnly: true})
		if err != nil {
			return err
		}
		for _, t := range reply.(*createtopics.Response).Topics {
			if code := kafkago.Error(t.ErrorCode); code != 0 && code != kafkago.TopicAlreadyExists {
				refusal = code
			}
		}
		return nil
	})
	switch {
	case err != nil:
		return fmt.Errorf("topic %s does not exist, and whether it can be created cannot be found out: %w; see the broker that is the controller", topic, err)
	case refusal != nil:
		return fmt.Errorf("topic %s does not exist, and cannot be created: %w%s", topic, refusal, adviceOnCreate(refusal))
	default:
		return nil
	}
}

func controllerOf(cluster *metadata.Response) string {
	for _, b := range cluster.Brokers {
		if b.NodeID == cluster.ControllerID {
			return net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port)))
		}
	}
	return ""
}

// judgeSettings looks at the settings of topics that exist. Those of a topic
// whose settings may not be read are passed over.
func (c *Client) judgeSettings(ctx context.Context, topics []TopicReport) error {
	request := &kafkago.DescribeConfigsRequest{}
	at := map[string]*TopicReport{}
	for i := range topics {
		if t := &topics[i]; t.Partitions > 0 {
			at[t.Name] = t
			request.Resources = append(request.Resources, kafkago.DescribeConfigRequestResource{
				ResourceType: kafkago.ResourceTypeTopic, ResourceName: t.Name,
				ConfigNames: []string{maxMessageBytes, "min.insync.replicas", "retention.ms", "retention.bytes", "cleanup.policy"},
			})
		}
	}
	if len(at) == 0 {
		return nil
	}
	response, err := c.kafka.DescribeConfigs(ctx, request)
	if err != nil {
		return fmt.Errorf("read the settings of topics: %w", markTransient(err))
	}
	for _, resource := range response.Resources {
		t := at[resource.ResourceName]
		if resource.Error != nil || t == nil {
			continue
		}
		settings := map[string]string{}
		for _, entry := range resource.ConfigEntries {
			settings[entry.ConfigName] = entry.ConfigValue
		}
		t.judge(settings, c.config.Topics)
	}
	return nil
}

func (t *TopicReport) judge(settings map[string]string, want TopicConfig) {
	number := func(name string) (int64, bool) {
		value, err := strconv.ParseInt(settings[name], 10, 64)
		return value, err == nil
	}
	if is, ok := number(maxMessageBytes); ok && is < int64(want.MaxMessageBytes) {
		t.Problems = append(t.Problems, fmt.Errorf("topic %s takes messages of %d bytes, and kafka.topics.max_message_bytes is %d: large webhooks would be answered 503; set the topic's max.message.bytes to %d",
			t.Name, is, want.MaxMessageBytes, want.MaxMessageBytes))
	}
	if is, ok := number("min.insync.replicas"); ok {
		switch {
		case is > int64(t.InSync):
			t.Problems = append(t.Problems, fmt.Errorf("topic %s needs %d replicas in sync and has %d: nothing is acknowledged; bring brokers back, or lower its min.insync.replicas", t.Name, is, t.InSync))
		case is < int64(want.MinInSyncReplicas):
			t.Remarks = append(t.Remarks, fmt.Errorf("topic %s has min.insync.replicas=%d, and kafka.topics.min_insync_replicas is %d; set the topic's, or correct the configuration", t.Name, is, want.MinInSyncReplicas))
		}
	}
	for _, limit := range []struct {
		setting, key string
		want         int64
	}{
		{"retention.ms", "retention_ms", want.RetentionMillis},
		{"retention.bytes", "retention_bytes", want.RetentionBytes},
	} {
		is, ok := number(limit.setting)
		if ok && limit.want != 0 && is >= 0 && (limit.want < 0 || is < limit.want) {
			t.Remarks = append(t.Remarks, fmt.Errorf("topic %s has %s=%d, and kafka.topics.%s is %d: a sink may be away for less; set the topic's, or correct the configuration",
				t.Name, limit.setting, is, limit.key, limit.want))
		}
	}
	if policy := settings["cleanup.policy"]; strings.Contains(policy, "compact") {
		t.Problems = append(t.Problems, fmt.Errorf("topic %s has cleanup.policy=%s, which deletes all but the latest record of a customer; set it to delete", t.Name, policy))
	}
}
