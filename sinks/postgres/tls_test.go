//go:build linux && postgres

package postgres_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"testing"
	"time"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/sinks/postgres"
)

// The server lets in who has a certificate, and nobody without TLS.
func TestTLS(t *testing.T) {
	own := startServer(t)
	cert, key := writeCertificate(t, own.DataDir(), "db.example")
	other, _ := writeCertificate(t, t.TempDir(), "db.example")
	for _, file := range []string{cert, key} {
		if err := own.Own(file); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(own.DataDir(), "pg_hba.conf"), []byte("hostssl all all 127.0.0.1/32 scram-sha-256 clientcert=verify-ca\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	conn := connectTo(t, own)
	execute(t, conn, "ALTER SYSTEM SET ssl = on", "ALTER SYSTEM SET ssl_cert_file = 'cert.pem'", "ALTER SYSTEM SET ssl_key_file = 'key.pem'",
		"ALTER SYSTEM SET ssl_ca_file = 'cert.pem'", "SELECT pg_reload_conf()")
	with := func(tls clienttls.Config) func(*postgres.Config) {
		return func(cfg *postgres.Config) { cfg.TLS = tls }
	}
	for _, test := range []struct {
		name   string
		change func(*postgres.Config)
		ok     bool
	}{
		{"with everything", with(clienttls.Config{Enabled: true, CAFile: cert, CertFile: cert, KeyFile: key, ServerName: "db.example"}), true},
		{"without the client's certificate", with(clienttls.Config{Enabled: true, CAFile: cert, ServerName: "db.example"}), false},
		{"with another server's name", with(clienttls.Config{Enabled: true, CAFile: cert, CertFile: cert, KeyFile: key, ServerName: "else.example"}), false},
		{"with the host's name", with(clienttls.Config{Enabled: true, CAFile: cert, CertFile: cert, KeyFile: key}), false},
		{"with another authority", with(clienttls.Config{Enabled: true, CAFile: other, CertFile: cert, KeyFile: key, ServerName: "db.example"}), false},
		{"without TLS", with(clienttls.Config{}), false},
		{"by the URL", func(cfg *postgres.Config) {
			cfg.URL = fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=verify-ca&sslrootcert=%s&sslcert=%s&sslkey=%s", own.Addr(), cert, cert, key)
		}, true},
		{"by the URL, where TLS has keys of its own", func(cfg *postgres.Config) {
			cfg.URL = fmt.Sprintf("postgres://postgres@%s,127.0.0.1:1/postgres?sslmode=disable", own.Addr())
			cfg.TLS = clienttls.Config{Enabled: true, CAFile: cert, CertFile: cert, KeyFile: key, ServerName: "db.example"}
		}, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			cfg := configOf(own)
			test.change(&cfg)
			if cfg.URL != "" {
				cfg.Host, cfg.Port, cfg.Database, cfg.Username = "", 0, "", ""
			}
			err := openSink(t, cfg).Ping(t.Context())
			if until := time.Now().Add(5 * time.Second); test.ok { // The server reads its settings when it comes to it.
				for ; err != nil && time.Now().Before(until); time.Sleep(50 * time.Millisecond) {
					err = openSink(t, cfg).Ping(t.Context())
				}
			}
			if (err == nil) != test.ok {
				t.Errorf("Ping returns %v, want success %v", err, test.ok)
			}
		})
	}
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
