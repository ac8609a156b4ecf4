//go:build linux && apachekafka

package apachekafka_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha256"
	"crypto/sha512"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"hash"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/sasl/plain"

	"loyaltyhouse/config/clienttls"
	"loyaltyhouse/connector/apachekafka"
	"loyaltyhouse/connector/kafka"
)

// A node that is killed comes back with what it had acknowledged, and a cluster
// that was closed goes on where its directory is.
func TestDataOutlivesTheNode(t *testing.T) {
	cfg := apachekafka.Config{Nodes: 1, Dir: t.TempDir()}
	cluster, err := apachekafka.Start(t.Context(), cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	address := cluster.Listen(0)
	if got := cluster.Addresses(); !slices.Equal(got, []string{address}) {
		t.Errorf("the addresses are %v, not the one that it listens at, %s", got, address)
	}
	topic := uniquely("topic")
	client := newClient(t, clientConfig(cluster, 1), kafka.Options{Topics: []string{topic}})
	if err := client.EnsureTopics(testContext(t), []string{topic}); err != nil {
		t.Fatal(err)
	}
	producer := newProducer(t, client)
	publish(t, producer, message(topic, "a", 0))

	if err := cluster.Kill(0); err != nil {
		t.Fatal(err)
	}
	<-cluster.Done(0)
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := producer.Publish(ctx, message(topic, "a", 1)); !errors.Is(err, kafka.ErrUnavailable) {
		t.Errorf("while the node is gone: %v", err)
	}
	if err := cluster.Restart(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	if got := cluster.Listen(0); got != address {
		t.Errorf("it listens at %s, not at %s again", got, address)
	}
	publish(t, producer, message(topic, "a", 2))
	if err := cluster.Close(); err != nil {
		t.Fatal(err)
	}

	again, err := apachekafka.Start(t.Context(), cfg, testLog(t))
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	if got := records(t, again, topic, 2)[0]; string(got[0].Value) != "a/0" || string(got[len(got)-1].Value) != "a/2" {
		t.Errorf("the records are %v", got)
	}
}

// A paused node keeps its connections and does not answer. Clients are told the
// address that Advertise says.
func TestPauseAndAdvertise(t *testing.T) {
	var listens, advertised string
	cluster := startCluster(t, apachekafka.Config{Nodes: 1, Advertise: func(node, port int) string {
		listens = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		advertised = net.JoinHostPort("localhost", strconv.Itoa(port+node))
		return advertised
	}})
	if got := cluster.Listen(0); got != listens {
		t.Errorf("it listens at %s, Advertise was told %s", got, listens)
	}
	if got := cluster.Addresses(); !slices.Equal(got, []string{advertised}) {
		t.Errorf("the addresses are %v, not %s", got, advertised)
	}
	response, err := kmsg.NewPtrMetadataRequest().RequestWith(testContext(t), franz(t, cluster))
	if err != nil {
		t.Fatal(err)
	}
	if told := response.Brokers[0]; told.Host != "localhost" || told.NodeID != 0 {
		t.Errorf("clients are told %s of node %d", told.Host, told.NodeID)
	}

	client := newClient(t, clientConfig(cluster, 1), kafka.Options{})
	if err := client.Ping(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Pause(0); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := client.Ping(ctx); !errors.Is(err, kafka.ErrUnavailable) {
		t.Errorf("a paused node answers: %v", err)
	}
	if err := cluster.Resume(0); err != nil {
		t.Fatal(err)
	}
	if err := client.Ping(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := cluster.Kill(1); err == nil || !strings.Contains(err.Error(), "no node 1") {
		t.Errorf("killing a node that does not exist: %v", err)
	}
}

// A node that cannot start says why.
func TestStartTellsWhatIsWrong(t *testing.T) {
	_, err := apachekafka.Start(t.Context(), apachekafka.Config{
		Nodes: 1, Dir: t.TempDir(), Settings: map[string]string{"num.io.threads": "many"},
	}, testLog(t))
	if err == nil || !strings.Contains(err.Error(), "num.io.threads") {
		t.Errorf("got %v", err)
	}
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	taken := listener.Addr().(*net.TCPAddr)
	_, err = apachekafka.Start(t.Context(), apachekafka.Config{Nodes: 1, Dir: t.TempDir(), Port: taken.Port}, testLog(t))
	if err == nil || !strings.Contains(err.Error(), "cannot listen at "+taken.String()) {
		t.Errorf("with a port that is taken: %v", err)
	}
	if _, err := apachekafka.Start(t.Context(), apachekafka.Config{Nodes: 2, Dir: t.TempDir()}, testLog(t)); err == nil {
		t.Error("a cluster of two nodes was started")
	}
}

// Passwords by each mechanism, over TLS.
func TestSASLOverTLS(t *testing.T) {
	chain, key, file := newCertificate(t)
	cluster := startCluster(t, apachekafka.Config{Nodes: 1, Settings: map[string]string{
		"listener.security.protocol.map":                      "CLIENT:SASL_SSL,BROKER:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"sasl.enabled.mechanisms":                             "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512",
		"listener.name.client.plain.sasl.jaas.config":         `org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="wonder-land";`,
		"listener.name.client.scram-sha-256.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"listener.name.client.scram-sha-512.sasl.jaas.config": "org.apache.kafka.common.security.scram.ScramLoginModule required;",
		"ssl.keystore.type":                                   "PEM",
		"ssl.keystore.certificate.chain":                      chain,
		"ssl.keystore.key":                                    key,
	}})
	addScramUser(t, cluster, file, "alice", "wonder-land")
	for _, mechanism := range []string{kafka.SASLPlain, kafka.SASLScramSHA256, kafka.SASLScramSHA512} {
		t.Run(mechanism, func(t *testing.T) {
			topic := uniquely("topic")
			config := clientConfig(cluster, 1)
			config.TLS = clienttls.Config{Enabled: true, CAFile: file}
			config.SASL = kafka.SASLConfig{Mechanism: mechanism, Username: "alice", Password: "wonder-land"}
			client := newClient(t, config, kafka.Options{Topics: []string{topic}})
			if err := client.EnsureTopics(testContext(t), []string{topic}); err != nil {
				t.Fatal(err)
			}
			publish(t, newProducer(t, client), message(topic, "a", 0))
			p, _ := assigned(t, client, uniquely("group"), topic, kafka.StartEarliest)
			if r := fetch(t, p, 0, 1<<20); string(r[0].Value) != "a/0" {
				t.Errorf("got %s", r[0].Value)
			}

			config.SASL.Password = "looking-glass"
			err := newClient(t, config, kafka.Options{}).EnsureTopics(testContext(t), []string{topic})
			if err == nil || errors.Is(err, kafka.ErrUnavailable) || strings.Contains(err.Error(), "looking-glass") {
				t.Errorf("a wrong password: %v", err)
			}
		})
	}
}

// addScramUser stores a user's credentials for both hashes, as kafka-configs.sh
// does.
func addScramUser(t *testing.T, cluster *apachekafka.Cluster, authorities, user, password string) {
	t.Helper()
	pool := x509.NewCertPool()
	content, err := os.ReadFile(authorities)
	if err != nil || !pool.AppendCertsFromPEM(content) {
		t.Fatal("no certificate", err)
	}
	client := franz(t, cluster, kgo.SASL(plain.Auth{User: user, Pass: password}.AsMechanism()),
		kgo.DialTLSConfig(&tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}))
	const iterations = 4096
	for mechanism, algorithm := range map[int8]func() hash.Hash{1: sha256.New, 2: sha512.New} {
		upsertion := kmsg.NewAlterUserSCRAMCredentialsRequestUpsertion()
		upsertion.Name, upsertion.Mechanism, upsertion.Iterations = user, mechanism, iterations
		upsertion.Salt = []byte(rand.Text())
		if upsertion.SaltedPassword, err = pbkdf2.Key(algorithm, password, upsertion.Salt, iterations, algorithm().Size()); err != nil {
			t.Fatal(err)
		}
		request := kmsg.NewPtrAlterUserSCRAMCredentialsRequest()
		request.Upsertions = append(request.Upsertions, upsertion)
		response, err := request.RequestWith(testContext(t), client)
		if err != nil || response.Results[0].ErrorCode != 0 {
			t.Fatal(err, response)
		}
	}
}

// newCertificate returns a certificate of 127.0.0.1 and its key in PEM form, and
// a file with the certificate.
func newCertificate(t *testing.T) (chain, key, file string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber:          big.NewInt(1),
		Subject:               pkix.Name{CommonName: "broker"}, // Java wants one.
		IPAddresses:           []net.IP{net.IPv4(127, 0, 0, 1)},
		NotAfter:              time.Now().Add(time.Hour),
		IsCA:                  true,
		BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	chain = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	key = string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}))
	file = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(chain), 0o600); err != nil {
		t.Fatal(err)
	}
	return chain, key, file
}
