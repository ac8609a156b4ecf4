package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// shopVariable lists the shops that have sent anything, whatever the time.
func shopVariable() dashboard.VariableModel {
	return fromSQL("shop", "Shop", dashboard.VariableRefreshOnDashboardLoad,
		`SELECT DISTINCT shop_id FROM loyalty.fact_points
UNION DISTINCT
SELECT DISTINCT shop_id FROM loyalty.fact_store_credits
UNION DISTINCT
SELECT DISTINCT shop_id FROM loyalty.fact_gift_cards
UNION DISTINCT
SELECT DISTINCT shop_id FROM loyalty.fact_customer_changes`)
}

// inTimeVariable lists what a column of a fact table held in the selected time.
func inTimeVariable(name, label, column, table string) dashboard.VariableModel {
	return fromSQL(name, label, dashboard.VariableRefreshOnTimeRangeChanged,
		"SELECT DISTINCT "+column+"\nFROM loyalty."+table+"\nWHERE "+inTime+"\nORDER BY "+column)
}

func fromSQL(name, label string, refresh dashboard.VariableRefresh, sql string) dashboard.VariableModel {
	return dashboard.VariableModel{
		Type:       dashboard.VariableTypeQuery,
		Name:       name,
		Label:      new(label),
		Datasource: &clickhouse,
		Definition: new(sql),
		Query: &dashboard.StringOrMap{Map: map[string]any{
			"refId": "variable", "editorType": "sql", "queryType": "sql", "format": 1, "rawSql": sql,
		}},
		Refresh:    new(refresh),
		Sort:       new(dashboard.VariableSortAlphabeticalAsc),
		Multi:      new(true),
		IncludeAll: new(true),
		Current:    new(option("All", "$__all", true)),
		Options:    []dashboard.VariableOption{},
		Hide:       new(dashboard.VariableHideDontHide),
		Regex:      new(""),
	}
}

// timeZoneVariable is where days, weeks and months begin.
func timeZoneVariable() dashboard.VariableModel {
	return fromList("tz", "Time zone", "Where days, weeks and months begin. A bar of one stands at its date. All times of day, on axes and in tables, are UTC.", []choice{
		{"UTC", "UTC"},
		{"America/Los_Angeles", "America/Los_Angeles"},
		{"America/New_York", "America/New_York"},
		{"America/Sao_Paulo", "America/Sao_Paulo"},
		{"Europe/London", "Europe/London"},
		{"Europe/Berlin", "Europe/Berlin"},
		{"Asia/Dubai", "Asia/Dubai"},
		{"Asia/Kolkata", "Asia/Kolkata"},
		{"Asia/Singapore", "Asia/Singapore"},
		{"Asia/Shanghai", "Asia/Shanghai"},
		{"Asia/Taipei", "Asia/Taipei"},
		{"Asia/Tokyo", "Asia/Tokyo"},
		{"Australia/Sydney", "Australia/Sydney"},
	})
}

// intervalVariable is how much time one bar stands for. Its values are the units
// of ClickHouse's dateTrunc.
func intervalVariable() dashboard.VariableModel {
	return fromList("interval", "Interval", "How much time a bar stands for. With auto, an hour up to three days of selected time, a week beyond 400 days, and a day between.", []choice{
		{"auto", "auto"}, {"1h", "hour"}, {"1d", "day"}, {"1w", "week"}, {"1M", "month"},
	})
}

type choice struct{ text, value string }

// fromList makes the first choice the default.
func fromList(name, label, description string, choices []choice) dashboard.VariableModel {
	var pairs []string
	var options []dashboard.VariableOption
	for i, c := range choices {
		pair := c.value
		if c.text != c.value {
			pair = c.text + " : " + c.value
		}
		pairs = append(pairs, pair)
		o := option(c.text, c.value, false)
		o.Selected = new(i == 0)
		options = append(options, o)
	}
	return dashboard.VariableModel{
		Type:        dashboard.VariableTypeCustom,
		Name:        name,
		Label:       new(label),
		Description: new(description),
		Query:       &dashboard.StringOrMap{String: new(strings.Join(pairs, ", "))},
		Multi:       new(false),
		IncludeAll:  new(false),
		Current:     new(options[0]),
		Options:     options,
		Hide:        new(dashboard.VariableHideDontHide),
	}
}

// textVariable is typed in by a person.
func textVariable(name, label string) dashboard.VariableModel {
	empty := option("", "", false)
	return dashboard.VariableModel{
		Type:    dashboard.VariableTypeTextbox,
		Name:    name,
		Label:   new(label),
		Query:   &dashboard.StringOrMap{String: new("")},
		Current: &empty,
		Options: []dashboard.VariableOption{empty},
		Hide:    new(dashboard.VariableHideDontHide),
	}
}

// option is what is selected; multi for a variable that has several values.
func option(text, value string, multi bool) dashboard.VariableOption {
	o := dashboard.VariableOption{Selected: new(true)}
	if multi {
		o.Text.ArrayOfString, o.Value.ArrayOfString = []string{text}, []string{value}
	} else {
		o.Text.String, o.Value.String = new(text), new(value)
	}
	return o
}

// markGaps marks the days on which a ledger has gaps.
func markGaps(ledgers string) dashboard.AnnotationQuery {
	return annotation("Gaps", amber, asTable(
		"SELECT",
		"  toDateTime(day, 'UTC') AS time,",
		"  concat(toString(sum(gaps)), ' gaps in ', arrayStringConcat(arraySort(groupUniqArray(ledger)), ', '), ' of ', toString(uniqExact(shop_id)), ' shops') AS text",
		"FROM loyalty.reconciliation_cached",
		where(inDays, "gaps > 0", "ledger IN ("+ledgers+")", inShop),
		"GROUP BY day",
		"ORDER BY day"))
}

// markDeadLetters marks the days on which something signed could not become a row.
func markDeadLetters() dashboard.AnnotationQuery {
	return annotation("Dead letters", red, asTable(
		withStep,
		"SELECT",
		"  "+onAxis("'day'", "received_at")+" AS time,",
		"  concat(toString(count()), ' dead letters: ', arrayStringConcat(arraySort(groupUniqArray(reason)), ', ')) AS text",
		"FROM loyalty.dead_letters",
		where("$__timeFilter_ms(received_at)", inShop),
		"GROUP BY time",
		"ORDER BY time"))
}

func annotation(name, color string, query sqlQuery) dashboard.AnnotationQuery {
	return dashboard.AnnotationQuery{
		Name: name, Datasource: &clickhouse, Enable: true, Hide: new(false), IconColor: color, Target: query,
	}
}
