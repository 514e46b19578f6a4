package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// BenchmarkDelivery delivers events of 1 KB from Redis to a sink in the same process.
//
//	events/s  from the first to the last delivery
//	ratio     events/s over those of a bare loop of net/http's client that posts the same requests to the same sink, with
//	          as many at a time: what no reader of a stream can reach
//	ratio-32  events/s over those of the simplest reader that is any good: one XREADGROUP COUNT 100 at a time, 32 workers, one
//	          XACK a batch, no retries, leases or metrics
//
// The three take turns.
func BenchmarkDelivery(b *testing.B) {
	for _, concurrency := range []int{16, 64} {
		for _, order := range []string{"none", "byKey"} {
			b.Run("concurrency="+strconv.Itoa(concurrency)+"/order="+order, func(b *testing.B) { deliverBeside(b, concurrency, order) })
		}
	}
}

// countingSink answers 202 and tells when it has got a number of requests.
type countingSink struct {
	got, want atomic.Int64
	done      chan struct{}
}

func (s *countingSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	w.WriteHeader(http.StatusAccepted)
	if s.got.Add(1) == s.want.Load() {
		s.done <- struct{}{}
	}
}

func deliverBeside(b *testing.B, concurrency int, order string) {
	const perRound, keys = 10_000, 1000
	sink := &countingSink{done: make(chan struct{}, 1)}
	server := httptest.NewServer(sink)
	defer server.Close()
	client := redistest.Start(b).Client()
	var oursTook, baseTook, simpleTook time.Duration
	rounds := 0
	b.ReportAllocs()
	b.ResetTimer()
	b.StopTimer()
	for events := 0; events < b.N; events += perRound {
		stream := "bench-" + strconv.Itoa(rounds)
		preload(b, client, stream, perRound, keys)
		expect := func() {
			sink.got.Store(0)
			sink.want.Store(perRound)
		}
		expect()
		started := time.Now()
		postBare(b, server.URL, concurrency, perRound)
		<-sink.done
		baseTook += time.Since(started)

		expect()
		started = time.Now()
		simple := startSimpleReader(b, client, stream, server.URL)
		<-sink.done
		simpleTook += time.Since(started)
		simple()

		expect()
		started = time.Now()
		b.StartTimer()
		g := launch(b, client, subscribed(oneStream(stream), server.URL, func(c *delivery.Config) {
			c.StartFrom, c.Concurrency, c.Order = "earliest", concurrency, order
		}))
		<-sink.done
		b.StopTimer()
		oursTook += time.Since(started)
		g.stop()
		client.Del(context.Background(), stream)
		rounds++
	}
	b.ReportMetric(float64(rounds*perRound)/oursTook.Seconds(), "events/s")
	b.ReportMetric(baseTook.Seconds()/oursTook.Seconds(), "ratio")
	b.ReportMetric(simpleTook.Seconds()/oursTook.Seconds(), "ratio-32")
}

func preload(b *testing.B, client redis.UniversalClient, stream string, n, keys int) {
	b.Helper()
	sender, err := redisstreams.NewSender(client, stream)
	if err != nil {
		b.Fatal(err)
	}
	events := make([]rawevent.Event, 500)
	for start := 0; start < n; start += len(events) {
		for i := range events {
			events[i] = benchEvent()
			events[i].Set("id", strconv.Itoa(start+i))
			events[i].Set("partitionkey", strconv.Itoa((start+i)%keys))
		}
		if _, err := sender.AppendAll(context.Background(), events); err != nil {
			b.Fatal(err)
		}
	}
}

// postBare is the ceiling: what net/http's client can post.
func postBare(b *testing.B, url string, concurrency, n int) {
	b.Helper()
	client := benchClient(concurrency)
	defer client.CloseIdleConnections()
	event := benchEvent()
	var left atomic.Int64
	left.Store(int64(n))
	var posting sync.WaitGroup
	for range concurrency {
		posting.Go(func() {
			for left.Add(-1) >= 0 {
				if err := postTo(client, url, &event); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	posting.Wait()
}

func benchClient(concurrency int) *http.Client {
	return &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency, MaxConnsPerHost: concurrency, DisableCompression: true}}
}

func postTo(client *http.Client, url string, event *rawevent.Event) error {
	header := http.Header{"User-Agent": []string{"streamgate/test"}}
	event.WriteHTTP(header)
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url, bytes.NewReader(event.Data))
	if err != nil {
		return err
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, response.Body)
	return response.Body.Close()
}

// startSimpleReader delivers the stream until the function that it returns is called.
func startSimpleReader(b *testing.B, client redis.UniversalClient, stream, url string) (stop func()) {
	b.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	if err := client.XGroupCreateMkStream(ctx, stream, "simple", "0").Err(); err != nil {
		b.Fatal(err)
	}
	const workers = 32
	posts := benchClient(workers)
	entries, done := make(chan redis.XMessage), make(chan string, 100)
	var running sync.WaitGroup
	for range workers {
		running.Go(func() {
			for entry := range entries {
				event := eventOf(entry)
				if err := postTo(posts, url, &event); err != nil {
					b.Error(err)
				}
				done <- entry.ID
			}
		})
	}
	running.Go(func() {
		defer close(entries)
		for ctx.Err() == nil {
			read, _ := client.XReadGroup(ctx, &redis.XReadGroupArgs{
				Group: "simple", Consumer: "c", Streams: []string{stream, ">"}, Count: 100, Block: 100 * time.Millisecond,
			}).Result()
			if len(read) == 0 {
				continue
			}
			go func() {
				for _, entry := range read[0].Messages {
					entries <- entry
				}
			}()
			ids := make([]string, 0, 100)
			for range read[0].Messages {
				ids = append(ids, <-done)
			}
			client.XAck(ctx, stream, "simple", ids...)
		}
	})
	return func() { cancel(); running.Wait(); posts.CloseIdleConnections() }
}

func eventOf(entry redis.XMessage) rawevent.Event {
	value := func(name string) string { s, _ := entry.Values[name].(string); return s }
	e := rawevent.New(value("ce_id"), value("ce_source"), value("ce_type"))
	e.Set("time", value("ce_time"))
	e.DataContentType, e.Data = value("content-type"), []byte(value("data"))
	return e
}
