package stac

import (
	"context"
	"errors"
	"time"

	"github.com/streamgate/streamgate/gateway/source"
	"github.com/streamgate/streamgate/gateway/source/stacapi"
)

// sweepGap is the shortest time between two sweeps. Notes tell to the second when an item was seen: in the second in
// which one sweep ends and another begins, some of what is missing would look as if it were there, and the rest few
// enough to be believed.
const sweepGap = 2 * time.Second

// tiers does the work of the slow tiers, a piece at a time. It owns whose turn it is: where there is more work than can
// be done, each collection and tier gets its share.
type tiers struct {
	*env
	states      *states
	engines     *engines
	searcher    *searcher
	deletions   *deletions
	collections *collections
	health      *health

	served map[string]map[tier]int // when the tiers of a collection were last served, by turn
	turn   int
}

// step does a piece of a tier of one collection after the other, and reports whether there was one.
func (ts *tiers) step(ctx context.Context) (worked bool, err error) {
	watched := ts.collections.watched()
	for range watched {
		ts.turn++
		collection := watched[ts.turn%len(watched)]
		if !ts.health.isHealthy(collection) {
			continue
		}
		if worked, err = ts.stepCollection(ctx, collection); err != nil {
			return worked, ts.health.exclude(ctx, collection, err)
		}
		if worked {
			return true, nil
		}
	}
	return false, nil
}

func (ts *tiers) stepCollection(ctx context.Context, collection string) (worked bool, err error) {
	state := ts.states.begin(collection)
	if state.Engine == engineCrawl {
		return false, nil
	}
	t, found := ts.next(collection, state)
	if !found {
		return false, nil
	}
	ts.served[collection][t] = ts.turn
	if state.Engine == engineUpdated && t != tierSweep {
		return true, ts.searchBack(ctx, collection, state, t)
	}
	return true, ts.stepPass(ctx, collection, state, t)
}

// next returns the tier that is due and has waited longest.
func (ts *tiers) next(collection string, state *collectionState) (next tier, found bool) {
	served := ts.served[collection]
	if served == nil {
		served = map[tier]int{}
		ts.served[collection] = served
	}
	now := ts.now()
	for _, t := range slowTiers() {
		every := ts.plan.every(state, t)
		if !ts.plan.isStarting(state, t) && (every == 0 || now.Before(state.due(t, every))) {
			continue
		}
		if t == tierSweep && state.Passes[t] == nil && now.Before(state.Swept.Add(sweepGap)) {
			continue
		}
		if !found || served[t] < served[next] {
			next, found = t, true
		}
	}
	return next, found
}

// begin begins a search in the background.
func (ts *tiers) begin(collection string, t tier, q stacapi.Query) *search {
	q.Background = true
	return ts.searcher.begin(collection, t, q)
}

// searchBack asks for what was updated since a longer time than a poll does.
func (ts *tiers) searchBack(ctx context.Context, collection string, state *collectionState, t tier) error {
	started := ts.now().UTC()
	s := ts.begin(collection, t, ts.plan.updated(collection, state, ts.plan.every(state, t)))
	if !state.isSeeded(t) {
		s.noteOnly = state.isOld
	}
	return s.run(ctx, func() []source.Save {
		s.complete(state, started)
		return nil
	})
}

// stepPass searches the next piece of a pass.
func (ts *tiers) stepPass(ctx context.Context, collection string, state *collectionState, t tier) error {
	p := state.Passes[t]
	if p == nil {
		p = ts.plan.newPass(state, t, ts.now().UTC())
		state.Passes[t] = p
	}
	w, last := p.piece()
	s := ts.begin(collection, t, ts.plan.query(collection, w))
	s.deep, s.started = t == tierSweep, p.Started
	switch {
	case state.Engine == engineScan:
		s.query.Window, last = stacapi.Interval{}, true
	case p.Whole:
		s.query.MaxPages = wholePages
	}
	if p.First {
		s.noteOnly = state.isOld
	}
	err := s.run(ctx, func() []source.Save {
		p.advance(w, s.counts.items, ts.config.Limit)
		if last {
			s.complete(state, p.Started)
		}
		return nil
	})
	switch {
	case errors.Is(err, stacapi.ErrTooManyPages) && p.Whole:
		p.Whole = false
		return nil
	case err != nil:
		if ctx.Err() == nil && p.Size > minPiece {
			p.Size /= 2 // the piece may be too much for the server at once
		}
		return err
	}
	return ts.finishPiece(ctx, state, p, s, last)
}

// finishPiece does what a complete piece is the occasion for.
func (ts *tiers) finishPiece(ctx context.Context, state *collectionState, p *pass, s *search, last bool) error {
	if s.undated != nil && state.Engine == engineWindows && ts.config.Engine == engineAuto {
		if err := ts.engines.reconsider(ctx, s.collection, state, s.undated); err != nil {
			return err
		}
	}
	if last && s.tier == tierSweep {
		return ts.deletions.afterSweep(ctx, s.collection, p)
	}
	return nil
}
