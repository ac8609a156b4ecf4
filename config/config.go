// Package config reads the connector's one YAML file. It is strict: an unknown
// key, a wrong type or an impossible value is an error with file and line that
// says what is allowed, and all of them are reported at once.
package config

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/connector/webhook"
	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
)

// Config is the whole file.
type Config struct {
	Receiver webhook.Config `yaml:"receiver"`
	Kafka    kafka.Config   `yaml:"kafka"`
	Sinks    []Sink         `yaml:"sinks"`
	Admin    Admin          `yaml:"admin"`
	Log      Log            `yaml:"log"`
	// Contracts are files of contracts beside the four that are built in.
	Contracts []string `yaml:"contracts"`
	// MigrateOnStart creates and updates the warehouse's tables before delivery.
	MigrateOnStart bool `yaml:"migrate_on_start"`
	// ReloadOnChange reads the file again when it changes, or a file with secrets
	// or certificates that it names for the receiver or a sink. SIGHUP does so always.
	ReloadOnChange bool `yaml:"reload_on_change"`
	// ShutdownTimeout bounds the time from a signal to the end of the process.
	ShutdownTimeout time.Duration `yaml:"shutdown_timeout"`
	// Embedded runs ClickHouse and a broker beside the connector, for a first
	// look, development and tests. Leave it out in production.
	Embedded *embedded.Config `yaml:"embedded"`
}

// Admin is the port of the probes, the metrics and the dashboards.
type Admin struct {
	Address string `yaml:"address"`
	// Dashboards serves pages that show what is in the warehouse, personal data
	// too, to whoever can reach the port.
	Dashboards bool `yaml:"dashboards"`
}

// Log says what is logged to standard error.
type Log struct {
	// Level is debug, info, warn or error.
	Level slog.Level `yaml:"level"`
	// Format is text or json.
	Format string `yaml:"format"`
}

// Default returns the defaults of everything but secrets and sinks.
func Default() Config {
	return Config{
		Receiver:        webhook.DefaultConfig(),
		Kafka:           kafka.DefaultConfig(),
		Admin:           Admin{Address: "127.0.0.1:9090"},
		Log:             Log{Level: slog.LevelInfo, Format: "text"},
		MigrateOnStart:  true,
		ShutdownTimeout: 25 * time.Second,
	}
}

// Load reads and validates the file, and the contracts that it names. Texts may hold ${VARIABLE} or
// ${VARIABLE:-default}.
func Load(file string) (*Config, error) {
	data, err := os.ReadFile(file) //nolint:gosec // To read the file that --config names is what the flag is for; nothing that comes over the network reaches it.
	if err != nil {
		return nil, fmt.Errorf("configuration: %w; name a file with --config, for example config/embedded.yaml", err)
	}
	return Parse(file, data, os.LookupEnv)
}

// Parse is Load for a file that has been read, with a given environment.
func Parse(file string, data []byte, environment func(string) (string, bool)) (*Config, error) {
	doc, err := strictyaml.Parse(file, data, strictyaml.Expand(environment),
		strictyaml.DefaultsByKeys(newSink), strictyaml.Defaults(embedded.DefaultConfig))
	if err != nil {
		return nil, err
	}
	c := Default()
	if err := doc.Decode(&c); err != nil {
		return nil, err
	}
	if err := doc.Locate(c.Validate()); err != nil {
		return nil, err
	}
	contracts, err := c.LoadContracts()
	if err != nil {
		return nil, err
	}
	if err := doc.Locate(c.validateSelections(schema.Tables(contracts))); err != nil {
		return nil, err
	}
	return &c, nil
}

// A body becomes a JSON string in its record, where each quotation mark takes
// two bytes, and again in the dead letter of that record, where it takes four.
// The headers come in addition. A webhook is two records that wait together: its
// row or dead letter, and the body as it came.
const (
	recordGrowth      = 2
	deadLetterGrowth  = 4
	recordOverhead    = 64 << 10
	recordsPerWebhook = 2
)

// Validate reports everything that cannot work. Each error begins with the
// path of the key.
func (c *Config) Validate() error {
	errs := []error{
		strictyaml.Under("receiver", c.Receiver.Validate()),
		strictyaml.Under("kafka", c.Kafka.Validate()),
	}
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if least := deadLetterGrowth*c.Receiver.MaxBodyBytes + recordOverhead; int64(c.Kafka.Topics.MaxMessageBytes) < least {
		wrong("kafka.topics.max_message_bytes: must be at least %d, for a body of receiver.max_body_bytes (%d) grows as it is quoted, is %d",
			least, c.Receiver.MaxBodyBytes, c.Kafka.Topics.MaxMessageBytes)
	}
	if least := recordsPerWebhook * (recordGrowth*c.Receiver.MaxBodyBytes + recordOverhead); int64(c.Kafka.Producer.QueueBytes) < least {
		wrong("kafka.producer.queue_bytes: must be at least %d, for a webhook of receiver.max_body_bytes (%d) makes %d records, which grow as the body is quoted, is %d",
			least, c.Receiver.MaxBodyBytes, recordsPerWebhook, c.Kafka.Producer.QueueBytes)
	}
	if c.Kafka.Producer.QueueMessages < recordsPerWebhook {
		wrong("kafka.producer.queue_messages: must be at least %d, for each webhook makes %[1]d records, is %d", recordsPerWebhook, c.Kafka.Producer.QueueMessages)
	}
	if len(c.Sinks) == 0 {
		wrong("sinks: at least one sink is needed, for example {name: clickhouse, clickhouse: {}}")
	}
	for i := range c.Sinks {
		path := fmt.Sprintf("sinks[%d]", i)
		errs = append(errs, strictyaml.Under(path, c.Sinks[i].validate()))
		if slices.ContainsFunc(c.Sinks[:i], func(s Sink) bool { return s.Name == c.Sinks[i].Name }) {
			wrong("%s.name: %q is the name of another sink too", path, c.Sinks[i].Name)
		}
		if other := slices.IndexFunc(c.Sinks[:i], func(s Sink) bool { return s.sharesFiles(&c.Sinks[i]) }); other >= 0 {
			wrong("%s.files: sink %q writes files of the same topics to the same place, and each would replace the other's; give each a prefix of its own", path, c.Sinks[other].Name)
		}
	}
	if _, _, err := net.SplitHostPort(c.Admin.Address); err != nil {
		wrong("admin.address: must be host:port, as in 127.0.0.1:9090, is %q", c.Admin.Address)
	}
	if c.Log.Format != "text" && c.Log.Format != "json" {
		wrong("log.format: must be text or json, is %q", c.Log.Format)
	}
	if c.ShutdownTimeout < time.Second {
		wrong("shutdown_timeout: must be at least 1s, is %s", c.ShutdownTimeout)
	}
	if c.Embedded != nil {
		errs = append(errs, strictyaml.Under("embedded", c.Embedded.Validate()))
		address := c.EmbeddedClickHouse()
		if !slices.ContainsFunc(c.Sinks, func(s Sink) bool { return s.ClickHouse != nil && slices.Contains(s.ClickHouse.Addresses, address) }) {
			wrong("embedded.clickhouse: no sink writes to its address %s; name it in sinks[0].clickhouse.addresses", address)
		}
	}
	return errors.Join(errs...)
}

// EmbeddedClickHouse returns the configured address of the embedded
// ClickHouse. Its port is 0 where a free one is to be taken.
func (c *Config) EmbeddedClickHouse() string {
	return net.JoinHostPort(c.Embedded.ClickHouse.Host, strconv.Itoa(c.Embedded.ClickHouse.NativePort))
}

// LoadContracts returns the built-in contracts and those of the configured
// files.
func (c *Config) LoadContracts() ([]*schema.Contract, error) {
	all, err := schema.Builtin()
	if err != nil {
		return nil, err
	}
	for _, file := range c.Contracts {
		data, err := os.ReadFile(filepath.Clean(file))
		if err != nil {
			return nil, fmt.Errorf("contracts: %w", err)
		}
		contract, err := schema.Parse(file, data)
		if err != nil {
			return nil, err
		}
		all = append(all, contract)
	}
	if err := schema.CheckConflicts(all); err != nil {
		return nil, fmt.Errorf("contracts: %w", err)
	}
	return all, nil
}

// Secrets returns the app secrets, those of the file behind the others.
func (c *Config) Secrets() ([]string, error) {
	all := slices.Clone(c.Receiver.Secrets)
	if c.Receiver.SecretsFile != "" {
		data, err := os.ReadFile(c.Receiver.SecretsFile)
		if err != nil {
			return nil, fmt.Errorf("receiver.secrets_file: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			if secret := strings.TrimSpace(line); secret != "" {
				all = append(all, secret)
			}
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("receiver.secrets_file: %s holds no secret; write one per line", c.Receiver.SecretsFile)
	}
	return all, nil
}
