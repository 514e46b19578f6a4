package stac

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// page is one page of a search.
type page struct {
	items   []json.RawMessage
	next    *link
	matched int // how many items the server says there are; -1 if it does not
	from    *url.URL

	isFile         bool   // of a static catalogue
	etag, modified string // of that file
}

// decodePage reads a FeatureCollection as it streams in. What is not one is an error that a retry may cure: servers in
// trouble answer 200 with an HTML page.
func decodePage(body io.Reader, from *url.URL) (*page, error) {
	p := &page{matched: -1, from: from}
	d := json.NewDecoder(body)
	if token, err := d.Token(); err != nil || token != json.Delim('{') {
		return nil, notJSON(err)
	}
	hasFeatures := false
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, notJSON(err)
		}
		switch key {
		case "features":
			hasFeatures = true
			err = p.decodeItems(d)
		case "links":
			err = p.decodeLinks(d)
		case "numberMatched":
			err = p.decodeMatched(d)
		case "context":
			var context struct {
				Matched *int `json:"matched"`
			}
			if err = d.Decode(&context); err == nil && context.Matched != nil && p.matched < 0 {
				p.matched = *context.Matched
			}
		default:
			var ignored json.RawMessage
			err = d.Decode(&ignored)
		}
		if err != nil {
			return nil, notJSON(err)
		}
	}
	if _, err := d.Token(); err != nil {
		return nil, notJSON(err)
	}
	if !hasFeatures {
		return nil, &statusError{code: http.StatusOK, text: "a JSON object without features"}
	}
	return p, nil
}

func (p *page) decodeItems(d *json.Decoder) error {
	if token, err := d.Token(); err != nil || token != json.Delim('[') {
		return errors.Join(err, errors.New("features is no array"))
	}
	for d.More() {
		var item json.RawMessage
		if err := d.Decode(&item); err != nil {
			return err
		}
		p.items = append(p.items, item)
	}
	_, err := d.Token()
	return err
}

func (p *page) decodeLinks(d *json.Decoder) error {
	var links []link
	if err := d.Decode(&links); err != nil {
		return err
	}
	for i := range links {
		if links[i].Rel == "next" && links[i].Href != "" && p.next == nil {
			p.next = &links[i]
		}
	}
	return nil
}

func (p *page) decodeMatched(d *json.Decoder) error {
	var n *int
	if err := d.Decode(&n); err != nil {
		return err
	}
	if n != nil {
		p.matched = *n
	}
	return nil
}

func notJSON(err error) error {
	if err == nil {
		err = errors.New("no JSON object")
	}
	return &statusError{code: http.StatusOK, text: err.Error()}
}

func decodeJSON(d *json.Decoder, v any) error {
	if err := d.Decode(v); err != nil {
		return notJSON(fmt.Errorf("decode: %w", err))
	}
	return nil
}
