package webhook

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/setting"
)

// HeaderRequestOrigin names the header in which a sender says who it is, in the handshake and in each delivery.
const HeaderRequestOrigin = "WebHook-Request-Origin"

const (
	headerRequestRate   = "WebHook-Request-Rate"
	headerAllowedOrigin = "WebHook-Allowed-Origin"
	headerAllowedRate   = "WebHook-Allowed-Rate"

	maxOriginLength = 253  // of a DNS name
	maxOrigins      = 1000 // whose rate is kept
)

// ErrOrigin is returned for a sender whose origin may not deliver.
var ErrOrigin = errors.New("this origin may not deliver events here; server.webHook.origins says which may")

// ReceiverConfig says who may deliver events as a web hook.
type ReceiverConfig struct {
	// Origins are the DNS names of senders that may deliver, and patterns of them (path.Match); default none, which
	// switches the handshake off.
	Origins []string `mapstructure:"origins"`
	// Rate is how many requests a minute each origin may send to this replica; default 0, which is any number.
	Rate int `mapstructure:"rate"`
}

// Validate returns everything that is wrong.
func (c *ReceiverConfig) Validate() setting.Problems {
	var p setting.Problems
	for i, pattern := range c.Origins {
		if _, err := path.Match(pattern, ""); err != nil || !isOriginPattern(pattern) {
			p.Add(fmt.Sprintf("origins[%d]", i), fmt.Sprintf("%q is not a DNS name or a pattern of DNS names", pattern),
				"write one like events.example.com, *.example.com, or *")
		}
	}
	if c.Rate < 0 {
		p.Add("rate", fmt.Sprintf("%d requests a minute is negative", c.Rate), "set a number, or 0 for any")
	}
	return p
}

func isOriginPattern(s string) bool {
	return s != "" && len(s) <= maxOriginLength && !strings.ContainsAny(s, "/: \t\r\n")
}

// Receiver answers the handshake, and keeps senders to what it has granted. It is safe for concurrent use; nil has no
// handshake and lets everybody pass.
type Receiver struct {
	config ReceiverConfig

	mu     sync.Mutex
	limits map[string]*rate.Limiter // by origin
}

// NewReceiver returns the receiver of a valid configuration, or nil if that names no origins.
func NewReceiver(c ReceiverConfig) *Receiver {
	if len(c.Origins) == 0 {
		return nil
	}
	return &Receiver{config: c, limits: map[string]*rate.Limiter{}}
}

// Handshake returns the headers with which an OPTIONS request is answered, or [ErrOrigin]. The grant stands in the
// answer, if the origin may deliver, and never in a callback: an address that a stranger has chosen is never requested
// (section 4.1.4 leaves callbacks to the receiver).
func (v *Receiver) Handshake(request http.Header) (http.Header, error) {
	answer := http.Header{"Allow": {"POST, OPTIONS"}}
	origin := request.Get(HeaderRequestOrigin)
	if origin == "" {
		return answer, nil
	}
	if !v.allows(origin) || len(request.Values(HeaderRequestOrigin)) > 1 {
		return answer, ErrOrigin
	}
	answer[headerAllowedOrigin] = []string{origin}
	answer[headerAllowedRate] = []string{v.grant(request.Get(headerRequestRate))}
	return answer, nil
}

// Admit decides about a delivery and counts it: nil lets it pass, [ErrOrigin] refuses it, and a wait above zero asks
// its sender to come again after that time.
func (v *Receiver) Admit(request http.Header) (wait time.Duration, err error) {
	origin := request.Get(HeaderRequestOrigin)
	if v == nil || origin == "" {
		return 0, nil
	}
	if !v.allows(origin) {
		return 0, ErrOrigin
	}
	return v.wait(origin), nil
}

// Rate returns how many requests a minute an origin may send.
func (v *Receiver) Rate() int { return v.config.Rate }

func (v *Receiver) allows(origin string) bool {
	if !isOriginPattern(origin) || strings.ContainsAny(origin, "*?[\\") {
		return false
	}
	for _, pattern := range v.config.Origins {
		if ok, _ := path.Match(strings.ToLower(pattern), strings.ToLower(origin)); ok { // Validate has checked the pattern
			return true
		}
	}
	return false
}

// grant returns the rate that a sender gets: what it asks for, up to what there is.
func (v *Receiver) grant(asked string) string {
	n, err := strconv.Atoi(asked)
	switch {
	case err == nil && n > 0 && (v.config.Rate == 0 || n < v.config.Rate):
		return strconv.Itoa(n)
	case v.config.Rate == 0:
		return "*"
	}
	return strconv.Itoa(v.config.Rate)
}

// wait returns how long an origin has to wait for its next request, and counts the request if that is 0.
func (v *Receiver) wait(origin string) time.Duration {
	if v.config.Rate == 0 {
		return 0
	}
	v.mu.Lock()
	limit := v.limits[strings.ToLower(origin)]
	if limit == nil {
		if len(v.limits) >= maxOrigins { // of patterns; an origin that returns begins with a full minute
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
