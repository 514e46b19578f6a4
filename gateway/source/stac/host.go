package stac

import (
	"context"
	"slices"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway"
)

// maxHosts is how many hosts a process remembers its manners towards.
const maxHosts = 1000

// hosts are what the sources of a process share: a server is asked one thing at a time, however many sources ask it.
type hosts struct {
	mu     sync.Mutex
	byName map[string]*host
}

func newHosts() *hosts { return &hosts{byName: map[string]*host{}} }

// of returns a host. Where there are too many, idle ones are dropped.
func (h *hosts) of(name string, perSecond rate.Limit) *host {
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.byName[name]
	if one == nil {
		if len(h.byName) >= maxHosts {
			h.dropIdle()
		}
		one = &host{limiter: rate.NewLimiter(perSecond, requestBurst)}
		h.byName[name] = one
	}
	if perSecond < one.limiter.Limit() {
		one.limiter.SetLimit(perSecond) // the more patient source decides
	}
	return one
}

func (h *hosts) dropIdle() {
	for name, one := range h.byName {
		one.mu.Lock()
		isIdle := !one.busy && time.Now().After(one.notBefore)
		one.mu.Unlock()
		if isIdle {
			delete(h.byName, name)
		}
	}
}

// host lets one request through at a time: what is in a hurry before what is not, and otherwise in the order of arrival.
type host struct {
	limiter *rate.Limiter

	mu        sync.Mutex
	busy      bool
	live      []chan struct{} // who waits and is in a hurry
	slow      []chan struct{} // who waits and is not
	notBefore time.Time       // when the server wants the next request, whosever that is
}

// enter waits for a turn, and for the time that the server and its rate allow. leave must be called if it succeeds.
func (h *host) enter(ctx context.Context, isSlow bool) error {
	if err := h.wait(ctx, isSlow); err != nil {
		return err
	}
	h.mu.Lock()
	pause := time.Until(h.notBefore)
	h.mu.Unlock()
	err := error(nil)
	if !gateway.Sleep(ctx, pause) {
		err = ctx.Err()
	}
	if err == nil {
		err = h.limiter.Wait(ctx)
	}
	if err != nil {
		h.leave()
	}
	return err
}

func (h *host) wait(ctx context.Context, isSlow bool) error {
	turn := make(chan struct{})
	h.mu.Lock()
	if !h.busy {
		h.busy = true
		h.mu.Unlock()
		return nil
	}
	queue := &h.live
	if isSlow {
		queue = &h.slow
	}
	*queue = append(*queue, turn)
	h.mu.Unlock()
	select {
	case <-turn:
		return nil
	case <-ctx.Done():
	}
	h.mu.Lock()
	at := slices.Index(*queue, turn)
	if at >= 0 {
		*queue = slices.Delete(*queue, at, at+1)
	}
	h.mu.Unlock()
	if at < 0 { // the turn came in the same moment
		h.leave()
	}
	return ctx.Err()
}

// leave gives the turn to the next.
func (h *host) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, queue := range []*[]chan struct{}{&h.live, &h.slow} {
		if len(*queue) > 0 {
			close((*queue)[0])
			*queue = (*queue)[1:]
			return
		}
	}
	h.busy = false
}

// holdBack notes that the server wants no request for a while.
func (h *host) holdBack(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.notBefore = laterOf(h.notBefore, time.Now().Add(d))
}
