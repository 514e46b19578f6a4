package delivery

import (
	"sync"
)

// keyQueues keep events of one key apart in time: one of a key is in work or waits for its next attempt, and the later
// ones wait behind it, in the order in which they entered, as ids only.
type keyQueues struct {
	mu      sync.Mutex
	byKey   map[string]*keyQueue
	keys    map[string]string // of the entries that are in a queue
	ready   []string          // entries that have come to the head of their queue, and were never tried
	waiting int
}

type keyQueue struct {
	head   string
	behind []string
}

func newKeyQueues() *keyQueues {
	return &keyQueues{byKey: map[string]*keyQueue{}, keys: map[string]string{}}
}

// enter puts an entry into the queue of its key. It returns true if the entry is at the head, so that it may be
// delivered now.
func (q *keyQueues) enter(id, key string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.keys[id] = key
	if with := q.byKey[key]; with != nil {
		with.behind = append(with.behind, id)
		q.waiting++
		return false
	}
	q.byKey[key] = &keyQueue{head: id}
	return true
}

// contains reports whether an entry is in a queue.
func (q *keyQueues) contains(id string) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, found := q.keys[id]
	return found
}

// leave takes an entry out: it is done with, or no longer this replica's. The next of its queue becomes ready.
func (q *keyQueues) leave(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	key, found := q.keys[id]
	if !found {
		return
	}
	delete(q.keys, id)
	with := q.byKey[key]
	if with.head != id {
		for i, other := range with.behind {
			if other == id {
				with.behind = append(with.behind[:i:i], with.behind[i+1:]...)
				q.waiting--
			}
		}
		return
	}
	if len(with.behind) == 0 {
		delete(q.byKey, key)
		return
	}
	with.head, with.behind = with.behind[0], with.behind[1:]
	q.waiting--
	q.ready = append(q.ready, with.head)
}

// take removes and returns up to n entries that have come to the head of their queue.
func (q *keyQueues) take(n int) []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	taken := q.ready[:min(n, len(q.ready)):min(n, len(q.ready))]
	if q.ready = q.ready[len(taken):]; len(q.ready) == 0 {
		q.ready = nil
	}
	return taken
}

// giveBack undoes take.
func (q *keyQueues) giveBack(ids []string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.ready = append(append([]string{}, ids...), q.ready...)
}

// len returns how many entries wait: behind another one, or for a worker.
func (q *keyQueues) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.waiting + len(q.ready)
}
