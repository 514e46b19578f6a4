package stream

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// eachServer runs f with a server of each flavor.
func eachServer(t *testing.T, f func(t *testing.T, client redis.UniversalClient)) {
	t.Helper()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		f(t, redistest.Start(t, redistest.WithBinary(flavor.Binary)).Client())
	})
}

// TestForeignTrimIsReported: what somebody else trims or deletes before it was delivered is counted once, by one of the
// replicas, and named; what retention removes is not, and neither is anything that was acknowledged.
func TestForeignTrimIsReported(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, client redis.UniversalClient) {
		one := maintain(t, client, "s", RetentionConfig{MaxLength: 8}, "a", "b")
		two := maintain(t, client, "s", RetentionConfig{MaxLength: 8}, "a", "b")
		passes := func() {
			t.Helper()
			one.makePass()
			two.makePass()
		}
		reported := func(subscription string, want float64) {
			t.Helper()
			const name = "entries_trimmed_unseen_total"
			if got := one.value(name, subscription) + two.value(name, subscription); got != want {
				t.Errorf("%s: %g entries are reported, want %g\n%s%s", subscription, got, want, one.logs, two.logs)
			}
		}
		one.group("streamgate:a", "0")
		one.group("streamgate:b", "0")
		one.add(1, 10)
		one.ack("streamgate:a", one.read("streamgate:a", 3)...)
		one.ack("streamgate:b", one.read("streamgate:b", 10)...)
		passes()
		if n := len(one.ids()); n != 8 {
			t.Errorf("retention has left %d entries, want 8", n)
		}
		passes()
		reported("a", 0)

		one.do("XTRIM", "s", "MAXLEN", "=", 4) // 7 is the first
		passes()
		passes()
		reported("a", 3)
		reported("b", 0)
		log := one.logs.String() + two.logs.String()
		if n := strings.Count(log, "before they were delivered"); n != 1 || !strings.Contains(log, "subscription=a entries=3 after=3-0 before=7-0") {
			t.Errorf("%d lines:\n%s", n, log)
		}

		one.do("XDEL", "s", "9-0")
		passes()
		reported("a", 4)
		later := maintain(t, client, "s", RetentionConfig{MaxLength: 8}, "a", "b") // a start of the gateway
		later.makePass()
		later.want("entries_trimmed_unseen_total", "a", 0)
		one.ack("streamgate:a", one.read("streamgate:a", 10)...)
		one.add(11, 30)
		one.ack("streamgate:a", one.read("streamgate:a", 20)...)
		one.ack("streamgate:b", one.read("streamgate:b", 20)...)
		passes()
		passes()
		reported("a", 4)
		reported("b", 0)
	})
}

// TestTrimmedWhileTheGatewayWasAway: a loss is found out by comparing with what was noted, so also after a restart.
func TestTrimmedWhileTheGatewayWasAway(t *testing.T) {
	t.Parallel()
	client := redistest.Start(t).Client()
	k := maintain(t, client, "s", RetentionConfig{}, "a")
	k.group("streamgate:a", "0")
	k.add(1, 10)
	k.read("streamgate:a", 1)
	k.makePass()
	k.do("XTRIM", "s", "MAXLEN", "=", 4)
	k = maintain(t, client, "s", RetentionConfig{}, "a")
	k.makePass()
	k.want("entries_trimmed_unseen_total", "a", 5)
}

// TestDeletedStreamIsReported: what was in a stream that somebody deletes and was not delivered is lost, and counted
// once.
func TestDeletedStreamIsReported(t *testing.T) {
	t.Parallel()
	client := redistest.Start(t).Client()
	one, two := maintain(t, client, "s", RetentionConfig{}, "a"), maintain(t, client, "s", RetentionConfig{}, "a")
	one.group("streamgate:a", "0")
	one.add(1, 10)
	one.ack("streamgate:a", one.read("streamgate:a", 3)...)
	one.makePass()
	two.makePass()
	one.do("DEL", "s")
	one.makePass()
	one.group("streamgate:a", "0")
	one.add(1, 2)
	two.makePass()
	one.makePass()
	one.want("entries_trimmed_unseen_total", "a", 7)
	two.want("entries_trimmed_unseen_total", "a", 0)
	one.logged("entries=7 after=3-0", 1)
	two.want("subscription_lag", "a", 2)
}

// TestRetentionHeldBack: the group that keeps entries is named, whoever it belongs to, once when it begins and once
// when it ends; a configured group that is missing keeps everything.
func TestRetentionHeldBack(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, client redis.UniversalClient) {
		k := maintain(t, client, "s", RetentionConfig{MaxLength: 5}, "a")
		k.group("streamgate:a", "0")
		k.group("foreign", "0")
		k.add(1, 20)
		k.ack("streamgate:a", k.read("streamgate:a", 20)...)
		foreign := k.read("foreign", 3)
		k.ack("foreign", foreign[1:]...)
		k.makePass()
		k.want("retention_held_back", "foreign", 0) // it may be in work at the moment
		k.makePass()
		k.makePass()
		k.want("retention_held_back", "foreign", 15)
		k.want("stream_length", "s", 20)
		k.logged("holds retention back", 1)

		k.ack("foreign", foreign[0])
		k.ack("foreign", k.read("foreign", 20)...)
		k.makePass()
		k.makePass()
		k.want("retention_held_back", "foreign", 0)
		k.want("stream_length", "s", 5)
		k.logged("no longer holds", 1)

		k.add(21, 30)
		k.ack("foreign", k.read("foreign", 20)...)
		k.do("XGROUP", "DESTROY", "s", "streamgate:a")
		k.makePass()
		k.makePass()
		k.want("stream_length", "s", 15)
		k.want("retention_held_back", "streamgate:a", 10)
	})
}

// TestAcknowledgedBehindWhatIsNeeded: where the server has ACKED, one entry that waits for its next attempt does not
// keep all the others.
func TestAcknowledgedBehindWhatIsNeeded(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, client redis.UniversalClient) {
		features, err := redisstreams.Probe(t.Context(), client, "s")
		if err != nil {
			t.Fatal(err)
		}
		k := maintain(t, client, "s", RetentionConfig{MaxLength: 5}, "a")
		k.group("streamgate:a", "0")
		k.add(1, 1000)
		read := k.read("streamgate:a", 900)
		k.ack("streamgate:a", read[1:]...)
		k.makePass()
		k.makePass()
		ids := k.ids()
		if !features.TrimAcknowledged {
			k.want("stream_length", "s", 1000)
		} else if len(ids) > 300 || ids[0] != "1-0" { // up to a node around each border stays
			t.Errorf("%d entries are left, from %s", len(ids), ids[0])
		}
		k.want("subscription_lag", "a", 100)
		k.ack("streamgate:a", read[0])
		k.ack("streamgate:a", k.read("streamgate:a", 100)...)
		k.makePass()
		k.want("stream_length", "s", 5)
		k.want("entries_trimmed_unseen_total", "a", 0)
	})
}

// TestForget: a subscription that forgets holds nothing back, and what it misses is counted and is no loss.
func TestForget(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, client redis.UniversalClient) {
		k := maintain(t, client, "s", RetentionConfig{MaxLength: 5}, "a", "~b")
		k.group("streamgate:a", "0")
		k.group("streamgate:b", "0")
		k.add(1, 20)
		k.ack("streamgate:a", k.read("streamgate:a", 18)...)
		k.ack("streamgate:b", k.read("streamgate:b", 4)...)
		k.makePass()
		k.makePass()
		k.want("stream_length", "s", 5)
		k.want("entries_forgotten_total", "b", 11) // 5 to 15
		k.ack("streamgate:a", k.read("streamgate:a", 20)...)
		k.add(21, 30)
		k.ack("streamgate:a", k.read("streamgate:a", 20)...)
		k.makePass()
		k.makePass()
		k.want("entries_forgotten_total", "b", 21)
		k.want("entries_trimmed_unseen_total", "b", 0)
		k.want("entries_forgotten_total", "a", 0)
		k.want("subscription_lag", "b", 5)
	})
}

// TestMaxAge: what is older goes, but for what is needed; ids tell the age, by the clock of Redis.
func TestMaxAge(t *testing.T) {
	t.Parallel()
	client := redistest.Start(t).Client()
	k := maintain(t, client, "s", RetentionConfig{MaxAge: setting.Duration(time.Hour)}, "a")
	k.group("streamgate:a", "0")
	k.add(1, 300) // 1970
	now, err := client.Time(k.ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	young := fmt.Sprintf("%d-0", now.Add(-time.Minute).UnixMilli())
	k.do("XADD", "s", young, "f", "v")
	read := k.read("streamgate:a", 301)
	k.makePass()
	k.makePass()
	k.want("stream_length", "s", 301)
	k.want("retention_held_back", "streamgate:a", 1)
	k.ack("streamgate:a", read[:250]...)
	k.makePass()
	k.want("stream_length", "s", 51)
	k.ack("streamgate:a", read[250:300]...)
	k.makePass()
	if ids := k.ids(); len(ids) != 1 || ids[0] != young {
		t.Errorf("%v is left, want %s", ids, young)
	}
	if age := k.value("subscription_oldest_seconds", "a"); age < 60 || age > 90 {
		t.Errorf("the oldest entry is %g s old, want a minute", age)
	}
	k.want("subscription_pending", "a", 1)
	k.ack("streamgate:a", read[300])
	k.makePass()
	k.want("subscription_oldest_seconds", "a", 0)
}

// TestOldestUndelivered: the age is that of the entry behind the group, also in the middle of the stream.
func TestOldestUndelivered(t *testing.T) {
	t.Parallel()
	client := redistest.Start(t).Client()
	k := maintain(t, client, "s", RetentionConfig{}, "a")
	now, err := client.Time(k.ctx).Result()
	if err != nil {
		t.Fatal(err)
	}
	for _, age := range []time.Duration{time.Hour, time.Minute} {
		k.do("XADD", "s", fmt.Sprintf("%d-0", now.Add(-age).UnixMilli()), "f", "v")
	}
	k.group("streamgate:a", "0")
	for _, want := range []float64{3600, 60} {
		k.makePass()
		k.makePass()
		if age := k.value("subscription_oldest_seconds", "a"); age < want || age > want+30 {
			t.Errorf("the oldest entry is %g s old, want %g", age, want)
		}
		k.ack("streamgate:a", k.read("streamgate:a", 1)...)
	}
}

// TestManyGroups: a pass over ten thousand groups is cheap, and so is what it writes.
func TestManyGroups(t *testing.T) {
	t.Parallel()
	server := redistest.Start(t)
	client, n := server.Client(), 10_000
	names := make([]string, n)
	pipe := client.Pipeline()
	for i := range names {
		names[i] = fmt.Sprintf("g%d", i)
		pipe.XGroupCreateMkStream(t.Context(), "s", "streamgate:"+names[i], "0")
	}
	if _, err := pipe.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	k := maintain(t, client, "s", RetentionConfig{MaxLength: 1}, names...)
	k.add(1, 10)
	k.read("streamgate:g7", 1)
	k.makePass()
	before := commandsOf(t, client)
	started := time.Now()
	k.makePass()
	if took := time.Since(started); took > 2*time.Second { // measured: 0.1 s
		t.Errorf("a pass took %s", took)
	}
	if calls := commandsOf(t, client) - before; calls > 10 {
		t.Errorf("%d commands for a pass in which nothing changed", calls)
	}
	if saved := client.HLen(t.Context(), "streamgate:{s}:positions").Val(); saved != int64(n) {
		t.Errorf("%d positions are saved", saved)
	}
}

// commandsOf returns how many commands a server has got from its clients.
func commandsOf(t testing.TB, client redis.UniversalClient) int {
	t.Helper()
	info, err := client.Info(t.Context(), "commandstats").Result()
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for line := range strings.Lines(info) {
		var calls int
		if name, rest, found := strings.Cut(line, ":calls="); found && !strings.Contains(name, "info") {
			_, _ = fmt.Sscanf(rest, "%d", &calls)
			total += calls
		}
	}
	return total
}

// TestMaintainerOnCluster: all that a maintainer uses of a stream is in the slot of the stream.
func TestMaintainerOnCluster(t *testing.T) {
	t.Parallel()
	client := redis.NewUniversalClient(redistest.StartCluster(t, 3).Options())
	t.Cleanup(func() { _ = client.Close() })
	for _, stream := range []string{"a", "b", "c", "{d}:e"} {
		k := maintain(t, client, stream, RetentionConfig{MaxLength: 5}, "a")
		k.group("streamgate:a", "0")
		k.add(1, 20)
		k.ack("streamgate:a", k.read("streamgate:a", 20)...)
		k.makePass()
		k.makePass()
		k.want("stream_length", stream, 5)
		if saved := client.HGet(t.Context(), state.PositionsKey(stream), "a").Val(); saved != "20-0" {
			t.Errorf("stream %s: position %q, want 20-0", stream, saved)
		}
	}
}

// TestCounterFromAnotherServer: after a failover Redis 7.0 says that a group has read as much as when the replica
// copied everything. That is neither a loss nor a lag; what is removed afterwards is one.
func TestCounterFromAnotherServer(t *testing.T) {
	t.Parallel()
	eachServer(t, func(t *testing.T, client redis.UniversalClient) {
		for name, c := range map[string]RetentionConfig{"everything is kept": {}, "trimmed": {MaxLength: 5}} {
			stream := strings.ReplaceAll(name, " ", "-")
			one, two := maintain(t, client, stream, c, "a"), maintain(t, client, stream, c, "a")
			one.group("streamgate:a", "0")
			one.add(1, 20)
			one.ack("streamgate:a", one.read("streamgate:a", 17)...)
			one.makePass()
			two.makePass()
			one.do("XGROUP", "SETID", stream, "streamgate:a", "17-0", "ENTRIESREAD", "2") // the failover
			one.ack("streamgate:a", one.read("streamgate:a", 1)...)
			for _, k := range []*maintaining{one, two, one, two} {
				k.makePass()
				k.want("subscription_lag", "a", 2)
			}
			fresh := maintain(t, client, stream, c, "a") // a start of the gateway
			fresh.makePass()
			one.do("XTRIM", stream, "MAXLEN", "=", 1)
			one.makePass()
			two.makePass()
			fresh.makePass()
			if lost := one.value(trimmedUnseen, "a") + two.value(trimmedUnseen, "a") + fresh.value(trimmedUnseen, "a"); lost != 1 {
				t.Errorf("%s: %g entries are reported as lost, want the one that was removed", name, lost)
			}
		}
	})
}

// TestLagFarTooLarge: also where Redis is wrong by more than is ever counted, few entries are counted.
func TestLagFarTooLarge(t *testing.T) {
	t.Parallel()
	k := maintain(t, redistest.Start(t).Client(), "s", RetentionConfig{}, "a")
	k.group("streamgate:a", "0")
	k.add(1, 5)
	k.do("XSETID", "s", "5-0", "ENTRIESADDED", "1000000", "MAXDELETEDID", "0-0")
	k.read("streamgate:a", 2)
	k.makePass()
	k.want("subscription_lag", "a", 3)
}

const trimmedUnseen = "entries_trimmed_unseen_total"
