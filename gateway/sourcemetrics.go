package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/streamgate/streamgate/gateway/source"
)

// sourceMetrics tell how the sources are doing. They are here and not with the sources, which know nothing of Prometheus.
type sourceMetrics struct {
	events          *prometheus.CounterVec // source
	errors          *prometheus.CounterVec // source
	transformErrors *prometheus.CounterVec // source
	seenItems       *prometheus.GaugeVec   // source
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
		seenItems: make.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "streamgate", Name: "source_seen_items",
			Help: "Items whose state a source keeps, on the replica that runs it.",
		}, []string{"source"}),
	}
}

// of returns the hooks of one source.
func (m *sourceMetrics) of(name string) source.Hooks {
	events, failures, untransformed := m.events.WithLabelValues(name), m.errors.WithLabelValues(name), m.transformErrors.WithLabelValues(name)
	seen := m.seenItems.WithLabelValues(name)
	return source.Hooks{
		Published:      func(n int) { events.Add(float64(n)) },
		Failed:         failures.Inc,
		NotTransformed: untransformed.Inc,
		SeenItems:      func(n int64) { seen.Set(float64(n)) },
	}
}
