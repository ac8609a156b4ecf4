package files

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/s3blob"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/schema/strictyaml"
)

// S3Config is a bucket of Amazon S3 or of a store that speaks its protocol.
type S3Config struct {
	Bucket string `yaml:"bucket"`
	// Region is needed also by stores that have none; us-east-1 serves there.
	Region string `yaml:"region"`
	// Endpoint is the address of another store than Amazon's.
	Endpoint string `yaml:"endpoint"`
	// PathStyle puts the bucket into the path instead of the host's name.
	PathStyle bool `yaml:"path_style"`
	// AccessKeyID and SecretAccessKey are left out where the environment, a
	// profile or the machine's role provides them.
	AccessKeyID         string `yaml:"access_key_id"`
	SecretAccessKey     string `yaml:"secret_access_key"`
	SecretAccessKeyFile string `yaml:"secret_access_key_file"`
	// TLS is for an endpoint with a certificate of an authority of its own.
	TLS clienttls.Config `yaml:"tls"`
}

func (c S3Config) validate() error {
	var errs []error
	if c.Bucket == "" {
		errs = append(errs, errors.New("bucket: is needed"))
	}
	if c.Region == "" {
		errs = append(errs, errors.New("region: is needed, as in eu-central-1; for a store without regions take us-east-1"))
	}
	errs = append(errs, validEndpoint(c.Endpoint))
	if u, err := url.Parse(c.Endpoint); err == nil && u.Scheme == "http" && c.TLS.Enabled {
		errs = append(errs, errors.New("tls.enabled: the endpoint must begin with https:// for it"))
	}
	errs = append(errs, pair("access_key_id", c.AccessKeyID, "secret_access_key", c.SecretAccessKey, c.SecretAccessKeyFile),
		strictyaml.Under("tls", c.TLS.Validate()))
	return errors.Join(errs...)
}

// validEndpoint does not quote what may hold a password.
func validEndpoint(endpoint string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errors.New("endpoint: must be http:// or https:// with a host and without credentials and a query, as in https://minio.example.com:9000")
	}
	return nil
}

func (c S3Config) open() (store, error) {
	key, err := secret("s3.secret_access_key_file", c.SecretAccessKey, c.SecretAccessKeyFile)
	if err != nil {
		return nil, err
	}
	security, err := c.TLS.Load()
	if err != nil {
		return nil, fmt.Errorf("files s3.tls.%w", err)
	}
	s := &bucketStore{place: "s3://" + c.Bucket, transport: newTransport(security)}
	s.connect = func(ctx context.Context) (*blob.Bucket, error) {
		options := []func(*config.LoadOptions) error{
			config.WithRegion(c.Region),
			// A batch is tried again as a whole.
			config.WithRetryer(func() aws.Retryer { return aws.NopRetryer{} }),
		}
		if c.AccessKeyID != "" {
			options = append(options, config.WithCredentialsProvider(credentials.NewStaticCredentialsProvider(c.AccessKeyID, key, "")))
		}
		loaded, err := config.LoadDefaultConfig(ctx, options...)
		if err != nil {
			return nil, err
		}
		if client, ok := loaded.HTTPClient.(*awshttp.BuildableClient); ok && security == nil {
			// The environment can name authorities, too.
			s.transport.TLSClientConfig = client.GetTransport().TLSClientConfig
		}
		loaded.HTTPClient = &http.Client{Transport: s.transport}
		bucketOptions := &s3blob.Options{}
		if c.Endpoint != "" {
			// Many stores know none of the checksums that Amazon's has of late.
			loaded.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
			loaded.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
			bucketOptions.RequestChecksumCalculation = aws.RequestChecksumCalculationWhenRequired
		}
		client := s3.NewFromConfig(loaded, func(o *s3.Options) {
			o.UsePathStyle = c.PathStyle
			if c.Endpoint != "" {
				o.BaseEndpoint = &c.Endpoint
			}
		})
		return s3blob.OpenBucket(ctx, client, c.Bucket, bucketOptions)
	}
	return s, nil
}
