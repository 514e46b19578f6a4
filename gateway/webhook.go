package gateway

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// The abuse protection of HTTP 1.1 Web Hooks for Event Delivery 1.0 (section 4), in both directions.

const (
	headerRequestOrigin = "WebHook-Request-Origin"
	headerRequestRate   = "WebHook-Request-Rate"
	headerAllowedOrigin = "WebHook-Allowed-Origin"
	headerAllowedRate   = "WebHook-Allowed-Rate"

	maxOriginLength = 253  // of a DNS name
	maxOrigins      = 1000 // whose rate is kept
	goneFor         = time.Hour
)

// WebHookServerConfig says who may deliver events as a web hook.
type WebHookServerConfig struct {
	// Origins are the DNS names of senders that may deliver, and patterns of them (path.Match); default none, which leaves
	// the handshake out.
	Origins []string `mapstructure:"origins"`
	// Rate is how many requests a minute each origin may send to this replica; default 0, which is any number.
	Rate int `mapstructure:"rate"`
}

func (c *WebHookServerConfig) validate() Problems {
	var p Problems
	for i, pattern := range c.Origins {
		if _, err := path.Match(pattern, ""); err != nil || !isOriginPattern(pattern) {
			p.Add(fmt.Sprintf("origins[%d]", i), fmt.Sprintf("%q is no DNS name or pattern of them", pattern), "write one like events.example.com, *.example.com, or *")
		}
	}
	if c.Rate < 0 {
		p.Add("rate", fmt.Sprintf("%d requests a minute are less than none", c.Rate), "set a number, or 0 for any")
	}
	return p
}

func isOriginPattern(s string) bool {
	return s != "" && len(s) <= maxOriginLength && !strings.ContainsAny(s, "/: \t\r\n")
}

// receiver answers the handshake, and keeps senders to what it has granted. It is safe for concurrent use; nil has no
// handshake and lets everybody pass.
type receiver struct {
	config WebHookServerConfig

	mu     sync.Mutex
	limits map[string]*rate.Limiter // by origin
}

func newReceiver(c WebHookServerConfig) *receiver {
	if len(c.Origins) == 0 {
		return nil
	}
	return &receiver{config: c, limits: map[string]*rate.Limiter{}}
}

func (v *receiver) allows(origin string) bool {
	if !isOriginPattern(origin) || strings.ContainsAny(origin, "*?[\\") {
		return false
	}
	for _, pattern := range v.config.Origins {
		if ok, _ := path.Match(strings.ToLower(pattern), strings.ToLower(origin)); ok { // validate has checked the pattern
			return true
		}
	}
	return false
}

// handshake answers OPTIONS. The grant stands in the answer, if the origin may deliver, and in no callback: an address that
// a stranger has chosen is never asked for (section 4.1.4 leaves callbacks to the receiver).
func (in *Ingress) handshake(w http.ResponseWriter, r *http.Request) {
	if _, known := in.stream(r); !known {
		in.refuse(w, http.StatusNotFound, "there is no such stream; events go to / or to /{stream} of the configuration", nil)
		return
	}
	w.Header().Set("Allow", "POST, OPTIONS")
	origin := r.Header.Get(headerRequestOrigin)
	if origin == "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if !in.receiver.allows(origin) || len(r.Header.Values(headerRequestOrigin)) > 1 {
		in.refuse(w, http.StatusForbidden, "this origin may not deliver events here; server.webHook.origins says which may", nil)
		return
	}
	w.Header()[headerAllowedOrigin] = []string{origin}
	w.Header()[headerAllowedRate] = []string{in.receiver.grant(r.Header.Get(headerRequestRate))}
	w.WriteHeader(http.StatusNoContent)
}

// grant returns the rate that a sender gets: what it asks for, up to what there is.
func (v *receiver) grant(asked string) string {
	n, err := strconv.Atoi(asked)
	switch {
	case err == nil && n > 0 && (v.config.Rate == 0 || n < v.config.Rate):
		return strconv.Itoa(n)
	case v.config.Rate == 0:
		return "*"
	}
	return strconv.Itoa(v.config.Rate)
}

// admit reports whether a delivery may pass, and otherwise answers it.
func (in *Ingress) admit(w http.ResponseWriter, r *http.Request) bool {
	origin := r.Header.Get(headerRequestOrigin)
	if in.receiver == nil || origin == "" {
		return true
	}
	if !in.receiver.allows(origin) {
		in.refuse(w, http.StatusForbidden, "this origin may not deliver events here; server.webHook.origins says which may", nil)
		return false
	}
	if wait := in.receiver.wait(origin); wait > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(wait.Seconds()))))
		in.refuse(w, http.StatusTooManyRequests, fmt.Sprintf("more than %d requests a minute came from this origin (server.webHook.rate)", in.receiver.config.Rate), nil)
		return false
	}
	return true
}

// wait returns how long an origin has to wait for its next request, and counts the request if that is 0.
func (v *receiver) wait(origin string) time.Duration {
	if v.config.Rate == 0 {
		return 0
	}
	v.mu.Lock()
	limit := v.limits[strings.ToLower(origin)]
	if limit == nil {
		if len(v.limits) >= maxOrigins { // of patterns; whoever comes again begins with a full minute
			clear(v.limits)
		}
		limit = perMinute(v.config.Rate)
		v.limits[strings.ToLower(origin)] = limit
	}
	v.mu.Unlock()
	reservation := limit.Reserve()
	wait := reservation.Delay()
	if wait > 0 {
		reservation.Cancel()
	}
	return wait
}

func perMinute(n int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(n)/60, max(n/60, 1))
}

// WebHookSinkConfig makes a sink a web hook, which has to agree before events are delivered to it.
type WebHookSinkConfig struct {
	// Validate asks the sink before the first delivery, whether it wants events; default false.
	Validate bool `mapstructure:"validate"`
	// Origin is the DNS name by which the sink knows this gateway.
	Origin string `mapstructure:"origin"`
	// Rate is how many requests a minute are asked for; default 0, which leaves it to the sink. What it grants is kept, by
	// each replica.
	Rate int `mapstructure:"rate"`
}

func (c *WebHookSinkConfig) validate() Problems {
	var p Problems
	if !isOriginPattern(c.Origin) || strings.ContainsAny(c.Origin, "*?[\\") {
		p.Add("origin", fmt.Sprintf("%q is no DNS name", c.Origin), "write the name by which the sink knows this gateway, like gateway.example.com")
	}
	if c.Rate < 0 {
		p.Add("rate", fmt.Sprintf("%d requests a minute are less than none", c.Rate), "set a number, or 0 to leave it to the sink")
	}
	return p
}

// webHook is the sender's side of the handshake with one sink. It is safe for concurrent use.
type webHook struct {
	config WebHookSinkConfig
	log    *slog.Logger

	mu      sync.Mutex
	agreed  bool
	limit   *rate.Limiter // nil: any number
	retryAt time.Time     // after the sink has said that it is gone
}

var errNotAgreed = errors.New("the sink has not agreed to get events from this origin (WebHook-Allowed-Origin)")

// ready returns when the sink has agreed and its rate lets the next request through, or with what speaks against it: then
// nothing may be delivered. ask sends the OPTIONS request. One delivery at a time asks; the others wait for the answer.
func (h *webHook) ready(ctx context.Context, ask func(ctx context.Context, header http.Header) (*http.Response, error)) error {
	limit, err := h.agree(ctx, ask)
	if err != nil || limit == nil {
		return err
	}
	return limit.Wait(ctx)
}

func (h *webHook) agree(ctx context.Context, ask func(ctx context.Context, header http.Header) (*http.Response, error)) (*rate.Limiter, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.agreed {
		return h.limit, nil
	}
	if wait := time.Until(h.retryAt); wait > 0 {
		return nil, fmt.Errorf("the sink has said that it is gone for good (410); it is asked again in %s", wait.Round(time.Second))
	}
	header := http.Header{headerRequestOrigin: {h.config.Origin}}
	if h.config.Rate > 0 {
		header[headerRequestRate] = []string{strconv.Itoa(h.config.Rate)}
	}
	response, err := ask(ctx, header)
	if err != nil {
		return nil, fmt.Errorf("ask the sink whether it wants events: %w", err)
	}
	defer func() { _ = response.Body.Close() }()
	if allowed := response.Header.Get(headerAllowedOrigin); allowed != "*" && !strings.EqualFold(allowed, h.config.Origin) {
		return nil, fmt.Errorf("%w: status %d", errNotAgreed, response.StatusCode)
	}
	h.agreed, h.limit = true, nil
	if n, err := strconv.Atoi(response.Header.Get(headerAllowedRate)); err == nil && n > 0 {
		h.limit = perMinute(n)
	}
	return h.limit, nil
}

// note takes what the sink has answered: one that is gone, or that does not agree any more, is asked before the next
// delivery.
func (h *webHook) note(code int) {
	if code != http.StatusGone && code != http.StatusForbidden {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	isNew := h.agreed
	h.agreed = false
	if code == http.StatusGone && isNew {
		h.retryAt = time.Now().Add(goneFor)
		h.log.Error("the sink has said that it is gone for good (410); nothing is delivered until it agrees again", "asked_again_in", goneFor)
	}
}
