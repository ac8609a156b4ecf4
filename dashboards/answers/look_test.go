package answers_test

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"

	"loyaltyhouse/dashboards"
)

// A look is what the file says of how a panel shows its numbers.
type look struct {
	ID          int    `json:"id"`
	Type        string `json:"type"`
	FieldConfig struct {
		Defaults struct {
			Unit        string   `json:"unit"`
			Decimals    *float64 `json:"decimals"`
			Min         *float64 `json:"min"`
			Max         *float64 `json:"max"`
			DisplayName string   `json:"displayName"`
		} `json:"defaults"`
		Overrides []struct {
			Matcher struct {
				ID      string `json:"id"`
				Options string `json:"options"`
			} `json:"matcher"`
			Properties []struct {
				ID    string          `json:"id"`
				Value json.RawMessage `json:"value"`
			} `json:"properties"`
		} `json:"overrides"`
	} `json:"fieldConfig"`
	Options struct {
		ReduceOptions struct {
			Fields string `json:"fields"`
		} `json:"reduceOptions"`
	} `json:"options"`
}

// looks are those of a dashboard's panels by id.
func looks(d *dashboards.Dashboard) (map[int]*look, error) {
	var file struct {
		Panels []*look `json:"panels"`
	}
	if err := json.Unmarshal(d.File, &file); err != nil {
		return nil, err
	}
	all := map[int]*look{}
	for _, l := range file.Panels {
		all[l.ID] = l
	}
	return all, nil
}

// format is how the numbers of a column are written: the panel's own, or what an
// override says of the column. Of several the last counts.
func (l *look) format(column string) (unit string, decimals float64, err error) {
	decimals = -1 // for Grafana to choose
	if chosen := l.FieldConfig.Defaults.Decimals; chosen != nil {
		decimals = *chosen
	}
	unit = l.FieldConfig.Defaults.Unit
	for _, o := range l.FieldConfig.Overrides {
		matches := o.Matcher.Options == column
		switch o.Matcher.ID {
		case "byName":
		case "byRegexp":
			form, err := regexp.Compile(strings.Trim(o.Matcher.Options, "/"))
			if err != nil {
				return "", 0, err
			}
			matches = form.MatchString(column)
		default:
			return "", 0, fmt.Errorf("nothing is known of the matcher %s", o.Matcher.ID)
		}
		if !matches {
			continue
		}
		for _, p := range o.Properties {
			switch p.ID {
			case "unit":
				err = json.Unmarshal(p.Value, &unit)
			case "decimals":
				err = json.Unmarshal(p.Value, &decimals)
			}
			if err != nil {
				return "", 0, err
			}
		}
	}
	return unit, decimals, nil
}

// misfits are what the panel's look and its answer do not agree in.
func (l *look) misfits(a answer, f *frame) []string {
	var wrong []string
	names := map[string]bool{}
	for i, column := range a.columns {
		name := f.Columns[i].Name
		names[name] = true
		if column.column != "number" {
			continue
		}
		unit, decimals, err := l.format(name)
		switch {
		case err != nil:
			wrong = append(wrong, err.Error())
		case unit != column.unit || decimals != column.decimals:
			wrong = append(wrong, fmt.Sprintf("the numbers of %q are %s and need the unit %s with %v decimals; they have %s with %v",
				name, column.kind.name, column.unit, column.decimals, unit, decimals))
		}
		if least, most := l.FieldConfig.Defaults.Min, l.FieldConfig.Defaults.Max; l.Type == "gauge" && column.kind == share &&
			(least == nil || *least != 0 || most == nil || *most != 1) {
			wrong = append(wrong, "a gauge of a share goes from 0 to 1")
		}
	}
	for _, o := range l.FieldConfig.Overrides {
		if o.Matcher.ID == "byName" && !names[o.Matcher.Options] {
			wrong = append(wrong, fmt.Sprintf("it changes the look of %q, which is no column", o.Matcher.Options))
		}
	}
	if field := l.Options.ReduceOptions.Fields; field != "" && !names[strings.Trim(field, "/^$")] {
		wrong = append(wrong, fmt.Sprintf("it shows %q, which is no column", field))
	}
	if label := strings.TrimSuffix(strings.TrimPrefix(l.FieldConfig.Defaults.DisplayName, "${__field.labels."), "}"); label != "" && !names[label] {
		wrong = append(wrong, fmt.Sprintf("it names its series by %q, which is no column", label))
	}
	return wrong
}
