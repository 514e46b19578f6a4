package redisstreams_test

import (
	"errors"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/internal/redistest"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// atLeast reports whether a version like 8.6.3 is major.minor or later.
func atLeast(t testing.TB, version string, major, minor int) bool {
	t.Helper()
	parts := strings.Split(version, ".")
	if len(parts) < 2 {
		t.Fatalf("version %q", version)
	}
	a, errA := strconv.Atoi(parts[0])
	b, errB := strconv.Atoi(parts[1])
	if err := errors.Join(errA, errB); err != nil {
		t.Fatal(err)
	}
	return a > major || a == major && b >= minor
}

// TestProbe: what is found agrees with what the releases say, and the probing leaves nothing behind.
func TestProbe(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		client := redistest.Start(t, redistest.WithBinary(flavor.Binary)).Client()
		f, err := redisstreams.Probe(t.Context(), client, "STREAM")
		if err != nil {
			t.Fatal(err)
		}
		if f.Server+"-"+f.Version != flavor.Name {
			t.Errorf("server %s %s, want %s", f.Server, f.Version, flavor.Name)
		}
		isRedis := f.Server == "redis"
		want := redisstreams.Features{
			Server: f.Server, Version: f.Version,
			Fsync: atLeast(t, f.Version, 7, 2), Claim: isRedis && atLeast(t, f.Version, 8, 4), TrimAcknowledged: isRedis && atLeast(t, f.Version, 8, 2),
		}
		if f != want {
			t.Errorf("%+v, want %+v", f, want)
		}
		if n := client.DBSize(t.Context()).Val(); n != 0 {
			t.Errorf("%d keys are left", n)
		}
	})
}

// TestFsync: an event is on the disk when it is accepted, or it is not accepted at all.
func TestFsync(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		binary := redistest.WithBinary(flavor.Binary)
		hasCommand := !strings.HasPrefix(flavor.Name, "redis-7.0")
		for _, c := range []struct {
			name string
			opts []redistest.Option
			ok   bool
		}{
			{"always", []redistest.Option{binary, redistest.WithAOF("always")}, true},
			{"everysec", []redistest.Option{binary, redistest.WithAOF("everysec")}, hasCommand},
			{"no append-only file", []redistest.Option{binary}, false},
		} {
			t.Run(c.name, func(t *testing.T) {
				t.Parallel()
				client := redistest.Start(t, c.opts...).Client()
				sender := newSender(t, client, "s", redisstreams.WithFsync())
				e := sample("1")
				_, err := sender.Append(t.Context(), &e)
				_, allErr := sender.AppendAll(t.Context(), []rawevent.Event{sample("2"), sample("3")})
				if c.ok && (err != nil || allErr != nil || length(t, client, "s") != 3) {
					t.Errorf("%v, %v, %d entries", err, allErr, length(t, client, "s"))
				}
				if !c.ok && (!errors.Is(err, redisstreams.ErrUnsupported) || !errors.Is(allErr, redisstreams.ErrUnsupported) || length(t, client, "s") != 0) {
					t.Errorf("%v, %v, %d entries; want ErrUnsupported and none", err, allErr, length(t, client, "s"))
				}
			})
		}
	})
}

// TestTrimAcknowledged: with it nothing goes that a group has not acknowledged; a server that cannot do it takes no
// entry.
func TestTrimAcknowledged(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		client := redistest.Start(t, redistest.WithBinary(flavor.Binary)).Client()
		features, err := redisstreams.Probe(t.Context(), client, "s")
		if err != nil {
			t.Fatal(err)
		}
		sender := newSender(t, client, "s", redisstreams.WithMaxLen(1), redisstreams.WithTrimAcknowledged())
		if !features.TrimAcknowledged {
			e := sample("1")
			if _, err := sender.Append(t.Context(), &e); err == nil || length(t, client, "s") != 0 {
				t.Errorf("accepted by a server that cannot trim so: %v", err)
			}
			return
		}
		c, _ := startConsumer(t, client, "s")
		if err := c.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		const n = 500
		for range n {
			mustAppend(t, sender, sample("x"))
		}
		if left := length(t, client, "s"); left != n {
			t.Errorf("%d of %d unacknowledged entries are left", left, n)
		}
		for _, d := range receive(t, c, n) {
			d.Ack()
		}
		redistest.Eventually(t, "all are acknowledged", func() bool { return pending(t, client, "s") == 0 })
		mustAppend(t, sender, sample("last"))
		if left := length(t, client, "s"); left > n/2 {
			t.Errorf("%d entries are left after the acknowledgement", left)
		}
	})
}

// TestTakeOver: a dead member's entries come when its lease is over, soon where the server claims by itself, and those
// that were trimmed are reported in both cases.
func TestTakeOver(t *testing.T) {
	t.Parallel()
	redistest.EachFlavor(t, func(t *testing.T, flavor redistest.Flavor) {
		client := redistest.Start(t, redistest.WithBinary(flavor.Binary)).Client()
		const lease = time.Second
		dead, err := redisstreams.NewConsumer(client, "s", "group", redisstreams.WithStart("0"), redisstreams.WithLease(lease))
		if err != nil {
			t.Fatal(err)
		}
		appendN(t, client, "s", 50)
		batch := receive(t, dead, 50)
		read := time.Now()
		trimmed := make(chan []string, 10)
		c, _ := startConsumer(t, client, "s", redisstreams.WithLease(lease), redisstreams.WithHooks(redisstreams.Hooks{
			Trimmed: func(ids []string) { trimmed <- ids },
		}))
		appendN(t, client, "s", 1) // the living member has looked around once before the lease ends
		fresh := receive(t, c, 1)
		if fresh[0].Attempt != 1 {
			t.Errorf("a new entry is attempt %d", fresh[0].Attempt)
		}
		if err := client.XDel(t.Context(), "s", batch[7].ID).Err(); err != nil {
			t.Fatal(err)
		}
		taken := receive(t, c, 49)
		took := time.Since(read)
		for _, d := range append(taken, fresh...) {
			if d.Attempt != 2 && d != fresh[0] {
				t.Errorf("entry %s is attempt %d", d.ID, d.Attempt)
			}
			d.Ack()
		}
		if took < lease || took > lease+2*time.Second {
			t.Errorf("taken over after %s, the lease is %s", took, lease)
		}
		t.Logf("taken over %s after the lease", (took - lease).Round(time.Millisecond))
		go func() { _, _ = c.ReceiveBatch(t.Context(), 1) }() // it goes on looking
		if ids := <-trimmed; len(ids) != 1 || ids[0] != batch[7].ID {
			t.Errorf("trimmed: %v, want %s", ids, batch[7].ID)
		}
	})
}
