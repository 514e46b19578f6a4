package gateway

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/streamgate/streamgate/gateway/source"
)

// sourceMetrics tell how the sources are doing. They are here and not with the sources, which know nothing of
// Prometheus.
type sourceMetrics struct {
	events          *prometheus.CounterVec // source
	errors          *prometheus.CounterVec // source
	transformErrors *prometheus.CounterVec // source
	failures        *prometheus.CounterVec // source
	seenItems       *prometheus.GaugeVec   // source
	lastSuccess     *prometheus.GaugeVec   // source
	stale           *staleness
}

func newSourceMetrics(registry prometheus.Registerer) *sourceMetrics {
	make := promauto.With(registry)
	counter := func(name, help string) *prometheus.CounterVec {
		return make.NewCounterVec(prometheus.CounterOpts{Namespace: "streamgate", Name: name, Help: help}, []string{"source"})
	}
	return &sourceMetrics{
		events: counter("source_events_total", "Events published by a source."),
		errors: counter("source_errors_total", "Runs of a source that failed."),
		transformErrors: counter("source_transform_errors_total",
			"Events that could not be transformed and were published unchanged."),
		failures: counter("source_failures_total",
			"Requests, reads and searches of a source that failed, and are repeated."),
		lastSuccess: make.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "streamgate", Name: "source_last_success_timestamp_seconds",
			Help: "When a source last succeeded, on the replica that runs it; 0 is never.",
		}, []string{"source"}),
		stale: newStaleness(registry),
		seenItems: make.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "streamgate", Name: "source_seen_items",
			Help: "Items whose state a source keeps, on the replica that runs it.",
		}, []string{"source"}),
	}
}

// of returns the hooks of one source.
func (m *sourceMetrics) of(name string) source.Hooks {
	events, failedRuns := m.events.WithLabelValues(name), m.errors.WithLabelValues(name)
	untransformed, failures := m.transformErrors.WithLabelValues(name), m.failures.WithLabelValues(name)
	seen, lastSuccess := m.seenItems.WithLabelValues(name), m.lastSuccess.WithLabelValues(name)
	health := m.stale.of(name)
	return source.Hooks{
		Published:      func(n int) { events.Add(float64(n)) },
		Failed:         failedRuns.Inc,
		NotTransformed: untransformed.Inc,
		SeenItems:      func(n int64) { seen.Set(float64(n)) },
		Stopped:        func() { health.Store(nil) },
		Checked: func(h source.Health, isFailure bool) {
			health.Store(&h)
			if isFailure {
				failures.Inc()
			}
			if !h.LastSuccess.IsZero() {
				lastSuccess.Set(float64(h.LastSuccess.UnixMilli()) / 1000)
			}
		},
	}
}

// staleness computes when it is asked by how much the next success of each source is overdue. Its sources are added
// before it is asked for the first time.
type staleness struct {
	desc   *prometheus.Desc
	health map[string]*atomic.Pointer[source.Health] // by source; nil while it does not run here
}

var _ prometheus.Collector = (*staleness)(nil)

func newStaleness(registry prometheus.Registerer) *staleness {
	s := &staleness{
		desc: prometheus.NewDesc("streamgate_source_staleness_seconds",
			"How long ago a source should have succeeded again, on the replica that runs it; 0 if it is not overdue.",
			[]string{"source"}, nil),
		health: map[string]*atomic.Pointer[source.Health]{},
	}
	registry.MustRegister(s)
	return s
}

func (s *staleness) of(name string) *atomic.Pointer[source.Health] {
	s.health[name] = &atomic.Pointer[source.Health]{}
	return s.health[name]
}

// Describe implements prometheus.Collector.
func (s *staleness) Describe(to chan<- *prometheus.Desc) { to <- s.desc }

// Collect implements prometheus.Collector.
func (s *staleness) Collect(to chan<- prometheus.Metric) {
	now := time.Now()
	for name, health := range s.health {
		seconds := 0.0
		if h := health.Load(); h != nil {
			seconds = h.Staleness(now).Seconds()
		}
		to <- prometheus.MustNewConstMetric(s.desc, prometheus.GaugeValue, seconds, name)
	}
}
