package redisstreams_test

import (
	"context"
	"fmt"
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

// hubbed is a hub with consumers, which count what they get.
type hubbed struct {
	hub      *redisstreams.Hub
	received atomic.Int64
}

// startHub runs a hub and a consumer for each group until the test ends. handle decides what becomes of a delivery.
func startHub(t *testing.T, client redis.UniversalClient, stream string, groups int, handle func(*redisstreams.Delivery), opts ...redisstreams.ConsumerOption) *hubbed {
	t.Helper()
	h := &hubbed{hub: redisstreams.NewHub(client, stream)}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	running.Go(func() { _ = h.hub.Run(ctx) })
	for i := range groups {
		all := append([]redisstreams.ConsumerOption{redisstreams.WithStart("0"), redisstreams.WithHub(h.hub)}, opts...)
		c, err := redisstreams.NewConsumer(client, stream, fmt.Sprint("g", i), all...)
		if err != nil {
			t.Fatal(err)
		}
		running.Go(func() { _ = c.Run(ctx) })
		running.Go(func() {
			for {
				batch, err := c.ReceiveBatch(ctx, 16)
				if err != nil {
					return
				}
				for _, d := range batch {
					h.received.Add(1)
					handle(d)
				}
			}
		})
	}
	return h
}

func appendBatch(t *testing.T, client redis.UniversalClient, stream string, n int) {
	t.Helper()
	events := make([]rawevent.Event, n)
	for i := range events {
		events[i] = rawevent.New(fmt.Sprint(i), "/s", "t")
	}
	if _, err := newSender(t, client, stream).AppendAll(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

// TestHub: every group gets everything, and no more than one connection waits for it.
func TestHub(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		server := redistest.Start(t, redistest.WithBinary(flavor.Binary))
		client, stream := server.Client(), redistest.Stream(t)
		const groups, events = 300, 20
		h := startHub(t, client, stream, groups, (*redisstreams.Delivery).Ack)
		for round := range 3 {
			appendBatch(t, client, stream, events)
			want := int64(groups * events * (round + 1))
			redistest.Eventually(t, "all groups have all entries", func() bool { return h.received.Load() == want })
		}
		redistest.Eventually(t, "everything is acknowledged", func() bool {
			for _, g := range client.XInfoGroups(context.Background(), stream).Val() {
				if g.Pending > 0 {
					return false
				}
			}
			return true
		})
		if n := infoValue(t, client, "clients", "blocked_clients"); n > 1 {
			t.Errorf("%d connections are blocked", n)
		}
	})
}

func infoValue(t *testing.T, client redis.UniversalClient, section, name string) (n int) {
	t.Helper()
	for line := range strings.Lines(client.Info(context.Background(), section).Val()) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), name+":"); found {
			if _, err := fmt.Sscan(value, &n); err != nil {
				t.Fatal(err)
			}
			return n
		}
	}
	t.Fatalf("INFO %s has no %s", section, name)
	return 0
}

// TestIdleHubAsksLittle: waiting costs a few commands a second, however many groups there are.
func TestIdleHubAsksLittle(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, stream := server.Client(), redistest.Stream(t)
	h := startHub(t, client, stream, 200, (*redisstreams.Delivery).Ack)
	appendBatch(t, client, stream, 1)
	redistest.Eventually(t, "all groups have it", func() bool { return h.received.Load() == 200 })
	redistest.Eventually(t, "nothing is pending", func() bool {
		return client.XPending(context.Background(), stream, "g0").Val().Count == 0
	})
	before, started := infoValue(t, client, "stats", "total_commands_processed"), time.Now()
	redistest.Eventually(t, "three seconds pass", func() bool { return time.Since(started) > 3*time.Second })
	// A sweep of all groups every five seconds is the safety net: 200 / 5 a second, and a few of the hub's own.
	asked := infoValue(t, client, "stats", "total_commands_processed") - before
	if asked > 3*(200/5+30)+200 {
		t.Errorf("%d commands in three seconds", asked)
	}
}

// TestHubTakesOver: entries of a dead member are found though nothing new comes.
func TestHubTakesOver(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		client, stream := redistest.Start(t, redistest.WithBinary(flavor.Binary)).Client(), redistest.Stream(t)
		const lease = 500 * time.Millisecond
		appendBatch(t, client, stream, 3)
		dead, err := redisstreams.NewConsumer(client, stream, "g0", redisstreams.WithStart("0"), redisstreams.WithLease(lease))
		if err != nil {
			t.Fatal(err)
		}
		if batch, err := dead.ReceiveBatch(context.Background(), 3); err != nil || len(batch) != 3 { // and Run never runs
			t.Fatal(len(batch), err)
		}
		died := time.Now()
		h := startHub(t, client, stream, 1, (*redisstreams.Delivery).Ack, redisstreams.WithLease(lease))
		redistest.Eventually(t, "they are taken over", func() bool { return h.received.Load() == 3 })
		if took := time.Since(died); took > lease+2*time.Second {
			t.Errorf("only after %s", took)
		}
	})
}

// TestHubAfterLoss: what comes after the stream or everything was deleted is found, soon.
func TestHubAfterLoss(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(c *redis.Client, stream string) error{
		"del":      func(c *redis.Client, stream string) error { return c.Del(context.Background(), stream).Err() },
		"flushall": func(c *redis.Client, _ string) error { return c.FlushAll(context.Background()).Err() },
		"destroy": func(c *redis.Client, stream string) error {
			return c.XGroupDestroy(context.Background(), stream, "g0").Err()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Start(t).Client(), redistest.Stream(t)
			h := startHub(t, client, stream, 2, (*redisstreams.Delivery).Ack)
			appendBatch(t, client, stream, 5)
			redistest.Eventually(t, "all is read", func() bool { return h.received.Load() == 10 })
			if err := lose(client, stream); err != nil {
				t.Fatal(err)
			}
			appendBatch(t, client, stream, 1)
			redistest.Eventually(t, "what came afterwards is read", func() bool { return h.received.Load() >= 12 })
		})
	}
}

// TestHubThroughAnOutage: every consumer goes on after Redis was away.
func TestHubThroughAnOutage(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithAOF("always"))
	client, stream := server.Client(), redistest.Stream(t)
	h := startHub(t, client, stream, 20, (*redisstreams.Delivery).Ack)
	appendBatch(t, client, stream, 5)
	redistest.Eventually(t, "all is read", func() bool { return h.received.Load() == 100 })
	server.Kill()
	server.Restart()
	redistest.Eventually(t, "Redis is back", func() bool { return client.Ping(context.Background()).Err() == nil })
	appendBatch(t, client, stream, 5)
	redistest.Eventually(t, "all is read again", func() bool { return h.received.Load() >= 200 })
}

func TestHubOfAnotherStream(t *testing.T) {
	t.Parallel()
	client := redistest.Shared(t).Client()
	if _, err := redisstreams.NewConsumer(client, "a", "g", redisstreams.WithHub(redisstreams.NewHub(client, "b"))); err == nil {
		t.Error("it is accepted")
	}
}

// TestFence: a member reads while its token is in the key, and not when another one is.
func TestFence(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		client, stream := redistest.Start(t, redistest.WithBinary(flavor.Binary)).Client(), "{tag}stream"
		hub := redisstreams.NewHub(client, stream)
		ctx, stop := context.WithCancel(context.Background())
		var running sync.WaitGroup
		running.Go(func() { _ = hub.Run(ctx) })
		defer running.Wait()
		defer stop()
		if _, err := redisstreams.NewConsumer(client, stream, "group", redisstreams.WithFence("{tag}lease", "a")); err == nil {
			t.Error("a fence without a hub")
		}
		if err := client.Set(ctx, "{tag}lease", "a", 0).Err(); err != nil {
			t.Fatal(err)
		}
		c, _ := startConsumer(t, client, stream, redisstreams.WithHub(hub), redisstreams.WithFence("{tag}lease", "a"))
		s := newSender(t, client, stream)
		mustAppend(t, s, sample("1"))
		if batch := receive(t, c, 1); len(batch) != 1 {
			t.Fatal(batch)
		}
		if err := client.Set(ctx, "{tag}lease", "b", 0).Err(); err != nil {
			t.Fatal(err)
		}
		mustAppend(t, s, sample("2"))
		for range 3 {
			if batch, err := c.Poll(ctx, 10, 100*time.Millisecond); err != nil || len(batch) != 0 {
				t.Errorf("read %v behind the fence, %v", batch, err)
			}
		}
		if err := client.Set(ctx, "{tag}lease", "a", 0).Err(); err != nil {
			t.Fatal(err)
		}
		if batch := receive(t, c, 1); len(batch) != 1 {
			t.Fatal(batch)
		}
	})
}
