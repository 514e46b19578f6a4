package redisstreams_test

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func TestMain(m *testing.M) { redistest.Main(m) }

// sample returns a valid event with JSON data.
func sample(id string) rawevent.Event {
	e := rawevent.New(id, "https://example.com/things", "com.example.created")
	e.DataContentType, e.Data = "application/json", []byte(`{"n":1}`)
	return e
}

func newSender(t testing.TB, client redis.UniversalClient, stream string, opts ...redisstreams.SenderOption) *redisstreams.Sender {
	t.Helper()
	sender, err := redisstreams.NewSender(client, stream, opts...)
	if err != nil {
		t.Fatal(err)
	}
	return sender
}

// startConsumer runs a consumer until the test or stop ends it.
func startConsumer(t testing.TB, client redis.UniversalClient, stream string, opts ...redisstreams.ConsumerOption) (c *redisstreams.Consumer, stop func()) {
	t.Helper()
	c, err := redisstreams.NewConsumer(client, stream, "group", append([]redisstreams.ConsumerOption{redisstreams.WithStart("0")}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- c.Run(ctx) }()
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	}
	t.Cleanup(stop)
	return c, stop
}

// receive returns exactly n deliveries.
func receive(t testing.TB, c *redisstreams.Consumer, n int) []*redisstreams.Delivery {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	var all []*redisstreams.Delivery
	for len(all) < n {
		batch, err := c.ReceiveBatch(ctx, n-len(all))
		if err != nil {
			t.Fatalf("received %d of %d: %v", len(all), n, err)
		}
		all = append(all, batch...)
	}
	return all
}

func pending(t testing.TB, client redis.UniversalClient, stream string) int64 {
	t.Helper()
	p, err := client.XPending(context.Background(), stream, "group").Result()
	if err != nil {
		t.Fatal(err)
	}
	return p.Count
}
