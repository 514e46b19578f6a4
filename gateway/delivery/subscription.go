package delivery

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/filter"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/gateway/stream"
	"github.com/streamgate/streamgate/gateway/transform"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// Subscription hands the entries of one stream to one sink. What it knows of the sink and of failures is here; the
// entries that a replica has in work are in a [session].
type Subscription struct {
	config    Config
	env       Env
	filter    *filter.Filter
	transform *transform.Transform // nil: none
	sink      sink.Sink
	deadSink  sink.Sink // nil: dead letters go into the stream
	// member makes the group. Without order it also is the session's.
	member  *member
	circuit *circuit
	clock   serverClock
	limiter *rate.Limiter // nil: no limit
	log     *slog.Logger
	metrics *Metrics
	figures *figures

	regrouped atomic.Bool // the group was created again: what is read for the first time may have been tried before

	left     <-chan struct{} // closed when it stops before the gateway does; nil: it does not
	deadLog  summary         // of dead letters
	deadDown atomic.Bool     // that dead letters cannot be stored was logged

	mu       sync.Mutex
	closed   bool           // Run is about to end: no session begins any more
	sessions sync.WaitGroup // of the inbox, beside the one of Run
}

// Env is what the gateway gives a subscription.
type Env struct {
	Redis     redis.UniversalClient
	Hub       *redisstreams.Hub // of the subscription's stream
	Areas     *filter.Board     // of the subscription's stream
	Publisher *stream.Publisher
	// Streams are the configured ones: that of the subscription, and the target of a sink.
	Streams       []stream.Config
	DeadLetters   *redisstreams.Sender // into the stream of dead letters
	Logger        *slog.Logger
	Metrics       *Metrics
	StreamMetrics *stream.Metrics
	UserAgent     string
	// Stopped is closed when the subscription stops before the gateway does; nil for one that does not.
	Stopped <-chan struct{}
}

// stream returns a configured stream.
func (e *Env) stream(name string) (*stream.Config, error) {
	for i := range e.Streams {
		if e.Streams[i].Name == name {
			return &e.Streams[i], nil
		}
	}
	return nil, fmt.Errorf("%w %q", stream.ErrUnknown, name)
}

// New returns the subscription of a valid configuration. It does no I/O and starts no goroutine. The caller
// must call Run or Close.
func New(c Config, env Env) (*Subscription, error) {
	if c.ReplyStream == "" {
		c.ReplyStream = c.Stream
	}
	s := &Subscription{
		config: c, env: env, circuit: newCircuit(c.Delivery.Retry), log: env.Logger.With("subscription", c.Name),
		metrics: env.Metrics, figures: env.Metrics.of(c.Name), left: env.Stopped,
	}
	env.StreamMetrics.Begin(c.Name)
	if c.RateLimit > 0 {
		s.limiter = rate.NewLimiter(rate.Limit(c.RateLimit), max(1, min(c.Concurrency, int(c.RateLimit))))
	}
	if err := s.build(); err != nil {
		s.Close()
		return nil, fmt.Errorf("subscription %q: %w", c.Name, err)
	}
	return s, nil
}

// build makes what may fail.
func (s *Subscription) build() (err error) {
	if s.filter, err = filter.Compile(s.config.Filters, s.env.Areas); err != nil {
		return err
	}
	if s.transform, err = transform.New(s.config.Transform); err != nil {
		return err
	}
	if s.member, err = s.newStreamMember(); err != nil {
		return err
	}
	if s.sink, err = s.newSink(); err != nil {
		return err
	}
	s.deadSink, err = s.newDeadSink()
	return err
}

// member is a consumer of the group, and the recorder of what it has in work.
type member struct {
	consumer *redisstreams.Consumer
	recorder *recorder
}

// newStreamMember returns a new member of the group that reads the subscription's stream.
func (s *Subscription) newStreamMember(opts ...redisstreams.ConsumerOption) (*member, error) {
	start, err := state.StartPosition(s.config.StartFrom)
	if err != nil {
		return nil, err
	}
	return s.newMember(s.config.Stream, state.RetriesKey(s.config.Stream, s.config.Name), append(opts,
		redisstreams.WithStart(start), redisstreams.WithHub(s.env.Hub), redisstreams.WithLostGroup(s.lostGroup))...)
}

// newMember returns a new member of the group of a stream, whose retries are noted in a hash.
func (s *Subscription) newMember(stream, retries string, opts ...redisstreams.ConsumerOption) (*member, error) {
	recorder := s.newRecorder(stream, retries)
	trimmed := s.env.StreamMetrics.Trimmed
	if s.config.Forget {
		trimmed = s.env.StreamMetrics.Forgotten
	}
	count := func(vec *prometheus.CounterVec, n int) { vec.WithLabelValues(s.config.Name).Add(float64(n)) }
	all := append([]redisstreams.ConsumerOption{
		redisstreams.WithOwnAttempts(), redisstreams.WithLease(s.config.LeaseDuration.Std()), redisstreams.WithConsumerLogger(s.log),
		redisstreams.WithHooks(redisstreams.Hooks{
			Trimmed: func(ids []string) {
				count(trimmed, len(ids))
				recorder.remove(ids)
			},
			Reclaimed: func(n int) { count(s.metrics.reclaimed, n) },
			GroupRecreated: func(string) {
				count(s.metrics.groupRecreated, 1)
				s.regrouped.Store(true)
			},
		}),
	}, opts...)
	consumer, err := redisstreams.NewConsumer(s.env.Redis, stream, state.GroupName(s.config.Name), all...)
	if err != nil {
		return nil, err
	}
	recorder.store.Consumer = consumer.Name()
	return &member{consumer: consumer, recorder: recorder}, nil
}

func (s *Subscription) newSink() (sink.Sink, error) {
	c := &s.config
	o := sink.Options{
		Format: c.Delivery.Format, Batch: c.Delivery.Batch, Timeout: c.Delivery.Timeout.Std(),
		MaxRetryAfter: c.Delivery.RetryAfterMax.Std(), Connections: c.Concurrency, Replies: c.replies(),
		PlainJSON: c.Delivery.PlainJSON, UserAgent: s.env.UserAgent, Logger: s.log, Redis: s.env.Redis, Group: state.GroupName(c.Name),
	}
	if c.Sink.Stream != "" {
		target, err := s.env.stream(c.Sink.Stream)
		if err != nil {
			return nil, err
		}
		sender, err := target.NewSender(s.env.Redis, target.Name)
		if err != nil {
			return nil, err
		}
		o.Target = sink.Target{From: c.Stream, Sender: sender, InMemory: target.IsInMemory()}
	}
	return sink.New(&c.Sink, o)
}

// newDeadSink returns the sink that dead letters are posted to, or nil if they go into the stream.
func (s *Subscription) newDeadSink() (sink.Sink, error) {
	delivery := &s.config.Delivery
	if delivery.DeadLetterSink.URI == "" {
		return nil, nil
	}
	format := delivery.Format
	if format == sink.FormatBatch {
		format = sink.FormatBinary
	}
	return sink.New(&sink.Config{URI: delivery.DeadLetterSink.URI, Guard: s.config.Sink.Guard}, sink.Options{
		Format: format, Timeout: delivery.Timeout.Std(), MaxRetryAfter: delivery.RetryAfterMax.Std(),
		Connections: s.config.Concurrency, PlainJSON: delivery.PlainJSON, UserAgent: s.env.UserAgent, Logger: s.log,
	})
}

// Config returns the subscription's configuration. It must not be changed.
func (s *Subscription) Config() *Config { return &s.config }

// Group returns the name of its consumer group.
func (s *Subscription) Group() string { return state.GroupName(s.config.Name) }

// Ensure creates the consumer group, and the stream, where they do not exist. A group that is lost and must not be
// created anew (onGroupLost: fail) is not an error here: the subscription says so when it runs.
func (s *Subscription) Ensure(ctx context.Context) error {
	if err := s.member.consumer.Ensure(ctx); err != nil && !errors.Is(err, redisstreams.ErrGroupLost) {
		return err
	}
	return nil
}

// Run reads until readCtx ends, finishes what is in work until workCtx ends, and gives up the rest. It returns when all
// of the subscription's goroutines are gone, those of its inbox included, and closes it.
func (s *Subscription) Run(readCtx, workCtx context.Context) {
	defer s.Close()
	defer s.deadLog.flush(s.log)
	defer s.awaitSessions()
	context.AfterFunc(readCtx, s.sink.Finish) // a stop must not wait until batches are full
	if s.config.Order != orderByKey {
		s.newSession(s.member, nil).run(readCtx, workCtx)
		return
	}
	// Order over all replicas: one of them reads, the others stand by.
	l := state.Lease{
		Redis: s.env.Redis, Key: state.OrderLeaseKey(s.config.Stream, s.config.Name), Length: s.config.LeaseDuration.Std(), Logger: s.log,
	}
	l.WhileHeld(readCtx, func(leadCtx context.Context, token string) {
		// A new member of the group each time: it begins with what is pending.
		member, err := s.newStreamMember(redisstreams.WithFence(l.Key, token))
		if err != nil {
			s.log.Error("cannot read the stream", "err", err) // the same options have worked before
			return
		}
		s.newSession(member, newKeyQueues()).run(leadCtx, endsWith(leadCtx, readCtx, workCtx))
	})
}

// Close frees what New has taken. Run does so when it ends; only a subscription that does not run needs it.
func (s *Subscription) Close() {
	s.filter.Close()
	for _, one := range []sink.Sink{s.sink, s.deadSink} {
		if one != nil {
			one.Close()
		}
	}
}

// enter lets a session of the inbox begin, unless Run is about to end. The caller must call s.sessions.Done.
func (s *Subscription) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.sessions.Add(1)
	return true
}

func (s *Subscription) awaitSessions() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.sessions.Wait()
}

// endsWith returns the context in which work goes on: it ends with workCtx, and at once if the lease is lost, which is
// when leadCtx has ended and readCtx has not.
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

// noteCircuit logs and counts that the circuit has opened or closed after an outcome.
func (s *Subscription) noteCircuit(o *sink.Outcome) {
	state := s.circuit.current()
	s.metrics.circuit.WithLabelValues(s.config.Name).Set(float64(state))
	if state == circuitClosed {
		s.log.Info("the sink takes events again", "sink", s.config.Sink.Describe())
		return
	}
	s.log.Warn("the sink does not take events; deliveries pause, and are tried one at a time until it does",
		"sink", s.config.Sink.Describe(), "reason", o.Describe())
}

// lostGroup decides where the group is made, for [redisstreams.WithLostGroup]. Of what this replica remembers and what
// was saved for all it takes the lower: between the two something may be lost, and duplicates are not.
func (s *Subscription) lostGroup(ctx context.Context, remembered string) (string, error) {
	saved, err := s.env.Redis.HGet(ctx, state.PositionsKey(s.config.Stream), s.config.Name).Result()
	if err != nil && !errors.Is(err, redis.Nil) {
		return "", fmt.Errorf("look up the position: %w", err)
	}
	switch {
	case remembered == "" && saved == "":
		return "", nil // there never was one
	case s.config.OnGroupLost == onLostEarliest:
		return "0-0", nil
	case s.config.OnGroupLost == onLostLatest:
		return "$", nil
	case remembered == "" || saved != "" && redisstreams.CompareIDs(saved, remembered) < 0:
		remembered = saved
	}
	if s.config.OnGroupLost == OnLostFail {
		return "", fmt.Errorf("%w; make it with XGROUP CREATE %s %s %s, or at another position (onGroupLost: fail)",
			redisstreams.ErrGroupLost, s.config.Stream, state.GroupName(s.config.Name), remembered)
	}
	return remembered, nil
}
