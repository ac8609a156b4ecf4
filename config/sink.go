package config

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"loyaltyhouse/connector/deliver"
	"loyaltyhouse/connector/kafka"
	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/clickhouse"
	"loyaltyhouse/sinks/files"
	"loyaltyhouse/sinks/httpsink"
	"loyaltyhouse/sinks/postgres"
	"loyaltyhouse/sinks/stdout"
)

// A Sink is one destination: a name and exactly one kind.
type Sink struct {
	// Name is part of the sink's consumer group: a new name delivers anew.
	Name       string             `yaml:"name"`
	ClickHouse *clickhouse.Config `yaml:"clickhouse"`
	Files      *files.Config      `yaml:"files"`
	Postgres   *postgres.Config   `yaml:"postgres"`
	HTTP       *httpsink.Config   `yaml:"http"`
	Stdout     *stdout.Config     `yaml:"stdout"`

	sinks.SelectConfig `yaml:",inline"`

	Start kafka.StartOffset   `yaml:"start"`
	Batch deliver.BatchConfig `yaml:"batch"`
	Retry sinks.RetryConfig   `yaml:"retry"`
}

// kinds are the kinds of sinks, with the defaults of their configurations and
// of their batches.
var kinds = []kind{
	kindOf("clickhouse", func(s *Sink) **clickhouse.Config { return &s.ClickHouse }, clickhouse.DefaultConfig, deliver.DefaultBatchConfig()),
	// A file is of use when it is large.
	kindOf("files", func(s *Sink) **files.Config { return &s.Files }, files.DefaultConfig,
		deliver.BatchConfig{MaxRows: 500_000, MaxBytes: 64 << 20, MaxAge: 5 * time.Minute, BufferBytes: 128 << 20}),
	kindOf("postgres", func(s *Sink) **postgres.Config { return &s.Postgres }, postgres.DefaultConfig, deliver.DefaultBatchConfig()),
	// A batch is one request, which a service takes into its memory.
	kindOf("http", func(s *Sink) **httpsink.Config { return &s.HTTP }, httpsink.DefaultConfig,
		deliver.BatchConfig{MaxRows: 500, MaxBytes: 1 << 20, MaxAge: time.Second, BufferBytes: 8 << 20}),
	// Somebody is watching.
	kindOf("stdout", func(s *Sink) **stdout.Config { return &s.Stdout }, stdout.DefaultConfig,
		deliver.BatchConfig{MaxRows: 1000, MaxBytes: 1 << 20, MaxAge: 100 * time.Millisecond, BufferBytes: 8 << 20}),
}

// A kindConfig is the configuration of one kind of sink.
type kindConfig interface {
	// Validate reports what cannot work. Each error begins with the key.
	Validate() error
	// Files returns the files that are read when the sink is opened, and empty names
	// for those that are not set.
	Files() []string
}

// A kind is one kind of sink.
type kind struct {
	key   string
	batch deliver.BatchConfig
	// begin gives a sink the kind's defaults.
	begin func(*Sink)
	// of returns the sink's configuration of this kind, nil where it is of another.
	of func(*Sink) kindConfig
}

func kindOf[C kindConfig](key string, field func(*Sink) **C, defaults func() C, batch deliver.BatchConfig) kind {
	return kind{
		key: key, batch: batch,
		begin: func(s *Sink) { *field(s) = new(defaults()) },
		of: func(s *Sink) kindConfig {
			if c := *field(s); c != nil {
				return *c
			}
			return nil
		},
	}
}

// newSink returns the defaults of a sink that is given with these keys.
func newSink(keys []string) Sink {
	s := Sink{Start: kafka.StartEarliest, Batch: deliver.DefaultBatchConfig(), Retry: sinks.DefaultRetryConfig()}
	for _, k := range kinds {
		if slices.Contains(keys, k.key) {
			k.begin(&s)
			s.Batch = k.batch
		}
	}
	return s
}

// Kind returns the key of the sink's kind.
func (s *Sink) Kind() string {
	for _, k := range kinds {
		if k.of(s) != nil {
			return k.key
		}
	}
	return ""
}

// NamedFiles returns the files that are read when the sink is opened, and empty
// names for those that are not set.
func (s *Sink) NamedFiles() []string {
	var all []string
	for _, k := range kinds {
		if c := k.of(s); c != nil {
			all = append(all, c.Files()...)
		}
	}
	return all
}

var sinkName = regexp.MustCompile(`^[a-z][a-z0-9_-]*$`)

// validate reports everything but what depends on the tables.
func (s *Sink) validate() error {
	var errs []error
	if !sinkName.MatchString(s.Name) {
		errs = append(errs, fmt.Errorf("name: must be lower-case letters, digits, - and _, is %q", s.Name))
	}
	var given, known []string
	for _, k := range kinds {
		known = append(known, k.key)
		if c := k.of(s); c != nil {
			given = append(given, k.key)
			errs = append(errs, strictyaml.Under(k.key, c.Validate()))
		}
	}
	switch len(given) {
	case 0:
		errs = append(errs, fmt.Errorf("name: sink %q needs exactly one kind, with its section; the kinds are: %s", s.Name, strings.Join(known, ", ")))
	case 1:
	default:
		errs = append(errs, fmt.Errorf("%s: a sink has exactly one kind, and this one has %s; give each a sink of its own", given[1], strings.Join(given, ", ")))
	}
	if err := s.Start.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("start: %w", err))
	}
	errs = append(errs, strictyaml.Under("batch", s.Batch.Validate()), strictyaml.Under("retry", s.Retry.Validate()))
	return errors.Join(errs...)
}

// validateSelections reports topics, columns and filters that do not fit the
// tables, which are all that there are.
func (c *Config) validateSelections(tables []*schema.Table) error {
	var errs []error
	for i := range c.Sinks {
		errs = append(errs, strictyaml.Under(fmt.Sprintf("sinks[%d]", i), c.Sinks[i].Validate(tables)))
	}
	return errors.Join(errs...)
}
