package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// schemaVersion is that of the classic dashboard JSON that Grafana 12 and 13 read.
const schemaVersion = 41

// classic is a dashboard in the form that Grafana's file provider has always read.
type classic = dashboard.Dashboard //nolint:staticcheck // Its successor is for Grafana's new API, and the connector's pages draw this one.

// tag is on every dashboard.
const tag = "loyaltyhouse"

// board is what one dashboard says of itself.
type board struct {
	uid, title, description string
	tags                    []string
	// from is the beginning of the time that it opens with.
	from        string
	variables   []dashboard.VariableModel
	annotations []dashboard.AnnotationQuery
	// rows are laid out from the top, and the panels of each from the left. The
	// tallest panel of a row says how high it is.
	rows [][]dashboard.Panel
}

func (b board) build(all []board) classic {
	d := classic{
		Uid:           new(b.uid),
		Title:         new(b.title),
		Description:   new(b.description),
		Tags:          append([]string{tag}, b.tags...),
		Timezone:      new("utc"),
		Editable:      new(true),
		GraphTooltip:  new(dashboard.DashboardCursorSyncCrosshair),
		Time:          &dashboard.DashboardDashboardTime{From: b.from, To: "now"},
		Refresh:       new("1m"),
		SchemaVersion: schemaVersion,
		Version:       new(uint32(1)),
		Templating:    dashboard.DashboardDashboardTemplating{List: b.variables},
		Annotations:   dashboard.AnnotationContainer{List: b.annotations},
	}
	for _, other := range all {
		if other.uid != b.uid {
			d.Links = append(d.Links, linkTo(other))
		}
	}
	var id, y uint32
	for _, row := range b.rows {
		var x, height uint32
		for _, p := range row {
			id++
			p.Id = new(id)
			p.GridPos.X, p.GridPos.Y = x, y
			x += p.GridPos.W
			height = max(height, p.GridPos.H)
			d.Panels = append(d.Panels, dashboard.PanelOrRowPanel{Panel: &p})
		}
		y += height
	}
	return d
}

// linkTo takes the time and the variables along; a dashboard ignores those that
// it does not have.
func linkTo(b board) dashboard.DashboardLink {
	return dashboard.DashboardLink{
		Title:       b.title,
		Type:        dashboard.DashboardLinkTypeLink,
		Icon:        "dashboard",
		Tooltip:     b.description,
		Url:         new("/d/" + b.uid),
		Tags:        []string{},
		IncludeVars: true,
		KeepTime:    true,
	}
}

var (
	clickhouse = common.DataSourceRef{Type: new("grafana-clickhouse-datasource"), Uid: new("clickhouse")}
	prom       = common.DataSourceRef{Type: new("prometheus"), Uid: new("prometheus")}
)
