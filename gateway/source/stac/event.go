package stac

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
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

// collectionType is the beginning of the type of the events of collections, as OGC API Publish-Subscribe names them.
const collectionType = "org.ogc.api.collection."

// operation is what has happened. A watcher cannot tell a replaced item from a patched one.
type operation string

const (
	opCreate operation = "create"
	opUpdate operation = "update"
	opDelete operation = "delete"
)

// maxDataBytes bounds the data of an event; a larger item is only linked.
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

	example bool // placeholders without a value are filled in, for documentation
}

// newMapper parses the templates of the configuration. The name is that of the source.
func newMapper(api *url.URL, c *Config, name string) (mapper, error) {
	t, problems := c.Event.parse()
	if len(problems) > 0 {
		return mapper{}, fmt.Errorf("configure events: %w", problems)
	}
	return mapper{api: api, config: c, name: name, templates: t, now: time.Now}, nil
}

// subject is what an event is about: an item or, without an id, a collection.
type subject struct {
	id, collection, href string
	operation            operation
	version              string
	stacVersion          string
	item                 *stacapi.Item // nil if it is not at hand
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
func (m *mapper) event(
	i *stacapi.Item, collection, version string, op operation, page *url.URL,
) (rawevent.Event, error) {
	s := subject{
		id: i.ID, collection: collection, operation: op, version: version, stacVersion: i.Version, item: i,
		href: stacapi.ItemURL(m.api, collection, i.ID),
	}
	if m.config.Event.RewriteSelf != rewriteSelf {
		s.href = m.hrefOf(i, collection, page)
	}
	e, err := m.itemEvent(&s)
	if err != nil {
		return rawevent.Event{}, err
	}
	now, _ := e.Attribute("recordedtime")
	e.Set(rawevent.AttrTime, cmp.Or(i.Properties.Time("updated", "published", "created"), now))
	if at := i.Datetime(); at != "" {
		e.Set("datetime", at)
	}
	if err := m.setData(&e, &s); err != nil {
		return rawevent.Event{}, err
	}
	return m.finish(&e, &s)
}

// hrefOf returns the address of an item.
func (m *mapper) hrefOf(i *stacapi.Item, collection string, page *url.URL) string {
	href := i.Href(m.api, collection, page)
	if m.config.Links == string(stacapi.LinksRebase) && i.File == "" {
		return stacapi.Rebase(m.api, href)
	}
	return href
}

// deleted returns the event that says that the item is gone: a link, whatever the profile.
func (m *mapper) deleted(d deletedItem) (rawevent.Event, error) {
	s := subject{id: d.id, collection: d.collection, href: d.href, operation: opDelete, version: d.version}
	if s.href == "" || m.config.Event.RewriteSelf == rewriteSelf {
		s.href = stacapi.ItemURL(m.api, d.collection, d.id)
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
	document := stacapi.Members{}
	if c.raw != nil {
		if err := json.Unmarshal(c.raw, &document); err != nil {
			return rawevent.Event{}, fmt.Errorf("collection %q is not a valid JSON object: %w", c.id, err)
		}
	}
	s := subject{
		collection: c.id, href: stacapi.CollectionURL(m.api, c.id), operation: c.operation, version: c.version,
		stacVersion: document.Text("stac_version"),
	}
	e, err := m.newEvent(&s, collectionType+string(c.operation), s.href)
	if err != nil {
		return rawevent.Event{}, err
	}
	now, _ := e.Attribute("recordedtime")
	e.Set(rawevent.AttrTime, cmp.Or(document.Time("updated", "created"), now))
	e.Set("partitionkey", c.id)
	if err := m.setLink(&e, &s); err != nil {
		return rawevent.Event{}, err
	}
	if len(document) > 0 && c.operation != opDelete && m.config.Event.isWhole() {
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

// itemEvent returns an event with the attributes that all events of items have.
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

// newEvent returns an event with the attributes that all events have.
func (m *mapper) newEvent(s *subject, eventType, about string) (rawevent.Event, error) {
	from, err := m.expand("source", m.templates.source, s)
	if err != nil {
		return rawevent.Event{}, err
	}
	e := rawevent.New(m.id(s), from, eventType)
	if about != "" {
		e.Set(rawevent.AttrSubject, about)
	}
	now := m.now().UTC().Format(stacapi.TimeFormat)
	e.Set(rawevent.AttrTime, now)
	e.Set("recordedtime", now)
	e.Set("collection", s.collection)
	return e, nil
}

// id returns the id of the event. Except for its scope, it does not depend on how events are configured. The ids of
// collections and items cannot collide: an item always has an id of its own.
func (m *mapper) id(s *subject) string {
	name := stacapi.CollectionURL(m.api, s.collection) + "\n" + s.id + "\n" + string(s.operation) + "\n" + s.version
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
		if value != "" { // CloudEvents forbids empty attributes
			e.Set(extension.Name, value)
		}
	}
	if err := e.Validate(); err != nil {
		return rawevent.Event{}, fmt.Errorf("build a valid event: %w", err)
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
		return stacapi.APIURL(m.api), true
	case "producer":
		producer, err := m.expand("producer", m.templates.producer, s)
		return producer, err == nil
	case "id":
		value = s.id
	case "stacVersion":
		value = s.stacVersion
	case "datetime":
		if s.item != nil {
			value = s.item.Datetime()
		}
	default:
		if property, ok := strings.CutPrefix(name, "property:"); ok && s.item != nil {
			return scalar(s.item.Properties, property)
		}
	}
	return value, value != ""
}

// scalar returns a member that is a string, without quotes, or a number or boolean, as it is written; nothing else has
// a value.
func scalar(members stacapi.Members, name string) (string, bool) {
	raw := members[name]
	if len(raw) == 0 {
		return "", false
	}
	switch raw[0] {
	case '"':
		return members.Text(name), true
	case '{', '[', 'n':
		return "", false
	default:
		return string(raw), true
	}
}

func (m *mapper) setData(e *rawevent.Event, s *subject) (err error) {
	e.DataContentType = "application/geo+json"
	switch m.config.Event.Profile {
	case profileSummary:
		e.Data, err = summarize(s.item, &m.config.Event, s.collection, s.href, stacapi.CollectionURL(m.api, s.collection))
	case profileItem:
		e.Data = s.item.Raw
	}
	if err == nil && (e.Data == nil || len(e.Data) > maxDataBytes) {
		return m.setLink(e, s)
	}
	if err == nil {
		err = m.setLinkAttributes(e, s)
	}
	if schema := itemSchema(s.stacVersion); m.config.Event.Profile == profileItem && schema != "" {
		e.Set(rawevent.AttrDataSchema, schema)
	}
	return err
}

// setLinkAttributes sets as attributes what the data of a link has, so that readers and mirrored fields find href and
// producer in every profile.
func (m *mapper) setLinkAttributes(e *rawevent.Event, s *subject) error {
	producer, err := m.expand("producer", m.templates.producer, s)
	if err != nil {
		return err
	}
	e.Set("href", s.href)
	if producer != "" { // CloudEvents forbids empty attributes
		e.Set("producer", producer)
	}
	return nil
}

// setLink sets the data to a link to the subject.
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

// itemSchema returns the address of the JSON schema of an item, or "" if the version cannot be part of one.
func itemSchema(version string) string {
	if version == "" || url.PathEscape(version) != version {
		return ""
	}
	return "https://schemas.stacspec.org/v" + version + "/item-spec/json-schema/item.json"
}
