package redisstreams_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"sync/atomic"

	cloudevents "github.com/cloudevents/sdk-go/v2"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// exampleRedis stands for the address of your Redis; the examples of this page run against one that the tests start.
func exampleRedis() string { return redistest.SharedAddr() }

// exampleStream stands for the name of a stream; the end keeps the examples apart.
func exampleStream(name string) string { return name + "-" + rand.Text() }

// exampleClient is how every example connects.
func exampleClient() redis.UniversalClient {
	return redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{Addrs: []string{exampleRedis()}}))
}

// A program sends an event to a stream and receives it as a member of a consumer group.
func Example() {
	client := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{
		Addrs: []string{exampleRedis()},
	}))
	defer func() { _ = client.Close() }()

	protocol, err := redisstreams.New(client, exampleStream("orders"), redisstreams.WithGroup("billing", redisstreams.WithStart("0")))
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

// A producer needs no group. Send returns an ACK when the entry is in Redis.
func Example_producer() {
	client := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{Addrs: []string{exampleRedis()}}))
	defer func() { _ = client.Close() }()

	protocol, err := redisstreams.New(client, exampleStream("orders"))
	if err != nil {
		log.Print(err)
		return
	}
	c, err := cloudevents.NewClient(protocol, cloudevents.WithUUIDs(), cloudevents.WithTimeNow())
	if err != nil {
		log.Print(err)
		return
	}
	event := cloudevents.NewEvent()
	event.SetSource("https://example.com/shop")
	event.SetType("com.example.order.placed")
	_ = event.SetData(cloudevents.ApplicationJSON, map[string]any{"total": 42}) // a map of this kind can always be encoded
	if result := c.Send(context.Background(), event); !cloudevents.IsACK(result) {
		log.Print(result)
		return
	}
	fmt.Println("stored")
	// Output: stored
}

// A consumer is a member of a group: each entry goes to one member, and comes again where a member fails or dies.
func Example_consumer() {
	client, stream := exampleClient(), exampleStream("orders")
	defer func() { _ = client.Close() }()
	sendOrders(client, stream, "1001", "1002")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	var billed atomic.Int64
	bill := func(cloudevents.Event) error {
		if billed.Add(1) == 2 {
			cancel() // usually a signal does that
		}
		return nil
	}

	protocol, err := redisstreams.New(client, stream,
		redisstreams.WithGroup("billing", redisstreams.WithStart("0")), // a new group begins with the oldest entry
		redisstreams.WithMaxInFlight(16))                               // at most so many handlers run at a time
	if err != nil {
		log.Print(err)
		return
	}
	c, err := cloudevents.NewClient(protocol)
	if err != nil {
		log.Print(err)
		return
	}
	err = c.StartReceiver(ctx, func(ctx context.Context, event cloudevents.Event) error {
		return bill(event) // nil acknowledges; with an error the entry comes again when its lease is over
	})
	fmt.Println(billed.Load(), "orders, error:", err)
	// Output: 2 orders, error: <nil>
}
