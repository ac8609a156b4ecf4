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
	kindOf("clickhouse", func(s *Sink) **clickhouse.Config { return &s.ClickHouse }, clickhouse.DefaultConfig, clickhouse.Open,
		deliver.DefaultBatchConfig()),
	kindOf("files", func(s *Sink) **files.Config { return &s.Files }, files.DefaultConfig, files.Open,
		// A file is of use when it is large.
		deliver.BatchConfig{MaxRows: 500_000, MaxBytes: 64 << 20, MaxAge: 5 * time.Minute, BufferBytes: 128 << 20}),
	kindOf("postgres", func(s *Sink) **postgres.Config { return &s.Postgres }, postgres.DefaultConfig, postgres.Open,
		deliver.DefaultBatchConfig()),
	kindOf("http", func(s *Sink) **httpsink.Config { return &s.HTTP }, httpsink.DefaultConfig, httpsink.Open,
		// A batch is one request, which a service takes into its memory.
		deliver.BatchConfig{MaxRows: 500, MaxBytes: 1 << 20, MaxAge: time.Second, BufferBytes: 8 << 20}),
	kindOf("stdout", func(s *Sink) **stdout.Config { return &s.Stdout }, stdout.DefaultConfig, stdout.Open,
		// Somebody is watching.
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
	// open opens a sink of this kind.
	open func(*Sink) (sinks.Sink, error)
}

func kindOf[C kindConfig, S sinks.Sink](
	key string, field func(*Sink) **C, defaults func() C, open func(name string, cfg C) (S, error), batch deliver.BatchConfig,
) kind {
	return kind{
		key: key, batch: batch,
		begin: func(s *Sink) { *field(s) = new(defaults()) },
		of: func(s *Sink) kindConfig {
			if c := *field(s); c != nil {
				return *c
			}
			return nil
		},
		open: func(s *Sink) (sinks.Sink, error) {
			opened, err := open(s.Name, **field(s))
			if err != nil {
				return nil, err // Not opened, which would be no nil interface.
			}
			return opened, nil
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

// Open opens the sink. It reads the named files and connects to nothing.
func (s *Sink) Open() (sinks.Sink, error) {
	for _, k := range kinds {
		if k.of(s) != nil {
			return k.open(s)
		}
	}
	return nil, errors.New("the sink has no kind")
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

// sharesFiles reports whether two sinks would write files of one name: these are
// named by what they hold, not by their sink.
func (s *Sink) sharesFiles(other *Sink) bool {
	if s.Files == nil || other.Files == nil || !s.Files.SamePlace(*other.Files) {
		return false
	}
	return len(s.Topics) == 0 || len(other.Topics) == 0 || slices.ContainsFunc(s.Topics, func(topic string) bool { return slices.Contains(other.Topics, topic) })
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
