package stdout

import "fmt"

// Config says how rows are printed.
type Config struct {
	// Format is ndjson or text.
	Format string `yaml:"format"`
}

// The formats.
const (
	FormatNDJSON = "ndjson" // one JSON object a line, for programs
	FormatText   = "text"   // one line a column, for people
)

// DefaultConfig returns the defaults.
func DefaultConfig() Config { return Config{Format: FormatNDJSON} }

// Files returns nothing: no file is read.
func (c Config) Files() []string { return nil }

// Validate reports what cannot work. Each error begins with the key.
func (c Config) Validate() error {
	if c.Format != FormatNDJSON && c.Format != FormatText {
		return fmt.Errorf("format: must be %s or %s, is %q", FormatNDJSON, FormatText, c.Format)
	}
	return nil
}
