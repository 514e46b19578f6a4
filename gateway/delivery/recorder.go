package delivery

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/gateway/state"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// tidyPeriod is how often at most a session that writes records removes those of entries that are gone.
const tidyPeriod = 10 * time.Minute

// recorder keeps in Redis what must survive this replica: how often each waiting event was tried, when it is due, and
// that the sink is to be left alone for a while. docs/adr/0018 says what a kill -9 does at each step.
//
// It writes in the background: what comes up while a script is under way shares the next one. What waits to be written
// is bounded by the entries in work. An event that is delivered at the first attempt costs one look at an empty map.
type recorder struct {
	store  *state.Retries
	pauses *state.Pauses
	s      *Subscription
	log    *slog.Logger

	start func(flush func(ctx context.Context)) // in a goroutine that stop waits for
	stop  func()                                // writes what is outstanding, if Redis answers; nothing may come after it

	mu       sync.Mutex
	known    map[string]progress      // entries of which there is, or soon will be, a record
	waiting  map[string]chan struct{} // whose record is to be written; closed when it is, or need not be any more
	finished map[string]bool          // whose record is to be removed
	asked    time.Time                // until when the sink asked to wait, if that is to be written
	circuit  bool                     // the state of the circuit is to be written
	flushing bool
	stopped  bool
	tidied   time.Time // by the goroutine that flushes
}

// progress is how far the delivery of an entry has come.
type progress struct {
	attempts int       // that were made and count
	at       time.Time // when the next one is due
	asked    bool      // the sink asked for the delay
	verdict  *sink.Outcome
}

// newRecorder returns the recorder of a session that reads a stream, with its records in a hash. It does no I/O.
func (s *Subscription) newRecorder(stream, key string) *recorder {
	r := &recorder{
		store: &state.Retries{
			Redis: s.env.Redis, Key: key, Stream: stream, Group: state.GroupName(s.config.Name),
		},
		pauses: &state.Pauses{Redis: s.env.Redis, Stream: s.config.Stream}, s: s, log: s.log,
		known: map[string]progress{}, waiting: map[string]chan struct{}{}, finished: map[string]bool{},
	}
	ctx, cancel := context.WithCancel(context.Background())
	var flushing sync.WaitGroup
	r.start = func(flush func(context.Context)) { flushing.Go(func() { flush(ctx) }) }
	r.stop = func() {
		r.mu.Lock()
		r.stopped = true
		r.mu.Unlock()
		late := time.AfterFunc(state.StepTimeout, cancel)
		defer late.Stop()
		flushing.Wait()
		cancel()
	}
	return r
}

// fail notes that an entry waits for its next attempt, or, with a verdict, for its dead letter to be stored. It waits
// until that is written, so that an attempt that was counted survives a crash, but no longer than one command may take.
func (r *recorder) fail(ctx context.Context, id string, p progress) {
	written := make(chan struct{})
	r.change(func() {
		r.settled(id)
		r.known[id], r.waiting[id] = p, written
	})
	ctx, cancel := context.WithTimeout(ctx, state.StepTimeout)
	defer cancel()
	select {
	case <-written:
	case <-ctx.Done():
	}
}

// settled drops the record of an entry that was to be written. The caller holds mu.
func (r *recorder) settled(id string) {
	if written, found := r.waiting[id]; found {
		close(written)
		delete(r.waiting, id)
	}
}

// finish removes the record of an entry that is acknowledged, if there is one. The acknowledgement comes first: without
// the record, an entry that is still pending would begin with its first attempt again.
func (r *recorder) finish(id string) {
	if _, found := r.of(id); found {
		r.remove([]string{id})
	}
}

// remove removes the records of entries that are acknowledged, or were removed from the stream.
func (r *recorder) remove(ids []string) {
	r.change(func() {
		for _, id := range ids {
			delete(r.known, id)
			r.settled(id)
			r.finished[id] = true
		}
	})
}

// release forgets entries that are no longer this replica's. Their records stay, for the one that has them.
func (r *recorder) release(ids []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, id := range ids {
		delete(r.known, id)
		r.settled(id)
	}
}

// noteAsked notes that the sink asked for a pause.
func (r *recorder) noteAsked(until time.Time) { r.change(func() { r.asked = until }) }

// noteCircuit notes that the circuit has opened, stayed open after a probe, or closed.
func (r *recorder) noteCircuit() { r.change(func() { r.circuit = true }) }

// remember notes how far the delivery of an entry has come, as the delivery count of Redis tells.
func (r *recorder) remember(id string, p progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.known[id] = p
}

// of returns what is known about an entry.
func (r *recorder) of(id string) (p progress, found bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	p, found = r.known[id]
	return p, found
}

// attempt returns the number of the attempt for which an entry was handed out.
func (r *recorder) attempt(d *redisstreams.Delivery) int {
	if p, found := r.of(d.ID); found {
		return p.attempts + 1
	}
	return max(d.Attempt, 1)
}

// recall looks up the records of entries that were pending before. It tries again until Redis answers, and returns
// false if ctx ends before that: an entry must not be delivered before it is known when it is due.
func (r *recorder) recall(ctx context.Context, batch []*redisstreams.Delivery) bool {
	var ids []string
	for _, d := range batch {
		if d.Again || r.s.regrouped.Load() {
			ids = append(ids, d.ID)
		}
	}
	for len(ids) > 0 {
		part := ids[:min(len(ids), state.MaxRetries)]
		report := func(err error) { r.log.Warn("cannot read when events are due, trying again", "err", err) }
		if readPolicy().Retry(ctx, report, func(ctx context.Context) error { return r.read(ctx, part) }) != nil {
			return false
		}
		ids = ids[len(part):]
	}
	return true
}

func (r *recorder) read(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, state.StepTimeout)
	defer cancel()
	found, now, err := r.store.Read(ctx, ids)
	if err != nil {
		return err
	}
	r.s.clock.note(now)
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, retry := range found {
		p := progress{attempts: retry.Attempts, asked: retry.Asked}
		p.at = time.Now().Add(min(retry.Wait, r.s.config.Delivery.longestDelay(retry.Attempts, retry.Asked)))
		if retry.Final {
			p.verdict = &sink.Outcome{Code: retry.Code, Detail: []byte(retry.Detail), Final: true}
		}
		r.known[id] = p
	}
	return nil
}

// change notes something that is to be written, and has it written.
func (r *recorder) change(note func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	note()
	if !r.flushing && !r.stopped {
		r.flushing = true
		r.start(r.flush)
	}
}

// flush writes until nothing is left to write, or ctx ends.
func (r *recorder) flush(ctx context.Context) {
	report := func(err error) { r.log.Warn("cannot store when events are due, trying again", "err", err) }
	for {
		if readPolicy().Retry(ctx, report, r.write) != nil {
			return // the session is over
		}
		if time.Since(r.tidied) > tidyPeriod {
			r.tidied = time.Now()
			if err := r.store.Tidy(ctx); err != nil {
				r.log.Debug("cannot remove the records of entries that are gone", "err", err)
			}
		}
		if r.idle() {
			return
		}
	}
}

// idle ends the flushing if there is nothing left to write.
func (r *recorder) idle() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.flushing = len(r.waiting)+len(r.finished) > 0 || !r.asked.IsZero() || r.circuit
	return !r.flushing
}

// write writes some of what is to be written. That the pauses cannot be written does not keep back the rest.
func (r *recorder) write(ctx context.Context) error {
	return errors.Join(r.writePauses(ctx), r.writeBatch(ctx))
}

// writeBatch writes some of what is to be written.
func (r *recorder) writeBatch(ctx context.Context) error {
	waiting, written, finished := r.batch()
	if len(waiting)+len(finished) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, state.StepTimeout)
	defer cancel()
	now, err := r.store.Write(ctx, waiting, finished)
	if err != nil {
		r.putBack(waiting, written, finished)
		return err
	}
	for _, one := range written {
		close(one)
	}
	r.s.clock.note(now)
	return nil
}

// batch takes what one call may write.
func (r *recorder) batch() (waiting []state.Retry, written []chan struct{}, finished []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, done := range r.waiting {
		if len(waiting) == state.MaxRetries {
			break
		}
		delete(r.waiting, id)
		written = append(written, done)
		waiting = append(waiting, r.known[id].retry(id))
	}
	for id := range r.finished {
		if len(waiting)+len(finished) == state.MaxRetries {
			break
		}
		delete(r.finished, id)
		finished = append(finished, id)
	}
	return waiting, written, finished
}

// putBack undoes batch, except where something newer has come up.
func (r *recorder) putBack(waiting []state.Retry, written []chan struct{}, finished []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range waiting {
		id := waiting[i].Entry
		_, found := r.known[id]
		if _, newer := r.waiting[id]; newer || !found {
			close(written[i])
			continue
		}
		r.waiting[id] = written[i]
	}
	for _, id := range finished {
		r.finished[id] = true
	}
}

func (p progress) retry(id string) state.Retry {
	retry := state.Retry{Entry: id, Attempts: p.attempts, Wait: time.Until(p.at), Asked: p.asked}
	if p.verdict != nil {
		retry.Final, retry.Code, retry.Detail = true, p.verdict.Code, string(p.verdict.Detail)
	}
	return retry
}

// writePauses writes what is known about the sink.
func (r *recorder) writePauses(ctx context.Context) error {
	r.mu.Lock()
	asked, circuit := r.asked, r.circuit
	r.asked, r.circuit = time.Time{}, false
	r.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, state.StepTimeout)
	defer cancel()
	var err error
	if left := time.Until(asked); !asked.IsZero() && left > 0 {
		err = r.pauses.NoteAsked(ctx, r.s.config.Name, left)
	}
	if circuit && err == nil {
		err = r.pauses.NoteCircuit(ctx, r.s.config.Name, r.s.circuit.snapshot())
	}
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.circuit = r.circuit || circuit
		if asked.After(r.asked) {
			r.asked = asked
		}
	}
	return err
}

// restorePause makes the circuit wait as long as another replica, or an earlier run of this one, has been told to. It
// returns false if ctx ends before Redis has answered.
func (r *recorder) restorePause(ctx context.Context) bool {
	report := func(err error) { r.log.Warn("cannot read whether the sink takes events, trying again", "err", err) }
	return readPolicy().Retry(ctx, report, func(ctx context.Context) error {
		ctx, cancel := context.WithTimeout(ctx, state.StepTimeout)
		defer cancel()
		known, now, err := r.pauses.Read(ctx, r.s.config.Name)
		if err != nil {
			return err
		}
		r.s.clock.note(now)
		r.s.askedToWait(known.Asked)
		if known.Open && r.s.circuit.restore(known) {
			r.s.metrics.circuit.WithLabelValues(r.s.config.Name).Set(float64(circuitOpen))
			r.log.Warn("the sink did not take events until now; deliveries begin with one event after a pause",
				"sink", r.s.config.Sink.Describe(), "reason", known.Reason, "pause", known.Left.Round(time.Millisecond))
		}
		return nil
	}) == nil
}

// serverClock is the clock of Redis, as it was last seen, carried on by the monotonic clock of this process. It is safe
// for concurrent use.
type serverClock struct {
	mu   sync.Mutex
	now  time.Time
	seen time.Time
}

// clockPeriod is how old the last sight of the clock of Redis may be.
const clockPeriod = time.Minute

func (c *serverClock) note(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now, c.seen = now, time.Now()
}

// read returns the time of Redis, which ask is asked for if it was not seen lately. While Redis does not answer, the
// last sight counts.
func (c *serverClock) read(ask func() (time.Time, error)) time.Time {
	c.mu.Lock()
	fresh := !c.seen.IsZero() && time.Since(c.seen) < clockPeriod
	c.mu.Unlock()
	if !fresh {
		if now, err := ask(); err == nil {
			c.note(now)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen.IsZero() {
		return time.Now()
	}
	return c.now.Add(time.Since(c.seen))
}

// serverNow returns the time of Redis, by which entries are stored.
func (r *recorder) serverNow(ctx context.Context) time.Time {
	return r.s.clock.read(func() (time.Time, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), state.StepTimeout)
		defer cancel()
		_, now, err := r.store.Read(ctx, nil)
		return now, err
	})
}

// sharePauses tells the subscriptions of this replica which of their sinks have asked another replica to wait.
func sharePauses(ctx context.Context, subscriptions []*Subscription) {
	byStream := map[string][]*Subscription{}
	for _, s := range subscriptions {
		byStream[s.config.Stream] = append(byStream[s.config.Stream], s)
	}
	for stream, of := range byStream {
		stepCtx, cancel := context.WithTimeout(ctx, state.StepTimeout)
		asked, err := (&state.Pauses{Redis: of[0].env.Redis, Stream: stream}).Asked(stepCtx)
		cancel()
		if err != nil || len(asked) == 0 {
			continue // the subscriptions themselves report that Redis is away
		}
		for _, s := range of {
			s.askedToWait(asked[s.config.Name])
		}
	}
}

// askedToWait holds back every delivery: the sink has asked for that.
func (s *Subscription) askedToWait(d time.Duration) {
	d = min(d, s.config.Delivery.RetryAfterMax.Std())
	if d > 0 && s.circuit.ask(d) {
		s.log.Warn("the sink has asked to wait; deliveries pause", "sink", s.config.Sink.Describe(), "pause", d.Round(time.Millisecond))
	}
}
