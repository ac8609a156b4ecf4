package main

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"testing"
	"testing/synctest"

	"github.com/prometheus/client_golang/prometheus"
)

// A panel that takes longer than a shutdown waits is cut off, and that is no error.
func TestShutdownDoesNotWaitForAPanel(t *testing.T) {
	t.Parallel()
	began, ended := make(chan struct{}), make(chan struct{})
	panel := http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(began)
		<-r.Context().Done()
		close(ended)
	})
	admin, err := listenAdmin(t.Context(), "127.0.0.1:0", &readiness{}, prometheus.NewRegistry(), panel, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	served, asked := make(chan error, 1), make(chan error, 1)
	go func() { served <- admin.serve() }()
	go func() {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+admin.listener.Addr().String()+"/dashboards", nil)
		if err == nil {
			var response *http.Response
			if response, err = (&http.Transport{DisableKeepAlives: true}).RoundTrip(request); err == nil {
				err = errors.Join(errors.New("the panel was answered"), response.Body.Close())
			}
		}
		asked <- err
	}()
	<-began
	if err := admin.shutdown(context.Background()); err != nil {
		t.Error(err)
	}
	<-ended
	if err := <-asked; err == nil || err.Error() == "the panel was answered" {
		t.Errorf("the panel was not cut off: %v", err)
	}
	if err := <-served; err != nil {
		t.Error(err)
	}
}

// A part that was removed is no longer asked, so that what it asks can be closed.
func TestRemovedPartIsNotAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r readiness
		answer, removed := make(chan struct{}), false
		r.add(part{Name: "stays", check: func(context.Context) error { return nil }})
		r.add(part{Name: "goes", check: func(context.Context) error {
			if removed {
				t.Error("a part is asked after it was removed")
			}
			<-answer
			return nil
		}})
		go r.check(t.Context(), false)
		synctest.Wait()
		go func() {
			r.remove("goes")
			removed = true
		}()
		synctest.Wait()
		if removed {
			t.Error("a part was removed while it was asked")
		}
		close(answer)
		synctest.Wait()
		if !removed {
			t.Error("the part was not removed")
		}
		if _, states := r.check(t.Context(), false); len(states) != 1 || states[0].Name != "stays" {
			t.Errorf("the parts are %v", states)
		}
	})
}
