package redisstreams_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// The benchmarks here compare with what they stand on: go-redis, in the same run and in turns, so that a busy machine
// slows both down. Read the metric ratio; events/s and ns/op are those of the machine.

// benchEvent is a binary event with five attributes and 1 KB of data.
func benchEvent() rawevent.Event {
	e := rawevent.New("0f8fad5b-d9cb-469f-a165-70867728950e", "https://example.com/sensors/17", "com.example.measurement")
	e.Set("time", "2026-11-23T01:02:03Z")
	e.DataContentType, e.Data = "application/json", []byte(`{"payload":"`+strings.Repeat("x", 1000)+`"}`)
	return e
}

// BenchmarkAppend measures Append from 256 goroutines.
//
//	events/s  of Append
//	batch     events of one round trip, as the group commit made them
//	ratio     events/s over those of go-redis pipelines with XADDs of the same fields and as many of them as batch says,
//	          over two connections, as the Sender uses
func BenchmarkAppend(b *testing.B) {
	server := redistest.Start(b)
	for _, kind := range []struct {
		name string
		opts []redisstreams.SenderOption
	}{
		{"plain", nil},
		{"dedup", []redisstreams.SenderOption{redisstreams.WithDedup(time.Minute)}},
		{"maxlen", []redisstreams.SenderOption{redisstreams.WithMaxLen(10_000)}},
		{"structured", []redisstreams.SenderOption{redisstreams.WithStructuredMode()}},
	} {
		b.Run(kind.name, func(b *testing.B) { appendBeside(b, server, kind.opts...) })
	}
}

// BenchmarkAppendDurable is BenchmarkAppend on a server that fsyncs before it answers. "async" is what the disk allows
// without asking for it; the others confirm each batch.
func BenchmarkAppendDurable(b *testing.B) {
	for _, flavor := range redistest.Flavors(b) {
		server := redistest.Start(b, redistest.WithBinary(flavor.Binary), redistest.WithAOF("always"))
		b.Run(flavor.Name+"/async", func(b *testing.B) { appendBeside(b, server) })
		b.Run(flavor.Name+"/fsync", func(b *testing.B) { appendBeside(b, server, redisstreams.WithFsync()) })
		b.Run(flavor.Name+"/fsync+dedup", func(b *testing.B) {
			appendBeside(b, server, redisstreams.WithFsync(), redisstreams.WithDedup(time.Minute))
		})
	}
}

func appendBeside(b *testing.B, server *redistest.Server, opts ...redisstreams.SenderOption) {
	client := server.Client()
	counted := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{Addrs: []string{server.Addr()}}))
	defer func() { _ = counted.Close() }()
	var counter tripCounter
	counted.AddHook(&counter)
	ours, raw := redistest.Stream(b), redistest.Stream(b)
	sender := newSender(b, counted, ours, opts...)
	const perRound = 10_000
	r := newRounds(b)
	for r.next(perRound) {
		events := distinctEvents(perRound)
		r.ours(func() {
			concurrently(b, 256, perRound, func(i int) error {
				_, err := sender.Append(context.Background(), &events[i])
				return err
			})
		})
		r.base(func() { pipelined(b, client, 2, raw, max(counter.mean(), 1), events) })
		empty(b, client, ours, raw)
	}
	r.report()
	b.ReportMetric(float64(counter.mean()), "batch")
}

// distinctEvents returns events that differ in their ids, so that deduplication finds none of them.
func distinctEvents(n int) []rawevent.Event {
	events := make([]rawevent.Event, n)
	pattern, round := benchEvent(), time.Now().UnixNano()
	for i := range events {
		events[i] = pattern.Clone()
		events[i].Set("id", fmt.Sprintf("0f8fad5b-%d-%d", round, i))
	}
	return events
}

// BenchmarkAppendAll measures batches of 100 that go all or none, from four goroutines, beside go-redis pipelines of
// 100 XADDs over as many connections.
func BenchmarkAppendAll(b *testing.B) {
	client := redistest.Start(b).Client()
	sender := newSender(b, client, "all")
	const perRound, batch = 10_000, 100
	events := distinctEvents(perRound)
	r := newRounds(b)
	for r.next(perRound) {
		r.ours(func() {
			concurrently(b, 4, perRound/batch, func(i int) error {
				_, err := sender.AppendAll(context.Background(), events[i*batch:(i+1)*batch])
				return err
			})
		})
		r.base(func() { pipelined(b, client, 4, "raw", batch, events) })
		empty(b, client, "raw", "all")
	}
	r.report()
}

// BenchmarkProtocolSend sends events of the SDK from 256 goroutines, beside Append of the same events by a Sender:
// ratio is what the types of the SDK leave of it.
func BenchmarkProtocolSend(b *testing.B) {
	client := redistest.Start(b).Client()
	protocol, err := redisstreams.New(client, "sdk")
	if err != nil {
		b.Fatal(err)
	}
	sender, raw := newSender(b, client, "append"), benchEvent()
	message := redisstreams.NewMessage(entryOf(redisstreams.AppendFields(nil, &raw, nil)))
	e, err := binding.ToEvent(context.Background(), message)
	if err != nil {
		b.Fatal(err)
	}
	const perRound = 10_000
	r := newRounds(b)
	for r.next(perRound) {
		r.ours(func() {
			concurrently(b, 256, perRound, func(int) error { return protocol.Send(context.Background(), binding.ToMessage(e)) })
		})
		r.base(func() {
			concurrently(b, 256, perRound, func(int) error {
				_, err := sender.Append(context.Background(), &raw)
				return err
			})
		})
		empty(b, client, "sdk", "append")
	}
	r.report()
}

// rounds takes turns between what is measured and what it is compared with.
type rounds struct {
	b                  *testing.B
	total              int
	oursTook, baseTook time.Duration
}

// newRounds starts a benchmark whose b.N are events.
func newRounds(b *testing.B) *rounds {
	b.ReportAllocs()
	b.ResetTimer()
	b.StopTimer()
	return &rounds{b: b}
}

// next reports whether there is another round of n events.
func (r *rounds) next(n int) bool {
	more := r.total < r.b.N && !r.b.Failed()
	if more {
		r.total += n
	}
	return more
}

func (r *rounds) ours(f func()) {
	started := time.Now()
	r.b.StartTimer()
	f()
	r.b.StopTimer()
	r.oursTook += time.Since(started)
}

func (r *rounds) base(f func()) {
	started := time.Now()
	f()
	r.baseTook += time.Since(started)
}

func (r *rounds) report() {
	r.b.ReportMetric(float64(r.total)/r.oursTook.Seconds(), "events/s")
	r.b.ReportMetric(r.baseTook.Seconds()/r.oursTook.Seconds(), "ratio")
}

// empty empties streams, so that a long run does not fill the memory.
func empty(b *testing.B, client *redis.Client, streams ...string) {
	b.Helper()
	for _, stream := range streams {
		if err := client.XTrimMaxLen(context.Background(), stream, 0).Err(); err != nil {
			b.Fatal(err)
		}
	}
}

// concurrently calls f n times from so many workers, with a number below n.
func concurrently(b *testing.B, workers, n int, f func(i int) error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(n))
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for {
				i := int(left.Add(-1))
				if i < 0 {
					return
				}
				if err := f(i); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
}

// pipelined adds events with go-redis' own pipelines of size, over so many connections.
func pipelined(b *testing.B, client *redis.Client, connections int, stream string, size int, events []rawevent.Event) {
	b.Helper()
	batches := slices.Collect(slices.Chunk(events, size))
	concurrently(b, connections, len(batches), func(i int) error {
		pipe := client.Pipeline()
		for j := range batches[i] {
			pipe.XAdd(context.Background(), &redis.XAddArgs{Stream: stream, Values: redisstreams.AppendFields(nil, &batches[i][j], nil)})
		}
		_, err := pipe.Exec(context.Background())
		return err
	})
}

// tripCounter is a hook of go-redis that counts round trips and the events in them.
type tripCounter struct{ trips, events atomic.Int64 }

// mean returns the events of one round trip.
func (c *tripCounter) mean() int { return int(c.events.Load() / max(c.trips.Load(), 1)) }

func (c *tripCounter) count(commands ...redis.Cmder) {
	n := 0
	for _, cmd := range commands {
		switch cmd.Name() {
		case "xadd":
			n++
		case "evalsha", "eval": // of deduplication: the stream is the first key, then there is one for each event
			keys, _ := cmd.Args()[2].(int)
			n += keys - 1
		}
	}
	if n > 0 {
		c.trips.Add(1)
		c.events.Add(int64(n))
	}
}

// DialHook implements redis.Hook.
func (*tripCounter) DialHook(next redis.DialHook) redis.DialHook { return next }

// ProcessHook implements redis.Hook.
func (c *tripCounter) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		c.count(cmd)
		return next(ctx, cmd)
	}
}

// ProcessPipelineHook implements redis.Hook.
func (c *tripCounter) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, commands []redis.Cmder) error {
		c.count(commands...)
		return next(ctx, commands)
	}
}
