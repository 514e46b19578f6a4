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
		Long: "Run the gateway until it is interrupted. Without --config it needs no setup: it starts its own Redis " +
			"server with its\n" +
			"data in streamgate-data, serves one stream named events and receives CloudEvents on 127.0.0.1:8080. " +
			"Under Knative it\n" +
			"delivers them to $K_SINK.",
		Example: "  streamgate serve\n" +
			"  streamgate serve --config streamgate.yaml --log-format json",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("serve takes no arguments; name the file with --config %s", args[0])
			}
			return nil
		},
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
			messages := c.ErrOrStderr()
			if logFormat == formatJSON {
				messages = io.Discard // every line is JSON; the log has the same
			}
			return failed(serve(c.Context(), loaded, log, messages))
		},
	}
	c.Flags().StringVarP(&file, "config", "c", "", "configuration `FILE` in YAML, like config.example.yaml")
	c.Flags().StringVar(&logFormat, "log-format", formatText, "`FORMAT` of log lines: text or json")
	c.Flags().StringVar(&logLevel, "log-level", "info", "lowest `LEVEL` that is logged: debug, info, warn or error")
	return c
}

// ballastBytes is the size of an allocation that makes the garbage collector run less often.
const ballastBytes = 20 << 20

// serve runs the gateway until ctx ends, and describes on messages what it has started.
func serve(ctx context.Context, c *config.Config, log *slog.Logger, messages io.Writer) error {
	// The live heap of the gateway is a few megabytes, so that the garbage collector would run a hundred times a second
	// under load. The ballast counts as live heap and makes it wait for about 20 MB of garbage; its pages are never
	// touched, so it costs no memory. Measured with 64 connections: 10 % more events per second.
	ballast := make([]byte, ballastBytes)
	defer runtime.KeepAlive(ballast)
	n, err := startNode(ctx, c, log)
	if err != nil {
		return err
	}
	log.Info("listening", "version", version(), "events", n.eventsURL, "operators", n.adminURL, "redis", n.redisURL)
	n.describe(messages)
	return n.run(ctx)
}

// node is everything that runs in one process: the embedded Redis, if configured, the gateway and the operators'
// listener.
type node struct {
	config   *config.Config
	log      *slog.Logger
	embedded *embeddedredis.Server // nil unless redis.url is embedded
	redisURL string                // without a password
	client   redis.UniversalClient
	registry *prometheus.Registry
	gateway  *gateway.Gateway
	admin    *admin.Server
	// subscriptions serves the Subscriptions API; those of the configuration belong to the gateway.
	subscriptions *subscriptions.Service

	eventsURL string
	adminURL  string
}

// startNode starts the embedded Redis, if one is configured, and opens the listeners. On an error nothing is left
// running.
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
	// Each subscription and each source holds a connection for its blocking reads, so the default pool would run dry.
	options.PoolSize = 10*runtime.GOMAXPROCS(0) + 2*len(n.config.Gateway.Subscriptions) +
		2*len(n.config.Gateway.Sources)
	n.client = redis.NewUniversalClient(redisstreams.ClientOptions(options))
	n.registry.MustRegister(collectors.NewGoCollector(),
		collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
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
	if n.embedded, err = embeddedredis.Start(ctx, embeddedredis.Options{DataDir: n.config.Redis.DataDir,
		Logger: n.log}); err != nil {
		return nil, err
	}
	n.redisURL = "embedded " + n.embedded.Kind()
	if n.config.Redis.DataDir != "" && n.embedded.Kind() != embeddedredis.KindInMemory {
		n.redisURL += ", data in " + n.config.Redis.DataDir
	}
	embedded := config.RedisConfig{URL: n.embedded.URL()}
	return embedded.ClientOptions()
}

// describe prints the addresses, streams, sources and subscriptions of the node.
func (n *node) describe(w io.Writer) {
	_, _ = fmt.Fprintf(w, "streamgate %s\n"+
		"  events in   POST %s/{stream}   streams: %s\n"+
		"  operators   %s/healthz /readyz /metrics /api/v1 /subscriptions\n"+
		"  storage     %s\n", version(), n.eventsURL, n.streamNames(), n.adminURL, n.redisURL)
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

// run serves until ctx ends or a part of the node fails for good, and then closes everything.
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
	n.log.Info("stopping: deliveries in progress are finished first; press Ctrl-C again to stop at once",
		"at_most", n.config.Gateway.Server.ShutdownTimeout.Std())
	parts.Wait()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	n.log.Info("stopped: every delivery was finished or is left to another replica")
	return nil
}

func (n *node) close() {
	if n.client != nil {
		if err := n.client.Close(); err != nil {
			n.log.Warn("the Redis client could not be closed", "err", err)
		}
	}
	if n.embedded != nil {
		if err := n.embedded.Close(); err != nil {
			n.log.Warn("the embedded Redis could not be stopped", "err", err)
		}
	}
}

func (n *node) watchEmbedded(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case <-n.embedded.Done():
		return fmt.Errorf("the embedded Redis has ended: %w; its data is kept, so start the gateway again",
			n.embedded.Err())
	}
}

// Limits of the check of Redis at the start.
const (
	redisCheckTimeout = 2 * time.Second
	redisCheckPeriod  = 500 * time.Millisecond
	redisQuiet        = 30 * time.Second // between two warnings that Redis cannot be reached
)

// watchRedis waits at the start until Redis answers, warns while it does not, and then checks its eviction policy. The
// gateway runs meanwhile: it starts before its Redis in many deployments, and answers producers with 503.
func (n *node) watchRedis(ctx context.Context) error {
	var warned time.Time
	ended := poll(ctx, redisCheckPeriod, func() (bool, error) {
		attempt, cancel := context.WithTimeout(ctx, redisCheckTimeout)
		defer cancel()
		err := n.client.Ping(attempt).Err()
		if err == nil {
			if !warned.IsZero() {
				n.log.Info("redis answers")
			}
			return true, nil
		}
		if ctx.Err() == nil && time.Since(warned) > redisQuiet {
			warned = time.Now()
			if reason, isPermanent := gateway.DescribeRedis(err); isPermanent {
				n.log.Error("redis refuses the gateway; producers get 503 until that is corrected", "reason", reason)
			} else {
				n.log.Warn("redis cannot be reached, trying again; producers get 503 until it answers", "err", err)
			}
		}
		return false, nil
	})
	if ended != nil { // only by the end of ctx: the step above returns no error
		return nil
	}
	return n.checkPolicy(ctx)
}

// checkPolicy refuses a Redis that evicts keys when its memory is full, because whole streams would vanish. Managed
// services that forbid CONFIG get a warning.
func (n *node) checkPolicy(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, redisCheckTimeout)
	defer cancel()
	values, err := n.client.ConfigGet(ctx, "maxmemory-policy").Result()
	policy := values["maxmemory-policy"]
	if err != nil || policy == "" {
		if n.embedded == nil && ctx.Err() == nil {
			n.log.Warn("the maxmemory-policy of redis could not be read; it must be noeviction", "err", err)
		}
		return nil
	}
	if policy != "noeviction" {
		return fmt.Errorf("redis has maxmemory-policy %s and would evict whole streams when its memory is full; "+
			"set it to noeviction: redis-cli CONFIG SET maxmemory-policy noeviction", policy)
	}
	return nil
}
