package gateway

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/streamgate/streamgate/protocol/rawevent"
	"github.com/streamgate/streamgate/protocol/redisstreams"
)

// session is what a replica has in hand of a subscription. Its parts:
//
//   - the dispatcher reads no more entries than there are free workers, and drops what the filters do not let through,
//   - the workers deliver,
//   - the parking lot holds the ids of events that wait for their next attempt: they stay leased, and hold neither a
//     worker nor their bytes,
//   - with order byKey, the lanes hold the ids of events that wait for others of their key.
//
// An entry is acknowledged after the sink has it, after its dead letter is stored, or when the filters do not match.
type session struct {
	*subscription
	consumer *redisstreams.Consumer
	sink     sink
	parking  *parkingLot
	lanes    *lanes       // nil without order
	inbox    *inboxReader // nil if it reads the stream
	waker    waker

	jobs  chan *job     // to workers that are idle
	slots chan struct{} // one token for every worker that is busy or about to be
	down  bool          // only for the dispatcher: an error of reading again was logged

	backlog      bool         // only for the dispatcher: the last read brought all that was asked for
	deliveryTime atomic.Int64 // of late, in ns
}

// rereadPause is the time between two tries to read entries again while Redis does not answer.
const rereadPause = time.Second

type job struct {
	delivery *redisstreams.Delivery
	event    rawevent.Event
	probe    bool // it is to tell whether the sink is back
}

func (s *subscription) session(consumer *redisstreams.Consumer, l *lanes) *session {
	to, err := s.newSink(consumer)
	if err != nil {
		panic(err) // newSubscription has made the same one
	}
	return &session{
		subscription: s, consumer: consumer, sink: to, parking: newParkingLot(s.config.MaxParked), lanes: l,
		jobs: make(chan *job), slots: make(chan struct{}, s.config.workers()),
	}
}

// run reads until readCtx ends, finishes what is in work until workCtx ends, and gives up the rest.
func (s *session) run(readCtx, workCtx context.Context) {
	consumeCtx, stopConsumer := context.WithCancel(context.WithoutCancel(workCtx))
	var consumer, workers sync.WaitGroup
	consumer.Go(func() { _ = s.consumer.Run(consumeCtx) }) // it returns nil
	start := func(j *job) { workers.Go(func() { s.worker(workCtx, j) }) }
	if s.lanes == nil || s.takePending(readCtx) {
		s.dispatch(readCtx, start)
	}
	close(s.jobs)
	if to, ok := s.sink.(*batchSink); ok {
		to.finish()
	}
	workers.Wait()
	stopConsumer()
	consumer.Wait()
	s.sink.close()
	s.gauge()
}

// workerIdle is how long a worker waits for its next job. Workers are started when there is work, so that a subscription
// without any costs next to nothing.
const workerIdle = time.Second

// worker does a job and then others, until there are none for a while.
func (s *session) worker(ctx context.Context, j *job) {
	idle := time.NewTimer(workerIdle)
	defer idle.Stop()
	for {
		s.work(ctx, j)
		<-s.slots
		idle.Reset(workerIdle)
		var more bool
		select {
		case j, more = <-s.jobs:
			if !more {
				return
			}
		case <-idle.C:
			return
		}
	}
}

// takePending puts what is pending into the lanes, before anything new is read: whoever read it is not there any more. It
// returns false if ctx ends before that has succeeded.
func (s *session) takePending(ctx context.Context) bool {
	for backoff := 50 * time.Millisecond; ; backoff = min(2*backoff, time.Second) {
		err := s.consumer.TakeAll(ctx, func(batch []*redisstreams.Delivery) {
			for _, d := range batch {
				event, _ := d.Event() // what is no event has no key, and is found out when its turn comes
				if s.lanes.enter(d.ID, laneOf(d.ID, &event)) {
					s.parking.park([]string{d.ID}, time.Now()) // it may have been tried: its next attempt is due
				}
			}
		})
		if err == nil {
			return true
		}
		if backoff == 50*time.Millisecond && ctx.Err() == nil {
			s.log.Warn("cannot read what is pending, trying again", "err", err)
		}
		if !Sleep(ctx, backoff/2+rand.N(backoff/2)) {
			return false
		}
	}
}

// dispatch hands entries to free workers until ctx ends.
func (s *session) dispatch(ctx context.Context, start func(*job)) {
	for {
		free := s.freeSlots(ctx)
		if free == 0 {
			return
		}
		jobs, err := s.next(ctx, free)
		s.backlog = len(jobs) == free
		for i := range jobs {
			select {
			case s.jobs <- &jobs[i]:
			default: // nobody is idle
				start(&jobs[i])
			}
		}
		for range free - len(jobs) {
			<-s.slots
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
func (s *session) freeSlots(ctx context.Context) int {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return 0
	}
	n := 1
	if patience := min(time.Duration(s.deliveryTime.Load())/8, gatherTime); s.backlog && patience > 0 {
		n += s.gather(ctx, patience)
	}
	for ; ; n++ {
		select {
		case s.slots <- struct{}{}:
		default:
			return n
		}
	}
}

// gather takes slots as they become free, until a quarter of the workers is, or the time is over.
func (s *session) gather(ctx context.Context, d time.Duration) (n int) {
	over := time.NewTimer(d)
	defer over.Stop()
	for ; n < cap(s.slots)/4; n++ {
		select {
		case s.slots <- struct{}{}:
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
func (s *session) next(ctx context.Context, n int) ([]job, error) {
	n, probe, wait := s.circuit.admit(n)
	if n == 0 {
		Sleep(ctx, min(wait, time.Second))
		return nil, nothingUnless(ctx)
	}
	if n = s.limited(ctx, n); n == 0 {
		if probe {
			s.circuit.release()
		}
		return nil, nothingUnless(ctx)
	}
	batch, err := s.entries(ctx, n, probe)
	jobs := make([]job, 0, len(batch))
	for _, d := range batch {
		if j, ok := s.prepare(ctx, d); ok {
			j.probe = probe
			jobs = append(jobs, j)
		}
	}
	if probe && len(jobs) == 0 {
		s.circuit.release()
	}
	if s.limiter != nil {
		s.limiter.ReserveN(time.Now(), len(jobs)) // below zero where the inbox has taken some meanwhile
	}
	s.gauge()
	return jobs, err
}

func nothingUnless(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return errNothingNow
}

// limited waits until the rate limit lets one delivery begin, and returns how many up to n it lets begin at once. It takes
// nothing from the limit: that is done when it is known how many there are to begin.
func (s *session) limited(ctx context.Context, n int) int {
	if s.limiter == nil {
		return n
	}
	for {
		tokens := s.limiter.Tokens()
		if tokens >= 1 {
			return min(n, int(tokens))
		}
		if !Sleep(ctx, max(time.Duration((1-tokens)/float64(s.limiter.Limit())*float64(time.Second)), time.Millisecond)) {
			return 0
		}
	}
}

// entries returns up to n entries: those whose next attempt is due, those whose turn it is in their lane, else new ones.
func (s *session) entries(ctx context.Context, n int, probe bool) ([]*redisstreams.Delivery, error) {
	s.waker.look()
	full := s.isFull()
	if probe && !full { // it may be those that were tried before that cannot be delivered, and not the sink's fault
		if batch, err := s.consumer.Poll(ctx, 1, time.Millisecond); err != nil || len(batch) > 0 {
			return batch, err
		}
	}
	if due := s.parking.due(n); len(due) > 0 {
		return s.again(ctx, due, s.consumer.Redeliver, s.parkNow)
	}
	if s.lanes != nil {
		if ready := s.lanes.take(n); len(ready) > 0 {
			return s.again(ctx, ready, s.consumer.Reread, s.lanes.giveBack)
		}
	}
	if probe { // before its time: the pause of the circuit is over
		if id := s.parking.soonest(); id != "" {
			return s.again(ctx, []string{id}, s.consumer.Redeliver, s.parkNow)
		}
	}
	return s.await(ctx, n, full)
}

// await waits for new entries, or for something else to do.
func (s *session) await(ctx context.Context, n int, full bool) (batch []*redisstreams.Delivery, err error) {
	wait := s.parking.untilNext()
	waitCtx, cancel := s.waker.begin(ctx, wait)
	defer cancel()
	switch {
	case full:
		Sleep(waitCtx, min(wait, time.Second))
	case s.inbox != nil:
		batch, err = s.pollInbox(waitCtx, n, wait)
	default:
		batch, err = s.consumer.Poll(waitCtx, n, wait)
	}
	if err != nil || len(batch) == 0 {
		return nil, nothingUnless(ctx)
	}
	return batch, nil
}

func (s *session) parkNow(ids []string) { s.parking.park(ids, time.Now()) }

// again reads entries that this replica has in hand already.
func (s *session) again(
	ctx context.Context, ids []string, read func(context.Context, []string) ([]*redisstreams.Delivery, error), putBack func([]string),
) ([]*redisstreams.Delivery, error) {
	batch, err := read(ctx, ids)
	if err != nil {
		if !s.down && ctx.Err() == nil {
			s.log.Warn("cannot read events again for their next attempt, trying again", "err", err)
		}
		s.down = true
		putBack(without(ids, batch))
		if len(batch) > 0 {
			return batch, nil // what came before the error
		}
		Sleep(ctx, rereadPause/2+rand.N(rereadPause/2))
		return nil, nothingUnless(ctx)
	}
	s.down = false
	if s.lanes != nil {
		for _, id := range without(ids, batch) { // trimmed, or taken over by somebody else: the next of their keys goes on
			s.lanes.leave(id)
		}
	}
	return batch, nil
}

// without returns the ids that were not read.
func without(ids []string, read []*redisstreams.Delivery) (missing []string) {
	given := make(map[string]bool, len(read))
	for _, d := range read {
		given[d.ID] = true
	}
	for _, id := range ids {
		if !given[id] {
			missing = append(missing, id)
		}
	}
	return missing
}

func (s *session) isFull() bool {
	waiting := s.parking.len()
	if s.lanes != nil {
		waiting += s.lanes.len()
	}
	return waiting >= s.config.MaxParked
}

func (s *session) gauge() {
	if s.inbox != nil {
		return // the metrics are those of the stream
	}
	s.figures.parked.Set(float64(s.parking.len()))
	if s.lanes != nil {
		s.figures.heldBack.Set(float64(s.lanes.len()))
	}
}

// laneOf returns the key of an event. One without a key has a lane of its own.
func laneOf(entry string, event *rawevent.Event) string {
	if key, found := event.Attribute("partitionkey"); found && key != "" {
		return "p" + key
	}
	if subject := event.Subject(); subject != "" {
		return "s" + subject
	}
	return "e" + entry
}
