package stacapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"
)

// Item holds the members of a STAC item that this package reads; the rest stays in Raw.
type Item struct {
	ID         string          `json:"id"`
	Collection string          `json:"collection"`
	BBox       json.RawMessage `json:"bbox"`
	Geometry   json.RawMessage `json:"geometry"`
	Version    string          `json:"stac_version"`
	Properties Members         `json:"properties"`
	Assets     json.RawMessage `json:"assets"`
	Links      []ItemLink      `json:"links"`

	// Raw is the whole item, as the server wrote it.
	Raw json.RawMessage `json:"-"`
	// File is the address of the file that the item was read from; "" if it came from a search.
	File string `json:"-"`
}

// ItemLink is a link of an item. It is read leniently: what a link says beside this must not cost the item.
type ItemLink struct {
	Rel  string `json:"rel"`
	Href string `json:"href"`
}

// Members are members of a JSON object, as the server wrote them.
type Members map[string]json.RawMessage

// Text returns a member that is a string, or "".
func (m Members) Text(name string) string {
	var s string
	if err := json.Unmarshal(m[name], &s); err != nil {
		return ""
	}
	return s
}

// Time returns the first of the named members that is a time, in RFC 3339, or "".
func (m Members) Time(names ...string) string {
	for _, name := range names {
		if t, err := ParseTime(m.Text(name)); err == nil {
			return t.Format(time.RFC3339Nano) // time.Parse accepts a little more than RFC 3339 allows
		}
	}
	return ""
}

// ParseItem reads an item, which must have an id.
func ParseItem(raw json.RawMessage) (*Item, error) {
	i := Item{Raw: raw}
	if err := json.Unmarshal(raw, &i); err != nil {
		return nil, fmt.Errorf("not a valid STAC item: %w", err)
	}
	if i.ID == "" {
		return nil, errors.New("not a valid STAC item: it has no id")
	}
	return &i, nil
}

// Updated returns when the item says that it was last changed. An offset other than UTC is kept.
func (i *Item) Updated() (time.Time, error) { return ParseTime(i.Properties.Text("updated")) }

// Datetime returns when the item was acquired, or when that began, in RFC 3339, or "".
func (i *Item) Datetime() string { return i.Properties.Time("datetime", "start_datetime") }

// Begins returns the same as a time; zero if there is none.
func (i *Item) Begins() time.Time {
	t, err := ParseTime(i.Datetime())
	if err != nil {
		return time.Time{}
	}
	return t
}

// IsUndated reports whether the item has a beginning and an end instead of a time.
func (i *Item) IsUndated() bool {
	return i.Properties.Text("datetime") == "" && i.Properties.Text("start_datetime") != ""
}

// Href returns the address of the item: its self link, else its canonical link, else the file that it came from, else
// the address that the API should have for it. The specification recommends a self link and does not require it. page
// is where the item was read, which relative links refer to.
func (i *Item) Href(api *url.URL, collection string, page *url.URL) string {
	for _, rel := range []string{"self", "canonical"} {
		for _, l := range i.Links {
			if l.Rel != rel || l.Href == "" {
				continue
			}
			if target, err := ResolveLink(page, l.Href); err == nil {
				return target.String()
			}
		}
	}
	if i.File != "" {
		return i.File
	}
	return ItemURL(api, collection, i.ID)
}
