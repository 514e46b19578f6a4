package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/redis/go-redis/v9"
	"github.com/spf13/cobra"

	"github.com/streamgate/streamgate/config"
	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/admin"
	"github.com/streamgate/streamgate/gateway/guard"
	"github.com/streamgate/streamgate/gateway/subscriptions"
	"github.com/streamgate/streamgate/internal/embeddedredis"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

func newServe() *cobra.Command {
	var file, logFormat, logLevel string
	c := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: "Run the gateway. Without --config it needs no set-up: it starts a Redis of its own under streamgate-data, keeps one\n" +
			"stream named events, and takes CloudEvents in on 127.0.0.1:8080. Under Knative it hands them on to $K_SINK.",
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			log, err := newLogger(c.ErrOrStderr(), logFormat, logLevel)
			if err != nil {
				return err
			}
			takeLibraryLog(log)
			loaded, err := loadConfig(file)
			if err != nil {
				return err
			}
			return failed(serve(c.Context(), loaded, log, c.ErrOrStderr()))
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "YAML file; see config.example.yaml")
	c.Flags().StringVar(&logFormat, "log-format", "text", "text or json")
	c.Flags().StringVar(&logLevel, "log-level", "info", "debug, info, warn or error")
	return c
}

func serve(ctx context.Context, c *config.Config, log *slog.Logger, talk io.Writer) error {
	// The gateway's own memory is a few megabytes, which the garbage collector would go through a hundred times a second under
	// load. This is never touched, so it takes no memory, but counts: collections come after some 20 MB of garbage. Measured at
	// 64 connections: a tenth more events.
	ballast := make([]byte, ballastBytes)
	defer runtime.KeepAlive(ballast)
	n, err := startNode(ctx, c, log)
	if err != nil {
		return err
	}
	n.describe(talk)
	return n.run(ctx)
}

const ballastBytes = 20 << 20

// node is everything that runs in one process: Redis, if it is embedded, the gateway and the listener for operators.
type node struct {
	config   *config.Config
	log      *slog.Logger
	embedded *embeddedredis.Server // nil unless redis.url is embedded
	redisURL string                // without a password
	client   redis.UniversalClient
	registry *prometheus.Registry
	gateway  *gateway.Gateway
	admin    *admin.Server
	// subscriptions are those of the API, beside those of the configuration.
	subscriptions *subscriptions.Service

	eventsURL string
	adminURL  string
}

// startNode starts Redis where it is embedded, and opens the listeners. An error leaves nothing running.
func startNode(ctx context.Context, c *config.Config, log *slog.Logger) (*node, error) {
	n := &node{config: c, log: log, registry: prometheus.NewRegistry()}
	if err := n.start(ctx); err != nil {
		n.close()
		return nil, err
	}
	return n, nil
}

func (n *node) start(ctx context.Context) error {
	options, err := n.redisOptions(ctx)
	if err != nil {
		return err
	}
	// Each subscription and each source holds a connection while it waits for entries.
	options.PoolSize = 10*runtime.GOMAXPROCS(0) + 2*len(n.config.Gateway.Subscriptions) + 2*len(n.config.Gateway.Sources)
	n.client = redis.NewUniversalClient(redisstreams.ClientOptions(options))
	n.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	n.gateway, err = gateway.New(n.config.Gateway, gateway.Env{
		Redis: n.client, Logger: n.log, Registry: n.registry, UserAgent: userAgent(),
	})
	if err != nil {
		return err
	}
	address, err := n.gateway.Listen(ctx)
	if err != nil {
		return fmt.Errorf("%w; set server.address or STREAMGATE_SERVER_ADDRESS to another one", err)
	}
	n.eventsURL = "http://" + address.String()
	guard, err := guard.New(n.config.Admin.AllowSinks)
	if err != nil {
		return err
	}
	n.subscriptions = subscriptions.New(n.gateway, &n.config.Gateway, n.client, guard, n.log)
	operators := http.NewServeMux()
	operators.Handle("/", admin.Handler(n.gateway, n.registry, n.gateway))
	for _, path := range []string{"/subscriptions", "/subscriptions/", "/openapi.json"} {
		operators.Handle(path, n.subscriptions.Handler())
	}
	n.admin = admin.NewServer(n.config.Admin.Address, operators, n.log)
	if address, err = n.admin.Listen(ctx); err != nil {
		return fmt.Errorf("%w; set admin.address or STREAMGATE_ADMIN_ADDRESS to another one", err)
	}
	n.adminURL = "http://" + address.String()
	return nil
}

func (n *node) redisOptions(ctx context.Context) (*redis.UniversalOptions, error) {
	if n.config.Redis.URL != config.Embedded {
		options, err := n.config.Redis.ClientOptions()
		if err == nil {
			n.redisURL = "redis at " + fmt.Sprint(options.Addrs)
		}
		return options, err
	}
	var err error
	if n.embedded, err = embeddedredis.Start(ctx, embeddedredis.Options{DataDir: n.config.Redis.DataDir, Logger: n.log}); err != nil {
		return nil, err
	}
	n.redisURL = "embedded " + n.embedded.Kind()
	if n.config.Redis.DataDir != "" && n.embedded.Kind() != embeddedredis.KindInMemory {
		n.redisURL += ", data in " + n.config.Redis.DataDir
	}
	embedded := config.RedisConfig{URL: n.embedded.URL()}
	return embedded.ClientOptions()
}

// describe tells what runs where.
func (n *node) describe(w io.Writer) {
	_, _ = fmt.Fprintf(w, "streamgate %s\n  events in   POST %s/{stream}   streams: %s\n  operators   %s/healthz /readyz /metrics /api/v1 /subscriptions\n  storage     %s\n",
		version(), n.eventsURL, n.streamNames(), n.adminURL, n.redisURL)
	for i := range n.config.Gateway.Sources {
		s := &n.config.Gateway.Sources[i]
		_, _ = fmt.Fprintf(w, "  source      %s (%s) -> stream %s\n", s.Name, s.Type, s.Stream)
	}
	for i := range n.config.Gateway.Subscriptions {
		s := &n.config.Gateway.Subscriptions[i]
		_, _ = fmt.Fprintf(w, "  deliver     stream %s -> %s (%s)\n", s.Stream, withoutSecrets(s.Sink.URI), s.Name)
	}
	_, _ = fmt.Fprintf(w, "Try: streamgate send --url %s/ --data '{\"hello\":\"world\"}'   Stop: Ctrl-C\n", n.eventsURL)
}

func (n *node) streamNames() string {
	names := ""
	for i := range n.config.Gateway.Streams {
		if i > 0 {
			names += ", "
		}
		names += n.config.Gateway.Streams[i].Name
	}
	return names
}

// run serves until ctx ends or something that cannot be mended happens, and then closes everything.
func (n *node) run(ctx context.Context) error {
	defer n.close()
	ctx, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	var parts sync.WaitGroup
	part := func(f func(context.Context) error) {
		parts.Go(func() {
			if err := f(ctx); err != nil {
				stop(err)
			}
		})
	}
	part(n.watchRedis)
	if n.embedded != nil {
		part(n.watchEmbedded)
	}
	part(n.gateway.Run)
	part(n.subscriptions.Run)
	part(n.admin.Run)
	<-ctx.Done()
	n.log.Info("stopping: what is in work is finished first; once more Ctrl-C stops at once", "at_most", n.config.Gateway.Server.ShutdownTimeout.Std())
	parts.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	n.log.Info("stopped: what was in work is finished or handed over")
	return nil
}

func (n *node) close() {
	if n.client != nil {
		if err := n.client.Close(); err != nil {
			n.log.Warn("cannot close the Redis client", "err", err)
		}
	}
	if n.embedded != nil {
		if err := n.embedded.Close(); err != nil {
			n.log.Warn("cannot stop the embedded Redis", "err", err)
		}
	}
}

func (n *node) watchEmbedded(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.embedded.Done():
		return fmt.Errorf("the embedded Redis has ended: %w; start the gateway again, its data is kept", n.embedded.Err())
	}
}

// watchRedis says now and then that Redis cannot be reached, from the start until it can. It refuses a Redis that removes
// keys when its memory is full: whole streams would vanish.
func (n *node) watchRedis(ctx context.Context) error {
	const quiet = 30 * time.Second
	var said time.Time
	for first := true; ; first = false {
		attempt, cancel := context.WithTimeout(ctx, 2*time.Second)
		err := n.client.Ping(attempt).Err()
		cancel()
		if err == nil {
			if !first {
				n.log.Info("redis answers")
			}
			return n.checkPolicy(ctx)
		}
		if ctx.Err() != nil {
			return nil
		}
		if time.Since(said) > quiet {
			said = time.Now()
			n.log.Warn("redis cannot be reached, trying again; producers get 503 until then", "err", err)
		}
		select {
		case <-time.After(500 * time.Millisecond):
		case <-ctx.Done():
			return nil
		}
	}
}

func (n *node) checkPolicy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	values, err := n.client.ConfigGet(ctx, "maxmemory-policy").Result()
	policy := values["maxmemory-policy"]
	if err != nil || policy == "" {
		if n.embedded == nil && ctx.Err() == nil {
			n.log.Warn("cannot tell whether this Redis evicts keys; its maxmemory-policy must be noeviction", "err", err)
		}
		return nil
	}
	if policy != "noeviction" {
		return fmt.Errorf("redis has maxmemory-policy %s and would remove whole streams when its memory is full; "+
			"set it to noeviction: redis-cli CONFIG SET maxmemory-policy noeviction", policy)
	}
	return nil
}
