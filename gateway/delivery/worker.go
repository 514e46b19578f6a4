package delivery

import (
	"context"
	"log/slog"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/streamgate/streamgate/gateway/deadletter"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// worker delivers the jobs of a session and settles what follows from each attempt. It is safe for concurrent use: all
// goroutines that deliver share it.
type worker struct {
	*session
	dead         *deadLetterWriter
	deliveryTime atomic.Int64 // recently, in ns
}

func newWorker(s *session) *worker { return &worker{session: s, dead: newDeadLetterWriter(s)} }

// work makes one attempt to deliver, and settles what follows from it.
func (w *worker) work(ctx context.Context, j *job) {
	w.figures.inFlight.Inc()
	defer w.figures.inFlight.Dec()
	defer w.gauge()
	if ctx.Err() != nil { // the time to finish is over: others get it
		w.giveUp(j)
		return
	}
	if o, failed := w.retries.takeVerdict(j.Entry); failed { // only its dead letter could not be stored yet
		w.giveUp(j)
		w.dead.store(ctx, j.delivery, &j.Event, &o)
		return
	}
	if wait := w.circuit.askedFor(); wait > 0 { // since it was read; no attempt is made
		w.giveUp(j)
		p := progress{attempts: j.delivery.Attempt - 1, at: time.Now().Add(wait), asked: true}
		w.recorder.remember(j.Entry, p)
		w.queue(j.Entry, p)
		return
	}
	ttl := sink.FirstTTL
	if w.config.Sink.URI != "" {
		ttl = sink.TakeTTL(&j.Event)
	}
	item, ok := w.transformed(ctx, j)
	if !ok {
		return
	}
	started := time.Now()
	o := w.sink.Deliver(ctx, item)
	if o.Gone || ctx.Err() != nil && o.Code == sink.NoResponse { // cut off by the shutdown, not a failure of the event
		w.giveUp(j)
		if o.Gone {
			w.retryAt(j.Entry, time.Now()) // reading it again finds out who has it
		}
		return
	}
	took := time.Since(started)
	w.deliveryTime.Add((took.Nanoseconds() - w.deliveryTime.Load()) / 8)
	w.figures.seconds.Observe(took.Seconds())
	counts, changed := true, false
	if w.config.Delivery.Outages != outagesCount { // else the circuit stays closed, because nothing is reported to it
		counts, changed = w.circuit.settle(j.Entry, &o, j.probe)
	}
	if o.Code == http.StatusTooManyRequests && o.RetryAfter > 0 { // "no further requests until then": web hooks, section 2.2
		w.askedToWait(o.RetryAfter)
		w.recorder.noteAsked(time.Now().Add(o.RetryAfter))
	}
	if changed {
		w.noteCircuit(&o)
	}
	if changed || j.probe {
		w.recorder.noteCircuit()
	}
	w.settle(ctx, j, &o, ttl, counts)
}

// transformed returns the item as the sink is to have it; the event as it was is what becomes a dead letter. It reports
// false if that has happened already, because the event cannot be transformed.
func (w *worker) transformed(ctx context.Context, j *job) (*sink.Item, bool) {
	if w.transform == nil {
		return &j.Item, true
	}
	event, err := w.transform.Apply(&j.Event, j.Entry)
	if err == nil {
		item := j.Item
		item.Event = event
		return &item, true
	}
	w.giveUp(j)
	o := sink.Outcome{
		Code: http.StatusUnprocessableEntity, Detail: []byte("the subscription's transformation: " + err.Error()), Final: true,
	}
	if w.dead.store(ctx, j.delivery, &j.Event, &o) {
		w.metrics.transformErrors.WithLabelValues(w.config.Name).Inc()
		w.deadLog.note(w.log, func(log *slog.Logger) {
			log.Error("an event could not be transformed and was dead-lettered", "event_id", j.Event.ID(), "event_type", j.Event.Type(),
				"entry_id", j.Entry, "err", err)
		})
	}
	return nil, false
}

func (w *worker) giveUp(j *job) {
	if j.probe {
		w.circuit.release()
	}
}

// settle does what an attempt's outcome asks for. counts says whether a failure counts against the event.
func (w *worker) settle(ctx context.Context, j *job, o *sink.Outcome, ttl int, counts bool) {
	attempt, delivery := j.delivery.Attempt, &w.config.Delivery
	verdict := o.Verdict()
	if o.Unusable != "" {
		w.metrics.replies.WithLabelValues(w.config.Name, "invalid").Inc()
		w.log.Warn("a reply was dropped, because it is not a valid CloudEvent", "entry_id", j.Entry,
			"sink", w.config.Sink.Describe(), "reason", o.Unusable)
	}
	if verdict == sink.Delivered && w.publishReply(ctx, j, o.Reply, ttl) {
		w.figures.success.Inc()
		w.finish(j.delivery, w.figures.delivered)
		return
	}
	delay := delivery.delay(max(attempt, 1), o.RetryAfter)
	late := delivery.Deadline > 0 && w.age(ctx, j.Entry)+delay > delivery.Deadline.Std()
	switch {
	case verdict == sink.Delivered: // and the reply could not be stored, because Redis is away
		w.retry(ctx, j, progress{attempts: attempt - 1, at: time.Now().Add(rereadPause)})
	case verdict == sink.Retryable && !late && (!counts || attempt <= delivery.Retry), !w.consumer.Held(j.Entry):
		// Where another replica has taken the entry over, because this one was silent, reading it again will find that
		// out.
		made := attempt
		if !counts {
			made--
		}
		w.log.Debug("delivery failed and will be tried again", "entry_id", j.Entry, "attempt", attempt, "counts", counts,
			"delay", delay, "reason", o.Describe())
		w.retry(ctx, j, progress{attempts: made, at: time.Now().Add(delay), asked: o.RetryAfter > 0})
		w.figures.retry.Inc()
	default:
		w.figures.failure.Inc()
		w.deadLog.note(w.log, func(log *slog.Logger) {
			log.Error("an event could not be delivered and will be dead-lettered", "event_id", j.Event.ID(), "event_type", j.Event.Type(),
				"entry_id", j.Entry, "sink", w.config.Sink.Describe(), "attempt", attempt, "reason", o.Describe())
		})
		w.dead.store(ctx, j.delivery, &j.Event, o)
	}
}

// retry notes how far the delivery has come, and has it tried again.
func (w *worker) retry(ctx context.Context, j *job, p progress) {
	w.recorder.fail(ctx, j.Entry, p)
	w.queue(j.Entry, p)
}

// age returns how long ago an entry was stored, by the clock of Redis, which has made its id.
func (w *worker) age(ctx context.Context, entry string) time.Duration {
	return w.recorder.serverNow(ctx).Sub(deadletter.StoredAt(entry))
}

// publishReply puts the event that the sink answered with back in. It reports false if that has to be tried again.
func (w *worker) publishReply(ctx context.Context, j *job, reply *rawevent.Event, ttl int) bool {
	if reply == nil {
		return true
	}
	if ttl--; ttl <= 0 {
		w.metrics.replies.WithLabelValues(w.config.Name, "dropped").Inc()
		w.log.Warn("a reply was dropped: events have gone round too often", "entry_id", j.Entry, "reply_type", reply.Type())
		return true
	}
	reply.Set(sink.AttrTTL, strconv.Itoa(ttl))
	if _, err := w.env.Publisher.Publish(ctx, w.config.ReplyStream, reply); err != nil {
		w.log.Debug("a reply could not be stored; the event is delivered again", "entry_id", j.Entry, "err", err)
		return false
	}
	w.metrics.replies.WithLabelValues(w.config.Name, "published").Inc()
	return true
}
