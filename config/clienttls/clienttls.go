// Package clienttls is how this program's clients are told to use TLS: one
// section of the configuration, the same for Kafka and for every sink.
package clienttls

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
)

// Config turns TLS on for a client.
type Config struct {
	Enabled bool `yaml:"enabled"`
	// CAFile holds the authorities to trust, in PEM form; empty means the system's.
	CAFile string `yaml:"ca_file"`
	// CertFile and KeyFile are the client's own certificate, in PEM form, where the
	// server wants one.
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
	// ServerName is the name to verify; empty means the host that is called.
	ServerName string `yaml:"server_name"`
}

// Validate reports what cannot work. Each error begins with the key.
func (c Config) Validate() error {
	var errs []error
	if !c.Enabled && c != (Config{}) {
		errs = append(errs, errors.New("enabled: must be true for the other keys of tls to count"))
	}
	if (c.CertFile == "") != (c.KeyFile == "") {
		errs = append(errs, errors.New("cert_file: cert_file and key_file go together; set both or neither"))
	}
	return errors.Join(errs...)
}

// Files returns the files that Load reads, and empty names for those that are not set.
func (c Config) Files() []string { return []string{c.CAFile, c.CertFile, c.KeyFile} }

// Load reads the files. It returns nil when TLS is off. Its errors begin with
// the key of the file that cannot be used.
func (c Config) Load() (*tls.Config, error) {
	if !c.Enabled {
		return nil, nil
	}
	t := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: c.ServerName}
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("ca_file: %w", err)
		}
		t.RootCAs = x509.NewCertPool()
		if !t.RootCAs.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("ca_file: %s holds no certificate in PEM form", c.CAFile)
		}
	}
	if c.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(c.CertFile, c.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("cert_file: %w", err)
		}
		t.Certificates = []tls.Certificate{pair}
	}
	return t, nil
}
