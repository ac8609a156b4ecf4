package files

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	"github.com/Azure/azure-sdk-for-go/sdk/azidentity"
	"github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/container"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
)

// AzureConfig is a container of Azure Blob Storage.
type AzureConfig struct {
	Account   string `yaml:"account"`
	Container string `yaml:"container"`
	// AccountKey is left out where the environment or the machine's identity
	// provides credentials.
	AccountKey     string `yaml:"account_key"`
	AccountKeyFile string `yaml:"account_key_file"`
	// Endpoint is the address of the account's blobs, where it is not
	// https://ACCOUNT.blob.core.windows.net.
	Endpoint string `yaml:"endpoint"`
}

func (c AzureConfig) validate() error {
	var errs []error
	if c.Account == "" {
		errs = append(errs, errors.New("account: is needed"))
	}
	if c.Container == "" {
		errs = append(errs, errors.New("container: is needed"))
	}
	if c.AccountKey != "" && c.AccountKeyFile != "" {
		errs = append(errs, errors.New("account_key_file: account_key and account_key_file exclude each other"))
	}
	errs = append(errs, validEndpoint(c.Endpoint))
	return errors.Join(errs...)
}

// url returns the container's address.
func (c AzureConfig) url() string {
	endpoint := c.Endpoint
	if endpoint == "" {
		endpoint = "https://" + c.Account + ".blob.core.windows.net"
	}
	return strings.TrimRight(endpoint, "/") + "/" + c.Container
}

func (c AzureConfig) open() (store, error) {
	key, err := secret("azure.account_key_file", c.AccountKey, c.AccountKeyFile)
	if err != nil {
		return nil, err
	}
	s := &bucketStore{place: "azblob://" + c.Container, transport: newTransport(nil)}
	options := &container.ClientOptions{}
	options.Transport = &http.Client{Transport: s.transport}
	options.Retry = policy.RetryOptions{MaxRetries: -1} // A batch is tried again as a whole.
	var client *container.Client
	if key != "" {
		credential, err := container.NewSharedKeyCredential(c.Account, key)
		if err != nil {
			return nil, errors.New("files azure.account_key: is not base64")
		}
		if client, err = container.NewClientWithSharedKeyCredential(c.url(), credential, options); err != nil {
			return nil, fmt.Errorf("files azure: %w", err)
		}
	} else {
		credential, err := azidentity.NewDefaultAzureCredential(&azidentity.DefaultAzureCredentialOptions{ClientOptions: options.ClientOptions})
		if err != nil {
			return nil, fmt.Errorf("files azure: find credentials: %w", err)
		}
		if client, err = container.NewClient(c.url(), credential, options); err != nil {
			return nil, fmt.Errorf("files azure: %w", err)
		}
	}
	s.connect = func(ctx context.Context) (*blob.Bucket, error) { return azureblob.OpenBucket(ctx, client, nil) }
	return s, nil
}
