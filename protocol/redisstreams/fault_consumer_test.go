package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// logged returns an option that collects what a consumer logs.
func logged() (*redistest.LogBuffer, redisstreams.ConsumerOption) {
	lines := new(redistest.LogBuffer)
	return lines, redisstreams.WithConsumerLogger(slog.New(slog.NewTextHandler(lines, nil)))
}

// receiver goes on receiving in a goroutine of its own, which the end of the test ends.
type receiver struct {
	deliveries chan *redisstreams.Delivery
	stop       func()
}

func keepReceiving(t testing.TB, c *redisstreams.Consumer) *receiver {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	r := &receiver{deliveries: make(chan *redisstreams.Delivery, 10_000)}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			batch, err := c.ReceiveBatch(ctx, 10)
			for _, d := range batch {
				r.deliveries <- d
			}
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("ReceiveBatch: %v", err)
				}
				return
			}
		}
	})
	r.stop = sync.OnceFunc(func() {
		cancel()
		running.Wait()
	})
	t.Cleanup(r.stop)
	return r
}

// next returns the next n deliveries.
func (r *receiver) next(t testing.TB, n int) []*redisstreams.Delivery {
	t.Helper()
	limit := time.NewTimer(20 * time.Second)
	defer limit.Stop()
	var batch []*redisstreams.Delivery
	for len(batch) < n {
		select {
		case d := <-r.deliveries:
			batch = append(batch, d)
		case <-limit.C:
			t.Fatalf("received %d of %d", len(batch), n)
		}
	}
	return batch
}

func ackAll(batch []*redisstreams.Delivery) {
	for _, d := range batch {
		d.Ack()
	}
}

// TestLostRead: entries whose reply was lost are handed out again at once, not when their lease ends.
func TestLostRead(t *testing.T) {
	t.Parallel()
	for name, inject := range map[string]func(*redistest.Proxy, string) <-chan struct{}{
		"lost":    func(p *redistest.Proxy, command string) <-chan struct{} { return p.DropReplies(2, command) },
		"cut":     func(p *redistest.Proxy, command string) <-chan struct{} { return p.CutMidReply(40, command) },
		"not run": func(p *redistest.Proxy, command string) <-chan struct{} { return p.DropCommands(2, command) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const n = 30
			proxy, client := behindProxy(t)
			stream := redistest.Stream(t)
			c, stop := startConsumer(t, client, stream)
			if err := c.Ensure(t.Context()); err != nil {
				t.Fatal(err)
			}
			appendN(t, redistest.Shared(t).Client(), stream, n)
			done := inject(proxy, "XREADGROUP")
			started := time.Now()
			seen := make(map[string]int)
			for _, d := range receive(t, c, n) {
				seen[d.ID]++
				d.Ack()
			}
			if took := time.Since(started); len(seen) != n || took > 10*time.Second {
				t.Errorf("%d of %d entries after %s", len(seen), n, took)
			}
			<-done
			stop()
			if left := pending(t, redistest.Shared(t).Client(), stream); left != 0 {
				t.Errorf("%d entries are pending", left)
			}
		})
	}
}

// TestLostTakeover: entries that were taken over from a dead member, and whose reply got lost, are not lost between the
// two.
func TestLostTakeover(t *testing.T) {
	t.Parallel()
	const n = 20
	proxy, client := behindProxy(t)
	direct, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	dead, err := redisstreams.NewConsumer(direct, stream, "group", redisstreams.WithStart("0"))
	if err != nil {
		t.Fatal(err)
	}
	appendN(t, direct, stream, n)
	receive(t, dead, n)
	done := proxy.DropReplies(1, "EVALSHA")
	c, _ := startConsumer(t, client, stream, redisstreams.WithLease(2*time.Second))
	seen := make(map[string]bool)
	for _, d := range receive(t, c, n) {
		seen[d.ID] = true
		d.Ack()
	}
	<-done
	if len(seen) != n {
		t.Errorf("%d of %d entries", len(seen), n)
	}
	redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, direct, stream) == 0 })
}

// TestLostAcknowledgement: XACK is sent until Redis has answered it, though it is repeated in vain.
func TestLostAcknowledgement(t *testing.T) {
	t.Parallel()
	proxy, client := behindProxy(t)
	direct, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	log, logger := logged()
	c, _ := startConsumer(t, client, stream, logger)
	appendN(t, direct, stream, 20)
	batch := receive(t, c, 20)
	notSent, notAnswered := proxy.DropCommands(2, "XACK"), proxy.DropReplies(2, "XACK")
	ackAll(batch)
	<-notSent
	<-notAnswered
	redistest.Eventually(t, "all are acknowledged and given up", func() bool {
		return pending(t, direct, stream) == 0 && !slices.ContainsFunc(batch, func(d *redisstreams.Delivery) bool { return c.Held(d.ID) })
	})
	if n := strings.Count(log.String(), "cannot acknowledge"); n != 1 {
		t.Errorf("%d lines about one outage:\n%s", n, log)
	}
}

// TestBlackHoleForAConsumer: a caller that waits behind a black hole returns at once, and entries lost in it are
// delivered.
func TestBlackHoleForAConsumer(t *testing.T) {
	t.Parallel()
	proxy, client := behindProxy(t)
	direct, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c, _ := startConsumer(t, client, stream)
	appendN(t, direct, stream, 1)
	receive(t, c, 1)[0].Ack()
	redistest.Eventually(t, "it is acknowledged", func() bool { return pending(t, direct, stream) == 0 })

	proxy.Blackhole(true)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := c.ReceiveBatch(ctx, 10)
		done <- err
	}()
	appendN(t, direct, stream, 5)
	redistest.Eventually(t, "the read is in the hole", func() bool { return proxy.Held() > 0 })
	started := time.Now()
	cancel()
	if err := <-done; !errors.Is(err, io.EOF) || time.Since(started) > 500*time.Millisecond {
		t.Errorf("%v after %s, want io.EOF at once", err, time.Since(started))
	}
	pass(4 * time.Second) // longer than a read waits for its answer
	proxy.Blackhole(false)
	started = time.Now()
	ackAll(receive(t, c, 5))
	if took := time.Since(started); took > 10*time.Second {
		t.Errorf("it took %s", took)
	}
	redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, direct, stream) == 0 })
}

// TestCancelledInTheFirstCommand: a canceled caller does not wait for other commands than blocked reads either.
func TestCancelledInTheFirstCommand(t *testing.T) {
	t.Parallel()
	proxy, client := behindProxy(t)
	direct, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	appendN(t, direct, stream, 3)
	c, stop := startConsumer(t, client, stream)
	proxy.Blackhole(true)
	for range 2 { // the second one finds the attempt of the first one under way
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			_, err := c.ReceiveBatch(ctx, 10)
			done <- err
		}()
		redistest.Eventually(t, "the command is in the hole", func() bool { return proxy.Held() > 0 })
		started := time.Now()
		cancel()
		if err := <-done; !errors.Is(err, io.EOF) || time.Since(started) > 500*time.Millisecond {
			t.Errorf("%v after %s, want io.EOF at once", err, time.Since(started))
		}
	}
	proxy.Blackhole(false)
	ackAll(receive(t, c, 3))
	stop()
	if n := pending(t, direct, stream); n != 0 {
		t.Errorf("%d entries are pending", n)
	}
}

// TestRefusedConsumer: while Redis refuses, a consumer asks now and then, says so once, and goes on when it is over:
// with the acknowledgements that could not be sent, and with new entries, but not with those that are in work.
func TestRefusedConsumer(t *testing.T) {
	t.Parallel()
	for _, f := range faults() {
		t.Run(f.code, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, f.opts...)
			log, logger := logged()
			c, _ := startConsumer(t, connect(t, server.Addr()), "s", logger, redisstreams.WithLease(2*time.Second))
			r := keepReceiving(t, c)
			appendN(t, server.Client(), "s", 6)
			batch := r.next(t, 6)
			lift := f.apply(t, server, "s")
			before := commandsSeen(t, server)
			ackAll(batch[:3])
			pass(2 * time.Second)
			// Two loops with backoff (reading, acknowledging), each at most ten times, and leases; a connection that
			// go-redis drops costs three commands more.
			if n := commandsSeen(t, server) - before; n > 90 {
				t.Errorf("%d commands in two seconds", n)
			}
			lift()
			appendN(t, server.Client(), "s", 3)
			for _, d := range r.next(t, 3) {
				if d.Attempt != 1 {
					t.Errorf("entry %s is none of the new ones", d.ID)
				}
				d.Ack()
			}
			ackAll(batch[3:])
			redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, server.Client(), "s") == 0 })
			if n := strings.Count(log.String(), "\n"); n > 8 {
				t.Errorf("%d lines about one outage:\n%s", n, log)
			}
		})
	}
}

// TestOutOfMemoryDrains: reading and acknowledging need no memory.
func TestOutOfMemoryDrains(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := connect(t, server.Addr())
	log, logger := logged()
	c, _ := startConsumer(t, client, "s", logger)
	if err := c.Ensure(t.Context()); err != nil {
		t.Fatal(err)
	}
	appendN(t, client, "s", 50)
	command(t, server.Client(), "CONFIG", "SET", "maxmemory", "1")
	ackAll(receive(t, c, 50))
	redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, client, "s") == 0 })
	if text := log.String(); text != "" {
		t.Errorf("it had trouble:\n%s", text)
	}
}

// TestForgottenScripts: a server that has forgotten them runs them all the same.
func TestForgottenScripts(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	log, logger := logged()
	c, stop := startConsumer(t, client, "s", logger, redisstreams.WithLease(shortLease))
	appendN(t, client, "s", 5)
	ids := make([]string, 5)
	for i, d := range receive(t, c, 5) {
		ids[i] = d.ID
	}
	for range 3 {
		command(t, client, "SCRIPT", "FLUSH")
		batch, err := c.Redeliver(t.Context(), ids)
		if err != nil || len(batch) != len(ids) {
			t.Fatalf("%d entries, %v", len(batch), err)
		}
		command(t, client, "SCRIPT", "FLUSH")
		pass(2 * shortLease) // heartbeats
	}
	command(t, client, "SCRIPT", "FLUSH")
	stop()
	other, _ := startConsumer(t, client, "s", logger, redisstreams.WithLease(shortLease))
	ackAll(receive(t, other, 5))
	redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, client, "s") == 0 })
	if text := log.String(); strings.Contains(text, "WARN") {
		t.Errorf("it had trouble:\n%s", text)
	}
}

// TestLostGroupWithEntriesInWork: the group comes back with what is in work pending, at the right place, without haste.
func TestLostGroupWithEntriesInWork(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args    []any
		survive bool // the entries do
	}{
		"the group was destroyed": {[]any{"XGROUP", "DESTROY", "s", "group"}, true},
		"the stream was deleted":  {[]any{"DEL", "s"}, false},
		"all was deleted":         {[]any{"FLUSHALL"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t)
			client := server.Client()
			positions := make(chan string, 10)
			log, logger := logged()
			consumer, _ := startConsumer(t, client, "s", logger, redisstreams.WithLease(shortLease), redisstreams.WithHooks(redisstreams.Hooks{
				GroupRecreated: func(position string) { positions <- position },
			}))
			r := keepReceiving(t, consumer)
			appendN(t, client, "s", 5)
			batch := r.next(t, 5)
			before := commandsSeen(t, server)
			command(t, client, c.args...)
			want, inWork := "0-0", int64(0)
			if c.survive {
				want, inWork = batch[4].ID, 5
			}
			if position := <-positions; position != want {
				t.Errorf("the group began again at %s, want %s", position, want)
			}
			redistest.Eventually(t, "what is in work is pending again", func() bool { return pending(t, client, "s") == inWork })
			pass(time.Second)
			// Making a group costs ten commands; a heartbeat runs two for each entry, ten times a second.
			if n := commandsSeen(t, server) - before; n > 200 {
				t.Errorf("%d commands in about a second", n)
			}
			appendN(t, client, "s", 3)
			for _, d := range r.next(t, 3) {
				if d.Attempt != 1 {
					t.Errorf("entry %s, attempt %d, came again", d.ID, d.Attempt)
				}
				d.Ack()
			}
			ackAll(batch)
			redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, client, "s") == 0 })
			if len(positions) > 0 || strings.Count(log.String(), "\n") > 4 {
				t.Errorf("%d groups more, log:\n%s", len(positions), log)
			}
		})
	}
}

// TestUnblocked: a blocked read is ended, as a Cluster does when a slot moves away.
func TestUnblocked(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client := server.Client()
	recreated := make(chan string, 10)
	log, logger := logged()
	c, _ := startConsumer(t, client, "s", logger, redisstreams.WithHooks(redisstreams.Hooks{
		GroupRecreated: func(position string) { recreated <- position },
	}))
	r := keepReceiving(t, c)
	appendN(t, client, "s", 3)
	batch := r.next(t, 3)
	before := commandsSeen(t, server)
	for range 3 {
		redistest.Eventually(t, "the read is unblocked", func() bool { return unblock(t, client) })
	}
	appendN(t, client, "s", 3)
	for _, d := range r.next(t, 3) {
		if slices.ContainsFunc(batch, func(b *redisstreams.Delivery) bool { return b.ID == d.ID }) {
			t.Errorf("entry %s, which is in work, came again", d.ID)
		}
		d.Ack()
	}
	ackAll(batch)
	redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, client, "s") == 0 })
	if n := commandsSeen(t, server) - before; n > 1500 { // most of them look for the read
		t.Errorf("%d commands", n)
	}
	if len(recreated) != 0 || !strings.Contains(log.String(), "UNBLOCKED") {
		t.Errorf("%d groups made, log:\n%s", len(recreated), log)
	}
}

// unblock ends one blocked read with an error, and reports whether there was one.
func unblock(t testing.TB, client *redis.Client) bool {
	t.Helper()
	for line := range strings.Lines(client.ClientList(t.Context()).Val()) {
		var id int64
		if _, err := fmt.Sscanf(line, "id=%d", &id); err == nil && strings.Contains(line, "cmd=xreadgroup") {
			if client.ClientUnblockWithError(t.Context(), id).Val() == 1 {
				return true
			}
		}
	}
	return false
}

// TestTrimmedInWork: an entry that was trimmed while a living member has it in work is reported once, whatever becomes
// of it there, and never comes again.
func TestTrimmedInWork(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		client := redistest.Start(t, redistest.WithBinary(flavor.Binary)).Client()
		var mu sync.Mutex
		var trimmed []string
		c, _ := startConsumer(t, client, "s", redisstreams.WithLease(shortLease), redisstreams.WithHooks(redisstreams.Hooks{
			Trimmed: func(ids []string) {
				mu.Lock()
				defer mu.Unlock()
				trimmed = append(trimmed, ids...)
			},
		}))
		r := keepReceiving(t, c)
		appendN(t, client, "s", 6)
		batch := r.next(t, 6)
		if err := client.XTrimMaxLen(t.Context(), "s", 3).Err(); err != nil {
			t.Fatal(err)
		}
		pass(3 * shortLease) // heartbeats
		batch[0].Release()
		batch[1].Release()
		batch[5].Release()
		for _, d := range r.next(t, 1) {
			if d.ID != batch[5].ID || d.Attempt != 2 {
				t.Errorf("entry %s came again", d.ID)
			}
			d.Ack()
		}
		ackAll(batch[2:5])
		redistest.Eventually(t, "nothing is pending", func() bool { return pending(t, client, "s") == 0 })
		pass(3 * shortLease)
		mu.Lock()
		defer mu.Unlock()
		slices.Sort(trimmed)
		want := []string{batch[0].ID, batch[1].ID, batch[2].ID}
		if slices.Sort(want); !slices.Equal(trimmed, want) {
			t.Errorf("reported as trimmed: %v, want %v", trimmed, want)
		}
	})
}
