package redisstreams_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// TestMemory measures what an event costs Redis: as a Sender writes it, as raw XADDs of the same fields in the
// canonical order, in the order of a Go map, and in structured mode. Redis stores the names of the fields once for
// neighbours that have the same fields in the same order; that is what the canonical order is for.
func TestMemory(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		server := redistest.Start(t, redistest.WithBinary(flavor.Binary))
		for _, size := range []int{100, 1000} {
			binary := memoryOfSender(t, server, size)
			canonical := memoryOfRaw(t, server, size, func([][2]any) {})
			random := memoryOfRaw(t, server, size, func(pairs [][2]any) {
				rand.Shuffle(len(pairs), func(i, j int) { pairs[i], pairs[j] = pairs[j], pairs[i] })
			})
			structured := memoryOfSender(t, server, size, redisstreams.WithStructuredMode())
			t.Logf("%s, %d bytes of data, bytes an event: sender %d, raw XADD %d, random order %d (%+.0f%%), structured %d (%+.0f%%)",
				flavor.Name, size, binary, canonical, random, percent(random, binary), structured, percent(structured, binary))
			if percent(binary, canonical) > 1 {
				t.Errorf("%d bytes of data: a Sender takes %d bytes an event, raw XADDs %d", size, binary, canonical)
			}
			// A block of a stream has 4 KB. Where three events of 1 KB fill it, whatever they look like, there is
			// nothing to save.
			atLeast := -1.0
			if size == 100 {
				atLeast = 20
			}
			if percent(random, binary) < atLeast || percent(structured, binary) < atLeast {
				t.Errorf("%d bytes of data: the canonical order saves too little", size)
			}
		}
	})
}

// percent returns how much more a is than b.
func percent(a, b int64) float64 { return float64(a)*100/float64(b) - 100 }

const memoryEvents = 10_000

// memoryEvent is an event as a shop would send it, with an id and a time of its own.
func memoryEvent(i, size int) rawevent.Event {
	e := rawevent.New(fmt.Sprintf("0f8fad5b-d9cb-469f-a165-%012d", i), "https://example.com/shop/orders", "com.example.order.placed")
	e.Set("time", fmt.Sprintf("2026-11-23T01:02:%02d.%03dZ", i/1000%60, i%1000))
	e.Set("subject", fmt.Sprint("order-", i))
	e.DataContentType = "application/json"
	e.Data = fmt.Appendf(nil, `{"order":%d,"text":"%0*d"}`, i, size-22-len(fmt.Sprint(i)), 0)
	return e
}

func memoryOfSender(t *testing.T, server *redistest.Server, size int, opts ...redisstreams.SenderOption) int64 {
	t.Helper()
	stream := redistest.Stream(t)
	sender := newSender(t, server.Client(), stream, opts...)
	const batch = 500
	for i := 0; i < memoryEvents; i += batch {
		events := make([]rawevent.Event, batch)
		for j := range events {
			events[j] = memoryEvent(i+j, size)
		}
		if _, err := sender.AppendAll(context.Background(), events); err != nil {
			t.Fatal(err)
		}
	}
	return memoryOf(t, server, stream)
}

// memoryOfRaw adds the same entries by go-redis; order may change the order of the fields.
func memoryOfRaw(t *testing.T, server *redistest.Server, size int, order func([][2]any)) int64 {
	t.Helper()
	stream := redistest.Stream(t)
	pipe := server.Client().Pipeline()
	for i := range memoryEvents {
		event := memoryEvent(i, size)
		fields := redisstreams.AppendFields(nil, &event, nil)
		pairs := make([][2]any, len(fields)/2)
		for j := range pairs {
			pairs[j] = [2]any{fields[2*j], fields[2*j+1]}
		}
		order(pairs)
		args := make([]any, 0, len(fields))
		for _, pair := range pairs {
			args = append(args, pair[0], pair[1])
		}
		pipe.XAdd(context.Background(), &redis.XAddArgs{Stream: stream, Values: args})
		if pipe.Len() < 500 {
			continue
		}
		if _, err := pipe.Exec(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	return memoryOf(t, server, stream)
}

// memoryOf returns the bytes that one of the events of a stream takes.
func memoryOf(t *testing.T, server *redistest.Server, stream string) int64 {
	t.Helper()
	client := server.Client()
	if n := client.XLen(context.Background(), stream).Val(); n != memoryEvents {
		t.Fatalf("the stream has %d entries instead of %d", n, memoryEvents)
	}
	bytes, err := client.MemoryUsage(context.Background(), stream, 0).Result() // 0: look at every block of entries
	if err != nil {
		t.Fatal(err)
	}
	client.Del(context.Background(), stream)
	return bytes / memoryEvents
}
