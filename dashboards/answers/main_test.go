package answers_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/connector/embedded"
	"loyaltyhouse/dashboards"
	"loyaltyhouse/schema/strictyaml"
	"loyaltyhouse/sinks/clickhouse"
)

// What all tests ask: the programme in memory, and the warehouse that holds it.
var (
	played    *programme
	warehouse driver.Conn
)

func TestMain(m *testing.M) {
	embedded.RunChild()
	code, err := run(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func run(m *testing.M) (code int, err error) {
	ctx := context.Background()
	dir, err := os.MkdirTemp("", "loyaltyhouse-test-")
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	cfg := embedded.DefaultConfig()
	cfg.DataDir = dir
	cfg.ClickHouse.NativePort, cfg.ClickHouse.HTTPPort = 0, 0
	engine, err := embedded.StartClickHouse(ctx, cfg, slog.New(slog.DiscardHandler), os.Stderr)
	if err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, engine.Close(ctx)) }()
	if err := fill(ctx, engine.Addr()); err != nil {
		return 1, err
	}
	defer func() { err = errors.Join(err, warehouse.Close()) }()
	return m.Run(), nil
}

// fill plays the programme and stores it as the connector does.
func fill(ctx context.Context, address string) (err error) {
	// The numbers of a day must not change while they are compared.
	if now := time.Now().UTC(); now.Truncate(day) != now.Add(calm).Truncate(day) {
		time.Sleep(calm)
	}
	cfg := clickhouse.DefaultConfig()
	cfg.Addresses = strictyaml.List{address}
	cfg.RefreshInterval = day // The tests refresh the views themselves.
	migrator, err := clickhouse.NewMigrator(ctx, cfg)
	if err != nil {
		return err
	}
	_, _, err = migrator.Up(ctx)
	if err := errors.Join(err, migrator.Close()); err != nil {
		return err
	}
	if warehouse, err = clickhouse.Connect(cfg); err != nil {
		return err
	}
	// Resends stay where they are, for the views to collapse them.
	if err := warehouse.Exec(ctx, "SYSTEM STOP MERGES"); err != nil {
		return err
	}
	sink, err := clickhouse.Open("clickhouse", cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, sink.Close()) }()
	if played, err = newProgramme(time.Now().UTC().Truncate(time.Millisecond)); err != nil {
		return err
	}
	if err := played.store(ctx, sink); err != nil {
		return err
	}
	played.refreshing = time.Now()
	err = clickhouse.Refresh(ctx, warehouse, cfg.Database)
	played.refreshed = time.Now()
	return err
}

// A page asks as the page of the connector does.
type page struct {
	dashboard *dashboards.Dashboard
	server    *dashboards.Server
}

func newPage(d *dashboards.Dashboard) page {
	return page{d, dashboards.NewServer([]*dashboards.Dashboard{d}, func() (dashboards.Warehouse, error) { return warehouse, nil }, "")}
}

// get reads the answer at a path of the dashboard.
func (p page) get(ctx context.Context, path string, query url.Values, into any) error {
	target := "http://127.0.0.1/dashboards/api/dashboards/" + p.dashboard.UID + path + "?" + query.Encode()
	response := httptest.NewRecorder()
	p.server.ServeHTTP(response, httptest.NewRequestWithContext(ctx, http.MethodGet, target, nil))
	if response.Code != http.StatusOK {
		return fmt.Errorf("%d: %s", response.Code, response.Body)
	}
	decoder := json.NewDecoder(response.Body)
	decoder.UseNumber()
	return decoder.Decode(into)
}
