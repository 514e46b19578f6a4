package delivery

import (
	"context"
	"sync"
	"time"
)

// signal lets workers cut the dispatcher's wait for new entries short when they leave it something to do: the next
// event of a key, or one whose next attempt is due before the wait would be over. Without it a key would advance once a
// wait.
type signal struct {
	mu    sync.Mutex
	early time.Time // when there is something to do of which the dispatcher does not know yet; zero for nothing
	until time.Time // when the wait is over
	end   context.CancelFunc
}

// clear forgets what was sent: the dispatcher is about to look for itself.
func (s *signal) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.early, s.end = time.Time{}, nil
}

// begin returns a context that ends when there is something to do within wait that has come up since clear.
func (s *signal) begin(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until, s.end = time.Now().Add(wait), cancel
	if !s.early.IsZero() && s.early.Before(s.until) {
		cancel()
	}
	return ctx, cancel
}

// send says that there is something to do at a time.
func (s *signal) send(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.early.IsZero() || at.Before(s.early) {
		s.early = at
	}
	if s.end != nil && at.Before(s.until) {
		s.end()
	}
}
