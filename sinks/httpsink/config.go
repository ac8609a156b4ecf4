package httpsink

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/schema/strictyaml"
)

// Config says where batches are posted to and how.
type Config struct {
	// URL is an http or https address, without a user and a fragment.
	URL string `yaml:"url"`
	// Secrets sign every request, each with a signature of its own, so that a
	// secret can be changed without a gap: whsec_ and base64, or any text.
	Secrets strictyaml.List `yaml:"secrets"`
	// SecretsFile holds more of them, one per line.
	SecretsFile string `yaml:"secrets_file"`
	// Headers are sent with every request. Their values can be secrets.
	Headers map[string]string `yaml:"headers"`
	// Format of the body: json or ndjson.
	Format string `yaml:"format"`
	// Refused is what becomes of a row that the service answers 400, 413 or 422
	// for: retry tries it again for ever, dead_letter makes it a dead letter.
	Refused string           `yaml:"refused"`
	TLS     clienttls.Config `yaml:"tls"`
	// Timeout bounds one request, from the connection to the answer's status.
	Timeout     time.Duration `yaml:"timeout"`
	MaxRequests int           `yaml:"max_requests"` // at once
}

// The formats of a body, and what becomes of a refused row.
const (
	FormatJSON   = "json"
	FormatNDJSON = "ndjson"

	RefusedRetry      = "retry"
	RefusedDeadLetter = "dead_letter"
)

// DefaultConfig returns the defaults.
func DefaultConfig() Config {
	return Config{Format: FormatJSON, Refused: RefusedRetry, Timeout: 30 * time.Second, MaxRequests: 4}
}

// ownHeaders are those that a request has anyway.
var ownHeaders = regexp.MustCompile(`^(?i:webhook-.*|loyaltyhouse-.*|content-.*|host|connection|transfer-encoding|te|trailer|upgrade|expect|accept-encoding)$`)

// Validate reports what cannot work. Each error begins with the key. It repeats
// neither secrets nor the address, which can hold one.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	address, err := url.Parse(c.URL)
	switch {
	case c.URL == "":
		wrong("url: the address to post to is needed, as in https://example.com/loyalty")
	case err != nil:
		wrong("url: is not an address, as in https://example.com/loyalty")
	case address.Scheme != "http" && address.Scheme != "https" || address.Hostname() == "":
		wrong("url: must begin with https:// or http:// and a host")
	case address.User != nil:
		wrong("url: must not hold a user; give the header Authorization in headers")
	case address.Fragment != "":
		wrong("url: must not hold a fragment (#), for it is never sent")
	case c.TLS.Enabled && address.Scheme != "https":
		wrong("url: must begin with https:// where tls is enabled")
	}
	if len(c.Secrets) == 0 && c.SecretsFile == "" {
		wrong("secrets: at least one is needed, here or in secrets_file; make one with: openssl rand -base64 32 | sed s/^/whsec_/")
	}
	for i, secret := range c.Secrets {
		if _, err := keyOf(secret); err != nil {
			wrong("secrets[%d]: %w", i, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.Headers)) {
		switch {
		case !httpguts.ValidHeaderFieldName(name):
			wrong("headers: %q is no name of a header", name)
		case ownHeaders.MatchString(name):
			wrong("headers.%s: is set by the connector itself", name)
		case !httpguts.ValidHeaderFieldValue(c.Headers[name]):
			wrong("headers.%s: holds a character that a header cannot have, such as a line break", name)
		}
	}
	if c.Format != FormatJSON && c.Format != FormatNDJSON {
		wrong("format: must be %s or %s, is %q", FormatJSON, FormatNDJSON, c.Format)
	}
	if c.Refused != RefusedRetry && c.Refused != RefusedDeadLetter {
		wrong("refused: must be %s or %s, is %q", RefusedRetry, RefusedDeadLetter, c.Refused)
	}
	if c.Timeout <= 0 {
		wrong("timeout: must be above 0, is %s", c.Timeout)
	}
	if c.MaxRequests < 1 {
		wrong("max_requests: must be at least 1, is %d", c.MaxRequests)
	}
	errs = append(errs, strictyaml.Under("tls", c.TLS.Validate()))
	return errors.Join(errs...)
}

// Files returns the files that Open reads, and empty names for those that are not set.
func (c Config) Files() []string { return append(c.TLS.Files(), c.SecretsFile) }

// keys returns the keys to sign with, those of the file behind the others.
func (c Config) keys() ([][]byte, error) {
	secrets := slices.Clone(c.Secrets)
	if c.SecretsFile != "" {
		data, err := os.ReadFile(c.SecretsFile)
		if err != nil {
			return nil, fmt.Errorf("http secrets_file: %w", err)
		}
		for line := range strings.Lines(string(data)) {
			if secret := strings.TrimSpace(line); secret != "" {
				secrets = append(secrets, secret)
			}
		}
	}
	if len(secrets) == 0 {
		return nil, fmt.Errorf("http secrets_file: %s holds no secret; write one per line", c.SecretsFile)
	}
	keys := make([][]byte, len(secrets))
	for i, secret := range secrets {
		key, err := keyOf(secret)
		if err != nil {
			return nil, fmt.Errorf("http secret number %d: %w", i+1, err)
		}
		keys[i] = key
	}
	return keys, nil
}
