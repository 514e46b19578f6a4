package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/internal/redistest"
)

// funcSource is a source type whose Run is a function.
type funcSource struct {
	env source.Env
	run func(ctx context.Context, env source.Env) error
}

func (s *funcSource) Validate(string) setting.Problems { return nil }

func (s *funcSource) EventKinds() ([]source.EventKind, error) { return nil, nil }

func (s *funcSource) Report(map[string][]byte) (source.Report, error) {
	return source.Report{}, nil
}

func (s *funcSource) RunOnce(context.Context) error { return source.ErrNotOnce }

func (s *funcSource) NewSource(env source.Env) (source.Source, error) {
	return &funcSource{env, s.run}, nil
}

func (s *funcSource) Run(ctx context.Context) error { return s.run(ctx, s.env) }

// withSource adds a source to a configuration.
func withSource(c gateway.Config, run func(ctx context.Context, env source.Env) error) gateway.Config {
	c.Sources = append(c.Sources, source.Block{Name: "src", Type: "func", Stream: c.Streams[0].Name, Config: &funcSource{run: run}})
	return c
}

func emissions(from, to int) []source.Emission {
	var list []source.Emission
	for i := from; i < to; i++ {
		list = append(list, source.Emission{Event: event(fmt.Sprint(i)), Key: fmt.Sprint("key-", i), Version: "1"})
	}
	return list
}

func pointers(list []source.Emission) []*source.Emission {
	p := make([]*source.Emission, len(list))
	for i := range list {
		p[i] = &list[i]
	}
	return p
}

// TestOutboxPublishesEachVersionOnce: in steps of a hundred, repeated batches add nothing, a new version does, and the
// checkpoint comes with the last step.
func TestOutboxPublishesEachVersionOnce(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	result := make(chan error, 1)
	start(t, client, withSource(oneStream(stream), func(ctx context.Context, env source.Env) error {
		result <- tryOutbox(ctx, client, env)
		<-ctx.Done()
		return nil
	}))
	if err := <-result; err != nil {
		t.Error(err)
	}
}

func tryOutbox(ctx context.Context, client redis.UniversalClient, env source.Env) error {
	o := env.Outbox
	if saved, err := o.Checkpoint(ctx); saved != nil || err != nil {
		return fmt.Errorf("checkpoint %q, %w", saved, err)
	}
	batch := emissions(0, 250)
	ids, err := o.Publish(ctx, batch, source.Save{Data: []byte("one")})
	if err != nil || len(ids) != 250 || slices.Contains(ids, "") {
		return fmt.Errorf("%d ids, %w", len(ids), err)
	}
	batch[7].Version = "2"
	batch = append(batch, emissions(250, 260)...)
	known, err := o.Seen().Recall(ctx, pointers(batch))
	if err != nil || !known[0].SameVersion || !known[7].Exists || known[7].SameVersion || known[255].Exists {
		return fmt.Errorf("known %v, %w", known, err)
	}
	ids, err = o.Publish(ctx, batch)
	if err != nil || len(ids) != 260 {
		return fmt.Errorf("%d ids, %w", len(ids), err)
	}
	for i, id := range ids {
		if (id != "") != (i == 7 || i >= 250) {
			return fmt.Errorf("event %d has the entry id %q", i, id)
		}
	}
	if n := client.XLen(ctx, env.Stream).Val(); n != 261 {
		return fmt.Errorf("%d entries, want 261", n)
	}
	if saved, err := o.Checkpoint(ctx); string(saved) != "one" || err != nil {
		return fmt.Errorf("checkpoint %q, %w", saved, err)
	}
	if ids, err := o.Publish(ctx, nil, source.Save{Data: []byte("two")}); len(ids) != 0 || err != nil {
		return fmt.Errorf("%d ids, %w", len(ids), err)
	}
	saved, err := o.Checkpoint(ctx)
	if string(saved) != "two" {
		return fmt.Errorf("checkpoint %q, %w", saved, err)
	}
	return err
}

// TestFencedOutboxWritesNothing: a source that has lost its lease can write neither events nor its checkpoint.
func TestFencedOutboxWritesNothing(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	result := make(chan error, 1)
	start(t, client, withSource(oneStream(stream), func(ctx context.Context, env source.Env) error {
		keys, err := client.Keys(ctx, "streamgate:{"+stream+"}:source:src:lease").Result()
		if err != nil || len(keys) != 1 {
			result <- fmt.Errorf("lease keys %v, %w", keys, err)
			return nil
		}
		client.Set(ctx, keys[0], "999", 0) // somebody else has taken it
		_, err = env.Outbox.Publish(ctx, emissions(0, 3), source.Save{Data: []byte("x")})
		result <- err
		<-ctx.Done()
		return err
	}))
	if err := <-result; !errors.Is(err, source.ErrFenced) {
		t.Fatalf("error %v, want ErrFenced", err)
	}
	if n := client.Exists(context.Background(), stream, "streamgate:{"+stream+"}:source:src:checkpoint").Val(); n != 0 {
		t.Errorf("%d keys were written", n)
	}
}

// TestOneGatewayRunsASource, and another one takes it over when that stops.
func TestOneGatewayRunsASource(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	var active, most atomic.Int64
	started := make(chan string, 10)
	run := func(name string) func(ctx context.Context, env source.Env) error {
		return func(ctx context.Context, _ source.Env) error {
			most.Store(max(most.Load(), active.Add(1)))
			defer active.Add(-1)
			started <- name
			<-ctx.Done()
			return nil
		}
	}
	first := start(t, client, withSource(oneStream(stream), run("first")))
	if name := <-started; name != "first" {
		t.Fatal(name)
	}
	start(t, client, withSource(oneStream(stream), run("second")))
	select {
	case name := <-started:
		t.Fatalf("the %s gateway runs the source, too", name)
	default:
	}
	first.stop()
	if name := <-started; name != "second" {
		t.Errorf("the %s gateway took over", name)
	}
	if most.Load() != 1 {
		t.Errorf("%d gateways ran the source at once", most.Load())
	}
}

// TestFailingSourceIsStartedAgain, with a pause, logged and counted.
func TestFailingSourceIsStartedAgain(t *testing.T) {
	t.Parallel()
	client, stream := redistest.Shared(t).Client(), redistest.Stream(t)
	var runs atomic.Int64
	again := make(chan struct{})
	g := start(t, client, withSource(oneStream(stream), func(ctx context.Context, _ source.Env) error {
		if runs.Add(1) == 1 {
			return errors.New("broken")
		}
		close(again)
		<-ctx.Done()
		return nil
	}))
	<-again
	if n := counter(t, g.registry, "streamgate_source_errors_total"); n != 1 {
		t.Errorf("%v errors counted, want 1", n)
	}
}

// lostReply makes the replies of scripts get lost, so many times, after Redis has run them.
type lostReply struct{ left atomic.Int64 }

func (h *lostReply) DialHook(next redis.DialHook) redis.DialHook { return next }

func (h *lostReply) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return next
}

func (h *lostReply) ProcessHook(next redis.ProcessHook) redis.ProcessHook {
	return func(ctx context.Context, cmd redis.Cmder) error {
		err := next(ctx, cmd)
		if err == nil && cmd.Name() == "evalsha" && h.left.Add(-1) >= 0 {
			cmd.SetErr(io.ErrUnexpectedEOF)
			return io.ErrUnexpectedEOF
		}
		return err
	}
}

// TestLostReplyRepeatsNothing, not even events without a key.
func TestLostReplyRepeatsNothing(t *testing.T) {
	t.Parallel()
	server, stream := redistest.Start(t), redistest.Stream(t)
	client := server.Client()
	hook := &lostReply{}
	client.AddHook(hook)
	result := make(chan error, 1)
	start(t, client, withSource(oneStream(stream), func(ctx context.Context, env source.Env) error {
		if _, err := env.Outbox.Publish(ctx, emissions(0, 1)); err != nil { // loads the script
			result <- err
			return nil
		}
		batch := emissions(1, 6)
		for i := range batch {
			batch[i].Key, batch[i].Checkpoint = "", fmt.Append(nil, i)
		}
		hook.left.Store(2)
		_, err := env.Outbox.Publish(ctx, batch)
		result <- err
		<-ctx.Done()
		return nil
	}))
	if err := <-result; err != nil {
		t.Fatal(err)
	}
	if n := client.XLen(context.Background(), stream).Val(); n != 6 {
		t.Errorf("%d entries for 6 events", n)
	}
	if saved := client.HGet(context.Background(), "streamgate:{"+stream+"}:source:src:checkpoint", "").Val(); saved != "4" {
		t.Errorf("checkpoint %q", saved)
	}
}
