package stac

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// query is what to search for in one collection.
type query struct {
	config     *Config
	collection string
	window     interval // zero: of any time or none
	limit      int
	bound      *bound   // nil: whenever it was updated
	ids        []string // nil: any
}

// bound restricts a search to what was updated since a time.
type bound struct {
	rung  rung
	since time.Time
}

// request is one HTTP request of a search.
type request struct {
	method string
	url    *url.URL
	body   map[string]any // of a POST
	header http.Header    // that a next link asks for

	isRepeated bool // the same again and again, so that it is asked for only if it has changed; of a GET
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

// first returns the request for the first page. No sort order is asked for: with some servers that loses items.
func (q *query) first(e *endpoint) *request {
	if e.method == http.MethodPost {
		return &request{method: http.MethodPost, url: e.url, body: q.body()}
	}
	values := e.url.Query()
	for name, value := range q.body() {
		values.Set(name, parameter(name, value))
	}
	u := *e.url
	u.RawQuery = values.Encode()
	return &request{method: http.MethodGet, url: &u}
}

// isText tells whether the filter of the search is in CQL2 text.
func (q *query) isText() bool {
	return q.config.isTextFilter() || q.bound != nil && q.bound.rung == rungText
}

func (c *Config) isTextFilter() bool {
	filter := strings.TrimSpace(c.Filter)
	return filter != "" && !strings.HasPrefix(filter, "{")
}

// body returns the search as the JSON object of a POST.
func (q *query) body() map[string]any {
	body := map[string]any{"collections": []any{q.collection}, "limit": q.limit}
	if q.window != (interval{}) {
		body["datetime"] = q.window.String()
	}
	if len(q.ids) > 0 {
		body["ids"] = []any{q.ids[0]}
	}
	if len(q.config.BBox) > 0 {
		body["bbox"] = q.config.BBox
	}
	if q.config.Intersects != "" {
		body["intersects"] = json.RawMessage(q.config.Intersects)
	}
	switch filter := q.filter(); {
	case filter == "":
	case q.isText():
		body["filter"], body["filter-lang"] = filter, "cql2-text"
	default:
		body["filter"], body["filter-lang"] = json.RawMessage(filter), "cql2-json"
	}
	if q.bound != nil && q.bound.rung == rungQuery {
		body["query"] = map[string]any{"updated": map[string]any{"gte": end(q.bound.since)}}
	}
	return body
}

// filter returns the configured filter and the bound. The property is called updated and not properties.updated, which
// stac-server does not find.
func (q *query) filter() string {
	filter := strings.TrimSpace(q.config.Filter)
	if q.bound == nil {
		return filter
	}
	since := end(q.bound.since)
	switch q.bound.rung {
	case rungTimestamp:
		return and(filter, `{"op":">=","args":[{"property":"updated"},{"timestamp":"`+since+`"}]}`)
	case rungString:
		return and(filter, `{"op":">=","args":[{"property":"updated"},"`+since+`"]}`)
	case rungText:
		bound := "updated >= TIMESTAMP('" + since + "')"
		if filter == "" {
			return bound
		}
		return "(" + filter + ") AND " + bound
	}
	return filter
}

func and(one, other string) string {
	if one == "" {
		return other
	}
	return `{"op":"and","args":[` + one + "," + other + "]}"
}

// parameter writes a member of a search as the parameter of a GET.
func parameter(name string, value any) string {
	switch v := value.(type) {
	case string:
		return v
	case []any: // collections
		return fmt.Sprint(v[0])
	case []float64:
		numbers := make([]string, len(v))
		for i, n := range v {
			numbers[i] = strconv.FormatFloat(n, 'f', -1, 64)
		}
		return strings.Join(numbers, ",")
	case json.RawMessage:
		return string(v)
	case map[string]any: // query
		encoded, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		return string(encoded)
	default:
		return fmt.Sprint(value)
	}
}

// restore puts back what a next link has forgotten of the search. Links that repeat the search are known to leave out the
// filter, and links that count items to leave out everything, which gives items that were not asked for (pycsw issue 1182,
// stac-auth-proxy pull request 162). Anything else is a token, which holds the search.
func (q *query) restore(r *request) {
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
			values.Set(name, parameter(name, value))
		}
	}
	if r.method != http.MethodPost {
		u := *r.url
		u.RawQuery = values.Encode()
		r.url = &u
	}
}

// countingParameters are the names with which servers page that count.
func countingParameters() []string { return []string{"limit", "offset", "page", "skip", "startindex"} }

// link is a link of a landing page, a page of items or an item.
type link struct {
	Rel    string         `json:"rel"`
	Href   string         `json:"href"`
	Type   string         `json:"type"`
	Method string         `json:"method"`
	Header map[string]any `json:"headers"`
	Merge  bool           `json:"merge"`
	// Body goes back as it came: a number may be a token that is longer than a float64.
	Body map[string]json.RawMessage `json:"body"`
}

// follow returns the request of a next link, given the request and the address of the page that it stands on (STAC API
// item search, paging): GET unless it says otherwise; with merge, body and headers are added to those of the request
// before, otherwise they replace them.
func (l *link) follow(previous *request, page *url.URL) (*request, error) {
	target, err := page.Parse(escapeControls(l.Href))
	if err != nil {
		return nil, fmt.Errorf("the next link has no usable address: %w", err)
	}
	next := &request{method: http.MethodGet, url: target, header: http.Header{}}
	if l.Merge {
		next.header = previous.header.Clone()
		if next.header == nil {
			next.header = http.Header{}
		}
	}
	for name, value := range l.Header {
		switch v := value.(type) {
		case string:
			next.header.Set(name, v)
		case []any:
			next.header.Del(name)
			for _, one := range v {
				next.header.Add(name, fmt.Sprint(one))
			}
		}
	}
	if !strings.EqualFold(l.Method, http.MethodPost) {
		return next, nil
	}
	next.method, next.body = http.MethodPost, map[string]any{}
	if l.Merge {
		maps.Copy(next.body, previous.body)
	}
	for name, value := range l.Body {
		next.body[name] = value
	}
	return next, nil
}

// escapeControls percent-encodes the control characters of an address: the tokens of some servers contain line breaks.
func escapeControls(s string) string {
	if !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' || s[i] == 0x7f {
			fmt.Fprintf(&b, "%%%02X", s[i])
		} else {
			b.WriteByte(s[i])
		}
	}
	return b.String()
}
