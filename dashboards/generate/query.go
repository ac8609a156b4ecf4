package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// sqlQuery is a query of the ClickHouse data source, as its SQL editor writes it.
type sqlQuery struct {
	RefID      string               `json:"refId"`
	Datasource common.DataSourceRef `json:"datasource"`
	EditorType string               `json:"editorType"`
	QueryType  string               `json:"queryType"`
	// Format is 0 for time series and 1 for tables.
	Format int    `json:"format"`
	RawSQL string `json:"rawSql"`
}

var _ variants.Dataquery = sqlQuery{}

// ImplementsDataqueryVariant makes it one of the SDK's queries.
func (sqlQuery) ImplementsDataqueryVariant() {}

// Equals implements variants.Dataquery.
func (q sqlQuery) Equals(other variants.Dataquery) bool { return other == variants.Dataquery(q) }

// DataqueryType implements variants.Dataquery.
func (sqlQuery) DataqueryType() string { return *clickhouse.Type }

// Validate implements variants.Dataquery.
func (sqlQuery) Validate() error { return nil }

// asTable is a query whose answer is a table, with a panel of any kind over it.
func asTable(lines ...string) sqlQuery {
	return sqlQuery{RefID: "A", Datasource: clickhouse, EditorType: "sql", QueryType: "table", Format: 1, RawSQL: join(lines)}
}

// asSeries is a query whose first column is the time. Either a string column
// follows, with a series for each of its values, and one column of numbers; or
// columns of numbers, each of them a series.
func asSeries(lines ...string) sqlQuery {
	return sqlQuery{RefID: "A", Datasource: clickhouse, EditorType: "sql", QueryType: "timeseries", Format: 0, RawSQL: join(lines)}
}

func join(lines []string) string {
	return strings.TrimSpace(strings.Join(lines, "\n"))
}

// Conditions that many queries have. All of a variable is no condition at all.
const (
	inTime   = "$__timeFilter_ms(updated_at)"
	inDays   = "day BETWEEN toDate($__fromTime, 'UTC') AND toDate($__toTime, 'UTC')"
	inShop   = "$__conditionalAll(shop_id IN (${shop:sqlstring}), $shop)"
	inScene  = "$__conditionalAll(updated_scene IN (${scene:sqlstring}), $scene)"
	inReason = "$__conditionalAll(update_reason IN (${reason:sqlstring}), $reason)"
	inCard   = "$__conditionalAll(scene_type IN (${card_scene:sqlstring}), $card_scene)"
)

// where puts each condition on a line of its own.
func where(conditions ...string) string {
	return "WHERE " + strings.Join(conditions, "\n  AND ")
}

// Distinct customers, cards and events of very many rows. uniqExact of two strings
// keeps a hash of 128 bits of each pair; 64 bits take half the time and memory, and
// of ten million pairs two have the same once in 370,000 times. An event_id is a
// hash already.
const (
	customers = "uniqExact(cityHash64(shop_id, buyer_id))"
	cards     = "uniqExact(cityHash64(shop_id, gift_card_code))"
	profiles  = "uniqExact(cityHash64(shop_id, customer_id))"
	events    = "uniqExact(reinterpretAsUInt64(event_id))"
)

// A bucket is where a row stands on the axis of time. The WITH clause makes the
// choice of the variable interval the unit: for auto as fine as the selected time
// allows.
const withStep = `WITH
  multiIf(
    ${interval:sqlstring} != 'auto', ${interval:sqlstring},
    dateDiff('day', $__fromTime, $__toTime) > 400, 'week',
    dateDiff('hour', $__fromTime, $__toTime) > 72, 'day',
    'hour') AS step`

func bucket(column string) string { return onAxis("step", column) }

// onAxis is when the unit of time began in which a row is, as the axis shows it. The
// axis is in UTC and the unit in the chosen time zone. A day is known by its date: it
// stands where the axis has that date, as a week and a month do. An hour stands
// where it was, and so does a day between hours.
func onAxis(unit, column string) string {
	began := "dateTrunc(" + unit + ", " + column + ", ${tz:sqlstring})"
	return "if(step = 'hour', toDateTime(" + began + ", 'UTC'), toDateTime(toDate(" + began + "), 'UTC'))"
}

// promQuery is a query of the Prometheus data source over the selected time.
func promQuery(refID, legend, expr string) prometheus.Dataquery {
	q := prometheus.NewDataquery()
	q.Datasource = &prom
	q.EditorMode = new(prometheus.QueryEditorModeCode)
	q.RefId, q.Expr, q.LegendFormat = new(refID), expr, new(legend)
	q.Range, q.Instant = new(true), new(false)
	return *q
}

// promNow asks for the present alone.
func promNow(legend, expr string) prometheus.Dataquery {
	q := promQuery("A", legend, expr)
	q.Range, q.Instant = new(false), new(true)
	return q
}
