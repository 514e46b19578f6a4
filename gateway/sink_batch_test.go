package gateway_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// batchedSink takes batches.
type batchedSink struct {
	url    string
	answer func(ids []string, n int) int // status for the n-th request

	mu      sync.Mutex
	taken   []string // ids of events that were answered 2xx
	batches []int    // sizes of all requests
}

func newBatchedSink(t *testing.T, answer func(ids []string, n int) int) *batchedSink {
	t.Helper()
	s := &batchedSink{answer: answer}
	server := httptest.NewServer(s)
	t.Cleanup(server.Close)
	s.url = server.URL
	return s
}

func (s *batchedSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var events []rawevent.Event
	if err == nil {
		events, err = rawevent.BatchFromHTTP(r.Header, body)
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
		return
	}
	ids := make([]string, len(events))
	for i := range events {
		ids[i] = events[i].ID()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.batches = append(s.batches, len(events))
	status := http.StatusAccepted
	if s.answer != nil {
		status = s.answer(ids, len(s.batches))
	}
	if status < 300 {
		s.taken = append(s.taken, ids...)
	}
	w.WriteHeader(status)
}

func (s *batchedSink) look() (taken []string, batches []int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Sorted(slices.Values(s.taken)), slices.Clone(s.batches)
}

func batched(c *delivery.Config) {
	c.Delivery.Format = "batch"
	c.Delivery.Batch = sink.BatchConfig{MaxEvents: 10, MaxDelay: setting.Duration(200 * time.Millisecond)}
	c.Concurrency = 2
}

func numbered(n int) (events []rawevent.Event, ids []string) {
	for i := range n {
		id := fmt.Sprintf("%03d", i)
		events, ids = append(events, event(id)), append(ids, id)
	}
	return events, ids
}

// TestBatchesAreDelivered (HTTP protocol binding section 3.3): full ones at once, others when they are old enough, each
// event once, and none in another than batched mode.
func TestBatchesAreDelivered(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newBatchedSink(t, nil)
	c := subscribed(oneStream(stream), s.url, batched)
	g := launch(t, client, oneStream(stream))
	redistest.Eventually(t, "the gateway is ready", func() bool { return g.Ready(t.Context()) == nil })
	events, ids := numbered(103)
	publish(t, g, stream, events...)
	start(t, client, c)
	redistest.Eventually(t, "all are delivered", func() bool { taken, _ := s.look(); return slices.Equal(taken, ids) })
	_, batches := s.look()
	if slices.Max(batches) != 10 || len(batches) > 20 {
		t.Errorf("batches of %v", batches)
	}
	redistest.Eventually(t, "nothing is pending", func() bool { return nothingPending(client, stream, "sub") })
}

// TestRefusedBatchIsDivided: an event that the sink cannot take takes no other with it, and becomes a dead letter
// alone.
func TestRefusedBatchIsDivided(t *testing.T) {
	t.Parallel()
	for _, status := range []int{http.StatusBadRequest, http.StatusRequestEntityTooLarge, http.StatusUnprocessableEntity} {
		t.Run(fmt.Sprint(status), func(t *testing.T) {
			t.Parallel()
			client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
			s := newBatchedSink(t, func(ids []string, _ int) int {
				if slices.Contains(ids, "007") {
					return status
				}
				return http.StatusOK
			})
			g := start(t, client, subscribed(oneStream(stream), s.url, batched))
			events, ids := numbered(40)
			publish(t, g, stream, events...)
			want := slices.DeleteFunc(ids, func(id string) bool { return id == "007" })
			redistest.Eventually(t, "the others are delivered", func() bool { taken, _ := s.look(); return slices.Equal(taken, want) })
			redistest.Eventually(t, "nothing is pending", func() bool { return nothingPending(client, stream, "sub") })
			dead := readEvents(t, client, state.DeadLetterStream(stream))
			if len(dead) != 1 || dead[0].ID() != "007" {
				t.Fatalf("%d dead letters", len(dead))
			}
			if code, _ := dead[0].Attribute("knativeerrorcode"); code != fmt.Sprint(status) {
				t.Errorf("the reason is %q", code)
			}
		})
	}
}

// TestFailedBatchIsRetried: its answer is that of each of its events, and no more than one answer tells that they were
// taken.
func TestFailedBatchIsRetried(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newBatchedSink(t, func(_ []string, n int) int {
		if n <= 2 {
			return http.StatusServiceUnavailable
		}
		return http.StatusNoContent
	})
	g := start(t, client, subscribed(oneStream(stream), s.url, batched))
	events, ids := numbered(30)
	publish(t, g, stream, events...)
	redistest.Eventually(t, "all are delivered", func() bool { taken, _ := s.look(); return len(taken) >= len(ids) })
	if taken, batches := s.look(); !slices.Equal(taken, ids) {
		t.Errorf("taken %v in batches of %v", taken, batches)
	}
}

// TestStopWithAnOpenBatch: a stop sends what waits for others.
func TestStopWithAnOpenBatch(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	s := newBatchedSink(t, nil)
	const long = 15 * time.Second
	g := start(t, client, subscribed(oneStream(stream), s.url, batched, func(c *delivery.Config) {
		c.Delivery.Batch.MaxDelay = setting.Duration(long)
	}))
	events, ids := numbered(3)
	publish(t, g, stream, events...)
	redistest.Eventually(t, "they wait for others", func() bool { return gauge(t, g.registry, "streamgate_deliveries_in_flight") == 3 })
	before := time.Now()
	g.stop()
	if taken, batches := s.look(); !slices.Equal(taken, ids) || len(batches) > 2 || time.Since(before) > long/2 {
		t.Errorf("taken %v in batches of %v, after %s", taken, batches, time.Since(before))
	}
	if !nothingPending(client, stream, "sub") {
		t.Error("something is pending")
	}
}
