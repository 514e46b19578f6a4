package redisstreams

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	maxAckBatch = 1000             // ids of one XACK
	ackPause    = time.Millisecond // between XACKs, so that entries acknowledged one by one share them
)

// acknowledger sends XACKs in batches. It owns the queue of finished entries and its lock, under which it calls nothing
// else. The number of entries handed out bounds the queue.
//
// A kill -9 loses the queue: its entries are still pending, and are delivered again when their lease ends. A kill
// between the XACK and its reply loses nothing. An entry is never acknowledged before its handler has finished it.
type acknowledger struct {
	*member
	hub    *Hub // nil: XACK goes through the client
	leases *leases

	mu     sync.Mutex
	queue  []string      // finished entries whose XACK has not been answered yet
	queued chan struct{} // capacity 1: the queue is not empty
}

func newAcknowledger(m *member, hub *Hub, l *leases) *acknowledger {
	return &acknowledger{member: m, hub: hub, leases: l, queued: make(chan struct{}, 1)}
}

// add queues the acknowledgement of an entry.
func (a *acknowledger) add(id string) {
	a.mu.Lock()
	a.queue = append(a.queue, id)
	a.mu.Unlock()
	select {
	case a.queued <- struct{}{}:
	default:
	}
}

// waiting returns the ids that are queued.
func (a *acknowledger) waiting() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.queue)
}

// send sends acknowledgements as they are queued, until ctx ends; then it sends the rest, if Redis answers.
func (a *acknowledger) send(ctx context.Context) {
	pauses := outageBackoff()
	for {
		select {
		case <-ctx.Done():
			a.sendRest(ctx)
			return
		case <-a.queued:
		}
		pauses.retry(ctx, a.flush, func(err error) {
			a.log.Warn("cannot acknowledge entries, trying again", "err", err)
		})
		sleep(ctx, ackPause)
	}
}

func (a *acknowledger) sendRest(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commandTimeout)
	defer cancel()
	if err := a.flush(ctx); err != nil {
		a.log.Warn("cannot acknowledge finished entries; they will be delivered again", "entries", len(a.waiting()), "err", err)
	}
}

// flush sends everything that is queued. An entry leaves the queue, and its lease ends, only when Redis has answered.
func (a *acknowledger) flush(ctx context.Context) error {
	for {
		a.mu.Lock()
		ids := slices.Clone(a.queue[:min(len(a.queue), maxAckBatch)])
		a.mu.Unlock()
		if len(ids) == 0 {
			return nil
		}
		if err := a.xack(ctx, ids); err != nil {
			return err
		}
		a.leases.remove(ids...) // before they leave the queue: see groupCreator.restore
		a.mu.Lock()
		if a.queue = a.queue[len(ids):]; len(a.queue) == 0 {
			a.queue = nil
		}
		a.mu.Unlock()
	}
}

func (a *acknowledger) xack(ctx context.Context, ids []string) error {
	ctx, cancel := context.WithTimeout(ctx, commandTimeout)
	defer cancel()
	if a.hub == nil {
		return a.client.XAck(ctx, a.stream, a.group, ids...).Err()
	}
	args := append(make([]any, 0, 3+len(ids)), "xack", a.stream, a.group)
	for i := range ids {
		args = append(args, &ids[i])
	}
	cmd := redis.NewIntCmd(ctx, args...)
	a.hub.process(once{cmd}, 0)
	return cmd.Err()
}
