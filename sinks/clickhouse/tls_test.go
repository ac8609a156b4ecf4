package clickhouse_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks/clickhouse"
)

func TestTLS(t *testing.T) {
	dir := t.TempDir()
	cert, key := writeCertificate(t, dir, "warehouse.example")
	other, _ := writeCertificate(t, t.TempDir(), "warehouse.example")
	asks := newTLSServer(t, cert, key, tls.RequireAndVerifyClientCert)
	for _, test := range []struct {
		name string
		tls  clienttls.Config
		ok   bool
	}{
		{"with everything", clienttls.Config{Enabled: true, CAFile: cert, CertFile: cert, KeyFile: key, ServerName: "warehouse.example"}, true},
		{"without the client's certificate", clienttls.Config{Enabled: true, CAFile: cert, ServerName: "warehouse.example"}, false},
		{"with another server's name", clienttls.Config{Enabled: true, CAFile: cert, CertFile: cert, KeyFile: key, ServerName: "else.example"}, false},
		{"with another authority", clienttls.Config{Enabled: true, CAFile: other, CertFile: cert, KeyFile: key, ServerName: "warehouse.example"}, false},
		{"with the system's authorities", clienttls.Config{Enabled: true, CertFile: cert, KeyFile: key, ServerName: "warehouse.example"}, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := clickhouse.DefaultConfig()
			cfg.Addresses, cfg.TLS = strictyaml.List{asks}, test.tls
			sink, err := clickhouse.Open("test", cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = sink.Close() }()
			if err := sink.Ping(t.Context()); (err == nil) != test.ok {
				t.Errorf("Ping returns %v, want success %v", err, test.ok)
			}
		})
	}
}

// newTLSServer listens with TLS, passes everything on to the engine, and
// returns its address.
func newTLSServer(t *testing.T, certFile, keyFile string, client tls.ClientAuthType) string {
	t.Helper()
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		t.Fatal(err)
	}
	authorities := x509.NewCertPool()
	content, err := os.ReadFile(certFile)
	if err != nil || !authorities.AppendCertsFromPEM(content) {
		t.Fatal(err)
	}
	plain, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listener := tls.NewListener(plain, &tls.Config{Certificates: []tls.Certificate{pair}, ClientAuth: client, ClientCAs: authorities, MinVersion: tls.VersionTLS12})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { serveTLS(conn) })
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		wg.Wait()
	})
	return plain.Addr().String()
}

func serveTLS(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	if secured, ok := conn.(*tls.Conn); !ok || secured.HandshakeContext(context.Background()) != nil {
		return
	}
	server, err := new(net.Dialer).DialContext(context.Background(), "tcp", engine.Addr())
	if err != nil {
		return
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		_, _ = io.Copy(conn, server)
		_ = conn.Close()
	})
	_, _ = io.Copy(server, conn)
	_ = server.Close()
	wg.Wait()
}

// writeCertificate writes a certificate that signs itself, and its key.
func writeCertificate(t *testing.T, dir, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}
