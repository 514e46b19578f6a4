package stacapi

import (
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"time"
)

// Page is one page of a search, or a file of items.
type Page struct {
	// Items are the items as the server wrote them, for [ParseItem]. They belong to the receiver.
	Items []json.RawMessage
	// Matched is how many items the server says the search has; -1 if it does not say.
	Matched int
	// From is where the page came from, which relative links of the items refer to.
	From *url.URL
	// ServerTime is when the page was made, by the server's clock; zero if it did not say.
	ServerTime time.Time
	// Validator identifies the state of a file of items.
	Validator Validator

	next *Link
}

// decodePage reads a FeatureCollection as it streams in. Anything else is an error that a retry may cure: servers in
// trouble answer 200 with an HTML page.
func decodePage(body io.Reader, a *answer) (*Page, error) {
	p := &Page{Matched: -1, From: a.from, ServerTime: a.serverTime, Validator: a.validator}
	d := newDecoder(body)
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, malformed(err)
	}
	hasFeatures := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, malformed(err)
		}
		hasFeatures = hasFeatures || key == "features"
		if err := p.decodeMember(d, key); err != nil {
			return nil, malformed(err)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, malformed(err)
	}
	if !hasFeatures {
		return nil, malformed(errors.New("the JSON object has no features"))
	}
	return p, nil
}

func (p *Page) decodeMember(d *json.Decoder, key json.Token) error {
	switch key {
	case "features":
		return p.decodeItems(d)
	case "links":
		var links []Link
		if err := d.Decode(&links); err != nil {
			return err
		}
		if p.next == nil {
			p.next = findNext(links)
		}
		return nil
	case "numberMatched":
		var matched *int
		if err := d.Decode(&matched); err != nil {
			return err
		}
		if matched != nil {
			p.Matched = *matched
		}
		return nil
	case "context":
		var context struct {
			Matched *int `json:"matched"`
		}
		if err := d.Decode(&context); err != nil {
			return err
		}
		if context.Matched != nil && p.Matched < 0 {
			p.Matched = *context.Matched
		}
		return nil
	}
	var ignored json.RawMessage
	return d.Decode(&ignored)
}

func (p *Page) decodeItems(d *json.Decoder) error {
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		return errors.Join(err, errors.New("features is not an array"))
	}
	for d.More() {
		var item json.RawMessage
		if err := d.Decode(&item); err != nil {
			return err
		}
		p.Items = append(p.Items, item)
	}
	_, err := d.Token()
	return err
}
