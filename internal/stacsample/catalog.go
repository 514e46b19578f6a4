package stacsample

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Catalog is a STAC API over items in memory, and an [http.Handler]. Create it with [New]. All its methods are safe for
// concurrent use.
type Catalog struct {
	baseURL string
	log     requestLog
	quirks  atomic.Pointer[quirkState]

	mu          sync.RWMutex
	collections []*collection // in the order in which they were added
}

type collection struct {
	id, title string
	items     map[string]*Item // never changed in place, so that readers can keep them
}

var _ http.Handler = (*Catalog)(nil)

// Option configures a catalogue of [New].
type Option func(*Catalog)

// WithBaseURL sets the base of all links, for a catalogue behind a proxy or below a path; default: the scheme and Host
// of the request. A trailing slash is dropped.
func WithBaseURL(u string) Option {
	return func(c *Catalog) { c.baseURL = strings.TrimRight(u, "/") }
}

// WithQuirks sets the initial quirks, like [Catalog.SetQuirks]; default: none.
func WithQuirks(q Quirks) Option {
	return func(c *Catalog) { c.SetQuirks(q) }
}

// New returns an empty catalogue.
func New(opts ...Option) *Catalog {
	c := &Catalog{}
	c.SetQuirks(Quirks{})
	for _, opt := range opts {
		opt(c)
	}
	return c
}

// SetQuirks replaces all quirks and resets their counters. Requests in progress keep the old ones.
func (c *Catalog) SetQuirks(q Quirks) { c.quirks.Store(newQuirkState(q)) }

// AddCollection adds an empty collection, or changes the title of an existing one.
func (c *Catalog) AddCollection(id, title string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ensure(id).title = title
}

// Put adds the items in one step, and replaces those with the same collection and id. It adds missing collections.
func (c *Catalog) Put(items ...Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, item := range items {
		item = item.clone()
		c.ensure(item.Collection).items[item.ID] = &item
	}
}

// putNew adds the item, and reports false if its id exists already.
func (c *Catalog) putNew(item Item) bool {
	item = item.clone()
	c.mu.Lock()
	defer c.mu.Unlock()
	items := c.ensure(item.Collection).items
	if _, taken := items[item.ID]; taken {
		return false
	}
	items[item.ID] = &item
	return true
}

// Delete removes an item. It does nothing if the item does not exist.
func (c *Catalog) Delete(collection, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.find(collection); found != nil {
		delete(found.items, id)
	}
}

// DeleteCollection removes a collection with its items. It does nothing if the collection does not exist.
func (c *Catalog) DeleteCollection(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collections = slices.DeleteFunc(c.collections, func(one *collection) bool { return one.id == id })
}

// Items returns copies of the items of a collection, sorted by id; none if the collection does not exist.
func (c *Catalog) Items(collection string) []Item {
	c.mu.RLock()
	defer c.mu.RUnlock()
	found := c.find(collection)
	if found == nil {
		return nil
	}
	items := make([]Item, 0, len(found.items))
	for _, item := range found.items {
		items = append(items, item.clone())
	}
	slices.SortFunc(items, func(a, b Item) int { return cmp.Compare(a.ID, b.ID) })
	return items
}

// Requests returns the last 1024 requests, in the order of their answers. Requests in progress are not included.
func (c *Catalog) Requests() []Request { return c.log.all() }

// ensure returns the collection, which it adds if it is missing. The caller must hold mu.
func (c *Catalog) ensure(id string) *collection {
	if found := c.find(id); found != nil {
		return found
	}
	added := &collection{id: id, title: id, items: map[string]*Item{}}
	c.collections = append(c.collections, added)
	return added
}

// find returns the collection or nil. The caller must hold mu.
func (c *Catalog) find(id string) *collection {
	for _, one := range c.collections {
		if one.id == id {
			return one
		}
	}
	return nil
}

// item returns the stored item or nil. It must not be changed.
func (c *Catalog) item(collection, id string) *Item {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if found := c.find(collection); found != nil {
		return found.items[id]
	}
	return nil
}

// selectItems returns the stored items that match, in no particular order. They must not be changed.
func (c *Catalog) selectItems(match predicate) []*Item {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []*Item
	for _, one := range c.collections {
		for _, item := range one.items {
			if match(item) {
				out = append(out, item)
			}
		}
	}
	return out
}

// title returns the title of a collection, and false if the collection does not exist.
func (c *Catalog) title(id string) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if found := c.find(id); found != nil {
		return found.title, true
	}
	return "", false
}

// titles returns the id and title of every collection, in the order of their addition.
func (c *Catalog) titles() [][2]string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([][2]string, len(c.collections))
	for i, one := range c.collections {
		out[i] = [2]string{one.id, one.title}
	}
	return out
}
