package gateway

import (
	"context"
	"fmt"
	"slices"

	"github.com/streamgate/streamgate/gateway/deadletter"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/gateway/stream"
)

// Subscriptions returns the state of all subscriptions: those of the configuration, in its order, and then the others.
func (g *Gateway) Subscriptions() []delivery.Status {
	subscriptions := g.registry.list()
	list := make([]delivery.Status, len(subscriptions))
	for i, s := range subscriptions {
		list[i] = s.Status()
	}
	return list
}

// Sources reads the state of the gateway's sources. It blocks until Redis answers or ctx ends.
func (g *Gateway) Sources(ctx context.Context) ([]source.Status, error) {
	return source.Statuses(ctx, g.env.Redis, g.config.Sources)
}

// DeadLetters returns the dead letters of the subscriptions to a configured stream: those that they store by default,
// or in the stream dead, where one of them names it now ("" is the default). Anything else is [stream.ErrUnknown] or
// [deadletter.ErrOtherStream], so that ordinary events are never discarded with it.
func (g *Gateway) DeadLetters(streamName, dead string) (*deadletter.Store, error) {
	if !slices.ContainsFunc(g.config.Streams, func(s stream.Config) bool { return s.Name == streamName }) {
		return nil, fmt.Errorf("%w %q", stream.ErrUnknown, streamName)
	}
	byDefault := state.DeadLetterStream(streamName)
	if dead == "" {
		dead = byDefault
	}
	named := slices.ContainsFunc(g.registry.of(streamName), func(s *delivery.Subscription) bool { return s.Config().Delivery.DeadLetterSink.Stream == dead })
	if dead != byDefault && !named {
		return nil, fmt.Errorf("%w: no subscription to stream %q stores dead letters in %q", deadletter.ErrOtherStream, streamName, dead)
	}
	return deadletter.NewStore(g.env.Redis, dead), nil
}
