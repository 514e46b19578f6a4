package stac

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/streamgate/streamgate/gateway"
)

// exampleItem is a small valid item.
const exampleItem = `{"type":"Feature","stac_version":"1.1.0","id":"S2A_10TFK_20261123_0_L2A","geometry":{"type":"Polygon",` +
	`"coordinates":[[[-121.8,39.7],[-120.5,39.7],[-120.5,40.6],[-121.8,40.6],[-121.8,39.7]]]},"bbox":[-121.8,39.7,-120.5,40.6],` +
	`"properties":{"datetime":"2026-11-23T19:03:12Z","created":"2026-11-23T22:14:05Z","updated":"2026-11-23T22:14:05Z",` +
	`"platform":"sentinel-2a","eo:cloud_cover":12.5},"links":[],"assets":{}}`

// EventKinds implements gateway.EventDescriber: an item was created, or changed.
func (c *Config) EventKinds() ([]gateway.EventKind, error) {
	api, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("parse url: %w", err)
	}
	i, err := parseItem(json.RawMessage(exampleItem))
	if err != nil {
		return nil, err
	}
	m := mapper{api: api, config: c, now: func() time.Time { return time.Date(2026, 11, 23, 22, 15, 0, 0, time.UTC) }}
	var kinds []gateway.EventKind
	for _, kind := range []struct {
		name, summary string
		op            operation
	}{
		{"item-create", "An item was added to the catalogue.", operationCreate},
		{"item-update", "An item of the catalogue has changed.", operationUpdate},
	} {
		example, err := m.event(i, c.Collections[0], "updated "+i.property("updated"), kind.op, api)
		if err != nil {
			return nil, err
		}
		kinds = append(kinds, gateway.EventKind{Name: kind.name, Summary: kind.summary, Data: c.dataSchema(), Example: example})
	}
	return kinds, nil
}

// dataSchema is that of the profile, or of what takes its place where an item is too large.
func (c *Config) dataSchema() map[string]any {
	type object = map[string]any
	text := object{"type": "string"}
	link := object{
		"type": "object", "required": []any{"href", "producer"},
		"properties": object{"href": object{"type": "string", "format": "uri"}, "producer": text, "type": text, "rel": text},
	}
	feature := object{
		"type": "object", "required": []any{"type", "id", "geometry", "properties"},
		"properties": object{
			"type": object{"const": "Feature"}, "id": text, "geometry": object{"type": []any{"object", "null"}},
			"bbox":       object{"type": "array", "items": object{"type": "number"}},
			"properties": object{"type": "object"}, "links": object{"type": "array"},
		},
	}
	switch c.Event.Profile {
	case profileSummary, profileItem:
		return object{"anyOf": []any{feature, link}}
	default:
		return link
	}
}
