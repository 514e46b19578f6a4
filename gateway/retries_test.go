package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
)

// askingSink answers the events named bad with a failure and, while asking, a Retry-After.
type askingSink struct {
	url string

	mu     sync.Mutex
	status int
	after  string
	times  map[string][]time.Time // of requests, by event id
}

func newAskingSink(t testing.TB, status int, after string) *askingSink {
	t.Helper()
	s := &askingSink{status: status, after: after, times: map[string][]time.Time{}}
	s.url = newServer(t, s)
	return s
}

func (s *askingSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	id := r.Header.Get("Ce-Id")
	s.times[id] = append(s.times[id], time.Now())
	if id != "bad" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if s.after != "" {
		w.Header().Set("Retry-After", s.after)
	}
	w.WriteHeader(s.status)
}

func (s *askingSink) requests(id string) []time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]time.Time(nil), s.times[id]...)
}

func (s *askingSink) answer(status int, after string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.status, s.after = status, after
}

// TestWaitingRetryKeepsItsTime: neither restarts nor a second replica bring a retry forward or use up an attempt, and
// in the end every attempt was made.
func TestWaitingRetryKeepsItsTime(t *testing.T) {
	t.Parallel()
	eachOrder(t, func(t *testing.T, order string) {
		client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
		s := newAskingSink(t, http.StatusInternalServerError, "600")
		c := subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
			c.Order, c.LeaseDuration, c.Delivery.Retry = order, setting.Duration(time.Second), 3
		})
		for i := range 5 {
			g := start(t, client, c)
			if i == 0 {
				publish(t, g, stream, event("bad"))
			}
			id := fmt.Sprint("good-", i)
			publish(t, g, stream, keyed(id, 0))
			redistest.Eventually(t, "another event is delivered", func() bool { return len(s.requests(id+"/0")) == 1 })
			redistest.Eventually(t, "the retry waits", func() bool {
				return pendingOf(client, stream) == 1 && client.HLen(context.Background(), state.RetriesKey(stream, "sub")).Val() == 1
			})
			g.stop()
		}
		if n := len(s.requests("bad")); n != 1 {
			t.Errorf("%d attempts before the delay was over, want 1", n)
		}
		s.answer(http.StatusInternalServerError, "")
		elapse(t, client, stream)
		start(t, client, c)
		redistest.Eventually(t, "the event is dead-lettered", func() bool { return nothingPending(client, stream, "sub") })
		if n := len(s.requests("bad")); n != 4 {
			t.Errorf("%d attempts with retry: 3, want 4", n)
		}
		redistest.Eventually(t, "no record is left", func() bool {
			return client.Exists(context.Background(), state.RetriesKey(stream, "sub")).Val() == 0
		})
	})
}

// TestTooManyRequestsHoldsTheSink: after 429 with Retry-After, in both forms, no event is sent to the sink until then,
// by no replica, also after a restart.
func TestTooManyRequestsHoldsTheSink(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func() string{
		"seconds": func() string { return "4" },
		"date":    func() string { return time.Now().Add(5 * time.Second).UTC().Format(http.TimeFormat) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			s := newAskingSink(t, http.StatusTooManyRequests, after())
			c := subscribed(oneStream(stream), s.url)
			g := start(t, client, c)
			publish(t, g, stream, event("bad"))
			redistest.Eventually(t, "the pause is known to all", func() bool {
				return client.HLen(context.Background(), state.PausesKey(stream)).Val() == 1
			})
			asked := s.requests("bad")[0]
			s.answer(http.StatusNoContent, "")
			publish(t, g, stream, event("one"), event("two"))
			g.stop()
			start(t, client, c)
			redistest.Eventually(t, "everything is delivered", func() bool { return nothingPending(client, stream, "sub") })
			for _, id := range []string{"one", "two"} {
				if wait := s.requests(id)[0].Sub(asked); wait < 3*time.Second {
					t.Errorf("event %s was sent after %s", id, wait)
				}
			}
			if wait := s.requests("bad")[1].Sub(asked); wait < 3*time.Second {
				t.Errorf("the event itself was sent again after %s", wait)
			}
		})
	}
}

// TestAttemptsOfAnOlderBuild: entries that are pending with Redis' delivery count only go on from there.
func TestAttemptsOfAnOlderBuild(t *testing.T) {
	t.Parallel()
	eachOrder(t, func(t *testing.T, order string) {
		client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
		ctx := context.Background()
		s := newAskingSink(t, http.StatusInternalServerError, "")
		c := subscribed(oneStream(stream), s.url, func(c *delivery.Config) {
			c.Order, c.LeaseDuration, c.Delivery.Retry = order, setting.Duration(time.Second), 3
		})
		if err := client.XGroupCreateMkStream(ctx, stream, "streamgate:sub", "0").Err(); err != nil {
			t.Fatal(err)
		}
		publish(t, start(t, client, oneStream(stream)), stream, event("bad"))
		read, err := client.XReadGroup(ctx, &redis.XReadGroupArgs{
			Group: "streamgate:sub", Consumer: "old", Streams: []string{stream, ">"}, Block: -1,
		}).Result()
		if err != nil {
			t.Fatal(err)
		}
		id := read[0].Messages[0].ID
		err = client.Do(ctx, "XCLAIM", stream, "streamgate:sub", "old", 0, id, "IDLE", 60_000, "RETRYCOUNT", 3, "JUSTID").Err()
		if err != nil {
			t.Fatal(err)
		}
		start(t, client, c)
		redistest.Eventually(t, "the event is dead-lettered", func() bool { return nothingPending(client, stream, "sub") })
		if n := len(s.requests("bad")); n != 2 { // the third, of which the end is not known, and the fourth
			t.Errorf("%d attempts, want 2", n)
		}
	})
}
