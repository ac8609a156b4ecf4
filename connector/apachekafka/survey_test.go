//go:build linux && apachekafka

package apachekafka_test

import (
	"crypto/tls"
	"crypto/x509"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/connector/apachekafka"
	"loyaltyhouse/connector/kafka"
)

// survey returns all that there is to say of brokers and topics.
func survey(t *testing.T, config kafka.Config, topics ...string) (said []string) {
	t.Helper()
	s, err := newClient(t, config, kafka.Options{Topics: topics}).Survey(testContext(t), topics)
	if err != nil {
		said = append(said, err.Error())
	}
	for _, b := range s.Brokers {
		if b.Err != nil {
			said = append(said, b.Err.Error())
		}
	}
	for _, r := range s.Topics {
		for _, err := range slices.Concat(r.Problems, r.Remarks) {
			said = append(said, err.Error())
		}
	}
	slices.Sort(said)
	return said
}

func TestSurvey(t *testing.T) {
	client, topic := newTopic(t, 2)
	config := clientConfig(oneNode(t), 2)
	if got := survey(t, config, topic, uniquely("absent")); len(got) > 0 {
		t.Errorf("of a topic as it is configured, and of one that may be created: %q", got)
	}
	producer := newProducer(t, client)
	for n := range 3 {
		publish(t, producer, message(topic, "a", n))
	}
	lags, err := client.Lags(testContext(t), uniquely("group"), []string{topic})
	if err != nil || lags[0].Records != 3 || lags[0].Begun || lags[0].Oldest.IsZero() {
		t.Fatalf("the lag is %+v, %v", lags, err)
	}
	if latest, err := client.Latest(testContext(t), []string{topic}); err != nil || latest[topic].Before(lags[0].Oldest) {
		t.Errorf("the latest are %v, %v", latest, err)
	}

	config.Topics.Partitions, config.Topics.MaxMessageBytes = 3, 9<<20
	got := survey(t, config, topic)
	want := []string{
		"topic " + topic + " has 2 partitions, and kafka.topics.partitions is 3; add some with kafka-topics --alter --partitions 3, or correct the configuration",
		"topic " + topic + " takes messages of 8388608 bytes, and kafka.topics.max_message_bytes is 9437184: large webhooks would be answered 503; set the topic's max.message.bytes to 9437184",
	}
	if !slices.Equal(got, want) {
		t.Errorf("the survey says %q, want %q", got, want)
	}
}

// The rights are those that Kafka's authorizer gives.
func TestSurveyOfRights(t *testing.T) {
	chain, key, file := newCertificate(t)
	cluster := startCluster(t, apachekafka.Config{Nodes: 1, Settings: map[string]string{
		"listener.security.protocol.map":              "CLIENT:SASL_SSL,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"sasl.enabled.mechanisms":                     "PLAIN",
		"listener.name.client.plain.sasl.jaas.config": `org.apache.kafka.common.security.plain.PlainLoginModule required user_admin="admin-secret" user_alice="wonder-land";`,
		"authorizer.class.name":                       "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
		"super.users":                                 "User:admin;User:ANONYMOUS",
		"ssl.keystore.type":                           "PEM",
		"ssl.keystore.certificate.chain":              chain,
		"ssl.keystore.key":                            key,
	}})
	config := clientConfig(cluster, 1)
	config.TLS = clienttls.Config{Enabled: true, CAFile: file}
	config.SASL = kafka.SASLConfig{Mechanism: kafka.SASLPlain, Username: "admin", Password: "admin-secret"}
	topics := []string{"readable", "writable", "hidden", "whole"}
	if err := newClient(t, config, kafka.Options{Topics: topics}).EnsureTopics(testContext(t), topics); err != nil {
		t.Fatal(err)
	}
	allow(t, cluster, file, "readable", kmsg.ACLOperationRead)
	allow(t, cluster, file, "writable", kmsg.ACLOperationWrite)
	allow(t, cluster, file, "whole", kmsg.ACLOperationRead, kmsg.ACLOperationWrite)

	config.SASL.Username, config.SASL.Password = "alice", "wonder-land"
	want := []string{
		"the user may not publish to topic readable; allow it Write on it",
		"the user may not read topic writable; allow it Read on it",
		"the user may not see topic hidden; allow it Describe, Read and Write on topic hidden",
	}
	if got := survey(t, config, topics...); !slices.Equal(got, want) {
		t.Errorf("the survey says %q, want %q", got, want)
	}
	if _, err := newClient(t, config, kafka.Options{Topics: []string{"whole"}}).Lags(testContext(t), "loyaltyhouse.x", []string{"whole"}); err == nil || !strings.HasSuffix(err.Error(), "; allow the user Read on group loyaltyhouse.x") {
		t.Errorf("without a right to the group Lags returns %v", err)
	}
	config.SASL.Password = "looking-glass"
	if got := survey(t, config, topics...); len(got) != 2 || !strings.HasSuffix(got[0], "; set kafka.sasl.username and password, or password_file, to those of a user of the brokers") {
		t.Errorf("with a wrong password the survey says %q", got)
	}
}

// allow gives alice rights to a topic.
func allow(t *testing.T, cluster *apachekafka.Cluster, authorities, topic string, operations ...kmsg.ACLOperation) {
	t.Helper()
	pool := x509.NewCertPool()
	content, err := os.ReadFile(authorities)
	if err != nil || !pool.AppendCertsFromPEM(content) {
		t.Fatal("no certificate", err)
	}
	client := franz(t, cluster, kgo.SASL(plain.Auth{User: "admin", Pass: "admin-secret"}.AsMechanism()),
		kgo.DialTLSConfig(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	request := kmsg.NewPtrCreateACLsRequest()
	for _, o := range operations {
		creation := kmsg.NewCreateACLsRequestCreation()
		creation.ResourceType, creation.ResourceName, creation.ResourcePatternType = kmsg.ACLResourceTypeTopic, topic, kmsg.ACLResourcePatternTypeLiteral
		creation.Principal, creation.Host, creation.Operation, creation.PermissionType = "User:alice", "*", o, kmsg.ACLPermissionTypeAllow
		request.Creations = append(request.Creations, creation)
	}
	response, err := request.RequestWith(testContext(t), client)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range response.Results {
		if r.ErrorCode != 0 {
			t.Fatalf("error code %d", r.ErrorCode)
		}
	}
}
