package files

import (
	"context"

	"gocloud.dev/blob"
)

// These are for the tests alone.
var (
	EscapeShop = escapeShop
	WithoutKey = withoutKey
	FileName   = fileName
)

// OpenBucket returns a sink that writes into this bucket.
func OpenBucket(cfg Config, bucket *blob.Bucket) *Sink {
	return newSink(cfg, &bucketStore{
		place: "mem://", transport: newTransport(nil),
		connect: func(context.Context) (*blob.Bucket, error) { return bucket, nil },
	})
}
