package answers_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"loyaltyhouse/dashboards"
)

// A promise is what a panel's title and description say, computed from the events
// in memory.
type promise func(*programme, choice) answer

// options are what a variable offers.
type options func(*programme, choice) []string

// A board is what one dashboard promises: panels by title, the variables that ask
// the warehouse, and annotations.
type board struct {
	panels      map[string]promise
	variables   map[string]options
	annotations map[string]promise
}

var boards = map[string]board{
	"points-by-scene":       pointsByScene,
	"store-credits":         storeCredits,
	"gift-cards":            giftCards,
	"customers-and-consent": customersAndConsent,
	"customer-ledger":       customerLedger,
	"trust":                 trust,
}

func TestEveryPanelSaysWhatItPromises(t *testing.T) {
	all, err := dashboards.Load()
	if err != nil {
		t.Fatal(err)
	}
	known := map[string]bool{}
	for _, d := range all {
		if readsPrometheus(d) {
			continue
		}
		known[d.UID] = true
		t.Run(d.UID, func(t *testing.T) {
			b, ok := boards[d.UID]
			if !ok {
				t.Fatal("nothing is known of what this dashboard promises")
			}
			for _, complaint := range b.check(t, d) {
				t.Error(complaint)
			}
		})
	}
	for uid := range boards {
		if !known[uid] {
			t.Errorf("there is no dashboard %s", uid)
		}
	}
}

// readsPrometheus tells a dashboard that is checked in the package above. It has
// panels of nothing else.
func readsPrometheus(d *dashboards.Dashboard) bool {
	return !slices.ContainsFunc(d.Panels, func(p *dashboards.Panel) bool {
		return len(p.Targets) == 0 || slices.ContainsFunc(p.Targets, func(t dashboards.Target) bool { return t.Expr == "" })
	})
}

// check asks a dashboard everything, and returns what is wrong.
func (b board) check(t *testing.T, d *dashboards.Dashboard) (wrong []string) {
	t.Helper()
	wrong = append(wrong, b.unpromised(d)...)
	looks, err := looks(d)
	if err != nil {
		t.Fatal(err)
	}
	page := newPage(d)
	for i, c := range b.choices(d) {
		complain := func(of string, about []string) {
			for _, a := range about {
				wrong = append(wrong, fmt.Sprintf("%s, %s: %s", of, c.name, a))
			}
		}
		for _, panel := range d.Panels {
			if promise, ok := b.panels[panel.Title]; ok {
				complain(panel.Title, page.checkPanel(t, panel, looks[panel.ID], promise, c, i == 0))
			}
		}
		for name, offered := range b.variables {
			complain("the variable "+name, page.checkVariable(t, name, offered(played, c), c))
		}
		for name, promise := range b.annotations {
			complain("the annotation "+name, page.checkAnnotation(t, name, promise, c, i == 0))
		}
	}
	return wrong
}

// checkPanel compares what a panel says with its promise. As the dashboard opens,
// no panel may be empty.
func (p page) checkPanel(t *testing.T, panel *dashboards.Panel, l *look, promise promise, c choice, opens bool) []string {
	t.Helper()
	var got struct {
		Frames []*frame `json:"frames"`
	}
	if err := p.get(t.Context(), "/panels/"+strconv.Itoa(panel.ID), c.query(p.dashboard), &got); err != nil {
		return []string{err.Error()}
	}
	if len(got.Frames) != 1 {
		return []string{fmt.Sprintf("it asks for %d things, and one is promised", len(got.Frames))}
	}
	want, f := promise(played, c), got.Frames[0]
	wrong := want.differences(f)
	if f.TimeSeries != (panel.Type == "timeseries") {
		wrong = append(wrong, "its query is not of the type that the panel draws")
	}
	if opens && want.empty() {
		wrong = append(wrong, "the programme has nothing for it to show")
	}
	if len(f.Columns) == len(want.columns) {
		wrong = append(wrong, l.misfits(want, f)...)
	}
	return wrong
}

func (p page) checkVariable(t *testing.T, name string, want []string, c choice) []string {
	t.Helper()
	var got struct {
		Options []dashboards.Option `json:"options"`
	}
	if err := p.get(t.Context(), "/variables/"+name, c.query(p.dashboard), &got); err != nil {
		return []string{err.Error()}
	}
	var values []string
	for _, o := range got.Options {
		values = append(values, o.Value)
	}
	if !slices.Equal(values, want) {
		return []string{fmt.Sprintf("it offers %v, want %v", values, want)}
	}
	return nil
}

func (p page) checkAnnotation(t *testing.T, name string, promise promise, c choice, opens bool) []string {
	t.Helper()
	var got struct {
		Frames []*frame `json:"frames"`
	}
	if err := p.get(t.Context(), "/annotations", c.query(p.dashboard), &got); err != nil {
		return []string{err.Error()}
	}
	i := slices.IndexFunc(got.Frames, func(f *frame) bool { return f.RefID == name })
	if i < 0 {
		return []string{"it is not there"}
	}
	want := promise(played, c)
	wrong := want.differences(got.Frames[i])
	if opens && want.empty() {
		wrong = append(wrong, "the programme has nothing for it to mark")
	}
	return wrong
}

// unpromised are panels, variables and annotations of which nothing is promised,
// and promises of what is not there.
func (b board) unpromised(d *dashboards.Dashboard) (wrong []string) {
	var panels, variables, annotations []string
	for _, p := range d.Panels {
		if p.Type != "text" {
			panels = append(panels, p.Title)
		}
	}
	for _, v := range d.Variables {
		if v.Type == dashboards.QueryVariable {
			variables = append(variables, v.Name)
		}
	}
	for _, a := range d.Annotations {
		annotations = append(annotations, a.Name)
	}
	compare := func(kind string, there, promised []string) {
		for _, name := range there {
			if !slices.Contains(promised, name) {
				wrong = append(wrong, fmt.Sprintf("nothing is known of what the %s %q promises", kind, name))
			}
		}
		for _, name := range promised {
			if !slices.Contains(there, name) {
				wrong = append(wrong, fmt.Sprintf("there is no %s %q", kind, name))
			}
		}
	}
	compare("panel", panels, slices.Collect(maps.Keys(b.panels)))
	compare("variable", variables, slices.Collect(maps.Keys(b.variables)))
	compare("annotation", annotations, slices.Collect(maps.Keys(b.annotations)))
	return wrong
}

// empty tells that the answer would show nothing.
func (a answer) empty() bool {
	for _, row := range a.rows {
		for i, cell := range row {
			// A name or a time alone is nothing to look at.
			if a.columns[i].column == "number" && cell != nil && cell != int64(0) {
				return false
			}
		}
	}
	numbers := slices.ContainsFunc(a.columns, func(c column) bool { return c.column == "number" })
	return numbers || len(a.rows) == 0
}

// choices are what is asked of a dashboard: as it opens, and then each variable
// that it has.
func (b board) choices(d *dashboards.Dashboard) []choice {
	opens := choice{name: "as it opens", from: since(d.From), to: played.now}
	has := func(variable string) bool {
		return slices.ContainsFunc(d.Variables, func(v *dashboards.Variable) bool { return v.Name == variable })
	}
	if has("customer") {
		opens.customer = played.everything()
	}
	all := []choice{opens}
	with := func(name string, change func(*choice)) {
		c := opens
		c.name = name
		change(&c)
		all = append(all, c)
	}
	shops := played.shops()
	with("one shop", func(c *choice) { c.shops = shops[:1] })
	for name, offered := range b.variables {
		if scenes := offered(played, opens); name != "shop" {
			with("one "+name, func(c *choice) { c.scenes = scenes[:1] })
			with("two shops and two "+name+"s", func(c *choice) { c.shops, c.scenes = shops[1:3], scenes[len(scenes)-2:] })
		}
	}
	if has("tz") {
		with("days in Kolkata", func(c *choice) { c.zone, c.interval = "Asia/Kolkata", "day" })
		with("weeks in New York, more than a year", func(c *choice) { c.zone, c.from = "America/New_York", played.now.Add(-420*day) })
		with("months in Berlin, half a year before this month", func(c *choice) {
			c.zone, c.interval = "Europe/Berlin", "month"
			c.from, c.to = played.now.Add(-210*day), played.now.Add(-30*day)
		})
		with("hours in Kolkata, two days", func(c *choice) { c.zone, c.from = "Asia/Kolkata", played.now.Add(-2*day) })
	}
	if has("customer") {
		with("a month", func(c *choice) { c.from, c.to = played.now.Add(-150*day), played.now.Add(-120*day) })
		with("nobody", func(c *choice) { c.customer = "0" })
	}
	return all
}

// since reads the beginning of a time range in Grafana's words, such as now-30d.
func since(from string) time.Time {
	ago, ok := strings.CutPrefix(from, "now-")
	n, err := strconv.Atoi(strings.TrimRight(ago, "hdwMy"))
	if !ok || err != nil {
		panic("nothing is known of the time " + from)
	}
	switch ago[len(ago)-1] {
	case 'h':
		return played.now.Add(-time.Duration(n) * time.Hour)
	case 'd':
		return played.now.AddDate(0, 0, -n)
	case 'w':
		return played.now.AddDate(0, 0, -7*n)
	case 'M':
		return played.now.AddDate(0, -n, 0)
	default:
		return played.now.AddDate(-n, 0, 0)
	}
}
