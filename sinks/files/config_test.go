package files_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks/files"
)

func TestDefaultConfigWithAPlaceIsValid(t *testing.T) {
	for name, place := range map[string]func(*files.Config){
		"local": func(c *files.Config) { c.Local = &files.LocalConfig{Directory: "/var/lib/loyaltyhouse"} },
		"s3":    func(c *files.Config) { c.S3 = &files.S3Config{Bucket: "lake", Region: "eu-central-1"} },
		"gcs":   func(c *files.Config) { c.GCS = &files.GCSConfig{Bucket: "lake"} },
		"azure": func(c *files.Config) { c.Azure = &files.AzureConfig{Account: "a", Container: "lake"} },
	} {
		cfg := files.DefaultConfig()
		place(&cfg)
		if err := cfg.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidateReportsEverythingAtOnce(t *testing.T) {
	cfg := files.Config{
		Local: &files.LocalConfig{Directory: "lake"},
		S3: &files.S3Config{
			Endpoint: "http://user:password@minio:9000", AccessKeyID: "id", SecretAccessKeyFile: "f", SecretAccessKey: "s",
			TLS: clienttls.Config{CAFile: "ca.pem"},
		},
		GCS:         &files.GCSConfig{},
		Azure:       &files.AzureConfig{AccountKey: "k", AccountKeyFile: "f", Endpoint: "blob"},
		Prefix:      "../up",
		Format:      "csv",
		Compression: "lz4",
		PartitionBy: strictyaml.List{"day", "day"},
	}
	const endpoint = "endpoint: must be http:// or https:// with a host and without credentials and a query, as in https://minio.example.com:9000"
	want := `local.directory: must be an absolute path, as in /var/lib/loyaltyhouse, is "lake"
s3.bucket: is needed
s3.region: is needed, as in eu-central-1; for a store without regions take us-east-1
s3.` + endpoint + `
s3.secret_access_key_file: secret_access_key and secret_access_key_file exclude each other
s3.tls.enabled: must be true for the other keys of tls to count
gcs.bucket: is needed
azure.account: is needed
azure.container: is needed
azure.account_key_file: account_key and account_key_file exclude each other
azure.` + endpoint + `
local: exactly one of local, s3, gcs and azure is needed, there are 4
prefix: must be names of letters, digits, '.', '_', '=' and '-' with slashes between them, as in lake/loyalty, is "../up"
format: must be parquet or ndjson, is "csv"
compression: must be gzip, none, zstd, is "lz4"
partition_by: must be day, shop, both or an empty list, number 2 is "day"
max_files_per_batch: must be at least 1, is 0
max_writes: must be at least 1, is 0
write_timeout: must be above 0, is 0s`
	if got := message(cfg.Validate()); got != want {
		t.Errorf("Validate says\n%s\nwant\n%s", got, want)
	}
}

func TestValidateOfS3(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*files.S3Config)
		want   string
	}{
		"an id alone":     {func(c *files.S3Config) { c.AccessKeyID = "id" }, "s3.access_key_id: goes together with secret_access_key or secret_access_key_file"},
		"a secret alone":  {func(c *files.S3Config) { c.SecretAccessKeyFile = "f" }, "s3.access_key_id: goes together with"},
		"TLS over http":   {func(c *files.S3Config) { c.Endpoint, c.TLS.Enabled = "http://minio:9000", true }, "s3.tls.enabled: the endpoint must begin with https://"},
		"TLS over https":  {func(c *files.S3Config) { c.Endpoint, c.TLS.Enabled = "https://minio:9000", true }, ""},
		"no scheme":       {func(c *files.S3Config) { c.Endpoint = "minio:9000" }, "s3.endpoint: must be http:// or https://"},
		"a query":         {func(c *files.S3Config) { c.Endpoint = "https://minio?key=x" }, "s3.endpoint: must be http:// or https://"},
		"both of the key": {func(c *files.S3Config) { c.AccessKeyID, c.SecretAccessKey = "id", "secret" }, ""},
	} {
		cfg := files.DefaultConfig()
		cfg.S3 = &files.S3Config{Bucket: "lake", Region: "us-east-1"}
		test.change(cfg.S3)
		if got := message(cfg.Validate()); !strings.HasPrefix(got, test.want) || (got == "") != (test.want == "") {
			t.Errorf("%s: Validate says %q, want %q", name, got, test.want)
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
	gone := filepath.Join(dir, "gone")
	s3 := func(change func(*files.S3Config)) func(*files.Config) {
		return func(c *files.Config) {
			c.S3 = &files.S3Config{Bucket: "lake", Region: "us-east-1", AccessKeyID: "id"}
			change(c.S3)
		}
	}
	azure := func(change func(*files.AzureConfig)) func(*files.Config) {
		return func(c *files.Config) {
			c.Azure = &files.AzureConfig{Account: "account", Container: "lake"}
			change(c.Azure)
		}
	}
	for name, test := range map[string]struct {
		change func(*files.Config)
		want   string
	}{
		"no place":       {func(*files.Config) {}, "files: local, s3, gcs or azure is needed"},
		"no secret file": {s3(func(c *files.S3Config) { c.SecretAccessKeyFile = gone }), "files s3.secret_access_key_file: open "},
		"a secret file":  {s3(func(c *files.S3Config) { c.SecretAccessKeyFile = file("secret", "s\n") }), ""},
		"no CA":          {s3(func(c *files.S3Config) { c.TLS = clienttls.Config{Enabled: true, CAFile: gone} }), "files s3.tls.ca_file: open "},
		"no key file":    {azure(func(c *files.AzureConfig) { c.AccountKeyFile = gone }), "files azure.account_key_file: open "},
		"a key file":     {azure(func(c *files.AzureConfig) { c.AccountKeyFile = file("key", "c2VjcmV0\n") }), ""},
		"not a key":      {azure(func(c *files.AzureConfig) { c.AccountKey = "secret-value" }), "files azure.account_key: is not base64"},
		"an identity":    {azure(func(*files.AzureConfig) {}), ""},
		"no credentials": {func(c *files.Config) { c.GCS = &files.GCSConfig{Bucket: "b", CredentialsFile: gone} }, "files gcs.credentials_file: open "},
		"other JSON": {func(c *files.Config) {
			c.GCS = &files.GCSConfig{Bucket: "b", CredentialsFile: file("j", `{"type": "authorized_user"}`)}
		}, "files gcs.credentials_file: "},
		"a service account": {func(c *files.Config) {
			c.GCS = &files.GCSConfig{Bucket: "b", CredentialsFile: file("s", serviceAccount)}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := files.DefaultConfig()
			cfg.WriteTimeout = time.Second
			test.change(&cfg)
			sink, err := files.Open("test", cfg)
			if got := message(err); !strings.HasPrefix(got, test.want) || (test.want == "") != (err == nil) {
				t.Errorf("Open says %q, want %q", got, test.want)
			}
			if strings.Contains(message(err), "secret-value") {
				t.Errorf("the error quotes a secret: %v", err)
			}
			if err == nil {
				_ = sink.Close()
			}
		})
	}
}

const serviceAccount = `{"type": "service_account", "client_email": "a@b.iam.gserviceaccount.com", "private_key": "none", "token_uri": "http://127.0.0.1:1/token"}`

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
