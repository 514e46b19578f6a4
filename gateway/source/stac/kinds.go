package stac

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// exampleItem is a small valid item.
const exampleItem = `{"type":"Feature","stac_version":"1.1.0","id":"S2A_10TFK_20261123_0_L2A","geometry":` +
	`{"type":"Polygon","coordinates":[[[-121.8,39.7],[-120.5,39.7],[-120.5,40.6],[-121.8,40.6],[-121.8,39.7]]]},` +
	`"bbox":[-121.8,39.7,-120.5,40.6],` +
	`"properties":{"datetime":"2026-11-23T19:03:12Z","created":"2026-11-23T22:14:05Z","updated":"2026-11-23T22:14:05Z",` +
	`"platform":"sentinel-2a","eo:cloud_cover":12.5},"links":[],"assets":{}}`

// exampleCollection is a small valid collection, except that it has no name.
const exampleCollection = `{"type":"Collection","stac_version":"1.1.0","description":"Scenes of the Earth.",` +
	`"license":"other","extent":{"spatial":{"bbox":[[-180,-90,180,90]]},"temporal":{"interval":` +
	`[["2015-06-27T10:25:31Z",null]]}},"links":[]}`

// eventKinds returns the kinds of events of a source: an item or a collection was created, changed or deleted.
func eventKinds(c *Config) ([]source.EventKind, error) {
	api, err := url.Parse(c.URL)
	if err != nil {
		return nil, fmt.Errorf("parse url: %w", err)
	}
	m, err := newMapper(api, c, "example")
	if err != nil {
		return nil, err
	}
	m.example, m.now = true, func() time.Time { return time.Date(2026, 11, 23, 22, 15, 0, 0, time.UTC) }
	items, err := itemKinds(&m)
	if err != nil {
		return nil, err
	}
	collections, err := collectionKinds(&m)
	return append(items, collections...), err
}

func itemKinds(m *mapper) ([]source.EventKind, error) {
	i, err := stacapi.ParseItem(json.RawMessage(exampleItem))
	if err != nil {
		return nil, err
	}
	state, err := version(i)
	if err != nil {
		return nil, err
	}
	collection := exampleName(m.config)
	created, err := m.event(i, collection, state, opCreate, m.api)
	if err != nil {
		return nil, err
	}
	updated, err := m.event(i, collection, state, opUpdate, m.api)
	if err != nil {
		return nil, err
	}
	deleted, err := m.deleted(deletedItem{id: i.ID, collection: collection, version: state})
	if err != nil {
		return nil, err
	}
	data := dataSchema(m.config)
	isAny := strings.Contains(strings.NewReplacer("{operation}", "", "{{", "").Replace(m.config.Event.Type), "{")
	kinds := []source.EventKind{
		{Name: "item-create", Summary: "An item was added to the catalog.", Data: data, Example: created, AnyType: isAny},
		{Name: "item-update", Summary: "An item of the catalog has changed.", Data: data, Example: updated, AnyType: isAny},
	}
	if m.config.Deletes.Enabled {
		kinds = append(kinds, source.EventKind{
			Name: "item-delete", Summary: "An item was removed from the catalog.",
			Data: linkSchema(), Example: deleted, AnyType: isAny,
		})
	}
	return kinds, nil
}

// exampleName returns the name of a collection that may be watched.
func exampleName(c *Config) string {
	name := strings.NewReplacer("*", "", "?", "", "[", "", "]", "").Replace(c.Collections[0])
	if isPattern(c.Collections[0]) {
		name += "example"
	}
	return name
}

func collectionKinds(m *mapper) ([]source.EventKind, error) {
	if !m.config.CollectionEvents {
		return nil, nil
	}
	raw := json.RawMessage(exampleCollection)
	version, err := collectionVersion(raw)
	if err != nil {
		return nil, err
	}
	var kinds []source.EventKind
	for _, kind := range []struct {
		operation operation
		summary   string
	}{
		{opCreate, "A collection was added to the catalog."},
		{opUpdate, "A collection of the catalog has changed."},
		{opDelete, "A collection was removed from the catalog."},
	} {
		if kind.operation == opDelete && !m.config.Deletes.Enabled {
			continue
		}
		change := collectionChange{id: exampleName(m.config), raw: raw, version: version, operation: kind.operation}
		example, err := m.collection(change)
		if err != nil {
			return nil, err
		}
		data := linkSchema()
		if kind.operation != opDelete && m.config.Event.isWhole() {
			data = map[string]any{"type": "object"} // the document, or a link where it is too large
		}
		kinds = append(kinds, source.EventKind{
			Name: "collection-" + string(kind.operation), Summary: kind.summary, Data: data, Example: example,
		})
	}
	return kinds, nil
}

func linkSchema() map[string]any {
	type object = map[string]any
	text := object{"type": "string"}
	return object{
		"type": "object", "required": []any{"href", "producer"},
		"properties": object{"href": object{"type": "string", "format": "uri"}, "producer": text, "type": text, "rel": text},
	}
}

// dataSchema returns the schema of the data: of the profile, or of the link that replaces an item that is too large.
func dataSchema(c *Config) map[string]any {
	type object = map[string]any
	text := object{"type": "string"}
	feature := object{
		"type": "object", "required": []any{"type", "id", "geometry", "properties"},
		"properties": object{
			"type": object{"const": "Feature"}, "id": text, "geometry": object{"type": []any{"object", "null"}},
			"bbox":       object{"type": "array", "items": object{"type": "number"}},
			"properties": object{"type": "object"}, "assets": object{"type": "object"}, "links": object{"type": "array"},
		},
	}
	switch c.Event.Profile {
	case profileSummary, profileItem:
		return object{"anyOf": []any{feature, linkSchema()}}
	default:
		return linkSchema()
	}
}
