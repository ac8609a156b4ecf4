package webhook

import (
	"context"
	"crypto/tls"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// recheck is how often a handshake looks whether the files were renewed.
const recheck = 10 * time.Second

// A certificate serves a key pair from two files and picks up their renewal
// while it runs. A renewal that cannot be read is logged, and the pair that
// works goes on.
type certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	mu      sync.Mutex
	pair    *tls.Certificate
	changed [2]time.Time // modification times of the files behind pair
	checked time.Time
}

func newCertificate(ctx context.Context, certFile, keyFile string, log *slog.Logger, now func() time.Time) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile, log: log, now: now}
	if err := c.load(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// get is a tls.Config's GetCertificate.
func (c *certificate) get(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := c.now(); now.Sub(c.checked) >= recheck {
		c.checked = now
		if changed, err := c.modified(); err != nil || changed != c.changed {
			if err == nil {
				err = c.load(hello.Context())
			}
			if err != nil {
				c.log.LogAttrs(hello.Context(), slog.LevelError,
					"the renewed TLS certificate cannot be used; the old one stays in use", slog.Any("error", err))
			}
		}
	}
	return c.pair, nil
}

func (c *certificate) load(ctx context.Context) error {
	changed, err := c.modified()
	if err != nil {
		return err
	}
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("TLS certificate %s with key %s: %w", c.certFile, c.keyFile, err)
	}
	c.pair, c.changed = &pair, changed
	c.log.LogAttrs(ctx, slog.LevelInfo, "TLS certificate loaded",
		slog.String("file", c.certFile), slog.Time("not_after", pair.Leaf.NotAfter))
	return nil
}

func (c *certificate) modified() (times [2]time.Time, err error) {
	for i, name := range []string{c.certFile, c.keyFile} {
		info, err := os.Stat(name)
		if err != nil {
			return times, fmt.Errorf("TLS certificate: %w", err)
		}
		times[i] = info.ModTime()
	}
	return times, nil
}
