package stac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
)

// Bounds of a list of collections.
const (
	maxCollections     = 10_000
	maxCollectionPages = 1_000
)

// listing is what is known of the collections of an API.
type listing struct {
	// Read is when the list was last read completely; Watched are the collections that are watched.
	Read    time.Time `json:"read"`
	Watched []string  `json:"watched,omitempty"`
	// New are those of them that were not there when the list was first read.
	New []string `json:"new,omitempty"`
}

// isNew tells whether a collection came after the watch had begun.
func (l *listing) isNew(collection string) bool { return slices.Contains(l.New, collection) }

// isPattern tells whether an entry of collections is one of path.Match.
func isPattern(name string) bool { return strings.ContainsAny(name, "*?[") }

// needsList tells whether the list of the API is needed at all: an API need not have one.
func (c *Config) needsList() bool {
	return c.CollectionEvents || slices.ContainsFunc(c.Collections, isPattern)
}

// matches tells whether a collection is to be watched.
func (c *Config) matches(collection string) bool {
	return slices.ContainsFunc(c.Collections, func(pattern string) bool {
		if pattern == collection {
			return true
		}
		matched, err := path.Match(pattern, collection)
		return err == nil && matched && isPattern(pattern)
	})
}

// collections returns what is to be watched. With an error, it is what was known before.
func (s *src) collections(ctx context.Context) ([]string, error) {
	if !s.config.needsList() {
		s.listing.Watched = s.config.Collections
		return s.config.Collections, s.dropStates(ctx)
	}
	if s.now().Sub(s.listing.Read) < s.config.CollectionsInterval.Std() && s.listingIsOf(s.config) {
		return s.listing.Watched, nil
	}
	documents, err := s.client.listCollections(ctx)
	if err != nil {
		return s.listing.Watched, fmt.Errorf("list the collections: %w", err)
	}
	if err := s.takeListing(ctx, documents); err != nil {
		return s.listing.Watched, err
	}
	return s.listing.Watched, s.dropStates(ctx)
}

// listingIsOf tells whether the list was made by this configuration: each plain name of it is watched, and nothing else.
func (s *src) listingIsOf(c *Config) bool {
	return !slices.ContainsFunc(s.listing.Watched, func(name string) bool { return !c.matches(name) }) &&
		!slices.ContainsFunc(c.Collections, func(name string) bool {
			return !isPattern(name) && !slices.Contains(s.listing.Watched, name)
		})
}

// takeListing compares a complete list with the one before, and publishes what happened to collections.
func (s *src) takeListing(ctx context.Context, documents []collectionDocument) error {
	isFirst := s.listing.Read.IsZero()
	next := listing{Read: s.now().UTC(), New: s.listing.New}
	var emissions []source.Emission
	for _, d := range documents {
		if !s.config.matches(d.ID) {
			continue
		}
		next.Watched = append(next.Watched, d.ID)
		if !isFirst && !slices.Contains(s.listing.Watched, d.ID) && s.states[d.ID] == nil {
			next.New = append(next.New, d.ID)
			s.log.Info("there is a new collection", "collection", d.ID)
		}
		if state := s.states[d.ID]; state != nil {
			state.Gone = 0
		}
		if !s.config.CollectionEvents {
			continue
		}
		e, err := s.collectionEmission(ctx, d, isFirst && s.config.StartFrom != startBeginning)
		if err != nil {
			s.log.Warn("a change of a collection makes no event", "collection", d.ID, "err", err)
			continue
		}
		emissions = append(emissions, e...)
	}
	gone, err := s.goneCollections(ctx, &next)
	if err != nil {
		return err
	}
	for _, name := range s.config.Collections { // named and not listed: the search will tell
		if !isPattern(name) && !slices.Contains(next.Watched, name) {
			next.Watched = append(next.Watched, name)
		}
	}
	slices.Sort(next.Watched)
	save, err := encodePart(partCollections, next)
	if err != nil {
		return err
	}
	if _, err := s.outbox.Publish(ctx, append(emissions, gone...), save); err != nil {
		return err
	}
	s.listing = next
	return nil
}

// collectionEmission returns what a document of a collection gives rise to.
func (s *src) collectionEmission(ctx context.Context, d collectionDocument, noteOnly bool) ([]source.Emission, error) {
	version, err := collectionVersion(d.raw)
	if err != nil {
		return nil, err
	}
	e := source.Emission{Key: collectionKey(d.ID), Version: version}
	known, err := s.outbox.Seen().Recall(ctx, []*source.Emission{&e})
	if err != nil {
		return nil, err
	}
	op := opCreate
	switch {
	case known[0].Exists && known[0].SameVersion && time.Since(known[0].Found) < s.refreshAfter():
		return nil, nil
	case known[0].Exists && known[0].SameVersion, !known[0].Exists && noteOnly:
		e.Action = source.Note
		return []source.Emission{e}, nil
	case known[0].Exists:
		op = opUpdate
	}
	if e.Event, err = s.mapper.collection(collectionChange{d.ID, d.raw, version, op}); err != nil {
		return nil, err
	}
	return []source.Emission{e}, nil
}

func collectionKey(collection string) string { return "\x00" + collection }

// goneAfter is how many complete lists in a row must not name a collection before it is taken for deleted.
const goneAfter = 2

// goneCollections withdraws collections that are not there any more, and keeps watching those of which that is not sure.
func (s *src) goneCollections(ctx context.Context, next *listing) (emissions []source.Emission, err error) {
	for _, name := range s.listing.Watched {
		state := s.states[name]
		if slices.Contains(next.Watched, name) || !s.config.matches(name) || state == nil {
			continue
		}
		state.Gone++
		isThere := true
		if state.Gone >= goneAfter {
			if isThere, err = s.client.exists(ctx, collectionURL(s.client.base, name)); err != nil {
				return nil, err
			}
		}
		if isThere {
			next.Watched = append(next.Watched, name)
			continue
		}
		s.log.Info("a collection is not there any more", "collection", name)
		delete(s.checked, name)
		next.New = slices.DeleteFunc(next.New, func(n string) bool { return n == name })
		if !s.config.CollectionEvents || !s.config.Deletes.Enabled {
			continue
		}
		event, err := s.mapper.collection(collectionChange{id: name, version: next.Read.Format(timeFormat), operation: opDelete})
		if err != nil {
			return nil, err
		}
		emissions = append(emissions, source.Emission{Action: source.Withdraw, Key: collectionKey(name), Event: event})
	}
	return emissions, nil
}

// dropStates removes the checkpoints of collections that are not watched any more.
func (s *src) dropStates(ctx context.Context) error {
	var saves []source.Save
	for name := range s.states {
		if !slices.Contains(s.listing.Watched, name) {
			delete(s.states, name)
			saves = append(saves, source.Save{Part: partCollection + name})
		}
	}
	_, err := s.outbox.Publish(ctx, nil, saves...)
	return err
}

// collectionDocument is a collection as the API lists it.
type collectionDocument struct {
	ID  string
	raw json.RawMessage
}

// listCollections reads the list of the API to its end.
func (c *client) listCollections(ctx context.Context) (documents []collectionDocument, err error) {
	target, err := url.Parse(collectionsURL(c.base))
	if err != nil {
		return nil, fmt.Errorf("the address of the list: %w", err)
	}
	r := &request{method: http.MethodGet, url: c.withBaseQuery(target), isRepeated: true}
	sent, known := map[string]bool{}, map[string]bool{}
	for range maxCollectionPages {
		if sent[r.key()] {
			return nil, errors.New("the server's next link leads back to a page that was read before")
		}
		sent[r.key()] = true
		var page struct {
			Collections []json.RawMessage `json:"collections"`
			Links       []link            `json:"links"`
		}
		var from *url.URL
		err := c.get(ctx, r, false, func(body io.Reader, at *url.URL) error {
			from = at
			page.Collections, page.Links = nil, nil
			return decodeJSON(json.NewDecoder(body), &page)
		})
		if err != nil {
			return nil, err
		}
		if page.Collections == nil {
			return nil, errors.New("the answer has no collections")
		}
		for _, raw := range page.Collections {
			var d struct {
				ID string `json:"id"`
			}
			if json.Unmarshal(raw, &d) != nil || d.ID == "" || known[d.ID] {
				continue
			}
			known[d.ID] = true
			documents = append(documents, collectionDocument{d.ID, raw})
		}
		if len(documents) > maxCollections {
			return nil, fmt.Errorf("the API has more than %d collections", maxCollections)
		}
		next := slices.IndexFunc(page.Links, func(l link) bool { return l.Rel == "next" && l.Href != "" })
		if next < 0 || len(page.Collections) == 0 {
			return documents, nil
		}
		if r, err = page.Links[next].follow(r, from); err != nil {
			return nil, err
		}
		r.url, r.isRepeated = c.withBaseQuery(r.url), r.method == http.MethodGet
	}
	return nil, fmt.Errorf("the list of collections has more than %d pages", maxCollectionPages)
}
