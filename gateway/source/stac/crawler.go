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
	ran   bool                  // the last poll has made a crawl
	last  error                 // what came of the last crawl

	isEmpty  bool // as was logged last
	repeated int  // as was logged last
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
	if c.ran = !started.Before(c.next); !c.ran {
		for _, name := range c.collections.watched() {
			c.health.mark(name)
		}
		return c.last
	}
	run := &crawl{
		crawler: c, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}, searches: map[string]*search{},
		claimed: map[uint64]struct{}{},
	}
	var err error
	if run.area, err = c.config.area(); err != nil {
		return err
	}
	err = run.run(ctx)
	c.last = err
	switch every := c.config.Static.Every.Std(); {
	case isFinal(ctx, err):
	case err == nil:
		c.next = started.Add(every)
	default:
		c.next = c.now().Add(min(every, maxPause))
	}
	return err
}

// reportComplete logs what is odd in a catalog that was read completely, when that changes.
func (c *crawler) reportComplete(isEmpty bool, repeated int, example string) {
	switch {
	case isEmpty && !c.isEmpty:
		c.log.Warn("the catalog is empty: it has no items in the configured collections", "collections", c.config.Collections)
	case !isEmpty && c.isEmpty:
		c.log.Info("the catalog is not empty any more")
	}
	if repeated > 0 && repeated != c.repeated {
		c.log.Warn("items are in several files; of each the first file in the order of the links counts",
			"items", repeated, "item", example)
	}
	c.isEmpty, c.repeated = isEmpty, repeated
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
