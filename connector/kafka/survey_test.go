package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"loyaltyhouse/connector/kafka"
)

// said returns all that a survey has against brokers and topics.
func said(s *kafka.Survey) []string {
	var lines []string
	for _, b := range s.Brokers {
		if b.Err != nil {
			lines = append(lines, b.Err.Error())
		}
	}
	for _, t := range s.Topics {
		for _, err := range slices.Concat(t.Problems, t.Remarks) {
			lines = append(lines, err.Error())
		}
	}
	return lines
}

func survey(t *testing.T, config kafka.Config, topics ...string) *kafka.Survey {
	t.Helper()
	s, err := newClient(t, config).Survey(testContext(t), topics)
	if err != nil {
		t.Fatalf("%v: %v", err, said(s))
	}
	return s
}

func TestSurvey(t *testing.T) {
	b := startBroker(t)
	newTopic(t, b, 2)
	config := b.config()
	config.Topics.Partitions = 2
	s := survey(t, config, testTopic, "loyalty.absent")
	if got := said(s); len(got) > 0 {
		t.Errorf("the survey says %q", got)
	}
	if len(s.Brokers) != 1 || s.Brokers[0].Address != "unix:"+b.socket() || s.Brokers[0].Fetch < 11 {
		t.Errorf("the brokers are %+v", s.Brokers)
	}
	slices.SortFunc(s.Topics, func(a, b kafka.TopicReport) int { return strings.Compare(b.Name, a.Name) })
	if len(s.Topics) != 2 || s.Topics[0].Partitions != 2 || s.Topics[0].Replicas != 1 || s.Topics[0].InSync != 1 || s.Topics[0].Missing || !s.Topics[1].Missing {
		t.Errorf("the topics are %+v", s.Topics)
	}
	if again := survey(t, config, "loyalty.absent"); !again.Topics[0].Missing {
		t.Error("a survey has created a topic")
	}
}

// Everything that does not fit is told with what to do.
func TestSurveyComparesTopics(t *testing.T) {
	b := startBroker(t)
	newTopic(t, b, 2)
	admin := kafkago.Client{Addr: kafkago.TCP("localhost:9092"), Transport: b.transport(t)}
	alter := func(settings map[string]string) {
		t.Helper()
		var entries []kafkago.AlterConfigRequestConfig
		for name, value := range settings {
			entries = append(entries, kafkago.AlterConfigRequestConfig{Name: name, Value: value})
		}
		response, err := admin.AlterConfigs(testContext(t), &kafkago.AlterConfigsRequest{
			Resources: []kafkago.AlterConfigRequestResource{{ResourceType: kafkago.ResourceTypeTopic, ResourceName: testTopic, Configs: entries}},
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, err := range response.Errors {
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, test := range []struct {
		name     string
		settings map[string]string
		change   func(*kafka.TopicConfig)
		want     string
	}{
		{"fewer partitions", nil, func(c *kafka.TopicConfig) { c.Partitions = 5 }, "topic loyalty.points has 2 partitions, and kafka.topics.partitions is 5; add some with kafka-topics --alter --partitions 5, or correct the configuration"},
		{"fewer replicas", nil, func(c *kafka.TopicConfig) { c.ReplicationFactor = 3 }, "topic loyalty.points has 1 replicas, and kafka.topics.replication_factor is 3; add some with kafka-reassign-partitions, or correct the configuration"},
		{"less durable", nil, func(c *kafka.TopicConfig) { c.MinInSyncReplicas, c.ReplicationFactor = 2, 1 }, "topic loyalty.points has min.insync.replicas=1, and kafka.topics.min_insync_replicas is 2; set the topic's, or correct the configuration"},
		{"never acknowledged", map[string]string{"min.insync.replicas": "2"}, nil, "topic loyalty.points needs 2 replicas in sync and has 1: nothing is acknowledged; bring brokers back, or lower its min.insync.replicas"},
		{"small messages", map[string]string{"max.message.bytes": "1000"}, nil, "topic loyalty.points takes messages of 1000 bytes, and kafka.topics.max_message_bytes is 8388608: large webhooks would be answered 503; set the topic's max.message.bytes to 8388608"},
		{"short retention", map[string]string{"retention.ms": "1000"}, func(c *kafka.TopicConfig) { c.RetentionMillis = 5000 }, "topic loyalty.points has retention.ms=1000, and kafka.topics.retention_ms is 5000: a sink may be away for less; set the topic's, or correct the configuration"},
		{"compacted", map[string]string{"cleanup.policy": "compact"}, nil, "topic loyalty.points has cleanup.policy=compact, which deletes all but the latest record of a customer; set it to delete"},
	} {
		t.Run(test.name, func(t *testing.T) {
			settings := map[string]string{"max.message.bytes": "8388608"}
			maps.Copy(settings, test.settings)
			alter(settings)
			config := b.config()
			config.Topics.Partitions = 2
			if test.change != nil {
				test.change(&config.Topics)
				if config.Topics.MinInSyncReplicas > config.Topics.ReplicationFactor {
					config.Topics.ReplicationFactor = config.Topics.MinInSyncReplicas
				}
			}
			if got := said(survey(t, config, testTopic)); !slices.Contains(got, test.want) {
				t.Errorf("the survey says %q, want %q", got, test.want)
			}
		})
	}
}

func TestSurveyOfAMissingTopic(t *testing.T) {
	b := startBroker(t)
	for want, change := range map[string]func(*kafka.TopicConfig){
		"topic loyalty.points does not exist; create it, or set kafka.topics.create to true": func(c *kafka.TopicConfig) { c.Create = false },
		"topic loyalty.points does not exist, and cannot be created with 3 replicas on 1 brokers; kafka.topics.replication_factor must not exceed their number": func(c *kafka.TopicConfig) {
			c.ReplicationFactor = 3
		},
	} {
		config := b.config()
		change(&config.Topics)
		if got := said(survey(t, config, testTopic)); !slices.Equal(got, []string{want}) {
			t.Errorf("the survey says %q, want %q", got, want)
		}
	}
}

// The rights are told, and a user who lacks one learns which.
func TestSurveyOfRights(t *testing.T) {
	may := func(name string, operations ...kmsg.ACLOperation) (all []kfake.ACL) {
		for _, o := range operations {
			all = append(all, kfake.ACL{Resource: kmsg.ACLResourceTypeTopic, Name: name, Pattern: kmsg.ACLResourcePatternTypeLiteral, Operation: o, Allow: true})
		}
		return all
	}
	b := startBroker(t, kfake.EnableSASL(), kfake.EnableACLs(), kfake.SeedTopics(1, "readable", "writable", "hidden"),
		kfake.Superuser("PLAIN", "admin", "admin-secret"),
		kfake.User("PLAIN", "alice", "wonder-land", slices.Concat(may("readable", kmsg.ACLOperationRead), may("writable", kmsg.ACLOperationWrite))...))
	config := b.config()
	config.Topics.Partitions, config.Topics.MaxMessageBytes = 1, 1
	config.SASL = kafka.SASLConfig{Mechanism: kafka.SASLPlain, Username: "alice", Password: "wonder-land"}
	got := said(survey(t, config, "readable", "writable", "hidden"))
	slices.Sort(got)
	if want := []string{
		"the user may not publish to topic readable; allow it Write on it",
		"the user may not read topic writable; allow it Read on it",
		"the user may not see topic hidden; allow it Describe, Read and Write on topic hidden",
	}; !slices.Equal(got, want) {
		t.Errorf("the survey says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// Each broker that does not answer says why, and the others tell of the topics.
func TestSurveyOfBrokersThatDoNotAnswer(t *testing.T) {
	b := startBroker(t, kfake.EnableSASL(), kfake.Superuser("PLAIN", "alice", "wonder-land"))
	config := b.config()
	config.SASL = kafka.SASLConfig{Mechanism: kafka.SASLPlain, Username: "alice", Password: "looking-glass"}
	expectAway(t, config, "; set kafka.sasl.username and password, or password_file, to those of a user of the brokers")
	config.SASL.Mechanism = kafka.SASLScramSHA256
	expectAway(t, config, "")

	plain := startTCPBroker(t)
	config = kafka.DefaultConfig()
	config.Brokers = []string{"127.0.0.1:1"}
	expectAway(t, config, "; start the broker, or correct kafka.brokers")
	config.Brokers = []string{"127.0.0.1:1", plain}
	s := survey(t, config, testTopic)
	if got := said(s); len(s.Brokers) != 2 || len(got) != 1 || !strings.HasPrefix(got[0], "broker 127.0.0.1:1: ") || len(s.Topics) != 1 {
		t.Errorf("with one broker of two the survey says %q", got)
	}
	config.Brokers = []string{plain}
	config.TLS.Enabled = true
	expectAway(t, config, "")

	mute, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer mute.Close()
	config = kafka.DefaultConfig()
	config.Brokers = []string{mute.Addr().String()}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if s, err := newClient(t, config).Survey(ctx, []string{testTopic}); err == nil || s.Brokers[0].Err == nil || time.Since(begin) > 5*time.Second {
		t.Errorf("a broker that says nothing: %v, %+v after %s", err, s.Brokers, time.Since(begin))
	}
}

func expectAway(t *testing.T, config kafka.Config, advice string) {
	t.Helper()
	s, err := newClient(t, config).Survey(testContext(t), []string{testTopic})
	if err == nil || len(s.Brokers) != 1 || s.Brokers[0].Err == nil || !strings.HasSuffix(s.Brokers[0].Err.Error(), advice) {
		t.Errorf("the survey returns %v and says %q, want %q at its end", err, said(s), advice)
	}
	if config.SASL.Password != "" && strings.Contains(fmt.Sprint(said(s)), config.SASL.Password) {
		t.Errorf("the survey quotes the password: %q", said(s))
	}
}

// startTCPBroker starts a broker at a port, and returns its address.
func startTCPBroker(t *testing.T) string {
	t.Helper()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	return cluster.ListenAddrs()[0]
}

func TestLagsAndLatest(t *testing.T) {
	b := startBroker(t)
	client := newTopic(t, b, 2)
	topics := []string{testTopic}
	latest, err := client.Latest(testContext(t), append(topics, "loyalty.absent"))
	if err != nil || len(latest) != 0 {
		t.Errorf("of an empty topic the latest record is %v, %v", latest, err)
	}
	before := time.Now().Add(-time.Second)
	producer := newProducer(t, client)
	for i := range 10 {
		publish(t, producer, message(fmt.Sprint(i), 0))
	}
	latest, err = client.Latest(testContext(t), topics)
	if at := latest[testTopic]; err != nil || at.Before(before) || at.After(time.Now().Add(time.Second)) {
		t.Errorf("the latest record is of %v, %v", latest, err)
	}
	lags, err := client.Lags(testContext(t), "loyaltyhouse.new", topics)
	if err != nil || len(lags) != 1 || lags[0].Begun || lags[0].Records != 10 || lags[0].Oldest.Before(before) || lags[0].Lost != 0 {
		t.Errorf("of a group that has not begun the lag is %+v, %v", lags, err)
	}
	committed := make(chan error, 2)
	c := consume(t, client, "loyaltyhouse.done", kafka.StartEarliest, func(ctx context.Context, p *kafka.Partition) error {
		end, err := p.End(ctx)
		if err == nil {
			err = p.Commit(ctx, end, "")
		}
		committed <- err
		return nil
	})
	for range 2 {
		if err := <-committed; err != nil {
			t.Fatal(err)
		}
	}
	c.stop(t)
	lags, err = client.Lags(testContext(t), "loyaltyhouse.done", topics)
	if err != nil || !lags[0].Begun || lags[0].Records != 0 || !lags[0].Oldest.IsZero() {
		t.Errorf("of a group that has everything the lag is %+v, %v", lags, err)
	}
	b.stop()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := client.Lags(ctx, "loyaltyhouse.done", topics); !errors.Is(err, kafka.ErrUnavailable) {
		t.Errorf("without a broker Lags returns %v", err)
	}
}
