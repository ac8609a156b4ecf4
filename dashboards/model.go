package dashboards

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"
)

// The types of data sources that the dashboards read.
const (
	clickHouseType = "grafana-clickhouse-datasource"
	prometheusType = "prometheus"
)

// A Dashboard is what is used of a file of Grafana's dashboard model.
type Dashboard struct {
	UID         string
	Title       string
	Description string
	Tags        []string
	// From and To are the time range to begin with, in Grafana's words such as
	// now-30d.
	From, To string
	// Panels are all panels, those in rows too, without the rows.
	Panels      []*Panel
	Variables   []*Variable
	Annotations []*Annotation
	// File is the whole file, for who draws it.
	File json.RawMessage
}

// A Panel is one picture of a dashboard.
type Panel struct {
	ID          int
	Type        string
	Title       string
	Description string
	// MinInterval is the shortest interval of a time series; 0 where the panel
	// sets none.
	MinInterval time.Duration
	// MaxDataPoints is how many points a series may have; 0 leaves it to who
	// draws it.
	MaxDataPoints int
	Targets       []Target
}

// A Target is one query of a panel.
type Target struct {
	RefID string
	// SQL is the query of a target that reads ClickHouse, with its macros and
	// variables. It is empty for other data sources.
	SQL string
	// TimeSeries tells that the rows are time series in Grafana's long form: a
	// time, names, and numbers.
	TimeSeries bool
	// Expr is the query of a target that reads Prometheus.
	Expr string
}

// An Annotation marks moments in all time series of a dashboard.
type Annotation struct {
	Name string
	SQL  string
}

// The forms of the file. Grafana adds keys with every version, so that unknown
// ones are left alone.
type (
	dashboardJSON struct {
		UID         string      `json:"uid"`
		Title       string      `json:"title"`
		Description string      `json:"description"`
		Tags        []string    `json:"tags"`
		Panels      []panelJSON `json:"panels"`
		Time        struct {
			From string `json:"from"`
			To   string `json:"to"`
		} `json:"time"`
		Templating struct {
			List []variableJSON `json:"list"`
		} `json:"templating"`
		Annotations struct {
			List []annotationJSON `json:"list"`
		} `json:"annotations"`
	}
	sourceJSON struct {
		Type string `json:"type"`
	}
	panelJSON struct {
		ID            int          `json:"id"`
		Type          string       `json:"type"`
		Title         string       `json:"title"`
		Description   string       `json:"description"`
		Interval      string       `json:"interval"`
		MaxDataPoints float64      `json:"maxDataPoints"`
		Datasource    sourceJSON   `json:"datasource"`
		Targets       []targetJSON `json:"targets"`
		Panels        []panelJSON  `json:"panels"`
	}
	targetJSON struct {
		RefID      string     `json:"refId"`
		Datasource sourceJSON `json:"datasource"`
		RawSQL     string     `json:"rawSql"`
		QueryType  string     `json:"queryType"`
		Format     float64    `json:"format"`
		Expr       string     `json:"expr"`
		Hide       bool       `json:"hide"`
	}
	annotationJSON struct {
		Name       string     `json:"name"`
		Enable     bool       `json:"enable"`
		Datasource sourceJSON `json:"datasource"`
		Target     targetJSON `json:"target"`
		RawQuery   string     `json:"rawQuery"`
	}
)

// frontPage is the dashboard that comes first.
const frontPage = "points-by-scene"

// Load returns the embedded dashboards, the front page first and then by title.
func Load() ([]*Dashboard, error) {
	names, err := fs.Glob(Files, "*.json")
	if err != nil {
		return nil, fmt.Errorf("dashboards: %w", err)
	}
	var all []*Dashboard
	for _, name := range names {
		data, err := Files.ReadFile(name)
		if err != nil {
			return nil, fmt.Errorf("dashboards: %w", err)
		}
		d, err := Parse(data)
		if err != nil {
			return nil, fmt.Errorf("dashboards: %s: %w", name, err)
		}
		if d.UID+".json" != name {
			return nil, fmt.Errorf("dashboards: %s: its uid is %q; the file must be named after it", name, d.UID)
		}
		all = append(all, d)
	}
	slices.SortFunc(all, func(a, b *Dashboard) int {
		switch {
		case a.UID == frontPage:
			return -1
		case b.UID == frontPage:
			return 1
		}
		return strings.Compare(a.Title, b.Title)
	})
	return all, nil
}

// Parse reads one file.
func Parse(file []byte) (*Dashboard, error) {
	var in dashboardJSON
	if err := json.Unmarshal(file, &in); err != nil {
		return nil, err
	}
	d := &Dashboard{
		UID: in.UID, Title: in.Title, Description: in.Description, Tags: in.Tags,
		From: in.Time.From, To: in.Time.To, File: slices.Clone(file),
	}
	if d.UID == "" || d.Title == "" {
		return nil, errors.New("a dashboard needs a uid and a title")
	}
	for i := range in.Templating.List {
		v, err := in.Templating.List[i].variable()
		if err != nil {
			return nil, err
		}
		if d.variable(v.Name) != nil {
			return nil, fmt.Errorf("two variables are named %s", v.Name)
		}
		d.Variables = append(d.Variables, v)
	}
	if err := d.addPanels(in.Panels); err != nil {
		return nil, err
	}
	for _, a := range in.Annotations.List {
		if sql := a.Target.sql(a.Datasource); a.Enable && sql != "" {
			d.Annotations = append(d.Annotations, &Annotation{Name: a.Name, SQL: sql})
		}
	}
	return d, nil
}

// addPanels adds panels, and those that a collapsed row holds.
func (d *Dashboard) addPanels(panels []panelJSON) error {
	for i := range panels {
		in := &panels[i]
		if in.Type == "row" {
			if err := d.addPanels(in.Panels); err != nil {
				return err
			}
			continue
		}
		if in.Type == "" {
			return fmt.Errorf("panel %d %q has no type", in.ID, in.Title)
		}
		if _, taken := d.Panel(in.ID); taken || in.ID <= 0 {
			return fmt.Errorf("panel %q needs an id of its own, has %d", in.Title, in.ID)
		}
		p := &Panel{ID: in.ID, Type: in.Type, Title: in.Title, Description: in.Description, MaxDataPoints: int(in.MaxDataPoints)}
		if in.Interval != "" {
			var err error
			if p.MinInterval, err = parseInterval(in.Interval); err != nil {
				return fmt.Errorf("panel %d %q: %w", in.ID, in.Title, err)
			}
		}
		for j := range in.Targets {
			t := &in.Targets[j]
			if t.Hide {
				continue
			}
			p.Targets = append(p.Targets, Target{
				RefID: t.RefID, SQL: t.sql(in.Datasource), Expr: t.Expr, TimeSeries: t.QueryType == "timeseries",
			})
		}
		d.Panels = append(d.Panels, p)
	}
	return nil
}

// sql returns the query where it is for ClickHouse; a target without a data
// source has the one of the panel.
func (t *targetJSON) sql(panel sourceJSON) string {
	source := t.Datasource.Type
	if source == "" {
		source = panel.Type
	}
	if source != clickHouseType {
		return ""
	}
	return t.RawSQL
}

// Panel returns the panel with this id.
func (d *Dashboard) Panel(id int) (*Panel, bool) {
	for _, p := range d.Panels {
		if p.ID == id {
			return p, true
		}
	}
	return nil, false
}

// variable returns the variable of this name, or nil.
func (d *Dashboard) variable(name string) *Variable {
	for _, v := range d.Variables {
		if v.Name == name {
			return v
		}
	}
	return nil
}
