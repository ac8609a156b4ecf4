//go:build linux

// Command screenshots starts the connector with everything embedded, plays a year
// of a loyalty programme into it, and writes pictures of all dashboards. Run it
// with: make screenshots.
package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"

	"loyaltyhouse/connector/harness"
	"loyaltyhouse/dashboards"
	"loyaltyhouse/dashboards/browser"
)

var (
	desktop = browser.View{Width: 1440, Height: 900}
	dark    = browser.View{Width: 1440, Height: 900, Dark: true}
	phone   = browser.View{Width: 390, Height: 844, Scale: 2, Phone: true}
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	into := flag.String("into", "docs/screenshots", "the directory for the pictures")
	from := flag.String("from", "", "the admin address of a connector that runs already, instead of a new one")
	flag.Parse()
	if err := run(ctx, *into, *from); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, into, address string) error {
	if err := os.MkdirAll(into, 0o755); err != nil { //nolint:gosec // Pictures are for everybody.
		return err
	}
	if address == "" {
		stop, started, err := start(ctx)
		if err != nil {
			return err
		}
		defer stop()
		address = started
	}
	b, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	all, err := dashboards.Load()
	if err != nil {
		return err
	}
	const front, ledger = "points-by-scene", "customer-ledger"
	pages := "http://" + address + "/dashboards/"
	customer, err := firstCustomer(b, pages+front)
	if err != nil {
		return err
	}
	for _, d := range all {
		url := pages + d.UID
		switch d.UID {
		case ledger:
			url = customer
		case "pipeline":
			continue // It reads Prometheus, which is not here.
		}
		if err := take(b, url, desktop, filepath.Join(into, d.UID+".png")); err != nil {
			return err
		}
	}
	if err := take(b, pages+front, dark, filepath.Join(into, front+"-dark.png")); err != nil {
		return err
	}
	return take(b, pages+front, phone, filepath.Join(into, front+"-phone.png"))
}

// firstCustomer returns the first link to a customer's ledger, of a whole year.
func firstCustomer(b *browser.Browser, url string) (string, error) {
	page, err := b.Open(url, desktop)
	if err != nil {
		return "", err
	}
	defer page.Close()
	return browser.Evaluate[string](page, `(() => {
		const url = new URL(document.querySelector("td a").href);
		url.searchParams.set("from", "now-1y");
		return url.href;
	})()`)
}

// take writes one picture, of a page without complaints.
func take(b *browser.Browser, url string, view browser.View, file string) error {
	page, err := b.Open(url, view)
	if err != nil {
		return err
	}
	defer page.Close()
	image, err := page.Screenshot(view)
	if err != nil {
		return err
	}
	if complaints := page.Complaints(); len(complaints) > 0 {
		return fmt.Errorf("the console of %s says: %q", url, complaints)
	}
	fmt.Println(file)
	return os.WriteFile(file, image, 0o644) //nolint:gosec // Pictures are for everybody.
}

// start starts a connector, fills it, and returns its admin address.
func start(ctx context.Context) (stop func(), admin string, err error) {
	dir, err := os.MkdirTemp("", "loyaltyhouse-screenshots-")
	if err != nil {
		return nil, "", err
	}
	var service *harness.Process
	stop = func() {
		if service != nil {
			service.Stop(30 * time.Second)
		}
		_ = os.RemoveAll(dir) // It lies in the system's temporary directory.
	}
	defer func() {
		if err != nil {
			stop()
		}
	}()
	program, err := harness.Build(ctx, dir)
	if err != nil {
		return nil, "", err
	}
	var addresses [4]string
	for i := range addresses {
		if addresses[i], err = harness.FreeAddress(ctx); err != nil {
			return nil, "", err
		}
	}
	config := filepath.Join(dir, "connector.yaml")
	if err = os.WriteFile(config, configuration(dir, addresses), 0o600); err != nil {
		return nil, "", err
	}
	admin = addresses[1]
	service, err = harness.Start("serve", exec.Command(program, "serve", "--config", config), os.Stderr) //nolint:gosec,noctx // It is stopped in order.
	if err != nil {
		return nil, "", err
	}
	if err = service.AwaitOK(ctx, "http://"+admin+"/readyz"); err != nil {
		return nil, "", err
	}
	history := exec.CommandContext(ctx, program, "simulate", "--history", "365d", "--to", "kafka", "--config", config) //nolint:gosec // What was built above.
	history.Stdout, history.Stderr = os.Stdout, os.Stderr
	if err = history.Run(); err != nil {
		return nil, "", fmt.Errorf("simulate: %w", err)
	}
	if err = refresh(ctx, addresses[2]); err != nil {
		return nil, "", err
	}
	return stop, admin, nil
}

// refresh waits until what was published is stored, and has the views that are
// refreshed every few minutes refreshed now.
func refresh(ctx context.Context, address string) error {
	conn, err := clickhouse.Open(&clickhouse.Options{Addr: []string{address}, Auth: clickhouse.Auth{Database: "loyalty"}, ReadTimeout: 5 * time.Minute})
	if err != nil {
		return err
	}
	defer conn.Close() //nolint:errcheck // What it was asked for has been answered.
	var last, rows uint64
	for rows == 0 || rows != last {
		last = rows
		time.Sleep(3 * time.Second)
		if err := conn.QueryRow(ctx, "SELECT count() FROM raw_webhooks").Scan(&rows); err != nil {
			return err
		}
	}
	var views []string
	if err := conn.QueryRow(ctx, "SELECT groupArray(view) FROM system.view_refreshes WHERE database = 'loyalty'").Scan(&views); err != nil {
		return err
	}
	for _, command := range []string{"REFRESH", "WAIT"} {
		for _, view := range views {
			if err := conn.Exec(ctx, "SYSTEM "+command+" VIEW "+view); err != nil {
				return fmt.Errorf("%s %s: %w", command, view, err)
			}
		}
	}
	return nil
}

func configuration(dir string, addresses [4]string) []byte {
	return fmt.Appendf(nil, `
receiver: {address: %q, secrets: [screenshots]}
admin: {address: %q, dashboards: true}
kafka: {topics: {partitions: 1}}
sinks:
  - name: clickhouse
    clickhouse: {addresses: [%q]}
embedded:
  data_dir: %q
  clickhouse: {native_port: %s, http_port: %s}
`, addresses[0], addresses[1], addresses[2], filepath.Join(dir, "data"), port(addresses[2]), port(addresses[3]))
}

func port(address string) string {
	_, port, _ := net.SplitHostPort(address) // It was a listener's.
	return port
}
