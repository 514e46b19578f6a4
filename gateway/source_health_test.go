package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stac"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/internal/stacsample"
)

// gauge returns the value of the only series of a metric; it fails the test if there is none.
func gaugeOf(t *testing.T, registry prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() == name && len(family.GetMetric()) == 1 {
			return family.GetMetric()[0].GetGauge().GetValue() + family.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("there is no series %s", name)
	return 0
}

// TestHealthOfSources: what fails, succeeds and is due is told by the API and the metrics, with the state, and outlives
// the replica.
func TestHealthOfSources(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	next := make(chan func(ctx context.Context, m *source.Monitor))
	config := withSource(oneStream(stream), func(ctx context.Context, env source.Env) error {
		for {
			select {
			case do := <-next:
				do(ctx, env.Monitor)
				next <- nil
			case <-ctx.Done():
				return nil
			}
		}
	})
	g := start(t, client, config)
	do := func(f func(ctx context.Context, m *source.Monitor)) {
		next <- f
		<-next
	}
	status := func() source.Status {
		t.Helper()
		list, err := g.Sources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list[0]
	}
	redistest.Eventually(t, "it starts", func() bool { return status().State == source.StateStarting })
	for _, name := range []string{"failures_total", "last_success_timestamp_seconds"} {
		if v := gaugeOf(t, g.registry, "streamgate_source_"+name); v != 0 {
			t.Errorf("%s begins with %v", name, v)
		}
	}
	do(func(ctx context.Context, m *source.Monitor) {
		for n := range 12 {
			m.Failed(ctx, fmt.Errorf("broken %d %s", n, strings.Repeat("ü", 1000)), time.Time{})
		}
	})
	s := status()
	if s.State != source.StateFailing || !strings.HasPrefix(s.Health.LastError, "broken 0 ü") || len(s.Health.LastError) > 510 {
		t.Errorf("%+v", s)
	}
	redistest.Eventually(t, "it is overdue", func() bool { return gaugeOf(t, g.registry, "streamgate_source_staleness_seconds") > 0 })
	due := time.Now().Add(time.Hour)
	do(func(ctx context.Context, m *source.Monitor) { m.Succeeded(ctx, 7, due) })
	s = status()
	h := s.Health
	if s.State != source.StateRunning || h.Items != 7 || h.Failures != 0 || h.TotalFailures != 12 || h.LastErrorAt.IsZero() ||
		h.Next.Unix() != due.Unix() || time.Since(h.LastSuccess) > time.Minute || s.StaleSeconds != 0 {
		t.Errorf("%+v", s)
	}
	if n := gaugeOf(t, g.registry, "streamgate_source_failures_total"); n != 12 {
		t.Errorf("%v failures counted, want 12", n)
	}
	if at := gaugeOf(t, g.registry, "streamgate_source_last_success_timestamp_seconds"); time.Since(time.Unix(int64(at), 0)) > time.Minute {
		t.Errorf("last success at %v", at)
	}
	do(func(ctx context.Context, m *source.Monitor) { m.Failed(ctx, errors.New("again"), due) })
	if s := status(); s.State != source.StateFailing || s.Health.LastError != "again" {
		t.Errorf("%+v", s)
	}
	g.stop()
	redistest.Eventually(t, "it has stopped", func() bool { return status().State == source.StateStopped })
	if s := status(); s.Health.TotalFailures != 13 || s.Health.LastSuccess.IsZero() {
		t.Errorf("%+v", s)
	}
}

// TestDeadAPIIsSeen: a watcher whose API is down from the beginning says why, and when it works again.
func TestDeadAPIIsSeen(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	catalogue := stacsample.New()
	catalogue.AddCollection("c", "Things")
	var works atomic.Bool
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !works.Load() {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		catalogue.ServeHTTP(w, r)
	}))
	t.Cleanup(api.Close)
	c := stac.NewConfig()
	c.URL, c.Collections, c.Interval, c.RequestsPerSecond = api.URL, []string{"c"}, setting.Duration(time.Second), 1000
	config := oneStream(stream)
	config.Sources = []source.Block{{Name: "watch", Type: "stac", Stream: stream, Config: c}}
	g := start(t, client, config)
	status := func() source.Status {
		list, err := g.Sources(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return list[0]
	}
	redistest.Eventually(t, "the failure is seen", func() bool { return status().State == source.StateFailing })
	if h := status().Health; !strings.Contains(h.LastError, "500") || !h.LastSuccess.IsZero() {
		t.Errorf("%+v", h)
	}
	works.Store(true)
	redistest.Eventually(t, "it works again", func() bool { return status().State == source.StateRunning })
	if h := status().Health; h.LastSuccess.IsZero() || h.TotalFailures == 0 || h.Next.Before(h.LastSuccess) {
		t.Errorf("%+v", h)
	}
}

// TestSeriesBeginWithZero: every counter of losses, errors and refusals has its series before the first occurrence,
// which increase() would not see otherwise.
func TestSeriesBeginWithZero(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	config := subscribed(oneStream(stream), "http://127.0.0.1:1/")
	g := start(t, client, withSource(config, func(ctx context.Context, _ source.Env) error {
		<-ctx.Done()
		return nil
	}))
	families, err := g.registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	series := map[string]int{}
	for _, family := range families {
		for _, m := range family.GetMetric() {
			if v := m.GetCounter().GetValue(); v != 0 {
				t.Errorf("%s begins with %v", family.GetName(), v)
			}
			series[strings.TrimPrefix(family.GetName(), "streamgate_")]++
		}
	}
	for name, want := range map[string]int{
		"deliveries_total": 3, "delivery_attempts_total": 3, "entries_malformed_total": 1, "entries_reclaimed_total": 1,
		"groups_recreated_total": 1, "transform_errors_total": 1, "filter_errors_total": 1, "replies_total": 2,
		"circuit_state": 1, "entries_trimmed_unseen_total": 1, "entries_forgotten_total": 1, "events_accepted_total": 1,
		"requests_mended_total": 1, "requests_refused_total": 9, "events_duplicate_total": 1, "source_events_total": 1,
		"source_errors_total": 1, "source_transform_errors_total": 1, "source_failures_total": 1,
		"source_last_success_timestamp_seconds": 1, "source_staleness_seconds": 1,
	} {
		if series[name] != want {
			t.Errorf("%s has %d series, want %d", name, series[name], want)
		}
	}
}
