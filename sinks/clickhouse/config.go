package clickhouse

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/schema/strictyaml"
)

// Config says where a ClickHouse is and how to write to it.
type Config struct {
	// Addresses are the servers' native ports, as in localhost:9000. They are
	// tried in turn; all must hold the same tables.
	Addresses strictyaml.List `yaml:"addresses"`
	Database  string          `yaml:"database"`
	Username  string          `yaml:"username"`
	Password  string          `yaml:"password"`
	// PasswordFile holds the password instead; a line break at its end is dropped.
	PasswordFile string           `yaml:"password_file"`
	TLS          clienttls.Config `yaml:"tls"`
	// Compression of the native protocol: lz4, zstd or none.
	Compression    string        `yaml:"compression"`
	DialTimeout    time.Duration `yaml:"dial_timeout"`
	WriteTimeout   time.Duration `yaml:"write_timeout"`
	MaxConnections int           `yaml:"max_connections"`
	// RawWebhooksTTLDays deletes deliveries from raw_webhooks after so many days;
	// 0 keeps them for ever.
	RawWebhooksTTLDays int `yaml:"raw_webhooks_ttl_days"`
	// RefreshInterval is how long after a refresh the views named *_cached are
	// computed anew, in whole seconds.
	RefreshInterval time.Duration `yaml:"refresh_interval"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Addresses:       strictyaml.List{"127.0.0.1:9000"},
		Database:        "loyalty",
		Username:        "default",
		Compression:     "lz4",
		DialTimeout:     5 * time.Second,
		WriteTimeout:    time.Minute,
		MaxConnections:  8,
		RefreshInterval: 5 * time.Minute,
	}
}

var compressions = map[string]clickhouse.CompressionMethod{
	"lz4":  clickhouse.CompressionLZ4,
	"zstd": clickhouse.CompressionZSTD,
	"none": clickhouse.CompressionNone,
}

// Validate reports what cannot work. Each error begins with the key.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if len(c.Addresses) == 0 {
		wrong("addresses: at least one host:port is needed")
	}
	for i, address := range c.Addresses {
		if _, _, err := net.SplitHostPort(address); err != nil {
			wrong("addresses: number %d must be host:port, as in localhost:9000, is %q", i+1, address)
		}
	}
	if !databaseForm.MatchString(c.Database) {
		wrong("database: must be letters, digits and _, is %q", c.Database)
	}
	if c.Password != "" && c.PasswordFile != "" {
		wrong("password_file: password and password_file exclude each other")
	}
	if _, known := compressions[c.Compression]; !known {
		wrong("compression: must be lz4, zstd or none, is %q", c.Compression)
	}
	if c.DialTimeout <= 0 {
		wrong("dial_timeout: must be above 0, is %s", c.DialTimeout)
	}
	if c.WriteTimeout <= 0 {
		wrong("write_timeout: must be above 0, is %s", c.WriteTimeout)
	}
	if c.MaxConnections < 1 {
		wrong("max_connections: must be at least 1, is %d", c.MaxConnections)
	}
	if c.RawWebhooksTTLDays < 0 {
		wrong("raw_webhooks_ttl_days: must be 0 (keep for ever) or more, is %d", c.RawWebhooksTTLDays)
	}
	if c.RefreshInterval < time.Second || c.RefreshInterval%time.Second != 0 {
		wrong("refresh_interval: must be whole seconds, at least 1s, is %s", c.RefreshInterval)
	}
	errs = append(errs, strictyaml.Under("tls", c.TLS.Validate()))
	return errors.Join(errs...)
}

// Files returns the files that Open reads, and empty names for those that are not set.
func (c Config) Files() []string { return append(c.TLS.Files(), c.PasswordFile) }

// options reads the files that the configuration names.
func (c Config) options(database string) (*clickhouse.Options, error) {
	password := c.Password
	if c.PasswordFile != "" {
		data, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("clickhouse password_file: %w", err)
		}
		password = strings.TrimRight(string(data), "\r\n")
	}
	security, err := c.TLS.Load()
	if err != nil {
		return nil, fmt.Errorf("clickhouse tls.%w", err)
	}
	return &clickhouse.Options{
		Addr:             c.Addresses,
		Auth:             clickhouse.Auth{Database: database, Username: c.Username, Password: password},
		TLS:              security,
		Compression:      &clickhouse.Compression{Method: compressions[c.Compression]},
		DialTimeout:      c.DialTimeout,
		ReadTimeout:      c.WriteTimeout,
		MaxOpenConns:     c.MaxConnections + 1, // One for the readiness probe.
		MaxIdleConns:     c.MaxConnections + 1,
		ConnMaxLifetime:  10 * time.Minute,
		ConnOpenStrategy: clickhouse.ConnOpenInOrder,
		ClientInfo: clickhouse.ClientInfo{Products: []struct{ Name, Version string }{
			{Name: "loyaltyhouse"},
		}},
	}, nil
}
