package stac

import (
	"context"
	"hash/maphash"
	"time"

	"github.com/streamgate/streamgate/gateway/area"
	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// A static catalog is files: it cannot be searched, only read, from its root along the links. Each crawl reads it from
// the beginning, and asks for each item only if it has changed, as far as the host can tell.

const maxKnownFiles = 50_000 // of which the state is kept, to ask whether they have changed: some 300 bytes each

// crawler crawls a static catalog. It owns the states of the files of items, which a restart loses: then all of them
// are read once.
type crawler struct {
	*env
	states      *states
	searcher    *searcher
	collections *collections
	deletions   *deletions
	health      *health

	files map[string]*knownFile // by address
	next  time.Time             // when the next crawl is due
}

// knownFile is what it takes to ask whether a file has changed, and to note its items if not.
type knownFile struct {
	validator  stacapi.Validator
	collection string
	noted      []source.Emission // of its items
}

// poll crawls the catalog if it is time.
func (c *crawler) poll(ctx context.Context) error {
	started := c.now()
	if started.Before(c.next) {
		for _, name := range c.collections.watched() {
			c.health.mark(name)
		}
		return nil
	}
	run := &crawl{
		crawler: c, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, searches: map[string]*search{},
	}
	var err error
	if run.area, err = c.config.area(); err != nil {
		return err
	}
	err = run.run(ctx)
	switch every := c.config.Static.Every.Std(); {
	case isFinal(ctx, err):
	case err == nil:
		c.next = started.Add(every)
	default:
		c.next = c.now().Add(min(every, maxPause))
	}
	return err
}

// search begins what a crawl finds in a collection.
func (c *crawler) search(collection string) *search {
	state := c.states.begin(collection)
	state.Engine, state.Reason = engineCrawl, "the URL is a static catalog, without a search"
	s := c.searcher.begin(collection, tierSweep, stacapi.Query{})
	s.deep, s.started, s.ofFiles, s.keepSeen = true, c.now().UTC(), true, true
	if !state.isSeeded(tierSweep) {
		s.noteOnly = state.isOld
	}
	return s
}

// isWanted reports whether an item lies where and when the configuration says.
func (c *crawler) isWanted(i *stacapi.Item, where *area.Area) bool {
	if where != nil && !where.Intersects(area.Read(i.Raw)) {
		return false
	}
	scope := c.config.scope()
	if scope.IsZero() {
		return true
	}
	first := i.Begins()
	last := first
	if end, err := stacapi.ParseTime(i.Properties.Text("end_datetime")); err == nil {
		last = end
	}
	return (scope.To.IsZero() || !first.After(scope.To)) && (scope.From.IsZero() || !last.Before(scope.From))
}
