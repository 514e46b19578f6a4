package gateway_test

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// clockedSink takes everything and remembers when.
func clockedSink(t testing.TB) (*testSink, func() []time.Time) {
	t.Helper()
	var mu sync.Mutex
	var times []time.Time
	s := newSink(t, func(*http.Request, int) int {
		mu.Lock()
		defer mu.Unlock()
		times = append(times, time.Now())
		return 202
	})
	return s, func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(times)
	}
}

// TestRateLimit: in no window of the deliveries are more than the limit and its burst allow.
func TestRateLimit(t *testing.T) {
	t.Parallel()
	const rate, burst, events = 20.0, 4, 60
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s, times := clockedSink(t)
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.RateLimit, c.Concurrency = rate, burst
	}))
	for i := range events {
		publish(t, g, stream, event(fmt.Sprint(i)))
	}
	redistest.Eventually(t, "all are delivered", func() bool { return nothingPending(client, stream, "sub") })
	at := times()
	for first := range at {
		for last := first; last < len(at); last++ {
			const slack = 2 // what began in time may arrive late
			if allowed := burst + slack + rate*at[last].Sub(at[first]).Seconds(); float64(last-first+1) > allowed {
				t.Fatalf("%d deliveries within %s, allowed are %.1f", last-first+1, at[last].Sub(at[first]), allowed)
			}
		}
	}
	if took := at[len(at)-1].Sub(at[0]); took > 2*time.Duration((events-burst)/rate*float64(time.Second)) {
		t.Errorf("it took %s, which is far below the limit", took)
	}
}

// TestRateLimitIsForDeliveries: waiting for events, and those that the filters drop, use nothing of it up.
func TestRateLimitIsForDeliveries(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s, _ := clockedSink(t)
	c := subscribed(oneStream(stream), s.url, onlyType("wanted"), func(c *delivery.Config) {
		c.RateLimit = 0.01 // one, and the next after 100 s
		c.LeaseDuration = setting.Duration(time.Second)
	})
	g := start(t, client, c)
	for i := range 20 {
		publish(t, g, stream, event(fmt.Sprint("unwanted-", i)))
	}
	redistest.Eventually(t, "the others are dropped", func() bool {
		return counter(t, g.registry, "streamgate_deliveries_total", "filtered") == 20
	})
	e := event("1")
	e.Set("type", "wanted")
	began := time.Now()
	publish(t, g, stream, e)
	redistest.Eventually(t, "it is delivered", func() bool { return len(s.all()) == 1 })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
}

// oldEvent adds an event that was stored an hour ago.
func oldEvent(t testing.TB, client redis.UniversalClient, stream string) {
	t.Helper()
	err := client.XAdd(context.Background(), &redis.XAddArgs{
		Stream: stream, ID: fmt.Sprintf("%d-0", time.Now().Add(-time.Hour).UnixMilli()),
		Values: []string{"ce_specversion", "1.0", "ce_id", "old", "ce_source", "/s", "ce_type", "com.example.created"},
	}).Err()
	if err != nil {
		t.Fatal(err)
	}
}

// TestDeadline: an event older than that is tried once, a younger one as often as retry says, and none is tried after
// it.
func TestDeadline(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, func(r *http.Request, _ int) int {
		if r.Header.Get("Ce-Id") == "good" { // so that the failures are those of single events
			return 202
		}
		return http.StatusInternalServerError
	})
	oldEvent(t, client, stream)
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Delivery.Retry, c.Delivery.Deadline = 3, setting.Duration(time.Minute)
	}))
	dead := state.DeadLetterStream(stream)
	redistest.Eventually(t, "the old event is dead-lettered", func() bool {
		return client.XLen(context.Background(), dead).Val() == 1 && nothingPending(client, stream, "sub")
	})
	if n := len(s.all()); n != 1 {
		t.Errorf("%d attempts with the old event", n)
	}
	publish(t, g, stream, event("good"))
	redistest.Eventually(t, "a good one is delivered", func() bool { return delivered(t, g) == 1 })
	publish(t, g, stream, event("young"))
	redistest.Eventually(t, "the young one is dead-lettered", func() bool {
		return client.XLen(context.Background(), dead).Val() == 2 && nothingPending(client, stream, "sub")
	})
	if n := len(s.all()); n != 1+1+4 {
		t.Errorf("%d attempts with the young event", n-2)
	}
}

// TestDeadlineBeforeTheNextAttempt: an event whose next attempt would come too late does not wait for it.
func TestDeadlineBeforeTheNextAttempt(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, func(*http.Request, int) int { return http.StatusInternalServerError })
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Delivery.BackoffDelay, c.Delivery.MaxDelay, c.Delivery.Deadline = never, never, setting.Duration(time.Minute)
	}))
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "it is dead-lettered", func() bool {
		return client.XLen(context.Background(), state.DeadLetterStream(stream)).Val() == 1
	})
	if n := len(s.all()); n != 1 {
		t.Errorf("%d attempts", n)
	}
}

// TestMaxParked: with so many events waiting for their next attempt nothing new is read, and it goes on afterwards.
func TestMaxParked(t *testing.T) {
	t.Parallel()
	const limit, workers, events = 5, 2, 40
	for _, order := range []string{"none", "byKey"} {
		t.Run(order, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			var working atomic.Bool
			s := newSink(t, func(*http.Request, int) int {
				if working.Load() {
					return 202
				}
				return http.StatusInternalServerError
			})
			g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
				c.MaxParked, c.Concurrency, c.Order, c.Delivery.Retry = limit, workers, order, 1000
			}))
			for i := range events {
				publish(t, g, stream, keyed("k", i))
			}
			redistest.Eventually(t, "it has been tried for a while", func() bool { return len(s.all()) >= 5 })
			if n := pendingOf(client, stream); n > limit+workers {
				t.Errorf("%d events were read", n)
			}
			working.Store(true)
			redistest.Eventually(t, "all are delivered", func() bool { return delivered(t, g) == events && nothingPending(client, stream, "sub") })
		})
	}
}

// TestRetryAfterIsBounded: a sink cannot hold an event back for longer than retryAfterMax; 0 does not listen to it at
// all.
func TestRetryAfterIsBounded(t *testing.T) {
	t.Parallel()
	for name, bound := range map[string]time.Duration{"a second": time.Second, "ignored": 0} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			times := make(chan time.Time, 10)
			url := newServer(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				times <- time.Now()
				if len(times) == 1 {
					w.Header().Set("Retry-After", "3600")
					w.WriteHeader(http.StatusInternalServerError)
				}
			}))
			g := start(t, client, subscribed(oneStream(stream), url, func(c *delivery.Config) {
				c.Delivery.RetryAfterMax = setting.Duration(bound)
			}))
			publish(t, g, stream, event("1"))
			redistest.Eventually(t, "it is delivered", func() bool { return delivered(t, g) == 1 })
			if took := -(<-times).Sub(<-times); took < bound || took > bound+5*time.Second {
				t.Errorf("the second attempt came after %s", took)
			}
		})
	}
}

// TestMaxDelay bounds what the policy says.
func TestMaxDelay(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, func(*http.Request, int) int { return http.StatusInternalServerError })
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Delivery.BackoffDelay, c.Delivery.MaxDelay, c.Delivery.Retry = never, setting.Duration(10*time.Millisecond), 4
	}))
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "it is dead-lettered", func() bool {
		return client.XLen(context.Background(), state.DeadLetterStream(stream)).Val() == 1
	})
	if n := len(s.all()); n != 5 {
		t.Errorf("%d attempts, want 5", n)
	}
}

// TestDeadLetterSinkRecovers: it is tried again, by the same policy as the sink; what it refuses for good is not.
func TestDeadLetterSinkRecovers(t *testing.T) {
	t.Parallel()
	for status, want := range map[int]int64{http.StatusServiceUnavailable: 0, http.StatusBadRequest: 1} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			s := newSink(t, func(*http.Request, int) int { return http.StatusBadRequest })
			morgue := newSink(t, func(_ *http.Request, n int) int {
				if n < 3 {
					return status
				}
				return http.StatusNoContent
			})
			g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
				c.Delivery.DeadLetterSink.URI = morgue.url
				c.Delivery.Retry = 5
			}))
			publish(t, g, stream, event("1"))
			redistest.Eventually(t, "it is settled", func() bool { return nothingPending(client, stream, "sub") })
			if n := client.XLen(context.Background(), state.DeadLetterStream(stream)).Val(); n != want {
				t.Errorf("%d in the stream, want %d", n, want)
			}
			if n := len(s.all()); n != 1 {
				t.Errorf("%d attempts at the sink, want 1", n)
			}
		})
	}
}

// TestStopWhileADeadLetterWaits: the entry stays pending until its dead letter is stored, so that a stop loses nothing.
func TestStopWhileADeadLetterWaits(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, func(*http.Request, int) int { return http.StatusBadRequest })
	morgue := newSink(t, func(*http.Request, int) int { return http.StatusServiceUnavailable })
	c := subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Delivery.DeadLetterSink.URI = morgue.url
		c.Delivery.BackoffDelay, c.Delivery.MaxDelay = setting.Duration(time.Hour), setting.Duration(time.Hour)
	})
	g := start(t, client, c)
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "the dead letter is refused", func() bool { return len(morgue.all()) == 1 })
	g.stop()
	if nothingPending(client, stream, "sub") {
		t.Fatal("the entry is acknowledged, and its dead letter is nowhere")
	}
	c.Subscriptions[0].Delivery.DeadLetterSink.URI = ""
	elapse(t, client, stream) // it keeps its time over the restart
	start(t, client, c)
	redistest.Eventually(t, "it is settled", func() bool { return nothingPending(client, stream, "sub") })
	if letters := readEvents(t, client, state.DeadLetterStream(stream)); len(letters) != 1 || letters[0].ID() != "1" {
		t.Errorf("the stream holds %+v", letters)
	}
}

// TestOutagesCount: with outages: count a sink that cannot be reached uses up the retries, as in Knative.
func TestOutagesCount(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, func(*http.Request, int) int { return http.StatusServiceUnavailable })
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Delivery.Outages, c.Delivery.Retry = "count", 2
	}))
	var events []rawevent.Event
	for i := range 20 {
		events = append(events, event(fmt.Sprint(i)))
	}
	publish(t, g, stream, events...)
	redistest.Eventually(t, "all are dead-lettered", func() bool {
		return client.XLen(context.Background(), state.DeadLetterStream(stream)).Val() == 20 && nothingPending(client, stream, "sub")
	})
	if n := len(s.all()); n != 60 {
		t.Errorf("%d attempts, want 3 for each of 20 events", n)
	}
	if strings.Contains(g.logs.String(), "does not take events") {
		t.Error("the circuit has opened")
	}
}

// TestDeadLettersArePosted: to deadLetterSink.uri, and where that does not take them, they go into the stream.
func TestDeadLettersArePosted(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newSink(t, func(*http.Request, int) int { return http.StatusBadRequest })
	var working atomic.Bool
	working.Store(true)
	morgue := newSink(t, func(*http.Request, int) int {
		if working.Load() {
			return 202
		}
		return http.StatusInternalServerError
	})
	g := start(t, client, subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
		c.Delivery.DeadLetterSink.URI = morgue.url + "/?token=secret"
		c.Delivery.Retry = 2
	}))
	publish(t, g, stream, event("1"))
	redistest.Eventually(t, "it is settled", func() bool { return nothingPending(client, stream, "sub") })
	got := morgue.all()
	if len(got) != 1 {
		t.Fatalf("%d dead letters were posted", len(got))
	}
	dest, _ := got[0].event.Attribute("knativeerrordest")
	code, _ := got[0].event.Attribute("knativeerrorcode")
	data, found := got[0].event.Attribute("knativeerrordata")
	if _, err := base64.StdEncoding.DecodeString(data); got[0].event.ID() != "1" || dest != s.url || code != "400" || !found || err != nil {
		t.Errorf("the dead letter is %+v", got[0].event)
	}
	dead := state.DeadLetterStream(stream)
	if n := client.XLen(context.Background(), dead).Val(); n != 0 {
		t.Errorf("%d in the stream, too", n)
	}
	working.Store(false)
	publish(t, g, stream, event("2"))
	redistest.Eventually(t, "it is settled", func() bool { return nothingPending(client, stream, "sub") })
	if letters := readEvents(t, client, dead); len(letters) != 1 || letters[0].ID() != "2" {
		t.Errorf("the stream holds %+v", letters)
	}
	if n := len(s.all()); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
	if n := len(morgue.all()); n != 4 {
		t.Errorf("%d posts to the dead-letter sink, want 1 and then 3", n)
	}
	if strings.Contains(g.logs.String(), "secret") {
		t.Error("the log holds the secret of the address")
	}
}
