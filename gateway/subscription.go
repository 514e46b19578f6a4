package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// subscription hands the entries of one stream to one sink. Its parts:
//
//   - the dispatcher reads no more entries than there are free workers, and drops what the filters do not let through,
//   - the workers deliver,
//   - the parking lot holds the ids of events that wait for their next attempt: they stay leased, and hold neither a
//     worker nor their bytes.
//
// An entry is acknowledged after a 2xx, after its dead letter is stored, or when the filters do not match.
type subscription struct {
	config   SubscriptionConfig
	matches  predicate
	consumer *redisstreams.Consumer
	sink     *httpSink
	dead     *redisstreams.Sender
	parking  *parkingLot
	log      *slog.Logger
	metrics  *metrics

	jobs  chan job
	slots chan struct{} // one token for every worker that is busy or about to be
	down  bool          // only for the dispatcher: an error of Redeliver was logged

	deadDown atomic.Bool // that dead letters cannot be stored was logged
}

// redeliverPause is the time between two tries to read parked events while Redis does not answer.
const redeliverPause = time.Second

type job struct {
	delivery *redisstreams.Delivery
	event    rawevent.Event
}

func newSubscription(c SubscriptionConfig, env subscriptionEnv) (*subscription, error) {
	log := env.log.With("subscription", c.Name)
	start, err := startPosition(c.StartFrom)
	if err != nil {
		return nil, fmt.Errorf("subscription %q: %w", c.Name, err)
	}
	count := func(vec *prometheus.CounterVec, n int) { vec.WithLabelValues(c.Name).Add(float64(n)) }
	consumer, err := redisstreams.NewConsumer(env.client, c.Stream, groupName(c.Name),
		redisstreams.WithLease(c.LeaseDuration.Std()), redisstreams.WithStart(start), redisstreams.WithConsumerLogger(log),
		redisstreams.WithHooks(redisstreams.Hooks{
			Trimmed:        func(ids []string) { count(env.metrics.trimmed, len(ids)) },
			Reclaimed:      func(n int) { count(env.metrics.reclaimed, n) },
			GroupRecreated: func(string) { count(env.metrics.groupRecreated, 1) },
		}))
	if err != nil {
		return nil, fmt.Errorf("subscription %q: %w", c.Name, err)
	}
	return &subscription{
		config: c, matches: compileFilters(c.Filters), consumer: consumer, sink: newHTTPSink(&c, env.userAgent), dead: env.dead,
		parking: newParkingLot(), log: log, metrics: env.metrics,
		jobs: make(chan job), slots: make(chan struct{}, c.Concurrency),
	}, nil
}

// subscriptionEnv is what the gateway gives a subscription.
type subscriptionEnv struct {
	client    redis.UniversalClient
	dead      *redisstreams.Sender
	log       *slog.Logger
	metrics   *metrics
	userAgent string
}

// run reads until readCtx ends, finishes what is in work until workCtx ends, and gives up the rest.
func (s *subscription) run(readCtx, workCtx context.Context) {
	consumeCtx, stopConsumer := context.WithCancel(context.WithoutCancel(workCtx))
	var consumer, workers sync.WaitGroup
	consumer.Go(func() { _ = s.consumer.Run(consumeCtx) }) // it returns nil
	for range s.config.Concurrency {
		workers.Go(func() {
			for j := range s.jobs {
				s.work(workCtx, &j)
				<-s.slots
			}
		})
	}
	s.dispatch(readCtx)
	close(s.jobs)
	workers.Wait()
	stopConsumer()
	consumer.Wait()
	s.sink.close()
}

// dispatch hands entries to free workers until ctx ends.
func (s *subscription) dispatch(ctx context.Context) {
	for {
		free := s.freeSlots(ctx)
		if free == 0 {
			return
		}
		batch, err := s.next(ctx, free)
		if err != nil && !errors.Is(err, errNothingNow) {
			return // the readers' context has ended
		}
		used := 0
		for _, d := range batch {
			if j, ok := s.prepare(ctx, d); ok {
				s.jobs <- j // a slot is a worker that is free: this does not block
				used++
			}
		}
		for range free - used {
			<-s.slots
		}
	}
}

// freeSlots waits for one free worker and takes all that are free; 0 means that ctx has ended.
func (s *subscription) freeSlots(ctx context.Context) int {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	for n := 1; ; n++ {
		select {
		case s.slots <- struct{}{}:
		default:
			return n
		}
	}
}

var errNothingNow = errors.New("nothing to do at the moment")

// next returns entries for up to n workers: those whose next attempt is due, else new ones.
func (s *subscription) next(ctx context.Context, n int) ([]*redisstreams.Delivery, error) {
	if due := s.parking.due(n); len(due) > 0 {
		batch, err := s.consumer.Redeliver(ctx, due)
		s.gauge()
		if err != nil {
			if !s.down {
				s.log.Warn("cannot read events for their next attempt, trying again", "err", err)
			}
			s.down = true
			s.parking.park(due, time.Now())
			Sleep(ctx, redeliverPause/2+rand.N(redeliverPause/2))
			return nil, errNothingNow
		}
		s.down = false
		return batch, nil
	}
	wait := s.parking.untilNext()
	if s.parking.isFull() {
		Sleep(ctx, min(wait, time.Second))
		return nil, errNothingNow
	}
	return s.consumer.Poll(ctx, n, wait)
}

// prepare decodes and filters. It reports false when the entry is done with, or parked.
func (s *subscription) prepare(ctx context.Context, d *redisstreams.Delivery) (job, bool) {
	event, err := d.Event()
	opaque := errors.Is(err, redisstreams.ErrUnknownFormat)
	if err == nil {
		err = event.Validate()
	}
	switch {
	case opaque && len(s.config.Filters) == 0: // passed on as it is; filters cannot be applied to it
	case err != nil:
		s.bury(ctx, d, err)
		return job{}, false
	case !s.matches(&event):
		d.Ack()
		s.metrics.deliveries.WithLabelValues(s.config.Name, "filtered").Inc()
		return job{}, false
	}
	return job{d, event}, true
}

// bury stores the dead letter of an entry that holds no valid event.
func (s *subscription) bury(ctx context.Context, d *redisstreams.Delivery, reason error) {
	event := malformedEvent(&d.Entry)
	if s.storeDead(ctx, d, &event, &outcome{code: noResponse, detail: []byte(reason.Error())}) {
		s.metrics.malformed.WithLabelValues(s.config.Name).Inc()
		s.log.Error("an entry holds no valid CloudEvent and was dead-lettered", "stream", d.Stream, "entry_id", d.ID, "err", reason)
	}
}

// work makes one attempt to deliver, and settles what follows from it.
func (s *subscription) work(ctx context.Context, j *job) {
	if ctx.Err() != nil {
		return // the time to finish is over: others get it
	}
	if o, doomed := s.parking.verdict(j.delivery.ID); doomed { // only its dead letter could not be stored yet
		s.storeDead(ctx, j.delivery, &j.event, &o)
		return
	}
	started := time.Now()
	o := s.sink.deliver(ctx, &j.event)
	if ctx.Err() != nil && o.code == noResponse {
		return // cut off by the shutdown, which is no failure of the event
	}
	s.metrics.deliveryTime.WithLabelValues(s.config.Name).Observe(time.Since(started).Seconds())
	switch verdict := o.verdict(); {
	case verdict == delivered:
		j.delivery.Ack()
		s.metrics.attempts.WithLabelValues(s.config.Name, "success").Inc()
		s.metrics.deliveries.WithLabelValues(s.config.Name, "delivered").Inc()
	case verdict == retryable && j.delivery.Attempt <= s.config.Delivery.Retry, !s.consumer.Held(j.delivery.ID):
		// Where another replica has taken the entry over, because this one was silent, Redeliver will find that out.
		s.metrics.attempts.WithLabelValues(s.config.Name, "retry").Inc()
		delay := s.config.Delivery.delay(j.delivery.Attempt, o.retryAfter)
		s.log.Debug("delivery failed and will be tried again", "entry_id", j.delivery.ID, "attempt", j.delivery.Attempt,
			"delay", delay, "reason", o.describe())
		s.parking.park([]string{j.delivery.ID}, time.Now().Add(delay))
		s.gauge()
	default:
		s.metrics.attempts.WithLabelValues(s.config.Name, "failure").Inc()
		s.log.Error("an event could not be delivered and will be dead-lettered", "event_id", j.event.ID(), "event_type", j.event.Type(),
			"entry_id", j.delivery.ID, "sink", redactedURI(s.config.Sink.URI), "attempt", j.delivery.Attempt, "reason", o.describe())
		s.storeDead(ctx, j.delivery, &j.event, &o)
	}
}

// storeDead stores a dead letter and then acknowledges the entry. Where that fails, Redis is away or full, and the entry is
// parked with its verdict: only the dead letter is tried again, the sink is left alone.
func (s *subscription) storeDead(ctx context.Context, d *redisstreams.Delivery, event *rawevent.Event, o *outcome) (stored bool) {
	if len(event.Attributes) == 0 { // a format that is not understood has no place for the reason
		malformed := malformedEvent(&d.Entry)
		event = &malformed
	}
	dead := deadLetter(event, s.config.Sink.URI, o)
	if _, err := s.dead.Append(ctx, &dead); err != nil {
		if ctx.Err() == nil && !s.deadDown.Swap(true) {
			s.log.Warn("cannot store dead letters, trying again", "entry_id", d.ID, "err", err)
		}
		s.parking.doom(d.ID, o, time.Now().Add(s.config.Delivery.delay(d.Attempt, time.Second)))
		s.gauge()
		return false
	}
	s.deadDown.Store(false)
	d.Ack()
	s.metrics.deliveries.WithLabelValues(s.config.Name, "deadlettered").Inc()
	return true
}

func (s *subscription) gauge() {
	s.metrics.parked.WithLabelValues(s.config.Name).Set(float64(s.parking.len()))
}
