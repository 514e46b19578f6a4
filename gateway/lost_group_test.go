package gateway_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/internal/redistest"
)

// waitFor returns when the sink has got the ids, and nothing is left to do.
func waitFor(t *testing.T, client redis.UniversalClient, stream string, s *testSink, from, to int) {
	t.Helper()
	redistest.Eventually(t, fmt.Sprintf("events %d to %d are delivered", from, to), func() bool {
		got := map[string]bool{}
		for _, id := range s.ids() {
			got[id] = true
		}
		for i := from; i <= to; i++ {
			if !got[fmt.Sprint(i)] {
				return false
			}
		}
		return nothingPending(client, stream, "sub")
	})
}

func run(t *testing.T, client redis.UniversalClient, args ...any) {
	t.Helper()
	if err := client.Do(context.Background(), args...).Err(); err != nil {
		t.Fatalf("%v: %v", args, err)
	}
}

// postAll posts events with these numbers through a gateway without subscriptions.
func postAll(t *testing.T, client redis.UniversalClient, stream string, from, to int) {
	t.Helper()
	g := start(t, client, oneStream(stream))
	for i := from; i <= to; i++ {
		if status, _ := post(t, g.url, event(fmt.Sprint(i))); status != http.StatusAccepted {
			t.Fatalf("status %d", status)
		}
	}
	g.stop()
}

// savedPosition returns what is noted of the subscription.
func savedPosition(client redis.UniversalClient, stream string) string {
	return client.HGet(context.Background(), "streamgate:{"+stream+"}:positions", "sub").Val()
}

// lastEntry returns the id of the last entry.
func lastEntry(t *testing.T, client redis.UniversalClient, stream string) string {
	t.Helper()
	entries, err := client.XRevRangeN(context.Background(), stream, "+", "-", 1).Result()
	if err != nil || len(entries) != 1 {
		t.Fatal(entries, err)
	}
	return entries[0].ID
}

// noted waits until all is noted as acknowledged, and returns the position.
func noted(t *testing.T, client redis.UniversalClient, stream string) string {
	t.Helper()
	last := lastEntry(t, client, stream)
	redistest.Eventually(t, "the position is noted", func() bool { return savedPosition(client, stream) == last })
	return last
}

// TestPositionOutlivesTheGroup: what came while neither the gateway nor its group was there is delivered all the same,
// and what had been acknowledged before is not delivered again.
func TestPositionOutlivesTheGroup(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string][]any{
		"group destroyed": {"XGROUP", "DESTROY", "s", "streamgate:sub"},
		"stream deleted":  {"DEL", "s"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, to := redistest.Start(t).Client(), newSink(t, nil)
			latest := func(s *delivery.Config) { s.StartFrom = "latest" }
			g := start(t, client, subscribed(oneStream("s"), to.url, latest))
			for i := range 5 {
				post(t, g.url, event(fmt.Sprint(i)))
			}
			waitFor(t, client, "s", to, 0, 4)
			g.stop()
			if saved, last := savedPosition(client, "s"), lastEntry(t, client, "s"); saved != last {
				t.Errorf("the position is %s, want %s", saved, last)
			}
			run(t, client, lose...)
			postAll(t, client, "s", 5, 9)
			g = start(t, client, subscribed(oneStream("s"), to.url, latest))
			waitFor(t, client, "s", to, 5, 9)
			if n := len(to.all()); n != 10 {
				t.Errorf("%d deliveries, want 10", n)
			}
			if n := counter(t, g.registry, "streamgate_groups_recreated_total"); n != 1 {
				t.Errorf("%g groups were made again, want 1", n)
			}
			if n := strings.Count(g.logs.String(), "had been lost"); n != 1 {
				t.Errorf("%d lines:\n%s", n, g.logs)
			}
		})
	}
}

// TestFlushedAndRestored: the entries come back without groups and without what was noted; the running gateway
// remembers.
func TestFlushedAndRestored(t *testing.T) {
	t.Parallel()
	client, to := redistest.Start(t).Client(), newSink(t, nil)
	g := start(t, client, subscribed(oneStream("s"), to.url))
	for i := range 5 {
		post(t, g.url, event(fmt.Sprint(i)))
	}
	waitFor(t, client, "s", to, 0, 4)
	entries, err := client.XRange(context.Background(), "s", "-", "+").Result()
	if err != nil {
		t.Fatal(err)
	}
	pipe := client.TxPipeline() // so that the gateway does not see the time between
	pipe.FlushAll(context.Background())
	for i := range entries {
		pipe.XAdd(context.Background(), &redis.XAddArgs{Stream: "s", ID: entries[i].ID, Values: entries[i].Values})
	}
	if _, err := pipe.Exec(context.Background()); err != nil {
		t.Fatal(err)
	}
	redistest.Eventually(t, "the group is there again", func() bool { return nothingPending(client, "s", "sub") })
	post(t, g.url, event("5"))
	waitFor(t, client, "s", to, 0, 5)
	if n := len(to.all()); n != 6 {
		t.Errorf("%d deliveries, want 6", n)
	}
	noted(t, client, "s")
}

// TestOnGroupLost: each answer to a group that was destroyed while the gateway was away, and the same in a running one.
func TestOnGroupLost(t *testing.T) {
	t.Parallel()
	for policy, want := range map[string]struct{ first, deliveries int }{
		"resume":   {5, 10 + 5}, // 5 and later; 10 to 14 are posted afterwards
		"earliest": {0, 15 + 5}, // all again
		"latest":   {10, 5 + 5}, // not 5 to 9
	} {
		t.Run(policy, func(t *testing.T) {
			t.Parallel()
			client, to := redistest.Start(t).Client(), newSink(t, nil)
			c := func() gateway.Config {
				return subscribed(oneStream("s"), to.url, func(s *delivery.Config) { s.OnGroupLost = policy })
			}
			g := start(t, client, c())
			for i := range 5 {
				post(t, g.url, event(fmt.Sprint(i)))
			}
			waitFor(t, client, "s", to, 0, 4)
			g.stop()
			run(t, client, "XGROUP", "DESTROY", "s", "streamgate:sub")
			postAll(t, client, "s", 5, 9)
			g = start(t, client, c())
			for i := range 5 {
				post(t, g.url, event(fmt.Sprint(10+i)))
			}
			waitFor(t, client, "s", to, max(want.first, 10), 14)
			if n := len(to.all()); n != want.deliveries {
				t.Errorf("%d deliveries, want %d", n, want.deliveries)
			}
			noted(t, client, "s")
			run(t, client, "XGROUP", "DESTROY", "s", "streamgate:sub")
			redistest.Eventually(t, "the group is made again", func() bool { return nothingPending(client, "s", "sub") })
			if n := counter(t, g.registry, "streamgate_groups_recreated_total"); n != 2 {
				t.Errorf("%g groups were made again, want 2", n)
			}
			if again := len(to.all()) - want.deliveries; policy == "earliest" && again != 15 || policy != "earliest" && again != 0 {
				t.Errorf("%d deliveries after the group was lost again", again)
			}
		})
	}
}

// TestOnGroupLostFail: the subscription waits, at little cost and with one line in the log, until somebody has made the
// group; the gateway goes on taking events in.
func TestOnGroupLostFail(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprintf("restart %t", restart), func(t *testing.T) {
			t.Parallel()
			server, to := redistest.Start(t), newSink(t, nil)
			client := server.Client()
			c := subscribed(oneStream("s"), to.url, func(s *delivery.Config) { s.OnGroupLost = "fail" })
			g := start(t, client, c)
			post(t, g.url, event("0"))
			waitFor(t, client, "s", to, 0, 0)
			position := noted(t, client, "s")
			if restart {
				g.stop()
			}
			run(t, client, "XGROUP", "DESTROY", "s", "streamgate:sub")
			if restart {
				g = launch(t, client, c)
			}
			redistest.Eventually(t, "it says so", func() bool {
				return strings.Contains(g.logs.String(), "make it with XGROUP CREATE s streamgate:sub "+position)
			})
			if err := g.Ready(context.Background()); err == nil || !strings.Contains(err.Error(), "onGroupLost: fail") {
				t.Errorf("ready: %v", err)
			}
			redistest.Eventually(t, "events are taken in", func() bool { status, _ := post(t, g.url, event("1")); return status == http.StatusAccepted })
			before := commandsSeen(t, client)
			pass(3 * time.Second)
			// About once a second: is it there, what was noted; and a pass of the keeper or two.
			if n := commandsSeen(t, client) - before; n > 60 {
				t.Errorf("%d commands in three seconds", n)
			}
			run(t, client, "XGROUP", "CREATE", "s", "streamgate:sub", position)
			waitFor(t, client, "s", to, 0, 1)
			if n := strings.Count(g.logs.String(), "level=WARN") + strings.Count(g.logs.String(), "level=ERROR"); n != 1 {
				t.Errorf("%d lines:\n%s", n, g.logs)
			}
			if n := counter(t, g.registry, "streamgate_groups_recreated_total"); n != 0 {
				t.Errorf("%g groups were made again", n)
			}
		})
	}
}

// pass waits for time itself to go by: nothing else shows that nothing happens.
func pass(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	<-ctx.Done()
}

// commandsSeen returns how many commands the server has got from its clients, but for INFO.
func commandsSeen(t testing.TB, client redis.UniversalClient) int {
	t.Helper()
	info, err := client.Info(context.Background(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for line := range strings.Lines(info) {
		var calls int
		if name, rest, found := strings.Cut(line, ":calls="); found && !strings.HasSuffix(name, "_info") {
			_, _ = fmt.Sscanf(rest, "%d", &calls)
			total += calls
		}
	}
	return total
}
