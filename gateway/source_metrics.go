package gateway

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// SourceMetrics tell how the sources are doing.
type SourceMetrics struct {
	events          *prometheus.CounterVec // source
	errors          *prometheus.CounterVec // source
	transformErrors *prometheus.CounterVec // source
	seenItems       *prometheus.GaugeVec   // source
}

// NewSourceMetrics registers the metrics.
func NewSourceMetrics(registry prometheus.Registerer) *SourceMetrics {
	make := promauto.With(registry)
	counter := func(name, help string) *prometheus.CounterVec {
		return make.NewCounterVec(prometheus.CounterOpts{Namespace: "streamgate", Name: name, Help: help}, []string{"source"})
	}
	return &SourceMetrics{
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
