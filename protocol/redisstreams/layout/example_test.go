package layout_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"sync"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
	"github.com/streamgate/streamgate/protocol/redisstreams/layout"
)

// A layout reads entries that another program writes, here flat ones, as events. Their ids are derived from the entry
// ids, so that they are the same at every delivery.
func ExampleNew() {
	client := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{Addrs: []string{redistest.SharedAddr()}}))
	stream := "thermometers-" + rand.Text()
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client.XAdd(ctx, &redis.XAddArgs{Stream: stream, Values: []string{"room", "kitchen", "celsius", "21.5"}})

	reading, err := layout.New(layout.Config{
		Name:   layout.Fields,
		Source: "https://example.com/house",
		Type:   "com.example.temperature.measured",
		Fields: layout.FieldRules{Subject: "room"},
	})
	if err != nil {
		log.Print(err)
		return
	}
	consumer, err := redisstreams.NewConsumer(client, stream, "heating",
		redisstreams.WithStart("0"), redisstreams.WithLayout(reading))
	if err != nil {
		log.Print(err)
		return
	}
	var running sync.WaitGroup
	running.Go(func() { _ = consumer.Run(ctx) }) // it returns nil, when everything is acknowledged
	batch, err := consumer.ReceiveBatch(ctx, 1)
	if err != nil {
		log.Print(err)
		return
	}
	event, err := batch[0].Event()
	fmt.Println(event.Type(), event.Subject(), string(event.Data), err)
	batch[0].Ack()
	cancel()
	running.Wait()
	// Output: com.example.temperature.measured kitchen {"celsius":"21.5"} <nil>
}

// The layout Auto recognizes the entries of several programs. It works on any entry, with or without a consumer.
func ExampleLayout_Event() {
	reading, err := layout.New(layout.Config{}) // Auto
	if err != nil {
		log.Print(err)
		return
	}
	entry := redisstreams.Entry{Stream: "orders", ID: "1700000000123-0", Fields: []string{
		"ce", `{"specversion":"1.0","id":"1001","source":"https://example.com/shop","type":"com.example.order.placed"}`,
	}}
	event, err := reading.Event(&entry)
	fmt.Println(event.Type(), event.ID(), err)
	// Output: com.example.order.placed 1001 <nil>
}
