package redisstreams_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// ledger remembers what was accepted, what failed, and what was delivered.
type ledger struct {
	mu                          sync.Mutex
	accepted, failed, delivered map[string]int
}

func newLedger() *ledger {
	return &ledger{accepted: make(map[string]int), failed: make(map[string]int), delivered: make(map[string]int)}
}

func (l *ledger) note(err error, id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.accepted[id]++
	} else {
		l.failed[id]++
	}
}

func (l *ledger) deliver(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered[id]++
}

func (l *ledger) counts() (accepted, failed int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.accepted), len(l.failed)
}

// missing returns accepted events that were not received.
func (l *ledger) missing() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.accepted {
		if l.delivered[id] == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// strange returns delivered events that were never sent.
func (l *ledger) strange() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for id := range l.delivered {
		if l.accepted[id]+l.failed[id] == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

// consumeInto runs a member of the group that acknowledges all it gets, until the test or stop ends it.
func (l *ledger) consumeInto(t testing.TB, client redis.UniversalClient, stream string, opts ...redisstreams.ConsumerOption) (stop func()) {
	t.Helper()
	c, stopRun := startConsumer(t, client, stream, opts...)
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			batch, err := c.ReceiveBatch(ctx, 20)
			for _, d := range batch {
				e, eventErr := d.Event()
				if eventErr != nil {
					t.Errorf("entry %s: %v", d.ID, eventErr)
				}
				l.deliver(e.ID())
				d.Ack()
			}
			if err != nil {
				return
			}
		}
	})
	stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
		stopRun()
	})
	t.Cleanup(stop)
	return stop
}

// produce sends events named by p and a number, each until it is accepted, while more says so.
func (l *ledger) produce(p int, more func(sent int) bool, send func(id string) error) {
	pace := time.NewTicker(3 * time.Millisecond)
	defer pace.Stop()
	for i := 0; more(i); i++ {
		id := fmt.Sprintf("%d-%d", p, i)
		for accepted := false; !accepted; <-pace.C {
			err := send(id)
			l.note(err, id)
			accepted = err == nil
		}
	}
}

// flow returns when n events more have been accepted.
func (l *ledger) flow(t testing.TB, n int) {
	t.Helper()
	before, _ := l.counts()
	redistest.Eventually(t, "events flow", func() bool { now, _ := l.counts(); return now > before+n })
}

// settle returns when all that was accepted is delivered and acknowledged.
func (l *ledger) settle(t testing.TB, client redis.UniversalClient, stream string) {
	t.Helper()
	redistest.Eventually(t, "all that was accepted is delivered", func() bool { return len(l.missing()) == 0 })
	redistest.Eventually(t, "all is acknowledged", func() bool { return pending(t, client, stream) == 0 })
}

// TestPausedRedisUnderLoad: what was accepted before, during and after is delivered; what is in the stream twice is
// there because a producer repeated it after an error.
func TestPausedRedisUnderLoad(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := connect(t, server.Addr())
	sender := newSender(t, client, "s")
	book := newLedger()
	log, logger := logged()
	stops := []func(){book.consumeInto(t, client, "s", logger), book.consumeInto(t, client, "s", logger)}

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var producers sync.WaitGroup
	for p := range 4 {
		producers.Go(func() {
			book.produce(p, func(int) bool { return ctx.Err() == nil }, func(id string) error { return appendEvent(sender, id) })
		})
	}
	book.flow(t, 200)
	server.Pause()
	pass(2 * time.Second)
	server.Resume()
	book.flow(t, 200)
	cancel()
	producers.Wait()
	book.settle(t, server.Client(), "s")
	for _, stop := range stops {
		stop()
	}
	for id, n := range copies(t, "s", server.Client()) {
		if n > book.accepted[id]+book.failed[id] {
			t.Errorf("event %s is in the stream %d times, sent with success %d times, with an error %d", id, n, book.accepted[id], book.failed[id])
		}
	}
	if ids := book.strange(); len(ids) > 0 || len(book.failed) == 0 {
		t.Errorf("delivered but not sent: %v; %d sends failed", ids, len(book.failed))
	}
	// For each member: that it cannot read, acknowledge, renew its leases, and that it reads again.
	if n := strings.Count(log.String(), "\n"); n > 8 {
		t.Errorf("%d lines about one outage:\n%s", n, log)
	}
}

// disturb breaks the network again and again, in an order that the seed decides, until ctx ends.
func disturb(ctx context.Context, proxy *redistest.Proxy, seed uint64) {
	random := rand.New(rand.NewPCG(seed, 0)) //nolint:gosec // it must be repeatable, not secret
	tick := time.NewTicker(15 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		switch random.IntN(5) {
		case 0:
			proxy.DropReplies(1 + random.IntN(2))
		case 1:
			proxy.CutMidReply(random.IntN(60))
		case 2:
			proxy.DropCommands(1)
		case 3:
			proxy.CloseAll()
		case 4: // a pause, so that something passes
		}
	}
}

// TestExactlyOnceThroughABadNetwork: with deduplication and patience each event is stored exactly once, and each one
// stored is delivered, whatever the network does.
func TestExactlyOnceThroughABadNetwork(t *testing.T) {
	t.Parallel()
	const producers, each, seed = 8, 200, 20261123
	proxy, client := behindProxy(t)
	direct, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	book := newLedger()
	stops := []func(){book.consumeInto(t, client, stream), book.consumeInto(t, client, stream)}
	sender := newSender(t, client, stream, redisstreams.WithDedup(time.Hour))

	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var disturbing, producing sync.WaitGroup
	disturbing.Go(func() { disturb(ctx, proxy, seed) })
	for p := range producers {
		producing.Go(func() {
			book.produce(p, func(sent int) bool { return sent < each }, func(id string) error { return appendEvent(sender, id) })
		})
	}
	producing.Wait()
	cancel()
	disturbing.Wait()
	calm := time.Now()
	book.settle(t, direct, stream)
	// Leases are 30 s: nothing waits for one to end.
	if took := time.Since(calm); took > 20*time.Second {
		t.Errorf("it took %s until all was delivered", took)
	}
	for _, stop := range stops {
		stop()
	}
	stored := copies(t, stream, direct)
	for id, n := range stored {
		if n != 1 {
			t.Errorf("event %s is in the stream %d times", id, n)
		}
	}
	if len(stored) != producers*each || len(book.accepted) != producers*each || len(book.strange()) > 0 {
		t.Errorf("%d stored, %d accepted of %d; delivered but not sent: %v", len(stored), len(book.accepted), producers*each, book.strange())
	}
	if _, failed := book.counts(); failed < 20 {
		t.Errorf("only %d events met a fault", failed)
	}
	t.Logf("%d events met a fault", len(book.failed))
}

// TestRefusedEventDoesNotRepeatItsBatch: that Redis cannot take one event of a batch makes no other event appear
// twice, nor parts of those that go all or none.
func TestRefusedEventDoesNotRepeatItsBatch(t *testing.T) {
	t.Parallel()
	proxy, client := behindProxy(t)
	direct, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	p, err := redisstreams.New(client, stream, redisstreams.WithSender(redisstreams.WithDedup(time.Minute)))
	if err != nil {
		t.Fatal(err)
	}
	huge := sample("huge")
	fields := []string{"ce_specversion", "1.0", "ce_id", "huge", "ce_source", "/s", "ce_type", "t"}
	for n := range 5000 {
		huge.Set(fmt.Sprintf("x%d", n), "v")
		fields = append(fields, fmt.Sprintf("ce_x%d", n), "v")
	}
	unknown := redisstreams.Entry{Fields: []string{"content-type", "application/cloudevents+avro", "data", "x"}}
	entries := []redisstreams.Entry{unknown, unknown, {Fields: fields}, unknown, unknown}

	var group sync.WaitGroup
	send := func(e redisstreams.Entry, waits func()) {
		err := p.Send(queueContext{context.Background(), waits}, redisstreams.NewMessage(e))
		if tooLarge := len(e.Fields) > 100; (err != nil) != tooLarge {
			t.Errorf("entry of %d fields: %v", len(e.Fields), err)
		}
	}
	proxy.Blackhole(true) // so that all the others gather in one batch
	for range 2 {
		group.Go(func() { send(unknown, func() {}) })
	}
	redistest.Eventually(t, "both pipelines are busy", func() bool { return proxy.Held() >= 2 })
	for _, e := range entries {
		queued := make(chan struct{})
		group.Go(func() {
			signal := sync.OnceFunc(func() { close(queued) })
			send(e, signal)
			signal()
		})
		<-queued
	}
	proxy.Blackhole(false)
	group.Wait()
	if n := length(t, direct, stream); n != 6 {
		t.Errorf("%d entries, want 6", n)
	}
	sender := newSender(t, direct, stream, redisstreams.WithDedup(time.Minute))
	if _, err := sender.AppendAll(t.Context(), []rawevent.Event{sample("before"), huge}); err == nil {
		t.Error("accepted")
	}
	if n := length(t, direct, stream); n != 6 || sender.Duplicates() != 0 {
		t.Errorf("%d entries after all or none, want the 6 from before; %d duplicates", n, sender.Duplicates())
	}
}
