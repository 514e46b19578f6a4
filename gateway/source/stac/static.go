package stac

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/streamgate/streamgate/gateway/area"
	"github.com/streamgate/streamgate/gateway/setting"
	"github.com/streamgate/streamgate/gateway/source"
)

// A static catalogue is files: it cannot be searched, only read, from its root along the links. Each crawl reads it from the
// beginning and asks for each item only if it has changed, as far as the host can tell.

// StaticConfig says how a catalogue without a search is read.
type StaticConfig struct {
	// Every is the time between the beginnings of two crawls; default 1h.
	Every setting.Duration `mapstructure:"every"`
	// Hosts are those beside that of url that links are followed to, as patterns (path.Match); default none.
	Hosts []string `mapstructure:"hosts"`
	// MaxItems is how many items are read at most; default 1000000. More are an error.
	MaxItems int `mapstructure:"maxItems"`
}

// Bounds of a crawl.
const (
	maxDepth      = 16
	maxCatalogs   = 100_000
	maxValidators = 50_000 // items whose state is remembered, to ask whether they have changed: some 300 bytes each
	maxFailures   = 10     // that are told of
)

// validator is what it takes to ask whether an item has changed, and to note it if not.
type validator struct {
	etag, modified string
	collection     string
	emissions      []source.Emission // what was remembered of it
}

// crawl is one reading of a static catalogue.
type crawl struct {
	s        *src
	area     *area.Area // nil: everywhere
	seed     maphash.Seed
	seen     map[uint64]struct{} // addresses
	queue    []place
	catalogs int
	items    int
	looks    map[string]*look
	failures []error
	failed   int
}

// place is a catalogue or collection that is to be read.
type place struct {
	address    *url.URL
	collection string // that it belongs to
	depth      int
}

// pollStatic reads the catalogue if it is time.
func (s *src) pollStatic(ctx context.Context) error {
	if s.now().Before(s.nextCrawl) {
		for _, name := range s.listing.Watched {
			s.healthy[name] = true
		}
		return nil
	}
	started := s.now()
	c := &crawl{s: s, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, looks: map[string]*look{}}
	if err := c.setArea(); err != nil {
		return err
	}
	err := c.run(ctx)
	if isFinal(ctx, err) {
		return err
	}
	if err == nil {
		s.nextCrawl = started.Add(s.config.Static.Every.Std())
	} else {
		s.nextCrawl = s.now().Add(min(s.config.Static.Every.Std(), maxPause))
	}
	return err
}

func (c *crawl) setArea() (err error) {
	config := c.s.config
	switch {
	case len(config.BBox) > 0:
		c.area, err = area.Box(config.BBox)
	case config.Intersects != "":
		c.area, err = area.Parse(config.Intersects)
	}
	return err
}

// run reads everything that can be reached. An error means that not all of it was read: what was found is published.
func (c *crawl) run(ctx context.Context) error {
	c.enqueue(place{address: c.s.client.base})
	for len(c.queue) > 0 {
		next := c.queue[0]
		c.queue = c.queue[1:]
		err := c.readCatalog(ctx, next)
		if isFinal(ctx, err) || errors.Is(err, source.ErrSeenFull) {
			return err
		}
		if err != nil {
			c.fail(next.address, err)
		}
	}
	return c.finish(ctx)
}

func (c *crawl) fail(address *url.URL, err error) {
	if c.failed++; len(c.failures) < maxFailures {
		c.failures = append(c.failures, fmt.Errorf("%s%s: %w", address.Host, address.Path, err)) // its query may be secret
	}
}

// finish saves the state of each collection that was found, and looks for what is gone if everything was read.
func (c *crawl) finish(ctx context.Context) error {
	s := c.s
	s.listing.Watched = slices.Sorted(maps.Keys(c.looks))
	for name, l := range c.looks {
		if c.failed == 0 {
			l.complete(s.states[name], l.started)
		}
		save, err := s.save(name)
		if err != nil {
			return err
		}
		if err := l.publish(ctx, save); err != nil {
			return err
		}
		l.reportSkipped()
		s.healthy[name] = true
		if c.failed == 0 {
			if err := s.afterSweep(ctx, name, &pass{Started: l.started, Items: l.items, First: l.noteOnly != nil}); err != nil {
				return err
			}
		}
	}
	if c.failed > 0 {
		return fmt.Errorf("%d documents of the catalogue could not be read: %w", c.failed, errors.Join(c.failures...))
	}
	if len(c.looks) == 0 {
		return fmt.Errorf("the catalogue has no items in collections like %s", strings.Join(s.config.Collections, ", "))
	}
	return s.dropStates(ctx)
}

// isNew notes an address, and reports whether it was not seen in this crawl.
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
		c.fail(p.address, fmt.Errorf("it lies deeper than %d catalogues", maxDepth))
	case c.catalogs > maxCatalogs:
		c.fail(p.address, fmt.Errorf("there are more than %d catalogues", maxCatalogs))
	default:
		c.queue = append(c.queue, p)
	}
}

// follows tells whether links to an address are followed.
func (c *crawl) follows(address *url.URL) bool {
	if address.Scheme != "http" && address.Scheme != "https" {
		return false
	}
	return address.Host == c.s.client.base.Host || slices.ContainsFunc(c.s.config.Static.Hosts, func(pattern string) bool {
		matched, err := path.Match(pattern, address.Hostname())
		return err == nil && matched
	})
}

// catalogDocument is a catalogue or a collection.
type catalogDocument struct {
	Type  string `json:"type"`
	ID    string `json:"id"`
	Links []link `json:"links"`
}

func (c *crawl) readCatalog(ctx context.Context, p place) error {
	var document catalogDocument
	var from *url.URL
	err := c.s.client.get(ctx, &request{method: http.MethodGet, url: c.s.client.withBaseQuery(p.address)}, false, func(body io.Reader, at *url.URL) error {
		from, document = at, catalogDocument{}
		return decodeJSON(json.NewDecoder(body), &document)
	})
	if err != nil {
		return err
	}
	collection := p.collection
	if document.Type == "Collection" || collection == "" {
		collection = document.ID
	}
	for i := range document.Links {
		l := &document.Links[i]
		target, err := from.Parse(escapeControls(l.Href))
		if err != nil || l.Href == "" || !c.follows(target) {
			continue
		}
		target.Fragment = ""
		switch l.Rel {
		case "child":
			c.enqueue(place{target, collection, p.depth + 1})
		case "item", "items":
			err := c.readItem(ctx, target, collection)
			if isFinal(ctx, err) || errors.Is(err, source.ErrSeenFull) {
				return err
			}
			if err != nil {
				c.fail(target, err)
			}
		}
	}
	return nil
}

// readItem reads an item, or a file of items, if it has changed.
func (c *crawl) readItem(ctx context.Context, address *url.URL, collection string) error {
	if !c.isNew(address) {
		return nil
	}
	if c.items++; c.items > c.s.config.Static.MaxItems {
		return fmt.Errorf("there are more than %d items (static.maxItems)", c.s.config.Static.MaxItems)
	}
	r := &request{method: http.MethodGet, url: c.s.client.withBaseQuery(address), header: http.Header{}}
	known := c.s.validators[address.String()]
	if known != nil {
		known.ask(r.header)
	}
	var p *page
	err := c.s.client.get(ctx, r, false, func(body io.Reader, from *url.URL) (err error) {
		p, err = decodeItemFile(body, from)
		return err
	})
	if status, ok := errors.AsType[*statusError](err); ok && status.code == http.StatusNotModified && known != nil {
		return c.renew(ctx, known)
	}
	if err != nil {
		return err
	}
	p.etag, p.modified = c.s.client.validators.etag, c.s.client.validators.modified
	if err := c.take(ctx, address, collection, p); err != nil || p.next == nil {
		return err
	}
	next, err := p.next.follow(r, p.from)
	if err != nil || next.method != http.MethodGet || !c.follows(next.url) {
		return errors.Join(err, errors.New("the file has a next page that cannot be read"))
	}
	return c.readItem(ctx, next.url, collection)
}

func (v *validator) ask(header http.Header) {
	if v.etag != "" {
		header.Set("If-None-Match", v.etag)
	} else if v.modified != "" {
		header.Set("If-Modified-Since", v.modified)
	}
}

// renew notes what an unchanged file holds, so that it is not taken for gone.
func (c *crawl) renew(ctx context.Context, v *validator) error {
	if len(v.emissions) == 0 {
		return nil
	}
	l := c.look(v.collection)
	l.items += len(v.emissions)
	pointers := make([]*source.Emission, len(v.emissions))
	for i := range v.emissions {
		pointers[i] = &v.emissions[i]
	}
	known, err := c.s.outbox.Seen().Recall(ctx, pointers)
	if err != nil {
		return err
	}
	for i := range known {
		if known[i].Exists && (time.Since(known[i].Found) > c.s.refreshAfter() || l.provesPresence() && known[i].Found.Before(l.started)) {
			e := v.emissions[i]
			e.Action = source.Note
			l.emissions = append(l.emissions, e)
		}
	}
	if len(l.emissions) < cap(l.emissions) || len(l.emissions) < 100 {
		return nil
	}
	return l.flush(ctx)
}

// take makes events of the items of a file that the configuration asks for.
func (c *crawl) take(ctx context.Context, address *url.URL, collection string, p *page) error {
	byCollection := map[string]*page{}
	for _, raw := range p.items {
		i, err := parseItem(raw)
		if err != nil {
			return err
		}
		name := collection
		if i.Collection != "" {
			name = i.Collection
		}
		if !c.s.config.matches(name) || !c.wants(i) {
			continue
		}
		if byCollection[name] == nil {
			byCollection[name] = &page{from: p.from, matched: -1, isFile: true}
		}
		byCollection[name].items = append(byCollection[name].items, raw)
	}
	v := &validator{etag: p.etag, modified: p.modified}
	held := 0
	for name, part := range byCollection {
		l := c.look(name)
		before := l.held
		if err := l.add(ctx, part); err != nil {
			return err
		}
		if err := l.flush(ctx); err != nil {
			return err
		}
		held += l.held - before
		v.collection, v.emissions = name, append(v.emissions, l.remembered...)
	}
	// A file of several collections is read anew every time: what is in it could not be noted for the right one. So is one of
	// which an update is held back, which must be found again.
	if (v.etag != "" || v.modified != "") && held == 0 && len(byCollection) <= 1 && p.next == nil && len(c.s.validators) < maxValidators {
		c.s.validators[address.String()] = v
	} else {
		delete(c.s.validators, address.String())
	}
	return nil
}

// wants tells whether an item lies where and when the configuration says.
func (c *crawl) wants(i *item) bool {
	if c.area != nil && !c.area.Intersects(area.Read(i.raw)) {
		return false
	}
	scope := c.s.config.scope()
	if scope == (interval{}) {
		return true
	}
	first := i.began()
	last := first
	if end, err := parseTime(i.property("end_datetime")); err == nil {
		last = end
	}
	return (scope.to.IsZero() || !first.After(scope.to)) && (scope.from.IsZero() || !last.Before(scope.from))
}

// look returns the look at a collection.
func (c *crawl) look(collection string) *look {
	if l := c.looks[collection]; l != nil {
		return l
	}
	s := c.s
	state := s.state(collection)
	state.Engine, state.Reason = engineCrawl, "it is a static catalogue, without a search"
	l := &look{source: s, collection: collection, tier: tierSweep, deep: true, started: s.now().UTC(), remember: true}
	if !state.isSeeded(tierSweep) {
		l.noteOnly = state.isOld
	}
	c.looks[collection] = l
	return l
}

// decodeItemFile reads an item, or a FeatureCollection of them.
func decodeItemFile(body io.Reader, from *url.URL) (*page, error) {
	var raw json.RawMessage
	if err := decodeJSON(json.NewDecoder(body), &raw); err != nil {
		return nil, err
	}
	var head struct {
		Type     string            `json:"type"`
		Features []json.RawMessage `json:"features"`
		Links    []link            `json:"links"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return nil, notJSON(err)
	}
	switch head.Type {
	case "Feature":
		return &page{items: []json.RawMessage{raw}, matched: -1, from: from}, nil
	case "FeatureCollection":
		p := &page{items: head.Features, matched: -1, from: from}
		if at := slices.IndexFunc(head.Links, func(l link) bool { return l.Rel == "next" && l.Href != "" }); at >= 0 {
			p.next = &head.Links[at]
		}
		return p, nil
	}
	return nil, fmt.Errorf("it is of type %.40q and no item", head.Type)
}
