package stacapi

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"time"
	"unicode/utf8"
)

// Item holds the members of a STAC item that this package reads; the rest stays in Raw.
type Item struct {
	ID         string
	Collection string
	BBox       json.RawMessage
	Geometry   json.RawMessage
	Version    string
	Properties Members
	Assets     json.RawMessage
	Links      []ItemLink

	// Raw is the whole item, as the server wrote it, but with null for NaN and Infinity, which are not JSON.
	Raw json.RawMessage
	// File is the address of the file that the item was read from; "" if it came from a search.
	File string
	// Ignored says what was not readable and is not needed, each as in "properties.updated is not a time in RFC 3339".
	Ignored []string
}

// ItemLink is a link of an item.
type ItemLink struct{ Rel, Href string }

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

// maxID bounds the id of an item, in bytes.
const maxID = 1024

// ParseItem reads an item. Only the id is needed; any other member that cannot be read is treated
// as missing, and noted in Ignored. The error of an item that cannot be read names its id, if that can be found.
func ParseItem(raw json.RawMessage) (*Item, error) {
	var m Members
	i := &Item{Raw: raw}
	if json.Unmarshal(raw, &m) != nil || !utf8.Valid(raw) {
		clean, replaced, err := cleanJSON(raw)
		if err != nil {
			return nil, fmt.Errorf("%s is not valid: %w", nameOf(raw), err)
		}
		m = nil
		_ = json.Unmarshal(clean, &m) // one that is not an object has no id
		if i.Raw = clean; replaced > 0 {
			i.ignore("NaN or Infinity, which is not JSON, is read as null (%d)", replaced)
		}
	}
	id := m.Text("id") // a number is none: another notation of it would make another item
	switch {
	case m == nil:
		return nil, fmt.Errorf("not a valid STAC item: it is %s, not an object", kindOf(i.Raw[skipSpace(i.Raw, 0):]))
	case !isMissing(m["id"]) && m["id"][0] != '"':
		return nil, fmt.Errorf("not a valid STAC item: its id is %s, not text: %.40s", kindOf(m["id"]), m["id"])
	case id == "":
		return nil, errors.New("not a valid STAC item: it has no id")
	case len(id) > maxID:
		return nil, fmt.Errorf("not a valid STAC item: its id is longer than %d bytes: %.40q", maxID, id)
	}
	i.ID, i.BBox, i.Geometry, i.Assets = id, m["bbox"], m["geometry"], m["assets"]
	i.read(m)
	return i, nil
}

func (i *Item) ignore(format string, args ...any) {
	i.Ignored = append(i.Ignored, fmt.Sprintf(format, args...))
}

// read reads the members that are not needed.
func (i *Item) read(m Members) {
	var ok bool
	if i.Collection, ok = textOf(m["collection"]); !ok {
		i.ignore("collection is %s, not text", kindOf(m["collection"]))
	}
	if i.Version, ok = textOf(m["stac_version"]); !ok {
		i.ignore("stac_version is %s, not text", kindOf(m["stac_version"]))
	}
	if properties := m["properties"]; !isMissing(properties) && json.Unmarshal(properties, &i.Properties) != nil {
		i.ignore("properties is %s, not an object", kindOf(properties))
	}
	for _, name := range []string{"datetime", "start_datetime", "end_datetime", "created", "updated", "published"} {
		if value := i.Properties[name]; !isMissing(value) && i.Properties.Time(name) == "" {
			i.ignore("properties.%s is not a time in RFC 3339", name)
		}
	}
	links, err := decodeLinks(m["links"])
	if err != nil {
		i.ignore("%v", err)
	}
	for n := range links {
		i.Links = append(i.Links, ItemLink{links[n].Rel, links[n].Href})
	}
}

// IDOf returns the id of an item, also of one that is not valid otherwise; "" if it cannot be found.
func IDOf(raw json.RawMessage) (id string) {
	_ = splitObject(raw, func(name string, value []byte) { // as far as it goes
		if name == "id" && value[0] == '"' {
			id, _ = textOf(value)
		}
	})
	return id
}

// nameOf names an item in messages.
func nameOf(raw json.RawMessage) string {
	if id := IDOf(raw); id != "" {
		return fmt.Sprintf("item %.80q", id)
	}
	return "an item without an id"
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
// is where the item was read, which relative links refer to. If the API is https, an address of its host with http is
// the name that a server behind a proxy has for itself, and becomes https.
func (i *Item) Href(api *url.URL, collection string, page *url.URL) string {
	for _, rel := range []string{"self", "canonical"} {
		for _, l := range i.Links {
			if (&Link{Rel: l.Rel}).Is(rel) && l.Href != "" {
				if target, err := ResolveLink(page, l.Href); err == nil {
					return asSecure(api, target).String()
				}
			}
		}
	}
	if i.File != "" {
		return i.File
	}
	return ItemURL(api, collection, i.ID)
}
