package files_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/johannesboyne/gofakes3"
	"github.com/parquet-go/parquet-go"
	"gocloud.dev/blob/memblob"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/files"
	"loyaltyhouse/sinks/sinktest"
)

// How a request that would publish a file can fail.
var failures = map[string]func(w http.ResponseWriter, r *http.Request, pass http.Handler){
	"it is refused": func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, "<Error><Code>SlowDown</Code><Message>secret-value</Message></Error>")
	},
	"its answer is lost": func(_ http.ResponseWriter, r *http.Request, pass http.Handler) {
		pass.ServeHTTP(discard{http.Header{}}, r)
		panic(http.ErrAbortHandler)
	},
	"it is cut off halfway": func(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
		_, _ = io.CopyN(io.Discard, r.Body, r.ContentLength/2)
		panic(http.ErrAbortHandler)
	},
}

// discard is an answer that nobody gets.
type discard struct{ header http.Header }

func (d discard) Header() http.Header         { return d.header }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

// A batch that fails at any of its files, in any way, is complete and there
// once after it has been repeated by another process; meanwhile readers see
// whole files only.
func TestRepeatCompletesABatchOnS3(t *testing.T) {
	table := points(t)
	batch := sinktest.NewBatch(table, 0, spread(table, 200)...)
	const inAll = 5 * 4 // shops and days
	for how, failure := range failures {
		t.Run(how, func(t *testing.T) {
			for failing := range inAll {
				server := newS3(t)
				cfg := server.config(server.address())
				asked := 0
				meddle := func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
					if asked++; asked == failing+1 {
						failure(w, r, pass)
						return
					}
					pass.ServeHTTP(w, r)
				}
				server.meddle.Store(&meddle)
				sink := open(t, cfg)
				err := sink.Write(t.Context(), batch)
				if _, permanent := sinks.IsPermanent(err); err == nil || permanent {
					t.Fatalf("Write returns %v, want an error that is not permanent", err)
				}
				if message := err.Error(); strings.Contains(message, "shop-") || strings.Contains(message, "secret-value") {
					t.Errorf("the error quotes a value: %s", message)
				}
				_ = sink.Close()
				server.meddle.Store(nil)
				for _, key := range server.keys(t) {
					expectWhole(t, server.object(t, key))
				}
				write(t, cfg, batch)
				if keys := server.keys(t); len(keys) != inAll {
					t.Errorf("there are %d objects, want %d", len(keys), inAll)
				}
				if n := count(t, source{server.function(cfg, table.Name), table}.String()); n != len(batch.Records) {
					t.Errorf("%d rows are stored, want %d", n, len(batch.Records))
				}
			}
		})
	}
}

// object returns an object's content.
func (s *s3) object(t testing.TB, key string) []byte {
	t.Helper()
	object, err := s.backend.GetObject(bucket, key, (*gofakes3.ObjectRangeRequest)(nil))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = object.Contents.Close() }()
	content, err := io.ReadAll(object.Contents)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

// expectWhole reads a Parquet file to its end.
func expectWhole(t testing.TB, content []byte) {
	t.Helper()
	f, err := parquet.OpenFile(bytes.NewReader(content), int64(len(content)))
	if err != nil {
		t.Errorf("a reader finds a broken file: %v", err)
		return
	}
	reader := parquet.NewGenericReader[any](f)
	defer func() { _ = reader.Close() }()
	buffer := make([]parquet.Row, 100)
	total := int64(0)
	for {
		n, err := reader.ReadRows(buffer)
		total += int64(n)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Errorf("a reader finds a broken file: %v", err)
			return
		}
	}
	if total != f.NumRows() {
		t.Errorf("a file has %d rows and says that it has %d", total, f.NumRows())
	}
}

// writerVariable makes this program write a batch into the directory that it
// names, and nothing else.
const writerVariable = "FILES_TEST_WRITE_TO"

func runWriter() bool {
	dir := os.Getenv(writerVariable)
	if dir == "" {
		return false
	}
	cfg := files.DefaultConfig()
	cfg.Local, cfg.Prefix = &files.LocalConfig{Directory: dir}, "lake"
	sink, err := files.Open("test", cfg)
	if err == nil {
		err = sink.Write(context.Background(), killed(schema.RawWebhooks()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return true
}

// killedFiles is how many files the batch of [killed] makes: 100 shops, each
// with rows of two days, for a second of rows goes over midnight.
const killedFiles = 200

// killed returns a batch of many files, whose writing takes a while.
func killed(table *schema.Table) *sinks.Batch {
	all := spread(table, 2000)
	for i := range all {
		all[i][table.Index("shop_id")] = schema.TextValue("shop-" + strconv.Itoa(i%100))
	}
	return sinktest.NewBatch(table, 0, all...)
}

// A process that is killed while it writes leaves whole files, and another that
// writes the same batch completes them.
func TestRepeatCompletesABatchAfterAKill(t *testing.T) {
	table := schema.RawWebhooks()
	batch := killed(table)
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	killedIn := 0
	for _, published := range []int{1, 3, 20, 60, 120} {
		cfg := newLocal(t)
		writer := exec.Command(program)
		writer.Env = append(os.Environ(), writerVariable+"="+cfg.Local.Directory)
		writer.Stderr = os.Stderr
		if err := writer.Start(); err != nil {
			t.Fatal(err)
		}
		for until := time.Now().Add(30 * time.Second); len(matched(t, cfg)) < published && time.Now().Before(until); {
			time.Sleep(time.Millisecond)
		}
		if err := writer.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = writer.Wait() // It was killed.
		there := matched(t, cfg)
		if len(there) < killedFiles {
			killedIn++
		}
		for _, name := range there {
			content, err := os.ReadFile(filepath.Join(cfg.Local.Directory, name))
			if err != nil {
				t.Fatal(err)
			}
			expectWhole(t, content)
		}
		write(t, cfg, batch)
		if n := len(matched(t, cfg)); n != killedFiles {
			t.Errorf("killed after %d files: there are %d files after the repeat, want %d", len(there), n, killedFiles)
		}
		if n := count(t, source{localFunction(cfg, table.Name, "*.parquet", "Parquet"), table}.String()); n != len(batch.Records) {
			t.Errorf("killed after %d files: %d rows are stored, want %d", len(there), n, len(batch.Records))
		}
	}
	if killedIn == 0 {
		t.Error("no process was killed before it had written everything")
	}
}

// matched returns the files that a reader's pattern matches.
func matched(t testing.TB, cfg files.Config) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(cfg.Local.Directory, cfg.Prefix, "*", "*", "*", "*.parquet"))
	if err != nil {
		t.Fatal(err)
	}
	for i := range names {
		names[i], _ = filepath.Rel(cfg.Local.Directory, names[i])
	}
	return names
}

// While one process writes, every file that a pattern matches can be read.
func TestReadersSeeWholeFilesOnly(t *testing.T) {
	cfg := newLocal(t)
	done := make(chan struct{})
	sink := open(t, cfg)
	batch := killed(schema.RawWebhooks())
	var failed error
	go func() {
		defer close(done)
		for range 2 { // The second time each file is replaced.
			if failed == nil {
				failed = sink.Write(context.Background(), batch)
			}
		}
	}()
	for writing := true; writing; {
		select {
		case <-done:
			writing = false
		default:
		}
		for _, name := range matched(t, cfg) {
			content, err := os.ReadFile(filepath.Join(cfg.Local.Directory, name))
			if err != nil {
				t.Fatal(err)
			}
			expectWhole(t, content)
		}
	}
	if failed != nil {
		t.Error(failed)
	}
	if rest := hasSuffix(filesIn(t, cfg.Local.Directory), ".tmp"); len(rest) > 0 {
		t.Errorf("unfinished files are left: %v", rest)
	}
}

// A repeated batch writes the same bytes under the same names, in a bucket of
// any provider.
func TestRepeatWritesTheSameBytes(t *testing.T) {
	for _, format := range []string{"parquet", "ndjson"} {
		bucket := memblob.OpenBucket(nil)
		cfg := files.DefaultConfig()
		cfg.Format = format
		table := points(t)
		batch := sinktest.NewBatch(table, 0, spread(table, 500)...)
		snapshot := func() map[string]string {
			sink := files.OpenBucket(cfg, bucket)
			if err := sink.Write(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			all := map[string]string{}
			objects := bucket.List(nil)
			for {
				object, err := objects.Next(t.Context())
				if errors.Is(err, io.EOF) {
					return all
				}
				if err != nil {
					t.Fatal(err)
				}
				content, err := bucket.ReadAll(t.Context(), object.Key)
				if err != nil {
					t.Fatal(err)
				}
				all[object.Key] = string(content)
			}
		}
		first := snapshot()
		if len(first) != 20 {
			t.Errorf("there are %d files, want 20", len(first))
		}
		if diff := cmp.Diff(first, snapshot()); diff != "" {
			t.Errorf("%s: a repeat writes other files (-first +second):\n%.2000s", format, diff)
		}
		if err := bucket.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
