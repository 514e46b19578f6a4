package stac

import (
	"context"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// listing is what is known of the collections of an API, as it is saved.
type listing struct {
	// Read is when the list was last read completely; Watched are the collections that are watched.
	Read    time.Time `json:"read"`
	Watched []string  `json:"watched,omitempty"`
	// New are those of them that were not there when the list was first read.
	New []string `json:"new,omitempty"`
}

// collections owns which collections are watched, and publishes their changes.
type collections struct {
	*env
	states  *states
	engines *engines
	listing listing
}

// isPattern reports whether an entry of collections is a pattern of path.Match.
func isPattern(name string) bool { return strings.ContainsAny(name, "*?[") }

// matchesCollection reports whether a collection is to be watched.
func matchesCollection(patterns []string, collection string) bool {
	return slices.ContainsFunc(patterns, func(pattern string) bool {
		if pattern == collection {
			return true
		}
		matched, err := path.Match(pattern, collection)
		return err == nil && matched && isPattern(pattern)
	})
}

// isNew reports whether a collection came after the watch had begun.
func (c *collections) isNew(collection string) bool {
	return slices.Contains(c.listing.New, collection)
}

// watched returns the collections that are watched.
func (c *collections) watched() []string { return c.listing.Watched }

// refresh reads the list of the API if it is due, and returns what is to be watched; with an error, what was known
// before.
func (c *collections) refresh(ctx context.Context) ([]string, error) {
	if !c.config.needsList() {
		c.listing.Watched = c.config.Collections
		return c.watched(), c.states.dropUnwatched(ctx, c.watched())
	}
	if c.now().Sub(c.listing.Read) < c.config.CollectionsInterval.Std() && c.isCurrent() {
		return c.watched(), nil
	}
	documents, err := c.api.Collections(ctx)
	if err != nil {
		return c.watched(), fmt.Errorf("list the collections: %w", err)
	}
	if err := c.take(ctx, documents); err != nil {
		return c.watched(), err
	}
	return c.watched(), c.states.dropUnwatched(ctx, c.watched())
}

// crawled replaces the list by what a crawl of a static catalog has found.
func (c *collections) crawled(names []string) { c.listing.Watched = names }

// isCurrent reports whether the list was made by this configuration: each plain name of it is watched, and nothing
// else.
func (c *collections) isCurrent() bool {
	isOther := func(name string) bool { return !matchesCollection(c.config.Collections, name) }
	isMissing := func(name string) bool { return !isPattern(name) && !slices.Contains(c.listing.Watched, name) }
	return !slices.ContainsFunc(c.listing.Watched, isOther) && !slices.ContainsFunc(c.config.Collections, isMissing)
}

// take compares a complete list with the one before, and publishes what happened to collections in one step with the
// list.
func (c *collections) take(ctx context.Context, documents []stacapi.Collection) error {
	next := listing{Read: c.now().UTC(), New: c.listing.New}
	var emissions []source.Emission
	for _, d := range documents {
		if !matchesCollection(c.config.Collections, d.ID) {
			continue
		}
		c.noteListed(d.ID, &next)
		if !c.config.CollectionEvents {
			continue
		}
		e, err := c.emission(ctx, d)
		if err != nil {
			c.log.Warn("no event can be made of the change of a collection", "collection", d.ID, "err", err)
			continue
		}
		emissions = append(emissions, e...)
	}
	gone, err := c.gone(ctx, &next)
	if err != nil {
		return err
	}
	for _, name := range c.config.Collections { // named and not listed: the search will tell
		if !isPattern(name) && !slices.Contains(next.Watched, name) {
			next.Watched = append(next.Watched, name)
		}
	}
	slices.Sort(next.Watched)
	save, err := encodePart(partCollections, next)
	if err != nil {
		return err
	}
	if _, err := c.outbox.Publish(ctx, append(emissions, gone...), save); err != nil {
		return err
	}
	c.listing = next
	return nil
}

func (c *collections) noteListed(name string, next *listing) {
	next.Watched = append(next.Watched, name)
	state := c.states.find(name)
	if state != nil {
		state.Gone = 0
	}
	if !c.listing.Read.IsZero() && !slices.Contains(c.listing.Watched, name) && state == nil {
		next.New = append(next.New, name)
		c.log.Info("there is a new collection", "collection", name)
	}
}

// emission returns what the document of a collection gives rise to.
func (c *collections) emission(ctx context.Context, d stacapi.Collection) ([]source.Emission, error) {
	version, err := collectionVersion(d.Raw)
	if err != nil {
		return nil, err
	}
	e := source.Emission{Key: collectionKey(d.ID), Version: version}
	recalled, err := c.outbox.Seen().Recall(ctx, []*source.Emission{&e})
	if err != nil {
		return nil, err
	}
	known := recalled[0]
	isOld := c.listing.Read.IsZero() && c.config.StartFrom != startBeginning // what was there before the watch began
	op := opCreate
	switch {
	case known.Exists && known.SameVersion && time.Since(known.Found) < c.plan.refreshAfter():
		return nil, nil
	case known.Exists && known.SameVersion, !known.Exists && isOld:
		e.Action = source.Note
		return []source.Emission{e}, nil
	case known.Exists:
		op = opUpdate
	}
	if e.Event, err = c.mapper.collection(collectionChange{d.ID, d.Raw, version, op}); err != nil {
		return nil, err
	}
	return []source.Emission{e}, nil
}

func collectionKey(collection string) string { return "\x00" + collection }

// goneAfter is how many complete lists in a row must not name a collection before it counts as deleted.
const goneAfter = 2

// gone withdraws collections that are not there any more, and keeps watching those of which that is not sure.
func (c *collections) gone(ctx context.Context, next *listing) (emissions []source.Emission, err error) {
	for _, name := range c.listing.Watched {
		state := c.states.find(name)
		if slices.Contains(next.Watched, name) || !matchesCollection(c.config.Collections, name) || state == nil {
			continue
		}
		state.Gone++
		exists := true
		if state.Gone >= goneAfter {
			if exists, err = c.api.CollectionExists(ctx, name); err != nil {
				return nil, err
			}
		}
		if exists {
			next.Watched = append(next.Watched, name)
			continue
		}
		c.log.Info("a collection is not there any more", "collection", name)
		c.engines.forget(name)
		next.New = slices.DeleteFunc(next.New, func(n string) bool { return n == name })
		if !c.config.CollectionEvents || !c.config.Deletes.Enabled {
			continue
		}
		event, err := c.mapper.collection(collectionChange{
			id: name, version: next.Read.Format(stacapi.TimeFormat), operation: opDelete,
		})
		if err != nil {
			return nil, err
		}
		emissions = append(emissions, source.Emission{Action: source.Withdraw, Key: collectionKey(name), Event: event})
	}
	return emissions, nil
}
