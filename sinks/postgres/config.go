package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/schema/strictyaml"
)

// Config says where a PostgreSQL is and how to write to it.
type Config struct {
	// URL is a whole address, as in postgres://user@host:5432/database?sslmode=verify-full.
	// It may name several hosts and whatever else libpq knows, and stands instead of
	// Host, Port, Database and Username.
	URL      string `yaml:"url"`
	Host     string `yaml:"host"`
	Port     int    `yaml:"port"`
	Database string `yaml:"database"`
	Username string `yaml:"username"`
	Password string `yaml:"password"`
	// PasswordFile holds the password instead; a line break at its end is dropped.
	PasswordFile string           `yaml:"password_file"`
	TLS          clienttls.Config `yaml:"tls"`
	// Schema holds the tables. It is created where it is missing.
	Schema         string        `yaml:"schema"`
	MaxConnections int           `yaml:"max_connections"`
	ConnectTimeout time.Duration `yaml:"connect_timeout"`
	WriteTimeout   time.Duration `yaml:"write_timeout"`
}

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{
		Host:           "127.0.0.1",
		Port:           5432,
		Database:       "loyalty",
		Username:       "loyalty",
		Schema:         "loyalty",
		MaxConnections: 8,
		ConnectTimeout: 5 * time.Second,
		WriteTimeout:   time.Minute,
	}
}

var schemaForm = regexp.MustCompile(`^[a-z_][a-z0-9_]{0,62}$`)

// Validate reports what cannot work. Each error begins with the key.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if c.URL == "" {
		if c.Host == "" {
			wrong("host: must be a name or an address, as in localhost")
		}
		if c.Port < 1 || c.Port > 65535 {
			wrong("port: must be 1 to 65535, is %d", c.Port)
		}
		if c.Database == "" {
			wrong("database: must name a database of the server")
		}
		if c.Username == "" {
			wrong("username: must name a role of the server")
		}
	} else {
		c.validateURL(wrong)
	}
	if c.Password != "" && c.PasswordFile != "" {
		wrong("password_file: password and password_file exclude each other")
	}
	if !schemaForm.MatchString(c.Schema) || strings.HasPrefix(c.Schema, "pg_") {
		wrong("schema: must be lower-case letters, digits and _, and not begin with pg_, is %q", c.Schema)
	}
	if c.MaxConnections < 1 {
		wrong("max_connections: must be at least 1, is %d", c.MaxConnections)
	}
	if c.ConnectTimeout <= 0 {
		wrong("connect_timeout: must be above 0, is %s", c.ConnectTimeout)
	}
	if c.WriteTimeout < time.Millisecond {
		wrong("write_timeout: must be at least 1ms, is %s", c.WriteTimeout)
	}
	errs = append(errs, strictyaml.Under("tls", c.TLS.Validate()))
	return errors.Join(errs...)
}

// validateURL never repeats the URL, for it may hold a password.
func (c Config) validateURL(wrong func(format string, args ...any)) {
	switch u, err := url.Parse(c.URL); {
	case err != nil, u.Scheme != "postgres" && u.Scheme != "postgresql":
		wrong("url: must be as in postgres://user@host:5432/database")
	default:
		if _, err := pgxpool.ParseConfig(c.URL); err != nil {
			wrong("url: holds a parameter that is not understood, or names a file that cannot be read")
		}
		if _, ok := u.User.Password(); ok && (c.Password != "" || c.PasswordFile != "") {
			wrong("url: holds a password, and so does password or password_file; set one of them")
		}
	}
	defaults := DefaultConfig()
	for _, key := range []struct{ name, value, unset string }{
		{"host", c.Host, defaults.Host},
		{"port", strconv.Itoa(c.Port), strconv.Itoa(defaults.Port)},
		{"database", c.Database, defaults.Database},
		{"username", c.Username, defaults.Username},
	} {
		if key.value != key.unset && key.value != "" && key.value != "0" {
			wrong("%s: url and %s exclude each other", key.name, key.name)
		}
	}
}

// Files returns the files that Open reads, and empty names for those that are not
// set. Those that a URL names are not among them.
func (c Config) Files() []string { return append(c.TLS.Files(), c.PasswordFile) }

// pool reads the files that the configuration names.
func (c Config) pool() (*pgxpool.Config, error) {
	password := c.Password
	if c.PasswordFile != "" {
		data, err := os.ReadFile(c.PasswordFile)
		if err != nil {
			return nil, fmt.Errorf("postgres password_file: %w", err)
		}
		password = strings.TrimRight(string(data), "\r\n")
	}
	security, err := c.TLS.Load()
	if err != nil {
		return nil, fmt.Errorf("postgres tls.%w", err)
	}
	pool, err := pgxpool.ParseConfig(cmp.Or(c.URL, c.ownURL()))
	if err != nil {
		return nil, errors.New("postgres url: is not understood")
	}
	if password != "" {
		pool.ConnConfig.Password = password
	}
	if c.TLS.Enabled {
		for _, fallback := range pool.ConnConfig.Fallbacks {
			fallback.TLSConfig = security.Clone()
			fallback.TLSConfig.ServerName = cmp.Or(security.ServerName, fallback.Host)
		}
		pool.ConnConfig.TLSConfig = security.Clone()
		pool.ConnConfig.TLSConfig.ServerName = cmp.Or(security.ServerName, pool.ConnConfig.Host)
	}
	if pool.ConnConfig.RuntimeParams["application_name"] == "" {
		pool.ConnConfig.RuntimeParams["application_name"] = "loyaltyhouse"
	}
	pool.ConnConfig.ConnectTimeout = c.ConnectTimeout
	// No statement is kept in a session, which need not be the same one behind a
	// connection pooler.
	pool.ConnConfig.DefaultQueryExecMode = pgx.QueryExecModeExec
	pool.MaxConns = int32(c.MaxConnections) + 1 //nolint:gosec // One more is for the readiness probe. PostgreSQL has at most 262,143 connections; a number that does not fit here makes fewer, or is refused when the pool is opened.
	pool.MaxConnIdleTime = 10 * time.Minute
	return pool, nil
}

// ownURL returns the address of the single keys.
func (c Config) ownURL() string {
	u := url.URL{
		Scheme: "postgres", User: url.User(c.Username), Path: "/" + c.Database,
		Host: net.JoinHostPort(c.Host, strconv.Itoa(c.Port)), RawQuery: "sslmode=disable",
	}
	return u.String()
}
