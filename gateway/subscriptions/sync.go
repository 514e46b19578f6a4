package subscriptions

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/url"
	"slices"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/gateway"
	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/guard"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/gateway/stream"
)

// Periods of the exchange between replicas.
const (
	pollPeriod  = time.Second      // between two reads of the version
	retryPeriod = 10 * time.Second // between retries of subscriptions that do not start, and clean-ups of deleted ones
	// deletedFor is the time between the deletion of a subscription and that of its consumer group: by then every
	// replica has stopped it, and none recreates the group.
	deletedFor = 15 * time.Second
	stepTime   = 5 * time.Second // for the commands of one poll or request
	applyTime  = 2 * time.Minute // for the gateway to start and stop subscriptions
)

// Service serves the Subscriptions API and makes the gateway run its subscriptions. Every replica has one.
type Service struct {
	gateway *gateway.Gateway
	config  *gateway.Config
	store   store
	guard   *guard.Guard
	log     *slog.Logger
}

// New returns a service. It does no I/O and does not close the client. guard limits the addresses to which the
// subscriptions may deliver.
func New(
	g *gateway.Gateway, config *gateway.Config, client redis.UniversalClient, guard *guard.Guard, log *slog.Logger,
) *Service {
	return &Service{gateway: g, config: config, store: store{client}, guard: guard, log: log}
}

// running is the state of Run.
type running struct {
	version string
	known   bool              // whether version was applied
	down    bool              // Redis does not answer, which was logged
	retry   time.Time         // of the next retry and clean-up
	failing string            // the last failure, which was logged
	streams map[string]string // streams of the running subscriptions, by id
}

// Run makes the gateway run the subscriptions of the API until ctx ends, and then returns nil. A change on any replica
// takes effect within two seconds. While Redis does not answer, running subscriptions continue.
func (s *Service) Run(ctx context.Context) error {
	r := running{streams: map[string]string{}}
	for ctx.Err() == nil {
		err := s.poll(ctx, &r)
		switch {
		case err != nil && !r.down && ctx.Err() == nil:
			s.log.Warn("the subscriptions of the API could not be read; those that run continue", "err", err)
		case err == nil && r.down:
			s.log.Info("the subscriptions of the API can be read again")
		}
		r.down = err != nil
		backoff.Sleep(ctx, pollPeriod)
	}
	return nil
}

// poll applies the subscriptions if they have changed or some have failed, and cleans up deleted ones.
func (s *Service) poll(ctx context.Context, r *running) error {
	stepCtx, cancel := context.WithTimeout(ctx, stepTime)
	defer cancel()
	version, err := s.store.version(stepCtx)
	if err != nil {
		return err
	}
	due := time.Now().After(r.retry)
	if !r.known || version != r.version || due && r.failing != "" {
		objects, err := s.store.all(stepCtx)
		if err != nil {
			return err
		}
		if err := s.apply(ctx, r, objects); err != nil {
			return err
		}
		r.version, r.known = version, true
	}
	if due {
		r.retry = time.Now().Add(retryPeriod)
		return s.forget(stepCtx, r)
	}
	return nil
}

// apply makes the gateway run the valid objects. An object with an unknown stream belongs to another gateway that
// shares this Redis.
func (s *Service) apply(ctx context.Context, r *running, objects map[string]*Object) error {
	var configs []delivery.Config
	var failures []error
	streams := make(map[string]string, len(objects))
	for _, id := range slices.Sorted(maps.Keys(objects)) {
		c, problems := s.configuration(objects[id])
		switch {
		case !s.hasStream(c.Stream):
			continue
		case len(problems) > 0:
			failures = append(failures, fmt.Errorf("subscription %q: %w", id, problems))
			continue
		}
		streams[id] = c.Stream
		configs = append(configs, c)
	}
	applyCtx, cancel := context.WithTimeout(ctx, applyTime)
	defer cancel()
	if err := s.gateway.Apply(applyCtx, configs); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		failures = append(failures, err)
	}
	r.streams = streams
	failing := ""
	if err := errors.Join(failures...); err != nil {
		failing = err.Error()
	}
	if failing != "" && failing != r.failing {
		s.log.Error("some subscriptions of the API do not run, trying again", "err", failing)
	}
	r.failing = failing
	return nil
}

// forget removes what deleted subscriptions have left in Redis. Every replica may do so: removing it twice does no
// harm.
func (s *Service) forget(ctx context.Context, r *running) error {
	left, err := s.store.left(ctx, deletedFor)
	if err != nil {
		return err
	}
	for id, stream := range left {
		if r.streams[id] != "" {
			continue // this replica has not stopped it yet
		}
		if err := s.gateway.Forget(ctx, stream, id); err != nil {
			return err
		}
		if err := s.store.forgotten(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// configuration translates an object, and checks its addresses with the guard.
func (s *Service) configuration(o *Object) (delivery.Config, setting.Problems) {
	c, p := o.configuration(s.defaultStream())
	c.Sink.Guard = s.guard
	for _, one := range []struct{ path, address string }{
		{"sink", c.Sink.URI}, {"config.delivery.deadLetterSink.uri", c.Delivery.DeadLetterSink.URI},
	} {
		if u, err := url.Parse(one.address); err == nil && u.Hostname() != "" {
			if err := s.guard.CheckHost(u.Hostname()); err != nil {
				p.Add(one.path, err.Error(), "give a public address, or name the host in admin.allowSinks of the configuration")
			}
		}
	}
	s.checkKeys(&c, &p)
	return c, p
}

// checkKeys keeps subscriptions of the API to the streams and channels that the configuration names: with any other
// name, who speaks to the API could write to any key of Redis, also to those of other programs.
func (s *Service) checkKeys(c *delivery.Config, p *setting.Problems) {
	deadLetters, channel := c.Delivery.DeadLetterSink.Stream, c.Sink.Channel
	deadLettersOK := deadLetters == "" || deadLetters == state.DeadLetterStream(c.Stream) || s.hasStream(deadLetters)
	channelOK := channel == ""
	for i := range s.config.Subscriptions {
		known := &s.config.Subscriptions[i]
		deadLettersOK = deadLettersOK || known.Delivery.DeadLetterSink.Stream == deadLetters
		channelOK = channelOK || known.Sink.Channel == channel
	}
	if !deadLettersOK {
		p.Add("config.delivery.deadLetterSink.stream", fmt.Sprintf("the configuration has no stream %q", deadLetters),
			"name one of its streams, or a stream of dead letters that it uses, or leave it out")
	}
	if !channelOK {
		p.Add("sink", fmt.Sprintf("the configuration has no channel %q", channel),
			"name a channel to which a subscription of the configuration delivers")
	}
}

func (s *Service) defaultStream() string { return s.config.Streams[0].Name }

func (s *Service) hasStream(name string) bool {
	return slices.ContainsFunc(s.config.Streams, func(c stream.Config) bool { return c.Name == name })
}
