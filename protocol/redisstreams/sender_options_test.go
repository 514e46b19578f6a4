package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func mustAppend(t testing.TB, s *redisstreams.Sender, e rawevent.Event) string {
	t.Helper()
	id, err := s.Append(t.Context(), &e)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func length(t testing.TB, client redis.UniversalClient, stream string) int64 {
	t.Helper()
	n, err := client.XLen(t.Context(), stream).Result()
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestDedupAddsAnEventOnce(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	sender := newSender(t, client, stream, redisstreams.WithDedup(time.Minute))
	other := newSender(t, client, stream, redisstreams.WithDedup(time.Minute), redisstreams.WithStructuredMode())

	first := mustAppend(t, sender, sample("1"))
	if again := mustAppend(t, other, sample("1")); again != first {
		t.Errorf("sent again, by another sender: entry %s, want %s", again, first)
	}
	moved := sample("1")
	moved.Set("source", "https://example.com/other")
	if id := mustAppend(t, sender, moved); id == first {
		t.Error("an event of another source is taken for the same")
	}
	ids, err := sender.AppendAll(t.Context(), []rawevent.Event{sample("2"), sample("1"), sample("2"), sample("3")})
	if err != nil || ids[1] != first || ids[0] != ids[2] || ids[3] == ids[0] {
		t.Errorf("batch: %v %v, want the second to be %s and the third like the first", ids, err, first)
	}
	if n := length(t, client, stream); n != 4 {
		t.Errorf("%d entries, want 4", n)
	}
	if sender.Duplicates() != 2 || other.Duplicates() != 1 {
		t.Errorf("duplicates: %d and %d, want 2 and 1", sender.Duplicates(), other.Duplicates())
	}
}

// TestDedupTellsSourceAndIDApart: the border between them is part of the identity.
func TestDedupTellsSourceAndIDApart(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	sender := newSender(t, client, stream, redisstreams.WithDedup(time.Minute))
	for _, e := range []rawevent.Event{
		rawevent.New("bc", "a", "t"), rawevent.New("c", "ab", "t"), rawevent.New("c", "a%20b", "t"), rawevent.New("1 a", "1", "t"), rawevent.New("a", "1", "t"),
	} {
		mustAppend(t, sender, e)
	}
	if n := length(t, client, stream); n != 5 {
		t.Errorf("%d entries, want 5", n)
	}
}

func TestDedupForgetsAfterItsWindow(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	sender := newSender(t, client, stream, redisstreams.WithDedup(50*time.Millisecond))
	first := mustAppend(t, sender, sample("1"))
	redistest.Eventually(t, "the window is over", func() bool { return mustAppend(t, sender, sample("1")) != first })
}

// TestDedupUnderConcurrency: many senders send the same events at the same time.
func TestDedupUnderConcurrency(t *testing.T) {
	t.Parallel()
	const writers, events = 32, 50
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	sender := newSender(t, client, stream, redisstreams.WithDedup(time.Minute))
	ids := make([][events]string, writers)
	var group sync.WaitGroup
	for w := range writers {
		group.Go(func() {
			for i := range events {
				e := sample(fmt.Sprint(i))
				id, err := sender.Append(context.Background(), &e)
				if err != nil {
					t.Errorf("Append: %v", err)
				}
				ids[w][i] = id
			}
		})
	}
	group.Wait()
	for w := range writers {
		if ids[w] != ids[0] {
			t.Errorf("writer %d was told other entries than writer 0", w)
		}
	}
	if n := length(t, client, stream); n != events {
		t.Errorf("%d entries, want %d", n, events)
	}
	if sender.Duplicates() != (writers-1)*events {
		t.Errorf("%d duplicates, want %d", sender.Duplicates(), (writers-1)*events)
	}
}

// TestDedupOfMessages: the SDK's messages are recognized in both modes; those in an unknown format are not.
func TestDedupOfMessages(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	p, err := redisstreams.New(client, stream, redisstreams.WithSender(redisstreams.WithDedup(time.Minute), redisstreams.WithMirror("subject")))
	if err != nil {
		t.Fatal(err)
	}
	e := event.New()
	e.SetID("1")
	e.SetSource("https://example.com/things")
	e.SetType("t")
	e.SetSubject("s")
	for _, ctx := range []context.Context{t.Context(), binding.WithForceStructured(t.Context()), binding.WithForceBinary(t.Context())} {
		if err := p.Send(ctx, binding.ToMessage(&e)); err != nil {
			t.Fatal(err)
		}
	}
	structured := redisstreams.NewMessage(redisstreams.Entry{Fields: []string{"content-type", "application/cloudevents+avro", "data", "x"}})
	for range 2 {
		if err := p.Send(t.Context(), structured); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := client.XRange(t.Context(), stream, "-", "+").Result()
	if err != nil || len(entries) != 3 {
		t.Fatalf("%d entries (%v), want 3", len(entries), err)
	}
	if entries[0].Values["subject"] != "s" {
		t.Errorf("the subject is not mirrored: %v", entries[0].Values)
	}
}

// TestDedupSurvivesALostScript: a server that forgot the scripts is told again, in pipelines with waiting, too.
func TestDedupSurvivesALostScript(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t, redistest.WithAOF("always"))
	sender := newSender(t, server.Client(), "s", redisstreams.WithDedup(time.Minute), redisstreams.WithFsync())
	for i := range 3 {
		mustAppend(t, sender, sample(fmt.Sprint(i)))
		if err := server.Client().ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if n := length(t, server.Client(), "s"); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}

// TestOneRefusedEventDoesNotFailTheOthers of its batch: Lua cannot pass on as many fields as this event has.
func TestOneRefusedEventDoesNotFailTheOthers(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	sender := newSender(t, client, stream, redisstreams.WithDedup(time.Minute))
	var group sync.WaitGroup
	for i := range 100 {
		group.Go(func() {
			e := sample(fmt.Sprint(i))
			if i == 50 {
				for n := range 5000 {
					e.Set(fmt.Sprintf("x%d", n), "v")
				}
			}
			if _, err := sender.Append(context.Background(), &e); (err != nil) != (i == 50) {
				t.Errorf("event %d: %v", i, err)
			}
		})
	}
	group.Wait()
	if n := length(t, client, stream); n != 99 {
		t.Errorf("%d entries, want 99", n)
	}
}

func TestWaitForReplicas(t *testing.T) {
	t.Parallel()
	master := redistest.Start(t)
	sender := newSender(t, master.Client(), "s", redisstreams.WithReplicas(1), redisstreams.WithDedup(time.Minute))
	if err := master.Client().ConfigSet(t.Context(), "repl-diskless-sync-delay", "0").Err(); err != nil {
		t.Fatal(err)
	}
	host, port, _ := strings.Cut(master.Addr(), ":")
	replica := redistest.Start(t, redistest.WithArgs("--replicaof", host+" "+port))
	redistest.Eventually(t, "the replica is connected", func() bool {
		info, err := replica.Client().Info(t.Context(), "replication").Result()
		return err == nil && strings.Contains(info, "master_link_status:up")
	})
	id := mustAppend(t, sender, sample("1"))
	if got, err := replica.Client().XRange(t.Context(), "s", id, id).Result(); err != nil || len(got) != 1 {
		t.Errorf("the replica has %v (%v)", got, err)
	}
	if _, err := sender.AppendAll(t.Context(), []rawevent.Event{sample("2"), sample("3")}); err != nil {
		t.Errorf("batch: %v", err)
	}
	replica.Kill()
	e := sample("4")
	_, err := sender.Append(t.Context(), &e)
	if !errors.Is(err, redisstreams.ErrNotDurable) {
		t.Errorf("without the replica: %v, want ErrNotDurable", err)
	}
	if n := length(t, master.Client(), "s"); n != 4 {
		t.Errorf("%d entries, want 4: what is not confirmed is there all the same", n)
	}
}

func TestTrimming(t *testing.T) {
	t.Parallel()
	client := redistest.Shared(t).Client()
	t.Run("by length", func(t *testing.T) {
		t.Parallel()
		stream := redistest.Stream(t)
		sender := newSender(t, client, stream, redisstreams.WithMaxLen(100))
		for i := range 1000 {
			mustAppend(t, sender, sample(fmt.Sprint(i)))
		}
		if n := length(t, client, stream); n < 100 || n > 300 { // whole blocks of 100 go
			t.Errorf("%d entries, want about 100", n)
		}
	})
	t.Run("by age, by the server's clock, with deduplication", func(t *testing.T) {
		t.Parallel()
		stream := redistest.Stream(t)
		for i := range 300 { // entries of 1970
			if err := client.XAdd(t.Context(), &redis.XAddArgs{Stream: stream, ID: fmt.Sprintf("%d-0", i+1), Values: []string{"k", "v"}}).Err(); err != nil {
				t.Fatal(err)
			}
		}
		sender := newSender(t, client, stream, redisstreams.WithMaxAge(time.Hour), redisstreams.WithDedup(time.Minute))
		mustAppend(t, sender, sample("a"))
		if n := length(t, client, stream); n != 301 {
			t.Errorf("%d entries after the first event, want all of them: the server's time is not known yet", n)
		}
		mustAppend(t, sender, sample("b"))
		if n := length(t, client, stream); n > 101 {
			t.Errorf("%d entries, want the old ones trimmed", n)
		}
	})
}

func TestImpossibleOptionsAreRefused(t *testing.T) {
	t.Parallel()
	client := redistest.Shared(t).Client()
	for name, opts := range map[string][]redisstreams.SenderOption{
		"both trimmings":            {redisstreams.WithMaxLen(1), redisstreams.WithMaxAge(time.Hour)},
		"nothing to trim":           {redisstreams.WithTrimAcknowledged()},
		"negative length":           {redisstreams.WithMaxLen(-1)},
		"negative age":              {redisstreams.WithMaxAge(-1)},
		"negative window":           {redisstreams.WithDedup(-1)},
		"window under a ms":         {redisstreams.WithDedup(time.Microsecond)},
		"negative replicas":         {redisstreams.WithReplicas(-1)},
		"dedup beside odd braces {": {redisstreams.WithDedup(time.Hour)},
	} {
		if _, err := redisstreams.NewSender(client, name, opts...); (err == nil) || !strings.HasPrefix(err.Error(), "redisstreams: ") {
			t.Errorf("%s: error %v", name, err)
		}
	}
}
