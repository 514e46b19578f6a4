package stacapi

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
)

// Catalog is a catalog or a collection of a static catalog.
type Catalog struct {
	Type  string
	ID    string
	Links []Link
	// From is where the document came from, which relative links refer to.
	From *url.URL
}

// ReadCatalog reads a catalog or a collection. Its links are needed, and the id of a collection.
func (c *Client) ReadCatalog(ctx context.Context, address *url.URL) (*Catalog, error) {
	var m Members
	a, err := getJSON(ctx, c, &request{method: http.MethodGet, url: c.withBaseQuery(address)}, &m)
	if err != nil {
		return nil, err
	}
	document := &Catalog{From: a.from}
	document.Type, _ = textOf(m["type"])
	document.ID, _ = textOf(m["id"])
	if document.Links, err = decodeLinks(m["links"]); err != nil {
		return nil, err
	}
	if document.Type == "Collection" && document.ID == "" {
		return nil, fmt.Errorf("the collection has no id that can be read: it is %s", kindOf(m["id"]))
	}
	return document, nil
}

// ReadItems reads a file that is an item or a FeatureCollection. If known identifies a state of the file and it is
// still in that state, the error is [ErrNotModified].
func (c *Client) ReadItems(ctx context.Context, address *url.URL, known Validator) (p *Page, err error) {
	r := &request{method: http.MethodGet, url: c.withBaseQuery(address), header: http.Header{}}
	known.apply(r.header)
	err = c.get(ctx, r, false, func(text []byte, a *answer) (err error) {
		p, err = decodeItemFile(text, a)
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

func decodeItemFile(text []byte, a *answer) (*Page, error) {
	text = bytes.TrimSpace(text)
	kind, hasFeatures := "", false
	err := splitObject(text, func(name string, value []byte) {
		switch name {
		case "type":
			kind, _ = textOf(value)
		case "features":
			hasFeatures = true
		}
	})
	switch {
	case err != nil:
		return nil, malformed(whyNotObject(text))
	case kind == "FeatureCollection" || kind == "" && hasFeatures:
		return decodePage(text, a)
	case kind != "Feature":
		return nil, fmt.Errorf("the document is of type %.40q, not an item", kind)
	}
	return &Page{
		Items: []json.RawMessage{text}, Matched: -1, From: a.from, ServerTime: a.serverTime, Validator: a.validator,
	}, nil
}
