package delivery

import (
	"time"
)

// Status is what this replica knows of a subscription.
type Status struct {
	Name   string `json:"name"`
	Stream string `json:"stream"`
	Sink   string `json:"sink"` // without secrets
	// Circuit is closed while the sink takes events, open while deliveries pause, and half-open while one is tried.
	Circuit string `json:"circuit"`
	// RetryAt is when the next delivery is tried at the earliest; only where the circuit is open, or the sink has asked
	// for a pause.
	RetryAt *time.Time `json:"retryAt,omitempty"`
	// OpenedBy says how the attempt failed that opened the circuit; only where it is not closed.
	OpenedBy string `json:"openedBy,omitempty"`
}

// Status returns the state of the subscription on this replica.
func (s *Subscription) Status() Status {
	status := Status{Name: s.config.Name, Stream: s.config.Stream, Sink: s.config.Sink.Describe()}
	s.circuit.describe(&status)
	return status
}
