package kafka

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/schema/strictyaml"
)

// unixScheme begins a broker's address that is the path of a unix socket.
const unixScheme = "unix:"

// Mechanisms of SASLConfig.
const (
	SASLPlain       = "plain"
	SASLScramSHA256 = "scram-sha-256"
	SASLScramSHA512 = "scram-sha-512"
)

// legalTopic is what Kafka allows in a topic's name.
var legalTopic = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)

// Config says which brokers to use, and how.
type Config struct {
	// Brokers are the first brokers to ask, as host:port; the others are
	// learned from them. One entry may instead be "unix:/path/to.sock": then
	// every connection goes to that socket, whatever address a broker
	// advertises.
	Brokers strictyaml.List `yaml:"brokers"`

	// ClientID names this program in the brokers' logs and quotas.
	ClientID string `yaml:"client_id"`

	// TopicPrefix begins the name of every topic of this program.
	TopicPrefix string `yaml:"topic_prefix"`

	Topics   TopicConfig      `yaml:"topics"`
	Producer ProducerConfig   `yaml:"producer"`
	TLS      clienttls.Config `yaml:"tls"`
	SASL     SASLConfig       `yaml:"sasl"`
}

// TopicConfig says how missing topics are created. A topic that exists is left
// as it is.
type TopicConfig struct {
	// Create allows missing topics to be created. Without it they must exist.
	Create bool `yaml:"create"`

	// Partitions of a new topic. One sink writes at most one batch of each
	// partition at a time.
	Partitions int `yaml:"partitions"`

	// ReplicationFactor of a new topic. The default of 1 suits one broker; in
	// production use 3, with MinInSyncReplicas 2, or the loss of one broker
	// loses acknowledged messages.
	ReplicationFactor int `yaml:"replication_factor"`

	// MinInSyncReplicas is how many replicas must have a message before it is
	// acknowledged. 0 leaves it to the broker.
	MinInSyncReplicas int `yaml:"min_insync_replicas"`

	// RetentionMillis and RetentionBytes (per partition) say how long records
	// are kept; -1 is for ever and 0 leaves it to the broker. A sink that is
	// down for longer loses what has been deleted.
	RetentionMillis int64 `yaml:"retention_ms"`
	RetentionBytes  int64 `yaml:"retention_bytes"`

	// MaxMessageBytes bounds one batch of records as it is stored.
	MaxMessageBytes int `yaml:"max_message_bytes"`
}

// SASLConfig authenticates this program by a password.
type SASLConfig struct {
	// Mechanism is "" for none, or one of plain, scram-sha-256, scram-sha-512.
	// Use plain only together with TLS.
	Mechanism string `yaml:"mechanism"`
	Username  string `yaml:"username"`

	// Password, or else PasswordFile, whose last line break is cut off.
	Password     string `yaml:"password"`
	PasswordFile string `yaml:"password_file"`
}

// DefaultConfig is the configuration for one broker on this machine.
func DefaultConfig() Config {
	return Config{
		Brokers:     strictyaml.List{"127.0.0.1:9092"},
		ClientID:    "loyaltyhouse",
		TopicPrefix: "loyalty.",
		Topics: TopicConfig{
			Create:            true,
			Partitions:        3,
			ReplicationFactor: 1,
			MaxMessageBytes:   8 << 20,
		},
		Producer: DefaultProducerConfig(),
	}
}

// Validate reports everything that is wrong, each error beginning with the path
// of its field.
func (c Config) Validate() error {
	var errs []error
	report := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	if len(c.Brokers) == 0 {
		report("brokers: must name at least one broker, as host:port")
	}
	for i, broker := range c.Brokers {
		if err := validateBroker(broker, len(c.Brokers)); err != nil {
			report("brokers[%d]: %w", i, err)
		}
	}
	if c.TopicPrefix != "" && !legalTopic.MatchString(c.TopicPrefix) {
		report("topic_prefix: must have only letters, digits, '.', '_' and '-', is %q", c.TopicPrefix)
	}
	errs = append(errs, c.Topics.validate()...)
	errs = append(errs, c.Producer.validate()...)
	errs = append(errs, strictyaml.Under("tls", c.TLS.Validate()))
	errs = append(errs, c.SASL.validate()...)
	return errors.Join(errs...)
}

func validateBroker(broker string, brokers int) error {
	if path, ok := strings.CutPrefix(broker, unixScheme); ok {
		switch {
		case path == "":
			return errors.New("must have a path after unix")
		case brokers > 1:
			return errors.New("must be the only broker when it is a unix socket")
		}
		return nil
	}
	host, port, err := net.SplitHostPort(broker)
	if err != nil || host == "" {
		return fmt.Errorf("must be host:port or unix:/path, is %q", broker)
	}
	if number, err := strconv.ParseUint(port, 10, 16); err != nil || number == 0 {
		return fmt.Errorf("must have a port between 1 and 65535, is %q", broker)
	}
	return nil
}

func (t TopicConfig) validate() (errs []error) {
	atLeast := func(field string, least, is int64) {
		if is < least {
			errs = append(errs, fmt.Errorf("topics.%s: must be at least %d, is %d", field, least, is))
		}
	}
	atLeast("partitions", 1, int64(t.Partitions))
	atLeast("replication_factor", 1, int64(t.ReplicationFactor))
	atLeast("min_insync_replicas", 0, int64(t.MinInSyncReplicas))
	atLeast("retention_ms", -1, t.RetentionMillis)
	atLeast("retention_bytes", -1, t.RetentionBytes)
	atLeast("max_message_bytes", 1, int64(t.MaxMessageBytes))
	if t.MinInSyncReplicas > t.ReplicationFactor {
		errs = append(errs, fmt.Errorf("topics.min_insync_replicas: must be at most topics.replication_factor (%d), is %d",
			t.ReplicationFactor, t.MinInSyncReplicas))
	}
	return errs
}

func (s SASLConfig) validate() (errs []error) {
	switch s.Mechanism {
	case "":
		if s != (SASLConfig{}) {
			errs = append(errs, errors.New("sasl.mechanism: must be set when another field of sasl is set"))
		}
		return errs
	case SASLPlain, SASLScramSHA256, SASLScramSHA512:
	default:
		errs = append(errs, fmt.Errorf("sasl.mechanism: must be one of %s, %s, %s, is %q",
			SASLPlain, SASLScramSHA256, SASLScramSHA512, s.Mechanism))
	}
	if s.Username == "" {
		errs = append(errs, errors.New("sasl.username: must be set"))
	}
	if (s.Password == "") == (s.PasswordFile == "") {
		errs = append(errs, errors.New("sasl.password: exactly one of sasl.password and sasl.password_file must be set"))
	}
	return errs
}

// load reads the password and returns nil when there is no authentication.
func (s SASLConfig) load() (sasl.Mechanism, error) {
	if s.Mechanism == "" {
		return nil, nil
	}
	password := s.Password
	if s.PasswordFile != "" {
		content, err := os.ReadFile(filepath.Clean(s.PasswordFile))
		if err != nil {
			return nil, fmt.Errorf("sasl.password_file: %w", err)
		}
		password = strings.TrimSuffix(strings.TrimSuffix(string(content), "\n"), "\r")
	}
	var algorithm scram.Algorithm
	switch s.Mechanism {
	case SASLPlain:
		return plain.Mechanism{Username: s.Username, Password: password}, nil
	case SASLScramSHA256:
		algorithm = scram.SHA256
	case SASLScramSHA512:
		algorithm = scram.SHA512
	}
	mechanism, err := scram.Mechanism(algorithm, s.Username, password)
	if err != nil {
		// The error could quote the password.
		return nil, errors.New("sasl.password: has characters that SCRAM does not allow")
	}
	return mechanism, nil
}
