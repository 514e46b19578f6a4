package stac

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/streamgate/streamgate/gateway/template"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// Profiles: what the data of an event holds.
const (
	profileLink    = "link"
	profileOrigin  = "origin"
	profileSummary = "summary"
	profileItem    = "item"
)

func profiles() []string { return []string{profileLink, profileOrigin, profileSummary, profileItem} }

// collectionType is the type of the events of collections, as OGC API Publish-Subscribe names them.
const collectionType = "org.ogc.api.collection."

// operation is what has happened. A watcher cannot tell a replaced item from a patched one.
type operation string

const (
	opCreate operation = "create"
	opUpdate operation = "update"
	opDelete operation = "delete"
)

// maxDataBytes is the size of the largest data; an item that makes more is only linked.
const maxDataBytes = 900 << 10

// eventIDs is the namespace of the ids: the same state of the same item has the same id wherever it is watched.
func eventIDs() uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/streamgate/streamgate/gateway/source/stac"))
}

// mapper makes events of items and collections. It is safe for concurrent use.
type mapper struct {
	api       *url.URL
	config    *Config
	name      string // of the source
	templates templates
	now       func() time.Time

	example bool // a placeholder without a value is filled in, for documents
}

// newMapper parses the templates of the configuration. The name is that of the source.
func newMapper(api *url.URL, c *Config, name string) (mapper, error) {
	t, problems := c.Event.parse()
	if len(problems) > 0 {
		return mapper{}, fmt.Errorf("configure events: %w", problems)
	}
	return mapper{api: api, config: c, name: name, templates: t, now: time.Now}, nil
}

// subject is what an event is about: an item, or, without an id, a collection.
type subject struct {
	id, collection, href string
	operation            operation
	version              string
	stacVersion          string
	item                 *item // nil where there is none at hand
}

// deletedItem is what is still known of an item that is gone.
type deletedItem struct {
	id, collection string
	href           string // the last one that was seen; "" for what the API should call it
	version        string // the last one that was published
}

// collectionChange is a collection that was added, has changed or is gone.
type collectionChange struct {
	id        string
	raw       json.RawMessage // its document; nil where it is gone
	version   string          // see collectionVersion; of what is gone the last one
	operation operation
}

// event returns the event that says that the item was created or updated.
func (m *mapper) event(i *item, collection, version string, op operation, page *url.URL) (rawevent.Event, error) {
	s := subject{
		id: i.ID, collection: collection, operation: op, version: version, stacVersion: i.Version, item: i,
		href: itemURL(m.api, collection, i.ID),
	}
	if m.config.Event.RewriteSelf != rewriteSelf {
		s.href = i.href(m.api, collection, page)
	}
	e, err := m.itemEvent(&s)
	if err != nil {
		return rawevent.Event{}, err
	}
	now, _ := e.Attribute("recordedtime")
	e.Set(rawevent.AttrTime, firstTime(now, i.property("updated"), i.property("published"), i.property("created")))
	if at := i.datetime(); at != "" {
		e.Set("datetime", at)
	}
	if err := m.setData(&e, &s); err != nil {
		return rawevent.Event{}, err
	}
	return m.finish(&e, &s)
}

// deleted returns the event that says that the item is gone: a link, whatever the profile.
func (m *mapper) deleted(d deletedItem) (rawevent.Event, error) {
	s := subject{id: d.id, collection: d.collection, href: d.href, operation: opDelete, version: d.version}
	if s.href == "" || m.config.Event.RewriteSelf == rewriteSelf {
		s.href = itemURL(m.api, d.collection, d.id)
	}
	e, err := m.itemEvent(&s)
	if err != nil {
		return rawevent.Event{}, err
	}
	if err := m.setLink(&e, &s); err != nil {
		return rawevent.Event{}, err
	}
	return m.finish(&e, &s)
}

// collection returns the event that says that a collection was created, updated or deleted.
func (m *mapper) collection(c collectionChange) (rawevent.Event, error) {
	document := map[string]json.RawMessage{}
	if c.raw != nil {
		if err := json.Unmarshal(c.raw, &document); err != nil {
			return rawevent.Event{}, fmt.Errorf("collection %q is no JSON object: %w", c.id, err)
		}
	}
	s := subject{
		collection: c.id, href: collectionURL(m.api, c.id), operation: c.operation, version: c.version,
		stacVersion: text(document["stac_version"]),
	}
	e, err := m.newEvent(&s, collectionType+string(c.operation), s.href)
	if err != nil {
		return rawevent.Event{}, err
	}
	now, _ := e.Attribute("recordedtime")
	e.Set(rawevent.AttrTime, firstTime(now, text(document["updated"]), text(document["created"])))
	e.Set("partitionkey", c.id)
	if err := m.setLink(&e, &s); err != nil {
		return rawevent.Event{}, err
	}
	if profile := m.config.Event.Profile; len(document) > 0 && c.operation != opDelete && (profile == profileSummary || profile == profileItem) {
		delete(document, "links")
		data, err := marshal(document)
		if err != nil {
			return rawevent.Event{}, err
		}
		if len(data) <= maxDataBytes {
			e.Data = data
		}
	}
	return m.finish(&e, &s)
}

// itemEvent returns an event with what all events of items have.
func (m *mapper) itemEvent(s *subject) (rawevent.Event, error) {
	eventType, err := m.expand("type", m.templates.eventType, s)
	if err != nil {
		return rawevent.Event{}, err
	}
	about, err := m.expand("subject", m.templates.subject, s)
	if err != nil {
		return rawevent.Event{}, err
	}
	e, err := m.newEvent(s, eventType, about)
	if err == nil {
		e.Set("partitionkey", s.collection+"/"+s.id)
	}
	return e, err
}

// newEvent returns an event with what all events have.
func (m *mapper) newEvent(s *subject, eventType, about string) (rawevent.Event, error) {
	from, err := m.expand("source", m.templates.source, s)
	if err != nil {
		return rawevent.Event{}, err
	}
	e := rawevent.New(m.id(s), from, eventType)
	if about != "" {
		e.Set(rawevent.AttrSubject, about)
	}
	now := m.now().UTC().Format(timeFormat)
	e.Set(rawevent.AttrTime, now)
	e.Set("recordedtime", now)
	e.Set("collection", s.collection)
	return e, nil
}

// id does not depend on what the events are configured to look like, but for its scope. The event of a collection has no
// id of an item in it, and an item always has one.
func (m *mapper) id(s *subject) string {
	name := collectionURL(m.api, s.collection) + "\n" + s.id + "\n" + string(s.operation) + "\n" + s.version
	if m.config.Event.IDScope == scopeSource {
		name = m.name + "\n" + name
	}
	return uuid.NewSHA1(eventIDs(), []byte(name)).String()
}

// finish adds the extension attributes.
func (m *mapper) finish(e *rawevent.Event, s *subject) (rawevent.Event, error) {
	for i, extension := range m.config.Event.Extensions {
		value, err := m.expand("extension "+extension.Name, m.templates.extensions[i], s)
		if s.item == nil && errors.Is(err, template.ErrMissing) {
			continue
		}
		if err != nil {
			return rawevent.Event{}, err
		}
		if value != "" { // which CloudEvents forbids
			e.Set(extension.Name, value)
		}
	}
	if err := e.Validate(); err != nil {
		return rawevent.Event{}, fmt.Errorf("it makes no valid event: %w", err)
	}
	return *e, nil
}

func (m *mapper) expand(what string, t template.Template, s *subject) (string, error) {
	value, err := t.Expand(nil, func(name string) (string, bool) {
		value, found := m.lookup(name, s)
		if !found && m.example && (s.item != nil || !strings.HasPrefix(what, "extension ")) {
			return "example", true
		}
		return value, found
	})
	if err != nil {
		return "", fmt.Errorf("make the %s: %w", what, err)
	}
	return string(value), nil
}

// lookup returns the value of a placeholder.
func (m *mapper) lookup(name string, s *subject) (value string, found bool) {
	switch name {
	case "collection":
		return s.collection, true
	case "operation":
		return string(s.operation), true
	case "href":
		return s.href, true
	case "api":
		return apiURL(m.api), true
	case "producer":
		producer, err := m.expand("producer", m.templates.producer, s)
		return producer, err == nil
	case "id":
		value = s.id
	case "stacVersion":
		value = s.stacVersion
	case "datetime":
		if s.item != nil {
			value = s.item.datetime()
		}
	default:
		if property, ok := strings.CutPrefix(name, "property:"); ok && s.item != nil {
			return scalar(s.item.Properties[property])
		}
	}
	return value, value != ""
}

// scalar returns a text without quotes, a number and a truth value as they are written; nothing else has a value.
func scalar(raw json.RawMessage) (string, bool) {
	if len(raw) == 0 {
		return "", false
	}
	switch raw[0] {
	case '"':
		return text(raw), true
	case '{', '[', 'n':
		return "", false
	default:
		return string(raw), true
	}
}

// firstTime returns the first of the values that is a time in RFC 3339.
func firstTime(otherwise string, values ...string) string {
	for _, value := range values {
		if t, err := time.Parse(time.RFC3339, value); err == nil {
			return t.Format(time.RFC3339Nano) // time.Parse takes a little more than RFC 3339 allows
		}
	}
	return otherwise
}

func (m *mapper) setData(e *rawevent.Event, s *subject) (err error) {
	e.DataContentType = "application/geo+json"
	switch m.config.Event.Profile {
	case profileSummary:
		e.Data, err = s.item.summary(&m.config.Event, s.collection, s.href, collectionURL(m.api, s.collection))
	case profileItem:
		e.Data = s.item.raw
	}
	if err == nil && (e.Data == nil || len(e.Data) > maxDataBytes) {
		return m.setLink(e, s)
	}
	if schema := itemSchema(s.stacVersion); m.config.Event.Profile == profileItem && schema != "" {
		e.Set(rawevent.AttrDataSchema, schema)
	}
	return err
}

// setLink makes the data a link to what the event is about.
func (m *mapper) setLink(e *rawevent.Event, s *subject) error {
	producer, err := m.expand("producer", m.templates.producer, s)
	if err != nil {
		return err
	}
	e.DataContentType = "application/json"
	if m.config.Event.Profile == profileOrigin {
		e.Data, err = marshal(struct {
			Href     string `json:"href"`
			Producer string `json:"producer"`
		}{s.href, producer})
		return err
	}
	mediaType, rel := "application/geo+json", "item"
	if s.id == "" {
		mediaType, rel = "application/json", "collection"
	}
	e.Data, err = marshal(struct {
		Href     string `json:"href"`
		Producer string `json:"producer"`
		Type     string `json:"type"`
		Rel      string `json:"rel"`
	}{s.href, producer, mediaType, rel})
	return err
}

// itemSchema returns the address of the JSON schema of an item, or "" where the version makes no address.
func itemSchema(version string) string {
	if version == "" || url.PathEscape(version) != version {
		return ""
	}
	return "https://schemas.stacspec.org/v" + version + "/item-spec/json-schema/item.json"
}
