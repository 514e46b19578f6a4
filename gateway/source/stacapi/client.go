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
	tokens    tokens
	documents documents

	mu        sync.Mutex
	endpoints endpoints // known after Discover
}

// Close releases idle connections. Requests under way are not interrupted.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Base returns the address that the client was made for. The caller must not change it.
func (c *Client) Base() *url.URL { return c.base }

// decoder reads the body of an answer. It is called anew for each try, and must forget what the try before has left.
type decoder func(body io.Reader, a *answer) error

// get is the one loop that repeats requests. It sends r until it is answered with JSON that decode accepts, at most
// maxTries times, with pauses that grow and are random, and never before the time that the server has asked for. With
// shrinkable, a failure that a smaller page may cure is returned at its second occurrence.
func (c *Client) get(ctx context.Context, r *request, shrinkable bool, decode decoder) error {
	pause, host := c.pause, c.hosts.of(r.url, c.perSecond)
	for try, renewed := 1, false; ; try++ {
		if err := host.enter(ctx, r.background); err != nil {
			return err
		}
		err := c.once(ctx, r, decode)
		status, isStatus := errors.AsType[*StatusError](err)
		if isStatus && status.RetryAfter > 0 {
			host.holdBack(status.RetryAfter)
		}
		host.leave()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if isStatus && status.Code == http.StatusUnauthorized && !renewed && c.tokens.drop() {
			renewed = true
			continue
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
	err = c.get(ctx, r, false, func(body io.Reader, from *answer) error {
		var document T
		if err := decodeJSON(body, &document); err != nil {
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
		return c.documents.replay(r, response, a, decode)
	}
	if response.StatusCode != http.StatusOK {
		return c.redact(newStatusError(response))
	}
	body := &cappedReader{r: response.Body, left: c.maxBody}
	var copied *document
	if r.revalidate {
		if copied = c.documents.record(r, a); copied != nil {
			body.r = io.TeeReader(response.Body, copied)
		}
	}
	err = decode(body, a)
	if err == nil && copied != nil {
		c.documents.keep(r, copied)
	}
	if err != nil && body.err != nil { // a broken connection also leaves broken JSON, which is not the cause
		return fmt.Errorf("read the answer of %s: %w", r.url.Host, body.err)
	}
	return err
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
	return one.Host == other.Host && (one.Scheme == other.Scheme || other.Scheme == "https")
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// checkRedirect follows only where nothing gets lost and nobody else learns anything: 301 to 303 turn a POST into a GET
// without a body, and the headers must neither reach another host nor travel unencrypted.
func checkRedirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > maxRedirects || r.Method != first.Method || !trusts(first.URL, r.URL) {
		return http.ErrUseLastResponse
	}
	return nil
}

// cappedReader reads at most left bytes and remembers the error that it ended with. It counts decompressed bytes: an
// answer may be small on the wire and huge in memory.
type cappedReader struct {
	r    io.Reader
	left int64
	err  error // other than io.EOF
}

// Read implements io.Reader.
func (r *cappedReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		r.err = errTooLarge
		return 0, r.err
	}
	n, err := r.r.Read(p[:min(int64(len(p)), r.left)])
	r.left -= int64(n)
	if err != nil && !errors.Is(err, io.EOF) {
		r.err = err
	}
	return n, err
}
