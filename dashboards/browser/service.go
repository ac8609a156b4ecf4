//go:build linux

package browser

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"loyaltyhouse/connector/harness"
)

// A Service is a connector with everything embedded, and a year of a simulated
// loyalty programme in its warehouse.
type Service struct {
	// Admin is the address of the admin port.
	Admin string
	// Customer and Shop are of a customer who has something of everything.
	Customer, Shop string

	dir     string
	process *harness.Process
}

// StartService builds a connector, starts it and fills its warehouse. What it
// logs goes to log.
func StartService(ctx context.Context, log io.Writer) (_ *Service, err error) {
	s := &Service{}
	if s.dir, err = os.MkdirTemp("", "loyaltyhouse-browser-"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			s.Stop()
		}
	}()
	program, err := harness.Build(ctx, s.dir)
	if err != nil {
		return nil, err
	}
	var receiver, native, http string
	for _, address := range []*string{&receiver, &s.Admin, &native, &http} {
		if *address, err = harness.FreeAddress(ctx); err != nil {
			return nil, err
		}
	}
	config := filepath.Join(s.dir, "connector.yaml")
	if err := os.WriteFile(config, fmt.Appendf(nil, `
receiver: {address: %q, secrets: [browser]}
admin: {address: %q, dashboards: true}
kafka: {topics: {partitions: 1}}
sinks:
  - name: clickhouse
    clickhouse: {addresses: [%q]}
embedded:
  data_dir: %q
  clickhouse: {native_port: %s, http_port: %s}
`, receiver, s.Admin, native, filepath.Join(s.dir, "data"), port(native), port(http)), 0o600); err != nil {
		return nil, err
	}
	serve := exec.Command(program, "serve", "--config", config) //nolint:gosec,noctx // No shell is involved; the program was built above. No context kills it: Stop ends it in order.
	if s.process, err = harness.Start("serve", serve, log); err != nil {
		return nil, err
	}
	if err := s.process.AwaitOK(ctx, "http://"+s.Admin+"/readyz"); err != nil {
		return nil, err
	}
	history := exec.CommandContext(ctx, program, "simulate", "--history", "365d", "--to", "kafka", "--config", config) //nolint:gosec // No shell is involved; the program was built above, and the configuration is written here.
	if out, err := history.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("simulate: %w\n%s", err, out)
	}
	if err := s.prepare(ctx, native); err != nil {
		return nil, fmt.Errorf("prepare the warehouse: %w", err)
	}
	return s, nil
}

// Stop stops the connector and removes what it stored.
func (s *Service) Stop() {
	if s.process != nil {
		s.process.Stop(30 * time.Second)
	}
	_ = os.RemoveAll(s.dir) // It lies in the system's temporary directory.
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address) // It was a listener's.
	return port
}

// prepare waits until what was published is stored, refreshes the views that are
// otherwise refreshed every few minutes, and chooses the customer.
func (s *Service) prepare(ctx context.Context, address string) error {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{address}, Auth: clickhouse.Auth{Database: "loyalty"}, ReadTimeout: patience})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // What it was asked for has been answered.
	for last, rows := uint64(0), uint64(0); rows == 0 || rows != last; time.Sleep(2 * time.Second) {
		last = rows
		if err := conn.QueryRow(ctx, "SELECT count() FROM raw_webhooks").Scan(&rows); err != nil {
			return err
		}
	}
	var views []string
	if err := conn.QueryRow(ctx, "SELECT groupArray(view) FROM system.view_refreshes WHERE database = 'loyalty'").Scan(&views); err != nil {
		return err
	}
	for _, step := range []string{"REFRESH", "WAIT"} {
		for _, view := range views {
			if err := conn.Exec(ctx, "SYSTEM "+step+" VIEW "+view); err != nil {
				return fmt.Errorf("%s: %w", view, err)
			}
		}
	}
	return conn.QueryRow(ctx, `SELECT customer_id, shop_id FROM customer_360
WHERE points_burned > 0 AND gift_cards > 0 AND (shop_id, customer_id) IN (SELECT shop_id, buyer_id FROM store_credits)
    AND customer_updated_at IS NOT NULL
ORDER BY points_earned DESC, shop_id, customer_id LIMIT 1`).Scan(&s.Customer, &s.Shop)
}
