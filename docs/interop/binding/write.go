package main

import (
	"context"
	"fmt"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// writeAll writes the events in their order.
func writeAll(ctx context.Context, client redis.UniversalClient, stream string, manifest []expectation) error {
	protocol, err := redisstreams.New(client, stream)
	if err != nil {
		return err
	}
	for i := range manifest {
		e := &manifest[i]
		if e.SDK {
			err = writeWithSDK(ctx, protocol, e)
		} else {
			err = writeRaw(ctx, client, stream, e)
		}
		if err != nil {
			return fmt.Errorf("write event %d (%s): %w", i, e.Name, err)
		}
	}
	return nil
}

func writeWithSDK(ctx context.Context, protocol *redisstreams.Protocol, e *expectation) error {
	event, err := e.sdkEvent()
	if err != nil {
		return err
	}
	if e.Structured {
		ctx = binding.WithForceStructured(ctx)
	}
	return protocol.Send(ctx, binding.ToMessage(&event))
}

func writeRaw(ctx context.Context, client redis.UniversalClient, stream string, e *expectation) error {
	sender, err := newSender(client, stream, e.Structured)
	if err != nil {
		return err
	}
	event := e.raw()
	if err := event.Validate(); err != nil {
		return err
	}
	_, err = sender.Append(ctx, &event)
	return err
}

func newSender(client redis.UniversalClient, stream string, structured bool) (*redisstreams.Sender, error) {
	if structured {
		return redisstreams.NewSender(client, stream, redisstreams.WithStructuredMode())
	}
	return redisstreams.NewSender(client, stream)
}
