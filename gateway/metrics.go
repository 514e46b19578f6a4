package gateway

import "github.com/prometheus/client_golang/prometheus"

// metrics are the gateway's figures. Labels come from the configuration or from a fixed list, never from events.
type metrics struct {
	accepted       *prometheus.CounterVec // stream
	refused        *prometheus.CounterVec // status
	deliveries     *prometheus.CounterVec // subscription, result: delivered, filtered, deadlettered
	attempts       *prometheus.CounterVec // subscription, result: success, retry, failure
	deliveryTime   *prometheus.HistogramVec
	malformed      *prometheus.CounterVec // subscription
	parked         *prometheus.GaugeVec   // subscription
	trimmed        *prometheus.CounterVec // subscription
	reclaimed      *prometheus.CounterVec // subscription
	groupRecreated *prometheus.CounterVec // subscription
	sourceEvents   *prometheus.CounterVec // source
	sourceErrors   *prometheus.CounterVec // source
}

func newMetrics(registry prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "streamgate", Name: name, Help: help}, labels)
		registry.MustRegister(vec)
		return vec
	}
	m := &metrics{
		accepted:       counter("events_accepted_total", "Events stored from HTTP requests.", "stream"),
		refused:        counter("requests_refused_total", "HTTP requests that were not accepted, by status.", "status"),
		deliveries:     counter("deliveries_total", "Events that a subscription is done with, by result.", "subscription", "result"),
		attempts:       counter("delivery_attempts_total", "Requests to sinks, by result.", "subscription", "result"),
		malformed:      counter("entries_malformed_total", "Stream entries that hold no valid CloudEvent.", "subscription"),
		trimmed:        counter("entries_trimmed_unseen_total", "Entries removed from the stream before they were acknowledged.", "subscription"),
		reclaimed:      counter("entries_reclaimed_total", "Entries taken over from a replica that was gone.", "subscription"),
		groupRecreated: counter("groups_recreated_total", "Consumer groups that had disappeared and were created again.", "subscription"),
		sourceEvents:   counter("source_events_total", "Events published by a source.", "source"),
		sourceErrors:   counter("source_errors_total", "Runs of a source that failed.", "source"),
		deliveryTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "streamgate", Name: "delivery_request_seconds", Help: "Time that sinks take to answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"subscription"}),
		parked: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Namespace: "streamgate", Name: "deliveries_parked", Help: "Events that wait for their next attempt on this replica.",
		}, []string{"subscription"}),
	}
	registry.MustRegister(m.deliveryTime, m.parked)
	return m
}

// countDuplicates exposes what the senders count themselves.
func countDuplicates(registry prometheus.Registerer, p *Publisher) {
	for name, out := range p.streams {
		registry.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Namespace: "streamgate", Name: "events_duplicate_total", ConstLabels: prometheus.Labels{"stream": name},
			Help: "Accepted events that were in the stream already, and were not stored again (dedupWindow).",
		}, func() float64 { return float64(out.Duplicates()) }))
	}
}
