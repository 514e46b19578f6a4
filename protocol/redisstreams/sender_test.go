package redisstreams_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func TestConcurrentAppendsAreEachStoredOnce(t *testing.T) {
	t.Parallel()
	const writers, each = 64, 20
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	sender := newSender(t, client, stream)
	var mu sync.Mutex
	stored := map[string]string{} // entry id -> event id
	var writing sync.WaitGroup
	for w := range writers {
		writing.Go(func() {
			for i := range each {
				e := sample(fmt.Sprintf("%d-%d", w, i))
				id, err := sender.Append(context.Background(), &e)
				if err != nil {
					t.Errorf("Append: %v", err)
					return
				}
				mu.Lock()
				stored[id] = e.ID()
				mu.Unlock()
			}
		})
	}
	writing.Wait()
	entries, err := client.XRange(context.Background(), stream, "-", "+").Result()
	if err != nil || len(entries) != writers*each {
		t.Fatalf("%d entries, want %d (%v)", len(entries), writers*each, err)
	}
	for _, entry := range entries {
		if stored[entry.ID] != entry.Values["ce_id"] {
			t.Errorf("entry %s holds %v, its writer was told that it is %q", entry.ID, entry.Values["ce_id"], stored[entry.ID])
		}
	}
}

func TestAppendAllKeepsOrderAndIsAllOrNothing(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, stream := server.Client(), redistest.Stream(t)
	sender := newSender(t, client, stream)
	events := make([]rawevent.Event, 300)
	for i := range events {
		events[i] = sample(fmt.Sprint(i))
	}
	ids, err := sender.AppendAll(context.Background(), events)
	if err != nil || len(ids) != len(events) || !slices.IsSortedFunc(ids, redisstreams.CompareIDs) {
		t.Fatalf("%d ids, sorted %v, error %v", len(ids), slices.IsSortedFunc(ids, redisstreams.CompareIDs), err)
	}
	if err := client.ConfigSet(context.Background(), "maxmemory", "1mb").Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := sender.AppendAll(context.Background(), events); !redis.IsOOMError(err) && !redis.IsExecAbortError(err) {
		t.Fatalf("error %v, want that Redis is out of memory", err)
	}
	if n := client.XLen(context.Background(), stream).Val(); n != int64(len(events)) {
		t.Errorf("%d entries after the refused batch, want %d", n, len(events))
	}
	if ids, err := sender.AppendAll(context.Background(), nil); ids != nil || err != nil {
		t.Errorf("an empty batch: %v %v", ids, err)
	}
}

// TestSilentRedisFailsEverybodyInTime: when Redis hangs, those who wait for a pipeline fail with those who use one,
// instead of one timeout after the other.
func TestSilentRedisFailsEverybodyInTime(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	stream := redistest.Stream(t)
	sender := newSender(t, server.Client(), stream)
	e := sample("warm")
	if _, err := sender.Append(context.Background(), &e); err != nil {
		t.Fatal(err)
	}
	server.Pause()
	started := time.Now()
	var waiting sync.WaitGroup
	for i := range 50 {
		waiting.Go(func() {
			e := sample(fmt.Sprint(i))
			if _, err := sender.Append(context.Background(), &e); err == nil {
				t.Error("Append succeeded though Redis did not answer")
			}
		})
	}
	waiting.Wait()
	if took := time.Since(started); took > 1500*time.Millisecond {
		t.Errorf("it took %s until all had failed", took)
	}
	server.Resume()
	e = sample("after")
	redistest.Eventually(t, "it works again", func() bool {
		_, err := sender.Append(context.Background(), &e)
		return err == nil
	})
}

func TestCancelledCallerIsNotKept(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	sender := newSender(t, server.Client(), redistest.Stream(t))
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	e := sample("1")
	if _, err := sender.Append(ctx, &e); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want context.Canceled", err)
	}
}

// TestClientThatRepeatsCommandsIsRefused: go-redis' defaults would put an event twice into the stream when a reply is
// lost.
func TestClientThatRepeatsCommandsIsRefused(t *testing.T) {
	t.Parallel()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1"})
	defer func() { _ = client.Close() }()
	if _, err := redisstreams.NewSender(client, "s"); err == nil {
		t.Error("NewSender takes a client with default retries")
	}
	if _, err := redisstreams.NewConsumer(client, "s", "g"); err == nil {
		t.Error("NewConsumer takes a client with default retries")
	}
	safe := redis.NewUniversalClient(redisstreams.ClientOptions(&redis.UniversalOptions{Addrs: []string{"127.0.0.1:1"}}))
	defer func() { _ = safe.Close() }()
	if _, err := redisstreams.NewSender(safe, "s"); err != nil {
		t.Errorf("NewSender: %v", err)
	}
}
