package files_test

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"

	"loyaltyhouse/connector/harness"
	"loyaltyhouse/sinks/files"
)

// newLocal returns the configuration of a directory that the engine can read.
func newLocal(t testing.TB) files.Config {
	t.Helper()
	if err := os.MkdirAll(userFiles, 0o750); err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp(userFiles, "local-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	cfg := files.DefaultConfig()
	cfg.Local = &files.LocalConfig{Directory: dir}
	cfg.Prefix = "lake"
	return cfg
}

// filesIn returns the names of all files in a directory, sorted.
func filesIn(t testing.TB, dir string) []string {
	t.Helper()
	var names []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type().IsRegular() {
			name, _ := filepath.Rel(dir, path)
			names = append(names, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(names)
	return names
}

const bucket = "lake"

// An s3 is a server that speaks the protocol of S3, with one bucket.
type s3 struct {
	*httptest.Server
	backend gofakes3.Backend
	// meddle is asked for each request that changes something. What it returns
	// takes the request's place, if it is not nil.
	meddle atomic.Pointer[func(w http.ResponseWriter, r *http.Request, pass http.Handler)]
}

func newS3(t testing.TB) *s3 {
	t.Helper()
	backend := s3mem.New()
	if err := backend.CreateBucket(bucket); err != nil {
		t.Fatal(err)
	}
	s := &s3{backend: backend}
	handler := gofakes3.New(backend).Server()
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		meddle := s.meddle.Load()
		if meddle != nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
			(*meddle)(w, r, handler)
			return
		}
		handler.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *s3) config(address string) files.Config {
	cfg := files.DefaultConfig()
	cfg.S3 = &files.S3Config{
		Bucket: bucket, Region: "us-east-1", Endpoint: "http://" + address, PathStyle: true,
		AccessKeyID: "key", SecretAccessKey: "secret",
	}
	cfg.Prefix = "some/where"
	return cfg
}

func (s *s3) address() string { return s.Listener.Addr().String() }

// keys returns the keys of all objects, sorted.
func (s *s3) keys(t testing.TB) []string {
	t.Helper()
	list, err := s.backend.ListBucket(bucket, nil, gofakes3.ListBucketPage{})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, object := range list.Contents {
		keys = append(keys, object.Key)
	}
	slices.Sort(keys)
	return keys
}

// function is the engine's table function for a table's files.
func (s *s3) function(cfg files.Config, table string) string {
	return fmt.Sprintf("s3('http://%s/%s/%s/%s/**/*.parquet', 'key', 'secret', 'Parquet', '%%s')", s.address(), bucket, cfg.Prefix, table)
}

func localFunction(cfg files.Config, table, pattern, format string) string {
	return fmt.Sprintf("file('%s', '%s', '%%s')", filepath.Join(cfg.Local.Directory, cfg.Prefix, table, "**", pattern), format)
}

// A proxy stands between a sink and a server, and can be away or mute.
type proxy struct {
	address string
	target  string
	mute    atomic.Bool
	wg      sync.WaitGroup

	mu       sync.Mutex
	listener net.Listener
	conns    []net.Conn
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	address, err := harness.FreeAddress(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{address: address, target: target}
	p.restore(t)
	t.Cleanup(func() {
		p.cut()
		p.wg.Wait()
	})
	return p
}

func (p *proxy) restore(t testing.TB) {
	t.Helper()
	p.cut()
	p.mute.Store(false)
	var listener net.Listener
	for until := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		var err error
		if listener, err = new(net.ListenConfig).Listen(context.Background(), "tcp", p.address); err == nil {
			break
		}
		if time.Now().After(until) {
			t.Fatal(err)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.listener = listener
	p.wg.Go(func() { p.accept(listener) })
}

func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.listener != nil {
		_ = p.listener.Close()
	}
	for _, conn := range p.conns {
		_ = conn.Close()
	}
	p.conns = nil
}

func (p *proxy) accept(listener net.Listener) {
	for {
		client, err := listener.Accept()
		if err != nil {
			return
		}
		server, err := new(net.Dialer).DialContext(context.Background(), "tcp", p.target)
		if err != nil {
			_ = client.Close()
			continue
		}
		p.mu.Lock()
		p.conns = append(p.conns, client, server)
		p.mu.Unlock()
		p.wg.Go(func() { p.pass(server, client) })
		p.wg.Go(func() { p.pass(client, server) })
	}
}

func (p *proxy) pass(to, from net.Conn) {
	_, _ = io.Copy(passing{p, to}, from)
	_, _ = to.Close(), from.Close()
}

// passing drops what is written while the proxy is mute.
type passing struct {
	p *proxy
	net.Conn
}

func (w passing) Write(b []byte) (int, error) {
	if w.p.mute.Load() {
		return len(b), nil
	}
	return w.Conn.Write(b)
}

// hasSuffix keeps the names that end in it.
func hasSuffix(names []string, suffix string) []string {
	return slices.DeleteFunc(names, func(name string) bool { return !strings.HasSuffix(name, suffix) })
}
