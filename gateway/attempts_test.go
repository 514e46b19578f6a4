package gateway_test

import (
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
)

const never = setting.Duration(1000 * time.Hour) // a delay that does not pass

// eachOrder runs a test without order and with it.
func eachOrder(t *testing.T, test func(t *testing.T, order string)) {
	t.Helper()
	for _, order := range []string{"none", "byKey"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			test(t, order)
		})
	}
}

// elapse moves the due times of all retries that wait to the present, as if their delays had passed while no gateway
// ran.
func elapse(t testing.TB, client redis.UniversalClient, stream string) {
	t.Helper()
	ctx := context.Background()
	key := state.RetriesKey(stream, "sub")
	records, err := client.HGetAll(ctx, key).Result()
	if err != nil {
		t.Fatal(err)
	}
	for id, record := range records {
		_, rest, _ := strings.Cut(record, " ")
		if err := client.HSet(ctx, key, id, "0 "+rest).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAttemptsAreCountedOverRestarts: each gateway makes one attempt with an event and is stopped; the second attempt
// is the last one with retry: 1, and is made when the delay has passed. Events that waited for others of their key have
// all of their attempts left.
func TestAttemptsAreCountedOverRestarts(t *testing.T) {
	t.Parallel()
	eachOrder(t, func(t *testing.T, order string) {
		client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
		var attempts [2]atomic.Int64
		s := newSink(t, func(r *http.Request, _ int) int {
			attempts[r.Header.Get("Ce-Id")[2]-'0'].Add(1)
			return http.StatusInternalServerError
		})
		c := subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
			c.Order, c.Delivery.Retry = order, 1
			c.Delivery.BackoffDelay, c.Delivery.MaxDelay = never, never
		})
		dead := state.DeadLetterStream(stream)
		for i := range int64(2) {
			g := start(t, client, c)
			if i == 0 {
				publish(t, g, stream, keyed("k", 0))
			}
			redistest.Eventually(t, "an attempt with the first event is settled", func() bool {
				return attempts[0].Load() == i+1 && counter(t, g.registry, "streamgate_delivery_attempts_total") >= 1
			})
			if order == "byKey" && i == 0 {
				publish(t, g, stream, keyed("k", 1))
				redistest.Eventually(t, "the second event waits", func() bool {
					return pendingOf(client, stream) == 2
				})
			}
			if n := client.XLen(context.Background(), dead).Val(); n != 0 && i < 1 {
				t.Fatalf("dead-lettered after %d attempts", i+1)
			}
			if i == 1 {
				redistest.Eventually(t, "the first event is dead-lettered", func() bool { return client.XLen(context.Background(), dead).Val() > 0 })
			}
			g.stop()
			elapse(t, client, stream)
		}
		if order == "none" {
			return
		}
		for n := attempts[1].Load(); client.XLen(context.Background(), dead).Val() == 1; n = attempts[1].Load() {
			g := start(t, client, c)
			redistest.Eventually(t, "an attempt with the second event is settled", func() bool {
				return attempts[1].Load() == n+1 && counter(t, g.registry, "streamgate_delivery_attempts_total") >= 1
			})
			g.stop()
			elapse(t, client, stream)
		}
		if first, second := attempts[0].Load(), attempts[1].Load(); first != 2 || second != 2 {
			t.Errorf("%d and %d attempts, want 2 of each", first, second)
		}
	})
}

// TestAttemptsAreCountedOverACrash: the replica that tries is cut off from Redis for good; another one goes on
// counting.
func TestAttemptsAreCountedOverACrash(t *testing.T) {
	t.Parallel()
	eachOrder(t, func(t *testing.T, order string) {
		stream := redistest.Stream(t)
		s := newSink(t, func(*http.Request, int) int { return http.StatusInternalServerError })
		c := subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
			c.Order, c.LeaseDuration = order, setting.Duration(time.Second)
			c.Delivery.BackoffDelay, c.Delivery.MaxDelay = never, never
		})
		proxy, cutOff := behindProxy(t)
		first := start(t, cutOff, c)
		publish(t, first, stream, event("1"))
		redistest.Eventually(t, "an attempt is settled", func() bool {
			return counter(t, first.registry, "streamgate_delivery_attempts_total") == 1
		})
		proxy.Blackhole(true)
		client := redistest.Shared(t).Client()
		c.Subscriptions[0].Delivery.BackoffDelay = setting.Duration(time.Millisecond)
		start(t, client, c)
		redistest.Eventually(t, "the event is dead-lettered", func() bool { return nothingPending(client, stream, "sub") })
		proxy.Blackhole(false) // so that the first one stops soon
		if n := len(s.all()); n != 4 {
			t.Errorf("%d attempts, want 4", n)
		}
	})
}

// TestHandOverIsNoAttempt: an attempt that a stop cuts off does not count, however often that happens.
func TestHandOverIsNoAttempt(t *testing.T) {
	t.Parallel()
	eachOrder(t, func(t *testing.T, order string) {
		client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
		begun := make(chan struct{}, 1)
		var hanging atomic.Bool
		var refused atomic.Int64
		hanging.Store(true)
		s := newSink(t, func(r *http.Request, _ int) int {
			if hanging.Load() {
				begun <- struct{}{}
				<-r.Context().Done()
				return 202 // nobody hears it
			}
			refused.Add(1)
			return http.StatusInternalServerError
		})
		c := subscribed(oneStream(stream), s.url, func(c *delivery.Config) { c.Order = order })
		c.Server = ingress.NewConfig()
		c.Server.Address, c.Server.ShutdownTimeout = "127.0.0.1:0", setting.Duration(time.Millisecond)
		for i := range 2 {
			g := start(t, client, c)
			if i == 0 {
				publish(t, g, stream, event("1"))
			}
			<-begun
			g.stop()
		}
		hanging.Store(false)
		start(t, client, c)
		redistest.Eventually(t, "the event is dead-lettered", func() bool { return nothingPending(client, stream, "sub") })
		if n := refused.Load(); n != 4 {
			t.Errorf("%d attempts that the sink refused, want 4", n)
		}
	})
}
