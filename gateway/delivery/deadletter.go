package delivery

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/streamgate/streamgate/gateway/deadletter"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// deadLetterWriter turns entries that cannot be delivered into dead letters. It is safe for concurrent use.
type deadLetterWriter struct {
	*session

	mu    sync.Mutex
	posts map[string]int // how often the dead-letter sink has refused the dead letter of an entry, by its id
}

func newDeadLetterWriter(s *session) *deadLetterWriter {
	return &deadLetterWriter{session: s, posts: map[string]int{}}
}

// store stores a dead letter and then acknowledges the entry: a kill -9 in between leaves a second dead letter with the
// same id, never none. Where storing fails, or the dead-letter sink is to be asked again, the entry stays pending and
// waits for a retry with its verdict: only the dead letter is tried again, the sink is left alone. Verdict and due time
// are in Redis; how often the dead-letter sink has refused is in memory only, and begins anew after a restart.
func (w *deadLetterWriter) store(
	ctx context.Context, d *redisstreams.Delivery, event *rawevent.Event, o *sink.Outcome,
) (stored bool) {
	if len(event.Attributes) == 0 { // a format that is not understood has no place for the reason
		malformed := deadletter.MalformedEvent(&d.Entry)
		event = &malformed
	}
	dead := deadletter.New(event, &deadletter.Failure{
		Stream: w.config.Stream, Subscription: w.config.Name, Sink: w.config.Sink.Describe(), Entry: d.ID,
		Attempts: d.Attempt, Code: o.Code, Detail: o.Detail, Reason: o.Reason,
	})
	posted, again := w.post(ctx, d.ID, &dead)
	switch {
	case posted:
		w.finish(d, w.figures.deadLettered)
		return true
	case again > 0:
		w.later(ctx, d, o, again)
		return false
	}
	if _, err := w.env.DeadLetters.Append(ctx, &dead); err != nil {
		if ctx.Err() == nil && !w.deadDown.Swap(true) {
			w.log.Warn("cannot store dead letters, trying again", "entry_id", d.ID, "err", err)
		}
		w.later(ctx, d, o, w.config.Delivery.delay(d.Attempt, time.Second))
		return false
	}
	w.deadDown.Store(false)
	w.finish(d, w.figures.deadLettered)
	return true
}

// later makes an entry wait for the next attempt to store its dead letter.
func (w *deadLetterWriter) later(ctx context.Context, d *redisstreams.Delivery, o *sink.Outcome, delay time.Duration) {
	p := progress{attempts: d.Attempt, at: time.Now().Add(delay), verdict: o}
	w.recorder.fail(ctx, d.ID, p)
	w.queue(d.ID, p)
}

// post posts a dead letter to the address for them, if there is one. again is when to try once more, by the same policy
// as for the sink; 0 means that the dead letter goes into the stream.
func (w *deadLetterWriter) post(ctx context.Context, id string, dead *rawevent.Event) (posted bool, again time.Duration) {
	if w.deadSink == nil {
		return false, 0
	}
	o := w.deadSink.Deliver(ctx, &sink.Item{Event: dead.Clone()})
	verdict, delivery := o.Verdict(), &w.config.Delivery
	if verdict == sink.Retryable && ctx.Err() != nil { // a stop has cut it off, which is not the dead-letter sink's fault
		return false, delivery.delay(1, time.Second)
	}
	tried := w.noteRefusal(id, verdict == sink.Retryable)
	switch {
	case verdict == sink.Delivered:
		return true, 0
	case verdict == sink.Retryable && tried <= delivery.Retry:
		again = max(delivery.delay(tried, o.RetryAfter), time.Millisecond)
		w.log.Debug("the dead-letter sink did not accept a dead letter, which will be tried again", "entry_id", id,
			"attempt", tried, "delay", again, "reason", o.Describe())
		return false, again
	}
	w.noteRefusal(id, false)
	w.log.Warn("the dead-letter sink did not accept a dead letter, which goes into the dead-letter stream", "entry_id", id,
		"sink", sink.RedactedURI(delivery.DeadLetterSink.URI), "attempt", tried, "reason", o.Describe())
	return false, 0
}

// noteRefusal counts that the dead letter of an entry was refused, and returns how often; or it forgets the entry.
func (w *deadLetterWriter) noteRefusal(id string, refused bool) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !refused {
		defer delete(w.posts, id)
		return w.posts[id] + 1
	}
	if len(w.posts) > maxPosts { // entries that other replicas have taken over never come back
		clear(w.posts)
	}
	w.posts[id]++
	return w.posts[id]
}

// maxPosts bounds how many entries the writer counts for. It is the largest maxParked.
const maxPosts = 1_000_000

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
