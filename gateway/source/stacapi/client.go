package stacapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/url"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// Limits of a client.
const (
	maxTries      = 6
	triesPerLimit = 2 // before a smaller page is asked for
	maxPause      = time.Minute
	maxRetryAfter = 15 * time.Minute
	maxResponse   = 64 << 20
	maxRedirects  = 5
)

// Client talks to one STAC API. It is safe for concurrent use: the requests to one host go one after the other, those
// of a search with [Query.Background] after all others.
//
// Every method that takes a context blocks until the answer is there, all tries are used up (6, with random pauses of
// up to a minute between them, or as long as Retry-After says, at most 15 minutes), or the context ends; then it
// returns the error of the context. An answer of the server other than the expected one is a [*StatusError]. Answers
// above 64 MiB, counted after decompression, are refused.
type Client struct {
	base      *url.URL
	header    http.Header
	userAgent string
	http      *http.Client
	hosts     *Hosts
	perSecond rate.Limit
	pause     time.Duration // the shortest between two tries
	maxBody   int64         // of an answer
	links     Links
	tokens    tokens
	documents documents
	origins   origins

	mu        sync.Mutex
	endpoints endpoints // known after Discover
	wrong     time.Time // when the server last told more items than it has
}

// wrongCountsFor is how long numbers of items that were too high are not looked into again.
const wrongCountsFor = time.Hour

func (c *Client) countsAreWrong(now time.Time) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.wrong.IsZero() && now.Sub(c.wrong) < wrongCountsFor
}

func (c *Client) noteWrongCount(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wrong = now
}

// Close releases idle connections. Requests under way are not interrupted.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Base returns the address that the client was made for. The caller must not change it.
func (c *Client) Base() *url.URL { return c.base }

// decoder reads the text of an answer. It is called anew for each try, and must forget what the try before has left.
type decoder func(text []byte, a *answer) error

// get is the one loop that repeats requests. It sends r until it is answered with JSON that decode accepts, at most
// maxTries times, with pauses that grow and are random, and never before the time that the server has asked for. With
// shrinkable, a failure that a smaller page may cure is returned at its second occurrence.
func (c *Client) get(ctx context.Context, r *request, shrinkable bool, decode decoder) error {
	given := r
	r, other, err := c.place(r)
	if err != nil {
		return err
	}
	pause := c.pause
	for try, renewed := 1, false; ; try++ {
		err := c.turn(ctx, r, decode)
		if err == nil {
			c.origins.change(c.originOf(given.url), func(o *origin) { o.isUsable = o.isUsable || !o.isRebased })
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
		status, isStatus := errors.AsType[*StatusError](err)
		if isStatus && status.Code == http.StatusUnauthorized && !renewed && c.tokens.drop() {
			renewed = true
			continue
		}
		if other != nil && mayBeElsewhere(err) {
			if c.getElsewhere(ctx, given, other, decode) {
				return nil
			}
			other = nil
		}
		if !isTemporary(err) || try == maxTries || shrinkable && isTooMuch(err) && try == triesPerLimit {
			return err
		}
		if !sleep(ctx, pause) {
			return ctx.Err()
		}
		pause = min(c.pause+rand.N(3*pause-c.pause+1), maxPause) // decorrelated jitter
	}
}

// turn sends a request once, when it is its turn at the host.
func (c *Client) turn(ctx context.Context, r *request, decode decoder) error {
	host := c.hosts.of(r.url, c.perSecond)
	if err := host.enter(ctx, r.background); err != nil {
		return err
	}
	defer host.leave()
	err := c.once(ctx, r, decode)
	if status, ok := errors.AsType[*StatusError](err); ok && status.RetryAfter > 0 {
		host.holdBack(status.RetryAfter)
	}
	return err
}

// getElsewhere asks the address that a link means if the server does not know its own, and reports whether that is
// right. If so, the links of that origin are resolved against the address of the API from then on.
func (c *Client) getElsewhere(ctx context.Context, r *request, other *url.URL, decode decoder) bool {
	moved := *r
	moved.url = other
	err := c.turn(ctx, &moved, decode)
	c.origins.change(c.originOf(r.url), func(o *origin) {
		if err == nil {
			o.isRebased = true
		} else {
			o.failed++
		}
	})
	return err == nil
}

// sleep waits, and reports whether the context is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// getJSON reads a JSON document into v, which is reset before each try, and returns what else the answer says.
func getJSON[T any](ctx context.Context, c *Client, r *request, v *T) (a *answer, err error) {
	err = c.get(ctx, r, false, func(text []byte, from *answer) error {
		var document T
		if err := decodeJSON(text, &document); err != nil {
			return err
		}
		*v, a = document, from
		return nil
	})
	return a, err
}

func (c *Client) once(ctx context.Context, r *request, decode decoder) error {
	httpRequest, err := c.newRequest(ctx, r)
	if err != nil {
		return err
	}
	response, err := c.http.Do(httpRequest)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w", r.url.Host, withoutAddress(err))
	}
	defer func() { _ = response.Body.Close() }()
	a := newAnswer(response)
	if response.StatusCode == http.StatusNotModified && r.revalidate {
		if known := c.documents.find(r); known != nil {
			return decode(known.text, a)
		}
	}
	if response.StatusCode != http.StatusOK {
		return c.redact(newStatusError(response))
	}
	text, err := readText(response, c.maxBody)
	if err != nil {
		return c.describe(err, response)
	}
	if err := decode(text, a); err != nil {
		return c.describe(err, response)
	}
	if r.revalidate {
		c.documents.keep(r, a.validator, text)
	}
	return nil
}

func (c *Client) newRequest(ctx context.Context, r *request) (*http.Request, error) {
	var body io.Reader
	if r.method == http.MethodPost {
		encoded, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("encode the search: %w", err)
		}
		body = bytes.NewReader(encoded)
	}
	httpRequest, err := http.NewRequestWithContext(ctx, r.method, r.url.String(), body)
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", err)
	}
	maps.Copy(httpRequest.Header, r.header)
	if trusts(c.base, r.url) { // these headers may be credentials
		maps.Copy(httpRequest.Header, c.header)
		token, err := c.tokens.bearer(ctx)
		if err != nil {
			return nil, err
		}
		if token != "" {
			httpRequest.Header.Set("Authorization", "Bearer "+token)
		}
	}
	if r.revalidate {
		c.documents.validator(r).apply(httpRequest.Header)
	}
	httpRequest.Header.Del("Accept-Encoding") // net/http decompresses only if it has set this header itself
	if c.userAgent != "" {
		httpRequest.Header.Set("User-Agent", c.userAgent)
	}
	httpRequest.Header.Set("Accept", "application/geo+json, application/json")
	if body != nil {
		httpRequest.Header.Set("Content-Type", "application/json")
	}
	return httpRequest, nil
}

// withBaseQuery adds the query of the configured address, where some services expect a key, to another address of its
// host.
func (c *Client) withBaseQuery(u *url.URL) *url.URL {
	if c.base.RawQuery == "" || !trusts(c.base, u) {
		return u
	}
	values := u.Query()
	for name, list := range c.base.Query() {
		if !values.Has(name) {
			values[name] = list
		}
	}
	extended := *u
	extended.RawQuery = values.Encode()
	return &extended
}

// trusts reports whether what may be shown to one address may be shown to the other: it is on the same host, and the
// connection is not less protected.
func trusts(one, other *url.URL) bool {
	return sameHost(one, other) && (one.Scheme == other.Scheme || other.Scheme == "https")
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// checkRedirect follows only where nothing gets lost and no other host learns anything: 301 to 303 turn a POST into a
// GET without a body, and the headers must neither reach another host nor travel unencrypted.
func checkRedirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > maxRedirects || r.Method != first.Method || !trusts(first.URL, r.URL) {
		return http.ErrUseLastResponse
	}
	return nil
}
