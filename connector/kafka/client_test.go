package kafka_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/connector/kafka"
)

func TestEnsureTopicsCreatesOnlyWhatIsMissing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	config := b.config()
	config.Topics.Partitions = 2
	config.Topics.RetentionMillis = -1
	config.Topics.MinInSyncReplicas = 1
	client := newClient(t, config)
	for range 2 {
		if err := client.EnsureTopics(testContext(t), []string{testTopic}); err != nil {
			t.Fatal(err)
		}
	}
	topics := []string{testTopic, "loyalty.gift_cards"}
	config.Topics.Partitions = 5
	other := newClient(t, config)
	if err := other.EnsureTopics(testContext(t), topics); err != nil {
		t.Fatal(err)
	}
	for i, want := range []int{2, 5} {
		if got := len(b.PartitionInfos(topics[i])); got != want {
			t.Errorf("%s has %d partitions, not %d", topics[i], got, want)
		}
	}
	settings := b.TopicInfo(testTopic).Configs
	for name, want := range map[string]string{
		"cleanup.policy": "delete", "max.message.bytes": "8388608", "retention.ms": "-1", "min.insync.replicas": "1",
	} {
		if got := settings[name]; got == nil || *got != want {
			t.Errorf("%s is %v, not %s", name, got, want)
		}
	}
	if got, ok := settings["retention.bytes"]; ok {
		t.Errorf("retention.bytes is %v, not the broker's default", *got)
	}
}

// A topic of somebody else's may take only small messages: that is said at the
// start, for it would be noticed when the first large webhook comes.
func TestEnsureTopicsWarnsOfSmallTopics(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	config := b.config()
	config.Topics.MaxMessageBytes = 1 << 20
	if err := newClient(t, config).EnsureTopics(testContext(t), []string{testTopic}); err != nil {
		t.Fatal(err)
	}
	for size, warns := range map[int]bool{1 << 20: false, 2 << 20: true} {
		config.Topics.MaxMessageBytes = size
		var log bytes.Buffer
		client, err := kafka.NewClient(config, kafka.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		if err != nil {
			t.Fatal(err)
		}
		if err := client.EnsureTopics(testContext(t), []string{testTopic}); err != nil {
			t.Fatal(err)
		}
		client.Close()
		if got := strings.Contains(log.String(), "takes smaller messages"); got != warns {
			t.Errorf("with max_message_bytes %d for a topic of 1 MiB it logged %q", size, log.String())
		}
	}
}

func TestEnsureTopicsSaysWhatToDo(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	deny := func(err *kerr.Error) {
		b.Fault(kfake.Fault{Keys: []kmsg.Key{kmsg.CreateTopics}, Err: err})
	}
	for name, test := range map[string]struct {
		change func(*kafka.Config)
		deny   *kerr.Error
		topic  string
		want   string
	}{
		"not allowed to create": {change: func(c *kafka.Config) { c.Topics.Create = false }, want: "topics.create"},
		"too many replicas":     {deny: kerr.InvalidReplicationFactor, want: "topics.replication_factor"},
		"unauthorized":          {deny: kerr.TopicAuthorizationFailed, want: "allow this user"},
		"policy":                {deny: kerr.PolicyViolation, want: "topics.max_message_bytes"},
		"name":                  {topic: "no spaces", want: `"no spaces"`},
	} {
		config := b.config()
		if test.change != nil {
			test.change(&config)
		}
		if test.deny != nil {
			deny(test.deny)
		}
		topic := "loyalty.new"
		if test.topic != "" {
			topic = test.topic
		}
		err := newClient(t, config).EnsureTopics(testContext(t), []string{topic})
		if err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestEnsureTopicsWaitsForTheBroker(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	b.stop()
	client := newClient(t, b.config())
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := client.EnsureTopics(ctx, []string{testTopic}); !errors.Is(err, kafka.ErrUnavailable) {
		t.Errorf("while the broker is gone: %v", err)
	}
	ensured := make(chan error, 1)
	go func() { ensured <- client.EnsureTopics(testContext(t), []string{testTopic}) }()
	b.start()
	if err := <-ensured; err != nil {
		t.Error(err)
	}
}

func TestPing(t *testing.T) {
	t.Parallel()
	b := startBroker(t)
	client := newTopic(t, b, 1)
	if err := client.Ping(testContext(t)); err != nil {
		t.Errorf("all is well: %v", err)
	}
	if err := b.DeleteTopic(testTopic); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a topic that is gone is noticed", func() bool {
		err := client.Ping(testContext(t))
		return errors.Is(err, kafka.ErrUnavailable) && strings.Contains(err.Error(), testTopic)
	})
	b.stop()
	if err := client.Ping(testContext(t)); !errors.Is(err, kafka.ErrUnavailable) || !strings.Contains(err.Error(), b.socket()) {
		t.Errorf("while the broker is gone: %v", err)
	}
}

// roundTrip publishes, and consumes as a member of a group: these use
// different parts of kafka-go.
func roundTrip(t *testing.T, client *kafka.Client) {
	t.Helper()
	if err := client.EnsureTopics(testContext(t), []string{testTopic}); err != nil {
		t.Fatal(err)
	}
	publish(t, newProducer(t, client), message("a", 0))
	read(t, client, 1)
}

func TestSASL(t *testing.T) {
	t.Parallel()
	for _, mechanism := range []string{kafka.SASLPlain, kafka.SASLScramSHA256, kafka.SASLScramSHA512} {
		t.Run(mechanism, func(t *testing.T) {
			t.Parallel()
			b := startBroker(t, kfake.EnableSASL(), kfake.Superuser(strings.ToUpper(mechanism), "alice", "wonder-land"))
			file := filepath.Join(t.TempDir(), "password")
			if err := os.WriteFile(file, []byte("wonder-land\n"), 0o600); err != nil {
				t.Fatal(err)
			}
			config := b.config()
			config.SASL = kafka.SASLConfig{Mechanism: mechanism, Username: "alice", PasswordFile: file}
			roundTrip(t, newClient(t, config))

			// What Kafka answers to a wrong password; this broker would hang up.
			b.ControlKey(int16(kmsg.SASLAuthenticate), func(request kmsg.Request) (kmsg.Response, error, bool) {
				b.KeepControl()
				response := kmsg.NewPtrSASLAuthenticateResponse()
				response.ErrorCode = kerr.SaslAuthenticationFailed.Code
				response.Version = request.GetVersion()
				return response, nil, true
			})
			config.SASL = kafka.SASLConfig{Mechanism: mechanism, Username: "alice", Password: "looking-glass"}
			err := newClient(t, config).EnsureTopics(testContext(t), []string{testTopic})
			if err == nil || errors.Is(err, kafka.ErrUnavailable) || strings.Contains(err.Error(), "looking-glass") {
				t.Errorf("wrong password: %v", err)
			}
		})
	}
}

func TestTLS(t *testing.T) {
	t.Parallel()
	certificate, file := newCertificate(t, "broker.example")
	b := startBroker(t, kfake.TLS(&tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}))
	config := b.config()
	config.TLS = clienttls.Config{Enabled: true, CAFile: file, ServerName: "broker.example"}
	roundTrip(t, newClient(t, config))

	for name, change := range map[string]func(*clienttls.Config){
		"another name":         func(c *clienttls.Config) { c.ServerName = "other.example" },
		"an unknown authority": func(c *clienttls.Config) { _, c.CAFile = newCertificate(t, "broker.example") },
	} {
		config := config
		change(&config.TLS)
		err := newClient(t, config).EnsureTopics(testContext(t), []string{testTopic})
		var untrusted *tls.CertificateVerificationError
		if !errors.As(err, &untrusted) || errors.Is(err, kafka.ErrUnavailable) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func newCertificate(t *testing.T, name string) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		DNSNames:              []string{name},
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestNewClientReportsFilesThatCannotBeUsed(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*kafka.Config){
		"tls.ca_file": func(c *kafka.Config) { c.TLS = clienttls.Config{Enabled: true, CAFile: "missing.pem"} },
		"tls.cert_file": func(c *kafka.Config) {
			c.TLS = clienttls.Config{Enabled: true, CertFile: "missing.pem", KeyFile: "missing.pem"}
		},
		"sasl.password_file": func(c *kafka.Config) {
			c.SASL = kafka.SASLConfig{Mechanism: "plain", Username: "a", PasswordFile: "missing"}
		},
		"brokers": func(c *kafka.Config) { c.Brokers = nil },
	} {
		config := kafka.DefaultConfig()
		change(&config)
		if _, err := kafka.NewClient(config, kafka.Options{}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestConfigValidate(t *testing.T) {
	t.Parallel()
	if err := kafka.DefaultConfig().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	for _, test := range []struct {
		change func(*kafka.Config)
		want   string
	}{
		{func(c *kafka.Config) { c.Brokers = nil }, "brokers: must name at least one broker, as host:port"},
		{func(c *kafka.Config) { c.Brokers = []string{"localhost"} }, `brokers[0]: must be host:port or unix:/path, is "localhost"`},
		{func(c *kafka.Config) { c.Brokers = []string{"a:1", "b:0"} }, `brokers[1]: must have a port between 1 and 65535, is "b:0"`},
		{func(c *kafka.Config) { c.Brokers = []string{"unix:"} }, "brokers[0]: must have a path after unix"},
		{func(c *kafka.Config) { c.Brokers = []string{"a:1", "unix:/s"} }, "brokers[1]: must be the only broker when it is a unix socket"},
		{func(c *kafka.Config) { c.TopicPrefix = "my topics" }, `topic_prefix: must have only letters, digits, '.', '_' and '-', is "my topics"`},
		{func(c *kafka.Config) { c.Topics.Partitions = 0 }, "topics.partitions: must be at least 1, is 0"},
		{func(c *kafka.Config) { c.Topics.MinInSyncReplicas = 2 }, "topics.min_insync_replicas: must be at most topics.replication_factor (1), is 2"},
		{func(c *kafka.Config) { c.Topics.RetentionBytes = -2 }, "topics.retention_bytes: must be at least -1, is -2"},
		{func(c *kafka.Config) { c.Producer.Compression = "rar" }, `producer.compression: must be one of none, gzip, snappy, lz4, zstd, is "rar"`},
		{func(c *kafka.Config) { c.Producer.QueueBytes = 0 }, "producer.queue_bytes: must be at least 1, is 0"},
		{func(c *kafka.Config) { c.TLS.CAFile = "ca.pem" }, "tls.enabled: must be true for the other keys of tls to count"},
		{func(c *kafka.Config) { c.TLS = clienttls.Config{Enabled: true, KeyFile: "k"} }, "tls.cert_file: cert_file and key_file go together; set both or neither"},
		{func(c *kafka.Config) { c.SASL.Username = "a" }, "sasl.mechanism: must be set when another field of sasl is set"},
		{func(c *kafka.Config) { c.SASL = kafka.SASLConfig{Mechanism: "gssapi", Username: "a", Password: "p"} }, `sasl.mechanism: must be one of plain, scram-sha-256, scram-sha-512, is "gssapi"`},
		{func(c *kafka.Config) { c.SASL = kafka.SASLConfig{Mechanism: "plain", Username: "a"} }, "sasl.password: exactly one of sasl.password and sasl.password_file must be set"},
	} {
		config := kafka.DefaultConfig()
		test.change(&config)
		if err := config.Validate(); err == nil || err.Error() != test.want {
			t.Errorf("got %v, want %s", err, test.want)
		}
	}
}
