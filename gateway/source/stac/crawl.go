package stac

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"net/url"
	"path"
	"slices"

	"github.com/streamgate/streamgate/gateway/area"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// Bounds of a crawl.
const (
	maxDepth            = 16
	maxCatalogs         = 100_000
	maxReportedFailures = 10
)

// crawl is one reading of a static catalog.
type crawl struct {
	*crawler
	area     *area.Area // nil: everywhere
	seed     maphash.Seed
	seen     map[uint64]struct{} // digests of addresses
	queue    []place
	catalogs int
	items    int
	searches map[string]*search  // by collection
	claimed  map[uint64]struct{} // digests of the keys of items that a file has given
	repeated int                 // items that an earlier file has given already
	example  string              // one of them
	failures []error             // the first of them
	failed   int
}

// place is a catalog or collection that is to be read.
type place struct {
	address    *url.URL
	collection string // that it belongs to
	depth      int
}

// run reads everything that can be reached. An error means that not all of it was read: what was found is published.
func (c *crawl) run(ctx context.Context) error {
	c.enqueue(place{address: c.api.Base()})
	for len(c.queue) > 0 {
		next := c.queue[0]
		c.queue = c.queue[1:]
		if err := c.tolerate(ctx, next.address, c.readCatalog(ctx, next)); err != nil {
			return err
		}
	}
	return c.finish(ctx)
}

// tolerate notes a failure of one document, and returns an error that ends the crawl.
func (c *crawl) tolerate(ctx context.Context, address *url.URL, err error) error {
	if isFinal(ctx, err) || errors.Is(err, source.ErrSeenFull) {
		return err
	}
	if err != nil {
		c.fail(address, err)
	}
	return nil
}

func (c *crawl) fail(address *url.URL, err error) {
	if c.failed++; len(c.failures) < maxReportedFailures {
		c.failures = append(c.failures, fmt.Errorf("%s%s: %w", address.Host, address.Path, err)) // its query may be secret
	}
}

// finish saves the state of each collection that was found, and looks for deletions if everything was read.
func (c *crawl) finish(ctx context.Context) error {
	c.searcher.found = 0
	c.collections.crawled(slices.Sorted(maps.Keys(c.searches)))
	for name, s := range c.searches {
		if c.failed == 0 {
			s.complete(c.states.find(name), s.started)
		}
		s.reportSkipped()
		save, err := c.states.encode(name)
		if err != nil {
			return err
		}
		if err := s.publish(ctx, save); err != nil {
			return err
		}
		c.searcher.found += s.counts.items
		c.health.mark(name)
		if c.failed > 0 {
			continue
		}
		sweep := &pass{Started: s.started, Items: s.counts.items, First: s.noteOnly != nil}
		if err := c.deletions.afterSweep(ctx, name, sweep); err != nil {
			return err
		}
	}
	if c.failed > 0 {
		return fmt.Errorf("%d documents of the catalog could not be read: %w", c.failed, errors.Join(c.failures...))
	}
	c.reportComplete(len(c.searches) == 0, c.repeated, c.example)
	if len(c.searches) == 0 {
		return nil // what was watched stays: it may be back soon
	}
	return c.states.dropUnwatched(ctx, c.collections.watched())
}

// isNew notes an address, and reports whether this crawl had not seen it.
func (c *crawl) isNew(address *url.URL) bool {
	key := maphash.String(c.seed, address.String())
	_, known := c.seen[key]
	c.seen[key] = struct{}{}
	return !known
}

func (c *crawl) enqueue(p place) {
	if !c.isNew(p.address) {
		return
	}
	switch c.catalogs++; {
	case p.depth > maxDepth:
		c.fail(p.address, fmt.Errorf("the catalog is nested deeper than %d levels", maxDepth))
	case c.catalogs > maxCatalogs:
		c.fail(p.address, fmt.Errorf("there are more than %d catalogs", maxCatalogs))
	default:
		c.queue = append(c.queue, p)
	}
}

// follows reports whether links to an address are followed.
func (c *crawl) follows(address *url.URL) bool {
	if address.Scheme != "http" && address.Scheme != "https" {
		return false
	}
	return address.Host == c.api.Base().Host || slices.ContainsFunc(c.config.Static.Hosts, func(pattern string) bool {
		matched, err := path.Match(pattern, address.Hostname())
		return err == nil && matched
	})
}

func (c *crawl) readCatalog(ctx context.Context, p place) error {
	document, err := c.api.ReadCatalog(ctx, p.address)
	if err != nil {
		return err
	}
	collection := p.collection
	if document.Type == "Collection" || collection == "" {
		collection = document.ID
	}
	for i := range document.Links {
		l := &document.Links[i]
		target, err := stacapi.ResolveLink(document.From, l.Href)
		if err != nil || l.Href == "" || !c.follows(target) {
			continue
		}
		target.Fragment = ""
		switch {
		case l.Is("child"):
			c.enqueue(place{target, collection, p.depth + 1})
		case l.Is("item"), l.Is("items"):
			if err := c.tolerate(ctx, target, c.readItems(ctx, target, collection)); err != nil {
				return err
			}
		}
	}
	return nil
}

// readItems reads an item, or a file of items, if it has changed.
func (c *crawl) readItems(ctx context.Context, address *url.URL, collection string) error {
	if !c.isNew(address) {
		return nil
	}
	if c.items++; c.items > c.config.Static.MaxItems {
		return fmt.Errorf("there are more than %d items (static.maxItems)", c.config.Static.MaxItems)
	}
	var known stacapi.Validator
	file := c.files[address.String()]
	if file != nil {
		known = file.validator
	}
	p, err := c.api.ReadItems(ctx, address, known)
	if errors.Is(err, stacapi.ErrNotModified) {
		return c.renew(ctx, file)
	}
	if err != nil {
		return err
	}
	next, err := p.NextFile()
	if err := c.take(ctx, address, collection, p, next == nil && err == nil); err != nil {
		return err
	}
	switch {
	case err != nil:
		return fmt.Errorf("read the next page of the file: %w", err)
	case next == nil:
		return nil
	case !c.follows(next):
		return fmt.Errorf("the next page of the file is on %s, which static.hosts does not name", next.Host)
	}
	return c.readItems(ctx, next, collection)
}

// renew notes the items of an unchanged file, so that they do not count as gone.
func (c *crawl) renew(ctx context.Context, file *knownFile) error {
	if len(file.noted) == 0 {
		return nil
	}
	for i := range file.noted {
		c.claim(file.noted[i].Key)
	}
	s := c.searchOf(file.collection)
	s.counts.items += len(file.noted)
	emissions := make([]*source.Emission, len(file.noted))
	for i := range file.noted {
		emissions[i] = &file.noted[i]
	}
	known, err := c.outbox.Seen().Recall(ctx, emissions)
	if err != nil {
		return err
	}
	for i := range known {
		if known[i].Exists && s.isStale(known[i].Found) {
			s.note(file.noted[i])
		}
	}
	if len(s.pending) < batchedNotes {
		return nil
	}
	return s.publish(ctx)
}

const batchedNotes = 100 // of unchanged files, that are published together

// take makes events of the items of a file that the configuration asks for.
func (c *crawl) take(ctx context.Context, address *url.URL, collection string, p *stacapi.Page, isWhole bool) error {
	repeatedBefore := c.repeated
	byCollection := c.sort(collection, p)
	file := &knownFile{validator: p.Validator}
	held := 0
	for name, part := range byCollection {
		s := c.searchOf(name)
		before := s.counts.held
		if err := s.add(ctx, part); err != nil {
			return err
		}
		if err := s.publish(ctx); err != nil {
			return err
		}
		held += s.counts.held - before
		file.collection, file.noted = name, append(file.noted, s.kept...)
	}
	// A file of several collections is read anew every time: its items could not be noted for the right one. So is one
	// of which an update is held back, which must be found again, and one with an item that another file has given: it
	// is the one that counts when the other file is gone.
	isKnown := c.repeated == repeatedBefore && !p.Validator.IsZero() && held == 0 && len(byCollection) <= 1 && isWhole
	if isKnown && len(c.files) < maxKnownFiles {
		c.files[address.String()] = file
	} else {
		delete(c.files, address.String())
	}
	return nil
}

// claim reports whether no file of this crawl has given an item before. Catalogs have one id in several files, with
// different content (the examples of stac-spec do): the first file in the order of the links counts, or every crawl
// would find the item changed, to and fro.
func (c *crawl) claim(key string) bool {
	digest := maphash.String(c.seed, key)
	_, isClaimed := c.claimed[digest]
	c.claimed[digest] = struct{}{}
	return !isClaimed
}

// sort returns the wanted items of a file by their collections.
func (c *crawl) sort(collection string, p *stacapi.Page) map[string]*stacapi.Page {
	byCollection := map[string]*stacapi.Page{}
	for n, raw := range p.Items {
		i, err := stacapi.ParseItem(raw)
		if err != nil { // the others of the file are read nevertheless
			if matchesCollection(c.config.Collections, collection) {
				c.searchOf(collection).skip(fmt.Errorf("item %d of %s: %w", n+1, p.From.Path, err))
			}
			continue
		}
		name := collection
		if i.Collection != "" {
			name = i.Collection
		}
		if !matchesCollection(c.config.Collections, name) || !c.isWanted(i, c.area) {
			continue
		}
		if !c.claim(itemKey(name, i.ID)) {
			c.repeated++
			c.example = name + "/" + i.ID
			continue
		}
		if byCollection[name] == nil {
			byCollection[name] = &stacapi.Page{From: p.From, Matched: -1}
		}
		byCollection[name].Items = append(byCollection[name].Items, raw)
	}
	return byCollection
}

// searchOf returns what this crawl finds in a collection.
func (c *crawl) searchOf(collection string) *search {
	s := c.searches[collection]
	if s == nil {
		s = c.search(collection)
		c.searches[collection] = s
	}
	return s
}
