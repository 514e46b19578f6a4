package gateway

import (
	"context"
	"fmt"
	"slices"
)

// Subscriptions returns the state of all subscriptions: those of the configuration, in its order, and then the others.
func (g *Gateway) Subscriptions() []SubscriptionStatus {
	subscriptions := g.registry.list()
	list := make([]SubscriptionStatus, len(subscriptions))
	for i, s := range subscriptions {
		list[i] = s.Status()
	}
	return list
}

// Sources reads the state of the gateway's sources. It blocks until Redis answers or ctx ends.
func (g *Gateway) Sources(ctx context.Context) ([]SourceStatus, error) {
	return SourceStatuses(ctx, g.env.Redis, g.config.Sources)
}

// DeadLetters returns the dead letters of the subscriptions to a configured stream: those that they store by default, or in
// the stream dead, where one of them names it now ("" is the default). Anything else is [ErrUnknownStream] or
// [ErrNotDeadLetters], so that nobody discards ordinary events with it.
func (g *Gateway) DeadLetters(stream, dead string) (*DeadLetters, error) {
	if !slices.ContainsFunc(g.config.Streams, func(s StreamConfig) bool { return s.Name == stream }) {
		return nil, fmt.Errorf("%w %q", ErrUnknownStream, stream)
	}
	byDefault := DeadLetterStream(stream)
	if dead == "" {
		dead = byDefault
	}
	named := slices.ContainsFunc(g.registry.of(stream), func(s *Subscription) bool { return s.Config().Delivery.DeadLetterSink.Stream == dead })
	if dead != byDefault && !named {
		return nil, fmt.Errorf("%w: no subscription to stream %q stores dead letters in %q", ErrNotDeadLetters, stream, dead)
	}
	return NewDeadLetters(g.env.Redis, dead), nil
}
