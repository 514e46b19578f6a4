package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// sendOrders adds an event for each id.
func sendOrders(client redis.UniversalClient, stream string, ids ...string) {
	events := make([]rawevent.Event, 0, len(ids))
	for _, id := range ids {
		event := rawevent.New(id, "https://example.com/shop", "com.example.order.placed")
		event.DataContentType, event.Data = "application/json", []byte(`{"total":42}`)
		events = append(events, event)
	}
	sender, err := redisstreams.NewSender(client, stream)
	if err != nil {
		log.Print(err)
		return
	}
	if _, err := sender.AppendAll(context.Background(), events); err != nil {
		log.Print(err)
	}
}

// AppendAll adds a batch as one step: all of it or nothing.
func ExampleSender_AppendAll() {
	client := exampleClient()
	defer func() { _ = client.Close() }()

	sender, err := redisstreams.NewSender(client, exampleStream("orders"))
	if err != nil {
		log.Print(err)
		return
	}
	ids, err := sender.AppendAll(context.Background(), []rawevent.Event{
		rawevent.New("1001", "https://example.com/shop", "com.example.order.placed"),
		rawevent.New("1002", "https://example.com/shop", "com.example.order.placed"),
	})
	if err != nil {
		log.Print(err)
		return
	}
	fmt.Println(len(ids), redisstreams.CompareIDs(ids[0], ids[1]) < 0)
	// Output: 2 true
}

// ReceiveBatch and Ack take many entries at a time; Run keeps them leased and sends the acknowledgements.
func ExampleConsumer_ReceiveBatch() {
	client, stream := exampleClient(), exampleStream("orders")
	defer func() { _ = client.Close() }()
	sendOrders(client, stream, "1001", "1002", "1003")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	seen := 0
	count := func(event rawevent.Event) {
		fmt.Println(event.ID(), string(event.Data))
		if seen++; seen == 3 {
			cancel() // usually a signal does that
		}
	}

	consumer, err := redisstreams.NewConsumer(client, stream, "statistics", redisstreams.WithStart("0"))
	if err != nil {
		log.Print(err)
		return
	}
	var running sync.WaitGroup
	running.Go(func() { _ = consumer.Run(ctx) }) // keeps what is in work leased, sends the acknowledgements; returns nil
	for {
		batch, err := consumer.ReceiveBatch(ctx, 100)
		if err != nil {
			break // io.EOF: ctx has ended
		}
		for _, delivery := range batch {
			if event, err := delivery.Event(); err == nil {
				count(event)
			} // else it does not hold an event: see ExampleEntryError
			delivery.Ack() // or Release; neither blocks
		}
	}
	running.Wait() // the last acknowledgements are sent, and the rest is given back to the group
	// Output:
	// 1001 {"total":42}
	// 1002 {"total":42}
	// 1003 {"total":42}
}

// Two members share a group. What one of them gives up, or held when it died, the other gets when the lease is over.
func ExampleConsumer() {
	client, stream := exampleClient(), exampleStream("orders")
	defer func() { _ = client.Close() }()
	sendOrders(client, stream, "1001", "1002")
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()

	lease := redisstreams.WithLease(200 * time.Millisecond) // short for the example; the default of 30 s suits most
	var members [2]*redisstreams.Consumer
	var running sync.WaitGroup
	for i := range members {
		member, err := redisstreams.NewConsumer(client, stream, "billing", redisstreams.WithStart("0"), lease)
		if err != nil {
			log.Print(err)
			return
		}
		running.Go(func() { _ = member.Run(ctx) }) // it returns nil
		members[i] = member
	}

	first, err := members[0].ReceiveBatch(ctx, 2)
	if err != nil {
		log.Print(err)
		return
	}
	for _, delivery := range first {
		event, _ := delivery.Event()
		fmt.Println("first member:", event.ID(), "attempt", delivery.Attempt)
	}
	first[0].Ack()
	first[1].Release() // or not a word, and the program ends

	second, err := members[1].ReceiveBatch(ctx, 2)
	if err != nil {
		log.Print(err)
		return
	}
	event, _ := second[0].Event()
	fmt.Println("second member:", event.ID(), "attempt", second[0].Attempt)
	second[0].Ack()

	cancel()
	running.Wait()
	// Output:
	// first member: 1001 attempt 1
	// first member: 1002 attempt 1
	// second member: 1002 attempt 2
}

// An entry that does not hold an event neither blocks the stream nor disappears: it is copied to a stream of dead
// letters.
func ExampleEntryError() {
	client, stream := exampleClient(), exampleStream("orders")
	defer func() { _ = client.Close() }()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client.XAdd(ctx, &redis.XAddArgs{Stream: stream, ID: "1-0", Values: []string{"ce_specversion", "1.0", "ce_id", "1", "ce_id", "2"}})

	consumer, err := redisstreams.NewConsumer(client, stream, "billing", redisstreams.WithStart("0"))
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
	for _, delivery := range batch {
		_, err := delivery.Event()
		var broken *redisstreams.EntryError
		if errors.As(err, &broken) {
			fmt.Println(errors.Is(err, redisstreams.ErrMalformed), broken.ID, broken.Reason)
			dead := slices.Concat(delivery.Fields, []string{"reason", broken.Reason, "entry", broken.ID})
			if err := client.XAdd(ctx, &redis.XAddArgs{Stream: stream + ".dead", Values: dead}).Err(); err != nil {
				delivery.Release() // it comes again
				continue
			}
		}
		delivery.Ack() // only now that nothing can be lost
	}
	cancel()
	running.Wait()
	// Output: true 1-0 the field ce_id occurs twice
}
