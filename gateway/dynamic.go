package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Check returns everything that is wrong with a subscription that may be added to this gateway, the references to its
// streams and a name that the configuration has already included.
func (g *Gateway) Check(c *delivery.Config) setting.Problems {
	streams, names := map[string]bool{}, map[string]bool{}
	for i := range g.config.Streams {
		streams[g.config.Streams[i].Name] = true
	}
	for i := range g.config.Subscriptions {
		names[g.config.Subscriptions[i].Name] = true
	}
	var p setting.Problems
	g.config.checkSubscription(&p, "", c, names, streams)
	return p
}

// change is a call of Apply on its way to Run.
type change struct {
	configs []delivery.Config
	applied chan error
}

// Apply makes those subscriptions run that are given, beside those of the configuration: others that were given before
// stop, and those that have changed begin anew. It blocks until Run runs, the groups of new ones exist and those that
// stopped are gone, which may take server.shutdownTimeout, or until ctx ends. What is wrong with one does not keep the
// others from running; the error tells of each. The consumer group of a subscription that stops stays: see
// [Gateway.Forget].
func (g *Gateway) Apply(ctx context.Context, configs []delivery.Config) error {
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

// applyChanges does what calls of Apply want until readCtx ends, and returns when everything that they have started is
// gone.
func (g *Gateway) applyChanges(readCtx, workCtx context.Context) {
	d := dynamicSubscriptions{gateway: g, running: map[string]*dynamicSubscription{}}
	defer d.wait()
	for {
		select {
		case c := <-g.changes:
			c.applied <- d.apply(readCtx, workCtx, c.configs)
		case <-readCtx.Done():
			return
		}
	}
}

// dynamicSubscriptions are the subscriptions that come and go. It is for one goroutine.
type dynamicSubscriptions struct {
	gateway *Gateway
	running map[string]*dynamicSubscription
}

type dynamicSubscription struct {
	*delivery.Subscription
	fingerprint string
	stop        func() // it returns when everything of it is gone
	gone        chan struct{}
}

func (d *dynamicSubscriptions) wait() {
	for _, one := range d.running {
		<-one.gone
		d.gateway.registry.remove(one.Subscription)
	}
}

func (d *dynamicSubscriptions) apply(readCtx, workCtx context.Context, configs []delivery.Config) error {
	var failures []error
	wanted := make(map[string]string, len(configs))
	for i := range configs {
		fingerprint, err := json.Marshal(&configs[i])
		if err != nil {
			return fmt.Errorf("subscription %q: %w", configs[i].Name, err)
		}
		wanted[configs[i].Name] = string(fingerprint)
	}
	var stopping sync.WaitGroup
	for name, one := range d.running {
		if fingerprint, found := wanted[name]; !found || fingerprint != one.fingerprint {
			delete(d.running, name)
			stopping.Go(one.stop)
		}
	}
	stopping.Wait()
	for i := range configs {
		name := configs[i].Name
		if d.running[name] != nil {
			continue // it goes on; or the name is there twice
		}
		one, err := d.begin(readCtx, workCtx, &configs[i], wanted[name])
		if err != nil {
			failures = append(failures, err)
			continue
		}
		d.running[name] = one
	}
	return errors.Join(failures...)
}

func (d *dynamicSubscriptions) begin(
	readCtx, workCtx context.Context, c *delivery.Config, fingerprint string,
) (*dynamicSubscription, error) {
	g := d.gateway
	if problems := g.Check(c); len(problems) > 0 {
		return nil, fmt.Errorf("subscription %q: %w", c.Name, problems)
	}
	ownRead, stopRead := context.WithCancel(readCtx)
	ownWork, stopWork := context.WithCancel(workCtx)
	cancel := func() {
		stopRead()
		stopWork()
	}
	s, err := g.newSubscription(c, ownRead.Done())
	if err != nil {
		cancel()
		return nil, err
	}
	if err := s.Ensure(readCtx); err != nil {
		cancel()
		s.Close()
		return nil, fmt.Errorf("subscription %q: create its consumer group: %w", c.Name, err)
	}
	one := &dynamicSubscription{Subscription: s, fingerprint: fingerprint, gone: make(chan struct{})}
	one.stop = func() {
		g.registry.remove(s)
		stopRead()
		grace := time.AfterFunc(g.config.Server.ShutdownTimeout.Std(), stopWork)
		defer grace.Stop()
		<-one.gone
		g.deliveryMetrics.Drop(c.Name)
		g.streamMetrics.Drop(c.Name)
	}
	g.registry.add(s)
	go func() { // apply or wait waits for it
		defer close(one.gone)
		defer cancel()
		s.Run(ownRead, ownWork)
	}()
	return one, nil
}

// Forget removes what is left in Redis of a subscription that does not run any more: its consumer group, which would
// keep entries from being removed, its position, and its inbox with what is in it. It must not run on any replica: one
// that runs makes its group again.
func (g *Gateway) Forget(ctx context.Context, stream, name string) error {
	pipe := g.env.Redis.Pipeline()
	pipe.XGroupDestroy(ctx, stream, state.GroupName(name))
	pipe.HDel(ctx, state.PositionsKey(stream), name)
	pipe.HDel(ctx, state.UnseenKey(stream), name)
	pipe.HDel(ctx, state.PausesKey(stream), state.PauseFields(name)...)
	pipe.Del(ctx, state.InboxStream(stream, name), state.InboxLeaseKey(stream, name), state.OrderLeaseKey(stream, name),
		state.DeletedKey(stream, name), state.RetriesKey(stream, name), state.InboxRetriesKey(stream, name))
	commands, _ := pipe.Exec(ctx) // each command has its error
	for _, cmd := range commands {
		err := cmd.Err()
		if err != nil && !redisstreams.IsReply(err, "ERR The XGROUP subcommand requires the key to exist") {
			return fmt.Errorf("forget subscription %q: %w", name, err)
		}
	}
	return nil
}
