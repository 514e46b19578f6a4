package gateway

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

// delay returns the time until the next attempt, where attempt counts from 1: at random between 0 and what the policy says
// (full jitter, as in Brooker, "Exponential Backoff And Jitter", 2015), so that events that failed together do not come
// back together. A sink's Retry-After is honoured where it asks for more.
func (c *DeliveryConfig) delay(attempt int, retryAfter time.Duration) time.Duration {
	backoff, bound := c.BackoffDelay.Std(), c.MaxDelay.Std()
	if c.BackoffPolicy == "linear" {
		backoff = min(backoff, bound) * time.Duration(min(max(attempt, 1), 1_000_000))
	} else {
		for range attempt - 1 {
			if backoff *= 2; backoff > bound {
				break
			}
		}
	}
	return max(rand.N(max(min(backoff, bound), 1)), retryAfter)
}

// parkingLot holds the ids of entries that wait for their next attempt, by the time at which it is due.
type parkingLot struct {
	max    int // then no new entries are read
	mu     sync.Mutex
	heap   parkedHeap
	doomed map[string]outcome // of parked entries whose dead letter could not be stored
}

type parkedEntry struct {
	id string
	at time.Time
}

func newParkingLot(limit int) *parkingLot {
	return &parkingLot{max: limit, doomed: map[string]outcome{}}
}

// park adds entries. Workers may exceed the limit by their number: what was read before the lot was full still has to go
// somewhere.
func (p *parkingLot) park(ids []string, at time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		heap.Push(&p.heap, parkedEntry{id, at})
	}
}

// doom parks an entry whose delivery has failed for good.
func (p *parkingLot) doom(id string, o *outcome, at time.Time) {
	p.park([]string{id}, at)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.doomed[id] = *o
}

// verdict returns and forgets the outcome with which an entry was doomed.
func (p *parkingLot) verdict(id string) (outcome, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	o, found := p.doomed[id]
	delete(p.doomed, id)
	return o, found
}

// due removes and returns up to n entries whose time has come.
func (p *parkingLot) due(n int) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ids []string
	for now := time.Now(); len(ids) < n && len(p.heap) > 0 && !p.heap[0].at.After(now); {
		ids = append(ids, heap.Pop(&p.heap).(parkedEntry).id) //nolint:forcetypeassert // the heap holds nothing else
	}
	return ids
}

// untilNext returns the time until an entry is due, an hour if there is none.
func (p *parkingLot) untilNext() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.heap) == 0 {
		return time.Hour
	}
	return max(time.Until(p.heap[0].at), 0)
}

// soonest removes and returns the entry that is due next, whether or not its time has come, or "".
func (p *parkingLot) soonest() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.heap) == 0 {
		return ""
	}
	return heap.Pop(&p.heap).(parkedEntry).id //nolint:forcetypeassert // see due
}

func (p *parkingLot) len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.heap)
}

type parkedHeap []parkedEntry

func (h parkedHeap) Len() int           { return len(h) }
func (h parkedHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }
func (h parkedHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *parkedHeap) Push(x any)        { *h = append(*h, x.(parkedEntry)) } //nolint:forcetypeassert // see due
func (h *parkedHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
