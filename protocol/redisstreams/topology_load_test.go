package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

const (
	loadLease   = time.Second
	loadPeriod  = 2 * time.Millisecond // of each producer, so that the load leaves the servers some time
	loadTimeout = 60 * time.Second     // for one event to be accepted
)

// load is producers, which send again what was refused until it is accepted, and members of a group, which acknowledge
// all that they get. It belongs to the goroutine of its test.
type load struct {
	t         testing.TB
	ctx       context.Context //nolint:containedctx // that of the test
	stream    string
	sending   redis.UniversalClient
	receiving redis.UniversalClient
	logs      redistest.LogBuffer // of the members
	end       chan struct{}
	producers sync.WaitGroup
	started   int

	mu        sync.Mutex
	accepted  map[string]string // event to producer
	counts    map[string]int    // accepted events by producer
	refusals  map[string]int    // by code of the error
	delivered map[string][]int  // event to its attempts
}

func newLoad(t testing.TB, stream string, sending, receiving redis.UniversalClient) *load {
	t.Helper()
	l := &load{
		t: t, ctx: t.Context(), stream: stream, sending: sending, receiving: receiving, end: make(chan struct{}),
		accepted: make(map[string]string), counts: make(map[string]int), refusals: make(map[string]int), delivered: make(map[string][]int),
	}
	t.Cleanup(l.producers.Wait) // they end with the context, at the latest
	return l
}

// sendFunc sends events, all or none.
type sendFunc func(ctx context.Context, events []rawevent.Event) error

func single(s *redisstreams.Sender) sendFunc {
	return func(ctx context.Context, events []rawevent.Event) error {
		_, err := s.Append(ctx, &events[0])
		return err
	}
}

func batch(s *redisstreams.Sender) sendFunc {
	return func(ctx context.Context, events []rawevent.Event) error {
		_, err := s.AppendAll(ctx, events)
		return err
	}
}

// twice sends everything again, which must be known then.
func twice(s *redisstreams.Sender) sendFunc {
	return func(ctx context.Context, events []rawevent.Event) error {
		first, err := s.AppendAll(ctx, events)
		if err != nil {
			return err
		}
		again, err := s.AppendAll(ctx, events)
		if err == nil && !slices.Equal(first, again) {
			err = fmt.Errorf("sent again: entries %v, first %v", again, first)
		}
		return err
	}
}

// produce sends events, so many at a time, until the load ends.
func (l *load) produce(name string, size int, send sendFunc) {
	if size < 1 {
		l.t.Fatal("nothing to send")
	}
	l.started++
	l.producers.Go(func() {
		tick := time.NewTicker(loadPeriod)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-l.end:
				return
			case <-l.ctx.Done():
				return
			case <-tick.C:
			}
			events := make([]rawevent.Event, size)
			for n := range events {
				events[n] = sample(fmt.Sprintf("%s-%d-%d", name, i, n))
			}
			if !l.insist(events, send, tick.C) {
				return
			}
			l.accept(name, events)
		}
	})
}

// insist sends until the events are accepted.
func (l *load) insist(events []rawevent.Event, send sendFunc, tick <-chan time.Time) bool {
	ctx, cancel := context.WithTimeout(l.ctx, loadTimeout)
	defer cancel()
	for {
		err := send(ctx, events)
		if err == nil {
			return true
		}
		l.refused(err)
		select {
		case <-ctx.Done():
			if l.ctx.Err() == nil {
				l.t.Errorf("event %s is not accepted within %s: %v", events[0].ID(), loadTimeout, err)
			}
			return false
		case <-tick:
		}
	}
}

func (l *load) accept(name string, events []rawevent.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := range events {
		l.accepted[events[i].ID()] = name
	}
	l.counts[name] += len(events)
}

func (l *load) refused(err error) {
	code := "no answer"
	var reply redis.Error
	if errors.As(err, &reply) {
		code, _, _ = strings.Cut(reply.Error(), " ")
	}
	if errors.Is(err, redisstreams.ErrNotDurable) {
		code += " (not durable)"
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refusals[code]++
}

// member starts a member of the group, which takes part until the test ends.
func (l *load) member() {
	l.t.Helper()
	log := slog.New(slog.NewTextHandler(&l.logs, nil))
	c, _ := startConsumer(l.t, l.receiving, l.stream, redisstreams.WithLease(loadLease), redisstreams.WithConsumerLogger(log))
	var receiving sync.WaitGroup
	receiving.Go(func() {
		for {
			deliveries, err := c.ReceiveBatch(l.ctx, 64)
			if err != nil {
				return
			}
			for _, d := range deliveries {
				l.deliver(d)
				d.Ack()
			}
		}
	})
	l.t.Cleanup(receiving.Wait)
}

func (l *load) deliver(d *redisstreams.Delivery) {
	e, err := d.Event()
	if err != nil {
		l.t.Errorf("entry %s: %v", d.ID, err)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered[e.ID()] = append(l.delivered[e.ID()], d.Attempt)
}

// count returns how many events of the producer are accepted.
func (l *load) count(producer string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.counts[producer]
}

func (l *load) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted)
}

// attempts returns the highest attempt with which the event was delivered.
func (l *load) attempts(id string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Max(append(l.delivered[id], 0))
}

// progress returns when n more events of each producer are accepted and as many delivered; without names it waits for
// all producers.
func (l *load) progress(n int, producers ...string) {
	l.t.Helper()
	redistest.Eventually(l.t, "every producer has begun", func() bool { return len(l.names()) >= l.started })
	all := func() map[string]int {
		l.mu.Lock()
		defer l.mu.Unlock()
		done := make(map[string]int)
		for id := range l.delivered {
			if name, ok := l.accepted[id]; ok {
				done[name]++
			}
		}
		return done
	}
	before := all()
	if len(producers) == 0 {
		producers = l.names()
	}
	for _, name := range producers {
		redistest.Eventually(l.t, fmt.Sprintf("%d more events of %s arrive", n, name), func() bool { return all()[name] >= before[name]+n })
	}
}

// names returns the producers that have had an event accepted.
func (l *load) names() (names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name := range l.counts {
		if name != "orphan" {
			names = append(names, name)
		}
	}
	return names
}

// finish stops the producers and requires that everything that was accepted is delivered and acknowledged, and nothing
// else. It returns the number of events that were delivered more than once.
func (l *load) finish() (repeated int) {
	l.t.Helper()
	close(l.end)
	l.producers.Wait()
	redistest.Eventually(l.t, "all accepted events are delivered", func() bool { return len(l.missing()) == 0 })
	redistest.Eventually(l.t, "everything is acknowledged", func() bool {
		pending, err := l.receiving.XPending(l.ctx, l.stream, "group").Result()
		return err == nil && pending.Count == 0
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, attempts := range l.delivered {
		if len(attempts) > 1 {
			repeated++
		}
	}
	l.t.Logf("%d accepted, %d delivered more than once, refused: %v", len(l.accepted), repeated, l.refusals)
	return repeated
}

func (l *load) missing() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.accepted {
		if len(l.delivered[id]) == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}
