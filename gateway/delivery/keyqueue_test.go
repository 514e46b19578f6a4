package delivery

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestLanesKeepOrder: whatever enters, leaves, is taken and given back, in whatever order: of each key at most one is
// out, those of a key come out in the order in which they entered, nothing is lost, and nothing is kept in the end.
func TestLanesKeepOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := &keyQueuesModel{queues: newKeyQueues(), entered: map[string][]string{}, out: map[string]string{}, done: map[string][]string{}}
		t.Repeat(map[string]func(*rapid.T){
			"enter": m.enter, "take": m.take, "finish": m.finish, "giveBack": m.giveBack, "lose": m.lose, "": m.check,
		})
		m.drain(t)
	})
}

// keyQueuesModel is what is true of key queues, written down without regard to cost.
type keyQueuesModel struct {
	queues  *keyQueues
	n       int
	entered map[string][]string // by key, what has not been lost
	out     map[string]string   // by key, what is in work
	done    map[string][]string
	lost    []string
}

func key(id string) string { return id[:1] }

func (m *keyQueuesModel) send(t *rapid.T, id string) {
	if other := m.out[key(id)]; other != "" {
		t.Fatalf("%s is out beside %s", id, other)
	}
	m.out[key(id)] = id
}

func (m *keyQueuesModel) enter(t *rapid.T) {
	id := fmt.Sprintf("%s-%d", rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key"), m.n)
	m.n++
	m.entered[key(id)] = append(m.entered[key(id)], id)
	if m.queues.enter(id, key(id)) {
		m.send(t, id)
	}
	if !m.queues.contains(id) {
		t.Fatalf("%s has entered and is not known", id)
	}
}

func (m *keyQueuesModel) take(t *rapid.T) {
	n := rapid.IntRange(0, 3).Draw(t, "n")
	ids := m.queues.take(n)
	if len(ids) > n {
		t.Fatalf("took %d of %d", len(ids), n)
	}
	for _, id := range ids {
		m.send(t, id)
	}
}

func (m *keyQueuesModel) giveBack(t *rapid.T) {
	ids := m.queues.take(rapid.IntRange(0, 3).Draw(t, "n"))
	before := m.queues.len()
	m.queues.giveBack(ids)
	if after := m.queues.len(); after != before+len(ids) {
		t.Fatalf("%d wait after %d were given back to %d", after, len(ids), before)
	}
}

func (m *keyQueuesModel) finish(t *rapid.T) {
	for _, k := range []string{"a", "b", "c"} {
		if id := m.out[k]; id != "" && rapid.Bool().Draw(t, "done "+k) {
			delete(m.out, k)
			m.done[k] = append(m.done[k], id)
			m.queues.leave(id)
			if m.queues.contains(id) {
				t.Fatalf("%s is done and still known", id)
			}
		}
	}
}

// lose takes out an entry that waits behind others: it was trimmed, or taken over.
func (m *keyQueuesModel) lose(t *rapid.T) {
	k := rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "key")
	if at := len(m.entered[k]) - 1; at > len(m.done[k])+1 {
		m.lost = append(m.lost, m.entered[k][at])
		m.queues.leave(m.entered[k][at])
		m.entered[k] = m.entered[k][:at]
	}
	m.queues.leave("nobody")
}

func (m *keyQueuesModel) check(t *rapid.T) {
	waiting := -len(m.out)
	for k, ids := range m.entered {
		waiting += len(ids) - len(m.done[k])
		if !slices.Equal(m.done[k], ids[:len(m.done[k])]) {
			t.Fatalf("done %v of %v", m.done[k], ids)
		}
	}
	if n := m.queues.len(); n != waiting {
		t.Fatalf("%d wait, want %d", n, waiting)
	}
}

// drain delivers what is left.
func (m *keyQueuesModel) drain(t *rapid.T) {
	for range m.n + 1 {
		for k, id := range m.out {
			delete(m.out, k)
			m.done[k] = append(m.done[k], id)
			m.queues.leave(id)
		}
		for _, id := range m.queues.take(m.n) {
			m.send(t, id)
		}
	}
	m.check(t)
	for k, ids := range m.entered {
		if !slices.Equal(m.done[k], ids) {
			t.Fatalf("done %v of %v", m.done[k], ids)
		}
	}
	if l := m.queues; len(l.byKey)+len(l.keys)+len(l.ready)+l.waiting != 0 || l.ready != nil {
		t.Fatalf("something is kept: %+v", l)
	}
}
