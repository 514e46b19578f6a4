package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// roster lists the subscriptions of this replica: those of the configuration, and those that come and go while it runs.
type roster struct {
	mu      sync.RWMutex
	members []*subscription
}

// list returns those that there are at the moment.
func (r *roster) list() []*subscription {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.members)
}

// of returns those that read the stream.
func (r *roster) of(stream string) (found []*subscription) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.members {
		if s.config.Stream == stream {
			found = append(found, s)
		}
	}
	return found
}

func (r *roster) add(s *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, s)
}

func (r *roster) remove(s *subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = slices.DeleteFunc(r.members, func(m *subscription) bool { return m == s })
}

// Check returns everything that is wrong with a subscription that may be added to this gateway, the references to its
// streams and a name that the configuration has already included.
func (g *Gateway) Check(c *SubscriptionConfig) Problems {
	streams, names := map[string]bool{}, map[string]bool{}
	for i := range g.config.Streams {
		streams[g.config.Streams[i].Name] = true
	}
	for i := range g.config.Subscriptions {
		names[g.config.Subscriptions[i].Name] = true
	}
	var p Problems
	g.config.checkSubscription(&p, "", c, names, streams)
	return p
}

// change is a call of Apply on its way to Run.
type change struct {
	configs []SubscriptionConfig
	applied chan error
}

// Apply makes those subscriptions run that are given, beside those of the configuration: others that were given before
// stop, and those that have changed begin anew. It blocks until Run runs, the groups of new ones exist and those that
// stopped are gone, which may take server.shutdownTimeout, or until ctx ends. What is wrong with one does not keep the
// others from running; the error tells of each. The consumer group of a subscription that stops stays: see
// [Gateway.Forget].
func (g *Gateway) Apply(ctx context.Context, configs []SubscriptionConfig) error {
	c := change{configs: configs, applied: make(chan error, 1)}
	select {
	case g.changes <- c:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-c.applied:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// applyChanges does what calls of Apply want until readCtx ends, and returns when everything that they have started is gone.
func (g *Gateway) applyChanges(readCtx, workCtx context.Context) {
	guests := guests{gateway: g, running: map[string]*guest{}}
	defer guests.wait()
	for {
		select {
		case c := <-g.changes:
			c.applied <- guests.apply(readCtx, workCtx, c.configs)
		case <-readCtx.Done():
			return
		}
	}
}

// guests are the subscriptions that come and go.
type guests struct {
	gateway *Gateway
	running map[string]*guest
}

type guest struct {
	*subscription
	fingerprint string
	stop        func() // it returns when everything of it is gone
	gone        chan struct{}
}

func (gs *guests) wait() {
	for _, one := range gs.running {
		<-one.gone
		gs.gateway.roster.remove(one.subscription)
	}
}

func (gs *guests) apply(readCtx, workCtx context.Context, configs []SubscriptionConfig) error {
	var failures []error
	wanted := make(map[string]string, len(configs))
	for i := range configs {
		print, err := json.Marshal(&configs[i])
		if err != nil {
			return fmt.Errorf("subscription %q: %w", configs[i].Name, err)
		}
		wanted[configs[i].Name] = string(print)
	}
	var stopping sync.WaitGroup
	for name, one := range gs.running {
		if print, found := wanted[name]; !found || print != one.fingerprint {
			delete(gs.running, name)
			stopping.Go(one.stop)
		}
	}
	stopping.Wait()
	for i := range configs {
		name := configs[i].Name
		if gs.running[name] != nil {
			continue // it goes on; or the name is there twice
		}
		one, err := gs.begin(readCtx, workCtx, &configs[i], wanted[name])
		if err != nil {
			failures = append(failures, fmt.Errorf("subscription %q: %w", name, err))
			continue
		}
		gs.running[name] = one
	}
	return errors.Join(failures...)
}

func (gs *guests) begin(readCtx, workCtx context.Context, c *SubscriptionConfig, print string) (*guest, error) {
	g := gs.gateway
	if problems := g.Check(c); len(problems) > 0 {
		return nil, problems
	}
	s, err := g.newSubscription(c)
	if err != nil {
		return nil, err
	}
	if err := s.consumer.Ensure(readCtx); err != nil && !errors.Is(err, redisstreams.ErrGroupLost) {
		s.forgetAreas()
		return nil, fmt.Errorf("create its consumer group: %w", err)
	}
	ownRead, stopRead := context.WithCancel(readCtx)
	ownWork, stopWork := context.WithCancel(workCtx)
	one := &guest{subscription: s, fingerprint: print, gone: make(chan struct{})}
	one.stop = func() {
		g.roster.remove(s)
		stopRead()
		grace := time.AfterFunc(g.config.Server.ShutdownTimeout.Std(), stopWork)
		defer grace.Stop()
		<-one.gone
		s.forgetAreas()
		g.metrics.drop(c.Name)
	}
	s.left = ownRead.Done()
	g.roster.add(s)
	go func() {
		defer close(one.gone)
		defer stopWork()
		defer stopRead()
		s.run(ownRead, ownWork)
	}()
	return one, nil
}

// Forget removes what is left in Redis of a subscription that does not run any more: its consumer group, which would keep
// entries from being removed, its position, and its inbox with what is in it. It must not run on any replica: one that
// runs makes its group again.
func (g *Gateway) Forget(ctx context.Context, stream, name string) error {
	pipe := g.env.Redis.Pipeline()
	pipe.XGroupDestroy(ctx, stream, groupName(name))
	pipe.HDel(ctx, positionsKey(stream), name)
	pipe.HDel(ctx, unseenKey(stream), name)
	pipe.Del(ctx, InboxStream(stream, name), inboxLeaseKey(stream, name), orderKey(stream, name), deletedKey(stream, name))
	commands, _ := pipe.Exec(ctx) // each command has its error
	for _, cmd := range commands {
		if err := cmd.Err(); err != nil && !strings.HasPrefix(err.Error(), "ERR The XGROUP subcommand requires the key to exist") {
			return fmt.Errorf("forget subscription %q: %w", name, err)
		}
	}
	return nil
}
