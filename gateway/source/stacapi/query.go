package stacapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// Query is what to search for in one collection. It is a value: the client keeps nothing of it after the search.
type Query struct {
	// Collection is the one to search. Searches of several collections at once lose items on some servers.
	Collection string
	// Window restricts the search by the time of the items; the zero value is of any time or none.
	Window Interval
	// ID restricts the search to one item.
	ID string
	// BBox restricts the search to four or six numbers (west, south, east, north), Intersects to a GeoJSON geometry. A
	// search has at most one of them.
	BBox       []float64
	Intersects string
	// Filter is a CQL2 filter: a JSON object as text, or an expression in CQL2 text.
	Filter string
	// Bound restricts the search to items that were updated since a time; nil does not.
	Bound *Bound
	// Limit is the number of items that a page is asked for, at least 1.
	Limit int
	// MaxPages bounds the pages of one search; 0 is 10,000.
	MaxPages int
	// Background lets requests of other searches to the host go first.
	Background bool
}

// Bound restricts a search to what was updated since a time.
type Bound struct {
	// Capability is how the server is asked.
	Capability Capability
	// Since is the time, in whole seconds.
	Since time.Time
}

// first returns the request for the first page. No sort order is asked for: some servers lose items then.
func (q *Query) first(e *endpoint) *request {
	if e.method == http.MethodPost {
		return &request{method: http.MethodPost, url: e.url, body: q.body(), background: q.Background}
	}
	values := e.url.Query()
	for name, value := range q.body() {
		values.Set(name, parameter(value))
	}
	u := *e.url
	u.RawQuery = values.Encode()
	return &request{method: http.MethodGet, url: &u, background: q.Background}
}

// isText reports whether the filter of the search is in CQL2 text.
func (q *Query) isText() bool {
	return q.isTextFilter() || q.Bound != nil && q.Bound.Capability == CapabilityText
}

func (q *Query) isTextFilter() bool {
	filter := strings.TrimSpace(q.Filter)
	return filter != "" && !strings.HasPrefix(filter, "{")
}

// body returns the search as the JSON object of a POST.
func (q *Query) body() map[string]any {
	body := map[string]any{"collections": []any{q.Collection}, "limit": q.Limit}
	if !q.Window.IsZero() {
		body["datetime"] = q.Window.String()
	}
	if q.ID != "" {
		body["ids"] = []any{q.ID}
	}
	if len(q.BBox) > 0 {
		body["bbox"] = q.BBox
	}
	if q.Intersects != "" {
		body["intersects"] = json.RawMessage(q.Intersects)
	}
	switch filter := q.filter(); {
	case filter == "":
	case q.isText():
		body["filter"], body["filter-lang"] = filter, "cql2-text"
	default:
		body["filter"], body["filter-lang"] = json.RawMessage(filter), "cql2-json"
	}
	if q.Bound != nil && q.Bound.Capability == CapabilityQuery {
		body["query"] = map[string]any{"updated": map[string]any{"gte": formatEnd(q.Bound.Since)}}
	}
	return body
}

// filter returns the filter and the bound. The property is called updated and not properties.updated, which stac-server
// does not find.
func (q *Query) filter() string {
	filter := strings.TrimSpace(q.Filter)
	if q.Bound == nil {
		return filter
	}
	since := formatEnd(q.Bound.Since)
	switch q.Bound.Capability {
	case CapabilityTimestamp:
		return and(filter, `{"op":">=","args":[{"property":"updated"},{"timestamp":"`+since+`"}]}`)
	case CapabilityString:
		return and(filter, `{"op":">=","args":[{"property":"updated"},"`+since+`"]}`)
	case CapabilityText:
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
func parameter(value any) string {
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
