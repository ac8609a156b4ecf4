package postgres_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/sinks/postgres"
)

func says(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestDefaultConfigIsValid(t *testing.T) {
	if err := postgres.DefaultConfig().Validate(); err != nil {
		t.Error(err)
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	for name, test := range map[string]struct {
		cfg  postgres.Config
		want string
	}{
		"nothing": {postgres.Config{}, `host: must be a name or an address, as in localhost
port: must be 1 to 65535, is 0
database: must name a database of the server
username: must name a role of the server
schema: must be lower-case letters, digits and _, and not begin with pg_, is ""
max_connections: must be at least 1, is 0
connect_timeout: must be above 0, is 0s
write_timeout: must be at least 1ms, is 0s`},
		"an URL and more": {postgres.Config{
			URL: "postgres://u:secret@h/d", Host: "other", Port: 6000, Database: "other", Username: "other", Password: "secret", PasswordFile: "f",
			Schema: "pg_x", MaxConnections: 1, ConnectTimeout: time.Second, WriteTimeout: time.Second, TLS: clienttls.Config{CAFile: "ca.pem", CertFile: "cert.pem"},
		}, `url: holds a password, and so does password or password_file; set one of them
host: url and host exclude each other
port: url and port exclude each other
database: url and database exclude each other
username: url and username exclude each other
password_file: password and password_file exclude each other
schema: must be lower-case letters, digits and _, and not begin with pg_, is "pg_x"
tls.enabled: must be true for the other keys of tls to count
tls.cert_file: cert_file and key_file go together; set both or neither`},
	} {
		t.Run(name, func(t *testing.T) {
			if got := says(test.cfg.Validate()); got != test.want {
				t.Errorf("Validate says\n%s\nwant\n%s", got, test.want)
			}
		})
	}
}

// An URL that is wrong is not repeated, for it may hold a password.
func TestValidateURL(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u@h": "",
		"postgresql://u:secret@h:5432,i:5433/d?target_session_attrs=read-write": "",
		"mysql://u:secret@h/d":                               "url: must be as in postgres://user@host:5432/database",
		"host=secret":                                        "url: must be as in postgres://user@host:5432/database",
		"postgres://u:sec ret\x7f@h/d":                       "url: must be as in postgres://user@host:5432/database",
		"postgres://u:secret@h/d?sslmode=secret":             "url: holds a parameter that is not understood, or names a file that cannot be read",
		"postgres://u:secret@h/d?sslrootcert=/absent/secret": "url: holds a parameter that is not understood, or names a file that cannot be read",
	} {
		cfg := postgres.DefaultConfig()
		cfg.URL = url
		if got := says(cfg.Validate()); got != want {
			t.Errorf("of %s Validate says %q, want %q", url, got, want)
		}
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
		change func(*postgres.Config)
		want   string
	}{
		"no password file": {func(c *postgres.Config) { c.PasswordFile = filepath.Join(dir, "gone") }, "postgres password_file: open "},
		"a password file":  {func(c *postgres.Config) { c.PasswordFile = file("password", "secret\n") }, ""},
		"no CA":            {func(c *postgres.Config) { c.TLS.CAFile = filepath.Join(dir, "gone") }, "postgres tls.ca_file: open "},
		"a CA without PEM": {func(c *postgres.Config) { c.TLS.CAFile = file("ca.pem", "hello") }, "postgres tls.ca_file: " + dir + "/ca.pem holds no certificate in PEM form"},
		"TLS by itself":    {func(*postgres.Config) {}, ""},
		"several hosts":    {func(c *postgres.Config) { c.URL = "postgres://u@h,i/d" }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := postgres.DefaultConfig()
			cfg.TLS.Enabled = true
			test.change(&cfg)
			sink, err := postgres.Open("test", cfg)
			if got := says(err); !strings.HasPrefix(got, test.want) || (test.want == "") != (err == nil) {
				t.Errorf("Open says %q, want %q", got, test.want)
			}
			if err == nil {
				_ = sink.Close()
			}
		})
	}
}
