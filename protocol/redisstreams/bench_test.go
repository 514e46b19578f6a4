package redisstreams_test

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func benchEvent() rawevent.Event {
	e := rawevent.New("0f8fad5b-d9cb-469f-a165-70867728950e", "https://example.com/sensors/17", "com.example.measurement")
	e.Set("time", "2026-11-23T01:02:03Z")
	e.DataContentType, e.Data = "application/json", []byte(`{"payload":"`+strings.Repeat("x", 1000)+`"}`)
	return e
}

// BenchmarkSend measures Append from many goroutines at once, beside raw pipelined XADDs of the same fields by go-redis
// in batches of 64, in the same run: the metric ratio is events/s of Append over those of the raw pipeline.
func BenchmarkSend(b *testing.B) {
	server := redistest.Start(b)
	client := server.Client()
	sender := newSender(b, client, "append")
	event := benchEvent()
	var appendTime, rawTime time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	const rounds = 4
	for range rounds {
		n := b.N/rounds + 1
		b.StopTimer()
		rawTime += raw(b, client, &event, n)
		b.StartTimer()
		appendTime += concurrently(b, 256, n, func() error {
			_, err := sender.Append(context.Background(), &event)
			return err
		})
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N)/appendTime.Seconds(), "events/s")
	b.ReportMetric(rawTime.Seconds()/appendTime.Seconds(), "ratio")
}

// BenchmarkSendAll measures AppendAll in batches of 64 beside the same raw pipeline.
func BenchmarkSendAll(b *testing.B) {
	server := redistest.Start(b)
	client := server.Client()
	sender := newSender(b, client, "append")
	events := make([]rawevent.Event, 64)
	for i := range events {
		events[i] = benchEvent()
	}
	var appendTime, rawTime time.Duration
	b.ReportAllocs()
	b.ResetTimer()
	for sent := 0; sent < b.N; sent += 64 * 16 {
		b.StopTimer()
		rawTime += raw(b, client, &events[0], 64*16)
		b.StartTimer()
		appendTime += concurrently(b, 4, 16, func() error {
			_, err := sender.AppendAll(context.Background(), events)
			return err
		})
	}
	b.StopTimer()
	b.ReportMetric(rawTime.Seconds()/appendTime.Seconds(), "ratio")
}

func concurrently(b *testing.B, workers, n int, f func() error) time.Duration {
	var left atomic.Int64
	left.Store(int64(n))
	started := time.Now()
	var group sync.WaitGroup
	for range workers {
		group.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return time.Since(started)
}

// raw sends the same fields through go-redis' own pipeline.
func raw(b *testing.B, client *redis.Client, event *rawevent.Event, n int) time.Duration {
	var left atomic.Int64
	left.Store(int64(n))
	started := time.Now()
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for {
				size := min(64, left.Add(-64)+64)
				if size <= 0 {
					return
				}
				pipe := client.Pipeline()
				for range size {
					pipe.XAdd(context.Background(), &redis.XAddArgs{Stream: "raw", Values: redisstreams.AppendFields(nil, event, nil)})
				}
				if _, err := pipe.Exec(context.Background()); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	group.Wait()
	return time.Since(started)
}

func BenchmarkEncode(b *testing.B) {
	event := benchEvent()
	fields := make([]any, 0, 32)
	b.ReportAllocs()
	for b.Loop() {
		fields = redisstreams.AppendFields(fields[:0], &event, nil)
	}
}

func BenchmarkDecode(b *testing.B) {
	event := benchEvent()
	entry := entryOf(redisstreams.AppendFields(nil, &event, nil))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := entry.Event(); err != nil {
			b.Fatal(err)
		}
	}
}
