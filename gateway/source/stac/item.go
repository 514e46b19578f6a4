package stac

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"path"
	"strings"
	"time"
)

// item is what of a STAC item matters for an event; everything else stays in raw.
type item struct {
	ID         string                     `json:"id"`
	Collection string                     `json:"collection"`
	BBox       json.RawMessage            `json:"bbox"`
	Geometry   json.RawMessage            `json:"geometry"`
	Version    string                     `json:"stac_version"`
	Properties map[string]json.RawMessage `json:"properties"`
	Assets     json.RawMessage            `json:"assets"`
	Links      []struct {
		Rel  string `json:"rel"`
		Href string `json:"href"`
	} `json:"links"`

	raw     json.RawMessage
	address string // of the file that it was read from; "" where an API has given it
}

func parseItem(raw json.RawMessage) (*item, error) {
	i := item{raw: raw}
	if err := json.Unmarshal(raw, &i); err != nil {
		return nil, fmt.Errorf("it is no STAC item: %w", err)
	}
	if i.ID == "" {
		return nil, errors.New("it has no id")
	}
	return &i, nil
}

// property returns a property that is a string, or "".
func (i *item) property(name string) string { return text(i.Properties[name]) }

// datetime returns when the item was taken, or when that began, or "".
func (i *item) datetime() string {
	return firstTime("", i.property("datetime"), i.property("start_datetime"))
}

// text returns a value that is a string, or "".
func text(raw json.RawMessage) string {
	var s string
	if err := json.Unmarshal(raw, &s); err != nil {
		return ""
	}
	return s
}

// href returns the address of the item: its self link, else its canonical one, else what the API should call it. The
// specification recommends a self link and does not demand one.
func (i *item) href(api *url.URL, collection string, page *url.URL) string {
	for _, rel := range []string{"self", "canonical"} {
		for l := range i.Links {
			if i.Links[l].Rel != rel || i.Links[l].Href == "" {
				continue
			}
			if target, err := page.Parse(escapeControls(i.Links[l].Href)); err == nil {
				return target.String()
			}
		}
	}
	if i.address != "" {
		return i.address
	}
	return itemURL(api, collection, i.ID)
}

// collectionURL returns the address of a collection, without anything that may be secret.
func collectionURL(api *url.URL, collection string) string {
	return collectionsURL(api) + "/" + url.PathEscape(collection)
}

func collectionsURL(api *url.URL) string { return apiURL(api) + "/collections" }

// apiURL returns the address of the API, without a slash at its end and without anything that may be secret.
func apiURL(api *url.URL) string {
	base := url.URL{Scheme: api.Scheme, Host: api.Host, Path: strings.TrimSuffix(strings.TrimSuffix(api.Path, "/"), "/search")}
	if path.Ext(base.Path) == ".json" { // the root of a static catalogue
		base.Path = path.Dir(base.Path)
	}
	return strings.TrimSuffix(base.String(), "/")
}

// itemURL returns what the API should call an item.
func itemURL(api *url.URL, collection, id string) string {
	return collectionURL(api, collection) + "/items/" + url.PathEscape(id)
}

// marshal encodes without escaping the characters of HTML, which occur in addresses.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, fmt.Errorf("encode data: %w", err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// began returns the item's time, or the beginning of it; zero if it has none.
func (i *item) began() time.Time {
	t, err := parseTime(i.datetime())
	if err != nil {
		return time.Time{}
	}
	return t
}

// isUndated tells whether the item has a beginning and an end instead of a time.
func (i *item) isUndated() bool {
	return i.property("datetime") == "" && i.property("start_datetime") != ""
}
