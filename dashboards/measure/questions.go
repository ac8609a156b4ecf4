//go:build linux

package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"loyaltyhouse/dashboards"
	"loyaltyhouse/schema"
)

const day = 24 * time.Hour

// A question is what a person waits for at once.
type question struct {
	of, name string // a dashboard and what is on it, or a kind of view and its name
	span     string
	sql      []string
	// prompt tells that maxWall holds, beside maxMemory. Only what is limited fails
	// above them; the rest is measured to be known.
	prompt, limited bool
}

// containing returns the questions whose names have this part.
func containing(all []question, part string) []question {
	return slices.DeleteFunc(all, func(q question) bool { return !strings.Contains(q.of+" / "+q.name, part) })
}

// panels asks what every panel, variable and annotation of the dashboards asks:
// with the time range that the dashboard begins with, with a quarter, and with a
// year.
func (w *warehouse) panels(ctx context.Context) ([]question, error) {
	all, err := dashboards.Load()
	if err != nil {
		return nil, err
	}
	customer, err := w.customer(ctx)
	if err != nil {
		return nil, err
	}
	var questions []question
	for _, d := range all {
		values := dashboards.Values{}
		if slices.ContainsFunc(d.Variables, func(v *dashboards.Variable) bool { return v.Name == "customer" }) {
			values["customer"] = dashboards.Pick(customer)
		}
		begins, err := length(d.From)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", d.Title, err)
		}
		known := map[string]bool{} // What does not look at the time is asked once.
		for _, length := range []time.Duration{begins, 90 * day, 365 * day} {
			r := dashboards.Range{From: w.until.Add(-length), To: w.until}
			ask := func(name string, sql ...string) error {
				q := question{of: d.Title, name: name, span: fmt.Sprintf("%d d", length/day), prompt: true, limited: length == begins}
				for _, s := range sql {
					expanded, err := d.Expand(s, r, values)
					if err != nil {
						return fmt.Errorf("%s, %s: %w", d.Title, name, err)
					}
					q.sql = append(q.sql, expanded)
				}
				if key := name + strings.Join(q.sql, ";"); len(sql) > 0 && !known[key] {
					known[key] = true
					questions = append(questions, q)
				}
				return nil
			}
			for _, p := range d.Panels {
				r.Interval = p.Interval(r.From, r.To, 1000)
				var sql []string
				for _, t := range p.Targets {
					if t.SQL != "" {
						sql = append(sql, t.SQL)
					}
				}
				if err := ask(p.Title, sql...); err != nil {
					return nil, err
				}
			}
			for _, v := range d.Variables {
				if v.SQL != "" {
					if err := ask("variable "+v.Label, v.SQL); err != nil {
						return nil, err
					}
				}
			}
			for _, a := range d.Annotations {
				if err := ask("annotation "+a.Name, a.SQL); err != nil {
					return nil, err
				}
			}
		}
	}
	return questions, nil
}

// customer returns one who has something of everything, and more events than most.
func (w *warehouse) customer(ctx context.Context) (id string, err error) {
	err = w.conn.QueryRow(ctx, `SELECT buyer_id FROM loyalty.points_members_cached
WHERE burn_events > 0 AND (shop_id, buyer_id) IN (SELECT shop_id, buyer_id FROM loyalty.gift_card_lives_cached)
    AND (shop_id, buyer_id) IN (SELECT shop_id, buyer_id FROM loyalty.store_credit_members_cached)
ORDER BY earn_events + burn_events DESC, shop_id, buyer_id LIMIT 1`).Scan(&id)
	if err != nil {
		return "", fmt.Errorf("choose a customer: %w", err)
	}
	return id, nil
}

// length is how long a time range is that begins so long ago, in Grafana's words.
func length(from string) (time.Duration, error) {
	var n int
	var unit string
	if _, err := fmt.Sscanf(from, "now-%d%s", &n, &unit); err != nil {
		return 0, fmt.Errorf("the time range begins at %q, not at now-30d or the like", from)
	}
	units := map[string]time.Duration{"h": time.Hour, "d": day, "w": 7 * day, "y": 365 * day}
	if units[unit] == 0 {
		return 0, fmt.Errorf("the time range begins at %q, of which the unit is not known", from)
	}
	return time.Duration(n) * units[unit], nil
}

// views asks each view for all that it has. Who reads a part waits less, and the
// dashboards read a part or a table that holds what the view said.
func views(until time.Time) []question {
	var questions []question
	all := schema.Views(tables(nil))
	for _, v := range all {
		if v.Cached() {
			continue
		}
		q := question{of: "view", name: v.Name, span: "all"}
		if slices.ContainsFunc(all, func(other schema.View) bool { return other.Name == v.Name+"_cached" }) {
			q.of = "view, cached"
		}
		from := "loyalty." + v.Name
		if len(v.Parameters) > 0 {
			from += fmt.Sprintf("(at = '%s')", until.AddDate(0, -6, 0).Format(time.DateTime))
		}
		q.sql = []string{"SELECT sum(ignore(*)) FROM " + from}
		questions = append(questions, q)
	}
	return questions
}
