package stac

import (
	"encoding/json"
	"fmt"
	"net/url"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
	"github.com/streamgate/streamgate/protocol/rawevent"
)

// change is what the sight of an item means.
type change int

const (
	changeNone   change = iota // it was seen in this state before
	changeNote                 // it was not seen before, and is not news
	changeSettle               // it was never published, and an operator said that it is not news
	changeCreate               // it is new
	changeUpdate               // it has changed
)

// rules say what counts as news in a search.
type rules struct {
	noteOnly   func(*stacapi.Item) bool // which of the unseen items are only noted; nil: none
	deep       bool                     // changed content counts, even if the version says that nothing changed
	inBackfill bool                     // the items are of the past, so that an unseen one is new whenever it was created
	again      map[string]bool          // keys of items whose events are lost
	isSeed     bool                     // an operator said that nothing of what is found is news
	started    time.Time                // of a pass or a crawl
}

// classify tells what the sight of an item means.
func (r *rules) classify(i *stacapi.Item, known source.Known, state *collectionState) change {
	switch {
	case r.isSeed && known.Mark != source.MarkPublished:
		return changeSettle
	case known.Exists && r.inBackfill && !r.isSeed && !state.wasPublished(i, known.Mark):
		return changeCreate // it was only noted: no event has told of the item yet
	case known.Exists && known.SameVersion && (known.SameContent || !r.deep):
		return changeNone
	case known.Exists:
		return changeUpdate
	case r.noteOnly != nil && r.noteOnly(i):
		return changeNote
	case !r.inBackfill && state.wasChanged(i):
		return changeUpdate
	}
	return changeCreate
}

// detector tells items and their states apart, and makes the events of changes.
type detector struct{ *env }

// sighting is an item that a search has found, and what is to be noted of it.
type sighting struct {
	item     *stacapi.Item
	emission source.Emission
}

// sight reads an item of a page.
func (d *detector) sight(raw json.RawMessage, collection string, p *stacapi.Page, isFile bool) (*sighting, error) {
	i, err := stacapi.ParseItem(raw)
	if err != nil {
		return nil, err
	}
	if i.Collection != "" && i.Collection != collection {
		return nil, fmt.Errorf("item %q is of collection %q, which was not asked for", i.ID, i.Collection)
	}
	if isFile {
		file := url.URL{Scheme: p.From.Scheme, Host: p.From.Host, Path: p.From.Path} // without what may be secret
		if len(p.Items) > 1 {
			file.Fragment = i.ID
		}
		i.File = file.String()
	}
	return &sighting{item: i, emission: source.Emission{Key: itemKey(collection, i.ID)}}, nil
}

// identify adds what tells the state of the item from others.
func (d *detector) identify(one *sighting, collection string, p *stacapi.Page) (err error) {
	e := &one.emission
	if e.Content, err = contentHash(one.item); err != nil {
		return err
	}
	e.Version = e.Content
	if !d.config.IgnoreTouches {
		if e.Version, err = version(one.item); err != nil {
			return err
		}
	}
	if d.config.Deletes.Enabled {
		e.Reference = d.reference(collection, one.item, p)
	}
	return nil
}

func itemKey(collection, id string) string { return collection + "\x00" + id }

// reference is what is noted of an item to be able to ask for it again: its address only if that is not the one that
// the API should have for it.
func (d *detector) reference(collection string, i *stacapi.Item, p *stacapi.Page) string {
	base := d.api.Base()
	reference := itemKey(collection, i.ID)
	if href := i.Href(base, collection, p.From); href != stacapi.ItemURL(base, collection, i.ID) {
		reference += "\x00" + href
	}
	return reference
}

// event makes the event of a change.
func (d *detector) event(
	one *sighting, collection string, c change, known source.Known, p *stacapi.Page,
) (rawevent.Event, error) {
	op := opCreate
	if c == changeUpdate {
		op = opUpdate
	}
	version := one.emission.Version
	if c == changeUpdate && known.SameVersion { // the server did not say that it changed: its version makes no new id
		version += " " + one.emission.Content
	}
	return d.mapper.event(one.item, collection, version, op, p.From)
}
