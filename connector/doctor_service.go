package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
)

// adminURL is where the admin port of a service on this machine answers.
func adminURL(address string) string {
	host, port, err := net.SplitHostPort(address)
	if err == nil && (host == "" || net.ParseIP(host).IsUnspecified()) {
		address = net.JoinHostPort("127.0.0.1", port)
	}
	return "http://" + address
}

// examineService asks the admin port of the running service.
func examineService(ctx context.Context, admin string) (all []finding) {
	admin = strings.TrimSuffix(admin, "/")
	status, body, err := getPage(ctx, admin+"/readyz")
	if err != nil {
		return []finding{foundf("service", broken, "nobody answers at %s: the service is down; start it with connector serve, or name its admin port with --admin", admin)}
	}
	var ready struct {
		Ready bool        `json:"ready"`
		Parts []partState `json:"parts"`
	}
	if err := json.Unmarshal(body, &ready); err != nil || len(ready.Parts) == 0 {
		return []finding{foundf("service", broken, "%s answered %d and is no connector; correct admin.address or --admin", admin, status)}
	}
	for _, p := range ready.Parts {
		if !p.Ready {
			f := foundf("service", broken, "%s: %s", p.Name, p.Message)
			if f.Advice == "" {
				f.Advice = "see the findings of that part below, and the service's log"
			}
			all = append(all, f)
		}
	}
	if ready.Ready {
		all = append(all, finef("service", "ready, at %s", admin))
	}
	_, body, err = getPage(ctx, admin+"/metrics")
	if err != nil {
		return append(all, found("service", broken, fmt.Errorf("%w; see the service's log", err))...)
	}
	told, err := examineMetrics(body)
	if err != nil {
		return append(all, foundf("service", broken, "the metrics at %s cannot be read: %w; correct admin.address or --admin", admin, err))
	}
	return append(all, told...)
}

// examineMetrics looks at what only the service itself knows.
func examineMetrics(text []byte) (all []finding, err error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bytes.NewReader(text))
	if err != nil {
		return nil, err
	}
	for _, m := range families["loyaltyhouse_build_info"].GetMetric() {
		for _, label := range m.GetLabel() {
			if label.GetName() != "version" {
				continue
			}
			f := finef("service version", "%s", label.GetValue())
			if label.GetValue() != version() {
				f.State, f.Advice = doubtful, "this program has version "+version()+": ask the doctor of the service's version, or restart the service with this one"
			}
			all = append(all, f)
		}
	}
	for _, m := range families["loyaltyhouse_config_last_reload_successful"].GetMetric() {
		if m.GetGauge().GetValue() == 1 {
			all = append(all, finef("service configuration", "the last reload was applied, or there was none"))
		} else {
			all = append(all, foundf("service configuration", broken, "the last reload was refused, and the configuration before it is in force; see why in the service's log, or with connector config check"))
		}
	}
	return all, nil
}

// getPage gets a page of the admin port. Its status may be any.
func getPage(ctx context.Context, url string) (status int, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, nil, err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer resp.Body.Close() //nolint:errcheck // The answer is read by then, and closing it loses nothing.
	body, err = io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	return resp.StatusCode, body, err
}
