package answers_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

// An alarm is what a rule of Grafana says of what its labels name, which are the
// strings of a row: its number, and whether it is over the threshold.
type alarm struct {
	number around
	raised bool
}

// alarms are what the rules promise, by uid. Labels stand in the order of the
// query's columns.
var alarms = map[string]func(*programme) map[string]alarm{
	"loyaltyhouse-gaps":          gapAlarms,
	"loyaltyhouse-stale-shop":    silenceAlarms,
	"loyaltyhouse-dead-letters":  letterAlarms,
	"loyaltyhouse-not-refreshed": func(*programme) map[string]alarm { return nil }, // See TestTablesThatAreNotRefreshed.
}

// gapAlarms are the gaps of the last week by shop and ledger.
func gapAlarms(p *programme) map[string]alarm {
	week := choice{from: p.now.Add(-7 * day), to: p.now}
	all := map[string]alarm{}
	for of, part := range grouped(p.gapsOn(week), func(g gap) string { return g.after.shop + " " + g.ledger }) {
		all[of] = alarm{around{number: float64(len(part))}, true}
	}
	return all
}

// silenceAlarms are the hours since something came from a shop.
func silenceAlarms(p *programme) map[string]alarm {
	latest := map[string]time.Time{}
	hear := func(shop string, came time.Time) {
		if came.After(latest[shop]) {
			latest[shop] = came
		}
	}
	for _, ledger := range ledgers {
		for _, e := range p.changes[ledger] {
			hear(e.shop, e.received)
		}
	}
	for _, u := range p.updates {
		hear(u.shop, u.received)
	}
	all := map[string]alarm{}
	for shop, came := range latest {
		if hours := p.now.Sub(came).Hours(); hours < 14*24 {
			all[shop] = alarm{between(hours-1, hours+0.1), hours > 25}
		}
	}
	return all
}

// letterAlarms are the dead letters of a day by stage and reason.
func letterAlarms(p *programme) map[string]alarm {
	lately := only(p.letters, func(l *letter) bool { return l.received.After(p.now.Add(-day)) })
	all := map[string]alarm{}
	for of, part := range grouped(lately, func(l *letter) string { return l.stage + " " + l.reason }) {
		all[of] = alarm{around{number: float64(len(part))}, true}
	}
	return all
}

func TestAlertsSayWhatTheyPromise(t *testing.T) {
	rules := grafanaRules(t)
	for uid := range alarms {
		if _, ok := rules[uid]; !ok {
			t.Errorf("there is no rule %s", uid)
		}
	}
	raised := false
	for uid, rule := range rules {
		promised, ok := alarms[uid]
		if !ok {
			t.Errorf("nothing is known of what the rule %s promises", uid)
			continue
		}
		got, err := rule.ask(t.Context())
		if err != nil {
			t.Errorf("%s: %v", uid, err)
			continue
		}
		want := promised(played)
		if !slices.Equal(slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s tells of %v, want %v", uid, got, want)
			continue
		}
		for of, number := range got {
			if !near(number, want[of].number.number, want[of].number.tolerance) || (number > rule.threshold) != want[of].raised {
				t.Errorf("%s, %s: %v over %v, want %+v", uid, of, number, rule.threshold, want[of])
			}
			raised = raised || want[of].raised
		}
	}
	if !raised {
		t.Error("the programme has nothing for an alert")
	}
}

// A grafanaRule is an alert rule of Grafana, as far as the warehouse is asked.
type grafanaRule struct {
	sql       string
	threshold float64
}

// grafanaRules reads the provisioned rules by uid.
func grafanaRules(t *testing.T) map[string]grafanaRule {
	t.Helper()
	data, err := os.ReadFile("../provisioning/alerting/warehouse.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				UID  string `yaml:"uid"`
				Data []struct {
					Model struct {
						RawSQL     string `yaml:"rawSql"`
						Conditions []struct {
							Evaluator struct {
								Type   string    `yaml:"type"`
								Params []float64 `yaml:"params"`
							} `yaml:"evaluator"`
						} `yaml:"conditions"`
					} `yaml:"model"`
				} `yaml:"data"`
			} `yaml:"rules"`
		} `yaml:"groups"`
	}
	if err := yaml.Unmarshal(data, &file); err != nil {
		t.Fatal(err)
	}
	rules := map[string]grafanaRule{}
	for _, group := range file.Groups {
		for _, r := range group.Rules {
			if len(r.Data) != 2 || len(r.Data[1].Model.Conditions) != 1 {
				t.Fatalf("%s: nothing is known of a rule that is not a query and a threshold", r.UID)
			}
			evaluator := r.Data[1].Model.Conditions[0].Evaluator
			if evaluator.Type != "gt" || len(evaluator.Params) != 1 {
				t.Fatalf("%s: nothing is known of the threshold %+v", r.UID, evaluator)
			}
			rules[r.UID] = grafanaRule{r.Data[0].Model.RawSQL, evaluator.Params[0]}
		}
	}
	return rules
}

// ask returns the numbers by their labels, as Grafana takes them from the rows: all
// columns but the last are strings.
func (r grafanaRule) ask(ctx context.Context) (map[string]float64, error) {
	rows, err := warehouse.Query(ctx, r.sql)
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // Err tells.
	found := map[string]float64{}
	for rows.Next() {
		labels := make([]string, len(rows.Columns())-1)
		var cells []any
		for i := range labels {
			cells = append(cells, &labels[i])
		}
		var number float64
		if err := rows.Scan(append(cells, &number)...); err != nil {
			return nil, err
		}
		of := strings.Join(labels, " ")
		if _, twice := found[of]; twice {
			return nil, fmt.Errorf("%s is told of twice", of)
		}
		found[of] = number
	}
	return found, rows.Err()
}
