package gateway

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// DescribeRedis returns an error of Redis with what an operator can do about it. isPermanent reports that waiting does
// not help: the server answers, and refuses.
func DescribeRedis(err error) (text string, isPermanent bool) {
	for _, known := range []struct{ part, meaning string }{
		{"WRONGPASS", "redis refused the user or the password; check redis.url and redis.passwordFile"},
		{"NOAUTH", "redis wants a password; put it into redis.url or redis.passwordFile"},
		{"ERR AUTH", "redis has no password set, but redis.url or redis.passwordFile gives one"},
		{"ERR Client sent AUTH", "redis has no password set, but redis.url or redis.passwordFile gives one"},
		{"DB index", "redis does not have the database of redis.url; use a smaller number, or raise databases in redis.conf"},
		{"NOPERM", "the user of redis lacks a right; docs/operations.md has an ACL line with all that are needed"},
		{"WRONGTYPE", "the key of the stream holds another type of value; rename that key, or choose another stream name"},
		{"ERR unknown command", "redis lacks a command; Redis 7.0.5 or Valkey 7.2 is the oldest version that works"},
		{"ERR This instance has cluster support disabled", "redis is not a cluster; write redis:// instead of redis+cluster://"},
		{"MOVED", "redis is a cluster; write redis+cluster:// instead of redis://"},
	} {
		if redisstreams.IsReply(err) && strings.Contains(err.Error(), known.part) {
			return fmt.Sprintf("%s: %s", known.meaning, err), true
		}
	}
	return err.Error(), false
}

// isOfOneStream reports whether a refusal of Redis concerns the key of a stream, and not the connection.
func isOfOneStream(err error) bool {
	return redisstreams.IsReply(err, "WRONGTYPE") ||
		redisstreams.IsReply(err, "NOPERM") && strings.Contains(err.Error(), "key")
}

// gates says which streams have all of their consumer groups, so that events may be taken in: those that came earlier
// than the group of a new subscription, which begins at the end of its stream, would not be delivered to it. It is safe
// for concurrent use.
type gates struct {
	mu     sync.Mutex
	open   map[string]chan struct{} // by stream; closed when it is open
	faults map[string]error         // by stream: why it is not open
	start  error                    // why none is open
}

func newGates(streams []string) *gates {
	g := &gates{open: map[string]chan struct{}{}, faults: map[string]error{}}
	for _, name := range streams {
		g.open[name] = make(chan struct{})
	}
	return g
}

// wait reports whether a stream opens before ctx ends.
func (g *gates) wait(ctx context.Context, stream string) bool {
	select {
	case <-g.open[stream]:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// fault returns why a stream is not open, or nil.
func (g *gates) fault(stream string) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.faults[stream]
}

// startFault returns why the gateway has not started yet, or nil.
func (g *gates) startFault() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.start
}

// note records the outcome of an attempt to make the groups of a stream.
func (g *gates) note(stream string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if err != nil {
		g.faults[stream] = err
		return
	}
	delete(g.faults, stream)
	select {
	case <-g.open[stream]:
	default:
		close(g.open[stream])
	}
}

func (g *gates) noteStart(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.start = err
}

// prepare creates the consumer groups, until that has succeeded or ctx ends. A stream that Redis refuses by itself,
// such as a key of another type, does not hold back the others: it opens later, in background.
func (g *Gateway) prepare(ctx context.Context, background *sync.WaitGroup) bool {
	report := func(err error) {
		text, _ := DescribeRedis(err)
		g.env.Logger.Warn("cannot create the consumer groups, trying again; producers get 503 until then", "err", text)
	}
	err := startPolicy().Retry(ctx, report, func(ctx context.Context) error {
		err := g.openStreams(ctx)
		g.gates.noteStart(err)
		return err
	})
	if err != nil {
		return false
	}
	for i := range g.config.Streams {
		name := g.config.Streams[i].Name
		if fault := g.gates.fault(name); fault != nil {
			text, _ := DescribeRedis(fault)
			g.env.Logger.Error("a stream cannot be used; the others work, and its producers get 503", "stream", name, "err", text)
			background.Go(func() { g.reopen(ctx, name) })
		}
	}
	return true
}

// startPolicy is how often the groups are tried again.
func startPolicy() backoff.Policy {
	return backoff.Policy{First: 50 * time.Millisecond, Max: time.Second}
}

// openStreams makes the groups of all streams. It returns an error unless at least one stream is open, and the others
// have faults of their own.
func (g *Gateway) openStreams(ctx context.Context) error {
	var last error
	opened := 0
	for i := range g.config.Streams {
		name := g.config.Streams[i].Name
		err := g.ensureGroups(ctx, name)
		if err != nil && !isOfOneStream(err) {
			return err
		}
		g.gates.note(name, err)
		g.publisher.Block(name, err)
		if err != nil {
			last = err
		} else {
			opened++
		}
	}
	if opened == 0 {
		return last
	}
	return nil
}

// reopen tries to make the groups of one stream until that succeeds.
func (g *Gateway) reopen(ctx context.Context, name string) {
	err := startPolicy().Retry(ctx, func(error) {}, func(ctx context.Context) error {
		return g.ensureGroups(ctx, name)
	})
	if err == nil {
		g.publisher.Block(name, nil)
		g.gates.note(name, nil)
		g.env.Logger.Info("the stream can be used now", "stream", name)
	}
}

// ensureGroups makes the groups of a stream's subscriptions. It checks the key of a stream without any, too.
func (g *Gateway) ensureGroups(ctx context.Context, name string) error {
	if err := g.env.Redis.XLen(ctx, name).Err(); err != nil {
		return fmt.Errorf("stream %q: %w", name, err)
	}
	for _, s := range g.registry.of(name) {
		if err := s.Ensure(ctx); err != nil {
			return fmt.Errorf("stream %q, subscription %q: %w", name, s.Config().Name, err)
		}
	}
	return nil
}

// Faults returns what keeps single streams from working while the others do, in the order of the configuration.
func (g *Gateway) Faults() []string {
	var list []string
	for i := range g.config.Streams {
		if err := g.gates.fault(g.config.Streams[i].Name); err != nil {
			text, _ := DescribeRedis(err)
			list = append(list, text)
		}
	}
	return list
}

// notStarted is why the gateway is not ready before it runs.
func (g *Gateway) notStarted() error {
	err := g.gates.startFault()
	if err == nil {
		return errors.New("starting or shutting down")
	}
	text, isPermanent := DescribeRedis(err)
	if !isPermanent && !redisstreams.IsReply(err) {
		text = "redis cannot be reached: " + text
	}
	return fmt.Errorf("not started yet: %s", text)
}
