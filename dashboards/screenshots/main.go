//go:build linux

// Command screenshots starts the connector with everything embedded, plays a year
// of a loyalty programme into it, and writes pictures of all dashboards. Run it
// with: make screenshots.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"

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
	if err := os.MkdirAll(into, 0o755); err != nil { //nolint:gosec // Pictures of simulated data are committed and hold no secret, and have the mode that git gives to other files.
		return err
	}
	if address == "" {
		service, err := browser.StartService(ctx, os.Stderr)
		if err != nil {
			return err
		}
		defer service.Stop()
		address = service.Admin
	}
	b, err := browser.Start(ctx)
	if err != nil {
		return err
	}
	defer b.Close()
	return takeAll(b, "http://"+address+"/dashboards/", into) //nolint:contextcheck // The browser has the context.
}

func takeAll(b *browser.Browser, pages, into string) error {
	all, err := dashboards.Load()
	if err != nil {
		return err
	}
	const front, ledger = "points-by-scene", "customer-ledger"
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
	return os.WriteFile(file, image, 0o644) //nolint:gosec // Pictures of simulated data are committed and hold no secret, and have the mode that git gives to other files.
}
