package gateway

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"
)

const (
	maxParked  = 10_000          // events that wait for their next attempt; then no new ones are read
	maxBackoff = 5 * time.Minute // longest delay that the policy makes
)

// delay returns the time until the next attempt, where attempt counts from 1. The upper half of it is random, so that
// events that failed together do not come back together. A sink's Retry-After is honoured where it asks for more.
func (c *DeliveryConfig) delay(attempt int, retryAfter time.Duration) time.Duration {
	backoff := c.BackoffDelay.Std()
	if c.BackoffPolicy == "linear" {
		backoff *= time.Duration(attempt)
	} else {
		for range attempt - 1 {
			if backoff *= 2; backoff > maxBackoff {
				break
			}
		}
	}
	backoff = max(min(backoff, maxBackoff), 2)
	return max(backoff/2+rand.N(backoff/2), retryAfter)
}

// parkingLot holds the ids of entries that wait for their next attempt, by the time at which it is due.
type parkingLot struct {
	mu     sync.Mutex
	heap   parkedHeap
	doomed map[string]outcome // of parked entries whose dead letter could not be stored
}

type parkedEntry struct {
	id string
	at time.Time
}

func newParkingLot() *parkingLot { return &parkingLot{doomed: map[string]outcome{}} }

// park adds entries. Workers may exceed maxParked by their number: what was read before the lot was full still has to go
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

func (p *parkingLot) isFull() bool { return p.len() >= maxParked }

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
