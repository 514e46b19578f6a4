package webhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/setting"
)

// goneFor is how long a sink that has said that it is gone (410) is left alone.
const goneFor = time.Hour

// SenderConfig makes a sink a web hook, which has to agree before events are delivered to it.
type SenderConfig struct {
	// Validate asks the sink before the first delivery, whether it wants events; default false.
	Validate bool `mapstructure:"validate"`
	// Origin is the DNS name by which the sink knows this gateway.
	Origin string `mapstructure:"origin"`
	// Rate is how many requests a minute are asked for; default 0, which leaves it to the sink. What it grants is kept,
	// by each replica.
	Rate int `mapstructure:"rate"`
	// Insecure permits an address with http on another machine, although a web hook must use HTTPS (section 2.1):
	// everybody on the way can read the events, and the credentials that go with them. Default false.
	Insecure bool `mapstructure:"insecure"`
}

// Check returns everything that is wrong.
func (c *SenderConfig) Check() setting.Problems {
	var p setting.Problems
	if !isOriginPattern(c.Origin) || strings.ContainsAny(c.Origin, "*?[\\") {
		p.Add("origin", fmt.Sprintf("%q is not a DNS name", c.Origin), "write the name by which the sink knows this gateway, like gateway.example.com")
	}
	if c.Rate < 0 {
		p.Add("rate", fmt.Sprintf("%d requests a minute is negative", c.Rate), "set a number, or 0 to leave it to the sink")
	}
	return p
}

// Sender is the sender's side of the handshake with one sink. It is safe for concurrent use.
type Sender struct {
	config SenderConfig
	log    *slog.Logger

	mu      sync.Mutex
	agreed  bool
	limit   *rate.Limiter // nil: any number
	retryAt time.Time     // after the sink has said that it is gone
}

// NewSender returns the sender's side of the handshake for a valid configuration.
func NewSender(c *SenderConfig, log *slog.Logger) *Sender {
	return &Sender{config: *c, agreed: !c.Validate, log: log}
}

var errNotAgreed = errors.New("the sink has not agreed to get events from this origin (WebHook-Allowed-Origin)")

// Ready returns when the sink has agreed and its rate lets the next request through, or with what speaks against it:
// then nothing may be delivered. ask sends the OPTIONS request. One delivery at a time asks; the others wait for the
// answer.
func (h *Sender) Ready(ctx context.Context, ask func(ctx context.Context, header http.Header) (*http.Response, error)) error {
	limit, err := h.agree(ctx, ask)
	if err != nil || limit == nil {
		return err
	}
	return limit.Wait(ctx)
}

func (h *Sender) agree(ctx context.Context, ask func(ctx context.Context, header http.Header) (*http.Response, error)) (*rate.Limiter, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.agreed {
		return h.limit, nil
	}
	if wait := time.Until(h.retryAt); wait > 0 {
		return nil, fmt.Errorf("the sink has said that it is gone for good (410); it is asked again in %s", wait.Round(time.Second))
	}
	header := http.Header{HeaderRequestOrigin: {h.config.Origin}}
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
	if n, limited := allowedRate(response.Header.Get(headerAllowedRate)); limited {
		h.limit = perMinute(n)
	}
	return h.limit, nil
}

// maxRate bounds a rate per minute that a sink grants; it is more than any replica sends.
const maxRate = 1_000_000_000

// allowedRate reads the rate per minute that a sink grants. A number out of range is bounded: a sink that means to
// limit deliveries must not get all of them. Anything but a number, such as *, means no limit.
func allowedRate(value string) (n int, limited bool) {
	parsed, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0, false
	}
	return int(min(max(parsed, 1), maxRate)), true
}

// Note takes what the sink has answered: one that is gone, or that does not agree any more, is asked before the next
// delivery.
func (h *Sender) Note(code int) {
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
