package webhook_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"loyaltyhouse/connector/webhook"
)

func TestValidate(t *testing.T) {
	tests := []struct {
		name string
		set  func(*webhook.Config)
		want string
	}{
		{"the defaults", func(*webhook.Config) {}, ""},
		{"secrets from a file", func(c *webhook.Config) { c.Secrets, c.SecretsFile = nil, "/run/secrets/shopline" }, ""},
		{"any address", func(c *webhook.Config) { c.Address = ":8080" }, ""},
		{"no port", func(c *webhook.Config) { c.Address = "localhost" }, `address: must be host:port, as in 127.0.0.1:8080 or :8080, is "localhost"`},
		{"no secret", func(c *webhook.Config) { c.Secrets = nil }, "secrets: at least one app secret is needed to verify signatures; set secrets, as in ${SHOPLINE_APP_SECRETS}, or secrets_file"},
		{"an empty secret", func(c *webhook.Config) { c.Secrets = []string{"hush", ""} }, "secrets: number 2 is empty"},
		{"a small body", func(c *webhook.Config) { c.MaxBodyBytes = 1023 }, "max_body_bytes: must be between 1024 and 16777216, is 1023"},
		{"a large body", func(c *webhook.Config) { c.MaxBodyBytes = 16<<20 + 1 }, "max_body_bytes: must be between 1024 and 16777216, is 16777217"},
		{"no requests", func(c *webhook.Config) { c.MaxInFlight = 0 }, "max_in_flight: must be at least 1, is 0"},
		{"less memory than one body", func(c *webhook.Config) { c.MaxInFlightBytes = 1 << 19 }, "max_in_flight_bytes: must be at least max_body_bytes (1048576), is 524288"},
		{"no connections", func(c *webhook.Config) { c.MaxConnections = 0 }, "max_connections: must be at least 1, is 0"},
		{"no time for the header", func(c *webhook.Config) { c.ReadHeaderTimeout = 0 }, "read_header_timeout: must be above 0, is 0s"},
		{"less time than for the header", func(c *webhook.Config) { c.ReadTimeout = time.Second }, "read_timeout: must be at least read_header_timeout (5s), is 1s"},
		{"no time to publish", func(c *webhook.Config) { c.PublishTimeout = 0 }, "publish_timeout: must be above 0 and at most 4.5s, for SHOPLINE gives up after 5s, is 0s"},
		{"longer than SHOPLINE waits", func(c *webhook.Config) { c.PublishTimeout = 5 * time.Second }, "publish_timeout: must be above 0 and at most 4.5s, for SHOPLINE gives up after 5s, is 5s"},
		{"an unknown way", func(c *webhook.Config) { c.OnStoreMismatch = "drop" }, `on_store_mismatch: must be keep or dead_letter, is "drop"`},
		{"a certificate without key", func(c *webhook.Config) { c.TLSCertFile = "a.pem" }, "tls_cert_file: tls_cert_file and tls_key_file go together; set both or neither"},
		{"a key without certificate", func(c *webhook.Config) { c.TLSKeyFile = "a.key" }, "tls_cert_file: tls_cert_file and tls_key_file go together; set both or neither"},
		{"everything at once", func(c *webhook.Config) { *c = webhook.Config{} }, `address: must be host:port, as in 127.0.0.1:8080 or :8080, is ""
secrets: at least one app secret is needed to verify signatures; set secrets, as in ${SHOPLINE_APP_SECRETS}, or secrets_file
max_body_bytes: must be between 1024 and 16777216, is 0
max_in_flight: must be at least 1, is 0
max_connections: must be at least 1, is 0
read_header_timeout: must be above 0, is 0s
publish_timeout: must be above 0 and at most 4.5s, for SHOPLINE gives up after 5s, is 0s
on_store_mismatch: must be keep or dead_letter, is ""`},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			cfg := webhook.DefaultConfig()
			cfg.Secrets = []string{"hush"}
			test.set(&cfg)
			got := ""
			if err := cfg.Validate(); err != nil {
				got = err.Error()
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("(- want, + got):\n%s", diff)
			}
		})
	}
}

// TestDefaultIsOnLoopback holds that nobody is reachable from outside without
// having said so.
func TestDefaultIsOnLoopback(t *testing.T) {
	if got := webhook.DefaultConfig().Address; got != "127.0.0.1:8080" {
		t.Errorf("the default address is %s", got)
	}
}
