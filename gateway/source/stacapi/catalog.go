package stacapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// Catalog is a catalog or a collection of a static catalog.
type Catalog struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Links []Link `json:"links"`
	// From is where the document came from, which relative links refer to.
	From *url.URL `json:"-"`
}

// ReadCatalog reads a catalog or a collection.
func (c *Client) ReadCatalog(ctx context.Context, address *url.URL) (*Catalog, error) {
	var document Catalog
	a, err := getJSON(ctx, c, &request{method: http.MethodGet, url: c.withBaseQuery(address)}, &document)
	if err != nil {
		return nil, err
	}
	document.From = a.from
	return &document, nil
}

// ReadItems reads a file that is an item or a FeatureCollection. If known identifies a state of the file and it is
// still in that state, the error is [ErrNotModified].
func (c *Client) ReadItems(ctx context.Context, address *url.URL, known Validator) (p *Page, err error) {
	r := &request{method: http.MethodGet, url: c.withBaseQuery(address), header: http.Header{}}
	known.apply(r.header)
	err = c.get(ctx, r, false, func(body io.Reader, a *answer) (err error) {
		p, err = decodeItemFile(body, a)
		return err
	})
	if status, ok := errors.AsType[*StatusError](err); ok && status.Code == http.StatusNotModified && !known.IsZero() {
		return nil, ErrNotModified
	}
	return p, err
}

// NextFile returns the address of the file that continues a file of items; nil if there is none.
func (p *Page) NextFile() (*url.URL, error) {
	if p.next == nil {
		return nil, nil //nolint:nilnil // the usual case: the file is whole
	}
	next, err := p.next.follow(&request{method: http.MethodGet, url: p.From}, p.From)
	if err != nil {
		return nil, err
	}
	if next.method != http.MethodGet {
		return nil, fmt.Errorf("the next page of a file cannot be read with %s", next.method)
	}
	return next.url, nil
}

func decodeItemFile(body io.Reader, a *answer) (*Page, error) {
	var raw json.RawMessage
	if err := decodeJSON(body, &raw); err != nil {
		return nil, err
	}
	var head struct {
		Type     string            `json:"type"`
		Features []json.RawMessage `json:"features"`
		Links    []Link            `json:"links"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, malformed(err)
	}
	p := &Page{Matched: -1, From: a.from, ServerTime: a.serverTime, Validator: a.validator}
	switch head.Type {
	case "Feature":
		p.Items = []json.RawMessage{raw}
	case "FeatureCollection":
		p.Items, p.next = head.Features, findNext(head.Links)
	default:
		return nil, fmt.Errorf("the document is of type %.40q, not an item", head.Type)
	}
	return p, nil
}
