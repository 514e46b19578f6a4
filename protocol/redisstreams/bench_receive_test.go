package redisstreams_test

import (
	"context"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// drainSize is how many entries one group reads: enough that the first, small reads of a consumer hardly count.
const drainSize = 20_000

// BenchmarkReceive drains a stream with ReceiveBatch and Ack, while Run sends the acknowledgements, and beside it with
// XREADGROUP and one XACK a batch by go-redis. Each round reads the same entries with two new groups.
//
//	events/s  of ReceiveBatch and Ack, until the last XACK is answered
//	ratio     events/s over those of go-redis
func BenchmarkReceive(b *testing.B) {
	for _, size := range []int{16, 100, 1000} {
		b.Run("batch="+strconv.Itoa(size), func(b *testing.B) {
			receiveBeside(b, size, func(*redisstreams.Delivery) error { return nil })
		})
	}
	b.Run("batch=100/events", func(b *testing.B) {
		receiveBeside(b, 100, func(d *redisstreams.Delivery) error {
			_, err := d.Event()
			return err
		})
	})
}

func receiveBeside(b *testing.B, size int, use func(*redisstreams.Delivery) error) {
	client := redistest.Start(b).Client()
	preload(b, client, "entries", drainSize)
	r := newRounds(b)
	for round := 0; r.next(drainSize); round++ {
		r.base(func() { drainRaw(b, client, fmt.Sprint("raw-", round), size) })
		r.ours(func() { drain(b, client, fmt.Sprint("ours-", round), size, use) })
	}
	r.report()
}

// preload fills a stream as a Sender does.
func preload(b *testing.B, client *redis.Client, stream string, n int) {
	b.Helper()
	sender := newSender(b, client, stream)
	events := make([]rawevent.Event, 500)
	for i := range events {
		events[i] = benchEvent()
	}
	for range n / len(events) {
		if _, err := sender.AppendAll(context.Background(), events); err != nil {
			b.Fatal(err)
		}
	}
}

// drain reads the entries as a new group and acknowledges them.
func drain(b *testing.B, client *redis.Client, group string, size int, use func(*redisstreams.Delivery) error) {
	b.Helper()
	c, err := redisstreams.NewConsumer(client, "entries", group, redisstreams.WithStart("0"))
	if err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	for got := 0; got < drainSize; {
		batch, err := c.ReceiveBatch(ctx, min(size, drainSize-got))
		if err != nil {
			b.Error(err)
			break
		}
		for _, d := range batch {
			if err := use(d); err != nil {
				b.Error(err)
			}
			d.Ack()
		}
		got += len(batch)
	}
	cancel()
	if err := <-done; err != nil { // Run returns when everything is acknowledged
		b.Error(err)
	}
}

// drainRaw does the same with go-redis' own commands.
func drainRaw(b *testing.B, client *redis.Client, group string, size int) {
	b.Helper()
	ctx := context.Background()
	if err := client.XGroupCreate(ctx, "entries", group, "0").Err(); err != nil {
		b.Fatal(err)
	}
	ids := make([]string, 0, size)
	for got := 0; got < drainSize; {
		streams, err := client.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: group, Consumer: "c", Streams: []string{"entries", ">"}, Count: int64(min(size, drainSize-got)), Block: time.Second,
		}).Result()
		if err != nil {
			b.Fatal(err)
		}
		ids = ids[:0]
		for i := range streams[0].Messages {
			ids = append(ids, streams[0].Messages[i].ID)
		}
		if err := client.XAck(ctx, "entries", group, ids...).Err(); err != nil {
			b.Fatal(err)
		}
		got += len(ids)
	}
}
