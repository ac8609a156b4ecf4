package webhook

import (
	"errors"
	"fmt"
	"net"
	"time"

	"loyaltyhouse/schema/strictyaml"
)

// Config configures the receiver.
type Config struct {
	// Address is the host and port to listen on.
	Address string `yaml:"address"`
	// Secrets are the app secrets that sign bodies, newest first. While a secret
	// is being rotated, deliveries may carry either.
	Secrets strictyaml.List `yaml:"secrets"`
	// SecretsFile holds more secrets, one per line.
	SecretsFile string `yaml:"secrets_file"`
	// MaxBodyBytes is the largest body that is read.
	MaxBodyBytes int64 `yaml:"max_body_bytes"`
	// MaxInFlight bounds the requests that are worked on at once.
	MaxInFlight int `yaml:"max_in_flight"`
	// MaxInFlightBytes bounds the memory of the bodies above 64 KiB that are worked
	// on at once; MaxInFlight bounds that of the smaller ones.
	MaxInFlightBytes int64 `yaml:"max_in_flight_bytes"`
	// MaxConnections bounds the open connections.
	MaxConnections int `yaml:"max_connections"`
	// ReadHeaderTimeout and ReadTimeout bound the time that a client may take to
	// send a header and a whole request.
	ReadHeaderTimeout time.Duration `yaml:"read_header_timeout"`
	ReadTimeout       time.Duration `yaml:"read_timeout"`
	// PublishTimeout bounds the wait for the buffer's acknowledgement. SHOPLINE
	// waits 5 s for an answer.
	PublishTimeout time.Duration `yaml:"publish_timeout"`
	// OnStoreMismatch is what a difference between the body's store_id and the
	// header X-Shopline-Shop-Id does: "keep" counts it, "dead_letter" rejects.
	OnStoreMismatch string `yaml:"on_store_mismatch"`
	// TLSCertFile and TLSKeyFile turn TLS on. They may be renewed at any time.
	TLSCertFile string `yaml:"tls_cert_file"`
	TLSKeyFile  string `yaml:"tls_key_file"`
}

// DefaultConfig returns the defaults. Secrets have none.
func DefaultConfig() Config {
	return Config{
		Address:           "127.0.0.1:8080",
		MaxBodyBytes:      1 << 20,
		MaxInFlight:       1024,
		MaxInFlightBytes:  64 << 20,
		MaxConnections:    8192,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		PublishTimeout:    3 * time.Second,
		OnStoreMismatch:   "keep",
	}
}

// Validate reports what cannot work. Each error begins with the key.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if _, _, err := net.SplitHostPort(c.Address); err != nil {
		wrong("address: must be host:port, as in 127.0.0.1:8080 or :8080, is %q", c.Address)
	}
	if len(c.Secrets) == 0 && c.SecretsFile == "" {
		wrong("secrets: at least one app secret is needed to verify signatures; set secrets, as in ${SHOPLINE_APP_SECRETS}, or secrets_file")
	}
	for i, secret := range c.Secrets {
		if secret == "" {
			wrong("secrets: number %d is empty", i+1)
		}
	}
	if c.MaxBodyBytes < 1024 || c.MaxBodyBytes > 16<<20 {
		wrong("max_body_bytes: must be between 1024 and 16777216, is %d", c.MaxBodyBytes)
	}
	if c.MaxInFlight < 1 {
		wrong("max_in_flight: must be at least 1, is %d", c.MaxInFlight)
	}
	if c.MaxInFlightBytes < c.MaxBodyBytes {
		wrong("max_in_flight_bytes: must be at least max_body_bytes (%d), is %d", c.MaxBodyBytes, c.MaxInFlightBytes)
	}
	if c.MaxConnections < 1 {
		wrong("max_connections: must be at least 1, is %d", c.MaxConnections)
	}
	if c.ReadHeaderTimeout <= 0 {
		wrong("read_header_timeout: must be above 0, is %s", c.ReadHeaderTimeout)
	}
	if c.ReadTimeout < c.ReadHeaderTimeout {
		wrong("read_timeout: must be at least read_header_timeout (%s), is %s", c.ReadHeaderTimeout, c.ReadTimeout)
	}
	if c.PublishTimeout <= 0 || c.PublishTimeout > 4500*time.Millisecond {
		wrong("publish_timeout: must be above 0 and at most 4.5s, for SHOPLINE gives up after 5s, is %s", c.PublishTimeout)
	}
	if c.OnStoreMismatch != "keep" && c.OnStoreMismatch != "dead_letter" {
		wrong("on_store_mismatch: must be keep or dead_letter, is %q", c.OnStoreMismatch)
	}
	if (c.TLSCertFile == "") != (c.TLSKeyFile == "") {
		wrong("tls_cert_file: tls_cert_file and tls_key_file go together; set both or neither")
	}
	return errors.Join(errs...)
}
