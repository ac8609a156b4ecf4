package files

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"loyaltyhouse/schema"
	"loyaltyhouse/schema/strictyaml"
)

// Config says where files go and what they look like. Exactly one of Local, S3,
// GCS and Azure is set.
type Config struct {
	Local *LocalConfig `yaml:"local"`
	S3    *S3Config    `yaml:"s3"`
	GCS   *GCSConfig   `yaml:"gcs"`
	Azure *AzureConfig `yaml:"azure"`
	// Prefix is a path below the directory or bucket; it may be empty. Two sinks
	// that write the same topics need different ones.
	Prefix string `yaml:"prefix"`
	// Format is parquet or ndjson.
	Format string `yaml:"format"`
	// Compression is zstd, gzip or none.
	Compression string `yaml:"compression"`
	// PartitionBy is which directories there are below the table's: day, shop,
	// both or none.
	PartitionBy strictyaml.List `yaml:"partition_by"`
	// MaxFilesPerBatch bounds the days and shops that one batch may spread over.
	MaxFilesPerBatch int `yaml:"max_files_per_batch"`
	// MaxWrites is how many batches are encoded and written at once.
	MaxWrites int `yaml:"max_writes"`
	// WriteTimeout bounds the writing of one file.
	WriteTimeout time.Duration `yaml:"write_timeout"`
}

// LocalConfig is a directory on this machine.
type LocalConfig struct {
	Directory string `yaml:"directory"`
}

const (
	formatParquet = "parquet"
	formatNDJSON  = "ndjson"

	partitionDay  = "day"
	partitionShop = "shop"
)

// DefaultConfig returns the defaults of everything but the place.
func DefaultConfig() Config {
	return Config{
		Format:           formatParquet,
		Compression:      "zstd",
		PartitionBy:      strictyaml.List{partitionDay, partitionShop},
		MaxFilesPerBatch: 10_000,
		MaxWrites:        4,
		WriteTimeout:     time.Minute,
	}
}

// prefixForm keeps a prefix within the bucket, and its names the same in every store.
var prefixForm = regexp.MustCompile(`^([A-Za-z0-9][A-Za-z0-9._=-]*)(/[A-Za-z0-9][A-Za-z0-9._=-]*)*$`)

// Validate reports what cannot work. Each error begins with the key.
func (c Config) Validate() error {
	var errs []error
	wrong := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	places := 0
	if c.Local != nil {
		places++
		errs = append(errs, strictyaml.Under("local", c.Local.validate()))
	}
	if c.S3 != nil {
		places++
		errs = append(errs, strictyaml.Under("s3", c.S3.validate()))
	}
	if c.GCS != nil {
		places++
		errs = append(errs, strictyaml.Under("gcs", c.GCS.validate()))
	}
	if c.Azure != nil {
		places++
		errs = append(errs, strictyaml.Under("azure", c.Azure.validate()))
	}
	if places != 1 {
		wrong("local: exactly one of local, s3, gcs and azure is needed, there are %d", places)
	}
	if c.Prefix != "" && !prefixForm.MatchString(c.Prefix) {
		wrong("prefix: must be names of letters, digits, '.', '_', '=' and '-' with slashes between them, as in lake/loyalty, is %q", c.Prefix)
	}
	if c.Format != formatParquet && c.Format != formatNDJSON {
		wrong("format: must be parquet or ndjson, is %q", c.Format)
	}
	if _, known := parquetCodecs[c.Compression]; !known {
		wrong("compression: must be %s, is %q", strings.Join(slices.Sorted(maps.Keys(parquetCodecs)), ", "), c.Compression)
	}
	for i, p := range c.PartitionBy {
		if p != partitionDay && p != partitionShop || slices.Contains(c.PartitionBy[:i], p) {
			wrong("partition_by: must be day, shop, both or an empty list, number %d is %q", i+1, p)
		}
	}
	if c.MaxFilesPerBatch < 1 {
		wrong("max_files_per_batch: must be at least 1, is %d", c.MaxFilesPerBatch)
	}
	if c.MaxWrites < 1 {
		wrong("max_writes: must be at least 1, is %d", c.MaxWrites)
	}
	if c.WriteTimeout <= 0 {
		wrong("write_timeout: must be above 0, is %s", c.WriteTimeout)
	}
	return errors.Join(errs...)
}

func (c LocalConfig) validate() error {
	if !filepath.IsAbs(c.Directory) {
		return fmt.Errorf("directory: must be an absolute path, as in /var/lib/loyaltyhouse, is %q", c.Directory)
	}
	return nil
}

// SamePlace reports whether another sink's files would be among those of this one.
func (c Config) SamePlace(other Config) bool {
	if c.Prefix != other.Prefix {
		return false
	}
	switch {
	case c.Local != nil && other.Local != nil:
		return filepath.Clean(c.Local.Directory) == filepath.Clean(other.Local.Directory)
	case c.S3 != nil && other.S3 != nil:
		return c.S3.Endpoint == other.S3.Endpoint && c.S3.Bucket == other.S3.Bucket
	case c.GCS != nil && other.GCS != nil:
		return c.GCS.Bucket == other.GCS.Bucket
	case c.Azure != nil && other.Azure != nil:
		return c.Azure.Account == other.Azure.Account && c.Azure.Endpoint == other.Azure.Endpoint && c.Azure.Container == other.Azure.Container
	default:
		return false
	}
}

// Files returns the files that Open reads, and empty names for those that are not set.
func (c Config) Files() []string {
	switch {
	case c.S3 != nil:
		return append(c.S3.TLS.Files(), c.S3.SecretAccessKeyFile)
	case c.GCS != nil:
		return []string{c.GCS.CredentialsFile}
	case c.Azure != nil:
		return []string{c.Azure.AccountKeyFile}
	default:
		return nil
	}
}

// open reads the files that the configuration names.
func (c Config) open() (store, error) {
	switch {
	case c.Local != nil:
		return &localStore{c.Local.Directory}, nil
	case c.S3 != nil:
		return c.S3.open()
	case c.GCS != nil:
		return c.GCS.open()
	case c.Azure != nil:
		return c.Azure.open()
	default:
		return nil, errors.New("files: local, s3, gcs or azure is needed")
	}
}

func (c Config) encoder(t *schema.Table) encoder {
	if c.Format == formatNDJSON {
		return &ndjsonEncoder{table: t, wrap: ndjsonCodecs[c.Compression]}
	}
	return newParquetEncoder(t, parquetCodecs[c.Compression])
}

// extension ends the files' names. Readers take the compression from it.
func (c Config) extension() string {
	if c.Format == formatParquet {
		return ".parquet"
	}
	return ".ndjson" + map[string]string{"gzip": ".gz", "zstd": ".zst"}[c.Compression]
}

// secret returns a text of the configuration, or of the file that it names
// instead. A line break at the file's end is dropped.
func secret(key, text, file string) (string, error) {
	if file == "" {
		return text, nil
	}
	data, err := os.ReadFile(file) //nolint:gosec // Whoever writes the configuration names its files; nothing that comes over the network reaches the name.
	if err != nil {
		return "", fmt.Errorf("files %s: %w", key, err)
	}
	return strings.TrimRight(string(data), "\r\n"), nil
}
