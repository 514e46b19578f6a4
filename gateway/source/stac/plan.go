package stac

import (
	"time"

	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// plan says what each tier searches, and how often. It is a function of the configuration and of the state of a
// collection.
type plan struct{ config *Config }

// overlaps is how many times its own interval each tier searches behind the watermark. What the server stamps before it
// shows it, by whatever delay, is found by the first tier that goes back that far.
const overlaps = 4

// query returns a search of a collection, as it is configured, for a window.
func (p plan) query(collection string, w stacapi.Interval) stacapi.Query {
	c := p.config
	return stacapi.Query{
		Collection: collection, Window: w, BBox: c.BBox, Intersects: c.Intersects, Filter: c.Filter, Limit: c.Limit,
	}
}

// every returns how often a tier is searched; 0 is never.
func (p plan) every(state *collectionState, t tier) time.Duration {
	c := p.config
	switch {
	case state.Engine == engineCrawl:
		return map[tier]time.Duration{tierSweep: c.Static.Every.Std()}[t]
	case t == tierPoll && state.Engine == engineScan:
		return max(c.Interval.Std(), c.Warm.Every.Std())
	case t == tierPoll:
		return c.Interval.Std()
	case t == tierSweep:
		return c.Sweep.Every.Std()
	case state.Engine != engineWindows && state.Engine != engineUpdated:
		return 0 // the poll reads everything
	case t == tierWarm:
		return c.Warm.Every.Std()
	}
	return c.Cold.Every.Std()
}

// poll returns what a poll searches.
func (p plan) poll(collection string, state *collectionState, now time.Time) stacapi.Query {
	switch state.Engine {
	case engineUpdated:
		return p.updated(collection, state, p.config.Interval.Std())
	case engineInterval:
		return p.query(collection, p.config.scope())
	case engineScan:
		return p.query(collection, stacapi.Interval{})
	}
	since, found := state.Complete[tierPoll]
	if !found {
		since = state.Began // a server that is down for long at the beginning must not cost what was to be searched then
	}
	if since.After(now) { // the clock was set back
		since = now
	}
	return p.query(collection, stacapi.Interval{From: since.Add(-p.config.Lookback.Std())})
}

// updated returns a search for what was updated since the watermark, less the overlap of a tier that is searched every
// so often.
func (p plan) updated(collection string, state *collectionState, every time.Duration) stacapi.Query {
	since := state.Watermark
	if since.IsZero() { // what was there before belongs to the sweep, which goes in pieces
		since = laterOf(state.From, state.Began.Add(-p.config.Lookback.Std()))
	}
	since = since.Add(-max(overlaps*every, time.Second))
	q := p.query(collection, p.config.scope())
	q.Bound = &stacapi.Bound{Capability: state.Capability, Since: since.UTC().Truncate(time.Second)}
	return q
}

// newPass returns what a slow tier searches.
func (p plan) newPass(state *collectionState, t tier, now time.Time) *pass {
	c := p.config
	next := &pass{Started: now, Size: firstPiece, First: !state.isSeeded(t)}
	scope := c.scope()
	switch {
	case !scope.IsZero() || t == tierSweep:
		next.Newest, next.Oldest = scope.To, scope.From
	case t == tierWarm:
		next.Newest, next.Oldest = now.Add(-c.Lookback.Std()), now.Add(-c.Warm.Back.Std())
	case t == tierCold:
		next.Newest, next.Oldest = now.Add(-c.Warm.Back.Std()), now.Add(-c.Cold.Back.Std())
	}
	// A search without a time finds items that have none, which some servers leave out of all others.
	next.Whole = t == tierSweep
	if t == tierSweep && c.Sweep.Back > 0 {
		next.Oldest = laterOf(next.Oldest, now.Add(-c.Sweep.Back.Std()))
	}
	return next
}

// isStarting reports whether the first sweep of a collection is due before its time, because what is older than a poll
// finds counts as new.
func (p plan) isStarting(state *collectionState, t tier) bool {
	isInTiers := state.Engine == engineUpdated || state.Engine == engineWindows
	return t == tierSweep && isInTiers && !state.isSeeded(t) &&
		state.From.Before(state.Began.Add(-p.config.Lookback.Std()))
}

// refreshAfter is how old the note of a seen item may be before it is renewed: half of the shortest time in which two
// searches show that it is gone, and at most a day, so that items that are found often are not written often.
func (p plan) refreshAfter() time.Duration {
	after := 24 * time.Hour
	for _, t := range []TierConfig{p.config.Warm, p.config.Cold, p.config.Sweep} {
		if every := t.Every.Std(); every > 0 {
			after = min(after, every/2)
		}
	}
	return after
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
