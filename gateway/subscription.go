package gateway

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/area"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// subscription hands the entries of one stream to one sink. What it knows of the sink and of failures is here; the entries
// that a replica has in hand are in a [session].
type subscription struct {
	config  SubscriptionConfig
	env     subscriptionEnv
	matches predicate
	sieve   sieve
	change  *transform   // nil: none
	areas   []*area.Area // of its filters, which are on the stream's board
	// consumer makes the group. Without order it also is the session's.
	consumer *redisstreams.Consumer
	circuit  *circuit
	limiter  *rate.Limiter // nil: no limit
	deadSink *httpSink     // nil: dead letters go into the stream
	log      *slog.Logger
	metrics  *metrics
	figures  *figures

	left     <-chan struct{} // closed when it stops before the gateway does; nil: it does not
	deadDown atomic.Bool     // that dead letters cannot be stored was logged
}

// subscriptionEnv is what the gateway gives a subscription.
type subscriptionEnv struct {
	client    redis.UniversalClient
	hub       *redisstreams.Hub // of the subscription's stream
	areas     *areaBoard        // of the subscription's stream
	publisher *Publisher
	streams   []StreamConfig
	dead      *redisstreams.Sender
	log       *slog.Logger
	metrics   *metrics
	userAgent string
}

func newSubscription(c SubscriptionConfig, env subscriptionEnv) (*subscription, error) {
	if c.ReplyStream == "" {
		c.ReplyStream = c.Stream
	}
	compiler := filterCompiler{board: env.areas}
	s := &subscription{
		config: c, env: env, matches: compiler.all(c.Filters), sieve: newSieve(c.Filters), circuit: newCircuit(c.Delivery.Retry),
		log: env.log.With("subscription", c.Name), metrics: env.metrics, figures: env.metrics.of(c.Name),
	}
	s.areas = compiler.areas
	var err error
	if s.change, err = newTransform(c.Transform); err != nil {
		return nil, fmt.Errorf("subscription %q: %w", c.Name, err)
	}
	if c.RateLimit > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(c.RateLimit), max(1, min(c.Concurrency, int(c.RateLimit))))
	}
	if uri := c.Delivery.DeadLetterSink.URI; uri != "" {
		dead := c
		dead.Sink, dead.ReplyStream = SinkConfig{URI: uri, Guard: c.Sink.Guard}, noReplies
		s.deadSink = newHTTPSink(&dead, env.userAgent, env.log)
	}
	if s.consumer, err = s.newStreamConsumer(); err != nil {
		return nil, fmt.Errorf("subscription %q: %w", c.Name, err)
	}
	if _, err = s.newSink(s.consumer); err != nil {
		return nil, fmt.Errorf("subscription %q: %w", c.Name, err)
	}
	return s, nil
}

// newStreamConsumer returns a new member of the group that reads the subscription's stream.
func (s *subscription) newStreamConsumer(opts ...redisstreams.ConsumerOption) (*redisstreams.Consumer, error) {
	start, err := startPosition(s.config.StartFrom)
	if err != nil {
		return nil, err
	}
	return s.newConsumer(s.config.Stream, append(opts,
		redisstreams.WithStart(start), redisstreams.WithHub(s.env.hub), redisstreams.WithLostGroup(s.lostGroup))...)
}

func (s *subscription) newConsumer(stream string, opts ...redisstreams.ConsumerOption) (*redisstreams.Consumer, error) {
	trimmed := s.metrics.trimmed
	if s.config.Forget {
		trimmed = s.metrics.forgotten
	}
	count := func(vec *prometheus.CounterVec, n int) { vec.WithLabelValues(s.config.Name).Add(float64(n)) }
	all := append([]redisstreams.ConsumerOption{
		redisstreams.WithLease(s.config.LeaseDuration.Std()), redisstreams.WithConsumerLogger(s.log),
		redisstreams.WithHooks(redisstreams.Hooks{
			Trimmed:        func(ids []string) { count(trimmed, len(ids)) },
			Reclaimed:      func(n int) { count(s.metrics.reclaimed, n) },
			GroupRecreated: func(string) { count(s.metrics.groupRecreated, 1) },
		}),
	}, opts...)
	return redisstreams.NewConsumer(s.env.client, stream, groupName(s.config.Name), all...)
}

func (s *subscription) newSink(consumer *redisstreams.Consumer) (sink, error) {
	c := &s.config
	switch {
	case c.Sink.Stream != "":
		var from, to *StreamConfig
		for i := range s.env.streams {
			if stream := &s.env.streams[i]; stream.Name == c.Sink.Stream {
				to = stream
			} else if stream.Name == c.Stream {
				from = stream
			}
		}
		if from == nil || to == nil {
			return nil, fmt.Errorf("%w %q", ErrUnknownStream, c.Sink.Stream)
		}
		return newStreamSink(s.env.client, from, to, groupName(c.Name), consumer.Name())
	case c.Sink.Channel != "":
		return &channelSink{client: s.env.client, channel: c.Sink.Channel, timeout: c.Delivery.Timeout.Std()}, nil
	default:
		to := newHTTPSink(c, s.env.userAgent, s.log)
		if c.Delivery.Format == formatBatch {
			return newBatchSink(to, c), nil
		}
		return to, nil
	}
}

// run reads until readCtx ends, finishes what is in work until workCtx ends, and gives up the rest.
func (s *subscription) run(readCtx, workCtx context.Context) {
	if s.deadSink != nil {
		defer s.deadSink.close()
	}
	if s.config.Order != orderByKey {
		s.session(s.consumer, nil).run(readCtx, workCtx)
		return
	}
	// Order over all replicas: one of them reads, the others stand by.
	l := lease{client: s.env.client, key: orderKey(s.config.Stream, s.config.Name), length: s.config.LeaseDuration.Std(), log: s.log}
	l.whileHeld(readCtx, func(leadCtx context.Context, token string) {
		consumer, err := s.newStreamConsumer(redisstreams.WithFence(l.key, token)) // a new member of the group each time: it begins with what is pending
		if err != nil {
			s.log.Error("cannot read the stream", "err", err) // the same options have worked before
			return
		}
		s.session(consumer, newLanes()).run(leadCtx, endsWith(leadCtx, readCtx, workCtx))
	})
}

// endsWith returns the context in which work goes on: it ends with workCtx, and at once if the lease is lost, which is when
// leadCtx has ended and readCtx has not.
func endsWith(leadCtx, readCtx, workCtx context.Context) context.Context {
	ctx, cancel := context.WithCancel(workCtx)
	context.AfterFunc(leadCtx, func() {
		if readCtx.Err() == nil {
			cancel()
		}
	})
	context.AfterFunc(workCtx, cancel)
	return ctx
}

func (s *subscription) setCircuit(o *outcome) {
	state := s.circuit.current()
	s.metrics.circuit.WithLabelValues(s.config.Name).Set(float64(state))
	if state == circuitClosed {
		s.log.Info("the sink takes events again", "sink", s.config.Sink.Describe())
		return
	}
	s.log.Warn("the sink does not take events; deliveries pause, and are tried one at a time until it does",
		"sink", s.config.Sink.Describe(), "reason", o.describe())
}
