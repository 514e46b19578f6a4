package stacsample

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Catalog is a STAC API over items in memory. It is an [http.Handler]; all its methods are safe for concurrent use. Create
// it with [New].
type Catalog struct {
	baseURL string
	log     requestLog
	quirks  atomic.Pointer[quirkState]

	mu          sync.RWMutex
	collections []*collection // in the order in which they were added
}

type collection struct {
	id, title string
	items     map[string]*Item // never changed in place, so that readers may keep them
}

var _ http.Handler = (*Catalog)(nil)

// Option changes how [New] makes a catalogue.
type Option func(*Catalog)

// WithBaseURL sets what links begin with, for a catalogue behind a proxy or a prefix. Default: the request's scheme and
// Host. A slash at its end is dropped.
func WithBaseURL(u string) Option {
	return func(c *Catalog) { c.baseURL = strings.TrimRight(u, "/") }
}

// WithQuirks sets the first quirks, as [Catalog.SetQuirks] does. Default: none.
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

// SetQuirks replaces all quirks and starts their counters afresh. Requests that are being served keep the old ones.
func (c *Catalog) SetQuirks(q Quirks) { c.quirks.Store(newQuirkState(q)) }

// AddCollection adds an empty collection, or gives an existing one another title.
func (c *Catalog) AddCollection(id, title string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ensure(id).title = title
}

// Put adds the items at once, or replaces those with the same collection and id. A collection that does not exist is added.
func (c *Catalog) Put(items ...Item) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, item := range items {
		item = item.clone()
		c.ensure(item.Collection).items[item.ID] = &item
	}
}

// putNew is Put unless the id is taken, when it returns false.
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

// Delete removes an item. It does nothing if there is none.
func (c *Catalog) Delete(collection, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if found := c.find(collection); found != nil {
		delete(found.items, id)
	}
}

// DeleteCollection removes a collection with its items. It does nothing if there is none.
func (c *Catalog) DeleteCollection(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.collections = slices.DeleteFunc(c.collections, func(one *collection) bool { return one.id == id })
}

// Items returns copies of the items of a collection, sorted by id; none if there is no such collection.
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

// Requests returns the last requests, at most 1024, in the order in which they were answered. A request that is still
// being served is not among them.
func (c *Catalog) Requests() []Request { return c.log.all() }

// ensure returns the collection, which it adds if need be. The caller holds mu.
func (c *Catalog) ensure(id string) *collection {
	if found := c.find(id); found != nil {
		return found
	}
	added := &collection{id: id, title: id, items: map[string]*Item{}}
	c.collections = append(c.collections, added)
	return added
}

// find returns the collection or nil. The caller holds mu.
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

// selectItems returns the stored items that match, in no order. They must not be changed.
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

// title returns the title of a collection, and false if there is none with the id.
func (c *Catalog) title(id string) (string, bool) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	if found := c.find(id); found != nil {
		return found.title, true
	}
	return "", false
}

// titles returns id and title of every collection, in order.
func (c *Catalog) titles() [][2]string {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([][2]string, len(c.collections))
	for i, one := range c.collections {
		out[i] = [2]string{one.id, one.title}
	}
	return out
}
