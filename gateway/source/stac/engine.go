package stac

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
)

// engine is how changes of a collection are found.
type engine string

// The engines.
const (
	// engineUpdated asks for what was updated since the last look. It is for servers that have proved that they can.
	engineUpdated engine = "updated"
	// engineWindows reads what is young often and what is old seldom, and compares.
	engineWindows engine = "windows"
	// engineInterval reads the interval of the configuration, all of it every time.
	engineInterval engine = "datetime"
	// engineScan reads everything every time: for collections whose server leaves items without a time out of any search
	// by time (stac-server issue 1165).
	engineScan engine = "scan"
	// engineCrawl reads the files of a catalogue that cannot be searched.
	engineCrawl engine = "crawl"
)

// every returns how often a tier is looked at; 0 is never.
func (s *src) every(state *collectionState, t tier) time.Duration {
	c := s.config
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

// overlaps is how many times its own interval each tier looks back behind the watermark. What the server stamps before it
// shows it, by whatever delay, is found by the first tier that looks back that far.
const overlaps = 4

// pollQuery returns what a poll searches.
func (s *src) pollQuery(state *collectionState, now time.Time) query {
	switch state.Engine {
	case engineUpdated:
		return s.updatedQuery(state, s.config.Interval.Std())
	case engineInterval:
		return query{window: s.config.scope()}
	case engineScan:
		return query{}
	}
	since, found := state.Complete[tierPoll]
	if !found {
		since = state.Began // a server that is down for long at the beginning must not cost what was to be searched then
	}
	if since.After(now) { // the clock was set back
		since = now
	}
	return query{window: interval{from: since.Add(-s.config.Lookback.Std())}}
}

func (s *src) updatedQuery(state *collectionState, every time.Duration) query {
	since := state.Watermark
	if since.IsZero() { // what was to be found before is the sweep's, which goes in pieces
		since = laterOf(state.From, state.Began.Add(-s.config.Lookback.Std()))
	}
	since = since.Add(-max(overlaps*every, time.Second))
	return query{window: s.config.scope(), bound: &bound{state.Rung, since.UTC().Truncate(time.Second)}}
}

// newPass returns what a slow tier searches.
func (s *src) newPass(state *collectionState, t tier, now time.Time) *pass {
	p := &pass{Started: now, Size: firstPiece, First: !state.isSeeded(t)}
	scope := s.config.scope()
	if scope.from.IsZero() && scope.to.IsZero() && t != tierSweep {
		switch t {
		case tierWarm:
			p.Newest, p.Oldest = now.Add(-s.config.Lookback.Std()), now.Add(-s.config.Warm.Back.Std())
		case tierCold:
			p.Newest, p.Oldest = now.Add(-s.config.Warm.Back.Std()), now.Add(-s.config.Cold.Back.Std())
		}
	} else {
		p.Newest, p.Oldest = scope.to, scope.from
	}
	// A search without a time finds items that have none, which some servers leave out of all others.
	p.Whole = t == tierSweep
	if t == tierSweep && s.config.Sweep.Back > 0 {
		if oldest := now.Add(-s.config.Sweep.Back.Std()); oldest.After(p.Oldest) {
			p.Oldest = oldest
		}
	}
	return p
}

func laterOf(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// pollCollection looks for what is new in a collection.
func (s *src) pollCollection(ctx context.Context, collection string) error {
	if err := s.check(ctx, collection); err != nil {
		return err
	}
	state := s.state(collection)
	if err := s.choose(ctx, collection, state); err != nil {
		return err
	}
	started := s.now().UTC()
	if state.Engine == engineWindows {
		return s.pollWindow(ctx, collection, state, started)
	}
	l := &look{source: s, collection: collection, tier: tierPoll, query: s.pollQuery(state, started)}
	if !state.isSeeded(tierPoll) {
		l.noteOnly = state.isOld
	}
	return l.run(ctx, func() []source.Save {
		l.complete(state, started)
		return nil
	})
}

// complete notes that everything that a tier can find was seen.
func (l *look) complete(state *collectionState, started time.Time) {
	state.Complete[l.tier] = started
	delete(state.Passes, l.tier)
	if l.tier == tierSweep {
		state.Swept = l.source.now().UTC()
	}
	if state.Engine == engineUpdated && l.query.bound != nil {
		// Never beyond the server's own clock: a stamp from the future must not hide what is stamped rightly.
		newest := l.newest
		if limit := l.serverStart; !limit.IsZero() && newest.After(limit) {
			newest = limit
		}
		if newest.After(state.Watermark) {
			state.Watermark = newest
		}
	}
	state.endDiscard(l.tier, started)
}

// isOld tells whether an item that was never seen was there before the watch began.
func (s *collectionState) isOld(i *item) bool {
	if s.From.IsZero() {
		return false
	}
	at := i.began()
	if s.Engine == engineUpdated {
		if updated, err := parseTime(i.property("updated")); err == nil {
			at = updated
		}
	}
	return at.Before(s.From)
}

// errNotBounded is what a look ends with whose server has given what was not asked for.
var errNotBounded = errors.New("the server gives items that do not meet the condition on updated")

// checkBound notes the latest time of a search by updated.
func (l *look) checkBound(i *item) error {
	if l.query.bound == nil {
		return nil
	}
	updated, err := parseTime(i.property("updated"))
	if err != nil || updated.Before(l.query.bound.since.Add(-time.Second)) {
		return fmt.Errorf("item %q was updated %q: %w", i.ID, i.property("updated"), errNotBounded)
	}
	if updated.After(l.newest) {
		l.newest = updated
	}
	return nil
}

// stepTiers does a piece of the work of a slow tier that is due, and reports whether there was one.
func (s *src) stepTiers(ctx context.Context, collection string) (worked bool, err error) {
	state := s.state(collection)
	if state.Engine == engineCrawl {
		return false, nil
	}
	t, found := s.nextTier(collection, state)
	if !found {
		return false, nil
	}
	s.served[collection][t] = s.turn
	if state.Engine == engineUpdated && t != tierSweep {
		return true, s.lookBack(ctx, collection, state, t, s.every(state, t))
	}
	return true, s.stepPass(ctx, collection, state, t)
}

// sweepGap is between two sweeps. What is remembered tells to the second when an item was found: in the second in which one
// sweep ends and another begins, a part of what is missing would look as if it were there, and the rest few enough to be
// believed.
const sweepGap = 2 * time.Second

// nextTier returns the tier that is due and has waited longest: where there is more work than can be done, each gets its
// share.
func (s *src) nextTier(collection string, state *collectionState) (next tier, found bool) {
	served := s.served[collection]
	if served == nil {
		served = map[tier]int{}
		s.served[collection] = served
	}
	for _, t := range slowTiers() {
		every := s.every(state, t)
		isInTiers := state.Engine == engineUpdated || state.Engine == engineWindows
		isBeginning := t == tierSweep && isInTiers && !state.isSeeded(t) && state.From.Before(state.Began.Add(-s.config.Lookback.Std()))
		if !isBeginning && (every == 0 || s.now().Before(state.due(t, every))) {
			continue
		}
		if t == tierSweep && state.Passes[t] == nil && s.now().Before(state.Swept.Add(sweepGap)) {
			continue
		}
		if !found || served[t] < served[next] {
			next, found = t, true
		}
	}
	return next, found
}

// lookBack asks for what was updated since a longer time than a poll does.
func (s *src) lookBack(ctx context.Context, collection string, state *collectionState, t tier, every time.Duration) error {
	started := s.now().UTC()
	l := &look{source: s, collection: collection, tier: t, isSlow: true, query: s.updatedQuery(state, every)}
	if !state.isSeeded(t) {
		l.noteOnly = state.isOld
	}
	return l.run(ctx, func() []source.Save {
		l.complete(state, started)
		return nil
	})
}

// stepPass searches the next piece of a slow tier.
func (s *src) stepPass(ctx context.Context, collection string, state *collectionState, t tier) error {
	p := state.Passes[t]
	if p == nil {
		p = s.newPass(state, t, s.now().UTC())
		state.Passes[t] = p
	}
	w, last := p.piece()
	l := &look{source: s, collection: collection, tier: t, isSlow: true, deep: t == tierSweep, started: p.Started, query: query{window: w}}
	switch {
	case state.Engine == engineScan:
		l.query.window, last = interval{}, true
	case p.Whole:
		l.maxPages = wholePages
	}
	if p.First {
		l.noteOnly = state.isOld
	}
	err := l.run(ctx, func() []source.Save {
		p.advance(w, l.items, s.config.Limit)
		if last {
			l.complete(state, p.Started)
		}
		return nil
	})
	switch {
	case errors.Is(err, errManyPages) && p.Whole:
		p.Whole = false
		return nil
	case err != nil:
		if ctx.Err() == nil && p.Size > minPiece {
			p.Size /= 2 // it may be too much for the server at once
		}
		return err
	case l.undated != nil && state.Engine == engineWindows && s.config.Engine == engineAuto:
		if err := s.chooseForUndated(ctx, collection, state, l.undated); err != nil {
			return err
		}
	}
	if last && t == tierSweep {
		return s.afterSweep(ctx, collection, p)
	}
	return nil
}
