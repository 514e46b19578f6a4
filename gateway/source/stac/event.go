package stac

import (
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"

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

// Types of the events, as OGC API Publish-Subscribe names them. A watcher cannot tell a replaced item from a patched one.
const (
	typeCreate = "org.ogc.api.collection.item.create"
	typeUpdate = "org.ogc.api.collection.item.update"
)

// maxDataBytes is the size of the largest data; an item that makes more is only linked.
const maxDataBytes = 900 << 10

// eventIDs is the namespace of the ids: the same state of the same item has the same id wherever it is watched.
func eventIDs() uuid.UUID {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("https://github.com/streamgate/streamgate/gateway/source/stac"))
}

// mapper makes events of items.
type mapper struct {
	api    *url.URL
	config *Config
	now    func() time.Time
}

// operation is what happened to an item or a collection.
type operation string

const (
	operationCreate operation = "create"
	operationUpdate operation = "update"
	operationDelete operation = "delete"
)

// event returns the event that says that the item was created or updated.
func (m *mapper) event(i *item, collection, version string, op operation, page *url.URL) (rawevent.Event, error) {
	source, href := collectionURL(m.api, collection), m.href(i, collection, page)
	eventType := typeCreate
	if op == operationUpdate {
		eventType = typeUpdate
	}
	if m.config.Event.Type != "" {
		eventType = m.config.Event.Type
	}
	id := uuid.NewSHA1(eventIDs(), []byte(source+"\n"+i.ID+"\n"+string(op)+"\n"+version))
	e := rawevent.New(id.String(), source, eventType)
	e.Set(rawevent.AttrSubject, href)
	now := m.now().UTC().Format(timeFormat)
	e.Set(rawevent.AttrTime, firstTime(now, i.property("updated"), i.property("published"), i.property("created")))
	e.Set("recordedtime", now)
	e.Set("collection", collection)
	e.Set("partitionkey", collection+"/"+i.ID)
	if at := firstTime("", i.property("datetime"), i.property("start_datetime")); at != "" {
		e.Set("datetime", at)
	}
	if err := m.setData(&e, i, collection, source, href); err != nil {
		return rawevent.Event{}, err
	}
	if err := e.Validate(); err != nil {
		return rawevent.Event{}, fmt.Errorf("it makes no valid event: %w", err)
	}
	return e, nil
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

func (m *mapper) setData(e *rawevent.Event, i *item, collection, collectionHref, href string) (err error) {
	e.DataContentType = "application/geo+json"
	switch m.config.Event.Profile {
	case profileSummary:
		e.Data, err = i.summary(collection, href, collectionHref)
	case profileItem:
		e.Data = i.raw
	}
	if err == nil && (e.Data == nil || len(e.Data) > maxDataBytes) {
		e.DataContentType = "application/json"
		e.Data, err = m.link(href)
	} else if schema := itemSchema(i.Version); m.config.Event.Profile == profileItem && schema != "" {
		e.Set(rawevent.AttrDataSchema, schema)
	}
	return err
}

func (m *mapper) link(href string) ([]byte, error) {
	if m.config.Event.Profile == profileOrigin {
		return marshal(struct {
			Href     string `json:"href"`
			Producer string `json:"producer"`
		}{href, m.config.Event.Producer})
	}
	return marshal(struct {
		Href     string `json:"href"`
		Producer string `json:"producer"`
		Type     string `json:"type"`
		Rel      string `json:"rel"`
	}{href, m.config.Event.Producer, "application/geo+json", "item"})
}

// itemSchema returns the address of the JSON schema of an item, or "" where the version makes no address.
func itemSchema(version string) string {
	if version == "" || url.PathEscape(version) != version {
		return ""
	}
	return "https://schemas.stacspec.org/v" + version + "/item-spec/json-schema/item.json"
}

// TEMPORARY until the mapper of deletions and collections is merged.
func (m *mapper) href(i *item, collection string, page *url.URL) string {
	return i.href(m.api, collection, page)
}

func (m *mapper) deleted(collection, id, href, version string) (rawevent.Event, error) {
	source := collectionURL(m.api, collection)
	e := rawevent.New(uuid.NewSHA1(eventIDs(), []byte(source+"\n"+id+"\ndelete\n"+version)).String(), source, "org.ogc.api.collection.item.delete")
	e.Set(rawevent.AttrSubject, href)
	e.Set("partitionkey", collection+"/"+id)
	return e, e.Validate()
}

func (m *mapper) collection(collection string, raw []byte, op operation, version string) (rawevent.Event, error) {
	source := collectionURL(m.api, collection)
	e := rawevent.New(uuid.NewSHA1(eventIDs(), []byte(source+"\n\n"+string(op)+"\n"+version)).String(), source, "org.ogc.api.collection."+string(op))
	e.Set(rawevent.AttrSubject, source)
	e.Set("partitionkey", collection)
	return e, e.Validate()
}
