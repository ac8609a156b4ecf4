package main

import (
	"github.com/grafana/grafana-foundation-sdk/go/barchart"
	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/gauge"
	"github.com/grafana/grafana-foundation-sdk/go/piechart"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/text"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Colours say what a number means, on every dashboard the same.
const (
	green  = "green"  // earned, issued, sold: what came in
	orange = "orange" // burned, used, redeemed: what went out
	blue   = "blue"   // balances, and what is counted
	purple = "purple" // rates
	amber  = "yellow" // to be looked at
	red    = "red"    // wrong
)

// A format is how a number is written, and what stands where there is none.
type format struct {
	unit     string
	decimals float64
	noValue  string
}

var (
	whole    = format{"locale", 0, "0"}
	money    = format{"locale", 2, "0.00"} // in the shop's currency, which the events do not name
	share    = format{"percentunit", 1, "–"}
	duration = format{"s", 0, "never"}
	fine     = format{"s", 3, "–"}
	perSec   = format{"short", 1, "0"}
	rare     = format{"short", 3, "–"} // per second, where one in some minutes is to be seen
	lag      = format{"locale", 0, "–"}
	lateness = format{"s", 0, "–"}
	size     = format{"bytes", 1, "0"}
)

// panel is what all kinds have in common. The number of targets is one, except
// for Prometheus, where each of several lines has its own.
func panel(kind string, width, height uint32, title, description string, f format, targets ...variants.Dataquery) dashboard.Panel {
	source := clickhouse
	if len(targets) > 0 && targets[0].DataqueryType() == *prom.Type {
		source = prom
	}
	return dashboard.Panel{
		Type:        kind,
		Title:       new(title),
		Description: new(description),
		Datasource:  &source,
		GridPos:     &dashboard.GridPos{W: width, H: height},
		Targets:     targets,
		FieldConfig: &dashboard.FieldConfigSource{
			Defaults: dashboard.FieldConfig{
				Unit: new(f.unit), Decimals: new(f.decimals), NoValue: new(f.noValue),
			},
			Overrides: []dashboard.DashboardFieldConfigSourceOverrides{},
		},
	}
}

// number shows the only value of its query.
func number(width uint32, title, description string, f format, color string, query variants.Dataquery) dashboard.Panel {
	p := panel("stat", width, 4, title, description, f, query)
	p.FieldConfig.Defaults.Color = fixed(color)
	o := stat.NewOptions()
	o.GraphMode = common.BigValueGraphModeNone
	o.TextMode = common.BigValueTextModeValue
	o.JustifyMode = common.BigValueJustifyModeCenter
	o.Orientation = common.VizOrientationAuto
	o.ReduceOptions = last()
	p.Options = o
	return p
}

// alarm is a number that is green while it is below amberAt, then amber, and red
// from redAt on.
func alarm(width uint32, title, description string, f format, amberAt, redAt float64, query variants.Dataquery) dashboard.Panel {
	p := number(width, title, description, f, green, query)
	p.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}
	p.FieldConfig.Defaults.Thresholds = thresholds(amberAt, redAt)
	return p
}

// dial shows a share between nothing and everything.
func dial(width uint32, title, description string, color string, query variants.Dataquery) dashboard.Panel {
	p := panel("gauge", width, 4, title, description, share, query)
	p.FieldConfig.Defaults.Color = fixed(color)
	p.FieldConfig.Defaults.Min, p.FieldConfig.Defaults.Max = new(0.0), new(1.0)
	o := gauge.NewOptions()
	o.ShowThresholdMarkers = false
	o.Orientation = common.VizOrientationAuto
	o.ReduceOptions = last()
	p.Options = o
	return p
}

// stacked shows what adds up, as bars, with a series for each value of label.
func stacked(width, height uint32, title, description string, f format, label string, targets ...variants.Dataquery) dashboard.Panel {
	p := timeSeries(width, height, title, description, f, label, targets...)
	p.FieldConfig.Defaults.Custom = bars(common.StackingModeNormal)
	o := p.Options.(*timeseries.Options)
	o.Legend = legend("sum", "Total")
	return p
}

// sideBySide shows bars of which each has its own column in the query.
func sideBySide(width, height uint32, title, description string, f format, targets ...variants.Dataquery) dashboard.Panel {
	p := timeSeries(width, height, title, description, f, "", targets...)
	p.FieldConfig.Defaults.Custom = bars(common.StackingModeNone)
	o := p.Options.(*timeseries.Options)
	o.Legend = legend("sum", "Total")
	return p
}

// lines shows what is measured at each moment.
func lines(width, height uint32, title, description string, f format, label string, targets ...variants.Dataquery) dashboard.Panel {
	return timeSeries(width, height, title, description, f, label, targets...)
}

// steps shows what stays as it is until the next event.
func steps(width, height uint32, title, description string, f format, label string, query variants.Dataquery) dashboard.Panel {
	p := timeSeries(width, height, title, description, f, label, query)
	custom := p.FieldConfig.Defaults.Custom.(*common.GraphFieldConfig)
	custom.LineInterpolation = new(common.LineInterpolationStepAfter)
	custom.ShowPoints = new(common.VisibilityModeAlways)
	custom.SpanNulls = &common.BoolOrFloat64{Bool: new(true)}
	return p
}

func timeSeries(width, height uint32, title, description string, f format, label string, targets ...variants.Dataquery) dashboard.Panel {
	p := panel("timeseries", width, height, title, description, f, targets...)
	p.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdPaletteClassicByName}
	if label != "" {
		p.FieldConfig.Defaults.DisplayName = new("${__field.labels." + label + "}")
	}
	p.FieldConfig.Defaults.Custom = &common.GraphFieldConfig{
		DrawStyle:         new(common.GraphDrawStyleLine),
		LineWidth:         new(2.0),
		LineInterpolation: new(common.LineInterpolationLinear),
		FillOpacity:       new(10.0),
		ShowPoints:        new(common.VisibilityModeAuto),
		AxisSoftMin:       new(0.0),
		Stacking:          &common.StackingConfig{Mode: new(common.StackingModeNone), Group: new("A")},
	}
	o := timeseries.NewOptions()
	o.Legend = legend("lastNotNull", "Last *")
	o.Tooltip = tooltip()
	p.Options = o
	return p
}

func bars(stacking common.StackingMode) *common.GraphFieldConfig {
	return &common.GraphFieldConfig{
		DrawStyle:    new(common.GraphDrawStyleBars),
		BarAlignment: new(common.BarAlignmentAfter),
		LineWidth:    new(0.0),
		FillOpacity:  new(80.0),
		AxisSoftMin:  new(0.0),
		Stacking:     &common.StackingConfig{Mode: new(stacking), Group: new("A")},
	}
}

// categories is a bar chart: the first column names the bars, the others are
// their lengths.
func categories(width, height uint32, title, description string, f format, color string, query variants.Dataquery) dashboard.Panel {
	p := panel("barchart", width, height, title, description, f, query)
	p.FieldConfig.Defaults.Color = fixed(color)
	p.FieldConfig.Defaults.Custom = &barchart.FieldConfig{
		LineWidth: new(int32(0)), FillOpacity: new(int32(80)), AxisSoftMin: new(0.0),
	}
	o := barchart.NewOptions()
	o.ShowValue = common.VisibilityModeAlways
	o.Legend = common.VizLegendOptions{
		DisplayMode: common.LegendDisplayModeList, Placement: common.LegendPlacementBottom, Calcs: []string{},
	}
	o.Tooltip = tooltip()
	p.Options = o
	return p
}

// ranking shows a bar for each row: the first column names it, the second says
// how long it is.
func ranking(width, height uint32, title, description string, f format, color, column string, query variants.Dataquery) dashboard.Panel {
	p := panel("bargauge", width, height, title, description, f, query)
	p.FieldConfig.Defaults.Color = fixed(color)
	p.FieldConfig.Defaults.Min = new(0.0)
	o := bargauge.NewOptions()
	o.DisplayMode = common.BarGaugeDisplayModeBasic
	o.ValueMode = common.BarGaugeValueModeText
	o.Orientation = common.VizOrientationHorizontal
	o.Legend = common.VizLegendOptions{
		DisplayMode: common.LegendDisplayModeList, Placement: common.LegendPlacementBottom, Calcs: []string{},
	}
	o.ReduceOptions = everyRow(column)
	p.Options = o
	return p
}

// pie shows how a whole divides: the first column names the slices, the second
// says how large they are.
func pie(width, height uint32, title, description string, f format, column string, query variants.Dataquery) dashboard.Panel {
	p := panel("piechart", width, height, title, description, f, query)
	p.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdPaletteClassicByName}
	o := piechart.NewOptions()
	o.PieType = piechart.PieChartTypeDonut
	o.DisplayLabels = []piechart.PieChartLabels{piechart.PieChartLabelsPercent}
	o.Tooltip = tooltip()
	o.Orientation = common.VizOrientationAuto
	o.Legend = piechart.PieChartLegendOptions{
		Values:      []piechart.PieChartLegendValues{piechart.PieChartLegendValuesValue, piechart.PieChartLegendValuesPercent},
		DisplayMode: common.LegendDisplayModeTable, Placement: common.LegendPlacementRight, ShowLegend: true, Calcs: []string{},
	}
	o.ReduceOptions = everyRow(column)
	p.Options = o
	return p
}

// words is a text in Markdown.
func words(width, height uint32, title, description, markdown string) dashboard.Panel {
	p := panel("text", width, height, title, description, format{"none", 0, ""})
	p.FieldConfig, p.Datasource = nil, nil
	o := text.NewOptions()
	o.Mode, o.Content = text.TextModeMarkdown, markdown
	p.Options = o
	return p
}

// everyColumn is a pattern for the names of columns.
const everyColumn = "/.*/"

// rows is a table. Columns that are not named are whole numbers, or what they are.
func rows(width, height uint32, title, description, noValue string, query variants.Dataquery, columns ...column) dashboard.Panel {
	p := panel("table", width, height, title, description, format{whole.unit, whole.decimals, noValue}, query)
	p.FieldConfig.Defaults.Custom = map[string]any{"align": "auto", "filterable": true, "inspect": false}
	o := table.NewOptions()
	o.Footer = nil
	p.Options = o
	// What stands for an empty table must not stand for each empty cell.
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, dashboard.DashboardFieldConfigSourceOverrides{
		Matcher:    dashboard.MatcherConfig{Id: "byRegexp", Options: everyColumn},
		Properties: []dashboard.DynamicConfigValue{{Id: "noValue", Value: ""}},
	})
	for _, c := range columns {
		override(&p, c.name, c.properties...)
	}
	return p
}

// A column of a table that looks different from the others.
type column struct {
	name       string
	properties []dashboard.DynamicConfigValue
}

// written says how the numbers of a column are written.
func written(name string, f format) column {
	return column{name, []dashboard.DynamicConfigValue{
		{Id: "unit", Value: f.unit}, {Id: "decimals", Value: f.decimals},
	}}
}

// barred draws a bar behind each number of a column.
func barred(name string, f format, color string) column {
	c := written(name, f)
	c.properties = append(c.properties,
		dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]any{
			"type": "gauge", "mode": "basic", "valueDisplayMode": "text",
		}},
		dashboard.DynamicConfigValue{Id: "min", Value: 0},
		dashboard.DynamicConfigValue{Id: "color", Value: fixed(color)})
	return c
}

// shaded colours the cells of a column of shares: the fuller, the darker.
func shaded(name string) column {
	c := written(name, share)
	c.properties = append(c.properties,
		dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]any{"type": "color-background", "mode": "basic"}},
		dashboard.DynamicConfigValue{Id: "min", Value: 0},
		dashboard.DynamicConfigValue{Id: "max", Value: 1},
		dashboard.DynamicConfigValue{Id: "color", Value: dashboard.FieldColor{Mode: dashboard.FieldColorModeIdContinuousBlues}})
	return c
}

// warned colours the cells of a column from a number on.
func warned(name string, f format, amberAt, redAt float64) column {
	c := written(name, f)
	c.properties = append(c.properties,
		dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]any{"type": "color-text"}},
		dashboard.DynamicConfigValue{Id: "color", Value: dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}},
		dashboard.DynamicConfigValue{Id: "thresholds", Value: thresholds(amberAt, redAt)})
	return c
}

// told colours the texts of a column. Texts and colours come in turn.
func told(name string, colors ...string) column {
	texts := map[string]any{}
	for i := 0; i+1 < len(colors); i += 2 {
		texts[colors[i]] = map[string]any{"color": colors[i+1], "index": i / 2}
	}
	return column{name, []dashboard.DynamicConfigValue{
		{Id: "custom.cellOptions", Value: map[string]any{"type": "color-text"}},
		{Id: "mappings", Value: []map[string]any{{"type": "value", "options": texts}}},
	}}
}

// toLedger makes the column Customer lead to that customer's ledger. The table
// has a column Shop, too.
func toLedger() column {
	return column{"Customer", []dashboard.DynamicConfigValue{{Id: "links", Value: []map[string]any{{
		"title":       "The ledger of this customer",
		"url":         "/d/customer-ledger?var-customer=${__value.raw:percentencode}&var-shop=${__data.fields.Shop:percentencode}&${__url_time_range}",
		"targetBlank": false,
	}}}}}
}

// coloured gives a column that is a series its colour.
func coloured(p dashboard.Panel, names ...string) dashboard.Panel {
	for i := 0; i+1 < len(names); i += 2 {
		override(&p, names[i], dashboard.DynamicConfigValue{Id: "color", Value: fixed(names[i+1])})
	}
	return p
}

func override(p *dashboard.Panel, name string, properties ...dashboard.DynamicConfigValue) {
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, dashboard.DashboardFieldConfigSourceOverrides{
		Matcher: dashboard.MatcherConfig{Id: "byName", Options: name}, Properties: properties,
	})
}

func fixed(color string) *dashboard.FieldColor {
	return &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdFixed, FixedColor: new(color)}
}

func thresholds(amberAt, redAt float64) *dashboard.ThresholdsConfig {
	return &dashboard.ThresholdsConfig{Mode: dashboard.ThresholdsModeAbsolute, Steps: []dashboard.Threshold{
		{Color: green}, {Value: new(amberAt), Color: amber}, {Value: new(redAt), Color: red},
	}}
}

func legend(calc, sortBy string) common.VizLegendOptions {
	return common.VizLegendOptions{
		DisplayMode: common.LegendDisplayModeTable, Placement: common.LegendPlacementRight, ShowLegend: true,
		Calcs: []string{calc}, SortBy: new(sortBy), SortDesc: new(true),
	}
}

func tooltip() common.VizTooltipOptions {
	return common.VizTooltipOptions{Mode: common.TooltipDisplayModeMulti, Sort: common.SortOrderDescending}
}

func last() common.ReduceDataOptions {
	return common.ReduceDataOptions{Calcs: []string{"lastNotNull"}, Fields: new(""), Values: new(false)}
}

func everyRow(column string) common.ReduceDataOptions {
	return common.ReduceDataOptions{Calcs: []string{}, Fields: new("/^" + column + "$/"), Values: new(true)}
}
