package stac

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/backoff"
)

// maxHosts is how many hosts a process remembers its manners towards.
const maxHosts = 1000

// giveWayPause is how long slow work waits at a time while somebody in a hurry waits for the rate to let it through.
const giveWayPause = 20 * time.Millisecond

// hosts are what the sources of a process share: a server is asked one thing at a time, however many sources ask it.
type hosts struct {
	mu     sync.Mutex
	byName map[string]*host
}

func newHosts() *hosts { return &hosts{byName: map[string]*host{}} }

// of returns the host of an address. Where there are too many, idle ones are dropped.
func (h *hosts) of(address *url.URL, perSecond rate.Limit) *host {
	name := strings.ToLower(strings.TrimSuffix(address.Hostname(), "."))
	if port := address.Port(); port != "" && port != map[string]string{"http": "80", "https": "443"}[address.Scheme] {
		name += ":" + port
	}
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
	hurrying  int             // how many are in a hurry, and wait for a turn or for the time
	notBefore time.Time       // when the server wants the next request, whosever that is
}

// enter waits for a turn, and for the time that the server and its rate allow. leave must be called if it succeeds. The turn
// is given back while there is to be waited, so that what is in a hurry can go first when the time has come.
func (h *host) enter(ctx context.Context, isSlow bool) error {
	if !isSlow {
		h.hurry(1)
		defer h.hurry(-1)
	}
	for {
		if err := h.wait(ctx, isSlow); err != nil {
			return err
		}
		pause := h.pause(isSlow)
		if pause <= 0 {
			return nil
		}
		h.leave()
		if !backoff.Sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// pause returns how long there is to be waited; if it is 0, the request is counted.
func (h *host) pause(isSlow bool) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if pause := time.Until(h.notBefore); pause > 0 {
		return pause
	}
	if isSlow && h.hurrying > 0 {
		return giveWayPause
	}
	reservation := h.limiter.Reserve()
	pause := reservation.Delay()
	if pause > 0 {
		reservation.Cancel()
	}
	return pause
}

func (h *host) hurry(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.hurrying += n
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
