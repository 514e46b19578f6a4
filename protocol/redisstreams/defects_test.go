package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
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

// TestStreamsWithOneHashTagDeduplicateSeparately: an id in one of them is not a duplicate in the other.
func TestStreamsWithOneHashTagDeduplicateSeparately(t *testing.T) {
	t.Parallel()
	client := redistest.Shared(t).Client()
	tag := redistest.Stream(t)
	orders, audit := "{"+tag+"}:orders", "{"+tag+"}:audit"
	a := newSender(t, client, orders, redisstreams.WithDedup(time.Minute))
	b := newSender(t, client, audit, redisstreams.WithDedup(time.Minute))
	ida := mustAppend(t, a, sample("1"))
	idb := mustAppend(t, b, sample("1"))
	t.Logf("ids %s %s", ida, idb)
	if n := length(t, client, audit); n != 1 {
		t.Errorf("audit has %d entries, want 1: the event is lost, and success was reported", n)
	}
	// partition 0 of "x" and the stream "x:0"
	p := newSender(t, client, "{"+tag+"x:0}", redisstreams.WithDedup(time.Minute))
	q := newSender(t, client, tag+"x:0", redisstreams.WithDedup(time.Minute))
	mustAppend(t, p, sample("1"))
	mustAppend(t, q, sample("1"))
	if n := length(t, client, tag+"x:0"); n != 1 {
		t.Errorf("%s has %d entries, want 1", tag+"x:0", n)
	}
}

// TestDuplicateWaitsForReplicas: WAIT answers at once on a connection that has written nothing (Redis 7.2, Valkey), and
// a duplicate would be called durable that is not.
func TestDuplicateWaitsForReplicas(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		master := redistest.Start(t, redistest.WithBinary(flavor.Binary))
		_ = master.Client().ConfigSet(t.Context(), "repl-diskless-sync-delay", "0").Err()
		host, port, _ := strings.Cut(master.Addr(), ":")
		replica := redistest.Start(t, redistest.WithBinary(flavor.Binary), redistest.WithArgs("--replicaof", host+" "+port))
		redistest.Eventually(t, "the replica is connected", func() bool {
			info, err := replica.Client().Info(t.Context(), "replication").Result()
			return err == nil && strings.Contains(info, "master_link_status:up")
		})
		opts := []redisstreams.SenderOption{redisstreams.WithReplicas(1), redisstreams.WithDedup(time.Minute)}
		first := newSender(t, connect(t, master.Addr()), "s", opts...)
		mustAppend(t, first, sample("warm"))
		replica.Pause()
		e := sample("1")
		_, err := first.Append(t.Context(), &e)
		if !errors.Is(err, redisstreams.ErrNotDurable) {
			t.Fatalf("first: %v", err)
		}
		again := newSender(t, connect(t, master.Addr()), "s", opts...) // the program started again, or the connection was lost
		if _, err = again.Append(t.Context(), &e); !errors.Is(err, redisstreams.ErrNotDurable) {
			t.Errorf("sent again: %v, want ErrNotDurable, for no replica has the entry", err)
		}
		replica.Kill()
	})
}

func TestDuplicateWaitsForTheDisk(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		if flavor.Binary == "" || strings.Contains(flavor.Name, "7.0") {
			t.Skip()
		}
		server := redistest.Start(t, redistest.WithBinary(flavor.Binary), redistest.WithAOF("no"))
		opts := []redisstreams.SenderOption{redisstreams.WithFsync(), redisstreams.WithDedup(time.Minute)}
		e := sample("1")
		_, err := newSender(t, connect(t, server.Addr()), "s", opts...).Append(t.Context(), &e)
		if !errors.Is(err, redisstreams.ErrNotDurable) {
			t.Fatalf("first: %v", err)
		}
		started := time.Now()
		_, err = newSender(t, connect(t, server.Addr()), "s", opts...).Append(t.Context(), &e)
		if !errors.Is(err, redisstreams.ErrNotDurable) {
			t.Errorf("sent again: %v after %s, want ErrNotDurable", err, time.Since(started))
		}
	})
}

type hookFuncs struct {
	before func(cmds []redis.Cmder) error
	after  func(cmds []redis.Cmder)
}

func (h hookFuncs) DialHook(next redis.DialHook) redis.DialHook { return next }
func (h hookFuncs) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		if h.before != nil {
			if err := h.before([]redis.Cmder{cmd}); err != nil {
				cmd.SetErr(err)
				return err
			}
		}
		err := next(ctx, cmd)
		if h.after != nil {
			h.after([]redis.Cmder{cmd})
		}
		return err
	}
}

func (h hookFuncs) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		if h.before != nil {
			if err := h.before(cmds); err != nil {
				for _, c := range cmds {
					c.SetErr(err)
				}
				return err
			}
		}
		err := next(ctx, cmds)
		if h.after != nil {
			h.after(cmds)
		}
		return err
	}
}

// TestOtherPipelineDoesNotForgetTheDisk: what one batch finds out about the server must not change one that is under
// way.
func TestOtherPipelineDoesNotForgetTheDisk(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		if strings.Contains(flavor.Name, "7.0") {
			t.Skip()
		}
		server := redistest.Start(t, redistest.WithBinary(flavor.Binary), redistest.WithAOF("no")) // never fsynced: WAITAOF must fail
		client := connect(t, server.Addr())
		var sender *redisstreams.Sender
		var once sync.Once
		var fail atomic.Bool
		client.(*redis.Client).AddHook(hookFuncs{
			before: func(cmds []redis.Cmder) error {
				if fail.Load() && strings.HasPrefix(cmds[0].Name(), "eval") {
					return io.ErrUnexpectedEOF
				}
				return nil
			},
			after: func(cmds []redis.Cmder) {
				if cmds[0].Name() == "evalsha" { // it was answered with NOSCRIPT; meanwhile the other pipeline breaks
					once.Do(func() {
						fail.Store(true)
						e := sample("other")
						_, err := sender.Append(context.Background(), &e)
						t.Logf("the other pipeline: %v", err)
						fail.Store(false)
					})
				}
			},
		})
		sender = newSender(t, client, "s", redisstreams.WithFsync(), redisstreams.WithDedup(time.Minute))
		e := sample("1")
		if id, err := sender.Append(t.Context(), &e); !errors.Is(err, redisstreams.ErrNotDurable) {
			t.Errorf("id %s, %v, want ErrNotDurable", id, err)
		}
	})
}

// TestRedeliveryBreaksOffInTheMiddle: what the first of two scripts has brought is handed out though the second fails.
func TestRedeliveryBreaksOffInTheMiddle(t *testing.T) {
	t.Parallel()
	server := redistest.Shared(t)
	stream, plain := redistest.Stream(t), server.Client()
	client := connect(t, server.Addr())
	sender := newSender(t, plain, stream)
	for i := range 150 {
		mustAppend(t, sender, sample(fmt.Sprint(i)))
	}
	_ = plain.XGroupCreate(t.Context(), stream, "group", "0").Err()
	// A reply that got lost: the entries are pending for "me", who has not seen them.
	if n := len(plain.XReadGroup(t.Context(), &redis.XReadGroupArgs{Group: "group", Consumer: "me", Streams: []string{stream, ">"}, Count: 150}).Val()[0].Messages); n != 150 {
		t.Fatal(n)
	}
	var reads, redeliveries atomic.Int32
	client.(*redis.Client).AddHook(hookFuncs{before: func(cmds []redis.Cmder) error {
		switch name := cmds[0].Name(); {
		case name == "xreadgroup" && reads.Add(1) == 1, name == "evalsha" && len(cmds[0].Args()) > 50 && redeliveries.Add(1) == 2:
			return io.ErrUnexpectedEOF
		}
		return nil
	}})
	const lease = 2 * time.Second
	c, _ := startConsumer(t, client, stream, redisstreams.WithConsumerName("me"), redisstreams.WithLease(lease))
	got := map[string]bool{}
	for deadline := time.Now().Add(5 * lease); time.Now().Before(deadline) && len(got) < 150; {
		batch, _ := c.Poll(t.Context(), 150, time.Second)
		for _, d := range batch {
			got[d.ID] = true
		}
	}
	if len(got) != 150 {
		stuck := plain.XPendingExt(t.Context(), &redis.XPendingExtArgs{Stream: stream, Group: "group", Start: "-", End: "+", Count: 1}).Val()
		t.Errorf("handed out %d of 150 in five leases; the others are leased on: %+v, Held %v", len(got), stuck, c.Held(stuck[0].ID))
	}
}

// TestUserMayNotUseTransactions: with MULTI refused, Redis would run the XADDs behind it one by one.
func TestUserMayNotUseTransactions(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	stream := redistest.Stream(t)
	client := userClient(t, server, "nomulti", stream, "+xadd +exec")
	_, err := newSender(t, client, stream).AppendAll(t.Context(), []rawevent.Event{sample("1"), sample("2")})
	if n := length(t, server.Client(), stream); err == nil || n != 0 {
		t.Errorf("%v, which says that nothing was written: %d entries are", err, n)
	}
}

// TestUserMayNotRemember: a SET that is refused in the script comes too late to undo its XADD.
func TestUserMayNotRemember(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	stream := redistest.Stream(t)
	client := userClient(t, server, "noset", stream, "+xadd +evalsha +eval +get")
	s := newSender(t, client, stream, redisstreams.WithDedup(time.Minute))
	e := sample("1")
	_, err := s.Append(t.Context(), &e)
	_, _ = s.Append(t.Context(), &e)
	if n := length(t, server.Client(), stream); n != 0 {
		t.Errorf("%v, which says that nothing was written: %d entries are", err, n)
	}
}

// TestRunEndsBeforeTheReader: whose attempt Run then waits for.
func TestRunEndsBeforeTheReader(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Start(t).Client(), redistest.Stream(t)
	c, err := redisstreams.NewConsumer(client, stream, "group", redisstreams.WithStart("0"))
	if err != nil {
		t.Fatal(err)
	}
	runCtx, stopRun := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { _ = c.Run(runCtx); close(done) }()
	readCtx, stopRead := context.WithCancel(t.Context())
	read := make(chan struct{})
	go func() { _, _ = c.ReceiveBatch(readCtx, 1); close(read) }()
	awaitBlocked(t, client)
	stopRun()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Error("Run has not returned 10 s after its context ended")
	}
	stopRead()
	<-read
}

// TestConsumerRunsAgain: the end of the first Run must not take the result of an attempt away from the reader.
func TestConsumerRunsAgain(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Start(t).Client(), redistest.Stream(t)
	c, err := redisstreams.NewConsumer(client, stream, "group", redisstreams.WithStart("0"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { _ = c.Run(ctx); close(done) }()
	go func() {
		awaitBlocked(t, client)
		stop()
	}()
	_, _ = c.ReceiveBatch(ctx, 1)
	<-done
	mustAppend(t, newSender(t, client, stream), sample("1"))
	ctx, stop = context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	running := make(chan struct{})
	runCtx, stopRun := context.WithCancel(t.Context())
	go func() { _ = c.Run(runCtx); close(running) }()
	if _, err := c.ReceiveBatch(ctx, 1); err != nil {
		t.Errorf("nothing received in 5 s by a consumer that runs again: %v", err)
	}
	stopRun()
	select {
	case <-running:
	case <-time.After(10 * time.Second):
		t.Error("and the second Run never ends")
	}
}

// TestHeldAfterSilence: a member that could not renew its leases does not claim to have them.
func TestHeldAfterSilence(t *testing.T) {
	t.Parallel()
	stream, plain := redistest.Stream(t), redistest.Shared(t).Client()
	proxy := redistest.StartProxy(t, redistest.SharedAddr())
	client := connect(t, proxy.Addr())
	const lease = 500 * time.Millisecond
	a, _ := startConsumer(t, client, stream, redisstreams.WithLease(lease))
	mustAppend(t, newSender(t, plain, stream), sample("1"))
	d := receive(t, a, 1)[0]
	proxy.Blackhole(true) // as if the host was frozen
	b, _ := startConsumer(t, plain, stream, redisstreams.WithLease(lease))
	taken := receive(t, b, 1)[0]
	if taken.ID != d.ID {
		t.Fatal(taken.ID)
	}
	if a.Held(d.ID) {
		t.Error("while another member works on it, Held is true")
	}
	taken.Ack()
	redistest.Eventually(t, "acknowledged", func() bool { return pending(t, plain, stream) == 0 })
	proxy.Blackhole(false)
	second := mustAppend(t, newSender(t, plain, stream), sample("2"))
	redistest.Eventually(t, "the next entry is read", func() bool {
		batch, err := a.Poll(t.Context(), 1, time.Millisecond)
		if err == nil && len(batch) == 1 && batch[0].ID != second {
			t.Errorf("entry %s is delivered again", batch[0].ID)
		}
		return len(batch) == 1
	})
	if a.Held(d.ID) {
		t.Error("Held is true of an entry that another member took over and finished")
	}
}

// TestReadAfterWaitsLong: for longer than a client waits for a reply.
func TestReadAfterWaitsLong(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.SharedAddr())
	started := time.Now()
	_, err := redisstreams.ReadAfter(t.Context(), client, redistest.Stream(t), "0", 10, 7*time.Second)
	if err != nil {
		t.Errorf("after %s: %v", time.Since(started), err)
	}
}

// TestMirrorOfFieldsOfTheBinding: they would be there twice.
func TestMirrorOfFieldsOfTheBinding(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"data", "content-type", "ce_id"} {
		client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
		s, err := redisstreams.NewSender(client, stream, redisstreams.WithMirror(name))
		if err != nil {
			continue
		}
		e := sample("1")
		e.Data = []byte(`{"data":"x","content-type":"y","ce_id":"z"}`)
		mustAppend(t, s, e)
		entries, _ := redisstreams.ReadAfter(t.Context(), client, stream, "0", 1, -1)
		if _, err := entries[0].Event(); err != nil {
			t.Errorf("mirror %q: %v", name, err)
		}
	}
}

// TestLargeEntryOnASlowLink: an entry of 8 MiB at 1 MB/s takes longer than the read timeout of go-redis, 3 s.
func TestLargeEntryOnASlowLink(t *testing.T) {
	t.Parallel()
	stream, plain := redistest.Stream(t), redistest.Shared(t).Client()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	go func() {
		for {
			in, err := listener.Accept()
			if err != nil {
				return
			}
			out, err := net.Dial("tcp", redistest.SharedAddr())
			if err != nil {
				_ = in.Close()
				return
			}
			go func() { _, _ = io.Copy(out, in); _ = out.Close() }()
			go func() { // 1 MB/s
				defer func() { _ = in.Close() }()
				buf := make([]byte, 20_000)
				for {
					n, err := out.Read(buf)
					if err != nil {
						return
					}
					if _, err := in.Write(buf[:n]); err != nil {
						return
					}
					<-time.After(time.Duration(n) * time.Microsecond)
				}
			}()
		}
	}()
	s := newSender(t, plain, stream)
	big := sample("big")
	big.Data = make([]byte, 8<<20)
	mustAppend(t, s, sample("before"))
	mustAppend(t, s, big)
	mustAppend(t, s, sample("after"))
	client := connect(t, listener.Addr().String())
	c, _ := startConsumer(t, client, stream, redisstreams.WithLease(5*time.Second))
	got := 0
	for deadline := time.Now().Add(45 * time.Second); time.Now().Before(deadline) && got < 3; {
		batch, _ := c.Poll(t.Context(), 10, time.Second)
		for _, d := range batch {
			t.Logf("%s attempt %d", d.ID, d.Attempt)
			d.Ack()
		}
		got += len(batch)
	}
	if got < 3 {
		p := plain.XPendingExt(t.Context(), &redis.XPendingExtArgs{Stream: stream, Group: "group", Start: "-", End: "+", Count: 9}).Val()
		t.Errorf("%d of 3 entries in 45 s over a link of 1 MB/s; pending %+v", got, p)
	}
}

// TestBothKindsOfDurability: they share the time that a sender is given.
func TestBothKindsOfDurability(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		if strings.Contains(flavor.Name, "7.0") {
			t.Skip()
		}
		server := redistest.Start(t, redistest.WithBinary(flavor.Binary), redistest.WithAOF("no"))
		s := newSender(t, connect(t, server.Addr()), "s", redisstreams.WithFsync(), redisstreams.WithReplicas(1))
		e := sample("1")
		started := time.Now()
		_, err := s.Append(t.Context(), &e)
		if !errors.Is(err, redisstreams.ErrNotDurable) {
			t.Errorf("after %s: %v, want ErrNotDurable", time.Since(started), err)
		}
	})
}

// TestPollForNothing: what asks for nothing asks for one.
func TestPollForNothing(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	c, _ := startConsumer(t, client, stream)
	mustAppend(t, newSender(t, client, stream), sample("1"))
	for range 2 { // it is read as one: a wait for nothing would be no wait
		mustAppend(t, newSender(t, client, stream), sample("2"))
		if batch, err := c.Poll(t.Context(), 0, time.Second); err != nil || len(batch) != 1 {
			t.Fatal(batch, err)
		}
	}
}

// awaitBlocked returns when a client waits in XREADGROUP for the stream.
// TestHookPanics: the one whose pipeline it was gets the panic, and everybody else an error.
func TestHookPanics(t *testing.T) {
	t.Parallel()
	client := connect(t, redistest.SharedAddr())
	stream, armed := redistest.Stream(t), true
	client.(*redis.Client).AddHook(hookFuncs{before: func([]redis.Cmder) error {
		if armed {
			panic("the hook")
		}
		return nil
	}})
	s := newSender(t, client, stream)
	for range 3 { // more than there are pipelines
		func() {
			defer func() { _ = recover() }()
			e := sample("1")
			id, err := s.Append(t.Context(), &e)
			t.Errorf("id %q, %v", id, err)
		}()
	}
	armed = false
	mustAppend(t, s, sample("2"))
}

// awaitBlocked waits until a client of this server, which no other test uses, waits for entries.
func awaitBlocked(t *testing.T, client redis.UniversalClient) {
	t.Helper()
	redistest.Eventually(t, "a client waits for the stream", func() bool {
		info, err := client.Info(context.Background(), "clients").Result()
		return err == nil && !strings.Contains(info, "blocked_clients:0\r\n")
	})
}
