package ingress

import (
	"net/http"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// metrics count what comes in over HTTP. Labels come from the configuration or from a fixed list, never from events.
type metrics struct {
	accepted *prometheus.CounterVec // stream
	mended   *prometheus.CounterVec // stream
	refused  *prometheus.CounterVec // status
	closed   *prometheus.CounterVec // reason
	open     prometheus.Gauge
}

// refusals are the statuses that requests are refused with.
func refusals() []int {
	return []int{
		http.StatusBadRequest, http.StatusForbidden, http.StatusNotFound, http.StatusMethodNotAllowed,
		http.StatusRequestEntityTooLarge, http.StatusUnsupportedMediaType, http.StatusUnprocessableEntity,
		http.StatusTooManyRequests, http.StatusServiceUnavailable,
	}
}

// newMetrics registers the metrics. Every series begins with 0: increase() does not see the first occurrence of one
// that begins with it.
func newMetrics(registry prometheus.Registerer, streams []string) *metrics {
	make := promauto.With(registry)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return make.NewCounterVec(prometheus.CounterOpts{Namespace: "streamgate", Name: name, Help: help}, labels)
	}
	m := &metrics{
		accepted: counter("events_accepted_total", "Events stored from HTTP requests.", "stream"),
		mended: counter("requests_mended_total",
			"HTTP requests with invalid events that were corrected (validation: lenient).", "stream"),
		refused: counter("requests_refused_total", "HTTP requests that were not accepted, by status.", "status"),
		closed: counter("connections_closed_total",
			"Connections for events that were closed before their request was answered, by reason.", "reason"),
		open: make.NewGauge(prometheus.GaugeOpts{
			Namespace: "streamgate", Name: "connections", Help: "Connections for events that are open.",
		}),
	}
	for _, stream := range streams {
		m.accepted.WithLabelValues(stream)
		m.mended.WithLabelValues(stream)
	}
	for _, status := range refusals() {
		m.refused.WithLabelValues(strconv.Itoa(status))
	}
	for _, reason := range []string{closedSlow, closedAddress, closedTotal, closedRefused} {
		m.closed.WithLabelValues(reason) // so that an alert sees the first one
	}
	return m
}
