package stream

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics tell how full the streams are, and how far behind their subscriptions.
type Metrics struct {
	length    *prometheus.GaugeVec   // stream
	full      *prometheus.GaugeVec   // stream
	retained  *prometheus.GaugeVec   // stream, group: at most one group of a stream
	lag       *prometheus.GaugeVec   // subscription
	pending   *prometheus.GaugeVec   // subscription
	oldest    *prometheus.GaugeVec   // subscription
	Trimmed   *prometheus.CounterVec // subscription
	Forgotten *prometheus.CounterVec // subscription
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	make := promauto.With(registry)
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		return make.NewGaugeVec(prometheus.GaugeOpts{Namespace: "streamgate", Name: name, Help: help}, labels)
	}
	counter := func(name, help string) *prometheus.CounterVec {
		return make.NewCounterVec(prometheus.CounterOpts{Namespace: "streamgate", Name: name, Help: help},
			[]string{"subscription"})
	}
	return &Metrics{
		length: gauge("stream_length", "Entries in the stream.", "stream"),
		full: gauge("stream_full",
			"Whether events are refused because the stream holds retention.hardLength entries.", "stream"),
		retained: gauge("retention_held_back",
			"Entries beyond the limits of retention that stay because this group has not acknowledged them.", "stream", "group"),
		lag: gauge("subscription_lag", "Entries of the stream that have not been delivered to the subscription yet.",
			"subscription"),
		pending: gauge("subscription_pending", "Entries that were delivered to a replica and are not acknowledged yet.",
			"subscription"),
		oldest: gauge("subscription_oldest_seconds", "Age of the oldest entry that is not acknowledged.", "subscription"),
		Trimmed: counter("entries_trimmed_unseen_total",
			"Entries removed from the stream before they were acknowledged."),
		Forgotten: counter("entries_forgotten_total",
			"Entries that retention removed before a subscription with forget acknowledged them."),
	}
}

// Begin makes the series of a subscription, with 0: increase() does not see the first occurrence of a counter that
// begins with it. The gauges come with their first value, because 0 would be one.
func (m *Metrics) Begin(subscription string) {
	m.Trimmed.WithLabelValues(subscription)
	m.Forgotten.WithLabelValues(subscription)
}

// Drop removes the series of a subscription that is gone: names come and go, and must not stay for ever.
func (m *Metrics) Drop(subscription string) {
	labels := prometheus.Labels{"subscription": subscription}
	for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
		m.lag, m.pending, m.oldest, m.Trimmed, m.Forgotten,
	} {
		vec.DeletePartialMatch(labels)
	}
}

// ExposeDuplicates registers what the senders count themselves.
func ExposeDuplicates(registry prometheus.Registerer, p *Publisher) {
	for name, out := range p.streams {
		promauto.With(registry).NewCounterFunc(prometheus.CounterOpts{
			Namespace: "streamgate", Name: "events_duplicate_total", ConstLabels: prometheus.Labels{"stream": name},
			Help: "Accepted events that were in the stream already and were not stored again (dedupWindow).",
		}, func() float64 { return float64(out.Duplicates()) })
	}
}
