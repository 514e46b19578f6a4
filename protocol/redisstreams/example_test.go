package redisstreams_test

import (
	"context"
	"fmt"
	"log"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// exampleRedis stands for the address of your Redis; the examples of this page run against one that the tests start.
func exampleRedis() string { return redistest.SharedAddr() }

// A program sends an event to a stream and receives it as a member of a consumer group.
func Example() {
	client := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{
		Addrs: []string{exampleRedis()},
	}))
	defer func() { _ = client.Close() }()

	protocol, err := redisstreams.New(client, "orders", redisstreams.WithGroup("billing", redisstreams.WithStart("0")))
	if err != nil {
		log.Print(err)
		return
	}
	c, err := cloudevents.NewClient(protocol)
	if err != nil {
		log.Print(err)
		return
	}

	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	order := cloudevents.NewEvent()
	order.SetID("1001")
	order.SetSource("https://example.com/shop")
	order.SetType("com.example.order.placed")
	if err := order.SetData(cloudevents.ApplicationJSON, map[string]any{"total": 42}); err != nil {
		log.Print(err)
		return
	}
	if err := c.Send(ctx, order); cloudevents.IsUndelivered(err) {
		log.Print(err)
		return
	}

	// An entry is acknowledged when the function returns nil or an ACK; otherwise it comes again.
	err = c.StartReceiver(ctx, func(e cloudevents.Event) error {
		fmt.Println(e.Type(), string(e.Data()))
		cancel()
		return nil
	})
	if err != nil {
		log.Print(err)
	}
	// Output: com.example.order.placed {"total":42}
}
