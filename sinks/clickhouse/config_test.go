package clickhouse_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks/clickhouse"
)

func TestDefaultConfigIsValid(t *testing.T) {
	if err := clickhouse.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	cfg := clickhouse.Config{
		Addresses: strictyaml.List{"localhost", "localhost:9000"}, Database: "loyalty; DROP", Password: "secret", PasswordFile: "f",
		Compression: "gzip", DialTimeout: -time.Second, RawWebhooksTTLDays: -1,
		TLS: clienttls.Config{CAFile: "ca.pem", CertFile: "cert.pem"},
	}
	want := `addresses: number 1 must be host:port, as in localhost:9000, is "localhost"
database: must be letters, digits and _, is "loyalty; DROP"
password_file: password and password_file exclude each other
compression: must be lz4, zstd or none, is "gzip"
dial_timeout: must be above 0, is -1s
write_timeout: must be above 0, is 0s
max_connections: must be at least 1, is 0
raw_webhooks_ttl_days: must be 0 (keep for ever) or more, is -1
refresh_interval: must be whole seconds, at least 1s, is 0s
tls.enabled: must be true for the other keys of tls to count
tls.cert_file: cert_file and key_file go together; set both or neither`
	if got := message(cfg.Validate()); got != want {
		t.Errorf("Validate says\n%s\nwant\n%s", got, want)
	}
	if got, want := message(clickhouse.Config{}.Validate()), "addresses: at least one host:port is needed"; !strings.HasPrefix(got, want) {
		t.Errorf("Validate says %q, want it to begin with %q", got, want)
	}
}

func TestOpenReadsTheFilesOfTheConfiguration(t *testing.T) {
	dir := t.TempDir()
	file := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, test := range map[string]struct {
		change func(*clickhouse.Config)
		want   string
	}{
		"no password file":  {func(c *clickhouse.Config) { c.PasswordFile = filepath.Join(dir, "gone") }, "clickhouse password_file: open "},
		"a password file":   {func(c *clickhouse.Config) { c.PasswordFile = file("password", "secret\n") }, ""},
		"no CA":             {func(c *clickhouse.Config) { c.TLS.CAFile = filepath.Join(dir, "gone") }, "clickhouse tls.ca_file: open "},
		"a CA without PEM":  {func(c *clickhouse.Config) { c.TLS.CAFile = file("ca.pem", "hello") }, "clickhouse tls.ca_file: " + dir + "/ca.pem holds no certificate in PEM form"},
		"a key without PEM": {func(c *clickhouse.Config) { c.TLS.CertFile, c.TLS.KeyFile = file("c", "x"), file("k", "x") }, "clickhouse tls.cert_file: "},
		"TLS by itself":     {func(*clickhouse.Config) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := clickhouse.DefaultConfig()
			cfg.TLS.Enabled = true
			test.change(&cfg)
			sink, err := clickhouse.Open("test", cfg)
			if got := message(err); !strings.HasPrefix(got, test.want) || (test.want == "") != (err == nil) {
				t.Errorf("Open says %q, want %q", got, test.want)
			}
			if err == nil {
				_ = sink.Close()
			}
		})
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
