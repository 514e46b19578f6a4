package stacapi

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
)

// request is one HTTP request to a server.
type request struct {
	method string
	url    *url.URL
	body   map[string]any // of a POST
	header http.Header    // that a next link asks for

	revalidate bool // the same request is made again and again, so that it asks only for changes; of a GET
	background bool // other requests to the host go first
}

// key identifies a request, to notice a server that leads in circles.
func (r *request) key() string {
	key, err := json.Marshal([]any{r.method, r.url.String(), r.header, r.body})
	if err != nil {
		return r.method + " " + r.url.String()
	}
	return string(key)
}

// withLimit returns the request with another page size, and whether it has one to change.
func (r *request) withLimit(limit int) (*request, bool) {
	changed := *r
	if r.method == http.MethodPost {
		if _, found := r.body["limit"]; !found {
			return r, false
		}
		changed.body = maps.Clone(r.body)
		changed.body["limit"] = limit
		return &changed, true
	}
	values := r.url.Query()
	if !values.Has("limit") {
		return r, false
	}
	values.Set("limit", strconv.Itoa(limit))
	u := *r.url
	u.RawQuery = values.Encode()
	changed.url = &u
	return &changed, true
}

// restore puts back what a next link has forgotten of the search. Links that repeat the search are known to leave out
// the filter, and links that count items to leave out everything, which gives items that were not asked for (pycsw
// issue 1182, stac-auth-proxy pull request 162). Anything else is a token, which holds the search.
func (q *Query) restore(r *request) {
	values := r.url.Query()
	has := func(name string) bool { return values.Has(name) }
	names := slices.Collect(maps.Keys(values))
	if r.method == http.MethodPost {
		has = func(name string) bool { return r.body[name] != nil }
		names = slices.Collect(maps.Keys(r.body))
	}
	isToken := func(name string) bool { return !slices.Contains(countingParameters(), name) }
	if len(names) == 0 || !has("collections") && slices.ContainsFunc(names, isToken) {
		return
	}
	missing := q.body()
	if has("bbox") || has("intersects") { // perhaps in the other form
		delete(missing, "bbox")
		delete(missing, "intersects")
	}
	if has("filter") { // perhaps in the other language
		delete(missing, "filter")
		delete(missing, "filter-lang")
	}
	for name, value := range missing {
		if has(name) {
			continue
		}
		if r.method == http.MethodPost {
			r.body[name] = value
		} else {
			values.Set(name, parameter(value))
		}
	}
	if r.method != http.MethodPost {
		u := *r.url
		u.RawQuery = values.Encode()
		r.url = &u
	}
}

// countingParameters are the parameters of servers that page by counting items.
func countingParameters() []string { return []string{"limit", "offset", "page", "skip", "startindex"} }
