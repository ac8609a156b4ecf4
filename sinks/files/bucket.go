package files

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"path"
	"sync"
	"time"

	"gocloud.dev/blob"
)

// A bucketStore is a bucket of an object store. Such a store shows an object
// when it has the whole of it.
type bucketStore struct {
	place     string // for errors, as in s3://bucket
	transport *http.Transport
	connect   func(context.Context) (*blob.Bucket, error)

	mu     sync.Mutex
	bucket *blob.Bucket // nil until connect has succeeded
}

// newTransport returns a transport of the store's own, whose connections end
// with it.
func newTransport(security *tls.Config) *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.TLSClientConfig = security
	t.MaxIdleConnsPerHost = 16
	t.IdleConnTimeout = 30 * time.Second
	return t
}

func (s *bucketStore) put(ctx context.Context, key string, content []byte) error {
	return s.with(ctx, func(bucket *blob.Bucket) error {
		return bucket.Upload(ctx, key, bytes.NewReader(content), &blob.WriterOptions{ContentType: "application/octet-stream"})
	})
}

func (s *bucketStore) ping(ctx context.Context) error {
	return s.with(ctx, func(bucket *blob.Bucket) error {
		_, _, err := bucket.ListPage(ctx, blob.FirstPageToken, 1, nil)
		return err
	})
}

func (s *bucketStore) probe(ctx context.Context, prefix string, _ bool) error {
	// Readers of a data lake pass over what begins with '_'.
	key := path.Join(prefix, "_probe-"+rand.Text())
	err := s.put(ctx, key, []byte("probe"))
	if err != nil {
		return err
	}
	return s.with(ctx, func(bucket *blob.Bucket) error { return bucket.Delete(ctx, key) })
}

func (s *bucketStore) prepare() error { return nil }

func (s *bucketStore) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var err error
	if s.bucket != nil {
		if err = s.bucket.Close(); err != nil {
			err = s.describe(err)
		}
	}
	s.transport.CloseIdleConnections()
	return err
}

func (s *bucketStore) with(ctx context.Context, do func(*blob.Bucket) error) error {
	bucket, err := s.open(ctx)
	if err == nil {
		err = do(bucket)
	}
	if err != nil {
		return s.describe(err)
	}
	return nil
}

func (s *bucketStore) open(ctx context.Context) (*blob.Bucket, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.bucket != nil {
		return s.bucket, nil
	}
	// The clients keep the context; that of one batch would end with it.
	bucket, err := s.connect(context.WithoutCancel(ctx))
	if err != nil {
		return nil, err
	}
	s.bucket = bucket
	return bucket, nil
}

func (s *bucketStore) describe(err error) error {
	return fmt.Errorf("files %s: %w", s.place, withoutKey(err))
}

// pair reports a secret that is given twice, or a half of a pair.
func pair(idKey, id, key, text, file string) error {
	var errs []error
	if text != "" && file != "" {
		errs = append(errs, fmt.Errorf("%s_file: %s and %s_file exclude each other", key, key, key))
	}
	if (id == "") != (text == "" && file == "") {
		errs = append(errs, fmt.Errorf("%s: goes together with %s or %s_file; set both, or neither to use what the environment provides", idKey, key, key))
	}
	return errors.Join(errs...)
}
