package dashboards_test

import (
	"errors"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"loyaltyhouse/dashboards"
)

// handler serves the dashboards without a warehouse.
func handler(t *testing.T) http.Handler {
	t.Helper()
	all, err := dashboards.Load()
	if err != nil {
		t.Fatal(err)
	}
	return dashboards.NewServer(all, func() (dashboards.Warehouse, error) { return nil, errors.New("there is none") }, "Admin.example.com")
}

func ask(t *testing.T, method, url string, header http.Header) *httptest.ResponseRecorder {
	t.Helper()
	request := httptest.NewRequestWithContext(t.Context(), method, url, nil)
	maps.Copy(request.Header, header)
	recorder := httptest.NewRecorder()
	handler(t).ServeHTTP(recorder, request)
	return recorder
}

func TestServerKnowsHosts(t *testing.T) {
	tests := []struct {
		host string
		want int
	}{
		{"127.0.0.1:9090", http.StatusOK},
		{"127.0.0.1", http.StatusOK},
		{"[::1]:9090", http.StatusOK},
		{"[::1]", http.StatusOK},
		{"192.168.1.7:9090", http.StatusOK},
		{"localhost:9090", http.StatusOK},
		{"LOCALHOST.:9090", http.StatusOK},
		{"connector.localhost:9090", http.StatusOK},
		{"admin.example.com:9090", http.StatusOK},
		{"example.com:9090", http.StatusMisdirectedRequest},
		{"localhost.example.com", http.StatusMisdirectedRequest},
		{"127.0.0.1.example.com", http.StatusMisdirectedRequest},
		{"notlocalhost", http.StatusMisdirectedRequest},
	}
	for _, test := range tests {
		request := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/dashboards/api/dashboards", nil)
		request.Host = test.host
		recorder := httptest.NewRecorder()
		handler(t).ServeHTTP(recorder, request)
		if recorder.Code != test.want {
			t.Errorf("%s: got %d, want %d", test.host, recorder.Code, test.want)
		}
	}
}

func TestServerRefusesOtherSites(t *testing.T) {
	for site, want := range map[string]int{
		"": http.StatusOK, "same-origin": http.StatusOK, "none": http.StatusOK,
		"cross-site": http.StatusForbidden, "same-site": http.StatusForbidden,
	} {
		header := http.Header{}
		if site != "" {
			header.Set("Sec-Fetch-Site", site)
		}
		if got := ask(t, http.MethodGet, "http://localhost/dashboards/api/dashboards", header).Code; got != want {
			t.Errorf("Sec-Fetch-Site %q: got %d, want %d", site, got, want)
		}
	}
}

func TestServerOnlyReads(t *testing.T) {
	for _, method := range []string{http.MethodPost, http.MethodPut, http.MethodDelete, http.MethodPatch} {
		for _, path := range []string{"/dashboards", "/dashboards/points-by-scene", "/dashboards/api/dashboards/points-by-scene/panels/1"} {
			if got := ask(t, method, "http://localhost"+path, nil).Code; got != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: got %d", method, path, got)
			}
		}
	}
}

func TestServerGuardsEveryAnswer(t *testing.T) {
	for _, url := range []string{"http://localhost/dashboards", "http://localhost/dashboards/api/dashboards", "http://localhost/dashboards/assets/nothing.js", "http://example.com/dashboards"} {
		header := ask(t, http.MethodGet, url, nil).Header()
		policy := header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "script-src 'self'") || !strings.Contains(policy, "frame-ancestors 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: the policy is %q", url, policy)
		}
		if header.Get("X-Content-Type-Options") != "nosniff" || header.Get("Content-Type") == "" {
			t.Errorf("%s: %v", url, header)
		}
	}
}

func TestServerAnswers(t *testing.T) {
	const api, between = "/dashboards/api/dashboards", "from=1767225600000&to=1769904000000&points=500"
	tests := []struct {
		path   string
		status int
		want   string
	}{
		{api, http.StatusOK, `"uid":"points-by-scene"`},
		{api, http.StatusOK, `"problem":"there is none"`},
		{api + "/points-by-scene", http.StatusOK, `"Points by scene"`},
		{api + "/nothing", http.StatusNotFound, "no such dashboard"},
		{api + "/points-by-scene/panels/1?" + between, http.StatusServiceUnavailable, "there is none"},
		{api + "/points-by-scene/panels/9999?" + between, http.StatusNotFound, "no such panel"},
		{api + "/points-by-scene/panels/x?" + between, http.StatusNotFound, "no such panel"},
		{api + "/points-by-scene/panels/1", http.StatusBadRequest, "from must be"},
		{api + "/points-by-scene/panels/1?from=now-1d&to=now&points=9", http.StatusBadRequest, "from must be"},
		{api + "/points-by-scene/panels/1?from=1&to=99999999999999999&points=9", http.StatusBadRequest, "to must be"},
		{api + "/points-by-scene/panels/1?from=1&to=2", http.StatusBadRequest, "points"},
		{api + "/points-by-scene/panels/1?from=1&to=2&points=0", http.StatusBadRequest, "points"},
		{api + "/points-by-scene/panels/1?%zz", http.StatusBadRequest, "cannot be read"},
		{api + "/points-by-scene/variables/nothing?" + between, http.StatusNotFound, "no such variable"},
		{api + "/pipeline/panels/1?" + between, http.StatusNotImplemented, "needs_prometheus"},
		{"/dashboards/nothing", http.StatusNotFound, "not found"},
		{"/dashboards/assets/..%2findex.html", http.StatusNotFound, "no such file"},
		{"/dashboards/assets/%2e%2e%2f%2e%2e%2fpackage.json", http.StatusNotFound, "no such file"},
	}
	for _, test := range tests {
		got := ask(t, http.MethodGet, "http://localhost"+test.path, nil)
		if got.Code != test.status || !strings.Contains(got.Body.String(), test.want) {
			t.Errorf("%s: got %d %.200s, want %d with %q", test.path, got.Code, got.Body, test.status, test.want)
		}
	}
}
