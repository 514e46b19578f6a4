package gateway

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// prepare decodes and filters. It reports false when the entry is done with, parked, or waits for others of its key.
func (s *session) prepare(ctx context.Context, d *redisstreams.Delivery) (job, bool) {
	if !s.sieve.passes(&d.Entry) {
		s.finish(d, s.figures.filtered)
		return job{}, false
	}
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
	case !s.passes(&event, d.ID):
		s.finish(d, s.figures.filtered)
		return job{}, false
	}
	if s.lanes != nil && !s.lanes.knows(d.ID) && !s.lanes.enter(d.ID, laneOf(d.ID, &event)) {
		return job{}, false
	}
	return job{delivery: d, event: event}, true
}

// passes applies the filters. What they cannot be evaluated on is not delivered, and counted.
func (s *session) passes(event *rawevent.Event, entry string) bool {
	ok, err := s.matches(event, entry)
	if err != nil {
		s.metrics.filterErrors.WithLabelValues(s.config.Name).Inc()
		s.log.Debug("a filter cannot be evaluated on an event, which is not delivered", "entry_id", entry, "err", err)
	}
	return ok
}

// finish acknowledges an entry.
func (s *session) finish(d *redisstreams.Delivery, result prometheus.Counter) {
	d.Ack()
	s.parking.verdict(d.ID) // of what holds no valid event nobody has asked for it
	if s.lanes != nil {
		s.lanes.leave(d.ID)
		s.waker.wake(time.Now())
	}
	result.Inc()
}

// bury stores the dead letter of an entry that holds no valid event.
func (s *session) bury(ctx context.Context, d *redisstreams.Delivery, reason error) {
	event := malformedEvent(&d.Entry)
	if s.storeDead(ctx, d, &event, &outcome{code: noResponse, detail: []byte(reason.Error())}) {
		s.metrics.malformed.WithLabelValues(s.config.Name).Inc()
		s.log.Error("an entry holds no valid CloudEvent and was dead-lettered", "stream", d.Stream, "entry_id", d.ID, "err", reason)
	}
}

// work makes one attempt to deliver, and settles what follows from it.
func (s *session) work(ctx context.Context, j *job) {
	s.figures.inFlight.Inc()
	defer s.figures.inFlight.Dec()
	defer s.gauge()
	if ctx.Err() != nil { // the time to finish is over: others get it
		s.giveUp(j)
		s.uncount(ctx, j)
		return
	}
	if o, doomed := s.parking.verdict(j.delivery.ID); doomed { // only its dead letter could not be stored yet
		s.giveUp(j)
		s.storeDead(ctx, j.delivery, &j.event, &o)
		return
	}
	ttl := firstTTL
	if s.config.Sink.URI != "" {
		ttl = takeTTL(&j.event)
	}
	sent, ok := s.transformed(ctx, j)
	if !ok {
		return
	}
	started := time.Now()
	o := s.sink.deliver(ctx, sent)
	if o.gone || ctx.Err() != nil && o.code == noResponse { // cut off by the shutdown, which is no failure of the event
		s.giveUp(j)
		if o.gone {
			s.park(j, time.Now()) // reading it again finds out who has it
		} else {
			s.uncount(ctx, j)
		}
		return
	}
	took := time.Since(started)
	s.deliveryTime.Add((took.Nanoseconds() - s.deliveryTime.Load()) / 8)
	s.figures.seconds.Observe(took.Seconds())
	counts, changed := s.circuit.settle(j.delivery.ID, &o, j.probe)
	if changed {
		s.setCircuit(&o)
	}
	s.settle(ctx, j, &o, ttl, counts)
}

// transformed returns the job as the sink is to have it; its event as it was is what becomes a dead letter. It reports false
// if that has happened already, because it cannot be transformed.
func (s *session) transformed(ctx context.Context, j *job) (*job, bool) {
	if s.change == nil {
		return j, true
	}
	event, err := s.change.apply(&j.event, j.delivery.ID)
	if err == nil {
		return &job{delivery: j.delivery, event: event, probe: j.probe}, true
	}
	s.giveUp(j)
	o := outcome{code: http.StatusUnprocessableEntity, detail: []byte("the subscription's transformation: " + err.Error()), final: true}
	if s.storeDead(ctx, j.delivery, &j.event, &o) {
		s.metrics.transformErrors.WithLabelValues(s.config.Name).Inc()
		s.log.Error("an event could not be transformed and was dead-lettered", "event_id", j.event.ID(), "event_type", j.event.Type(),
			"entry_id", j.delivery.ID, "err", err)
	}
	return nil, false
}

func (s *session) giveUp(j *job) {
	if j.probe {
		s.circuit.release()
	}
}

func (s *session) park(j *job, at time.Time) {
	s.parking.park([]string{j.delivery.ID}, at)
	s.waker.wake(at)
}

// settle does what an attempt's outcome asks for. counts says whether a failure counts against the event.
func (s *session) settle(ctx context.Context, j *job, o *outcome, ttl int, counts bool) {
	attempt, delivery := j.delivery.Attempt, &s.config.Delivery
	verdict := o.verdict()
	if verdict == delivered && s.publishReply(ctx, j, o.reply, ttl) {
		s.figures.success.Inc()
		s.finish(j.delivery, s.figures.delivered)
		return
	}
	delay := delivery.delay(max(attempt, 1), o.retryAfter)
	late := delivery.Deadline > 0 && time.Since(storedAt(j.delivery.ID))+delay > delivery.Deadline.Std()
	switch {
	case verdict == delivered: // and the reply could not be stored, because Redis is away
		s.park(j, time.Now().Add(rereadPause))
	case verdict == retryable && !late && (!counts || attempt <= delivery.Retry), !s.consumer.Held(j.delivery.ID):
		// Where another replica has taken the entry over, because this one was silent, reading it again will find that out.
		s.figures.retry.Inc()
		if !counts {
			s.uncount(ctx, j)
		}
		s.log.Debug("delivery failed and will be tried again", "entry_id", j.delivery.ID, "attempt", attempt, "counts", counts,
			"delay", delay, "reason", o.describe())
		s.park(j, time.Now().Add(delay))
	default:
		s.figures.failure.Inc()
		s.log.Error("an event could not be delivered and will be dead-lettered", "event_id", j.event.ID(), "event_type", j.event.Type(),
			"entry_id", j.delivery.ID, "sink", s.config.Sink.Describe(), "attempt", attempt, "reason", o.describe())
		s.storeDead(ctx, j.delivery, &j.event, o)
	}
}

// uncount takes an attempt back that failed because the sink was down, or that a stop cut off. If Redis is away, too, it
// counts.
func (s *session) uncount(ctx context.Context, j *job) {
	if err := s.consumer.Recount(context.WithoutCancel(ctx), j.delivery.ID, j.delivery.Attempt-1); err != nil {
		s.log.Debug("an attempt counts although it is not the event's fault that it failed", "entry_id", j.delivery.ID, "err", err)
	}
}

// publishReply puts the event that the sink answered with back in. It reports false if that has to be tried again.
func (s *session) publishReply(ctx context.Context, j *job, reply *rawevent.Event, ttl int) bool {
	if reply == nil {
		return true
	}
	if ttl--; ttl <= 0 {
		s.metrics.replies.WithLabelValues(s.config.Name, "dropped").Inc()
		s.log.Warn("a reply was dropped: events have gone round too often", "entry_id", j.delivery.ID, "reply_type", reply.Type())
		return true
	}
	reply.Set(attrTTL, strconv.Itoa(ttl))
	if _, err := s.env.publisher.Publish(ctx, s.config.ReplyStream, reply); err != nil {
		s.log.Debug("a reply could not be stored; the event is delivered again", "entry_id", j.delivery.ID, "err", err)
		return false
	}
	s.metrics.replies.WithLabelValues(s.config.Name, "published").Inc()
	return true
}

func storedAt(entry string) time.Time {
	t, ok := redisstreams.EntryTime(entry)
	if !ok {
		return time.Now()
	}
	return t
}

// storeDead stores a dead letter and then acknowledges the entry. Where that fails, Redis is away or full, and the entry is
// parked with its verdict: only the dead letter is tried again, the sink is left alone.
func (s *session) storeDead(ctx context.Context, d *redisstreams.Delivery, event *rawevent.Event, o *outcome) (stored bool) {
	if len(event.Attributes) == 0 { // a format that is not understood has no place for the reason
		malformed := malformedEvent(&d.Entry)
		event = &malformed
	}
	dead := deadLetter(event, &failure{subscription: &s.config, entry: &d.Entry, attempts: d.Attempt, outcome: o})
	if s.postDead(ctx, &dead) {
		s.finish(d, s.figures.deadLettered)
		return true
	}
	if _, err := s.env.dead.Append(ctx, &dead); err != nil {
		if ctx.Err() == nil && !s.deadDown.Swap(true) {
			s.log.Warn("cannot store dead letters, trying again", "entry_id", d.ID, "err", err)
		}
		at := time.Now().Add(s.config.Delivery.delay(d.Attempt, time.Second))
		s.parking.doom(d.ID, o, at)
		s.waker.wake(at)
		return false
	}
	s.deadDown.Store(false)
	s.finish(d, s.figures.deadLettered)
	return true
}

// postDead posts a dead letter to the address for them, if there is one. What is not taken there goes into the stream.
func (s *session) postDead(ctx context.Context, dead *rawevent.Event) bool {
	if s.deadSink == nil {
		return false
	}
	o := s.deadSink.deliver(ctx, &job{event: dead.Clone()})
	if o.verdict() != delivered {
		s.log.Warn("the dead-letter sink does not take an event; it goes into the stream of dead letters",
			"sink", redactedURI(s.config.Delivery.DeadLetterSink.URI), "reason", o.describe())
		return false
	}
	return true
}
