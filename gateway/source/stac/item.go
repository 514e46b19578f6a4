package stac

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"
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
	Links      []struct {
		Rel  string `json:"rel"`
		Href string `json:"href"`
	} `json:"links"`

	raw json.RawMessage
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
func (i *item) property(name string) string {
	var s string
	if err := json.Unmarshal(i.Properties[name], &s); err != nil {
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
	return collectionURL(api, collection) + "/items/" + url.PathEscape(i.ID)
}

// collectionURL returns the address of a collection, without anything that may be secret.
func collectionURL(api *url.URL, collection string) string {
	return collectionsURL(api) + "/" + url.PathEscape(collection)
}

func collectionsURL(api *url.URL) string {
	base := url.URL{Scheme: api.Scheme, Host: api.Host, Path: strings.TrimSuffix(strings.TrimSuffix(api.Path, "/"), "/search")}
	return strings.TrimSuffix(base.String(), "/") + "/collections"
}

// datetime returns the item's time, or the beginning of it; zero if it has none.
func (i *item) datetime() time.Time {
	for _, name := range []string{"datetime", "start_datetime"} {
		if t, err := parseTime(i.property(name)); err == nil {
			return t
		}
	}
	return time.Time{}
}

// isUndated tells whether the item has a beginning and an end instead of a time.
func (i *item) isUndated() bool {
	return i.property("datetime") == "" && i.property("start_datetime") != ""
}

// version identifies a state of the item: when it was last updated, else its content.
func (i *item) version() (string, error) {
	if updated := i.property("updated"); updated != "" {
		return "updated " + updated, nil
	}
	return i.contentHash()
}

// contentHash identifies what is in the item. What changes without the item changing does not count: links, the signatures
// in the addresses of assets, and when it was last updated.
func (i *item) contentHash() (string, error) {
	d := json.NewDecoder(bytes.NewReader(i.raw))
	d.UseNumber()
	var content map[string]any
	if err := d.Decode(&content); err != nil {
		return "", fmt.Errorf("it is no JSON object: %w", err)
	}
	delete(content, "links")
	if properties, ok := content["properties"].(map[string]any); ok {
		delete(properties, "updated")
	}
	if assets, ok := content["assets"].(map[string]any); ok {
		for _, asset := range assets {
			if a, ok := asset.(map[string]any); ok {
				if href, ok := a["href"].(string); ok {
					a["href"] = unsigned(href)
				}
			}
		}
	}
	return hashJSON(content)
}

func hashJSON(content any) (string, error) {
	canonical, err := json.Marshal(content) // keys are sorted
	if err != nil {
		return "", fmt.Errorf("encode the content: %w", err)
	}
	sum := sha256.Sum256(canonical)
	return "content " + hex.EncodeToString(sum[:16]), nil
}

// unsigned drops the parameters of a shared access signature from the address of an asset.
func unsigned(href string) string {
	u, err := url.Parse(href)
	if err != nil || u.RawQuery == "" {
		return href
	}
	signature := []string{"se", "sp", "sv", "sr", "st", "sig", "skoid", "sktid", "skt", "ske", "sks", "skv"}
	values := u.Query()
	for _, name := range signature {
		values.Del(name)
	}
	u.RawQuery = values.Encode()
	return u.String()
}

// summaryProperties are the properties that the profile summary keeps.
func summaryProperties() []string {
	return []string{
		"datetime", "start_datetime", "end_datetime", "created", "updated", "platform", "constellation", "instruments",
		"gsd", "eo:cloud_cover", "proj:epsg", "proj:code", "view:off_nadir", "sat:orbit_state", "s2:processing_baseline",
	}
}

func (i *item) summary(collection, href, collectionHref string) ([]byte, error) {
	properties := map[string]json.RawMessage{}
	for name, value := range i.Properties {
		if slices.Contains(summaryProperties(), name) {
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
		Links      []map[string]string        `json:"links"`
	}{
		"Feature", i.ID, collection, i.BBox, i.Geometry, properties, []map[string]string{
			{"rel": "self", "type": "application/geo+json", "href": href},
			{"rel": "collection", "type": "application/json", "href": collectionHref},
		},
	}
	if feature.Geometry == nil {
		feature.Geometry = json.RawMessage("null")
	}
	return marshal(feature)
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
