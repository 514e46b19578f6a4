package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/ingress"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Env is what a [Gateway] lives on.
type Env struct {
	// Redis is made with [redisstreams.ClientOptions]; it stays the caller's, who closes it after Run.
	Redis redis.UniversalClient
	// Logger must not be nil.
	Logger *slog.Logger
	// Registry receives the metrics; must not be nil.
	Registry prometheus.Registerer
	// UserAgent is what the gateway calls itself towards sinks and servers.
	UserAgent string
}

// Gateway takes events in, keeps them and hands them on.
type Gateway struct {
	config      Config
	env         Env
	publisher   *stream.Publisher
	ingress     *ingress.Handler
	sources     []*source.Runner
	registry    registry
	changes     chan change
	hubs        map[string]*redisstreams.Hub // by stream
	areas       map[string]*filter.Board     // by stream
	maintainers []*stream.Maintainer
	server      *ingress.Server
	running     atomic.Bool
	gates       *gates

	deliveryMetrics *delivery.Metrics
	streamMetrics   *stream.Metrics
}

// New returns a gateway. The configuration must be valid: see [Config.Validate]. It does no I/O and starts no
// goroutine.
func New(config Config, env Env) (*Gateway, error) {
	g := &Gateway{
		config: config, env: env, changes: make(chan change), hubs: map[string]*redisstreams.Hub{},
		areas: map[string]*filter.Board{}, deliveryMetrics: delivery.NewMetrics(env.Registry),
		streamMetrics: stream.NewMetrics(env.Registry),
	}
	g.gates = newGates(config.streamNames())
	var err error
	if g.publisher, err = stream.NewPublisher(env.Redis, config.Streams, env.Logger, g.streamMetrics); err != nil {
		return nil, err
	}
	stream.ExposeDuplicates(env.Registry, g.publisher)
	g.ingress = ingress.New(&config.Server, g.publisher, env.Registry)
	g.server = ingress.NewServer(&config.Server, g.ingress, env.Logger)
	for i := range config.Streams {
		st := &config.Streams[i]
		g.areas[st.Name] = filter.NewBoard()
		g.hubs[st.Name] = redisstreams.NewHub(env.Redis, st.Name)
		g.maintainers = append(g.maintainers, stream.NewMaintainer(
			env.Redis, st, g.publisher.Capacity(st.Name), g.registry.readers, g.streamMetrics, env.Logger))
	}
	metrics := newSourceMetrics(env.Registry)
	for _, block := range config.Sources {
		g.sources = append(g.sources, &source.Runner{
			Block: block, Redis: env.Redis, Sender: g.publisher.Sender(block.Stream), Capacity: g.publisher.Capacity(block.Stream),
			Hooks: metrics.of(block.Name), UserAgent: env.UserAgent, Logger: env.Logger.With("source", block.Name, "stream", block.Stream),
		})
	}
	for i := range config.Subscriptions {
		s, err := g.newSubscription(&config.Subscriptions[i], nil)
		if err != nil {
			return nil, err
		}
		g.registry.add(s)
	}
	return g, nil
}

// newSubscription returns a subscription. stopped is closed when it stops before the gateway does; nil if it does not.
func (g *Gateway) newSubscription(c *delivery.Config, stopped <-chan struct{}) (*delivery.Subscription, error) {
	dead, err := g.deadLetterSender(c)
	if err != nil {
		return nil, err
	}
	return delivery.New(*c, delivery.Env{
		Redis: g.env.Redis, Hub: g.hubs[c.Stream], Areas: g.areas[c.Stream], Publisher: g.publisher, Streams: g.config.Streams,
		DeadLetters: dead, Logger: g.env.Logger, Metrics: g.deliveryMetrics, StreamMetrics: g.streamMetrics,
		UserAgent: g.env.UserAgent, Stopped: stopped,
	})
}

// deadLetterSender writes into the named stream as that is configured, or else as the subscription's stream is, so that
// the readers of one understand the other. It never takes two dead letters for one: two subscriptions may have failed
// to deliver the same event.
func (g *Gateway) deadLetterSender(c *delivery.Config) (*redisstreams.Sender, error) {
	name := c.Delivery.DeadLetterSink.Stream
	if name == "" {
		name = state.DeadLetterStream(c.Stream)
	}
	for _, candidate := range []string{name, c.Stream} {
		for i := range g.config.Streams {
			if stream := &g.config.Streams[i]; stream.Name == candidate {
				return stream.NewSender(g.env.Redis, name)
			}
		}
	}
	return nil, fmt.Errorf("subscription %q: %w %q", c.Name, stream.ErrUnknown, c.Stream)
}

// Handler returns the handler for events, for a server of one's own. It answers 503 unless Run is running.
func (g *Gateway) Handler() http.Handler { return g.ingress }

// Publisher returns the way into the streams.
func (g *Gateway) Publisher() *stream.Publisher { return g.publisher }

// Listen opens the event listener, so that an address in use is known before anything runs. Run does so by itself.
func (g *Gateway) Listen(ctx context.Context) (net.Addr, error) { return g.server.Listen(ctx) }

// Ready returns nil when Redis answers and the group of every subscription exists, and otherwise what is missing.
// Streams that have a fault of their own are left to [Gateway.Faults], unless there is no other.
func (g *Gateway) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, state.StepTimeout)
	defer cancel()
	if !g.running.Load() {
		return g.notStarted()
	}
	if err := g.env.Redis.Ping(ctx).Err(); err != nil {
		text, _ := DescribeRedis(err)
		return fmt.Errorf("redis does not answer: %s", text)
	}
	for stream := range g.hubs {
		if g.gates.fault(stream) != nil {
			continue // see Faults
		}
		if readers := g.registry.of(stream); len(readers) > 0 {
			if err := g.groupsExist(ctx, stream, readers); err != nil {
				return err
			}
		}
	}
	return nil
}

func (g *Gateway) groupsExist(ctx context.Context, stream string, readers []*delivery.Subscription) error {
	groups, err := g.env.Redis.XInfoGroups(ctx, stream).Result()
	if err != nil {
		return fmt.Errorf("stream %q: %w", stream, err)
	}
	found := make(map[string]bool, len(groups))
	for i := range groups {
		found[groups[i].Name] = true
	}
	for _, s := range readers {
		if !found[s.Group()] {
			if s.Config().OnGroupLost == delivery.OnLostFail {
				return fmt.Errorf("subscription %q has no consumer group (onGroupLost: fail)", s.Config().Name)
			}
			return fmt.Errorf("subscription %q has no consumer group yet", s.Config().Name)
		}
	}
	return nil
}

// maintain starts the maintainers, after a first pass each, so that nothing is taken in that a stream has no room for.
// They run until stop is called, which waits for them.
func (g *Gateway) maintain(ctx context.Context) (stop func()) {
	ownCtx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var first, running sync.WaitGroup
	for _, m := range g.maintainers {
		first.Go(func() { m.Pass(ctx) })
	}
	first.Wait()
	for _, m := range g.maintainers {
		running.Go(func() { m.Run(ownCtx) })
	}
	return func() {
		cancel()
		running.Wait()
	}
}

func (g *Gateway) setRunning(running bool) {
	g.running.Store(running)
	g.ingress.SetOpen(running)
}

// Run serves until ctx ends. Then it takes nothing more in, finishes what is in work within server.shutdownTimeout,
// leaves the rest to other replicas or a later start, and returns nil with all its goroutines gone. It returns an error
// when it cannot listen.
func (g *Gateway) Run(ctx context.Context) error {
	if _, err := g.Listen(ctx); err != nil {
		return err
	}
	runCtx, stop := context.WithCancel(ctx)
	defer stop()
	workCtx, stopWork := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWork()

	var serveErr error
	hubCtx, stopHubs := context.WithCancel(context.WithoutCancel(ctx)) // they are needed until the last delivery
	defer stopHubs()
	var serving, sources, subscriptions, hubs sync.WaitGroup
	serving.Go(func() {
		if serveErr = g.server.Run(runCtx, workCtx); serveErr != nil {
			stop()
		}
	})
	for _, hub := range g.hubs {
		hubs.Go(func() { _ = hub.Run(hubCtx) }) // it returns nil
	}
	stopMaintainers := func() {}
	if g.prepare(runCtx, &subscriptions) {
		stopMaintainers = g.maintain(runCtx)
		subscriptions.Go(func() {
			(&delivery.Inboxes{Redis: g.env.Redis, List: g.registry.list}).Run(runCtx, workCtx)
		})
		for _, s := range g.registry.list() {
			subscriptions.Go(func() {
				if !g.gates.wait(runCtx, s.Config().Stream) {
					s.Close()
					return
				}
				s.Run(runCtx, workCtx)
			})
		}
		subscriptions.Go(func() { g.applyChanges(runCtx, workCtx) })
		for _, s := range g.sources {
			sources.Go(func() {
				if g.gates.wait(runCtx, s.Block.Stream) {
					_ = s.Run(runCtx) // it returns nil
				}
			})
		}
		g.setRunning(true)
	}
	<-runCtx.Done()
	g.setRunning(false)

	grace := time.AfterFunc(g.config.Server.ShutdownTimeout.Std(), stopWork)
	defer grace.Stop()
	serving.Wait()
	sources.Wait()
	subscriptions.Wait()
	stopHubs()
	hubs.Wait()
	stopMaintainers() // last, because they note how far the subscriptions came
	return serveErr
}
