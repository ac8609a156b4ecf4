package files

import (
	"context"
	"errors"
	"fmt"
	"os"

	"cloud.google.com/go/storage"
	"gocloud.dev/blob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/gcp"
	"golang.org/x/oauth2/google"
)

// GCSConfig is a bucket of Google Cloud Storage.
type GCSConfig struct {
	Bucket string `yaml:"bucket"`
	// CredentialsFile is a service account's key in JSON. It is left out where the
	// environment or the machine's service account provides credentials.
	CredentialsFile string `yaml:"credentials_file"`
}

func (c GCSConfig) validate() error {
	if c.Bucket == "" {
		return errors.New("bucket: is needed")
	}
	return nil
}

const gcsScope = storage.ScopeReadWrite

func (c GCSConfig) open() (store, error) {
	s := &bucketStore{place: "gs://" + c.Bucket, transport: newTransport(nil)}
	find := gcp.DefaultCredentials
	if c.CredentialsFile != "" {
		data, err := os.ReadFile(c.CredentialsFile)
		if err != nil {
			return nil, fmt.Errorf("files gcs.credentials_file: %w", err)
		}
		credentials, err := google.CredentialsFromJSONWithType(context.Background(), data, google.ServiceAccount, gcsScope)
		if err != nil {
			return nil, fmt.Errorf("files gcs.credentials_file: %s is not a service account's key in JSON", c.CredentialsFile)
		}
		find = func(context.Context) (*google.Credentials, error) { return credentials, nil }
	}
	s.connect = func(ctx context.Context) (*blob.Bucket, error) {
		credentials, err := find(ctx)
		if err != nil {
			return nil, err
		}
		client, err := gcp.NewHTTPClient(s.transport, gcp.CredentialsTokenSource(credentials))
		if err != nil {
			return nil, err
		}
		bucket, err := gcsblob.OpenBucket(ctx, client, c.Bucket, nil)
		if err != nil {
			return nil, err
		}
		var native *storage.Client
		if bucket.As(&native) {
			// A batch is tried again as a whole.
			native.SetRetry(storage.WithPolicy(storage.RetryNever))
		}
		return bucket, nil
	}
	return s, nil
}
