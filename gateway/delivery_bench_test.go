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

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// BenchmarkDelivery delivers events of 1 KB from Redis to a sink in the same process.
//
//	events/s  from the first to the last delivery
//	ratio     events/s over those of a bare loop of net/http's client that posts the same requests to the same sink, with
//	          as many at a time; the two take turns
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
	var oursTook, baseTook time.Duration
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
		b.StartTimer()
		g := launch(b, client, subscribed(oneStream(stream), server.URL, func(c *gateway.SubscriptionConfig) {
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
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: concurrency, MaxConnsPerHost: concurrency, DisableCompression: true}}
	defer client.CloseIdleConnections()
	event := benchEvent()
	var left atomic.Int64
	left.Store(int64(n))
	var posting sync.WaitGroup
	for range concurrency {
		posting.Go(func() {
			for left.Add(-1) >= 0 {
				header := http.Header{"User-Agent": []string{"streamgate/test"}}
				event.WriteHTTP(header)
				request, err := http.NewRequest(http.MethodPost, url, bytes.NewReader(event.Data))
				if err != nil {
					b.Error(err)
					return
				}
				request.Header = header
				response, err := client.Do(request)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, response.Body)
				_ = response.Body.Close()
			}
		})
	}
	posting.Wait()
}
