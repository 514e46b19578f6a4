package stac

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// summaryProperties are the properties that the profile summary keeps where the configuration names none.
func summaryProperties() []string {
	return []string{
		"datetime", "start_datetime", "end_datetime", "created", "updated", "platform", "constellation", "instruments",
		"gsd", "eo:cloud_cover", "proj:epsg", "proj:code", "view:off_nadir", "sat:orbit_state", "s2:processing_baseline",
	}
}

// summaryAsset is what the profile summary keeps of an asset.
type summaryAsset struct {
	Href  string   `json:"href"`
	Type  string   `json:"type,omitempty"`
	Roles []string `json:"roles,omitempty"`
	Title string   `json:"title,omitempty"`
}

// summarize returns the footprint and the main properties of an item, as a Feature.
func summarize(i *stacapi.Item, c *EventConfig, collection, href, collectionHref string) ([]byte, error) {
	wanted := c.Properties
	if len(wanted) == 0 {
		wanted = summaryProperties()
	}
	properties := map[string]json.RawMessage{}
	for name, value := range i.Properties {
		if matchesAny(wanted, name) {
			properties[name] = value
		}
	}
	feature := struct {
		Type       string                     `json:"type"`
		ID         string                     `json:"id"`
		Collection string                     `json:"collection"`
		BBox       json.RawMessage            `json:"bbox,omitempty"`
		Geometry   json.RawMessage            `json:"geometry"`
		Properties map[string]json.RawMessage `json:"properties"`
		Assets     map[string]summaryAsset    `json:"assets,omitempty"`
		Links      []map[string]string        `json:"links"`
	}{
		"Feature", i.ID, collection, i.BBox, i.Geometry, properties, summaryAssets(i, c.Assets, href), []map[string]string{
			{"rel": "self", "type": "application/geo+json", "href": href},
			{"rel": "collection", "type": "application/json", "href": collectionHref},
		},
	}
	if feature.Geometry == nil {
		feature.Geometry = json.RawMessage("null")
	}
	return marshal(feature)
}

// summaryAssets returns the assets whose key or one of whose roles is wanted. Malformed ones are left out: one bad
// asset must not cost the event of its item.
func summaryAssets(i *stacapi.Item, wanted []string, href string) map[string]summaryAsset {
	var all map[string]json.RawMessage
	if len(wanted) == 0 || json.Unmarshal(i.Assets, &all) != nil {
		return nil
	}
	base, err := url.Parse(href)
	if err != nil {
		base = &url.URL{}
	}
	found := map[string]summaryAsset{}
	for key, raw := range all {
		var a summaryAsset
		if json.Unmarshal(raw, &a) != nil || a.Href == "" {
			continue
		}
		isWanted := func(name string) bool { return matchesAny(wanted, name) }
		if !isWanted(key) && !slices.ContainsFunc(a.Roles, isWanted) {
			continue
		}
		a.Href = resolve(base, unsigned(a.Href))
		found[key] = a
	}
	return found
}

// resolve returns the absolute address. One that is absolute already stays as it was written.
func resolve(base *url.URL, href string) string {
	if as, err := stacapi.ResolveLink(&url.URL{}, href); err != nil || as.IsAbs() {
		return href
	}
	target, err := stacapi.ResolveLink(base, href)
	if err != nil {
		return href
	}
	return target.String()
}

func matchesAny(patterns []string, s string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool { return matches(pattern, s) })
}

// matches reports whether the whole of s is the pattern, in which * stands for any characters.
func matches(pattern, s string) bool {
	head, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return s == pattern
	}
	if !strings.HasPrefix(s, head) {
		return false
	}
	s = s[len(head):]
	for {
		var part string
		part, rest, wild = strings.Cut(rest, "*")
		if !wild {
			return strings.HasSuffix(s, part)
		}
		at := strings.Index(s, part) // the first match leaves most for the rest of the pattern
		if at < 0 {
			return false
		}
		s = s[at+len(part):]
	}
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
