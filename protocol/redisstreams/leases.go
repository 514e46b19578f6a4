package redisstreams

import (
	"slices"
	"sync"
	"time"
)

// leases lists the entries in work: handed out, and neither released nor known to Redis as acknowledged. The heartbeat
// renews exactly these entries. It owns that list, the position up to which this member has read, and their lock, under
// which it calls nothing else.
//
// List and position change together: a group that is created again in between either knows an entry as in work, or is
// read again from before it. Both live in memory only. After a kill -9 the entries stay in the pending list of Redis,
// and other members take them over when their idle time exceeds the lease.
type leases struct {
	duration time.Duration

	mu      sync.Mutex
	entries map[string]lease
	renewed time.Time // when the last heartbeat began that covered all entries in work
	last    string    // the id of the last new entry that was read; "" before the group is known
}

// lease is what is known about an entry in work.
type lease struct {
	since    time.Time // when the entry was handed out; it may have been renewed since
	unlisted bool      // at the last heartbeat it was in no pending list
}

func newLeases(duration time.Duration) *leases {
	return &leases{duration: duration, entries: make(map[string]lease)}
}

// add begins or renews the lease of every delivery.
func (l *leases) add(batch []*Delivery) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range batch {
		l.entries[d.ID] = lease{since: now}
	}
}

// addNew is add for what a read brought. It advances the position, and returns the deliveries that were not in work
// before, in the memory of batch.
func (l *leases) addNew(batch []*Delivery) []*Delivery {
	now, added := time.Now(), batch[:0]
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range batch {
		if _, inWork := l.entries[d.ID]; !inWork {
			added = append(added, d)
		}
		l.entries[d.ID] = lease{since: now}
		if d.Attempt == 1 && CompareIDs(d.ID, l.last) > 0 {
			l.last = d.ID
		}
	}
	return added
}

// position returns the id of the last new entry that was read, "" before the group is known.
func (l *leases) position() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.last
}

// setPosition notes where the group begins or goes on.
func (l *leases) setPosition(id string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = id
}

// remove ends leases.
func (l *leases) remove(ids ...string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		delete(l.entries, id)
	}
}

// has reports whether the entry is in work here.
func (l *leases) has(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	_, ok := l.entries[id]
	return ok
}

// valid reports whether the entry is in work here and its lease has not expired.
func (l *leases) valid(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	entry, ok := l.entries[id]
	if l.renewed.After(entry.since) {
		entry.since = l.renewed
	}
	return ok && !entry.unlisted && time.Since(entry.since) < l.duration
}

func (l *leases) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.entries)
}

// ids returns the ids of all entries in work except the given ones.
func (l *leases) ids(except []string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := make([]string, 0, len(l.entries))
	for id := range l.entries {
		if !slices.Contains(except, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// noteRenewal notes that all entries in work were renewed by a heartbeat that began at that time.
func (l *leases) noteRenewal(began time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.renewed = began
}

// noteUnlisted notes which of the entries are in no pending list. Either another member has taken them over and
// finished them, or the group was created again and they have not been read or restored yet. They stay in work, so that
// reading them again does not hand them out twice, but their lease is not valid.
func (l *leases) noteUnlisted(ids, unlisted []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if entry, ok := l.entries[id]; ok {
			entry.unlisted = slices.Contains(unlisted, id)
			l.entries[id] = entry
		}
	}
}
