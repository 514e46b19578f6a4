package stac

import (
	"encoding/json"
	"net/url"
	"slices"
	"strings"
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

func (i *item) summary(c *EventConfig, collection, href, collectionHref string) ([]byte, error) {
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
		"Feature", i.ID, collection, i.BBox, i.Geometry, properties, i.assets(c.Assets, href), []map[string]string{
			{"rel": "self", "type": "application/geo+json", "href": href},
			{"rel": "collection", "type": "application/json", "href": collectionHref},
		},
	}
	if feature.Geometry == nil {
		feature.Geometry = json.RawMessage("null")
	}
	return marshal(feature)
}

// assets returns the assets whose key or one of whose roles is wanted. What is malformed is left out: one bad asset must
// not cost the event of its item.
func (i *item) assets(wanted []string, href string) map[string]summaryAsset {
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
		if !matchesAny(wanted, key) && !slices.ContainsFunc(a.Roles, func(role string) bool { return matchesAny(wanted, role) }) {
			continue
		}
		a.Href = resolve(base, unsigned(a.Href))
		found[key] = a
	}
	return found
}

// resolve returns the absolute address. One that is absolute already stays as it is written.
func resolve(base *url.URL, href string) string {
	target, err := url.Parse(escapeControls(href))
	if err != nil || target.IsAbs() {
		return href
	}
	return base.ResolveReference(target).String()
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
		at := strings.Index(s, part) // the first place leaves most for the others
		if at < 0 {
			return false
		}
		s = s[at+len(part):]
	}
}
