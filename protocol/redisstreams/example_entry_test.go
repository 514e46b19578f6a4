package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// An event in binary mode: a field for each attribute, in an order that saves memory in Redis.
func ExampleAppendFields() {
	event := rawevent.New("1001", "https://example.com/shop", "com.example.order.placed")
	event.DataContentType, event.Data = "application/json", []byte(`{"total":42}`)

	fields := redisstreams.AppendFields(nil, &event, nil)
	for i := 0; i < len(fields); i += 2 {
		value, isData := fields[i+1].([]byte)
		if !isData {
			value = []byte(*fields[i+1].(*string))
		}
		fmt.Printf("%s: %s\n", fields[i], value)
	}
	// Output:
	// ce_specversion: 1.0
	// ce_id: 1001
	// ce_source: https://example.com/shop
	// ce_type: com.example.order.placed
	// content-type: application/json
	// data: {"total":42}
}

// An entry that any other client wrote with XADD is read as an event.
func ExampleEntry_Event() {
	entry := redisstreams.Entry{Stream: "orders", ID: "1700000000123-0", Fields: []string{
		"ce_specversion", "1.0", "ce_id", "1001", "ce_source", "/shop", "ce_type", "com.example.order.placed", "data", "42",
	}}
	event, err := entry.Event()
	fmt.Println(event.Type(), event.ID(), string(event.Data), err)

	broken := redisstreams.Entry{Stream: "orders", ID: "1700000000124-0", Fields: []string{"ce_specversion", "1.0", "ce_", ""}}
	_, err = broken.Event()
	fmt.Println(errors.Is(err, redisstreams.ErrMalformed))
	// Output:
	// com.example.order.placed 1001 42 <nil>
	// true
}

// Events of one key belong to the same stream, whichever writer chooses it.
func ExamplePartitionStream() {
	event := rawevent.New("1001", "/shop", "com.example.order.placed")
	event.Set("partitionkey", "customer-7")
	fmt.Println(redisstreams.PartitionStream("orders", 4, &event, ""))
	// Output: {orders:0}
}

// Entry ids are ordered by their numbers, not as text. The id before an entry is the position from which ReadAfter or
// WithStart includes that entry.
func ExamplePreviousID() {
	fmt.Println(redisstreams.CompareIDs("999-0", "1000-0") < 0)
	fmt.Println(redisstreams.PreviousID("1700000000123-5"), redisstreams.PreviousID("1-0"))
	fmt.Println(redisstreams.NextID("1700000000123-5"))
	// Output:
	// true
	// 1700000000123-4 0-18446744073709551615
	// 1700000000123-6
}

// Replay reads entries without a consumer group, here those of the last hour.
func ExampleReadAfter() {
	client, stream := exampleClient(), exampleStream("orders")
	defer func() { _ = client.Close() }()
	sendOrders(client, stream, "1001", "1002")

	entries, err := redisstreams.ReadAfter(context.Background(), client, stream,
		redisstreams.StartAt(time.Now().Add(-time.Hour)), 100, -1)
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range entries {
		event, err := entries[i].Event()
		fmt.Println(event.ID(), err)
	}
	// Output:
	// 1001 <nil>
	// 1002 <nil>
}

// A group that exists already is not an error.
func ExampleIsReply() {
	client, stream := exampleClient(), exampleStream("orders")
	defer func() { _ = client.Close() }()
	ctx := context.Background()
	for range 2 {
		err := client.XGroupCreateMkStream(ctx, stream, "billing", "$").Err()
		fmt.Println(err == nil, redisstreams.IsReply(err, redisstreams.ReplyBusyGroup))
	}
	// Output:
	// true false
	// false true
}
