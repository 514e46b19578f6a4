package gateway

import "github.com/prometheus/client_golang/prometheus"

// metrics are the gateway's figures. Labels come from the configuration or from a fixed list, never from events.
type metrics struct {
	accepted              *prometheus.CounterVec // stream
	mended                *prometheus.CounterVec // stream
	refused               *prometheus.CounterVec // status
	deliveries            *prometheus.CounterVec // subscription, result: delivered, filtered, deadlettered
	attempts              *prometheus.CounterVec // subscription, result: success, retry, failure
	deliveryTime          *prometheus.HistogramVec
	malformed             *prometheus.CounterVec // subscription
	parked                *prometheus.GaugeVec   // subscription
	trimmed               *prometheus.CounterVec // subscription
	reclaimed             *prometheus.CounterVec // subscription
	groupRecreated        *prometheus.CounterVec // subscription
	sourceEvents          *prometheus.CounterVec // source
	sourceErrors          *prometheus.CounterVec // source
	sourceMemory          *prometheus.GaugeVec   // source
	sourceTransformErrors *prometheus.CounterVec // source
	transformErrors       *prometheus.CounterVec // subscription
	circuit               *prometheus.GaugeVec   // subscription
	inFlight              *prometheus.GaugeVec   // subscription
	heldBack              *prometheus.GaugeVec   // subscription
	replies               *prometheus.CounterVec // subscription, result: published, dropped
	length                *prometheus.GaugeVec   // stream
	full                  *prometheus.GaugeVec   // stream
	retained              *prometheus.GaugeVec   // stream, group: at most one group of a stream
	lag                   *prometheus.GaugeVec   // subscription
	pending               *prometheus.GaugeVec   // subscription
	oldest                *prometheus.GaugeVec   // subscription
	forgotten             *prometheus.CounterVec // subscription
	filterErrors          *prometheus.CounterVec // subscription
}

func newMetrics(registry prometheus.Registerer) *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "streamgate", Name: name, Help: help}, labels)
		registry.MustRegister(vec)
		return vec
	}
	gauge := func(name, help string, labels ...string) *prometheus.GaugeVec {
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "streamgate", Name: name, Help: help}, labels)
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
		sourceMemory:   gauge("source_remembered_things", "Things whose state a source remembers, on the replica that runs it.", "source"),
		deliveryTime: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "streamgate", Name: "delivery_request_seconds", Help: "Time that sinks take to answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"subscription"}),
		parked:   gauge("deliveries_parked", "Events that wait for their next attempt on this replica.", "subscription"),
		inFlight: gauge("deliveries_in_flight", "Workers of this replica that deliver, or read.", "subscription"),
		heldBack: gauge("deliveries_held_back", "Events that wait for others of their key on this replica (order byKey).", "subscription"),
		circuit:  gauge("circuit_state", "Whether the sink is taken to be there: 0 closed (it is), 1 half-open (tried with one event), 2 open (it is not).", "subscription"),
		replies:  counter("replies_total", "Events that sinks answered with, by result.", "subscription", "result"),
	}
	m.length = gauge("stream_length", "Entries in the stream.", "stream")
	m.full = gauge("stream_full", "Whether events are refused because the stream holds retention.hardLength entries.", "stream")
	m.retained = gauge("retention_held_back", "Entries over the limits of retention that stay because this group has not acknowledged them.", "stream", "group")
	m.lag = gauge("subscription_lag", "Entries of the stream that were not delivered to the subscription yet.", "subscription")
	m.pending = gauge("subscription_pending", "Entries that were delivered to a replica and are not acknowledged yet.", "subscription")
	m.oldest = gauge("subscription_oldest_seconds", "Age of the oldest entry that is not acknowledged.", "subscription")
	m.forgotten = counter("entries_forgotten_total", "Entries that retention removed before a subscription with forget acknowledged them.", "subscription")
	m.filterErrors = counter("filter_errors_total", "Events that were not delivered because a filter could not be evaluated on them.", "subscription")
	m.sourceTransformErrors = counter("source_transform_errors_total", "Events that were published as their source made them, because they could not be transformed.", "source")
	m.transformErrors = counter("transform_errors_total", "Events that were dead-lettered because they could not be transformed.", "subscription")
	m.mended = counter("requests_mended_total", "HTTP requests whose events were not valid and were mended (validation: lenient).", "stream")
	registry.MustRegister(m.deliveryTime)
	return m
}

// figures are the metrics of one subscription that every delivery touches. To look them up by their labels each time would
// cost a tenth of the delivery.
type figures struct {
	delivered, filtered, deadLettered prometheus.Counter
	success, retry, failure           prometheus.Counter
	inFlight, parked, heldBack        prometheus.Gauge
	seconds                           prometheus.Observer
}

func (m *metrics) of(subscription string) *figures {
	deliveries := func(result string) prometheus.Counter { return m.deliveries.WithLabelValues(subscription, result) }
	attempts := func(result string) prometheus.Counter { return m.attempts.WithLabelValues(subscription, result) }
	return &figures{
		delivered: deliveries("delivered"), filtered: deliveries("filtered"), deadLettered: deliveries("deadlettered"),
		success: attempts("success"), retry: attempts("retry"), failure: attempts("failure"),
		inFlight: m.inFlight.WithLabelValues(subscription), parked: m.parked.WithLabelValues(subscription),
		heldBack: m.heldBack.WithLabelValues(subscription), seconds: m.deliveryTime.WithLabelValues(subscription),
	}
}

// drop removes the figures of a subscription that has gone: names come and go, and must not stay for ever.
func (m *metrics) drop(subscription string) {
	labels := prometheus.Labels{"subscription": subscription}
	for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
		m.deliveries, m.attempts, m.deliveryTime, m.malformed, m.parked, m.trimmed, m.reclaimed, m.groupRecreated, m.circuit, m.inFlight,
		m.heldBack, m.replies, m.lag, m.pending, m.oldest, m.forgotten, m.filterErrors,
	} {
		vec.DeletePartialMatch(labels)
	}
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
