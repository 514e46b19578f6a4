package gateway

import "sync"

// lanes keep events of one key apart in time: one of a key is in work or waits for its next attempt, and the later ones
// wait behind it, in the order in which they entered, as ids only.
type lanes struct {
	mu      sync.Mutex
	byKey   map[string]*lane
	keys    map[string]string // of the entries that are in a lane
	ready   []string          // entries that have come to the head of their lane, and were never tried
	waiting int
}

type lane struct {
	head   string
	behind []string
}

func newLanes() *lanes {
	return &lanes{byKey: map[string]*lane{}, keys: map[string]string{}}
}

// enter puts an entry into its lane. It returns true if the entry is at the head, so that it may be delivered now.
func (l *lanes) enter(id, key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.keys[id] = key
	if with := l.byKey[key]; with != nil {
		with.behind = append(with.behind, id)
		l.waiting++
		return false
	}
	l.byKey[key] = &lane{head: id}
	return true
}

// knows reports whether an entry is in a lane.
func (l *lanes) knows(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, found := l.keys[id]
	return found
}

// leave takes an entry out: it is done with, or no longer this replica's. The next of its lane becomes ready.
func (l *lanes) leave(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	key, found := l.keys[id]
	if !found {
		return
	}
	delete(l.keys, id)
	with := l.byKey[key]
	if with.head != id {
		for i, other := range with.behind {
			if other == id {
				with.behind = append(with.behind[:i:i], with.behind[i+1:]...)
				l.waiting--
			}
		}
		return
	}
	if len(with.behind) == 0 {
		delete(l.byKey, key)
		return
	}
	with.head, with.behind = with.behind[0], with.behind[1:]
	l.waiting--
	l.ready = append(l.ready, with.head)
}

// take removes and returns up to n entries that have come to the head of their lane.
func (l *lanes) take(n int) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	taken := l.ready[:min(n, len(l.ready)):min(n, len(l.ready))]
	if l.ready = l.ready[len(taken):]; len(l.ready) == 0 {
		l.ready = nil
	}
	return taken
}

// giveBack undoes take.
func (l *lanes) giveBack(ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ready = append(append([]string{}, ids...), l.ready...)
}

// len returns how many entries wait: behind another one, or for a worker.
func (l *lanes) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.waiting + len(l.ready)
}
