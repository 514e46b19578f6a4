package redisstreams

import (
	"context"
	"errors"
	"time"
)

// Bounds of the group commit.
const (
	maxBatchEntries = 256     // entries of one pipeline
	maxBatchBytes   = 1 << 20 // bytes of one pipeline; a single larger event still goes, alone
	maxQueued       = 16_384  // callers that wait for a pipeline to become free
	maxPipelines    = 2       // pipelines in flight at once
	addTimeout      = 900 * time.Millisecond
	durableTimeout  = 5 * time.Second // what WAIT and WAITAOF wait, or less where the client's ReadTimeout is shorter
)

// write is what one caller wants written: one event, or several that go all or none.
type write struct {
	items  []item
	atomic bool

	ids  []string
	err  error
	wake chan bool // true: lead the batch; false: the result is there
	lead []*write  // the batch to lead

	one   [1]item // what items and ids point to where it is one event
	oneID [1]string
}

func (w *write) setID(i int, id string) {
	if w.ids == nil {
		if w.ids = w.oneID[:]; len(w.items) > 1 {
			w.ids = make([]string, len(w.items))
		}
	}
	w.ids[i] = id
}

// write gets w written, by this goroutine or another one.
func (s *Sender) write(ctx context.Context, w *write) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	if s.inFlight < maxPipelines {
		s.inFlight++
		s.mu.Unlock()
		s.flush(ctx, []*write{w})
		return w.err
	}
	if len(s.queue) >= maxQueued {
		s.mu.Unlock()
		return ErrBusy
	}
	w.wake = make(chan bool, 1)
	s.queue = append(s.queue, w)
	s.mu.Unlock()

	select {
	case lead := <-w.wake:
		if lead {
			s.flush(ctx, w.lead)
		}
	case <-ctx.Done():
		if s.withdraw(w) {
			return ctx.Err()
		}
		if <-w.wake { // it is in a batch already, and perhaps the one that others wait for
			s.flush(ctx, w.lead)
		}
	}
	return w.err
}

// withdraw takes w out of the queue; false means that somebody has taken it already.
func (s *Sender) withdraw(w *write) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, queued := range s.queue {
		if queued == w {
			s.queue = append(s.queue[:i], s.queue[i+1:]...)
			return true
		}
	}
	return false
}

// flush writes a batch, hands the pipeline to the first who waits, and wakes the others of the batch. The caller's
// context does not end the write: others depend on it.
func (s *Sender) flush(ctx context.Context, batch []*write) {
	timeout := addTimeout
	timeout += time.Duration(s.kindsOfDurability()) * s.patience
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	sent := false
	defer func() {
		if !sent { // a hook of the client panics: whoever waits must not wait for ever, nor believe that all is well
			for _, w := range batch {
				w.err = errPanicked
			}
		}
		s.pass(batch)
	}()
	s.send(sendCtx, batch)
	sent = true
}

var errPanicked = errors.New("redisstreams: the Redis client panicked while the event was sent")

// pass lets the next batch begin, and those of this one return.
func (s *Sender) pass(batch []*write) {
	s.mu.Lock()
	var failed []*write
	if err := batch[len(batch)-1].err; err != nil && !answered(err) {
		// Redis does not answer. Who waits has sent nothing yet, and would only find out one timeout later.
		failed, s.queue = s.queue, nil
		for _, w := range failed {
			w.err = err
		}
		s.fsyncBy = fsyncUnknown // it may be another server that answers next
	}
	if next := s.take(); next != nil {
		next[0].lead = next
		next[0].wake <- true
	} else {
		s.inFlight--
	}
	s.mu.Unlock()

	for _, w := range append(failed, batch[1:]...) {
		w.wake <- false
	}
}

// answered reports whether err came of a Redis that answers.
func answered(err error) bool {
	return IsReply(err) || errors.Is(err, ErrNotDurable) || errors.Is(err, ErrUnsupported)
}

// take removes the next batch from the queue: writes that go all or none go alone.
func (s *Sender) take() []*write {
	n, bytes := 0, 0
	for _, w := range s.queue {
		if n == maxBatchEntries || n > 0 && (w.atomic || bytes+size(w.items[0].args) > maxBatchBytes) {
			break
		}
		n++
		if w.atomic {
			break
		}
		bytes += size(w.items[0].args)
	}
	if n == 0 {
		return nil
	}
	batch := make([]*write, n)
	copy(batch, s.queue)
	clear(s.queue[:n])
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil
	}
	return batch
}

func size(args []any) int {
	n := 0
	for _, arg := range args {
		switch v := arg.(type) {
		case string:
			n += len(v)
		case *string:
			n += len(*v)
		case []byte:
			n += len(v)
		}
	}
	return n
}
