package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/internal/redistest"
)

// withOutbox runs f with the outbox of a source, and fails the test with its error.
func withOutbox(t testing.TB, server *redistest.Server, stream string, f func(ctx context.Context, o source.Outbox) error) {
	t.Helper()
	result := make(chan error, 1)
	g := start(t, server.Client(), withSource(oneStream(stream), func(ctx context.Context, env source.Env) error {
		result <- f(ctx, env.Outbox)
		<-ctx.Done()
		return nil
	}))
	if err := <-result; err != nil {
		t.Error(err)
	}
	g.stop()
}

func note(key, version string) source.Emission {
	return source.Emission{Action: source.Note, Key: key, Version: version, Reference: key}
}

// TestSeenItemsAreAMap: whatever is emitted, noted, withdrawn and forgotten, with splits in between and another replica
// that goes on, the memory holds the same as a map.
func TestSeenItemsAreAMap(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // a test
	versions := map[string]string{}
	events := int64(0)
	step := func(ctx context.Context, o source.Outbox) error {
		var batch []source.Emission
		touched := map[string]bool{}
		for range random.IntN(250) {
			key, version := fmt.Sprint("thing ", random.IntN(3000)), fmt.Sprint(random.IntN(3))
			if touched[key] {
				continue
			}
			touched[key] = true
			e := note(key, version)
			before, exists := versions[key]
			switch random.IntN(4) {
			case 0:
				e.Action, e.Event = source.Withdraw, event(key)
				delete(versions, key)
				if exists {
					events++
				}
			case 1:
				versions[key] = version
			default:
				e.Action, e.Event = source.Emit, event(key)
				versions[key] = version
				if !exists || before != version {
					events++
				}
			}
			batch = append(batch, e)
		}
		_, err := o.Publish(ctx, batch)
		return err
	}
	for range 4 { // replicas, one after the other
		withOutbox(t, server, stream, func(ctx context.Context, o source.Outbox) error {
			for range 15 {
				if err := step(ctx, o); err != nil {
					return err
				}
			}
			return checkSeen(ctx, o, versions)
		})
	}
	if n := server.Client().XLen(context.Background(), stream).Val(); n != events {
		t.Errorf("%d entries, want %d", n, events)
	}
	if len(versions) < 1000 {
		t.Errorf("only %d things", len(versions))
	}
}

func checkSeen(ctx context.Context, o source.Outbox, versions map[string]string) error {
	if n, err := o.Seen().Count(ctx); err != nil || n != int64(len(versions)) {
		return fmt.Errorf("%d things are remembered, want %d, %w", n, len(versions), err)
	}
	var all []*source.Emission
	for i := range 3000 {
		key := fmt.Sprint("thing ", i)
		all = append(all, &source.Emission{Key: key, Version: versions[key]})
	}
	known, err := o.Seen().Recall(ctx, all)
	if err != nil {
		return err
	}
	for i := range known {
		if _, exists := versions[all[i].Key]; known[i].Exists != exists || exists && !known[i].SameVersion {
			return fmt.Errorf("of %q is known %+v, want %t", all[i].Key, known[i], exists)
		}
	}
	references := map[string]bool{}
	for thing, err := range o.Seen().Stale(ctx, time.Now().Add(2*time.Hour)) {
		if err != nil {
			return err
		}
		references[thing.Reference] = true
	}
	if len(references) != len(versions) {
		return fmt.Errorf("%d references, want %d", len(references), len(versions))
	}
	return nil
}

// TestForgetTakesWhatIsOld, and nothing else.
func TestForgetTakesWhatIsOld(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	withOutbox(t, server, stream, func(ctx context.Context, o source.Outbox) error {
		var batch []source.Emission
		for i := range 500 {
			batch = append(batch, note(fmt.Sprint("thing ", i), "1"))
		}
		if _, err := o.Publish(ctx, batch); err != nil {
			return err
		}
		if n, err := o.Seen().Forget(ctx, time.Now().Add(-time.Minute)); n != 0 || err != nil {
			return fmt.Errorf("forgot %d of this minute, %w", n, err)
		}
		if n, err := o.Seen().Forget(ctx, time.Now().Add(2*time.Hour)); n != 500 || err != nil {
			return fmt.Errorf("forgot %d, want 500, %w", n, err)
		}
		return checkSeen(ctx, o, map[string]string{})
	})
}

// TestContentIsCompared, where both sides have one.
func TestContentIsCompared(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	withOutbox(t, server, stream, func(ctx context.Context, o source.Outbox) error {
		first := source.Emission{Action: source.Note, Key: "k", Version: "1", Content: "a"}
		if _, err := o.Publish(ctx, []source.Emission{first}); err != nil {
			return err
		}
		for _, c := range []struct {
			version, content string
			want             [2]bool
		}{{"1", "a", [2]bool{true, true}}, {"2", "a", [2]bool{false, true}}, {"1", "b", [2]bool{true, false}}, {"1", "", [2]bool{true, true}}} {
			known, err := o.Seen().Recall(ctx, []*source.Emission{{Key: "k", Version: c.version, Content: c.content}})
			if got := [2]bool{known[0].SameVersion, known[0].SameContent}; err != nil || got != c.want || time.Since(known[0].Found) > time.Minute {
				return fmt.Errorf("%q %q: %+v, %w", c.version, c.content, known[0], err)
			}
		}
		return nil
	})
}

// TestFullSeenItemsRefuse what is new, lets what is known pass, and forgets nothing.
func TestFullSeenItemsRefuse(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	withOutbox(t, server, stream, func(ctx context.Context, o source.Outbox) error {
		o.Seen().SetLimit(120)
		batch := emissions(0, 130)
		if _, err := o.Publish(ctx, batch, source.Save{Data: []byte("x")}); !errors.Is(err, source.ErrSeenFull) {
			return fmt.Errorf("error %w, want ErrSeenFull", err)
		}
		if saved, err := o.Checkpoint(ctx); saved != nil || err != nil {
			return fmt.Errorf("the checkpoint %q was saved, %w", saved, err)
		}
		for i := range 100 {
			batch[i].Version = "2"
		}
		if _, err := o.Publish(ctx, batch[:100]); err != nil {
			return err
		}
		_, err := o.Publish(ctx, emissions(200, 220))
		return err
	})
	if n := server.Client().XLen(context.Background(), stream).Val(); n != 220 {
		t.Errorf("%d entries, want 220", n)
	}
}

// TestFlushedSeenItems: what Redis has lost is published again, and found again afterwards.
func TestFlushedSeenItems(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Shared(t), redistest.Stream(t)
	client := server.Client()
	withOutbox(t, server, stream, func(ctx context.Context, o source.Outbox) error {
		if _, err := o.Publish(ctx, emissions(0, 500)); err != nil {
			return err
		}
		keys, err := client.Keys(ctx, "streamgate:{"+stream+"}:source:src:memory*").Result()
		if err != nil || len(keys) < 5 {
			return fmt.Errorf("the memory has %d keys, %w", len(keys), err)
		}
		client.Del(ctx, keys...)
		for range 2 {
			if _, err := o.Publish(ctx, emissions(0, 100)); err != nil {
				return err
			}
		}
		if n, err := o.Seen().Count(ctx); n != 100 || err != nil {
			return fmt.Errorf("%d things, %w", n, err)
		}
		return nil
	})
	if n := client.XLen(context.Background(), stream).Val(); n != 600 {
		t.Errorf("%d entries, want 600", n)
	}
}

// BenchmarkSeenItems shows what an item costs in Redis.
func BenchmarkSeenItems(b *testing.B) {
	for range b.N {
		server, stream := redistest.Start(b), redistest.Stream(b)
		client := server.Client()
		before := usedMemory(b, server)
		const things = 100_000
		withOutbox(b, server, stream, func(ctx context.Context, o source.Outbox) error {
			for i := 0; i < things; i += 1000 {
				var batch []source.Emission
				for j := range 1000 {
					batch = append(batch, source.Emission{Action: source.Note, Key: fmt.Sprint("sentinel-2-l2a\x00S2A_", i+j), Version: "1", Content: "2"})
				}
				if _, err := o.Publish(ctx, batch); err != nil {
					return err
				}
			}
			return nil
		})
		b.ReportMetric(float64(usedMemory(b, server)-before)/things, "B/item")
		b.ReportMetric(float64(client.DBSize(context.Background()).Val()), "keys")
	}
}

func usedMemory(b *testing.B, server *redistest.Server) int64 {
	b.Helper()
	var used int64
	info := server.Client().Info(context.Background(), "memory").Val()
	_, after, _ := strings.Cut(info, "used_memory:")
	if _, err := fmt.Sscan(after, &used); err != nil {
		b.Fatal(err)
	}
	return used
}

// BenchmarkOutbox publishes events of about the size of a link to an item, each kept as seen, a checkpoint every 100.
func BenchmarkOutbox(b *testing.B) {
	for _, size := range []int{300, 2_500, 20_000} {
		b.Run(fmt.Sprint(size), func(b *testing.B) {
			server, stream := redistest.Start(b), redistest.Stream(b)
			data := []byte(`{"href":"` + strings.Repeat("x", size) + `"}`)
			withOutbox(b, server, stream, func(ctx context.Context, o source.Outbox) error {
				batch := make([]source.Emission, 1000)
				n := 0
				for b.Loop() {
					for i := range batch {
						e := event(fmt.Sprint(n))
						e.Data = data
						batch[i] = source.Emission{Event: e, Key: fmt.Sprint("sentinel-2-l2a\x00S2A_", n), Version: "1", Content: "2"}
						n++
					}
					if _, err := o.Publish(ctx, batch, source.Save{Data: data[:200]}); err != nil {
						return err
					}
					if n > 2_000_000_000/(size+500) { // as much as Redis holds here
						server.Client().Del(ctx, stream)
					}
				}
				b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "events/s")
				return nil
			})
		})
	}
}
