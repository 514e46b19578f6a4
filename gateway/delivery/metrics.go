package delivery

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// Metrics tell what becomes of the events of each subscription. Labels come from the configuration or from a fixed
// list, never from events.
type Metrics struct {
	deliveries      *prometheus.CounterVec // subscription, result: delivered, filtered, deadlettered
	attempts        *prometheus.CounterVec // subscription, result: success, retry, failure
	requestTime     *prometheus.HistogramVec
	malformed       *prometheus.CounterVec // subscription
	reclaimed       *prometheus.CounterVec // subscription
	groupRecreated  *prometheus.CounterVec // subscription
	transformErrors *prometheus.CounterVec // subscription
	filterErrors    *prometheus.CounterVec // subscription
	circuit         *prometheus.GaugeVec   // subscription
	inFlight        *prometheus.GaugeVec   // subscription
	waiting         *prometheus.GaugeVec   // subscription
	heldBack        *prometheus.GaugeVec   // subscription
	replies         *prometheus.CounterVec // subscription, result: published, dropped, invalid
}

// NewMetrics registers the metrics.
func NewMetrics(registry prometheus.Registerer) *Metrics {
	make := promauto.With(registry)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return make.NewCounterVec(prometheus.CounterOpts{Namespace: "streamgate", Name: name, Help: help},
			append([]string{"subscription"}, labels...))
	}
	gauge := func(name, help string) *prometheus.GaugeVec {
		return make.NewGaugeVec(prometheus.GaugeOpts{Namespace: "streamgate", Name: name, Help: help}, []string{"subscription"})
	}
	return &Metrics{
		deliveries: counter("deliveries_total", "Events that a subscription has finished with, by result.", "result"),
		attempts:   counter("delivery_attempts_total", "Requests to sinks, by result.", "result"),
		requestTime: make.NewHistogramVec(prometheus.HistogramOpts{
			Namespace: "streamgate", Name: "delivery_request_seconds", Help: "Time that sinks take to answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"subscription"}),
		malformed:      counter("entries_malformed_total", "Stream entries that do not hold a valid CloudEvent."),
		reclaimed:      counter("entries_reclaimed_total", "Entries taken over from a replica that was gone."),
		groupRecreated: counter("groups_recreated_total", "Consumer groups that had disappeared and were created again."),
		transformErrors: counter("transform_errors_total",
			"Events that were dead-lettered because they could not be transformed."),
		filterErrors: counter("filter_errors_total",
			"Events that were not delivered because a filter could not be evaluated on them."),
		circuit: gauge("circuit_state", "Whether the sink is considered available: 0 closed (it is), "+
			"1 half-open (one event is tried), 2 open (it is not)."),
		inFlight: gauge("deliveries_in_flight", "Workers of this replica that deliver, or read."),
		waiting:  gauge("deliveries_waiting", "Events of this replica that wait for their next attempt."),
		heldBack: gauge("deliveries_held_back", "Events of this replica that wait for others of their key (order byKey)."),
		replies:  counter("replies_total", "Events that sinks answered with, by result.", "result"),
	}
}

// figures are the series of one subscription that every delivery touches. Looking them up by their labels each time
// would cost a tenth of the delivery.
type figures struct {
	delivered, filtered, deadLettered prometheus.Counter
	success, retry, failure           prometheus.Counter
	inFlight, waiting, heldBack       prometheus.Gauge
	seconds                           prometheus.Observer
}

func (m *Metrics) of(subscription string) *figures {
	deliveries := func(result string) prometheus.Counter { return m.deliveries.WithLabelValues(subscription, result) }
	attempts := func(result string) prometheus.Counter { return m.attempts.WithLabelValues(subscription, result) }
	// Every series begins with 0: increase() does not see the first occurrence of one that begins with it.
	for _, vec := range []*prometheus.CounterVec{
		m.malformed, m.reclaimed, m.groupRecreated, m.transformErrors, m.filterErrors,
	} {
		vec.WithLabelValues(subscription)
	}
	for _, result := range []string{"published", "dropped"} {
		m.replies.WithLabelValues(subscription, result)
	}
	m.circuit.WithLabelValues(subscription)
	return &figures{
		delivered: deliveries("delivered"), filtered: deliveries("filtered"), deadLettered: deliveries("deadlettered"),
		success: attempts("success"), retry: attempts("retry"), failure: attempts("failure"),
		inFlight: m.inFlight.WithLabelValues(subscription), waiting: m.waiting.WithLabelValues(subscription),
		heldBack: m.heldBack.WithLabelValues(subscription), seconds: m.requestTime.WithLabelValues(subscription),
	}
}

// Drop removes the series of a subscription that is gone: names come and go, and must not stay for ever.
func (m *Metrics) Drop(subscription string) {
	labels := prometheus.Labels{"subscription": subscription}
	for _, vec := range []interface{ DeletePartialMatch(prometheus.Labels) int }{
		m.deliveries, m.attempts, m.requestTime, m.malformed, m.waiting, m.reclaimed, m.groupRecreated, m.circuit,
		m.inFlight, m.heldBack, m.replies, m.filterErrors, m.transformErrors,
	} {
		vec.DeletePartialMatch(labels)
	}
}
