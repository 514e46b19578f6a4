package stac

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/streamgate/streamgate/gateway/backoff"
	"github.com/streamgate/streamgate/gateway/guard"
)

// Limits towards a server and by it.
const (
	requestsPerSecond = 2
	requestBurst      = 2
	maxTries          = 6
	triesPerLimit     = 2 // before the page is made smaller
	maxPause          = time.Minute
	minPause          = 500 * time.Millisecond
	maxRetryAfter     = 15 * time.Minute
	maxResponse       = 64 << 20
	maxRedirects      = 5
	maxErrorText      = 200
	minSecret         = 4 // a shorter value is no secret
)

// client talks to one STAC API, patiently. It is for one goroutine.
type client struct {
	base      *url.URL
	header    http.Header
	userAgent string
	http      *http.Client
	hosts     *hosts
	perSecond rate.Limit
	tokens    tokens
	documents documents
	isSlow    bool          // what is asked for has no hurry
	pause     time.Duration // shortest pause between two tries
	maxBody   int64         // of an answer
	endpoint  *endpoint     // known after discover
	fallback  *endpoint     // GET, for a server that offers POST and refuses it

	isStatic   bool                            // it cannot be searched
	validators struct{ etag, modified string } // of the last answer
	serverTime time.Time                       // of the last answer, by the server's clock; zero if it did not say
}

// endpoint is where and how to search.
type endpoint struct {
	method string
	url    *url.URL
}

func newClient(c *Config, userAgent string) (*client, error) {
	base, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("parse the address of the STAC API: %w", err)
	}
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment, MaxIdleConnsPerHost: 2, IdleConnTimeout: 90 * time.Second, ForceAttemptHTTP2: true}
	if err := g(transport, base, c.AllowHosts); err != nil {
		return nil, err
	}
	client := &client{
		base: base, header: c.header(), userAgent: userAgent, pause: c.pace.pause, maxBody: maxResponse,
		hosts: c.hosts, perSecond: rate.Limit(c.RequestsPerSecond),
		http: &http.Client{Timeout: c.Timeout.Std(), Transport: transport, CheckRedirect: checkRedirect},
	}
	if c.hosts == nil {
		client.hosts = newHosts()
	}
	if c.pace.perSecond > 0 {
		client.perSecond = c.pace.perSecond
	}
	client.tokens = tokens{config: c.Auth, http: &http.Client{Timeout: c.Timeout.Std(), CheckRedirect: noRedirect}}
	return client, nil
}

// guard keeps what a server's links lead to away from what is not public, unless the server itself is not.
func g(transport *http.Transport, base *url.URL, allowed []string) error {
	g, err := guard.New(append([]string{base.Hostname()}, allowed...))
	if err != nil {
		return fmt.Errorf("allowHosts: %w", err)
	}
	g.Key = "allowHosts"
	anything, err := guard.New(nil)
	if err != nil {
		return err
	}
	proxy, err := http.ProxyFromEnvironment(&http.Request{URL: base})
	if err != nil || proxy != nil || anything.CheckHost(base.Hostname()) != nil {
		return nil //nolint:nilerr // a proxy, even a wrong one, has rules of its own
	}
	transport.DialContext = g.DialContext(&net.Dialer{Timeout: 30 * time.Second})
	return nil
}

func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// checkRedirect follows where nothing gets lost and nobody else learns anything: 301 to 303 make a GET without a body of a
// POST, and the headers must neither go to another host nor unencrypted over the wire.
func checkRedirect(r *http.Request, via []*http.Request) error {
	first := via[0]
	if len(via) > maxRedirects || r.Method != first.Method || !trusts(first.URL, r.URL) {
		return http.ErrUseLastResponse
	}
	return nil
}

// trusts reports whether what may be shown to one address may be shown to the other: it is at the same host, and not less
// protected on its way.
func trusts(one, other *url.URL) bool {
	return one.Host == other.Host && (one.Scheme == other.Scheme || other.Scheme == "https")
}

func (c *client) close() { c.http.CloseIdleConnections() }

// get sends a request until it is answered with JSON that can be decoded, at most maxTries times, with pauses that grow
// and are random, and never before the time that the server has asked for. With shrinkable, a failure that a smaller page
// may cure is returned at its second occurrence.
func (c *client) get(ctx context.Context, r *request, shrinkable bool, decode func(body io.Reader, from *url.URL) error) error {
	pause, host := c.pause, c.hosts.of(r.url, c.perSecond)
	for try, renewed := 1, false; ; try++ {
		if err := host.enter(ctx, c.isSlow); err != nil {
			return err
		}
		err := c.once(ctx, r, decode)
		status, isStatus := errors.AsType[*statusError](err)
		if isStatus && status.retryAfter > 0 {
			host.holdBack(status.retryAfter)
		}
		host.leave()
		if err == nil || ctx.Err() != nil {
			return err
		}
		if isStatus && status.code == http.StatusUnauthorized && !renewed && c.tokens.forget() {
			renewed = true
			continue
		}
		if !temporary(err) || try == maxTries || shrinkable && tooMuch(err) && try == triesPerLimit {
			return err
		}
		if !backoff.Sleep(ctx, pause) {
			return ctx.Err()
		}
		pause = min(c.pause+rand.N(3*pause-c.pause+1), maxPause) // decorrelated jitter
	}
}

func (c *client) once(ctx context.Context, r *request, decode func(body io.Reader, from *url.URL) error) error {
	httpRequest, err := c.newRequest(ctx, r)
	if err != nil {
		return err
	}
	response, err := c.http.Do(httpRequest)
	if err != nil {
		return fmt.Errorf("no answer from %s: %w", r.url.Host, withoutAddress(err))
	}
	defer func() { _ = response.Body.Close() }()
	c.serverTime, _ = http.ParseTime(response.Header.Get("Date")) // zero where it is none
	c.validators.etag, c.validators.modified = response.Header.Get("ETag"), response.Header.Get("Last-Modified")
	if response.StatusCode == http.StatusNotModified && r.isRepeated {
		return c.documents.replay(r, response, decode)
	}
	if response.StatusCode != http.StatusOK {
		return c.redact(answer(response))
	}
	body := &cappedReader{r: response.Body, left: c.maxBody}
	if r.isRepeated {
		body.r = c.documents.record(r, response)
	}
	err = decode(body, response.Request.URL)
	if err == nil && r.isRepeated {
		c.documents.keep(r)
	}
	if err != nil && body.err != nil { // what cannot be read is not the fault of what was read
		return fmt.Errorf("read the answer of %s: %w", r.url.Host, body.err)
	}
	return err
}

func (c *client) newRequest(ctx context.Context, r *request) (*http.Request, error) {
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
	if trusts(c.base, r.url) { // nobody else: they may be credentials
		maps.Copy(httpRequest.Header, c.header)
		token, err := c.tokens.bearer(ctx)
		if err != nil {
			return nil, err
		}
		if token != "" {
			httpRequest.Header.Set("Authorization", "Bearer "+token)
		}
	}
	if r.isRepeated {
		c.documents.ask(r, httpRequest.Header)
	}
	httpRequest.Header.Del("Accept-Encoding") // whoever sets it has to decompress
	httpRequest.Header.Set("User-Agent", c.userAgent)
	httpRequest.Header.Set("Accept", "application/geo+json, application/json")
	if body != nil {
		httpRequest.Header.Set("Content-Type", "application/json")
	}
	return httpRequest, nil
}

// cappedReader reads at most so many bytes and remembers with which error it ended. An answer may be small on the wire and
// huge when it is decompressed.
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

// discover reads the landing page and chooses where to search: POST where the server offers it, else GET.
func (c *client) discover(ctx context.Context) error {
	if strings.HasSuffix(strings.TrimSuffix(c.base.Path, "/"), "/search") {
		c.endpoint = &endpoint{http.MethodPost, c.base}
		c.fallback = &endpoint{http.MethodGet, c.base}
		return nil
	}
	var landing struct {
		Links []link `json:"links"`
	}
	var page *url.URL
	err := c.get(ctx, &request{method: http.MethodGet, url: c.base, isRepeated: true}, false, func(body io.Reader, from *url.URL) error {
		page = from
		landing.Links = nil
		return decodeJSON(json.NewDecoder(body), &landing)
	})
	if err != nil {
		return fmt.Errorf("read the landing page: %w", err)
	}
	for i := range landing.Links {
		l := &landing.Links[i]
		if l.Rel != "search" || l.Type != "" && !strings.HasPrefix(l.Type, "application/geo+json") && !strings.HasPrefix(l.Type, "application/json") {
			continue // some servers list OpenSearch descriptions and HTML pages under the same name
		}
		target, err := page.Parse(l.Href)
		if err != nil {
			continue
		}
		c.offer(&endpoint{strings.ToUpper(l.Method), c.withBaseQuery(target)})
	}
	c.isStatic = c.endpoint == nil && slices.ContainsFunc(landing.Links, func(l link) bool { return l.Rel == "child" || l.Rel == "item" })
	if c.endpoint == nil && !c.isStatic {
		return errors.New("the landing page has no search link of type application/geo+json, and no child or item: it is neither a STAC API with item search nor a static catalogue")
	}
	return nil
}

// endpointFor returns where to send a search: a filter in CQL2 text is for GET (STAC API filter extension), if the server
// offers that.
func (c *client) endpointFor(q *query) *endpoint {
	if q.isText() && c.endpoint.method == http.MethodPost && c.fallback != nil {
		return c.fallback
	}
	return c.endpoint
}

// canAsk tells whether a search with a bound can be written for the server: CQL2 JSON goes by POST, CQL2 text by GET, and a
// filter is in one of them.
func (c *client) canAsk(q *query) bool {
	isPost := c.endpoint.method == http.MethodPost
	switch q.bound.rung {
	case rungText:
		return (q.config.Filter == "" || q.config.isTextFilter()) && (!isPost || c.fallback != nil)
	case rungQuery:
		return isPost
	default:
		return isPost && !q.config.isTextFilter()
	}
}

// checkCollection returns an error if the API says that it has no such collection. A search for one is answered with
// nothing by some servers, so that a wrong name would go unnoticed.
func (c *client) checkCollection(ctx context.Context, name string) error {
	exists, err := c.exists(ctx, collectionURL(c.base, name))
	if err != nil || exists {
		return err
	}
	lists, err := c.exists(ctx, collectionsURL(c.base))
	if err != nil || !lists {
		return err // an API need not offer its collections
	}
	return errors.New("the API has no such collection")
}

// exists reports whether there is something at an address of the API. A server in trouble is given the benefit of doubt:
// what is wrong with it shows in the search.
func (c *client) exists(ctx context.Context, address string) (bool, error) {
	target, err := url.Parse(address)
	if err != nil {
		return false, fmt.Errorf("the name makes no address: %w", err)
	}
	err = c.get(ctx, &request{method: http.MethodGet, url: c.withBaseQuery(target)}, false, func(body io.Reader, _ *url.URL) error {
		var document json.RawMessage
		return decodeJSON(json.NewDecoder(body), &document)
	})
	status, ok := errors.AsType[*statusError](err)
	return !ok || status.code != http.StatusNotFound, nil
}

// offer takes the better of the endpoints: POST before GET, the first before a later one.
func (c *client) offer(e *endpoint) {
	if e.method == "" {
		e.method = http.MethodGet
	}
	switch {
	case e.method == http.MethodPost && (c.endpoint == nil || c.endpoint.method == http.MethodGet):
		c.fallback, c.endpoint = c.endpoint, e
	case e.method == http.MethodGet && c.endpoint == nil:
		c.endpoint = e
	case e.method == http.MethodGet && c.fallback == nil && c.endpoint.method == http.MethodPost:
		c.fallback = e
	}
}

// withBaseQuery adds the query of the configured address, where some services want their key, to another one of its host.
func (c *client) withBaseQuery(u *url.URL) *url.URL {
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
