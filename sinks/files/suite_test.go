package files_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"loyaltyhouse/schema"
	"loyaltyhouse/sinks"
	"loyaltyhouse/sinks/files"
	"loyaltyhouse/sinks/sinktest"
)

func TestSuiteOnLocalDisk(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Destination { return localDestination{newLocal(t)} }})
}

func TestSuiteOnS3(t *testing.T) {
	sinktest.Run(t, sinktest.Harness{New: func(t *testing.T) sinktest.Destination {
		server := newS3(t)
		p := newProxy(t, server.address())
		return s3Destination{server, p, server.config(p.address)}
	}})
}

func open(t testing.TB, cfg files.Config) *files.Sink {
	t.Helper()
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	sink, err := files.Open("test", cfg)
	if err != nil {
		t.Fatal(err)
	}
	return sink
}

// localDestination is a directory. A disk can be away, but what is written to
// a disk that hangs cannot be abandoned by any program: Stall is Break.
type localDestination struct{ cfg files.Config }

func (d localDestination) Open(t *testing.T) sinks.Sink { return open(t, d.cfg) }

func (d localDestination) source(table *schema.Table) source {
	return source{localFunction(d.cfg, table.Name, "*.parquet", "Parquet"), table}
}

func (d localDestination) isEmpty(table *schema.Table) bool {
	_, err := os.Stat(filepath.Join(d.cfg.Local.Directory, d.cfg.Prefix, table.Name))
	return err != nil
}

func (d localDestination) Rows(t *testing.T, table *schema.Table) []schema.Row {
	if d.isEmpty(table) {
		return nil
	}
	return rows(t, d.source(table))
}

func (d localDestination) Count(t *testing.T, table *schema.Table) int {
	if d.isEmpty(table) {
		return 0
	}
	return count(t, d.source(table).String())
}

func (d localDestination) Break(t *testing.T) {
	if err := os.Rename(d.cfg.Local.Directory, d.cfg.Local.Directory+".away"); err != nil {
		t.Fatal(err)
	}
}

func (d localDestination) Stall(t *testing.T) { d.Break(t) }

func (d localDestination) Restore(t *testing.T) {
	if err := os.Rename(d.cfg.Local.Directory+".away", d.cfg.Local.Directory); err != nil {
		t.Fatal(err)
	}
}

// s3Destination is a bucket behind a proxy.
type s3Destination struct {
	server *s3
	proxy  *proxy
	cfg    files.Config
}

func (d s3Destination) Open(t *testing.T) sinks.Sink { return open(t, d.cfg) }

func (d s3Destination) isEmpty(t *testing.T, table *schema.Table) bool {
	for _, key := range d.server.keys(t) {
		if strings.HasPrefix(key, d.cfg.Prefix+"/"+table.Name+"/") {
			return false
		}
	}
	return true
}

func (d s3Destination) Rows(t *testing.T, table *schema.Table) []schema.Row {
	if d.isEmpty(t, table) {
		return nil
	}
	return rows(t, source{d.server.function(d.cfg, table.Name), table})
}

func (d s3Destination) Count(t *testing.T, table *schema.Table) int {
	if d.isEmpty(t, table) {
		return 0
	}
	return count(t, source{d.server.function(d.cfg, table.Name), table}.String())
}

func (d s3Destination) Break(*testing.T)     { d.proxy.cut() }
func (d s3Destination) Stall(*testing.T)     { d.proxy.mute.Store(true) }
func (d s3Destination) Restore(t *testing.T) { d.proxy.restore(t) }
