package stacsample

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strconv"
	"strings"
)

const (
	defaultLimit = 10
	maxLimit     = 10_000
)

// query is a search as the client has sent it.
type query struct {
	Collections []string        `json:"collections"`
	IDs         []string        `json:"ids"`
	BBox        []float64       `json:"bbox"`
	Intersects  json.RawMessage `json:"intersects"`
	Datetime    string          `json:"datetime"`
	Limit       *int            `json:"limit"`
	Filter      json.RawMessage `json:"filter"`
	FilterLang  string          `json:"filter-lang"`
	Query       json.RawMessage `json:"query"`
	SortBy      []sortTerm      `json:"sortby"`

	Token  string `json:"token"`
	Next   string `json:"next"`
	Cursor string `json:"cursor"`

	post   map[string]json.RawMessage // the body; nil after GET
	values url.Values                 // the query; nil after POST
}

// token returns the page token, from any of its names.
func (q *query) token() string {
	for _, token := range []string{q.Token, q.Next, q.Cursor} {
		if token != "" {
			return token
		}
	}
	return ""
}

func (q *query) limit() int {
	if q.Limit == nil {
		return defaultLimit
	}
	return *q.Limit
}

func parsePost(body []byte) (*query, error) {
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	q := &query{}
	if err := json.Unmarshal(body, q); err != nil {
		return nil, fmt.Errorf("parse body: %w", err)
	}
	if err := json.Unmarshal(body, &q.post); err != nil || q.post == nil {
		return nil, errors.New("the body must be a JSON object")
	}
	for _, member := range []*json.RawMessage{&q.Intersects, &q.Filter, &q.Query} {
		if string(*member) == "null" {
			*member = nil
		}
	}
	if q.FilterLang != "" && q.FilterLang != "cql2-json" {
		return nil, fmt.Errorf("filter-lang %q is not supported", q.FilterLang)
	}
	return q, nil
}

func parseGet(values url.Values) (*query, error) {
	q := &query{
		Collections: commas(values.Get("collections")), IDs: commas(values.Get("ids")),
		Datetime:   values.Get("datetime"),
		Intersects: raw(values.Get("intersects")), Filter: raw(values.Get("filter")), Query: raw(values.Get("query")),
		FilterLang: values.Get("filter-lang"),
		Token:      values.Get("token"), Next: values.Get("next"), Cursor: values.Get("cursor"), values: values,
	}
	for _, one := range commas(values.Get("bbox")) {
		number, err := strconv.ParseFloat(one, 64)
		if err != nil {
			return nil, fmt.Errorf("parse bbox: %w", err)
		}
		q.BBox = append(q.BBox, number)
	}
	if text := values.Get("limit"); text != "" {
		limit, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("parse limit: %w", err)
		}
		q.Limit = &limit
	}
	for _, one := range commas(values.Get("sortby")) {
		field, desc := strings.CutPrefix(one, "-")
		field = strings.TrimLeft(field, "+ ") // an unescaped + arrives as a space
		q.SortBy = append(q.SortBy, sortTerm{Field: field, Direction: direction(desc)})
	}
	if q.Filter != nil && q.FilterLang != "cql2-json" {
		return nil, errors.New("filter needs filter-lang=cql2-json, cql2-text is not supported")
	}
	return q, nil
}

// encode returns the query of an equivalent GET request, without a token.
func (q *query) encode() url.Values {
	values := url.Values{}
	for name, list := range q.values {
		values[name] = list
	}
	for name, member := range q.post {
		if text := encodeMember(name, member); text != "" {
			values.Set(name, text)
		}
	}
	for _, name := range []string{"token", "next", "cursor"} {
		values.Del(name)
	}
	if q.Filter != nil {
		values.Set("filter-lang", "cql2-json")
	}
	return values
}

// encodeMember returns a member of a body as a parameter of a query: lists with commas, objects as JSON.
func encodeMember(name string, member json.RawMessage) string {
	var sort []sortTerm
	if name == "sortby" && json.Unmarshal(member, &sort) == nil {
		terms := make([]string, len(sort))
		for i, term := range sort {
			terms[i] = map[bool]string{true: "-", false: "+"}[term.desc()] + term.Field
		}
		return strings.Join(terms, ",")
	}
	var text string
	if json.Unmarshal(member, &text) == nil {
		return text
	}
	var list []json.RawMessage
	if json.Unmarshal(member, &list) != nil {
		return string(member)
	}
	parts := make([]string, len(list))
	for i, one := range list {
		parts[i] = string(one)
		if json.Unmarshal(one, &text) == nil {
			parts[i] = text
		}
	}
	return strings.Join(parts, ",")
}

// compile checks the query and returns its predicate.
func (q *query) compile(quirks *Quirks) (predicate, error) {
	if limit := q.limit(); limit < 1 || limit > maxLimit {
		return nil, fmt.Errorf("limit %d is not between 1 and %d", limit, maxLimit)
	}
	if q.BBox != nil && q.Intersects != nil {
		return nil, errors.New("bbox and intersects cannot be combined")
	}
	parts := []func(*Quirks) (predicate, error){
		q.compileIDs, q.compileBBox, q.compileIntersects, q.compileDatetime, q.compileFilter, q.compileQuery,
	}
	var all []predicate
	for _, part := range parts {
		match, err := part(quirks)
		if err != nil {
			return nil, err
		}
		if match != nil {
			all = append(all, match)
		}
	}
	return every(all), nil
}

func (q *query) compileIDs(*Quirks) (predicate, error) {
	collections, ids := set(q.Collections), set(q.IDs)
	return func(item *Item) bool {
		return (len(collections) == 0 || collections[item.Collection]) && (len(ids) == 0 || ids[item.ID])
	}, nil
}

func set(list []string) map[string]bool {
	out := map[string]bool{}
	for _, one := range list {
		out[one] = true
	}
	return out
}

func commas(text string) []string {
	if text == "" {
		return nil
	}
	return strings.Split(text, ",")
}

func raw(text string) json.RawMessage {
	if text == "" {
		return nil
	}
	return json.RawMessage(text)
}
