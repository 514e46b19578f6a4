package stacapi

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	requestBurst  = 2
	maxKnownHosts = 1000
	// yieldPause is how long background requests wait at a time while other requests wait for the rate limit.
	yieldPause = 20 * time.Millisecond
)

// Hosts holds the limits that clients share: each host gets one request at a time, at the lowest rate that any of them
// is configured for, and none before the time that a Retry-After of the host names. It is safe for concurrent use. It
// keeps the limits of at most 1,000 hosts that are not in use.
type Hosts struct {
	mu     sync.Mutex
	byName map[string]*host
}

// NewHosts returns limits that no client shares yet.
func NewHosts() *Hosts { return &Hosts{byName: map[string]*host{}} }

// of returns the host of an address.
func (h *Hosts) of(address *url.URL, perSecond rate.Limit) *host {
	name := strings.ToLower(strings.TrimSuffix(address.Hostname(), "."))
	if port := address.Port(); port != "" && port != map[string]string{"http": "80", "https": "443"}[address.Scheme] {
		name += ":" + port
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	one := h.byName[name]
	if one == nil {
		if len(h.byName) >= maxKnownHosts {
			h.dropIdle()
		}
		one = &host{limiter: rate.NewLimiter(perSecond, requestBurst)}
		h.byName[name] = one
	}
	if perSecond < one.limiter.Limit() {
		one.limiter.SetLimit(perSecond)
	}
	return one
}

func (h *Hosts) dropIdle() {
	for name, one := range h.byName {
		one.mu.Lock()
		isIdle := !one.busy && time.Now().After(one.notBefore)
		one.mu.Unlock()
		if isIdle {
			delete(h.byName, name)
		}
	}
}

// host admits one request at a time: background requests after all others, otherwise in the order of arrival.
type host struct {
	limiter *rate.Limiter

	mu         sync.Mutex
	busy       bool
	foreground []chan struct{} // waiting for a turn
	background []chan struct{} // waiting for a turn
	urgent     int             // foreground requests that wait for a turn or for the time
	notBefore  time.Time       // when the server accepts the next request, of any client
}

// enter waits for a turn, and for the time that the server and the rate allow. leave must be called if it succeeds.
// While there is time to wait, the turn is given back, so that a foreground request can go first when the time has
// come.
func (h *host) enter(ctx context.Context, background bool) error {
	if !background {
		h.addUrgent(1)
		defer h.addUrgent(-1)
	}
	for {
		if err := h.wait(ctx, background); err != nil {
			return err
		}
		pause := h.pause(background)
		if pause <= 0 {
			return nil
		}
		h.leave()
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
	}
}

// pause returns how long to wait; if that is 0, the request is counted.
func (h *host) pause(background bool) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	if pause := time.Until(h.notBefore); pause > 0 {
		return pause
	}
	if background && h.urgent > 0 {
		return yieldPause
	}
	reservation := h.limiter.Reserve()
	pause := reservation.Delay()
	if pause > 0 {
		reservation.Cancel()
	}
	return pause
}

func (h *host) addUrgent(n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.urgent += n
}

func (h *host) wait(ctx context.Context, background bool) error {
	turn := make(chan struct{})
	h.mu.Lock()
	if !h.busy {
		h.busy = true
		h.mu.Unlock()
		return nil
	}
	queue := &h.foreground
	if background {
		queue = &h.background
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

// leave gives the turn to the next request.
func (h *host) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, queue := range []*[]chan struct{}{&h.foreground, &h.background} {
		if len(*queue) > 0 {
			close((*queue)[0])
			*queue = (*queue)[1:]
			return
		}
	}
	h.busy = false
}

// holdBack notes that the server accepts no request for a while.
func (h *host) holdBack(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if until := time.Now().Add(d); until.After(h.notBefore) {
		h.notBefore = until
	}
}
