package delivery

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/sink"
	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// dispatcher reads the entries of a session, filters them and hands them to workers. All of its methods but those of
// the workers' goroutines are for the goroutine of run.
type dispatcher struct {
	*session
	worker *worker

	jobs  chan *job     // to workers that are idle
	slots chan struct{} // one token for every worker that is busy or about to be

	down    bool // an error of reading again was logged
	backlog bool // the last read brought all that was asked for
}

func newDispatcher(s *session) *dispatcher {
	return &dispatcher{
		session: s, worker: newWorker(s), jobs: make(chan *job), slots: make(chan struct{}, s.workers),
	}
}

// run reads until readCtx ends, and returns when the workers have finished, at the latest when workCtx ends.
func (d *dispatcher) run(readCtx, workCtx context.Context) {
	var workers sync.WaitGroup
	start := func(j *job) { workers.Go(func() { d.serve(workCtx, j) }) }
	ready := d.inbox != nil || d.recorder.restorePause(readCtx) // the session of the stream has done so for the inbox
	if ready && (d.keys == nil || d.takePending(readCtx)) {
		d.dispatch(readCtx, start)
	}
	close(d.jobs)
	workers.Wait()
}

// workerIdle is how long a worker waits for its next job. Workers are started when there is work, so that a
// subscription without any costs next to nothing.
const workerIdle = time.Second

// serve does a job and then others, until there are none for a while.
func (d *dispatcher) serve(ctx context.Context, j *job) {
	idle := time.NewTimer(workerIdle)
	defer idle.Stop()
	for {
		d.worker.work(ctx, j)
		<-d.slots
		idle.Reset(workerIdle)
		var more bool
		select {
		case j, more = <-d.jobs:
			if !more {
				return
			}
		case <-idle.C:
			return
		}
	}
}

// takePending puts what is pending into the key queues, before anything new is read: its previous consumer is gone. It
// returns false if ctx ends before that has succeeded.
func (d *dispatcher) takePending(ctx context.Context) bool {
	report := func(err error) { d.log.Warn("cannot read what is pending, trying again", "err", err) }
	return readPolicy().Retry(ctx, report, func(ctx context.Context) error {
		return d.consumer.TakeAll(ctx, func(batch []*redisstreams.Delivery) {
			if !d.recorder.recall(ctx, batch) {
				return // ctx has ended, and everything is given up
			}
			for _, one := range batch {
				if p, head := d.enterTaken(one); head {
					d.queue(one.ID, p)
				}
			}
		})
	}) == nil
}

// enterTaken puts an entry that was pending before into the queue of its key, and returns how far its delivery has
// come. It returns false if others of its key come first.
func (d *dispatcher) enterTaken(entry *redisstreams.Delivery) (p progress, head bool) {
	event, _ := entry.Event() // an entry that does not decode has no key; it is rejected when it is processed
	head = d.keys.enter(entry.ID, keyOf(entry.ID, &event))
	p, found := d.recorder.of(entry.ID)
	if !found && (head || entry.Attempt > 1) { // reading it again changes the delivery count
		p = progress{attempts: d.recorder.attempt(entry) - 1, at: time.Now()}
		d.recorder.remember(entry.ID, p)
	}
	return p, head
}

// due returns those of a batch that may be delivered now. An entry that was pending before may wait for its next
// attempt; it goes back into the retry queue then, and no attempt is made.
func (d *dispatcher) due(ctx context.Context, batch []*redisstreams.Delivery) ([]*redisstreams.Delivery, error) {
	if !d.recorder.recall(ctx, batch) {
		return nil, ctx.Err()
	}
	now := batch[:0]
	for _, one := range batch {
		p, found := d.recorder.of(one.ID)
		switch {
		case !found || p.verdict == nil && !p.at.After(time.Now()):
			now = append(now, one)
		case d.keys == nil:
			d.queue(one.ID, p)
		default:
			if _, head := d.enterTaken(one); head {
				d.queue(one.ID, p)
			}
		}
	}
	return now, nil
}

// turns returns the entries that have come to the head of their queue and may be delivered now, up to n.
func (d *dispatcher) turns(n int) (now []string) {
	for _, id := range d.keys.take(n) {
		if p, found := d.recorder.of(id); found && (p.verdict != nil || p.at.After(time.Now())) {
			d.queue(id, p)
			continue
		}
		now = append(now, id)
	}
	return now
}

func readPolicy() backoff.Policy {
	return backoff.Policy{First: 50 * time.Millisecond, Max: time.Second}
}

// dispatch hands entries to free workers until ctx ends.
func (d *dispatcher) dispatch(ctx context.Context, start func(*job)) {
	for {
		free := d.freeSlots(ctx)
		if free == 0 {
			return
		}
		jobs, err := d.next(ctx, free)
		d.backlog = len(jobs) == free
		for i := range jobs {
			select {
			case d.jobs <- &jobs[i]:
			default: // no worker is idle
				start(&jobs[i])
			}
		}
		for range free - len(jobs) {
			<-d.slots
		}
		if err != nil && !errors.Is(err, errNothingNow) {
			return // ctx has ended
		}
	}
}

// gatherTime is how long at most the dispatcher waits for more workers to become free, while there is more to read than
// one worker can do: a read for each entry would cost Redis and this process as much as the delivery itself.
const gatherTime = time.Millisecond

// freeSlots waits for one free worker and takes all that are free; 0 means that ctx has ended.
func (d *dispatcher) freeSlots(ctx context.Context) int {
	select {
	case d.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	n := 1
	if patience := min(time.Duration(d.worker.deliveryTime.Load())/8, gatherTime); d.backlog && patience > 0 {
		n += d.gather(ctx, patience)
	}
	for ; ; n++ {
		select {
		case d.slots <- struct{}{}:
		default:
			return n
		}
	}
}

// gather takes slots as they become free, until a quarter of the workers is, or the time is over.
func (d *dispatcher) gather(ctx context.Context, limit time.Duration) (n int) {
	over := time.NewTimer(limit)
	defer over.Stop()
	for ; n < cap(d.slots)/4; n++ {
		select {
		case d.slots <- struct{}{}:
		case <-over.C:
			return n
		case <-ctx.Done():
			return n
		}
	}
	return n
}

var errNothingNow = errors.New("nothing to do at the moment")

// next returns up to n jobs, as many as the circuit and the rate limit let begin.
func (d *dispatcher) next(ctx context.Context, n int) ([]job, error) {
	n, probe, wait := d.circuit.admit(n)
	if n == 0 {
		backoff.Sleep(ctx, min(wait, time.Second))
		return nil, nothingUnless(ctx)
	}
	if n = d.limited(ctx, n); n == 0 {
		if probe {
			d.circuit.release()
		}
		return nil, nothingUnless(ctx)
	}
	batch, err := d.entries(ctx, n, probe)
	jobs := make([]job, 0, len(batch))
	for _, one := range batch {
		if j, ok := d.prepare(ctx, one); ok {
			j.probe = probe
			jobs = append(jobs, j)
		}
	}
	if probe && len(jobs) == 0 {
		d.circuit.release()
	}
	if d.limiter != nil {
		d.limiter.ReserveN(time.Now(), len(jobs)) // below zero where the inbox has taken some meanwhile
	}
	d.gauge()
	return jobs, err
}

func nothingUnless(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return errNothingNow
}

// limited waits until the rate limit lets one delivery begin, and returns how many up to n it lets begin at once. It
// takes nothing from the limit: that is done when it is known how many there are to begin.
func (d *dispatcher) limited(ctx context.Context, n int) int {
	if d.limiter == nil {
		return n
	}
	for {
		tokens := d.limiter.Tokens()
		if tokens >= 1 {
			return min(n, int(tokens))
		}
		if !backoff.Sleep(ctx, max(time.Duration((1-tokens)/float64(d.limiter.Limit())*float64(time.Second)), time.Millisecond)) {
			return 0
		}
	}
}

// entries returns up to n entries: those whose next attempt is due, those whose turn it is in their key queue, else new
// ones.
func (d *dispatcher) entries(ctx context.Context, n int, probe bool) ([]*redisstreams.Delivery, error) {
	d.signal.clear()
	full := d.isFull()
	if probe && !full { // it may be those that were tried before that cannot be delivered, and not the sink's fault
		batch, err := d.consumer.Poll(ctx, 1, time.Millisecond)
		if err == nil {
			batch, err = d.due(ctx, batch)
		}
		if err != nil || len(batch) > 0 {
			return batch, err
		}
	}
	if due := d.retries.due(n); len(due) > 0 {
		return d.again(ctx, due, d.consumer.Redeliver, d.retryNow)
	}
	if d.keys != nil {
		if ready := d.turns(n); len(ready) > 0 {
			return d.again(ctx, ready, d.consumer.Reread, d.keys.giveBack)
		}
	}
	if probe { // before its time: the pause of the circuit is over
		if id := d.retries.soonest(); id != "" {
			return d.again(ctx, []string{id}, d.consumer.Redeliver, d.retryNow)
		}
	}
	return d.await(ctx, n, full)
}

// await waits for new entries, or for something else to do.
func (d *dispatcher) await(ctx context.Context, n int, full bool) (batch []*redisstreams.Delivery, err error) {
	wait := d.retries.untilNext()
	waitCtx, cancel := d.signal.begin(ctx, wait)
	defer cancel()
	switch {
	case full:
		backoff.Sleep(waitCtx, min(wait, time.Second))
	case d.inbox != nil:
		batch, err = d.inbox.poll(waitCtx, n, wait)
	default:
		batch, err = d.consumer.Poll(waitCtx, n, wait)
	}
	if err != nil || len(batch) == 0 {
		return nil, nothingUnless(ctx)
	}
	return d.due(ctx, batch)
}

func (d *dispatcher) retryNow(ids []string) { d.retries.add(ids, time.Now()) }

// again reads entries that this replica has in hand already.
func (d *dispatcher) again(
	ctx context.Context, ids []string, read func(context.Context, []string) ([]*redisstreams.Delivery, error), putBack func([]string),
) ([]*redisstreams.Delivery, error) {
	batch, err := read(ctx, ids)
	if err != nil {
		if !d.down && ctx.Err() == nil {
			d.log.Warn("cannot read events again for their next attempt, trying again", "err", err)
		}
		d.down = true
		putBack(without(ids, batch))
		if len(batch) > 0 {
			return batch, nil // what came before the error
		}
		backoff.Sleep(ctx, backoff.Jitter(rereadPause))
		return nil, nothingUnless(ctx)
	}
	d.down = false
	d.recorder.release(without(ids, batch))
	if d.keys != nil {
		for _, id := range without(ids, batch) { // trimmed, or taken over by another replica: the next of their keys goes on
			d.keys.leave(id)
		}
	}
	return batch, nil
}

// without returns the ids that were not read.
func without(ids []string, read []*redisstreams.Delivery) (missing []string) {
	given := make(map[string]bool, len(read))
	for _, one := range read {
		given[one.ID] = true
	}
	for _, id := range ids {
		if !given[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

// prepare decodes and filters. It reports false when the entry is finished with, waits for its next attempt, or waits
// for others of its key.
func (d *dispatcher) prepare(ctx context.Context, entry *redisstreams.Delivery) (job, bool) {
	entry.Attempt = d.recorder.attempt(entry)
	if !d.filter.MayMatch(&entry.Entry) {
		d.finish(entry, d.figures.filtered)
		return job{}, false
	}
	event, err := entry.Event()
	opaque := errors.Is(err, redisstreams.ErrUnknownFormat)
	if err == nil {
		err = event.Validate()
	}
	switch {
	case opaque && len(d.config.Filters) == 0: // passed on as it is; filters cannot be applied to it
	case err != nil:
		d.worker.dead.rejectMalformed(ctx, entry, err)
		return job{}, false
	case !d.matches(&event, entry.ID):
		d.finish(entry, d.figures.filtered)
		return job{}, false
	}
	if d.keys != nil && !d.keys.contains(entry.ID) && !d.keys.enter(entry.ID, keyOf(entry.ID, &event)) {
		return job{}, false
	}
	item := sink.Item{Event: event, Stream: entry.Stream, Entry: entry.ID, Consumer: d.consumer.Name()}
	return job{Item: item, delivery: entry}, true
}

// matches applies the filters. An expression that cannot be evaluated on the event is false, and counted.
func (d *dispatcher) matches(event *rawevent.Event, entry string) bool {
	ok, err := d.filter.Matches(event, entry)
	if err != nil {
		d.metrics.filterErrors.WithLabelValues(d.config.Name).Inc()
		d.log.Debug("a filter expression cannot be evaluated on an event, and counts as false", "entry_id", entry, "passes", ok,
			"err", err)
	}
	return ok
}

// keyOf returns the key of an event. One without a key has a queue of its own.
func keyOf(entry string, event *rawevent.Event) string {
	if key, found := event.Attribute("partitionkey"); found && key != "" {
		return "p" + key
	}
	if subject := event.Subject(); subject != "" {
		return "s" + subject
	}
	return "e" + entry
}
