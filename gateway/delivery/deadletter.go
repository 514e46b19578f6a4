package delivery

import (
	"context"
	"log/slog"
	"time"

	"github.com/streamgate/streamgate/gateway/deadletter"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// deadLetterWriter turns entries that cannot be delivered into dead letters.
type deadLetterWriter struct{ *session }

// store stores a dead letter and then acknowledges the entry: a kill -9 in between leaves a second dead letter with the same
// id, never none. Where storing fails, Redis is away or full, and the entry waits for a retry with its verdict: only the dead
// letter is tried again, the sink is left alone.
func (w *deadLetterWriter) store(
	ctx context.Context, d *redisstreams.Delivery, event *rawevent.Event, o *sink.Outcome,
) (stored bool) {
	if len(event.Attributes) == 0 { // a format that is not understood has no place for the reason
		malformed := deadletter.MalformedEvent(&d.Entry)
		event = &malformed
	}
	dead := deadletter.New(event, &deadletter.Failure{
		Stream: w.config.Stream, Subscription: w.config.Name, Sink: w.config.Sink.Describe(), Entry: d.ID,
		Attempts: d.Attempt, Code: o.Code, Detail: o.Detail,
	})
	if w.post(ctx, &dead) {
		w.finish(d, w.figures.deadLettered)
		return true
	}
	if _, err := w.env.DeadLetters.Append(ctx, &dead); err != nil {
		if ctx.Err() == nil && !w.deadDown.Swap(true) {
			w.log.Warn("cannot store dead letters, trying again", "entry_id", d.ID, "err", err)
		}
		at := time.Now().Add(w.config.Delivery.delay(d.Attempt, time.Second))
		p := progress{attempts: d.Attempt, at: at, verdict: o}
		w.recorder.fail(ctx, d.ID, p)
		w.queue(d.ID, p)
		return false
	}
	w.deadDown.Store(false)
	w.finish(d, w.figures.deadLettered)
	return true
}

// post posts a dead letter to the address for them, if there is one. What is not taken there goes into the stream.
func (w *deadLetterWriter) post(ctx context.Context, dead *rawevent.Event) bool {
	if w.deadSink == nil {
		return false
	}
	o := w.deadSink.Deliver(ctx, &sink.Item{Event: dead.Clone()})
	if o.Verdict() != sink.Delivered {
		w.log.Warn("the dead-letter sink does not take an event; it goes into the stream of dead letters",
			"sink", sink.RedactedURI(w.config.Delivery.DeadLetterSink.URI), "reason", o.Describe())
		return false
	}
	return true
}

// rejectMalformed stores the dead letter of an entry that does not hold a valid event.
func (w *deadLetterWriter) rejectMalformed(ctx context.Context, d *redisstreams.Delivery, reason error) {
	event := deadletter.MalformedEvent(&d.Entry)
	if w.store(ctx, d, &event, &sink.Outcome{Code: sink.NoResponse, Detail: []byte(reason.Error())}) {
		w.metrics.malformed.WithLabelValues(w.config.Name).Inc()
		w.deadLog.note(w.log, func(log *slog.Logger) {
			log.Error("an entry does not hold a valid CloudEvent and was dead-lettered", "stream", d.Stream, "entry_id", d.ID, "err", reason)
		})
	}
}
