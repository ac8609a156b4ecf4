package dashboards

import (
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"
)

// dist is what "make web" builds of the directory web. A program that was built
// without it says so.
//
//go:embed web/dist
var dist embed.FS

// A Server serves the dashboards as pages: it runs the queries of their panels,
// which a page draws. It answers GET alone, and runs no SQL but that of the
// files: a browser names a dashboard, a panel, a time range and the values of
// variables.
type Server struct {
	dashboards []*Dashboard
	warehouse  func() (Warehouse, error)
	host       string
	runner     *runner
	mux        *http.ServeMux
}

var _ http.Handler = (*Server)(nil)

// NewServer returns a server of the path /dashboards. It asks for the warehouse
// with each query; an error says to a person why there is none. Host is the host
// of the address that it listens at, and may be empty.
func NewServer(all []*Dashboard, warehouse func() (Warehouse, error), host string) *Server {
	s := &Server{dashboards: all, warehouse: warehouse, host: host, runner: newRunner(), mux: http.NewServeMux()}
	s.mux.HandleFunc("GET /dashboards", s.page)
	s.mux.HandleFunc("GET /dashboards/{uid}", s.page)
	s.mux.HandleFunc("GET /dashboards/assets/{name}", s.asset)
	s.mux.HandleFunc("GET /dashboards/api/dashboards", s.api(s.list))
	s.mux.HandleFunc("GET /dashboards/api/dashboards/{uid}", s.api(s.dashboard))
	s.mux.HandleFunc("GET /dashboards/api/dashboards/{uid}/panels/{id}", s.api(s.panel))
	s.mux.HandleFunc("GET /dashboards/api/dashboards/{uid}/variables/{name}", s.api(s.options))
	s.mux.HandleFunc("GET /dashboards/api/dashboards/{uid}/annotations", s.api(s.annotations))
	return s
}

// ServeHTTP guards every answer with headers, and refuses hosts that another
// site could have made up.
func (s *Server) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy",
		"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Resource-Policy", "same-origin")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Cache-Control", "no-store")
	if !s.knows(req.Host) {
		writeProblem(w, &problem{http.StatusMisdirectedRequest, "unknown_host", "Open the dashboards by an IP address, as localhost, or by the host of admin.address: other names can be another site's."})
		return
	}
	if site := req.Header.Get("Sec-Fetch-Site"); strings.HasPrefix(req.URL.Path, "/dashboards/api/") && site != "" && site != "same-origin" && site != "none" {
		writeProblem(w, &problem{http.StatusForbidden, "cross_site", "Another site asked for this."})
		return
	}
	s.mux.ServeHTTP(w, req)
}

// knows tells whether a Host header can be trusted. A site that points its own
// name at this machine (DNS rebinding) sends that name, and not an address.
func (s *Server) knows(host string) bool {
	name := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		name = h
	}
	name = strings.ToLower(strings.TrimSuffix(strings.Trim(name, "[]"), "."))
	_, err := netip.ParseAddr(name)
	return err == nil || name == "localhost" || strings.HasSuffix(name, ".localhost") || s.host != "" && name == strings.ToLower(s.host)
}

// page serves the one page of all dashboards.
func (s *Server) page(w http.ResponseWriter, req *http.Request) {
	if uid := req.PathValue("uid"); uid != "" && s.find(uid) == nil {
		http.NotFound(w, req)
		return
	}
	s.serveFile(w, "index.html")
}

func (s *Server) asset(w http.ResponseWriter, req *http.Request) {
	s.serveFile(w, req.PathValue("name"))
}

func (s *Server) serveFile(w http.ResponseWriter, name string) {
	data, err := dist.ReadFile(path.Join("web/dist", name))
	switch {
	case errors.Is(err, fs.ErrNotExist) && name == "index.html":
		writeProblem(w, &problem{http.StatusNotFound, "not_built", "This program was built without the page. Build it with: make build"})
		return
	case err != nil:
		writeProblem(w, &problem{http.StatusNotFound, "not_found", "There is no such file."})
		return
	}
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Content-Length", strconv.Itoa(len(data)))
	_, _ = w.Write(data) //nolint:gosec // It is a file of the program. A browser that has gone does not want the rest.
}

// api returns a handler that answers with what f returns, as JSON.
func (s *Server) api(f func(req *http.Request) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, req *http.Request) {
		ctx, cancel := context.WithTimeout(req.Context(), maxAnswerTime)
		defer cancel()
		body, err := f(req.WithContext(ctx))
		if err != nil {
			p, ok := errors.AsType[*problem](err)
			if !ok {
				p = &problem{http.StatusBadRequest, "bad_request", err.Error()}
			}
			writeProblem(w, p)
			return
		}
		writeJSON(w, http.StatusOK, body)
	}
}

func writeProblem(w http.ResponseWriter, p *problem) { writeJSON(w, p.status, p) }

func writeJSON(w http.ResponseWriter, status int, body any) {
	data, err := json.Marshal(body)
	if err != nil {
		status, data = http.StatusInternalServerError, []byte(`{"error":"internal","message":"The answer could not be written."}`)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(data) // A browser that has gone does not want the rest.
}

func (s *Server) find(uid string) *Dashboard {
	for _, d := range s.dashboards {
		if d.UID == uid {
			return d
		}
	}
	return nil
}

// named returns the dashboard that the path names.
func (s *Server) named(req *http.Request) (*Dashboard, error) {
	if d := s.find(req.PathValue("uid")); d != nil {
		return d, nil
	}
	return nil, &problem{http.StatusNotFound, "not_found", "There is no such dashboard."}
}

// list answers with all dashboards, and why there is no data if there is none.
func (s *Server) list(*http.Request) (any, error) {
	type entry struct {
		UID         string   `json:"uid"`
		Title       string   `json:"title"`
		Description string   `json:"description"`
		Tags        []string `json:"tags"`
	}
	answer := struct {
		Dashboards []entry `json:"dashboards"`
		Problem    string  `json:"problem,omitempty"`
	}{}
	for _, d := range s.dashboards {
		answer.Dashboards = append(answer.Dashboards, entry{d.UID, d.Title, d.Description, d.Tags})
	}
	if _, err := s.warehouse(); err != nil {
		answer.Problem = err.Error()
	}
	return answer, nil
}

// dashboard answers with the file.
func (s *Server) dashboard(req *http.Request) (any, error) {
	d, err := s.named(req)
	if err != nil {
		return nil, err
	}
	return d.File, nil
}

// panel answers with the results of a panel's queries.
func (s *Server) panel(req *http.Request) (any, error) {
	d, err := s.named(req)
	if err != nil {
		return nil, err
	}
	id, err := strconv.Atoi(req.PathValue("id"))
	p, ok := d.Panel(id)
	if err != nil || !ok {
		return nil, &problem{http.StatusNotFound, "not_found", "There is no such panel."}
	}
	r, values, err := parameters(req)
	if err != nil {
		return nil, err
	}
	points, err := strconv.Atoi(req.FormValue("points"))
	if err != nil || points < 1 {
		return nil, errors.New("points must be a number of at least 1")
	}
	r.Interval = p.Interval(r.From, r.To, min(points, 5000))
	answer := struct {
		Frames     []*frame `json:"frames"`
		IntervalMS int64    `json:"interval_ms"`
		ElapsedMS  int64    `json:"elapsed_ms"`
	}{Frames: []*frame{}, IntervalMS: r.Interval.Milliseconds()}
	began := time.Now()
	for _, t := range p.Targets {
		if t.SQL == "" {
			return nil, &problem{http.StatusNotImplemented, "needs_prometheus", "This panel reads Prometheus, which is not at hand here. The numbers themselves are at /metrics."}
		}
		f, err := s.query(req.Context(), d, t.SQL, r, values, maxRows)
		if err != nil {
			return nil, err
		}
		f.RefID, f.TimeSeries = t.RefID, t.TimeSeries
		answer.Frames = append(answer.Frames, f)
	}
	answer.ElapsedMS = time.Since(began).Milliseconds()
	return answer, nil
}

// options answers with what a query variable can be.
func (s *Server) options(req *http.Request) (any, error) {
	d, err := s.named(req)
	if err != nil {
		return nil, err
	}
	v := d.variable(req.PathValue("name"))
	if v == nil || v.Type != QueryVariable {
		return nil, &problem{http.StatusNotFound, "not_found", "There is no such variable."}
	}
	r, values, err := parameters(req)
	if err != nil {
		return nil, err
	}
	options, truncated, err := s.optionsOf(req.Context(), d, v, r, values)
	if err != nil {
		return nil, err
	}
	return map[string]any{"options": options, "truncated": truncated}, nil
}

// annotations answers with the moments that a dashboard marks.
func (s *Server) annotations(req *http.Request) (any, error) {
	d, err := s.named(req)
	if err != nil {
		return nil, err
	}
	r, values, err := parameters(req)
	if err != nil {
		return nil, err
	}
	r.Interval = (&Panel{}).Interval(r.From, r.To, 1000)
	frames := []*frame{}
	for _, a := range d.Annotations {
		f, err := s.query(req.Context(), d, a.SQL, r, values, maxAnnotations)
		if err != nil {
			return nil, err
		}
		f.RefID = a.Name
		frames = append(frames, f)
	}
	return map[string]any{"frames": frames}, nil
}

// query expands and runs a query of a dashboard.
func (s *Server) query(ctx context.Context, d *Dashboard, sql string, r Range, values Values, most int) (*frame, error) {
	w, err := s.warehouse()
	if err != nil {
		return nil, &problem{http.StatusServiceUnavailable, "no_warehouse", err.Error()}
	}
	expanded, err := d.Expand(sql, r, values)
	for tries := 0; err != nil && tries < len(d.Variables); tries++ {
		needs, ok := errors.AsType[*NeedsOptionsError](err)
		if !ok {
			break
		}
		options, _, optionsErr := s.optionsOf(ctx, d, d.variable(needs.Variable), r, values)
		if optionsErr != nil {
			return nil, optionsErr
		}
		all := All()
		for _, o := range options {
			all.Texts = append(all.Texts, o.Value)
		}
		if len(options) == 0 {
			all.Texts = []string{""} // No option matches nothing.
		}
		values[needs.Variable] = all
		expanded, err = d.Expand(sql, r, values)
	}
	if err != nil {
		return nil, err
	}
	return s.runner.run(ctx, w, expanded, most)
}

// optionsOf runs the query of a variable. Its first column has the values, a
// second one what to call them.
func (s *Server) optionsOf(ctx context.Context, d *Dashboard, v *Variable, r Range, values Values) ([]Option, bool, error) {
	others := Values{}
	for name, value := range values {
		if name != v.Name { // Its own value does not decide what it can be.
			others[name] = value
		}
	}
	f, err := s.query(ctx, d, v.SQL, r, others, maxOptions)
	if err != nil {
		return nil, false, err
	}
	return v.options(f), f.Truncated, nil
}

// parameters reads the time range and the variables' values, which a URL names
// as Grafana does: from, to and var-NAME.
func parameters(req *http.Request) (Range, Values, error) {
	var r Range
	if err := req.ParseForm(); err != nil {
		return r, nil, errors.New("the query of the URL cannot be read")
	}
	for _, end := range []struct {
		name string
		time *time.Time
	}{{"from", &r.From}, {"to", &r.To}} {
		ms, err := strconv.ParseInt(req.Form.Get(end.name), 10, 64)
		*end.time = time.UnixMilli(ms).UTC()
		if year := end.time.Year(); err != nil || year < 1970 || year > 2200 {
			return r, nil, fmt.Errorf("%s must be a time in milliseconds since 1970", end.name)
		}
	}
	values := Values{}
	for key, texts := range req.Form {
		name, ok := strings.CutPrefix(key, "var-")
		switch {
		case !ok:
		case slices.Equal(texts, []string{allText}):
			values[name] = All()
		default:
			values[name] = Pick(texts...)
		}
	}
	return r, values, nil
}
