package gateway

import (
	"context"
	"sync"
	"time"
)

// waker lets workers cut the dispatcher's wait for new entries short when they leave it something to do: the next event of
// a key, or one whose next attempt is due before the wait would be over. Without it a key would advance once a wait.
type waker struct {
	mu    sync.Mutex
	early time.Time // when there is something to do of which the dispatcher does not know yet; zero for nothing
	until time.Time // when the wait is over
	end   context.CancelFunc
}

// look forgets what was noted: the dispatcher is about to look for itself.
func (w *waker) look() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.early, w.end = time.Time{}, nil
}

// begin returns a context that ends when there is something to do within wait that has come up since look.
func (w *waker) begin(ctx context.Context, wait time.Duration) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	w.mu.Lock()
	defer w.mu.Unlock()
	w.until, w.end = time.Now().Add(wait), cancel
	if !w.early.IsZero() && w.early.Before(w.until) {
		cancel()
	}
	return ctx, cancel
}

// wake says that there is something to do at a time.
func (w *waker) wake(at time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.early.IsZero() || at.Before(w.early) {
		w.early = at
	}
	if w.end != nil && at.Before(w.until) {
		w.end()
	}
}
