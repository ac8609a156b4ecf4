// Package dashboards holds the Grafana dashboards over the warehouse, what
// Grafana needs to find them and their data sources (provisioning), and the
// scrape configuration of Prometheus. It also reads the dashboards, expands their
// queries as Grafana does, and serves them as pages where no Grafana is at hand.
package dashboards

import "embed"

// Files are the dashboards, one <uid>.json each, as Grafana's file provider
// reads them.
//
//go:embed *.json
var Files embed.FS
