// Package dashboards holds the Grafana dashboards over the warehouse, the alert
// rules, what Grafana needs to find them and their data sources (provisioning),
// and the configuration of Prometheus. The dashboards are written by the generator
// in the folder generate; the rest is written by hand.
//
// The package also reads the dashboards, expands their queries as Grafana does,
// and serves them as pages where no Grafana is at hand.
package dashboards

import "embed"

//go:generate go run ./generate

// Files are the dashboards, one <uid>.json each, as Grafana's file provider
// reads them.
//
//go:embed *.json
var Files embed.FS
