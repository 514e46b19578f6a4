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
	maxQueued       = 16_384  // callers that may be queued
	maxPipelines    = 2       // pipelines in flight at once
	addTimeout      = 900 * time.Millisecond
	durableTimeout  = 5 * time.Second // what WAIT and WAITAOF wait, or less where the client's ReadTimeout is shorter
)

// write is what one caller wants written: one event, or several that are written all or none.
type write struct {
	items  []item
	atomic bool

	ids  []string
	err  error
	wake chan bool // true: send the batch in lead; false: the result is set
	lead []*write  // the batch to send, if wake is true

	one   [1]item // the memory of items, and of ids below, for a single event
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

// write has w written, by this goroutine or another one.
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
		if <-w.wake { // it is already in a batch, perhaps at its head
			s.flush(ctx, w.lead)
		}
	}
	return w.err
}

// withdraw removes w from the queue; false means that it is already in a batch.
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

// flush writes a batch, hands the pipeline to the first queued caller, and wakes the other callers of the batch. The
// context of the caller does not end the write, because other callers depend on it.
func (s *Sender) flush(ctx context.Context, batch []*write) {
	timeout := addTimeout
	timeout += time.Duration(s.kindsOfDurability()) * s.patience
	sendCtx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
	defer cancel()
	sent := false
	defer func() {
		if !sent { // a hook of the client panicked: the other callers must neither wait for ever nor see success
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

// pass starts the next batch, and lets the callers of this one return.
func (s *Sender) pass(batch []*write) {
	s.mu.Lock()
	var failed []*write
	if err := batch[len(batch)-1].err; err != nil && !answered(err) {
		// Redis does not answer. Queued callers have sent nothing, and would find out only one timeout later.
		failed, s.queue = s.queue, nil
		for _, w := range failed {
			w.err = err
		}
		s.fsyncBy = fsyncUnknown // another server may answer next
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

// answered reports whether err shows that Redis answers.
func answered(err error) bool {
	return IsReply(err) || errors.Is(err, ErrNotDurable) || errors.Is(err, ErrUnsupported)
}

// take removes the next batch from the queue. A write of several events forms a batch of its own.
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
