package files_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	"google.golang.org/api/googleapi"

	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/files"
	"loyaltyhouse/sinks/sinktest"
)

func TestCheckLeavesNothingBehind(t *testing.T) {
	server := newS3(t)
	sink := open(t, server.config(server.address()))
	defer func() { _ = sink.Close() }()
	puts, deletes := 0, 0
	meddle := func(w http.ResponseWriter, r *http.Request, pass http.Handler) {
		if !strings.HasPrefix(r.URL.Path, "/lake/some/where/_probe-") {
			t.Errorf("Check asks for %s %s", r.Method, r.URL.Path)
		}
		switch r.Method {
		case http.MethodPut:
			puts++
		case http.MethodDelete:
			deletes++
		}
		pass.ServeHTTP(w, r)
	}
	server.meddle.Store(&meddle)
	if err := sink.Check(t.Context(), sinktest.Tables(t), false); err != nil {
		t.Error(err)
	}
	if puts != 1 || deletes != 1 || len(server.keys(t)) != 0 {
		t.Errorf("Check has put %d objects, deleted %d and left %v", puts, deletes, server.keys(t))
	}
}

func TestCheckTellsWhatIsWrong(t *testing.T) {
	server := newS3(t)
	denied := func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, "<Error><Code>AccessDenied</Code><Message>secret-value</Message></Error>")
	}
	for name, test := range map[string]struct {
		change func(*files.Config)
		meddle func(http.ResponseWriter, *http.Request, http.Handler)
		want   string
	}{
		"another bucket": {func(c *files.Config) { c.S3.Bucket = "another" }, nil, "files s3://another: the store answers NoSuchBucket, HTTP status 404"},
		"no right":       {func(*files.Config) {}, denied, "files s3://lake: the store answers AccessDenied, HTTP status 403"},
		"nobody there":   {func(c *files.Config) { c.S3.Endpoint = "http://127.0.0.1:1" }, nil, "files s3://lake: dial tcp 127.0.0.1:1: connect: connection refused"},
		"no directory": {
			func(c *files.Config) { c.S3, c.Local = nil, &files.LocalConfig{Directory: "/nowhere/at/all"} }, nil,
			"files /nowhere/at/all: the directory is not there: mount its disk, or create it",
		},
	} {
		t.Run(name, func(t *testing.T) {
			cfg := server.config(server.address())
			test.change(&cfg)
			if test.meddle != nil {
				server.meddle.Store(&test.meddle)
				defer server.meddle.Store(nil)
			}
			sink := open(t, cfg)
			defer func() { _ = sink.Close() }()
			if got := message(sink.Check(t.Context(), nil, false)); got != test.want {
				t.Errorf("Check says %q, want %q", got, test.want)
			}
		})
	}
}

// Prepare makes a directory, and removes what killed processes have left in it.
func TestPrepareOfALocalDirectory(t *testing.T) {
	cfg := newLocal(t)
	cfg.Local.Directory = filepath.Join(cfg.Local.Directory, "a", "b")
	sink := open(t, cfg)
	defer func() { _ = sink.Close() }()
	if err := sink.Check(t.Context(), nil, true); err != nil {
		t.Errorf("Check of a directory that Prepare will make: %v", err)
	}
	if err := sink.Check(t.Context(), nil, false); err == nil {
		t.Error("Check has made the directory, or takes it for made")
	}
	batch := sinktest.NewBatch(points(t), 0, sinktest.Row(points(t), 1))
	if err := sink.Write(t.Context(), batch); err == nil {
		t.Error("Write has made the directory, which may be the place of a disk that is not mounted")
	}
	for range 2 {
		if err := sink.Prepare(t.Context(), nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Check(t.Context(), nil, false); err != nil {
		t.Error(err)
	}
	if err := sink.Write(t.Context(), batch); err != nil {
		t.Error(err)
	}
	for name, age := range map[string]time.Duration{"old.tmp": 25 * time.Hour, "new.tmp": time.Hour, "other": 25 * time.Hour} {
		file := filepath.Join(cfg.Local.Directory, ".unfinished", name)
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chtimes(file, time.Time{}, time.Now().Add(-age))); err != nil {
			t.Fatal(err)
		}
	}
	if err := sink.Prepare(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(filesIn(t, filepath.Join(cfg.Local.Directory, ".unfinished")), " "); got != "new.tmp other" {
		t.Errorf("Prepare has left %q", got)
	}
}

// What is in the way on the disk is transient, is told without the path, and
// leaves no unfinished file.
func TestWriteIntoAPlaceThatIsTaken(t *testing.T) {
	cfg := newLocal(t)
	if err := os.WriteFile(filepath.Join(cfg.Local.Directory, cfg.Prefix), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	sink := open(t, cfg)
	defer func() { _ = sink.Close() }()
	err := sink.Write(t.Context(), sinktest.NewBatch(points(t), 0, sinktest.Row(points(t), 1)))
	if _, permanent := sinks.IsPermanent(err); permanent || !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("Write returns %v, want %v", err, syscall.ENOTDIR)
	}
	if got := filesIn(t, cfg.Local.Directory); len(got) != 1 {
		t.Errorf("there are %v", got)
	}
}

// A link in the lake does not lead out of it.
func TestWriteFollowsNoLinkOutOfTheDirectory(t *testing.T) {
	cfg := newLocal(t)
	outside := t.TempDir()
	if err := os.Symlink(outside, filepath.Join(cfg.Local.Directory, cfg.Prefix)); err != nil {
		t.Fatal(err)
	}
	sink := open(t, cfg)
	defer func() { _ = sink.Close() }()
	if err := sink.Write(t.Context(), sinktest.NewBatch(points(t), 0, sinktest.Row(points(t), 1))); err == nil {
		t.Error("Write returns nil")
	}
	if got := filesIn(t, outside); len(got) > 0 {
		t.Errorf("outside of the directory there are %v", got)
	}
}

// Whatever a store says is told by type and code.
func TestErrorsQuoteNoKey(t *testing.T) {
	const key = "secret-value"
	for want, err := range map[string]error{
		"no space left on device":                       &fs.PathError{Op: "write", Path: key, Err: syscall.ENOSPC},
		"permission denied":                             &os.LinkError{Op: "rename", Old: key, New: key, Err: syscall.EACCES},
		"disk quota exceeded":                           errors.Join(&fs.PathError{Op: "write", Path: key, Err: syscall.EDQUOT}),
		"context canceled":                              fmt.Errorf("%s: %w", key, context.Canceled),
		"context deadline exceeded":                     fmt.Errorf("%s: %w", key, context.DeadlineExceeded),
		"the store answers AccessDenied, HTTP status 0": &smithy.GenericAPIError{Code: "AccessDenied", Message: key},
		"the store answers with HTTP status 0":          &smithy.GenericAPIError{Code: key + " ", Message: key},
		"the store answers forbidden, HTTP status 403": &googleapi.Error{
			Code: 403, Message: key, Errors: []googleapi.ErrorItem{{Reason: "forbidden", Message: key}},
		},
		"the store answers with HTTP status 500": &googleapi.Error{Code: 500, Body: key},
		"the store answers ContainerNotFound, HTTP status 404": &azcore.ResponseError{
			ErrorCode: "ContainerNotFound", StatusCode: 404,
		},
		"error of type *errors.errorString and code Unknown": fmt.Errorf("%s: %w", key, errors.New(key)),
	} {
		if got := files.WithoutKey(err).Error(); got != want {
			t.Errorf("of %T is told %q, want %q", err, got, want)
		}
	}
}
