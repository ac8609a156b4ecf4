package main

import (
	"errors"
	"fmt"
	"net"
	"net/http"
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
	missing error // why there is no connection
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

// connect has the pages read from the first ClickHouse sink.
func (p *pages) connect(cfg *config.Config, r roles) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !r.deliver {
		p.missing = errors.New("this process only receives webhooks and has no ClickHouse sink; open the admin port of one that runs connector serve or connector sink")
		return nil
	}
	for _, sink := range cfg.Sinks {
		if sink.ClickHouse == nil {
			continue
		}
		reading := *sink.ClickHouse
		reading.MaxConnections = pageConnections
		p.conn, err = clickhouse.Connect(reading)
		return err
	}
	p.missing = errors.New("no sink of this process is a ClickHouse, which the dashboards read")
	return nil
}

func (p *pages) warehouse() (dashboards.Warehouse, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil, p.missing
	}
	return p.conn, nil
}

func (p *pages) close() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.conn == nil {
		return nil
	}
	return p.conn.Close()
}
