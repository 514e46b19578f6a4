package gateway

import (
	"slices"
	"sync"
)

// registry lists the subscriptions of this replica: those of the configuration, and those that come and go while it runs. It
// is safe for concurrent use.
type registry struct {
	mu      sync.RWMutex
	members []*Subscription
}

// list returns those that there are at the moment.
func (r *registry) list() []*Subscription {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.members)
}

// of returns those that read the stream.
func (r *registry) of(stream string) (found []*Subscription) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.members {
		if s.Config().Stream == stream {
			found = append(found, s)
		}
	}
	return found
}

// readers returns those that read the stream, as its maintainer wants them.
func (r *registry) readers(stream string) []Reader {
	var list []Reader
	for _, s := range r.of(stream) {
		list = append(list, Reader{Name: s.Config().Name, Forget: s.Config().Forget})
	}
	return list
}

func (r *registry) add(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, s)
}

func (r *registry) remove(s *Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = slices.DeleteFunc(r.members, func(m *Subscription) bool { return m == s })
}
