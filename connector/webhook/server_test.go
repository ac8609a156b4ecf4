package webhook_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/connector/webhook"
)

func TestServe(t *testing.T) {
	f, _ := listen(t, nil)
	f.kept(t, f.request(t, pointsWebhook, pointsBody))
	unsigned := f.request(t, pointsWebhook, pointsBody)
	unsigned.Header.Del("X-Shopline-Hmac-Sha256")
	f.refused(t, unsigned, 401, "missing_signature")
}

func TestListenOnTakenAddress(t *testing.T) {
	_, server := listen(t, nil)
	f := newFixture(t, func(cfg *webhook.Config) { cfg.Address = server.Addr() })
	_, err := webhook.Listen(t.Context(), f.receiver)
	if err == nil || !strings.HasPrefix(err.Error(), "receiver.address "+server.Addr()+" cannot be listened on: ") ||
		!strings.HasSuffix(err.Error(), "; stop what uses it, or set another address") {
		t.Errorf("the error does not say what to do: %v", err)
	}
}

// TestStalledBody holds that a client which stops sending gets its answer, and
// that its place is free again.
func TestStalledBody(t *testing.T) {
	f, _ := listen(t, func(cfg *webhook.Config) {
		cfg.ReadHeaderTimeout, cfg.ReadTimeout, cfg.MaxInFlight = 500*time.Millisecond, 500*time.Millisecond, 1
	})
	for name, framing := range map[string]string{
		"by length": "Content-Length: 100\r\n\r\n{\"buyer_id\":\"Zaphod",
		"in chunks": "Transfer-Encoding: chunked\r\n\r\n10\r\n{\"buyer_id\":\"Zap",
	} {
		conn := dial(t, f.url)
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: x\r\nX-Shopline-Hmac-Sha256: %s\r\n%s", webhook.Path, sdkHex, framing)
		a := readAnswer(t, conn)
		if reason := a.reason(t); a.status != 400 || reason != "incomplete_body" {
			t.Errorf("%s: answered %d %s, want 400 incomplete_body", name, a.status, reason)
		}
		f.kept(t, f.request(t, pointsWebhook, pointsBody))
	}
}

// TestStalledHeader holds that a connection which says nothing is closed.
func TestStalledHeader(t *testing.T) {
	f, _ := listen(t, func(cfg *webhook.Config) {
		cfg.ReadHeaderTimeout, cfg.ReadTimeout, cfg.MaxConnections = 500*time.Millisecond, 500*time.Millisecond, 1
	})
	for _, sent := range []string{"", "POST " + webhook.Path + " HTTP/1.1\r\nX-Shop"} {
		conn := dial(t, f.url)
		if _, err := io.WriteString(conn, sent); err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(io.Discard, conn); err != nil { // Until the receiver closes it.
			t.Errorf("after %q: %v", sent, err)
		}
	}
	f.kept(t, f.request(t, pointsWebhook, pointsBody))
}

// TestMaxConnections holds that one connection too many waits for its turn.
func TestMaxConnections(t *testing.T) {
	f, _ := listen(t, func(cfg *webhook.Config) { cfg.MaxConnections = 1 })
	first := dial(t, f.url)
	ask := func(conn net.Conn) {
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\n\r\n")
	}
	ask(first)
	if a := readAnswer(t, first); a.status != 404 {
		t.Errorf("answered %d", a.status)
	}
	second := dial(t, f.url)
	ask(second)
	if err := second.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if _, err := second.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the second connection is served beside the first: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if a := readAnswer(t, second); a.status != 404 {
		t.Errorf("answered %d", a.status)
	}
}

func TestLargeHeader(t *testing.T) {
	f, _ := listen(t, nil)
	req := f.request(t, pointsWebhook, "")
	req.Header.Set("X-Padding", strings.Repeat("x", 64<<10))
	response, err := f.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("answered %d, want 431", response.StatusCode)
	}
}

// TestShutdown holds that what is in flight is answered, and that nothing new
// is taken meanwhile.
func TestShutdown(t *testing.T) {
	f, server := listen(t, func(cfg *webhook.Config) { cfg.PublishTimeout = 4 * time.Second })
	release := hold(f)
	wait := f.inBackground(t, `{"hold":1}`)
	f.untilInFlight(t, 1)
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(t.Context()) }()
	until(t, "the port is closed", func() bool {
		conn, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", server.Addr())
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-stopped:
		t.Errorf("shutdown did not wait for the request in flight: %v", err)
	default:
	}
	release()
	wait()
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	if n := len(f.publisher.published()); n != 1 {
		t.Errorf("%d deliveries are published, want 1", n)
	}
}

// TestShutdownIsBounded holds that a request which does not end cannot keep
// the service.
func TestShutdownIsBounded(t *testing.T) {
	f, server := listen(t, func(cfg *webhook.Config) { cfg.PublishTimeout = 4500 * time.Millisecond })
	_ = hold(f)
	req := f.request(t, pointsWebhook, `{"hold":1}`)
	answered := make(chan error, 1)
	go func() {
		response, err := f.client.Do(req)
		if err == nil {
			_ = response.Body.Close()
		}
		answered <- err
	}()
	f.untilInFlight(t, 1)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := server.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown is %v, want that its time is over", err)
	}
	if err := <-answered; err == nil {
		t.Error("a request that was cut off has an answer")
	}
	f.untilInFlight(t, 0)
}

// A keyPair is a self-signed certificate in two files.
type keyPair struct {
	t               *testing.T
	cert, key       string
	modified        time.Time
	pool            *x509.CertPool
	certPEM, keyPEM []byte
}

// issue makes a new pair with the serial number and writes both files.
func (k *keyPair) issue(serial int64) {
	k.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		k.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "localhost"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		k.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		k.t.Fatal(err)
	}
	k.certPEM = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	k.keyPEM = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	k.pool.AppendCertsFromPEM(k.certPEM)
	k.write(k.cert, k.certPEM)
	k.write(k.key, k.keyPEM)
}

// write writes a file with a time of its own, whatever the file system's resolution.
func (k *keyPair) write(name string, data []byte) {
	k.t.Helper()
	if err := os.WriteFile(name, data, 0o600); err != nil {
		k.t.Fatal(err)
	}
	k.modified = k.modified.Add(time.Second)
	if err := os.Chtimes(name, k.modified, k.modified); err != nil {
		k.t.Fatal(err)
	}
}

func newKeyPair(t *testing.T) *keyPair {
	dir := t.TempDir()
	k := &keyPair{
		t: t, cert: filepath.Join(dir, "cert.pem"), key: filepath.Join(dir, "key.pem"),
		modified: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), pool: x509.NewCertPool(),
	}
	k.issue(1)
	return k
}

// served returns the serial number of the certificate that a new connection gets.
func (k *keyPair) served(address string) int64 {
	k.t.Helper()
	conn, err := (&tls.Dialer{Config: &tls.Config{RootCAs: k.pool, MinVersion: tls.VersionTLS12}}).DialContext(k.t.Context(), "tcp", address)
	if err != nil {
		k.t.Fatal(err)
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].SerialNumber.Int64()
}

func TestTLS(t *testing.T) {
	pair := newKeyPair(t)
	f, server := listen(t, func(cfg *webhook.Config) { cfg.TLSCertFile, cfg.TLSKeyFile = pair.cert, pair.key })
	f.url = "https://" + server.Addr()
	f.client.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pair.pool, MinVersion: tls.VersionTLS12}}
	f.kept(t, f.request(t, pointsWebhook, pointsBody))

	old := &tls.Config{RootCAs: pair.pool, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11} //nolint:gosec // To be refused.
	if conn, err := (&tls.Dialer{Config: old}).DialContext(t.Context(), "tcp", server.Addr()); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is accepted")
	}
}

// TestCertificateRenewal holds that a renewed certificate is served without a
// restart, and that a renewal which cannot be used changes nothing.
func TestCertificateRenewal(t *testing.T) {
	const complaint = "the renewed TLS certificate cannot be used; the old one stays in use"
	pair := newKeyPair(t)
	f, server := listen(t, func(cfg *webhook.Config) { cfg.TLSCertFile, cfg.TLSKeyFile = pair.cert, pair.key })
	serves := func(serial int64, complaints int) {
		t.Helper()
		if got := pair.served(server.Addr()); got != serial {
			t.Errorf("certificate %d is served, want %d", got, serial)
		}
		if got := strings.Count(f.logs.String(), complaint); got != complaints {
			t.Errorf("%d complaints are logged, want %d", got, complaints)
		}
	}
	serves(1, 0)
	pair.issue(2)
	f.clock.move(time.Minute)
	serves(2, 0)

	t.Log("no certificate")
	good := pair.certPEM
	pair.write(pair.cert, []byte("Zaphod"))
	f.clock.move(time.Minute)
	serves(2, 1)
	serves(2, 1) // It looks again later, not with each connection.

	t.Log("another pair's certificate")
	keyPEM := pair.keyPEM
	pair.issue(3)
	pair.write(pair.key, keyPEM)
	f.clock.move(time.Minute)
	serves(2, 2)

	t.Log("no file")
	if err := os.Remove(pair.cert); err != nil {
		t.Fatal(err)
	}
	f.clock.move(time.Minute)
	serves(2, 3)

	t.Log("the old pair again")
	pair.write(pair.cert, good)
	f.clock.move(time.Minute)
	serves(2, 3)

	pair.issue(4)
	f.clock.move(time.Minute)
	serves(4, 3)
	holdsNothingSecret(t, "the log", strings.ReplaceAll(f.logs.String(), string(pair.keyPEM), newSecret))
}

func TestListenWithoutCertificate(t *testing.T) {
	pair := newKeyPair(t)
	for name, set := range map[string]func(*webhook.Config){
		"no file":   func(cfg *webhook.Config) { cfg.TLSCertFile = pair.cert + ".none" },
		"no key":    func(cfg *webhook.Config) { cfg.TLSKeyFile = pair.cert },
		"no folder": func(cfg *webhook.Config) { cfg.TLSKeyFile = filepath.Join(pair.key, "key.pem") },
	} {
		f := newFixture(t, func(cfg *webhook.Config) {
			cfg.TLSCertFile, cfg.TLSKeyFile = pair.cert, pair.key
			set(cfg)
		})
		if _, err := webhook.Listen(t.Context(), f.receiver); err == nil || !strings.HasPrefix(err.Error(), "TLS certificate") {
			t.Errorf("%s: the error is %v", name, err)
		}
	}
}
