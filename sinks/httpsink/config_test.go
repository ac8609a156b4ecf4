package httpsink_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/sinks/httpsink"
)

func TestDefaultsAreValidWithAnAddressAndASecret(t *testing.T) {
	for _, url := range []string{"http://127.0.0.1:8088/rows", "https://example.com", "https://[::1]:1/a?b=c"} {
		cfg := httpsink.DefaultConfig()
		cfg.URL, cfg.Secrets = url, []string{oldSecret, "twenty-four bytes of text"}
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	cfg := httpsink.Config{
		URL: "ftp://example.com", Secrets: []string{"secret-value", "whsec_secret-value", "whsec_" + strings.Repeat("A", 28)},
		Headers: map[string]string{"Webhook-Id": "1", "content-type": "x", "X Y": "x", "X-Token": "secret-value\n"},
		Format:  "xml", Refused: "ignore", Timeout: -1, TLS: clienttls.Config{CAFile: "ca.pem"},
	}
	want := `url: must begin with https:// or http:// and a host
secrets[0]: must hold at least 24 bytes, has 12
secrets[1]: must be base64 after whsec_
secrets[2]: must hold at least 24 bytes, has 21
headers.Webhook-Id: is set by the connector itself
headers: "X Y" is no name of a header
headers.X-Token: holds a character that a header cannot have, such as a line break
headers.content-type: is set by the connector itself
format: must be json or ndjson, is "xml"
refused: must be retry or dead_letter, is "ignore"
timeout: must be above 0, is -1ns
max_requests: must be at least 1, is 0
tls.enabled: must be true for the other keys of tls to count`
	if got := message(cfg.Validate()); got != want {
		t.Errorf("Validate says\n%s\nwant\n%s", got, want)
	}
}

func TestValidateURL(t *testing.T) {
	for url, want := range map[string]string{
		"":                              "url: the address to post to is needed, as in https://example.com/loyalty",
		"http://secret-value\x00":       "url: is not an address, as in https://example.com/loyalty",
		"https:///secret-value":         "url: must begin with https:// or http:// and a host",
		"//example.com/secret-value":    "url: must begin with https:// or http:// and a host",
		"https://u:secret-value@host/":  "url: must not hold a user; give the header Authorization in headers",
		"https://host/path#secret-part": "url: must not hold a fragment (#), for it is never sent",
		"http://host/with-tls":          "url: must begin with https:// where tls is enabled",
	} {
		cfg := httpsink.DefaultConfig()
		cfg.URL, cfg.Secrets, cfg.TLS.Enabled = url, []string{oldSecret}, true
		if got := message(cfg.Validate()); got != want {
			t.Errorf("of %q Validate says %q, want %q", url, got, want)
		}
	}
	cfg := httpsink.DefaultConfig()
	cfg.URL = "https://host"
	if got := message(cfg.Validate()); !strings.HasPrefix(got, "secrets: at least one is needed, here or in secrets_file; ") {
		t.Errorf("without a secret Validate says %q", got)
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
		change func(*httpsink.Config)
		want   string
	}{
		"no secrets file":      {func(c *httpsink.Config) { c.SecretsFile = filepath.Join(dir, "gone") }, "http secrets_file: open "},
		"an empty file":        {func(c *httpsink.Config) { c.Secrets, c.SecretsFile = nil, file("empty", "\n \n") }, "http secrets_file: " + dir + "/empty holds no secret; write one per line"},
		"a short secret":       {func(c *httpsink.Config) { c.SecretsFile = file("short", "secret-value\n") }, "http secret number 2: must hold at least 24 bytes, has 12"},
		"a good file":          {func(c *httpsink.Config) { c.SecretsFile = file("good", oldSecret+"\n") }, ""},
		"no authority":         {func(c *httpsink.Config) { c.TLS = clienttls.Config{Enabled: true, CAFile: dir + "/gone"} }, "http tls.ca_file: open "},
		"TLS without a file":   {func(c *httpsink.Config) { c.TLS.Enabled = true }, ""},
		"the secret by itself": {func(*httpsink.Config) {}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := httpsink.DefaultConfig()
			cfg.URL, cfg.Secrets = "https://example.com", []string{newSecret}
			test.change(&cfg)
			sink, err := httpsink.Open("test", cfg)
			if got := message(err); !strings.HasPrefix(got, test.want) || (test.want == "") != (err == nil) {
				t.Errorf("Open says %q, want %q", got, test.want)
			}
			if err == nil {
				shut(t, sink)
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
