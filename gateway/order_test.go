package gateway_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// behindProxy returns a client of the shared server whose network the test may break.
func behindProxy(t testing.TB) (*redistest.Proxy, redis.UniversalClient) {
	t.Helper()
	proxy := redistest.StartProxy(t, redistest.Shared(t).Addr())
	client := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{Addrs: []string{proxy.Addr()}}))
	t.Cleanup(func() { _ = client.Close() })
	return proxy, client
}

// keyed is the n-th event of a key.
func keyed(key string, n int) rawevent.Event {
	e := event(fmt.Sprintf("%s/%d", key, n))
	e.Set("partitionkey", key)
	return e
}

// orderSink remembers in which order the events of each key were taken first.
type orderSink struct {
	*testSink
	refuse func(id string) int // the status of a failure, or 0

	mu    sync.Mutex
	taken map[string]bool
	order map[string][]string
}

func newOrderSink(t testing.TB, refuse func(id string) int) *orderSink {
	t.Helper()
	o := &orderSink{refuse: refuse, taken: map[string]bool{}, order: map[string][]string{}}
	o.testSink = newSink(t, func(r *http.Request, _ int) int {
		id := r.Header.Get("Ce-Id")
		if status := o.refuse(id); status != 0 {
			return status
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if key, _, _ := strings.Cut(id, "/"); !o.taken[id] {
			o.taken[id] = true
			o.order[key] = append(o.order[key], id)
		}
		return http.StatusAccepted
	})
	return o
}

func (o *orderSink) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.taken)
}

func (o *orderSink) of(key string) []string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return slices.Clone(o.order[key])
}

// check fails the test unless the n events of a key were taken in their order.
func (o *orderSink) check(t *testing.T, key string, n int) {
	t.Helper()
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("%s/%d", key, i))
	}
	if got := o.of(key); !slices.Equal(got, want) {
		t.Errorf("the order of key %q is %v", key, got)
	}
}

func ordered(lease time.Duration) func(*delivery.Config) {
	return func(c *delivery.Config) {
		c.Order, c.LeaseDuration = "byKey", setting.Duration(lease)
		c.Delivery.Retry, c.Delivery.BackoffDelay = 1000, setting.Duration(5*time.Millisecond)
	}
}

func delivered(t testing.TB, g *running) float64 {
	t.Helper()
	return counter(t, g.registry, "streamgate_deliveries_total", "delivered")
}

// TestOrderByKey: with a sink that fails at random, and with the replica that delivers cut off in the middle, the
// events of each key are taken in the order of the stream, and all of them; the other replica takes over when the lease
// ends.
func TestOrderByKey(t *testing.T) {
	t.Parallel()
	const keys, each, lease = 8, 30, 2 * time.Second
	var mu sync.Mutex
	seed := uint64(time.Now().UnixNano())
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // no secret
	t.Logf("seed %d", seed)
	o := newOrderSink(t, func(string) int {
		mu.Lock()
		defer mu.Unlock()
		if random.IntN(4) == 0 {
			return http.StatusInternalServerError
		}
		return 0
	})
	stream := redistest.Stream(t)
	proxy, firstClient := behindProxy(t)
	client := redistest.Shared(t).Client()
	c := subscribed(oneStream(stream), o.url, ordered(lease))
	first := start(t, firstClient, c)
	publish(t, first, stream, keyed("first", 0))
	redistest.Eventually(t, "the first replica delivers", func() bool { return delivered(t, first) == 1 })
	second := start(t, client, c)
	for i := range each {
		for k := range keys {
			publish(t, second, stream, keyed(fmt.Sprint("k", k), i))
		}
		publish(t, second, stream, event(fmt.Sprint("none-", i)))
		if i == each/2 {
			redistest.Eventually(t, "some are delivered", func() bool { return o.count() > keys*each/8 })
			proxy.Blackhole(true)
		}
	}
	cut, before := time.Now(), delivered(t, second)
	if before != 0 {
		t.Errorf("the second replica has delivered %v beside the first", before)
	}
	redistest.Eventually(t, "the second replica takes over", func() bool { return delivered(t, second) > 0 })
	if took := time.Since(cut); took > lease+2*time.Second {
		t.Errorf("taken over after %s", took)
	}
	redistest.Eventually(t, "everything is delivered", func() bool {
		return o.count() == 1+(keys+1)*each && nothingPending(client, stream, "sub")
	})
	proxy.Blackhole(false) // so that the first one stops soon
	for k := range keys {
		o.check(t, fmt.Sprint("k", k), each)
	}
	if n := client.XLen(context.Background(), state.DeadLetterStream(stream)).Val(); n != 0 {
		t.Errorf("%d dead letters", n)
	}
}

// TestStuckKeyHoldsOnlyItsOwn: while an event is tried again and again, the later ones of its key wait, and no others.
func TestStuckKeyHoldsOnlyItsOwn(t *testing.T) {
	t.Parallel()
	const others = 30
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	var mu sync.Mutex
	stuck := true
	o := newOrderSink(t, func(id string) int {
		mu.Lock()
		defer mu.Unlock()
		if id == "stuck/0" && stuck {
			return http.StatusInternalServerError
		}
		return 0
	})
	g := start(t, client, subscribed(oneStream(stream), o.url, ordered(30*time.Second)))
	bySubject := func(key string, n int) rawevent.Event {
		e := keyed(key, n)
		e.Delete("partitionkey")
		e.Set("subject", key)
		return e
	}
	publish(t, g, stream, bySubject("stuck", 0), bySubject("stuck", 1))
	for i := range others {
		e := keyed("other", i)
		e.Set("subject", "stuck") // partitionkey counts before subject
		publish(t, g, stream, e, event(fmt.Sprint("none/", i)))
	}
	publish(t, g, stream, bySubject("stuck", 2))
	redistest.Eventually(t, "the others are delivered", func() bool { return o.count() == 2*others })
	if got := o.of("stuck"); len(got) != 0 {
		t.Errorf("delivered of the key that is stuck: %v", got)
	}
	for _, r := range o.all() {
		if id := r.event.ID(); id == "stuck/1" || id == "stuck/2" {
			t.Fatalf("%s was tried before its turn", id)
		}
	}
	mu.Lock()
	stuck = false
	mu.Unlock()
	redistest.Eventually(t, "the rest is delivered", func() bool { return nothingPending(client, stream, "sub") })
	o.check(t, "stuck", 3)
	o.check(t, "other", others)
}

// TestDeadLetterLetsItsKeyGoOn: what cannot be delivered does not hold up its key for ever.
func TestDeadLetterLetsItsKeyGoOn(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	o := newOrderSink(t, func(id string) int {
		if id == "k/0" {
			return http.StatusInternalServerError
		}
		return 0
	})
	g := start(t, client, subscribed(oneStream(stream), o.url, ordered(30*time.Second), func(c *delivery.Config) {
		c.Delivery.Retry = 2
	}))
	publish(t, g, stream, keyed("k", 0), keyed("k", 1), keyed("k", 2))
	redistest.Eventually(t, "everything is settled", func() bool { return o.count() == 2 && nothingPending(client, stream, "sub") })
	if got := o.of("k"); !slices.Equal(got, []string{"k/1", "k/2"}) {
		t.Errorf("delivered: %v", got)
	}
	if n := client.XLen(context.Background(), state.DeadLetterStream(stream)).Val(); n != 1 {
		t.Errorf("%d dead letters", n)
	}
}

// TestKeyAdvancesAtOnce: the next event of a key goes out when the one before it is done, also while nothing new comes
// in. The same holds for the next attempt.
func TestKeyAdvancesAtOnce(t *testing.T) {
	t.Parallel()
	const n = 40
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	failed := map[string]bool{}
	var mu sync.Mutex
	o := newOrderSink(t, func(id string) int {
		mu.Lock()
		defer mu.Unlock()
		if !failed[id] {
			failed[id] = true
			return http.StatusInternalServerError
		}
		return 0
	})
	g := start(t, client, subscribed(oneStream(stream), o.url, ordered(30*time.Second)))
	began := time.Now()
	for i := range n {
		publish(t, g, stream, keyed("k", i))
	}
	redistest.Eventually(t, "everything is delivered", func() bool { return nothingPending(client, stream, "sub") })
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("%d events of a key took %s", n, took)
	}
	o.check(t, "k", n)
}

// TestOrderAtStop: a replica that stops keeps its right to deliver until what is in work is done, however short the
// lease, and then hands over at once.
func TestOrderAtStop(t *testing.T) {
	t.Parallel()
	const lease = time.Second
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	begun, release := make(chan struct{}, 10), make(chan struct{})
	o := newOrderSink(t, func(id string) int {
		if id == "k/0" {
			begun <- struct{}{}
			<-release
		}
		return 0
	})
	c := subscribed(oneStream(stream), o.url, ordered(lease))
	first := start(t, client, c)
	publish(t, first, stream, keyed("k", 0), keyed("k", 1), keyed("k", 2))
	<-begun
	second := start(t, client, c)
	stopping := time.Now()
	stopped := make(chan struct{})
	go func() { first.stop(); close(stopped) }()
	redistest.Eventually(t, "the lease would be over", func() bool { return time.Since(stopping) > 2*lease })
	if n := delivered(t, second); n != 0 || len(begun) != 0 {
		t.Errorf("the second replica delivered %v, and began %d, while the first still worked", n, len(begun))
	}
	close(release)
	<-stopped
	handed := time.Now()
	redistest.Eventually(t, "the rest is delivered", func() bool { return nothingPending(client, stream, "sub") })
	if took := time.Since(handed); took > 2*time.Second {
		t.Errorf("the hand-over took %s", took)
	}
	o.check(t, "k", 3)
	if n := len(o.all()); n != 3 {
		t.Errorf("%d deliveries of 3 events", n)
	}
}
