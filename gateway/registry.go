package gateway

import (
	"slices"
	"sync"

	"github.com/streamgate/streamgate/gateway/delivery"
	"github.com/streamgate/streamgate/gateway/stream"
)

// registry lists the subscriptions of this replica: those of the configuration, and those that come and go while it
// runs. It is safe for concurrent use.
type registry struct {
	mu      sync.RWMutex
	members []*delivery.Subscription
}

// list returns those that there are at the moment.
func (r *registry) list() []*delivery.Subscription {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.members)
}

// of returns those that read the stream.
func (r *registry) of(stream string) (found []*delivery.Subscription) {
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
func (r *registry) readers(streamName string) []stream.Reader {
	var list []stream.Reader
	for _, s := range r.of(streamName) {
		list = append(list, stream.Reader{Name: s.Config().Name, Forget: s.Config().Forget})
	}
	return list
}

func (r *registry) add(s *delivery.Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = append(r.members, s)
}

func (r *registry) remove(s *delivery.Subscription) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.members = slices.DeleteFunc(r.members, func(m *delivery.Subscription) bool { return m == s })
}
