package stacsample

import (
	"net/http"
)

type featureCollection struct {
	Type     string    `json:"type"`
	Features []feature `json:"features"`
	Links    []link    `json:"links"`
	Matched  *int      `json:"numberMatched,omitempty"`
	Returned *int      `json:"numberReturned,omitempty"`
}

// scan is a valid search.
type scan struct {
	query *query
	from  *token // nil without a token
	match predicate
	order order
	limit int
}

// page answers a search; err is the error of parsing it, or nil.
func (x *exchange) page(q *query, err error) {
	var s *scan
	if err == nil {
		s, err = x.newScan(q)
	}
	if err != nil {
		x.fail(http.StatusBadRequest, err.Error())
		return
	}
	if most := x.quirks.FailAboveLimit; most > 0 && s.limit > most {
		x.json(http.StatusBadGateway, typeJSON, map[string]string{"message": "Internal server error"})
		return
	}
	if most := x.quirks.MaxLimit; most > 0 {
		s.limit = min(s.limit, most)
	}
	x.json(http.StatusOK, typeGeoJSON, x.collect(s))
}

func (x *exchange) newScan(q *query) (*scan, error) {
	s := &scan{}
	var err error
	if s.query, s.from, err = x.resume(q); err != nil {
		return nil, err
	}
	if s.match, err = s.query.compile(&x.quirks.Quirks); err != nil {
		return nil, err
	}
	if s.order, err = s.query.order(&x.quirks.Quirks); err != nil {
		return nil, err
	}
	s.limit = s.query.limit()
	if s.from == nil {
		return s, nil
	}
	if s.from.item != nil {
		s.from.Key = s.order.key(s.from.item)
	}
	if !s.from.Start && len(s.from.Key) != len(s.order.terms) {
		return nil, errBadToken
	}
	return s, nil
}

func (x *exchange) collect(s *scan) featureCollection {
	items := x.catalog.selectItems(s.match)
	matched := len(items)
	s.order.sort(items)
	if s.from != nil && !s.from.Start && !x.quirks.RepeatPage {
		items = s.order.after(items, s.from.Key, &x.quirks.Quirks)
	}
	shown, next := x.cut(s, items)

	page := featureCollection{Type: "FeatureCollection", Features: []feature{}, Links: []link{
		{Rel: "self", Type: typeGeoJSON, Href: x.base + x.r.URL.EscapedPath()},
		{Rel: "root", Type: typeJSON, Href: x.base + "/"},
	}}
	for _, item := range shown {
		page.Features = append(page.Features, x.feature(item))
	}
	if next != nil {
		page.Links = append(page.Links, x.nextLink(s.query, next))
	}
	if returned := len(shown); !x.quirks.NoNumberMatched {
		page.Matched, page.Returned = &matched, &returned
	}
	return page
}

// cut returns the items of the page and the token of the next page, or nil for the last one.
func (x *exchange) cut(s *scan, items []*Item) (shown []*Item, next *token) {
	if x.quirks.EmptyPageWithNext && s.from == nil {
		return nil, &token{Start: true}
	}
	shown = items[:min(len(items), s.limit)]
	if len(shown) == 0 {
		return nil, nil
	}
	last := shown[len(shown)-1]
	next = &token{Key: s.order.key(last), item: last}
	if x.quirks.RepeatPage {
		return shown, next
	}
	more := len(s.order.after(items, next.Key, &x.quirks.Quirks)) > 0
	if more && x.quirks.DropNextOnFullPage || !more && !x.quirks.NextOnLastPage {
		return shown, nil
	}
	return shown, next
}
