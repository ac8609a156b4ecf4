// Package dashboards holds the Grafana dashboards over the warehouse, what
// Grafana needs to find them and their data sources (provisioning), and the
// scrape configuration of Prometheus. Nothing imports it at run time; its tests
// keep the files right.
package dashboards

import "embed"

// Files are the dashboards, one <uid>.json each, as Grafana's file provider
// reads them.
//
//go:embed *.json
var Files embed.FS
