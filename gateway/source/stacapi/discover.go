package stacapi

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// Kind is what stands behind the address of a client.
type Kind string

// The kinds.
const (
	KindAPI     Kind = "api"     // it can be searched
	KindCatalog Kind = "catalog" // a static catalog: documents that link to each other, without a search
)

// endpoint is where and how to search.
type endpoint struct {
	method string
	url    *url.URL
}

// endpoints are those of one API.
type endpoints struct {
	search   *endpoint // nil before Discover, and for a static catalog
	fallback *endpoint // GET, for a server that offers POST and refuses it; nil if there is none
}

// Discover reads the landing page and chooses where to search: by POST where the server offers it, else by GET. It must
// succeed once before a search; it may be called again.
func (c *Client) Discover(ctx context.Context) (Kind, error) {
	if strings.HasSuffix(strings.TrimSuffix(c.base.Path, "/"), "/search") {
		c.setEndpoints(endpoints{&endpoint{http.MethodPost, c.base}, &endpoint{http.MethodGet, c.base}})
		return KindAPI, nil
	}
	var landing Members
	a, err := getJSON(ctx, c, &request{method: http.MethodGet, url: c.base, revalidate: true}, &landing)
	if err != nil {
		return "", fmt.Errorf("read the landing page: %w", err)
	}
	links, err := decodeLinks(landing["links"])
	if err != nil {
		return "", fmt.Errorf("read the landing page: %w", err)
	}
	found, unusable := c.findSearch(links, a.from)
	if found.search != nil {
		c.setEndpoints(found)
		return KindAPI, nil
	}
	if slices.ContainsFunc(links, func(l Link) bool { return l.Is("child") || l.Is("item") }) {
		return KindCatalog, nil
	}
	return "", errors.New("the address is neither a STAC API nor a static catalog: it has no search link of type " +
		"application/geo+json" + unusable + ", and no child or item link")
}

// findSearch returns the endpoints that search links offer, and what is wrong with those that cannot be used.
func (c *Client) findSearch(links []Link, page *url.URL) (found endpoints, unusable string) {
	for i := range links {
		l := &links[i]
		if !l.Is("search") || !l.isJSON() {
			continue // some servers list OpenSearch descriptions and HTML pages as search
		}
		target, err := l.resolve(page)
		switch {
		case err != nil:
			unusable = " that can be used (" + whyUnresolved(err) + ")"
		case l.unusable != "":
			unusable = " that can be used (" + l.unusable + ")"
		default:
			found.offer(&endpoint{l.Method, c.withBaseQuery(target)})
		}
	}
	return found, unusable
}

// offer takes the better of the endpoints: POST before GET, the first before a later one.
func (e *endpoints) offer(one *endpoint) {
	if one.method == "" {
		one.method = http.MethodGet
	}
	switch {
	case one.method == http.MethodPost && (e.search == nil || e.search.method == http.MethodGet):
		e.fallback, e.search = e.search, one
	case one.method == http.MethodGet && e.search == nil:
		e.search = one
	case one.method == http.MethodGet && e.fallback == nil && e.search.method == http.MethodPost:
		e.fallback = one
	}
}

// forQuery returns where to send a search: a filter in CQL2 text goes by GET (STAC API filter extension), if the server
// offers that.
func (e endpoints) forQuery(q *Query) *endpoint {
	if q.isText() && e.search.method == http.MethodPost && e.fallback != nil {
		return e.fallback
	}
	return e.search
}

// canExpress reports whether a search with a bound can be written for the server: CQL2 JSON goes by POST, CQL2 text by
// GET, and one filter cannot be in both.
func (e endpoints) canExpress(q *Query) bool {
	isPost := e.search.method == http.MethodPost
	switch q.Bound.Capability {
	case CapabilityText:
		return (strings.TrimSpace(q.Filter) == "" || q.isTextFilter()) && (!isPost || e.fallback != nil)
	case CapabilityQuery:
		return isPost
	default:
		return isPost && !q.isTextFilter()
	}
}

func (c *Client) setEndpoints(e endpoints) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.endpoints = e
}

// searchEndpoints returns where to search. It fails before Discover has found that.
func (c *Client) searchEndpoints() (endpoints, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.endpoints.search == nil {
		return endpoints{}, errors.New("the API has no known search endpoint: Discover has not found one")
	}
	return c.endpoints, nil
}

// dropPost turns to GET for good, for a server that refuses the POST that it has offered. It returns nil if GET is not
// offered.
func (c *Client) dropPost() *endpoint {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.endpoints.fallback == nil {
		return nil
	}
	c.endpoints = endpoints{search: c.endpoints.fallback}
	return c.endpoints.search
}
