package webhook

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"golang.org/x/net/netutil"
)

// maxHeaderBytes bounds a request's header; SHOPLINE's have less than 1 KiB.
const maxHeaderBytes = 32 << 10

// A Server listens and hands requests to a [Receiver].
type Server struct {
	http     *http.Server
	listener net.Listener
	secure   bool
}

// Listen opens the port, so that a port which is taken is known at once.
func Listen(ctx context.Context, r *Receiver) (*Server, error) {
	s := &Server{http: &http.Server{
		Handler:           r.Handler(),
		ReadHeaderTimeout: r.cfg.ReadHeaderTimeout,
		ReadTimeout:       r.cfg.ReadTimeout,
		WriteTimeout:      r.cfg.ReadTimeout + r.cfg.PublishTimeout + time.Second,
		IdleTimeout:       time.Minute,
		MaxHeaderBytes:    maxHeaderBytes,
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelDebug),
	}}
	if r.cfg.TLSCertFile != "" {
		certificate, err := newCertificate(ctx, r.cfg.TLSCertFile, r.cfg.TLSKeyFile, r.log, r.now)
		if err != nil {
			return nil, err
		}
		s.secure = true
		s.http.TLSConfig = &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: certificate.get}
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", r.cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("receiver.address %s cannot be listened on: %w; stop what uses it, or set another address", r.cfg.Address, err)
	}
	s.listener = netutil.LimitListener(listener, r.cfg.MaxConnections)
	return s, nil
}

// Addr returns the address that is listened on.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Serve answers requests until Shutdown is called; then it returns nil.
func (s *Server) Serve() error {
	var err error
	if s.secure {
		err = s.http.ServeTLS(s.listener, "", "")
	} else {
		err = s.http.Serve(s.listener)
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("receiver: %w", err)
}

// Shutdown stops accepting and waits for the requests in flight, until ctx
// ends; then it closes their connections.
func (s *Server) Shutdown(ctx context.Context) error {
	if err := s.http.Shutdown(ctx); err != nil {
		return errors.Join(err, s.http.Close())
	}
	return nil
}
