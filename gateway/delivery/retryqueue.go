package delivery

import (
	"container/heap"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/streamgate/streamgate/gateway/sink"
)

// delay returns the time until the next attempt, where attempt counts from 1: at random between 0 and what the policy
// says (full jitter, as in Brooker, "Exponential Backoff And Jitter", 2015), so that events that failed together do not
// come back together. A sink's Retry-After is honoured where it asks for more.
func (c *Spec) delay(attempt int, retryAfter time.Duration) time.Duration {
	return max(rand.N(max(c.policyDelay(attempt), 1)), retryAfter)
}

// longestDelay returns the longest delay that this specification permits after so many attempts. A delay that was drawn
// under another one, or by a clock that was set back since, is brought forward to it.
func (c *Spec) longestDelay(attempts int, asked bool) time.Duration {
	longest := max(c.policyDelay(max(attempts, 1)), time.Second)
	if asked {
		longest = max(longest, c.RetryAfterMax.Std())
	}
	return longest
}

// policyDelay returns what the policy says.
func (c *Spec) policyDelay(attempt int) time.Duration {
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
	return min(backoff, bound)
}

// retryQueue holds the ids of entries that wait for their next attempt, by the time at which it is due. It is safe for
// concurrent use.
type retryQueue struct {
	mu     sync.Mutex
	heap   retryHeap
	failed map[string]sink.Outcome // of entries whose dead letter could not be stored
}

type retryEntry struct {
	id    string
	at    time.Time
	asked bool // the sink asked for the delay: it must not be cut short
}

func newRetryQueue() *retryQueue { return &retryQueue{failed: map[string]sink.Outcome{}} }

// add puts entries into the queue. It sets no limit: what was read before the queue was full still has to go somewhere,
// and that is no more than there are workers.
func (q *retryQueue) add(ids []string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, id := range ids {
		heap.Push(&q.heap, retryEntry{id: id, at: at})
	}
}

// addAsked puts an entry into the queue whose delay the sink asked for.
func (q *retryQueue) addAsked(id string, at time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	heap.Push(&q.heap, retryEntry{id: id, at: at, asked: true})
}

// addFailed puts an entry into the queue whose delivery has failed for good, with its outcome.
func (q *retryQueue) addFailed(id string, o *sink.Outcome, at time.Time) {
	q.add([]string{id}, at)
	q.mu.Lock()
	defer q.mu.Unlock()
	q.failed[id] = *o
}

// takeVerdict removes and returns the outcome with which an entry was added by addFailed.
func (q *retryQueue) takeVerdict(id string) (sink.Outcome, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	o, found := q.failed[id]
	delete(q.failed, id)
	return o, found
}

// due removes and returns up to n entries whose time has come.
func (q *retryQueue) due(n int) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var ids []string
	for now := time.Now(); len(ids) < n && len(q.heap) > 0 && !q.heap[0].at.After(now); {
		ids = append(ids, heap.Pop(&q.heap).(retryEntry).id) //nolint:forcetypeassert // the heap holds nothing else
	}
	return ids
}

// untilNext returns the time until an entry is due, an hour if there is none.
func (q *retryQueue) untilNext() time.Duration {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.heap) == 0 {
		return time.Hour
	}
	return max(time.Until(q.heap[0].at), 0)
}

// soonest removes and returns the entry that is due next, even before its time unless the sink asked for that, or "".
func (q *retryQueue) soonest() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.heap) == 0 || q.heap[0].asked && q.heap[0].at.After(time.Now()) {
		return ""
	}
	return heap.Pop(&q.heap).(retryEntry).id //nolint:forcetypeassert // see due
}

func (q *retryQueue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.heap)
}

type retryHeap []retryEntry

func (h retryHeap) Len() int { return len(h) }

func (h retryHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

func (h retryHeap) Swap(i, j int) { h[i], h[j] = h[j], h[i] }

func (h *retryHeap) Push(x any) { *h = append(*h, x.(retryEntry)) } //nolint:forcetypeassert // see due

func (h *retryHeap) Pop() any {
	last := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return last
}
