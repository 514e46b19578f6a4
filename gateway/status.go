package gateway

import "time"

// SubscriptionStatus is what this replica knows of a subscription.
type SubscriptionStatus struct {
	Name   string `json:"name"`
	Stream string `json:"stream"`
	Sink   string `json:"sink"` // without secrets
	// Circuit is closed while the sink takes events, open while deliveries pause, and half-open while one is tried.
	Circuit string `json:"circuit"`
	// RetryAt is when the next delivery is tried at the earliest; only where the circuit is open.
	RetryAt *time.Time `json:"retryAt,omitempty"`
	// OpenedBy says how the attempt failed that opened the circuit; only where it is not closed.
	OpenedBy string `json:"openedBy,omitempty"`
}

// Subscriptions returns the state of all subscriptions: those of the configuration, in its order, and then the others.
func (g *Gateway) Subscriptions() []SubscriptionStatus {
	subscriptions := g.roster.list()
	list := make([]SubscriptionStatus, len(subscriptions))
	for i, s := range subscriptions {
		list[i] = SubscriptionStatus{Name: s.config.Name, Stream: s.config.Stream, Sink: s.config.Sink.Describe()}
		s.circuit.describe(&list[i])
	}
	return list
}

func (c *circuit) describe(status *SubscriptionStatus) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch c.state {
	case circuitClosed:
		status.Circuit = "closed"
		return
	case circuitHalfOpen:
		status.Circuit = "half-open"
	case circuitOpen:
		until := c.until
		status.Circuit, status.RetryAt = "open", &until
	}
	status.OpenedBy = c.openedBy
}
