package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"slices"
	"sync"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"loyaltyhouse/config"
	"loyaltyhouse/dashboards"
	"loyaltyhouse/sinks/clickhouse"
)

// pages are the dashboards at the admin port. They have connections of their
// own, so that no panel waits for a sink, and no sink for a panel.
type pages struct {
	http.Handler

	mu      sync.Mutex
	conn    driver.Conn
	reading clickhouse.Config // of conn
	files   string            // what was in the files that reading names
	missing error             // why there is no connection
}

// pageConnections is how many panels are read at once.
const pageConnections = 4

func newPages(cfg config.Admin) (*pages, error) {
	p := &pages{missing: errors.New("the connector is starting; try again in a moment")}
	if !cfg.Dashboards {
		p.Handler = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			writeJSON(w, http.StatusNotFound, map[string]string{
				"error": "dashboards_off", "message": "The dashboards are off. Set admin.dashboards to true in the configuration.",
			})
		})
		return p, nil
	}
	all, err := dashboards.Load()
	if err != nil {
		return nil, err
	}
	host, _, err := net.SplitHostPort(cfg.Address)
	if err != nil {
		return nil, fmt.Errorf("admin.address: %w", err)
	}
	p.Handler = dashboards.NewServer(all, p.warehouse, host)
	return p, nil
}

// connect has the pages read from the first ClickHouse sink, also where that has
// changed. Where it returns an error they go on as they were.
func (p *pages) connect(cfg *config.Config, r roles) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !r.deliver {
		p.missing = errors.New("this process only receives webhooks and has no ClickHouse sink; open the admin port of one that runs connector serve or connector sink")
		return nil
	}
	i := slices.IndexFunc(cfg.Sinks, func(s config.Sink) bool { return s.ClickHouse != nil })
	if i < 0 {
		p.missing = errors.New("no sink of this process is a ClickHouse, which the dashboards read")
		p.replace(nil)
		return nil
	}
	reading := *cfg.Sinks[i].ClickHouse
	reading.MaxConnections = pageConnections
	files := digest(reading.Files())
	if p.conn != nil && reflect.DeepEqual(reading, p.reading) && files == p.files {
		return nil
	}
	conn, err := clickhouse.Connect(reading)
	if err != nil {
		return err
	}
	p.reading, p.files = reading, files
	p.replace(conn)
	return nil
}

// replace closes the connection that is no longer read from.
func (p *pages) replace(conn driver.Conn) {
	if p.conn != nil {
		_ = p.conn.Close() // Nothing was written through it.
	}
	p.conn = conn
}

func (p *pages) warehouse() (dashboards.Warehouse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil, p.missing
	}
	return p.conn, nil
}

func (p *pages) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.replace(nil)
}
