package stac

import (
	"fmt"
	"net/url"
	"time"

	"github.com/google/uuid"

	"github.com/streamgate/streamgate/gateway"
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

// maxItemBytes is the size of the largest item that the profile item carries; a larger one is only linked.
const maxItemBytes = 900 << 10

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

// event returns the event that says that the item was created or updated.
func (m *mapper) event(i *item, collection, version string, change gateway.Change, page *url.URL) (rawevent.Event, error) {
	source, href := collectionURL(m.api, collection), i.href(m.api, collection, page)
	eventType, operation := typeCreate, "create"
	if change == gateway.Updated {
		eventType, operation = typeUpdate, "update"
	}
	if m.config.Event.Type != "" {
		eventType = m.config.Event.Type
	}
	id := uuid.NewSHA1(eventIDs(), []byte(source+"\n"+i.ID+"\n"+operation+"\n"+version))
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
		if _, err := time.Parse(time.RFC3339, value); err == nil {
			return value
		}
	}
	return otherwise
}

func (m *mapper) setData(e *rawevent.Event, i *item, collection, collectionHref, href string) (err error) {
	profile := m.config.Event.Profile
	if profile == profileItem && len(i.raw) > maxItemBytes {
		profile = profileLink
	}
	e.DataContentType = "application/json"
	switch profile {
	case profileOrigin:
		e.Data, err = marshal(struct {
			Href     string `json:"href"`
			Producer string `json:"producer"`
		}{href, m.config.Event.Producer})
	case profileSummary:
		e.DataContentType = "application/geo+json"
		e.Data, err = i.summary(collection, href, collectionHref)
	case profileItem:
		e.DataContentType, e.Data = "application/geo+json", i.raw
		if schema := "https://schemas.stacspec.org/v" + i.Version + "/item-spec/json-schema/item.json"; i.Version != "" && url.PathEscape(i.Version) == i.Version {
			e.Set(rawevent.AttrDataSchema, schema)
		}
	default:
		e.Data, err = marshal(struct {
			Href     string `json:"href"`
			Producer string `json:"producer"`
			Type     string `json:"type"`
			Rel      string `json:"rel"`
		}{href, m.config.Event.Producer, "application/geo+json", "item"})
	}
	return err
}
