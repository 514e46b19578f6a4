package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
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

// soon is the 900 ms within which a send ends, and what a slow machine adds.
const soon = 2500 * time.Millisecond

// connect returns a client as users are told to make one.
func connect(t testing.TB, addr string) redis.UniversalClient {
	t.Helper()
	client := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{Addrs: []string{addr}}))
	t.Cleanup(func() { _ = client.Close() })
	return client
}

// behindProxy returns a client whose network to the shared server the test may break.
func behindProxy(t testing.TB) (*redistest.Proxy, redis.UniversalClient) {
	t.Helper()
	proxy := redistest.StartProxy(t, redistest.Shared(t).Addr())
	return proxy, connect(t, proxy.Addr())
}

func appendEvent(s *redisstreams.Sender, id string) error {
	e := sample(id)
	_, err := s.Append(context.Background(), &e)
	return err
}

func appendThree(s *redisstreams.Sender, id string) error {
	_, err := s.AppendAll(context.Background(), []rawevent.Event{sample(id), sample(id + "b"), sample(id + "c")})
	return err
}

// copies counts the entries of each event in a stream.
func copies(t testing.TB, stream string, client redis.UniversalClient) map[string]int {
	t.Helper()
	entries, err := client.XRange(context.Background(), stream, "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	count := make(map[string]int)
	for _, entry := range entries {
		id, _ := entry.Values["ce_id"].(string)
		count[id]++
	}
	return count
}

// pass waits for time itself to go by: an outage has a length, and nothing else shows that nothing happens.
func pass(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	<-ctx.Done()
}

// sending is a way to send an event, or three, and the command that decides whether they are stored.
type sending struct {
	name, command string
	opts          []redisstreams.SenderOption
	send          func(s *redisstreams.Sender, id string) error
	entries       int64
}

func sendings() []sending {
	dedup := []redisstreams.SenderOption{redisstreams.WithDedup(time.Minute)}
	return []sending{
		{"one", "XADD", nil, appendEvent, 1},
		{"all or none", "EXEC", nil, appendThree, 3},
		{"once", "EVALSHA", dedup, appendEvent, 1},
		{"all once", "EVALSHA", dedup, appendThree, 3},
	}
}

// TestBrokenReply: whatever happens to the answer, a send ends soon with an error, and nothing is stored twice. Only
// with deduplication may it be repeated.
func TestBrokenReply(t *testing.T) {
	t.Parallel()
	for name, inject := range map[string]func(p *redistest.Proxy, command string) <-chan struct{}{
		"lost":    func(p *redistest.Proxy, command string) <-chan struct{} { return p.DropReplies(1, command) },
		"cut":     func(p *redistest.Proxy, command string) <-chan struct{} { return p.CutMidReply(5, command) },
		"not run": func(p *redistest.Proxy, command string) <-chan struct{} { return p.DropCommands(1, command) },
	} {
		for _, way := range sendings() {
			t.Run(name+"/"+way.name, func(t *testing.T) {
				t.Parallel()
				proxy, client := behindProxy(t)
				direct, stream := redistest.Shared(t).Client(), redistest.Stream(t)
				sender := newSender(t, client, stream, way.opts...)
				if err := way.send(sender, "warm"); err != nil {
					t.Fatal(err)
				}
				done := inject(proxy, way.command)
				started := time.Now()
				err := way.send(sender, "x")
				if took := time.Since(started); err == nil || isReply(err) || took > soon {
					t.Errorf("error %v after %s, want one of the network, soon", err, took)
				}
				<-done
				stored := way.entries
				if name == "not run" {
					stored = 0
				}
				if n := length(t, direct, stream) - way.entries; n != stored {
					t.Errorf("%d entries, want %d", n, stored)
				}
				if err := way.send(sender, "x"); err != nil {
					t.Errorf("again: %v", err)
				}
				want := stored + way.entries
				if len(way.opts) > 0 {
					want = way.entries
				}
				if n := length(t, direct, stream) - way.entries; n != want {
					t.Errorf("%d entries after it was sent again, want %d", n, want)
				}
			})
		}
	}
}

func isReply(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply)
}

// TestBlackHole: where nothing answers, neither on the connections that are there nor on new ones, a send ends within
// its time, and so do all others.
func TestBlackHole(t *testing.T) {
	t.Parallel()
	for _, fresh := range []bool{false, true} {
		t.Run(fmt.Sprintf("fresh=%t", fresh), func(t *testing.T) {
			t.Parallel()
			proxy, client := behindProxy(t)
			sender := newSender(t, client, redistest.Stream(t))
			mustAppend(t, sender, sample("warm"))
			proxy.Blackhole(true)
			if fresh {
				proxy.CloseAll()
			}
			started := time.Now()
			var sends sync.WaitGroup
			for i := range 20 {
				sends.Go(func() {
					if appendEvent(sender, fmt.Sprint(i)) == nil {
						t.Error("no attempt was accepted")
					}
				})
			}
			sends.Wait()
			if took := time.Since(started); took > soon {
				t.Errorf("it took %s until all had failed", took)
			}
			proxy.Blackhole(false)
			redistest.Eventually(t, "it works again", func() bool { return appendEvent(sender, "after") == nil })
		})
	}
}

// queueContext tells when it is waited for, which a sender does only in its queue.
type queueContext struct {
	context.Context
	waits func()
}

func (c queueContext) Done() <-chan struct{} {
	c.waits()
	return c.Context.Done()
}

// fillPipelines makes a sender busy with sends that are not answered until the proxy lets go.
func fillPipelines(t *testing.T, proxy *redistest.Proxy, sender *redisstreams.Sender) *sync.WaitGroup {
	t.Helper()
	proxy.Blackhole(true)
	var busy sync.WaitGroup
	for i := range 2 {
		busy.Go(func() { _ = appendEvent(sender, fmt.Sprintf("busy%d", i)) })
	}
	redistest.Eventually(t, "both pipelines are busy", func() bool { return proxy.Held() >= 2 })
	return &busy
}

// TestQueueFailsWithTheConnection: those who wait have sent nothing, and learn at once that it would be in vain.
func TestQueueFailsWithTheConnection(t *testing.T) {
	t.Parallel()
	const n = 30
	proxy, client := behindProxy(t)
	stream := redistest.Stream(t)
	sender := newSender(t, client, stream)
	mustAppend(t, sender, sample("warm"))
	busy := fillPipelines(t, proxy, sender)
	var queued, failed sync.WaitGroup
	queued.Add(n)
	for range n {
		failed.Go(func() {
			var once sync.Once
			ctx := queueContext{t.Context(), func() { once.Do(queued.Done) }}
			e := sample("queued")
			if _, err := sender.Append(ctx, &e); err == nil || isReply(err) {
				t.Errorf("error %v", err)
			}
			once.Do(queued.Done)
		})
	}
	queued.Wait()
	proxy.CloseAll()
	started := time.Now()
	failed.Wait()
	if took := time.Since(started); took > 700*time.Millisecond {
		t.Errorf("it took %s until all had failed", took)
	}
	busy.Wait()
	proxy.Blackhole(false)
	redistest.Eventually(t, "it works again", func() bool { return appendEvent(sender, "after") == nil })
	if got := copies(t, stream, redistest.Shared(t).Client())["queued"]; got != 0 {
		t.Errorf("%d entries of those who only waited", got)
	}
}

// TestCancelledInTheQueue: who waits for a pipeline need not wait until Redis answers, and has written nothing.
func TestCancelledInTheQueue(t *testing.T) {
	t.Parallel()
	proxy, client := behindProxy(t)
	stream := redistest.Stream(t)
	sender := newSender(t, client, stream)
	busy := fillPipelines(t, proxy, sender)
	parent, cancel := context.WithCancel(t.Context())
	var once sync.Once
	queued, result := make(chan struct{}), make(chan error, 1)
	go func() {
		e := sample("queued")
		_, err := sender.Append(queueContext{parent, func() { once.Do(func() { close(queued) }) }}, &e)
		result <- err
	}()
	<-queued
	started := time.Now()
	cancel()
	if err := <-result; !errors.Is(err, context.Canceled) || time.Since(started) > 500*time.Millisecond {
		t.Errorf("%v after %s, want context.Canceled at once", err, time.Since(started))
	}
	proxy.Blackhole(false)
	busy.Wait()
	redistest.Eventually(t, "it works again", func() bool { return appendEvent(sender, "after") == nil })
	if got := copies(t, stream, redistest.Shared(t).Client()); got["queued"] != 0 || got["busy0"] > 1 || got["busy1"] > 1 {
		t.Errorf("entries %v", got)
	}
}

// TestRefusedSend: what Redis refuses comes back as its error after one attempt, nothing is written, and it works again
// as soon as the reason has gone.
func TestRefusedSend(t *testing.T) {
	t.Parallel()
	for _, f := range faults() {
		t.Run(f.code, func(t *testing.T) {
			t.Parallel()
			server := redistest.Start(t, f.opts...)
			client := connect(t, server.Addr())
			ways := sendings()
			senders := make([]*redisstreams.Sender, len(ways))
			for i, way := range ways {
				senders[i] = newSender(t, client, "s", way.opts...)
				if err := way.send(senders[i], "warm"+way.name); err != nil {
					t.Fatal(err)
				}
			}
			before := length(t, client, "s")
			lift := f.apply(t, server, "s")
			commands := commandsSeen(t, server)
			for i, way := range ways {
				if err := way.send(senders[i], "x"); err == nil || !strings.Contains(err.Error(), f.code) {
					t.Errorf("%s: error %v, want %s", way.name, err, f.code)
				}
			}
			// The largest has MULTI, three XADD and EXEC; a script may be sent in full, too, and be tried event by
			// event.
			if n := commandsSeen(t, server) - commands; n > 40 {
				t.Errorf("%d commands for four sends", n)
			}
			lift()
			if n := length(t, client, "s"); n != before && f.code != "WRONGTYPE" { // there the stream went with its key
				t.Errorf("%d entries, want the %d from before", n, before)
			}
			for i, way := range ways {
				redistest.Eventually(t, "sending works again: "+way.name, func() bool { return way.send(senders[i], "y"+way.name) == nil })
			}
		})
	}
}

// TestUnreadyServerIsNotUnsupported: a server that is loading, or a replica for a moment, will be able to fsync:
// callers who give up on ErrUnsupported must not give up then.
func TestUnreadyServerIsNotUnsupported(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		for _, f := range faults() {
			if f.code != "LOADING" && f.code != "READONLY" {
				continue
			}
			t.Run(f.code, func(t *testing.T) {
				t.Parallel()
				opts := append([]redistest.Option{redistest.WithBinary(flavor.Binary), redistest.WithAOF("always")}, f.opts...)
				server := redistest.Start(t, opts...)
				sender := newSender(t, connect(t, server.Addr()), "s", redisstreams.WithFsync())
				lift := f.apply(t, server, "s")
				if err := appendEvent(sender, "x"); err == nil || errors.Is(err, redisstreams.ErrUnsupported) {
					t.Errorf("error %v, want %s and not ErrUnsupported", err, f.code)
				}
				lift()
				redistest.Eventually(t, "sending works", func() bool { return appendEvent(sender, "y") == nil })
				if got := copies(t, "s", server.Client()); got["x"] != 0 || got["y"] != 1 {
					t.Errorf("entries %v", got)
				}
			})
		}
	})
}

// TestRefusalConcernsOneCaller: a refusal of all events of one caller is not a failure of the connection, and those
// who wait are served.
func TestRefusalConcernsOneCaller(t *testing.T) {
	t.Parallel()
	proxy, client := behindProxy(t)
	stream := redistest.Stream(t)
	direct := redistest.Shared(t).Client()
	if err := direct.Set(t.Context(), stream, "no stream", 0).Err(); err != nil {
		t.Fatal(err)
	}
	sender := newSender(t, client, stream)
	proxy.Blackhole(true)
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() { _ = appendThree(sender, "refused") })
	}
	redistest.Eventually(t, "both pipelines are busy", func() bool { return proxy.Held() >= 2 })
	results := make([]error, 10)
	var queued sync.WaitGroup
	queued.Add(len(results))
	for i := range results {
		group.Go(func() {
			var once sync.Once
			e := sample(fmt.Sprint(i))
			_, results[i] = sender.Append(queueContext{t.Context(), func() { once.Do(queued.Done) }}, &e)
			once.Do(queued.Done)
		})
	}
	queued.Wait()
	proxy.Blackhole(false)
	group.Wait()
	if i := slices.IndexFunc(results, func(err error) bool { return !refusedWith(err, "WRONGTYPE") }); i >= 0 {
		t.Errorf("a send of its own ends with %v, want its own answer of Redis", results[i])
	}
}

func refusedWith(err error, code string) bool {
	var reply redis.Error
	return errors.As(err, &reply) && strings.HasPrefix(reply.Error(), code)
}
